"""Read an answer although some fields have the wrong type, and stop rules that need those fields.

When the vendor wrote `"applyExpect": ""` instead of a number, every answer became unreadable and every row of
a night `unverified`, for a field that nothing uses. So in the answer to a read such a field becomes None, its
raw value stays in `.extra`, and `.problems` names its place. A field marked as strict still fails the whole
answer, and the answer to a write is never read this way.

None then has two meanings, absent and unreadable. A rule that confuses them reports that a form has no
waybill although it has one. So a rule lists the fields it reads and looks at the answer through `visible`: a
listed field that could not be read raises CannotBeSeenError, and an unlisted field cannot be read at all.

A well-formed answer costs nothing extra: only after a failure is the answer read again, field by field.
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
"""The fields that a rule reads, by model."""


class CannotBeSeenError(Exception):
    """A rule needs a field that has the wrong type; `place` is its wire name."""

    def __init__(self, place: str) -> None:
        super().__init__(f"cannot be seen: {place} has another type than expected")
        self.place = place


class _StrictFieldError(StructureError):
    """A strict field has the wrong type, which fails every object around it."""


def lenient_structurer(kind: Any) -> Hook:
    """As `structurer`, for answers to reads: only strict fields and the outline of the answer must match."""
    strict = structurer(kind)

    def structure(value: Any, _: Any) -> Any:
        try:
            return strict(value, None)
        except StructureError:
            pass
        return _read(kind, value)

    return structure


def _read(hint: Any, value: Any) -> Any:
    """Structure a value that may contain models; raises StructureError if it has the wrong form."""
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
    """The places of the problems in the value at `where`."""
    if isinstance(value, Model):
        yield from (f"{where}.{place}" for place in value.problems)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _inside(f"{where}[{number}]", item)


def visible(answer: M, fields: Fields) -> M:
    """Return the answer as a rule may see it.

    Args:
        answer: The answer to a read.
        fields: The fields that the rule reads.

    Returns:
        The answer itself if all of it could be read. Otherwise an object with the same values that raises
        CannotBeSeenError for a field that could not be read.
    """
    return cast("M", View(answer, fields)) if answer.problems else answer


class View:
    """A view of an answer that shows only the fields of a rule."""

    __slots__ = ("_answer", "_fields")

    def __init__(self, answer: Model, fields: Fields) -> None:
        self._answer = answer
        self._fields = fields

    def __getattr__(self, name: str) -> Any:
        listed = next((names for kind, names in self._fields.items() if isinstance(self._answer, kind)), ())
        if name not in listed:
            raise AttributeError(f"{name} of {type(self._answer).__name__} is not listed next to the rule")
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
