"""Build models from JSON data: strict about types, open to unknown fields.

An answer decides about money, so a value must not change on its way into a model. cattrs alone would change
it: by default it turns None into 'None', 1.9 into 1 and "false" into True, it fails the whole object for an
unknown enumeration value, and its error quotes the value, which may be a phone number. It is also slow at
`T | None`, the type of almost every field here: 18.0 microseconds for the 42 fields of a refund against 8.7
with a hook of our own.

So cattrs only finds the hook for a type, and the hooks are ours. They convert a value only to one with the
same meaning: an id may be a number or text, whole fen may be digits, a time may have any of the known
forms. `.extra` keeps unknown fields, an unknown enumeration value stays a plain value, and an error names
the place of a value, never the value.

The hooks of a model are built on first use; importing this module builds nothing.
"""

from __future__ import annotations

import functools
import re
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Final, Union

import attrs

from pandapon_async.core.model import (
    EPOCH,
    MILLISECOND,
    NO_EXTRA,
    IdMark,
    Model,
    OpenEnum,
    PageModel,
    camel,
    parse_moment,
)
from pandapon_async.money import Fen

if typing.TYPE_CHECKING:
    from cattrs import Converter

__all__ = [
    "LIST_FIELDS",
    "TOTAL_FIELDS",
    "Hook",
    "StructureError",
    "arms_of",
    "is_list",
    "is_model",
    "is_page",
    "read_page",
    "structurer",
    "wire_fields",
]

Hook = Callable[[Any, Any], Any]

LIST_FIELDS = ("list", "items", "records", "rows", "result", "data")
# Not "count": it may count the items of this page, and as a total it would end an iteration early.
TOTAL_FIELDS = ("total", "totalCount", "totalRecord", "totalNum")

_DECIMAL = re.compile(r"-?[0-9]{1,30}(\.[0-9]{1,30})?")  # Decimal itself also takes 1_0, blanks and 1e999999


class StructureError(Exception):
    """Data that does not match its type; `path` grows as the error passes each level."""

    def __init__(self, expected: str, value: Any) -> None:
        super().__init__(f"expected {expected}, got {_json_name(value)}")
        self.steps: list[str] = []

    @property
    def path(self) -> str:
        """The place, such as `$.data.refundOrder.refundFee`."""
        return "$.data" + "".join(reversed(self.steps))


def structurer(kind: Any) -> Hook:
    """Return the function that builds a `kind` from JSON data; call it with the data and the kind."""
    return _converter().get_structure_hook(kind)


def wire_fields(kind: Any) -> dict[str, attrs.Attribute[Any]]:
    """The fields of a model by their wire names."""
    return _wire_fields(kind)


@functools.cache
def _wire_fields(kind: Any) -> dict[str, attrs.Attribute[Any]]:
    return {
        field.metadata.get("wire") or camel(field.name): field
        for field in attrs.fields(kind)
        if field.name not in ("extra", "problems")
    }


@functools.cache
def _converter() -> Converter:
    from cattrs import Converter

    converter = Converter()
    for kind, hook in _PLAIN_HOOKS.items():
        converter.register_structure_hook(kind, hook)
    converter.register_structure_hook_func(lambda kind: kind is Any, lambda value, _: value)
    converter.register_structure_hook_factory(is_list, lambda kind: _list_hook(converter, kind))
    converter.register_structure_hook_factory(_is_open_enum, _open_enum_hook)
    converter.register_structure_hook_factory(is_model, lambda kind: _model_hook(converter, kind))
    converter.register_structure_hook_factory(is_page, lambda kind: _page_hook(converter, kind))
    converter.register_structure_hook_factory(_is_union, lambda kind: _union_hook(converter, kind))
    converter.register_structure_hook_func(_is_id, _id)
    return converter


