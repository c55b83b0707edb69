"""Read and write JSON without ever making a float.

There are two readers. The strict one is the standard library's scanner; it makes a `Decimal` of every number
with a fraction or an exponent and refuses a name that occurs twice in one object. (Otherwise the last one
would silently win, and it may be the `code` or an amount.) The fast one is msgspec, which reads numbers just
as exactly but does not notice repeated names; its result counts only if writing it again yields the same
bytes. Writing uses orjson, which is the fastest and refuses unknown types instead of choosing a form for
them.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

import msgspec
import orjson

__all__ = ["dumps", "loads", "refuse_floats"]

LARGEST_EXPONENT = 308  # the range of a double; beyond it, int() of a Decimal can fill the memory


def loads(data: bytes) -> Any:
    """Parse a JSON document; whole numbers become int, others Decimal.

    Raises ValueError for anything that is not JSON (NaN, a byte order mark, text that is not UTF-8, nesting
    without end, a name twice), never another exception. The error holds nothing of the document.
    """
    value = _quickly(data)
    return _carefully(data) if value is None else value  # which reports what is wrong, if anything


def _quickly(data: bytes) -> dict[str, Any] | None:
    """Parse a compactly written object; None for everything else, valid or not."""
    try:
        value: dict[str, Any] = _decode(data)
        return value if orjson.dumps(value, default=_as_it_came) == data else None
    except (ValueError, TypeError, RecursionError):  # TypeError: beyond orjson, such as a number of 20 digits
        return None


def _as_it_came(number: Decimal) -> orjson.Fragment:
    return orjson.Fragment(str(number))


def _carefully(data: bytes) -> Any:
    try:
        if rb"\ud" in data or rb"\uD" in data:
            orjson.loads(data)  # refuses lone surrogates, which the standard library accepts
        return _decoder.decode(data.decode("utf-8"))
    except RecursionError:
        problem = "nested too deeply"
    except json.JSONDecodeError as error:
        problem = f"unreadable at character {error.pos}"
    except UnicodeDecodeError:
        problem = "not UTF-8"
    except ValueError as error:
        problem = str(error)
    # Raised outside the except block: chained to json's error it would hold the whole document.
    raise ValueError(problem)


def dumps(value: Any) -> bytes:
    """Write a JSON document; Decimal becomes text. Raises ValueError for what JSON cannot express."""
    try:
        text = orjson.dumps(value, default=_default, option=_OPTIONS)
    except TypeError as error:
        raise ValueError(f"cannot be sent as JSON: {error}") from None
    if b"null" in text:
        _refuse_nan(value)  # orjson writes it as null
    return text


def refuse_floats(value: Any, path: str = "$") -> None:
    """Raise ValueError with the place of a float, if there is one: money and ids are never floats."""
    try:
        _refuse_floats(value, path)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_floats(value: Any, path: str) -> None:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, float):
        raise ValueError(f"{path} is a float; pass money as int fen, Decimal or text, and ids as int or text")
    if isinstance(value, Mapping):
        for name, item in value.items():
            _refuse_floats(item, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            _refuse_floats(item, f"{path}[{position}]")


def _refuse_nan(value: Any) -> None:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        raise ValueError("cannot be sent as JSON: not a finite number")
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            _refuse_nan(item)


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        if not value.is_finite() or abs(value.adjusted()) > LARGEST_EXPONENT:
            raise TypeError("not a finite number")
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} is not a JSON type")


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise ValueError("a number out of range") from None
    if abs(number.adjusted()) > LARGEST_EXPONENT:
        raise ValueError("a number out of range")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return value


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a JSON number")


# Dataclasses and datetimes are refused: orjson would choose a form for them.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_decoder = json.JSONDecoder(parse_float=_number, parse_constant=_refuse, object_pairs_hook=_object)
_decode = msgspec.json.Decoder(dict, float_hook=_number).decode
