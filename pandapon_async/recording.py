"""Record a real answer as evidence about the vendor, without private data.

The vendor's real answers are what this package knows least about, but users may not show their customers'
data. A recording keeps the form of an answer and replaces its content: every text, and every number of more
than five digits, becomes another one of the same form, unless the declaration marks it as harmless (a known
value of an enumeration, a boolean). Fields without a declaration and fields that can hold personal data are
always replaced. Dates are shifted by one offset. Equal values stay equal, so ids still refer to each other;
the replacement key is random and not stored. Of the request only the names of the call and its arguments are
kept.

Names of fields are what a recording is for, so undeclared ones are kept, unless they look like content: with
digits or spaces, equal to a text of the answer, or the keys of a map from persons or ids. The others are
listed for whoever reads the recording before it is shared.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, Self

import attrs

from pandapon_async.core.json_codec import loads
from pandapon_async.core.model import OpenEnum, PageModel, parse_moment
from pandapon_async.core.structure import (
    LIST_FIELDS,
    TOTAL_FIELDS,
    arms_of,
    is_list,
    is_model,
    is_page,
    wire_fields,
)
from pandapon_async.errors import ConfigurationError, MalformedResponseError
from pandapon_async.money import Fen

__all__ = ["FORMAT", "Recording", "Redactor"]

FORMAT: Final = 1
HARMLESS_DIGITS: Final = 5
"""Numbers with at most this many digits are not ids: counts, quantities, states, small amounts."""

ENVELOPE: Final = ("requestId", "code", "developId", "msg", "data")
_MADE_BY = "pandapon-async record"
_LARGEST = 16 * 1024 * 1024
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)([ T]\d\d:\d\d:\d\d)?((?:\.\d{1,6})?(?:Z|[+-]\d\d:?\d\d)?)", re.ASCII)
_COMPACT = re.compile(r"(\d{14})(\d{3}[+-]\d{4})?", re.ASCII)
_SCHEME = re.compile(r"https?://")
_PLAIN_NAME = re.compile(r"[A-Za-z_]{1,40}", re.ASCII)
_HAN = "甲乙丙丁戊己庚辛壬癸子丑寅卯辰巳"
_KEPT = frozenset(" \t\n!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


class _Unknown:
    """The type of undeclared values."""


@attrs.define
class Redactor:
    """Replaces the content of answers; use one for a whole recording, so that equal values stay equal."""

    key: bytes = attrs.field(repr=False)
    """Random bytes, at least 16; not stored anywhere."""
    offset: timedelta = attrs.field(repr=False)
    """The offset of all dates."""
    hide_amounts: bool = False
    """Whether to replace small amounts, too."""
    texts: frozenset[str] = attrs.field(default=frozenset(), repr=False)
    """The texts of the data in lower case; a field's name that is one of them is content."""
    kept: set[str] = attrs.field(factory=set)
    """The names of undeclared fields that were kept."""

    def redact(self, value: Any, kind: Any = _Unknown) -> Any:
        """Replace the content of a JSON value of this declared type."""
        arms = arms_of(kind)
        if isinstance(value, dict):
            return self.named(list(self._inside(value, arms)), is_map=_is_map(value))
        if isinstance(value, list):
            return [self.redact(item, _item_kind(arms)) for item in value]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value, arms)
        return self._number(value, arms)

    def _inside(self, value: dict[str, Any], arms: list[Any]) -> Iterator[tuple[str, bool, Any]]:
        page = next((arm for arm in arms if is_page(arm)), None)
        if page is not None:
            for name, item in value.items():
                known = name in LIST_FIELDS or name in TOTAL_FIELDS
                inner = int if name in TOTAL_FIELDS else list[_item_kind([page])]  # type: ignore[misc]
                yield name, known, self.redact(item, inner if known else _Unknown)
            return
        model = next((arm for arm in arms if is_model(arm)), None)
        types = _types_of(model) if model is not None else {}
        for name, item in value.items():
            yield name, name in types, self.redact(item, types.get(name, _Unknown))

    def named(self, fields: list[tuple[str, bool, Any]], *, is_map: bool = False) -> dict[str, Any]:
        """Replace the fields of an object; a key that may be an id or a name gets a new, unused one."""
        kept = {name for name, known, _ in fields if known}
        if not is_map:
            plain = (name for name, _, _ in fields if _PLAIN_NAME.fullmatch(name))
            names = {name for name in plain if name.casefold() not in self.texts}
            self.kept |= names - kept
            kept |= names
        made: dict[str, Any] = {}
        for name, _, inner in fields:
            shown = other = name if name in kept else self.like(name)
            number = 2
            while name not in kept and (shown in kept or shown in made):
                shown, number = f"{other}_{number}", number + 1
            made[shown] = inner
        return made

    def _text(self, text: str, arms: list[Any]) -> str:
        if _is_member(text, arms):
            return text
        if (moment := self._shifted(text, datetime in arms)) is not None:
            return moment
        amount = bool({Fen, Decimal} & set(arms)) and not self.hide_amounts
        if amount and re.fullmatch(r"-?[0-9.]+", text) and _digits(text) <= HARMLESS_DIGITS:
            return text
        return self.like(text)

    def _number(self, number: Any, arms: list[Any]) -> Any:
        if _is_member(number, arms):
            return number
        if datetime in arms and (moment := self._shifted(str(number), True)) is not None:
            return int(moment)
        text = format(number, "f") if isinstance(number, Decimal) else str(number)
        hidden = self.hide_amounts and bool({Fen, Decimal} & set(arms))
        harmless = bool({int, float, Fen, Decimal, datetime} & set(arms)) and not hidden
        if harmless and _digits(text) <= HARMLESS_DIGITS:
            return number
        made = self.like(text)
        return int(made) if isinstance(number, int) else Decimal(made)

    def _shifted(self, text: str, declared: bool) -> str | None:
        """Shift a date, keeping its form; None if the text is not a date."""
        try:
            if match := _MOMENT.fullmatch(text):
                form = "%Y-%m-%d" + ("" if match[2] is None else f"{match[2][0]}%H:%M:%S")
                moved = datetime.strptime((match[1] + (match[2] or "")), form) + self.offset
                fraction, zone = re.split(r"(?=[Z+-])|$", match[3], maxsplit=1)
                if _digits(fraction) > HARMLESS_DIGITS:
                    fraction = self.like(fraction)
                return moved.strftime(form) + fraction + zone
            if not declared:
                return None
            if match := _COMPACT.fullmatch(text):
                form = "%Y%m%d%H%M%S"
                return (datetime.strptime(match[1], form) + self.offset).strftime(form) + (match[2] or "")
            if text.isascii() and text.isdigit():
                parse_moment(text)
                return str(int(text) + self.offset // timedelta(milliseconds=1))
        except (ValueError, OverflowError):
            return None
        return None

    def like(self, text: str) -> str:
        """Return another text of the same form: digits, letters and Han characters keep their kind."""
        scheme = match[0] if (match := _SCHEME.match(text)) else ""
        made: list[str] = []
        for character, drawn in zip(text[len(scheme) :], self._draws(text), strict=False):
            made.append(_like(character, drawn, leading=not made or not made[-1].isdigit()))
        return scheme + "".join(made)

    def _draws(self, text: str) -> Iterator[int]:
        """Iterate over an endless pseudorandom byte stream, determined by key and text."""
        seed = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), key=self.key).digest()
        for block in itertools.count():
            yield from hashlib.blake2b(seed, key=self.key, salt=block.to_bytes(16)).digest()


