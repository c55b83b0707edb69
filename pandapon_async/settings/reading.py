"""Convert values from a file or the environment to the types of the attrs fields.

The attrs classes are the only schema: cattrs finds the hook for each field's type. The hooks are ours for two
reasons: a text from the environment ("404,500", "none", "true") must mean the same as the value in TOML, and
a message must name the place and never quote another library.
"""

from __future__ import annotations

import collections.abc
import functools
import os
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import attrs

from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.errors import ConfigurationError
from pandapon_async.plain_text import meant
from pandapon_async.settings.vendor import signer_of

if TYPE_CHECKING:
    from cattrs import Converter

__all__ = ["Given", "Unusable", "hints_of", "structure"]

T = TypeVar("T")
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?", re.ASCII)
_FLAGS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


@attrs.frozen
class Given:
    """A value that a program passed: used unchanged and checked by its field."""

    value: Any = attrs.field(repr=False)


class Unusable(Exception):
    """A value that a field does not accept. `path` leads to the field; `named`: the reason names it."""

    def __init__(self, reason: str, path: tuple[str, ...] = (), *, named: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = path
        self.named = named

    def inside(self, name: str) -> Unusable:
        """The same error with one more step at the front of its path."""
        return Unusable(self.reason, (name, *self.path), named=self.named)


def structure(tree: Mapping[str, Any], kind: type[T]) -> T:
    """Build an attrs object from a tree of values; raises Unusable."""
    made: T = _converter().structure(tree, kind)
    return made


def hints_of(kind: Any) -> Mapping[str, Any]:
    """The types of the fields that can be set; a field that only Python can set is Any."""
    return _hints(kind)


@functools.cache
def _hints(kind: Any) -> Mapping[str, Any]:
    only_python = {field.name for field in attrs.fields(kind) if field.metadata.get("python_only")}
    later = {"Journal": object}  # imported for type checkers only
    hints = typing.get_type_hints(kind, localns=later)
    given = {field.name: hints[field.name] for field in attrs.fields(kind) if field.init}
    return {name: Any if name in only_python else hint for name, hint in given.items()}


@functools.cache
def _converter() -> Converter:
    from cattrs import Converter

    converter = Converter(detailed_validation=False)

    def options(kind: type[Any]) -> Callable[[Any, Any], Any]:
        return lambda value, _: _options(converter, value, kind)

    converter.register_structure_hook_factory(attrs.has, options)
    converter.register_structure_hook(DatabaseUrl, lambda value, _: _database(value))
    converter.register_structure_hook(bool, lambda value, _: _flag(value))
    converter.register_structure_hook(int, lambda value, _: _whole(value))
    converter.register_structure_hook(float, lambda value, _: _number(value))
    converter.register_structure_hook(str, lambda value, _: _text(value))
    by_origin: tuple[tuple[Any, Callable[[Any, Any], Any]], ...] = (
        (Literal, lambda value, hint: _choice(value, typing.get_args(hint))),
        (frozenset, lambda value, _: _codes(value)),
        (tuple, lambda value, _: tuple(_text(one) for one in _listed(value))),
        (collections.abc.Callable, lambda value, _: _signer(value)),
        (collections.abc.Mapping, functools.partial(_table, converter)),
        (types.UnionType, functools.partial(_either, converter)),
        (typing.Union, functools.partial(_either, converter)),
    )
    for origin, hook in by_origin:
        converter.register_structure_hook_func(functools.partial(_comes_from, origin), hook)
    return converter


def _comes_from(origin: Any, hint: Any) -> bool:
    return typing.get_origin(hint) is origin


def _options(converter: Converter, value: Any, kind: type[Any]) -> Any:
    if isinstance(value, kind):
        return value
    if not isinstance(value, Mapping):
        names = ", ".join(list(hints_of(kind))[:3])
        raise Unusable(f"must be a section with names such as {names}, not {_shown(value)}")
    hints, given = hints_of(kind), {}
    for name, one in value.items():
        if isinstance(one, Given):
            given[name] = one.value
            continue
        if name not in hints:
            raise Unusable(f"there is no setting {name}{meant(name, hints)}", (name,), named=True)
        try:
            given[name] = converter.structure(one, hints[name])
        except Unusable as wrong:
            raise wrong.inside(name) from None
    return _made(kind, given)


def _made(kind: type[Any], given: dict[str, Any]) -> Any:
    """Build the object; if a single field is the cause of a failure, name that field."""
    try:
        return kind(**given)
    except ConfigurationError as error:
        reason = str(error)
    for name, value in given.items():
        try:
            kind(**{name: value})
        except ConfigurationError:
            raise Unusable(reason, (name,), named=True) from None
    raise Unusable(reason, named=True)


def _either(converter: Converter, value: Any, hint: Any) -> Any:
    """A union: None, one of our objects, or a value of the first type that can be read from text."""
    arms = [arm for arm in typing.get_args(hint) if arm is not type(None)]
    optional = len(arms) < len(typing.get_args(hint))
    if optional and (value is None or (isinstance(value, str) and value.strip().lower() == "none")):
        return None
    if object in arms or os.PathLike in [
        typing.get_origin(arm) for arm in arms
    ]:  # a path, or an object of ours
        return _text(value) if isinstance(value, int | float | list | dict) else value
    try:
        return converter.structure(value, arms[0])
    except Unusable as wrong:
        optional = optional and not wrong.path and not wrong.named
        reason = f"{wrong.reason}, or none" if optional else wrong.reason
        raise Unusable(reason, wrong.path, named=wrong.named) from None


def _table(converter: Converter, value: Any, hint: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise Unusable(f"must be a section of its own, not {_shown(value)}")
    found = {}
    for name, one in value.items():
        try:
            found[name] = converter.structure(one, typing.get_args(hint)[1])
        except Unusable as wrong:
            raise wrong.inside(name) from None
    return found


def _signer(value: Any) -> Any:
    if not isinstance(value, str) and not callable(value):
        raise Unusable(f"must be the name of a built-in rule, not {_shown(value)}")
    try:
        return signer_of(value)
    except ConfigurationError as error:
        raise Unusable(str(error), named=True) from None


def _database(value: Any) -> DatabaseUrl:
    if not isinstance(value, str):
        raise Unusable(f"must be a text, not {_shown(value)}")
    try:
        return DatabaseUrl(value)
    except ValueError as error:  # shows no password
        raise Unusable(str(error)) from None


def _choice(value: Any, allowed: tuple[Any, ...]) -> Any:
    texts = {str(one): one for one in allowed}
    if not isinstance(value, str | int) or isinstance(value, bool) or str(value) not in texts:
        raise Unusable(f"{_shown(value)} is not one of {', '.join(texts)}{meant(str(value), texts)}")
    return texts[str(value)]


def _flag(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    found = _FLAGS.get(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        raise Unusable(f"{_shown(value)} is not true or false")
    return found


def _whole(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch("[0-9]{1,12}", value.strip(), re.ASCII):
        return int(value)
    raise Unusable(f"{_shown(value)} is not a whole number such as 20")


def _number(value: Any) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value)
    raise Unusable(f"{_shown(value)} is not a number such as 20 or 0.5")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unusable(f"{_shown(value)} is not a text; put it in quotation marks")
    return value


def _code(value: Any) -> int | str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise Unusable(f"{_shown(value)} is not a code; write a number, or a text such as an inner errorCode")
    return value


def _codes(value: Any) -> frozenset[int | str]:
    """Split one text into codes. Digits become a number (the envelope's `code`) unless they are quoted."""
    if not isinstance(value, str):
        return frozenset(_code(one) for one in _listed(value))
    found = _listed(value)
    digits = re.compile("-?[0-9]{1,18}", re.ASCII)
    return frozenset(int(one) if digits.fullmatch(one) else one.strip("\"'") for one in found)


def _listed(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple | frozenset | set):
        return list(value)
    return [value]


def _shown(value: Any) -> str:
    """A value as a message may show it: short, and without a possible password."""
    if isinstance(value, str) and "@" in value:
        return "the value"
    if isinstance(value, bool):
        return str(value).lower()
    text = repr(value) if isinstance(value, str | int | float) else f"a {type(value).__name__}"
    return text if len(text) <= 40 else f"{text[:36]}...{text[-1]}"