def _model_hook(converter: Converter, kind: Any) -> Hook:
    """Generate a function for this one model, as attrs and cattrs do; it costs a third of a loop.

    The function looks up each field in turn and creates the object without its `__init__`, which would set
    each field a second time. It calls a hook only for a value that does not have the right class already. If
    only a few of many fields are present, as in the answer to a write, it loops over those instead.
    """
    fields = list(_fields(kind, converter))
    wires = {field.wire: (field.name, field.hook) for field in fields}
    names: dict[str, Any] = {**_NAMES, "kind": kind, "wires": wires}
    all_none = "".join(f"made.{field.name} = " for field in fields) + "None"
    lines = [
        "def structure(value, _):",
        "    if value.__class__ is not dict:",
        "        raise StructureError('an object', value)",
        "    made, get, missing = new(kind), value.get, 0",
        "    made.problems = ()",
        f"    if len(value) <= {len(fields) // 4}:",
        f"        {all_none}",
        "        return read_few(made, value, wires)",
        "    try:",
    ]
    for number, field in enumerate(fields):
        names |= {f"hook{number}": field.hook, f"usual{number}": getattr(field.hook, "usual", None)}
        lines += [f"        {line}" for line in _set_field(field, number)]
    lines += [
        "    except StructureError as mismatch:",
        "        mismatch.steps.append('.' + wire)",
        "        made = None",  # a half-built object: its repr would fail in tracebacks that show variables
        "        raise",
        # Null counts as missing; if there is one, all the names are checked.
        f"    if len(value) + missing == {len(fields)}:",
        "        made.extra = NO_EXTRA",
        "    else:",
        "        made.extra = {k: v for k, v in value.items() if k not in wires} or NO_EXTRA",
        "    return made",
    ]
    exec("\n".join(lines), names)
    structure: Hook = names["structure"]
    return structure


def _read_few(made: Any, value: dict[str, Any], wires: Mapping[str, tuple[str, Hook]]) -> Any:
    """Set the fields that are present on an object whose fields are all None."""
    extra: dict[str, Any] = {}
    for wire, item in value.items():
        if wire not in wires:
            extra[wire] = item
        elif item is not None:
            name, hook = wires[wire]
            try:
                setattr(made, name, hook(item, None))
            except StructureError as mismatch:
                mismatch.steps.append(f".{wire}")
                raise
    made.extra = extra or NO_EXTRA
    return made


# The globals of generated functions; `fen` does what `Fen` does, without its checks.
_NAMES: Final[Mapping[str, Any]] = {
    "StructureError": StructureError, "read_few": _read_few,
    "new": object.__new__, "NO_EXTRA": NO_EXTRA, "Fen": Fen, "fen": int.__new__,
    "EPOCH": EPOCH, "MILLISECOND": MILLISECOND,
}  # fmt: skip


class _Field(typing.NamedTuple):
    """A field of a model: its possible types without null, and the hook for values other than null."""

    wire: str
    name: str
    arms: list[Any]
    hook: Hook


def _fields(kind: Any, converter: Converter) -> Iterator[_Field]:
    hints = typing.get_type_hints(kind, include_extras=True)
    for wire, field in wire_fields(kind).items():
        arms = arms_of(hints[field.name])
        hook = converter.get_structure_hook(arms[0] if len(arms) == 1 else hints[field.name])
        yield _Field(wire, field.name, arms, hook)


def _set_field(field: _Field, number: int) -> list[str]:
    """The lines of a generated function that set one field from its JSON value."""
    lines: list[str] = []
    for condition, made in _at_once(field, number).items():
        lines += [f"{'elif' if lines else 'if'} {condition}:", f"    made.{field.name} = {made}"]
    return [
        f"item = get({field.wire!r})",
        *lines,
        f"{'elif' if lines else 'if'} item is None:",
        f"    made.{field.name} = None",
        "    missing += 1",
        "else:",
        f"    wire = {field.wire!r}",
        f"    made.{field.name} = hook{number}(item, None)",
    ]