def _like(character: str, drawn: int, *, leading: bool) -> str:
    if "0" <= character <= "9":
        if leading and character == "0":
            return "0"
        return str(1 + drawn % 9) if leading else str(drawn % 10)
    if "a" <= character <= "z":
        return chr(ord("a") + drawn % 26)
    if "A" <= character <= "Z":
        return chr(ord("A") + drawn % 26)
    if character in _KEPT:
        return character
    return _HAN[drawn % len(_HAN)] if character.isalpha() else "·"


def _is_map(value: dict[str, Any]) -> bool:
    """Whether an object looks like a map: several objects of the same form, each under a key of its own."""
    forms = [tuple(sorted(item)) if isinstance(item, dict) else None for item in value.values()]
    return len(forms) > 1 and forms[0] is not None and len(set(forms)) == 1


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_of(item)


def _digits(text: str) -> int:
    return sum(character.isdigit() for character in text)


def _is_member(value: Any, arms: Iterable[Any]) -> bool:
    """Whether the value belongs to a declared enumeration."""
    enumerations = (arm for arm in arms if isinstance(arm, type) and issubclass(arm, OpenEnum))
    return any(isinstance(arm.read(value), arm) for arm in enumerations)


@functools.cache
def _types_of(model: type[Any]) -> dict[str, Any]:
    """Return the types of a model's fields by wire name; a personal field counts as undeclared."""
    hints = typing.get_type_hints(model, include_extras=True)
    return {
        wire: _Unknown if field.metadata.get("personal") else hints[field.name]
        for wire, field in wire_fields(model).items()
    }


