"""A JSON reader that is slow and obvious, to compare the package's own with.

It knows nothing of the standard library's or orjson's: characters one after the other, as the grammar
has them. What the package refuses on purpose it refuses too: a name twice in one object, half a
surrogate pair, whole numbers of more than 4300 digits, exponents beyond 308.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any

__all__ = ["MOST_LEVELS", "TooDeep", "slow_json"]

MOST_LEVELS = 150
"""Deeper documents are not compared: where nesting ends depends on the interpreter's stack."""

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_LITERALS = {"true": True, "false": False, "null": None}


class TooDeep(Exception):
    """More levels than are compared."""


def slow_json(data: bytes) -> Any:
    """The value; ValueError for what is no JSON, TooDeep for what is not compared."""
    reader = _Reader(data.decode("utf-8"))
    value = reader.value(0)
    reader.blanks()
    if reader.at != len(reader.text):
        raise ValueError("more after the value")
    return value


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def blanks(self) -> None:
        while self.text[self.at : self.at + 1] in (" ", "\t", "\n", "\r"):
            self.at += 1

    def next(self) -> str:
        if self.at >= len(self.text):
            raise ValueError("the end")
        self.at += 1
        return self.text[self.at - 1]

    def sees(self, sign: str) -> bool:
        self.blanks()
        if self.text[self.at : self.at + 1] != sign:
            return False
        self.at += 1
        return True

    def expect(self, sign: str) -> None:
        if not self.sees(sign):
            raise ValueError(f"no {sign}")

    def value(self, level: int) -> Any:
        if level > MOST_LEVELS:
            raise TooDeep
        if self.sees("{"):
            return self.object(level)
        if self.sees("["):
            return self.array(level)
        if self.sees('"'):
            return self.string()
        for name, value in _LITERALS.items():
            if self.text.startswith(name, self.at):
                self.at += len(name)
                return value
        return self.number()

    def object(self, level: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        if self.sees("}"):
            return found
        while True:
            self.expect('"')
            name = self.string()
            self.expect(":")
            value = self.value(level + 1)
            if name in found:
                raise ValueError("a name twice")
            found[name] = value
            if self.sees("}"):
                return found
            self.expect(",")

    def array(self, level: int) -> list[Any]:
        found: list[Any] = []
        if self.sees("]"):
            return found
        while True:
            found.append(self.value(level + 1))
            if self.sees("]"):
                return found
            self.expect(",")

    def string(self) -> str:
        units: list[int] = []  # of UTF-16, in which an escape is half a character at times
        while (sign := self.next()) != '"':
            if sign == "\\":
                sign = self.next()
                if sign == "u":
                    digits = self.text[self.at : self.at + 4]
                    if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
                        raise ValueError("no such escape")
                    self.at += 4
                    units.append(int(digits, 16))
                    continue
                if sign not in _ESCAPES:
                    raise ValueError("no such escape")
                sign = _ESCAPES[sign]
            elif sign < " ":
                raise ValueError("a control character")
            raw = sign.encode("utf-16-be")
            units += [raw[at] << 8 | raw[at + 1] for at in range(0, len(raw), 2)]
        return b"".join(unit.to_bytes(2, "big") for unit in units).decode("utf-16-be")

    def number(self) -> int | Decimal:
        match = _NUMBER.match(self.text, self.at)
        if match is None:
            raise ValueError("nothing that begins so")
        self.at = match.end()
        if match[2] is None and match[3] is None:
            if len(match[1]) > 4300:
                raise ValueError("too many digits")
            return int(match[0])
        try:
            number = Decimal(match[0])
        except InvalidOperation:
            raise ValueError("an exponent without end") from None
        if abs(number.adjusted()) > 308:
            raise ValueError("an exponent too great")
        return number
