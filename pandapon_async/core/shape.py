"""Answers of a known shape, read without a dictionary for each of their objects.

The answers to one call have the same fields in the same order nearly every time. So after a few of them a
`Shape` is made of the latest: structs of msgspec, which are read three times as fast as dictionaries and
are of no interest to the garbage collector, and functions that make the models of them. Whatever does not
fit (a field nobody knows, another order, blanks, a name that comes twice, data of the wrong type) is read
in the general way, as if there were no shape: what the caller gets is the same in every case. A list of 200
takes 40 % less.
"""

from __future__ import annotations

import contextlib
import itertools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from msgspec import UNSET, defstruct

from pandapon_async.core.collector import no_collection
from pandapon_async.core.envelope import Envelope, read_envelope, text_of
from pandapon_async.core.json_codec import LARGE, decoder, loads
from pandapon_async.core.model import PageModel
from pandapon_async.core.structure import (
    LIST_FIELDS,
    NAMES,
    is_model,
    model_fields,
    set_field,
    total_of,
    wire_fields,
)

__all__ = ["Reader", "Shape", "Shaped"]

OFTEN = 20  # answers before there is a shape
PATIENCE = 10  # answers in a row, or one in two for long, that do not fit, before it is given up
LATER = 1_000  # answers before another one is made

ENVELOPE = {
    "requestId": "request_id",
    "code": "code",
    "developId": "develop_id",
    "msg": "msg",
    "data": "data",
}
GIVEN = "item is not None and item is not UNSET"
SUCCESS = "success"  # looked for in the data of every answer, see `core.outcome`


@attrs.define(eq=False)
class Shaped:
    """The data of an answer, as structs: `value` makes the model of it, once; `plain` the JSON that came."""

    _body: bytes = attrs.field(repr=False)
    _structs: Any = attrs.field(repr=False)
    _make: Callable[[Any], Any] | None = attrs.field(repr=False)

    def value(self) -> Any:
        """The model. Raises StructureError if the data does not fit it; the general way says where."""
        structs, make = self._structs, self._make
        self._structs = self._make = None  # what is left can be pickled, and is small
        assert make is not None
        if len(self._body) < LARGE:
            return make(structs)
        with no_collection():
            return make(structs)

    def plain(self) -> Any:
        """The same as plain JSON values."""
        return loads(self._body)["data"]


class Shape:
    """How the answers to one call usually look: like this `document`, whose data becomes a `kind`.

    Raises NoShape if that cannot be said of it.
    """

    def __init__(self, kind: Any, document: Mapping[str, Any]) -> None:
        writer = _Writer()
        data, make = writer.data(kind, document["data"])
        wires = _in_order(document, ENVELOPE)
        self._decode = decoder(
            _struct([(ENVELOPE.get(wire, ""), wire, data if wire == "data" else Any) for wire in wires])
        )
        self._make: Callable[[Any], Any] = writer.names[make]

    def read(self, body: bytes) -> Envelope | None:
        """The envelope of an answer, its data as `Shaped`; None if the answer is of another shape."""
        if len(body) < LARGE:
            whole = self._decode(body)
        else:
            with no_collection():
                whole = self._decode(body)
        if whole is None or type(whole.code) is not int:
            return None
        no_data = whole.data is None or whole.data is UNSET
        return Envelope(
            text_of(whole.request_id),
            whole.code,
            text_of(whole.develop_id),
            text_of(whole.msg),
            None if no_data else Shaped(body, whole.data, self._make),
        )


class Reader:
    """Reads the answers to one call; makes itself a shape of them, and gives it up if it does not fit."""

    def __init__(self, kind: Any) -> None:
        self._kind = kind
        self._shape: Shape | None = None
        self._until = OFTEN  # answers until there is a look for a shape
        self._patience = PATIENCE

    def read(self, body: bytes) -> Envelope:
        """The envelope of an answer. Raises ValueError, as `read_envelope` does."""
        if self._shape is not None:
            envelope = self._shape.read(body)
            if envelope is not None:
                self._patience = min(PATIENCE, self._patience + 1)
                return envelope
            self._patience -= 1
            if self._patience == 0:
                self._shape, self._until, self._patience = None, LATER, PATIENCE
            return read_envelope(body)
        envelope = read_envelope(body)
        self._until -= 1
        if self._until <= 0 and envelope.data:
            try:
                self._shape = Shape(self._kind, loads(body))
            except NoShape:
                self._until = LATER
        return envelope


class NoShape(Exception):
    """This answer is not one to go by."""


