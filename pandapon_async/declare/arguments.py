"""Read the arguments of a call or request class from its annotations, check them, and write them."""

from __future__ import annotations

import enum
import functools
import typing
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import attrs

from pandapon_async.core.model import Wire, camel
from pandapon_async.declare.fields import Field, ImageFile, JsonField
from pandapon_async.errors import InvalidArgumentError

__all__ = [
    "Location",
    "ObjectField",
    "Parameter",
    "encode_arguments",
    "object_schema",
    "open_images",
    "parameters_of_class",
    "rule_and_wire",
    "unknown_argument",
]


class Location(enum.StrEnum):
    """Where an argument goes."""

    PATH = "path"
    QUERY = "query"
    BODY = "body"


@attrs.define(frozen=True)
class Parameter:
    """One argument: its Python name, its wire name, its rule, where it goes."""

    name: str
    wire: str
    rule: Field
    location: Location
    required: bool
    default: Any = None

    @property
    def always_sent(self) -> bool:
        """Whether every request carries it: the pages require it, and this client may have a default."""
        return self.required or self.default is not None


@attrs.define(frozen=True)
class ObjectField:
    """An object: an instance of an attrs class whose fields have rules, or a mapping of its fields."""

    kind: Callable[[], type[Any]] | type[Any]

    def _class(self) -> Any:
        return self.kind if isinstance(self.kind, type) else self.kind()

    def encode(self, value: Any) -> dict[str, Any]:
        kind = self._class()
        if isinstance(value, Mapping):
            given: Mapping[str, Any] = value
        elif isinstance(value, kind):
            given = {field.name: getattr(value, field.name) for field in attrs.fields(kind)}
        else:
            raise ValueError(
                f"must be {kind.__name__} or a mapping of its fields, not {type(value).__name__}"
            )
        return encode_arguments(parameters_of_class(kind), given)

    def schema(self) -> dict[str, Any]:
        return object_schema(parameters_of_class(self._class()))


def rule_and_wire(name: str, hint: Any) -> tuple[Field, str]:
    """The rule and the wire name in an annotation; `| None` is ignored."""
    wire = camel(name)
    rule: Field | None = None
    pending = [hint]
    while pending:
        part = pending.pop()
        if typing.get_origin(part) is Annotated:
            inner, *marks = typing.get_args(part)
            for mark in marks:
                if isinstance(mark, Wire):
                    wire = mark.name
                elif hasattr(mark, "encode"):
                    rule = mark
            pending.append(inner)
        elif rule is None:
            pending.extend(one for one in typing.get_args(part) if typing.get_origin(one) is Annotated)
    return rule or JsonField(), wire


@functools.cache
def parameters_of_class(kind: Any) -> tuple[Parameter, ...]:
    """Read the fields of a request class like the arguments of a call."""
    hints = typing.get_type_hints(kind, include_extras=True)
    found = []
    for field in attrs.fields(kind):
        rule, wire = rule_and_wire(field.name, hints[field.name])
        required = field.default is attrs.NOTHING
        default = None if required else field.default
        found.append(Parameter(field.name, wire, rule, Location.BODY, required, default))
    return tuple(found)


def encode_arguments(parameters: tuple[Parameter, ...], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the wire form of the arguments by wire name; None counts as not passed.

    An image that is not passed as bytes becomes an `ImageFile`, which `open_images` opens later.

    Raises:
        InvalidArgumentError: An argument is unknown, missing or refused; the checks run in this order.
    """
    encoded: dict[str, Any] = {}
    known = 0
    problem: InvalidArgumentError | None = None
    for parameter in parameters:
        if parameter.name in given:
            known += 1
            value = given[parameter.name]
        else:
            value = parameter.default
        if problem is not None:
            continue
        if value is None:
            if parameter.required:
                problem = InvalidArgumentError(f"{parameter.name} is required", argument=parameter.name)
            continue
        try:
            encoded[parameter.wire] = parameter.rule.encode(value)
        except ValueError as error:
            problem = InvalidArgumentError(f"{parameter.name} {error}", argument=parameter.name)
    if known < len(given):
        names = [parameter.name for parameter in parameters]
        raise unknown_argument(min(map(str, given.keys() - set(names))), names)
    if problem is not None:
        raise problem
    return encoded


def unknown_argument(name: str, known: Iterable[str]) -> InvalidArgumentError:
    """Return the error for an argument that the call does not have, with a close match if there is one."""
    import difflib

    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(names) or 'none'}"
    return InvalidArgumentError(f"unknown argument {name}; {hint}", argument=name)


def open_images(parameters: tuple[Parameter, ...], encoded: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments with every `ImageFile` read and checked; blocks on file access."""
    opened = dict(encoded)
    for parameter in parameters:
        value = opened.get(parameter.wire)
        if isinstance(value, ImageFile):
            try:
                opened[parameter.wire] = value.open()
            except ValueError as error:
                raise InvalidArgumentError(f"{parameter.name} {error}", argument=parameter.name) from None
    return opened


def object_schema(parameters: tuple[Parameter, ...]) -> dict[str, Any]:
    """Return the JSON schema of an object of these parameters."""
    return {
        "type": "object",
        "properties": {parameter.wire: parameter.rule.schema() for parameter in parameters},
        "required": [parameter.wire for parameter in parameters if parameter.required],
    }
