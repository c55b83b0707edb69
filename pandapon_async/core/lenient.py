"""Reading an answer although some of it came as another type, and rules that notice.

A vendor that writes `"applyExpect": ""` where a number belongs made every answer unreadable, and every row of
a night unverified, for a field that nothing looks at. So in the answer to a read such a field becomes None,
what came stays in `.extra`, and its place is named in `.problems`. A field marked as strict still fails
the whole answer, and the answer to a write is never read this way.

None then has two meanings, absent and unreadable, and a rule that takes the second for the first says that a
form carries no waybill although it does. So a rule lists what it reads and looks through `visible`: a listed
field that could not be read raises CannotBeSeenError, and one that is not listed cannot be read at all.

What is well formed pays nothing for this: it is read as before, and only a failure begins anew, by fields.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, cast

from pandapon_async.core.model import NO_EXTRA, Model
from pandapon_async.core.structure import (
    Hook,
    StructureError,
    arms_of,
    is_list,
    is_model,
    is_page,
    read_page,
    structurer,
    wire_fields,
)

__all__ = ["CannotBeSeenError", "Fields", "lenient_structurer", "visible"]

M = TypeVar("M", bound=Model)

Fields = Mapping[type[Model], tuple[str, ...]]
"""What a rule reads: the names of fields, by the model that has them."""


class CannotBeSeenError(Exception):
    """A rule needs a field that came as another type; `place` is its wire name."""

    def __init__(self, place: str) -> None:
        super().__init__(f"cannot be seen: {place} came as another type")
        self.place = place


class _StrictFieldError(StructureError):
    """A strict field does not fit: no field around it makes up for that."""


def lenient_structurer(kind: Any) -> Hook:
    """As `structurer`, for answers to reads: only strict fields and the frame of the answer must fit."""
    strict = structurer(kind)

    def structure(value: Any, _: Any) -> Any:
        try:
            return strict(value, None)
        except StructureError:
            pass
        return _read(kind, value)

    return structure


def _read(hint: Any, value: Any) -> Any:
    """Anything that may have models in it; raises StructureError where it cannot be what is expected."""
    for kind in arms_of(hint):
        if is_model(kind) and value.__class__ is dict:
            return _read_model(kind, value)
        if is_list(kind) and value.__class__ is list:
            return _read_list(kind, value)
        if is_page(kind):
            items = typing.get_type_hints(kind, include_extras=True)["items"]
            page = read_page(kind, value, functools.partial(_read_list, items))
            page.problems = tuple(_inside("items", page.items))
            return page
    return structurer(hint)(value, None)


def _read_list(kind: Any, value: list[Any], _: Any = None) -> list[Any]:
    (item_kind,) = typing.get_args(kind)
    items: list[Any] = []
    try:
        for item in value:
            items.append(_read(item_kind, item))
    except StructureError as mismatch:
        mismatch.steps.append(f"[{len(items)}]")
        raise
    return items


def _read_model(kind: Any, value: Mapping[str, Any]) -> Any:
    made, problems, fields = kind(), [], wire_fields(kind)
    extra = {name: item for name, item in value.items() if name not in fields}
    for wire, (name, hint, strict) in _hints(kind).items():
        item = value.get(wire)
        if item is None:
            continue
        try:
            read = _read(hint, item)
        except StructureError as mismatch:
            mismatch.steps.append(f".{wire}")
            if isinstance(mismatch, _StrictFieldError):
                raise
            if strict:
                raise _as_strict(mismatch, item) from None
            extra[wire] = item
            problems.append(wire)
        else:
            setattr(made, name, read)
            problems += _inside(wire, read)
    made.extra = extra or NO_EXTRA
    made.problems = tuple(problems)
    return made


@functools.cache
def _hints(kind: Any) -> dict[str, tuple[str, Any, bool]]:
    """By wire name: the field's name, its type, and whether it is strict."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {
        wire: (field.name, hints[field.name], bool(field.metadata.get("strict")))
        for wire, field in wire_fields(kind).items()
    }


def _as_strict(mismatch: StructureError, item: Any) -> _StrictFieldError:
    error = _StrictFieldError("", item)
    error.args, error.steps = mismatch.args, mismatch.steps
    return error


def _inside(where: str, value: Any) -> Iterator[str]:
    """The places of the problems in a value that stands at `where`."""
    if isinstance(value, Model):
        yield from (f"{where}.{place}" for place in value.problems)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _inside(f"{where}[{number}]", item)


def visible(answer: M, fields: Fields) -> M:
    """The answer as a rule may see it.

    Args:
        answer: what was read.
        fields: what the rule reads.

    Returns:
        The answer itself if all of it could be read. Otherwise something that gives the same values, and for
        a field that could not be read raises CannotBeSeenError.
    """
    return cast("M", View(answer, fields)) if answer.problems else answer


class View:
    """An answer through which only the fields of a rule are seen."""

    __slots__ = ("_answer", "_fields")

    def __init__(self, answer: Model, fields: Fields) -> None:
        self._answer = answer
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        listed = next((names for kind, names in self._fields.items() if isinstance(self._answer, kind)), ())
        if name not in listed:
            raise AttributeError(f"{name} of {type(self._answer).__name__} is not listed beside the rule")
        wire = next(wire for wire, field in wire_fields(type(self._answer)).items() if field.name == name)
        if wire in self._answer.problems:
            raise CannotBeSeenError(wire)
        return self._wrapped(getattr(self._answer, name))

    def _wrapped(self, value: Any) -> Any:
        if isinstance(value, Model):
            return type(self)(value, self._fields)
        if isinstance(value, list):
            return [self._wrapped(item) for item in value]
        return value