def _at_once(field: _Field, number: int) -> dict[str, str]:
    """The conditions under which no hook is needed, with the expression for the value."""
    if field.arms == [Fen]:
        return {"item.__class__ is int": "fen(Fen, item)"}
    if field.arms == [datetime]:
        return {"item.__class__ is int and 10**11 <= item < 10**13": "EPOCH + item * MILLISECOND"}
    if hasattr(field.hook, "usual"):
        return {f"item.__class__ is str and item in usual{number}": f"usual{number}[item]"}
    if len(field.arms) == 1 and _is_id(field.arms[0]):
        return {"item.__class__ is str": "item", "item.__class__ is int": "str(item)"}
    return {f"item.__class__ is {plain.__name__}": "item" for plain in _plain_classes(field.arms)}


def _page_hook(converter: Converter, kind: type[PageModel]) -> Hook:
    """Read a bare list, or an object with the list under one of the usual names.

    Anything else is an error, not an empty page: an empty page would end an iteration and lose everything
    after it.
    """
    items_hook = converter.get_structure_hook(typing.get_type_hints(kind, include_extras=True)["items"])
    return lambda value, _: read_page(kind, value, items_hook)


def read_page(kind: type[PageModel], value: Any, items_hook: Hook) -> Any:
    """Build a page whose list of items is read by `items_hook`."""
    if value.__class__ is list:
        return kind(items=items_hook(value, None))
    if value.__class__ is not dict:
        raise StructureError("a list or an object with a list", value)
    where = next((name for name in LIST_FIELDS if value.get(name).__class__ is list), None)
    if where is None:
        raise StructureError(f"a list in one of {', '.join(LIST_FIELDS)}", value)
    extra = {name: item for name, item in value.items() if name != where}
    try:
        items = items_hook(value[where], None)
    except StructureError as mismatch:
        mismatch.steps.append(f".{where}")
        raise
    return kind(items=items, total=_total(extra), extra=extra)


def _total(others: Mapping[str, Any]) -> int | None:
    """The total number of items, if a field next to the list states it."""
    return next((others[name] for name in TOTAL_FIELDS if others.get(name).__class__ is int), None)


def _list_hook(converter: Converter, kind: Any) -> Hook:
    (item_kind,) = typing.get_args(kind)
    hook = converter.get_structure_hook(item_kind)

    def structure(value: Any, _: Any) -> Any:
        if value.__class__ is not list:
            raise StructureError("a list", value)
        items: list[Any] = []
        try:
            for item in value:
                items.append(hook(item, None))
        except StructureError as mismatch:
            mismatch.steps.append(f"[{len(items)}]")
            raise
        return items

    return structure


def _union_hook(converter: Converter, kind: Any) -> Hook:
    """`T | None` is a T that may be null; the JSON type of a value selects among other unions."""
    arms = [arm for arm in typing.get_args(kind) if arm is not types.NoneType]
    open_enum = next((arm for arm in arms if _is_open_enum(arm)), None)
    if open_enum is not None:
        return _open_enum_hook(open_enum)
    if len(arms) == 1:
        hook = converter.get_structure_hook(arms[0])
        return lambda value, _: None if value is None else hook(value, None)
    by_class = {
        json_class: converter.get_structure_hook(arm) for arm in arms for json_class in _json_classes(arm)
    }
    expected = " or ".join(_JSON_NAMES.get(json_class, json_class.__name__) for json_class in by_class)

    def structure(value: Any, _: Any) -> Any:
        if value is None:
            return None
        hook = by_class.get(value.__class__)
        if hook is None:
            raise StructureError(expected, value)
        return hook(value, None)

    return structure


def _open_enum_hook(kind: type[OpenEnum]) -> Hook:
    # A cache of the usual spellings, because an enumeration looks up its members in Python code.
    usual = {spelling: kind.read(spelling) for spelling in _spellings(kind)}

    def structure(value: Any, _: Any) -> Any:
        if value is None:
            return None
        if value.__class__ is not str and value.__class__ is not int:
            raise StructureError("text or a whole number", value)
        return usual[value] if value in usual else kind.read(value)

    open_enum: Any = structure
    open_enum.usual = usual
    return structure