def _item_kind(arms: Iterable[Any]) -> Any:
    for arm in arms:
        if is_list(arm):
            return typing.get_args(arm)[0]
        if isinstance(arm, type) and issubclass(arm, PageModel):
            return typing.get_args(typing.get_type_hints(arm, include_extras=True)["items"])[0]
    return _Unknown


@attrs.define(frozen=True)
class Recording:
    """A recorded answer; `Sandbox(recorded=[...])` returns it to all calls of its name."""

    call: str
    """The call with its generation: "v1.alibaba.refunds.get"."""
    arguments: tuple[str, ...]
    """The names of the arguments that were passed."""
    http_status: int
    """The status of the answer."""
    answer: Mapping[str, Any]
    """The envelope: `requestId`, `code`, `developId`, `msg`, `data`."""

    @classmethod
    def of(
        cls,
        call: str,
        arguments: Iterable[str],
        http_status: int,
        envelope: Mapping[str, Any],
        kind: Any,
        redactor: Redactor,
    ) -> Self:
        """Record an envelope whose data has the declared type `kind`.

        Raises:
            MalformedResponseError: The answer is nested too deeply.
        """
        kinds = dict.fromkeys(ENVELOPE, _Unknown) | {"data": kind, "code": int}
        try:
            redactor.texts = frozenset(text.casefold() for text in _texts_of(envelope.get("data")))
            fields = [
                (name, name in kinds, redactor.redact(value, kinds.get(name, _Unknown)))
                for name, value in envelope.items()
            ]
            redacted = redactor.named(fields)
        except RecursionError:
            redacted = None
        if redacted is None:  # outside the except block: the traceback would hold the answer
            raise MalformedResponseError("the answer is nested too deeply to be recorded")
        return cls(call, tuple(sorted(arguments)), http_status, redacted)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a recording from its file.

        Raises:
            ConfigurationError: The file cannot be read, or `pandapon record` did not write it.
        """
        path = Path(path)
        try:
            if path.stat().st_size > _LARGEST:
                raise ConfigurationError(f"{path} is longer than {_LARGEST} bytes")
            value = loads(path.read_bytes())
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError:
            value = None
        if not isinstance(value, dict) or (value.get("made_by"), value.get("format")) != (_MADE_BY, FORMAT):
            raise ConfigurationError(f"{path} is not a recording of format {FORMAT}")
        call, status, answer = value.get("call"), value.get("http_status"), value.get("answer")
        names = value.get("arguments")
        if not (
            isinstance(call, str)
            and isinstance(status, int)
            and isinstance(answer, dict)
            and isinstance(names, list)
        ):
            raise ConfigurationError(f"{path} is not a complete recording")
        return cls(call, tuple(map(str, names)), status, answer)

    def to_json(self) -> str:
        """Return the text of the file, indented so that people can review it."""
        told = {
            "made_by": _MADE_BY,
            "format": FORMAT,
            "call": self.call,
            "arguments": list(self.arguments),
            "http_status": self.http_status,
            "answer": self.answer,
        }
        return json.dumps(told, ensure_ascii=False, indent=2, default=float) + "\n"

    def body(self) -> bytes:
        """Return the bytes of the answer."""
        return json.dumps(self.answer, ensure_ascii=False, default=float).encode()
