"""What all answers have in common: slotted classes, open to fields the vendor adds.

A field's wire name is the camelCase of its own unless `wire` says otherwise; fields that can hold
personal data are marked and stay out of the repr. What a model does not know lands in `.extra`; so does
what came as another type, and `.problems` says where.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Annotated, Any, Final, Self, TypeVar, dataclass_transform

import attrs

from pandapon_async.core.json_values import plain_dict

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
    """Marks an argument or a field whose wire name is not the camelCase of its own."""

    name: str


def camel(name: str) -> str:
    """The wire's spelling of a Python name.

    >>> camel("order_entry_ids")
    'orderEntryIds'
    """
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


class IdMark:
    """Marks a text field that holds an id: read from int or text, kept as text, never via float."""


Id = Annotated[str, IdMark()]

Unread = Any
"""Data whose shape no page that was read shows: handed through as the JSON that came."""


def field(*, wire: str | None = None, personal: bool = False, strict: bool = False) -> Any:
    """An optional field: None when missing or null.

    `personal` keeps it out of reprs and reports. `strict` fails the whole answer if the field comes as
    another type: what an answer is about, how it stands and for how much must not be guessed.
    """
    metadata = {"wire": wire, "personal": personal, "strict": strict}
    return attrs.field(default=None, repr=not personal, metadata=metadata)


# Our `field` is left out on purpose: as a specifier it would make every field a required argument.
@dataclass_transform(kw_only_default=True, field_specifiers=(attrs.field,))
def model(kind: type[T]) -> type[T]:
    """Class decorator of every answer model: slotted, keyword-only, compared by value."""
    return attrs.define(kind, kw_only=True)


class _Nothing(dict[str, Any]):
    """An empty mapping that stays empty; a copy of it, or what comes out of a pickle, is an ordinary one."""

    __slots__ = ()

    def _refuse(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            "`.extra` of an answer without unknown fields takes nothing in; assign a dict of your own"
        )

    if not TYPE_CHECKING:  # to checkers it is the dict that it stands in for
        __setitem__ = setdefault = update = __ior__ = _refuse

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[()]]:
        return dict, ()


NO_EXTRA: Final[dict[str, Any]] = _Nothing()
"""The `.extra` of all answers that have nothing extra. One for all: a dict for each of the 8 objects of a
refund makes the garbage collector come round so often that a list of them takes a third longer."""


@attrs.define(kw_only=True)
class Model:
    """The base of every answer."""

    extra: dict[str, Any] = attrs.field(factory=dict, repr=False)
    """What the model does not know, and what came as another type, by wire name, as it came."""
    problems: tuple[str, ...] = attrs.field(default=(), repr=False, metadata={"personal": False})
    """Where in this object something came as another type and is None here: `("applyExpect",)`, or
    `("refundOperationList[0].gmtCreate",)` for a place further inside."""

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """The answer as plain values, ready for JSON, a frame or a web framework.

        Args:
            personal: also the fields that can hold personal data, and `extra`.

        Returns:
            The names of the attributes and their values: ids as text, fen as whole numbers, yuan (decimals)
            as text, moments in ISO 8601, enumerations as their value, None for what is missing.
        """
        return plain_dict(self, personal=personal)

    def to_json(self, *, personal: bool = False) -> str:
        """The same as `to_dict`, as JSON text."""
        return json.dumps(self.to_dict(personal=personal), ensure_ascii=False)


@attrs.define(kw_only=True)
class PageModel(Model):
    """One page of a list. Subclasses annotate `items`; how a page is read, see `core.structure`."""

    items: list[Any] = attrs.field(factory=list)
    total: int | None = None


def is_blank(answer: Any) -> bool:
    """Whether an answer is an object of which no known field came."""
    if not isinstance(answer, Model):
        return False
    names = (field.name for field in attrs.fields(type(answer)) if field.name not in ("extra", "problems"))
    return all(getattr(answer, name) is None for name in names) and not answer.problems


class OpenEnum:
    """Mixed into an enumeration, lets it survive values it does not know: they stay the plain value."""

    __slots__ = ()

    @classmethod
    def read(cls, value: Any) -> Self | Any:
        """The member for a wire value, or the value itself."""
        try:
            return cls(value)  # type: ignore[call-arg]  # an enumeration it is mixed into
        except ValueError:
            return value


EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND: Final = timedelta(milliseconds=1)
_COMPACT = re.compile(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})([+-])(\d\d)([0-5]\d)", re.ASCII)
_PLAIN = re.compile(r"\d{4}-\d{2}-\d{2} \d{2}:\d{2}:\d{2}", re.ASCII)


def parse_moment(value: int | str) -> datetime:
    """An aware datetime from any of the forms the vendor and its upstreams use.

    Epoch milliseconds (13 digits), `20180423171116`, `20180423171116000+0800`, `2018-04-23 17:11:16` and
    ISO 8601; Beijing time where no zone is given. Raises ValueError for anything else.

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
        year, month, day, hour, minute, second = map(int, parts)  # a tenth of what strptime takes
        zone = BEIJING
        if (sign, hours, minutes) != ("+", "08", "00"):
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            zone = timezone(offset if sign == "+" else -offset)
        return datetime(year, month, day, hour, minute, second, int(fraction) * 1000, zone)
    if _PLAIN.fullmatch(value):
        return datetime.fromisoformat(value).replace(tzinfo=BEIJING)
    moment = datetime.fromisoformat(value)
    return moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)