def _spellings(kind: Any) -> Iterator[Any]:
    for member in kind:
        yield member.value
        yield str(member.value)


def is_list(kind: Any) -> bool:
    """Whether this is a list of something."""
    return typing.get_origin(kind) is list


def _is_union(kind: Any) -> bool:
    return typing.get_origin(kind) in (Union, types.UnionType)


def _is_open_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, OpenEnum)


def is_model(kind: Any) -> bool:
    """Whether this is a model, and not a page of them."""
    return isinstance(kind, type) and issubclass(kind, Model) and not issubclass(kind, PageModel)


def is_page(kind: Any) -> bool:
    """Whether this is a page of a list."""
    return isinstance(kind, type) and issubclass(kind, PageModel)


def _is_id(kind: Any) -> bool:
    return typing.get_origin(kind) is Annotated and any(
        isinstance(mark, IdMark) for mark in typing.get_args(kind)[1:]
    )


def arms_of(hint: Any) -> list[Any]:
    """The types that a field may have, without null."""
    return [arm for arm in typing.get_args(hint) if arm is not types.NoneType] if _is_union(hint) else [hint]


def _plain_classes(arms: list[Any]) -> list[type[Any]]:
    """The JSON types that need no conversion for a field of these types."""
    plain = [str if _is_id(arm) else arm for arm in arms]
    return plain if all(kind in (str, int, bool) for kind in plain) else []


def _json_classes(kind: Any) -> tuple[type[Any], ...]:
    if is_list(kind):
        return (list,)
    if isinstance(kind, type) and issubclass(kind, Model):
        return (dict,)
    if kind is Decimal:
        return (int, Decimal)
    if isinstance(kind, type) and issubclass(kind, bool | int | str | dict):
        return (next(base for base in (bool, int, str, dict) if issubclass(kind, base)),)
    return (str,)


def _exactly(kind: type[Any]) -> Hook:
    def structure(value: Any, _: Any) -> Any:
        if value.__class__ is not kind:
            raise StructureError(_JSON_NAMES[kind], value)
        return value

    return structure


def _id(value: Any, _: Any) -> str:
    if value.__class__ is str or value.__class__ is int:
        return str(value)
    raise StructureError("an id as text or whole number", value)


def _fen(value: Any, _: Any) -> Fen:
    if value.__class__ is int:
        return Fen(value)
    if value.__class__ is str and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 20:
        return Fen(value)
    raise StructureError("whole fen", value)


def _decimal(value: Any, _: Any) -> Decimal:
    if value.__class__ is Decimal or value.__class__ is int:
        return Decimal(value)
    if value.__class__ is str and _DECIMAL.fullmatch(value):
        return Decimal(value)
    raise StructureError("a decimal number", value)


def _moment(value: Any, _: Any) -> datetime | None:
    if value == "":
        return None  # the vendor's samples have empty text instead of a missing date
    if value.__class__ is str or value.__class__ is int:
        try:
            return parse_moment(value)
        except (ValueError, OverflowError):
            pass
    raise StructureError("a time (epoch ms, yyyyMMddHHmmssSSSZ or yyyy-MM-dd HH:mm:ss)", value)


_JSON_NAMES: dict[type[Any], str] = {
    str: "text",
    int: "a whole number",
    bool: "true or false",
    dict: "an object",
    list: "a list",
    Decimal: "a number with a fraction",
    types.NoneType: "null",
}
_PLAIN_HOOKS: dict[Any, Hook] = {
    **{kind: _exactly(kind) for kind in (str, int, bool, dict)},
    Fen: _fen,
    Decimal: _decimal,
    datetime: _moment,
}


def _json_name(value: Any) -> str:
    kind: type[Any] = type(value)
    return _JSON_NAMES.get(kind, kind.__name__)
