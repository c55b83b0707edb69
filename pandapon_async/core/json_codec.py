"""JSON in and out; no number ever becomes a float.

There are two readers. The careful one is the standard library's scanner, told to make a `Decimal` of every
number with a fraction or an exponent, and to refuse a name that occurs twice in one object: the last one
would win in silence, and it may be the `code` or an amount. The quick one is msgspec, which reads numbers as
exactly, but does not see such names. So its result counts only if writing it again gives the bytes that came.
Writing uses orjson, which is the quickest at it and refuses other types instead of choosing a form for them.
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

LARGEST_EXPONENT = 308  # as doubles; with more, int() of a Decimal can fill the memory


def loads(data: bytes) -> Any:
    """The value of a JSON document; whole numbers are int, others Decimal.

    Raises ValueError for anything that is not JSON (NaN, a byte order mark, text that is not UTF-8,
    nesting without end, a name twice), never another exception; it carries nothing of the document.
    """
    value = _quickly(data)
    return _carefully(data) if value is None else value  # which says what is wrong, if anything is


def _quickly(data: bytes) -> dict[str, Any] | None:
    """An object that is written compactly; None for everything else, right or wrong."""
    try:
        value: dict[str, Any] = _decode(data)
        return value if orjson.dumps(value, default=_as_it_came) == data else None
    except (ValueError, TypeError, RecursionError):  # TypeError: what is beyond orjson, as 20 digits are
        return None


def _as_it_came(number: Decimal) -> orjson.Fragment:
    return orjson.Fragment(str(number))


def _carefully(data: bytes) -> Any:
    try:
        if rb"\ud" in data or rb"\uD" in data:
            orjson.loads(data)  # refuses the half characters that the standard library lets through
        return _decoder.decode(data.decode("utf-8"))
    except RecursionError:
        problem = "nested too deeply"
    except json.JSONDecodeError as error:
        problem = f"unreadable at character {error.pos}"
    except UnicodeDecodeError:
        problem = "not UTF-8"
    except ValueError as error:
        problem = str(error)
    # Raised out here, since an error in the context of json's own would carry the whole document along.
    raise ValueError(problem)


def dumps(value: Any) -> bytes:
    """A JSON document; Decimal travels as text. Raises ValueError for what JSON cannot carry."""
    try:
        text = orjson.dumps(value, default=_default, option=_OPTIONS)
    except TypeError as error:
        raise ValueError(f"cannot be sent as JSON: {error}") from None
    if b"null" in text:
        _refuse_nan(value)  # orjson writes it as null
    return text


def refuse_floats(value: Any, path: str = "$") -> None:
    """Raise ValueError, with the place, if there is a float in it: money and ids are never floats."""
    try:
        _refuse_floats(value, path)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_floats(value: Any, path: str) -> None:
    if isinstance(value, enum.Enum):
        value = value.value
    if isinstance(value, float):
        raise ValueError(f"{path} is a float; give money as int fen, Decimal or text, ids as int or text")
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
    raise TypeError(f"{type(value).__name__} is no JSON type")


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except ArithmeticError:
        raise ValueError("a number beyond all bounds") from None
    if abs(number.adjusted()) > LARGEST_EXPONENT:
        raise ValueError("a number beyond all bounds")
    return number


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a name occurs twice in one object")
    return value


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a JSON number")


# Dataclasses and moments are refused rather than written in a form that nobody here has chosen.
_OPTIONS = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME
_decoder = json.JSONDecoder(parse_float=_number, parse_constant=_refuse, object_pairs_hook=_object)
_decode = msgspec.json.Decoder(dict, float_hook=_number).decode
