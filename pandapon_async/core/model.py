"""The base of all answers: slotted classes, open to fields that the vendor adds.

A field's wire name is the camelCase of its Python name unless `wire` sets another. Fields that can hold
personal data are marked and not in the repr. `.extra` holds fields that the model does not know and values of
an unexpected type; `.problems` names the places of the latter.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeVar, dataclass_transform

import attrs

from pandapon_async.core.json_values import Result

T = TypeVar("T")

__all__ = [
    "BEIJING",
    "EPOCH",
    "MILLISECOND",
    "NO_EXTRA",
    "Id",
    "Model",
    "OpenEnum",
    "PageModel",
    "Unread",
    "Wire",
    "camel",
    "field",
    "is_blank",
    "model",
    "parse_moment",
]

BEIJING = timezone(timedelta(hours=8), "Asia/Shanghai")


@attrs.define(frozen=True)
class Wire:
    """Marks an argument or a field whose wire name is not the camelCase of its Python name."""

    name: str


def camel(name: str) -> str:
    """The wire's spelling of a Python name.

    >>> camel("order_entry_ids")
    'orderEntryIds'
    """
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


class IdMark:
    """Marks a text field that holds an id: read from int or text, kept as text, never a float."""


Id = Annotated[str, IdMark()]

Unread = Any
"""Data whose shape no page of the vendor shows: returned as plain JSON values."""


def field(*, wire: str | None = None, personal: bool = False, strict: bool = False) -> Any:
    """Declare an optional field: None if it is missing or null.

    `personal` keeps the field out of reprs and reports. `strict` fails the whole answer if the field has
    another type: the subject, the state and the amount of an answer must not be guessed.
    """
    metadata = {"wire": wire, "personal": personal, "strict": strict}
    return attrs.field(default=None, repr=not personal, metadata=metadata)


# Our `field` is deliberately not listed: as a specifier it would make every field a required argument.
@dataclass_transform(kw_only_default=True, field_specifiers=(attrs.field,))
def model(kind: type[T]) -> type[T]:
    """Class decorator of every answer model: slotted, keyword-only, compared by value."""
    return attrs.define(kind, kw_only=True)


class _Nothing(dict[str, Any]):
    """An empty mapping that stays empty; a copy or an unpickled one is an ordinary dict."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "`.extra` of an answer without unknown fields is read-only; assign a dict of your own"
        )

    if not TYPE_CHECKING:  # type checkers see the dict that it replaces
        __setitem__ = setdefault = update = __ior__ = _refuse

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[()]]:
        return dict, ()


NO_EXTRA: Final[dict[str, Any]] = _Nothing()
"""The shared `.extra` of all answers without extra fields. Separate dicts for the 8 objects of a refund
trigger the garbage collector so often that a list of refunds takes a third longer to read.
"""


@attrs.define(kw_only=True)
class Model(Result):
    """The base of every answer."""

    extra: dict[str, Any] = attrs.field(factory=dict, repr=False, metadata={"personal": True})
    """Fields that the model does not know and values of an unexpected type, by wire name, unchanged."""
    problems: tuple[str, ...] = attrs.field(default=(), repr=False, metadata={"personal": False})
    """The places of values with an unexpected type, which are None here: `("applyExpect",)`, or
    `("refundOperationList[0].gmtCreate",)` for a nested place.
    """


@attrs.define(kw_only=True)
class PageModel(Model):
    """One page of a list. Subclasses annotate `items`; `core.structure` reads it."""

    items: list[Any] = attrs.field(factory=list)
    total: int | None = None


def is_blank(answer: Any) -> bool:
    """Whether an answer is an object without any known field."""
    if not isinstance(answer, Model):
        return False
    names = (field.name for field in attrs.fields(type(answer)) if field.name not in ("extra", "problems"))
    return all(getattr(answer, name) is None for name in names) and not answer.problems


class OpenEnum:
    """A mixin for enumerations: a value that the enumeration does not know stays a plain value."""

    __slots__ = ()

    @classmethod
    def read(cls, value: Any) -> Self | Any:
        """Return the member for a wire value, or the value itself."""
        try:
            return cls(value)  # type: ignore[call-arg]  # an enumeration it is mixed into
        except ValueError:
            return value


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})([+-])(\d\d)([0-5]\d)", re.ASCII)
_PLAIN = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", re.ASCII)


def parse_moment(value: int | str) -> datetime:
    """Parse a time in any form that the vendor and its upstreams use; returns an aware datetime.

    Epoch milliseconds (13 digits), `20180423171116`, `20180423171116000+0800`, `2018-04-23 17:11:16` and ISO
    8601; Beijing time if there is no zone. Raises ValueError for anything else.

    >>> parse_moment("20180423171116000+0800").isoformat()
    '2018-04-23T17:11:16+08:00'
    """
    if isinstance(value, int) or (value.isascii() and value.isdigit()):
        milliseconds = int(value)
        if 10**13 <= milliseconds < 10**14:
            return datetime.strptime(str(milliseconds), "%Y%m%d%H%M%S").replace(tzinfo=BEIJING)
        if not 10**11 <= milliseconds < 10**13:
            raise ValueError("not epoch milliseconds")
        return EPOCH + milliseconds * MILLISECOND
    if match := _COMPACT.fullmatch(value):
        *parts, fraction, sign, hours, minutes = match.groups()
        year, month, day, hour, minute, second = map(int, parts)  # takes a tenth of strptime's time
        zone = BEIJING
        if (sign, hours, minutes) != ("+", "08", "00"):
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(offset if sign == "+" else -offset)
        return datetime(year, month, day, hour, minute, second, int(fraction) * 1000, zone)
    if _PLAIN.fullmatch(value):
        return datetime.fromisoformat(value).replace(tzinfo=BEIJING)
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)