class _Writer:
    """Writes the functions that make models of structs, into one namespace."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {**NAMES, "UNSET": UNSET, "total_of": total_of}
        self._numbers = itertools.count()

    def data(self, kind: Any, sample: Any) -> tuple[Any, str]:
        """The type on the wire, and the name of the function that makes a `kind` of it."""
        if isinstance(kind, type) and issubclass(kind, PageModel) and isinstance(sample, list | dict):
            return self._page(kind, sample)
        if not is_model(kind) or not isinstance(sample, dict) or SUCCESS in wire_fields(kind):
            raise NoShape
        struct, make = self._model(kind, sample)
        return struct | None, make

    def _page(self, kind: Any, sample: Any) -> tuple[Any, str]:
        (item,) = typing.get_args(typing.get_type_hints(kind, include_extras=True)["items"])
        where = _place_of_items(sample)
        items = sample if where is None else sample[where]
        if not is_model(item) or not _has_objects(items):
            raise NoShape
        struct, make_item = self._model(item, items[0])
        many = types.GenericAlias(list, (struct,))
        self.names["page"] = kind
        if where is None:
            self._write(
                "def make_page(value):", f"    return page(items=[{make_item}(one) for one in value])"
            )
            return many | None, "make_page"
        self.names["others"] = {wire: f"f{n}" for n, wire in enumerate(sample) if wire != where}
        self._write(
            "def make_page(value):",
            "    extra = {wire: getattr(value, name) for wire, name in others.items()}",
            "    extra = {wire: item for wire, item in extra.items() if item is not UNSET}",
            f"    items = value.f{list(sample).index(where)}",
            "    if items is UNSET:",
            "        raise StructureError('a list', None)",
            f"    return page(items=[{make_item}(one) for one in items], total=total_of(extra), extra=extra)",
        )
        return _struct([("", wire, many if wire == where else Any) for wire in sample]) | None, "make_page"

    def _model(self, kind: Any, sample: Mapping[str, Any]) -> tuple[Any, str]:
        """The struct of a model, and the name of the function that makes the one of the other."""
        fields = {field.wire: field for field in model_fields(kind)}
        if not sample.keys() <= fields.keys():
            raise NoShape  # unknown fields are for the general way, which keeps them
        make, kind_name = f"make{next(self._numbers)}", f"kind{next(self._numbers)}"
        lines = [f"def {make}(value):", f"    made = new({kind_name})"]
        columns = []
        for position, wire in enumerate(_in_order(sample, fields)):
            field, number = fields[wire], next(self._numbers)
            on_wire, at_once = self._field(field.arms, sample.get(wire))
            columns.append(("", wire, on_wire))
            self.names |= {f"hook{number}": field.hook, f"usual{number}": getattr(field.hook, "usual", None)}
            steps = set_field(field, number, at_once, GIVEN)
            lines += [f"    item = value.f{position}", *(f"    {step}" for step in steps)]
        self.names[kind_name] = kind
        self._write(*lines, "    made.extra = NO_EXTRA", "    return made")
        return _struct(columns), make

    def _field(self, arms: list[Any], sample: Any) -> tuple[Any, dict[str, str] | None]:
        """The type of a field on the wire, and what is made at once of the structs in it."""
        if len(arms) != 1:
            return Any, None
        (kind,) = arms
        items = typing.get_args(kind) if typing.get_origin(kind) is list else ()
        with contextlib.suppress(NoShape):
            if is_model(kind) and isinstance(sample, dict):
                struct, make = self._model(kind, sample)
                return struct | None, {GIVEN: f"{make}(item)"}
            if items and is_model(items[0]) and _has_objects(sample):
                struct, make = self._model(items[0], sample[0])
                many = types.GenericAlias(list, (struct,))
                return many | None, {GIVEN: f"[{make}(one) for one in item]"}
        return Any, None

    def _write(self, *lines: str) -> None:
        exec("\n".join(lines), self.names)


def _struct(columns: list[tuple[str, str, Any]]) -> Any:
    """A struct with these fields (attribute, or "" for f0, f1...; wire name; type); any may be missing."""
    named = [(name or f"f{position}", wire, kind) for position, (name, wire, kind) in enumerate(columns)]
    return defstruct(
        "RawResponse",
        [(name, kind, UNSET) for name, _, kind in named],
        rename={name: wire for name, wire, _ in named},
        gc=False,
        forbid_unknown_fields=True,
    )


def _place_of_items(sample: Any) -> str | None:
    """Under which name a page has its list; None if it is the list."""
    if isinstance(sample, list):
        return None
    names = [name for name in LIST_FIELDS if name in sample]
    if len(names) != 1 or SUCCESS in sample:
        raise NoShape
    return names[0]


def _has_objects(sample: Any) -> bool:
    return isinstance(sample, list) and bool(sample) and isinstance(sample[0], dict)


def _in_order(sample: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """The names of a sample as they came, then those that it lacks."""
    return [*sample, *(name for name in known if name not in sample)]
