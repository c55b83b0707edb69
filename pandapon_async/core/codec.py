"""JSON in and out, such that no number ever becomes a float.

orjson does the work. An answer that has a number with a fraction or an exponent goes through the
standard library instead, which can make it a `Decimal`; those are rare, and finding them costs a
few microseconds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NoReturn

import orjson

__all__ = ["dumps", "loads", "refuse_floats"]

_FRACTION = re.compile(rb"[:,\[]\s*-?[0-9]+[.eE]")
_LONG_NUMBER = re.compile(rb"[0-9]{20}")


def loads(data: bytes) -> Any:
    """The value of a JSON document; whole numbers are int, others Decimal.

    Raises ValueError for anything that is no JSON (NaN, a byte order mark, text that is not UTF-8,
    nesting without end), never another exception.
    """
    if _FRACTION.search(data) is None and _LONG_NUMBER.search(data) is None:
        return orjson.loads(data)
    orjson.loads(data)  # the stricter reader says first whether it is JSON at all
    try:
        return json.loads(data, parse_float=Decimal, parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def dumps(value: Any) -> bytes:
    """A JSON document; Decimal travels as text. Raises ValueError for what JSON cannot carry."""
    try:
        return orjson.dumps(value, default=_default)
    except TypeError as error:
        raise ValueError(f"cannot be sent as JSON: {error}") from None


def refuse_floats(value: Any, path: str = "$") -> None:
    """Raise ValueError, with the place, if there is a float in it: money and ids are never floats."""
    if isinstance(value, float):
        raise ValueError(f"{path} is a float; give money as int fen, Decimal or text, ids as int or text")
    if isinstance(value, Mapping):
        for name, item in value.items():
            refuse_floats(item, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for position, item in enumerate(value):
            refuse_floats(item, f"{path}[{position}]")


def _default(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON type")


def _refuse(_: str) -> NoReturn:
    raise ValueError("not a JSON number")
