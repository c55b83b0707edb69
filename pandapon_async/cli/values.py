"""Parse a call's arguments from the shell by the rules of its declaration.

Only the form is read here: text becomes the type that the rule accepts. The rule itself then checks the
value, so a shell and a program get the same message.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pandapon_async.core.json_codec import loads
from pandapon_async.declare import fields as rules
from pandapon_async.declare.arguments import ObjectField, Parameter, parameters_of_class, unknown_argument
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.openapi.examples import nested_class

__all__ = ["read_arguments", "read_document"]

_WHOLE = re.compile("-?[0-9]{1,40}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,40}\.[0-9]{1,40}", re.ASCII)


def read_arguments(
    parameters: tuple[Parameter, ...], typed: Iterable[str], document: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments by name, from `key=value` texts and a JSON object; the texts take precedence.

    Keys are Python names or wire names. Raises InvalidArgumentError, which names the wrong argument.
    """
    known = {key: parameter for parameter in parameters for key in (parameter.wire, parameter.name)}
    given: dict[str, Any] = {}
    for key, value in document.items():
        parameter = _known(known, key)
        given[parameter.name] = _explained(parameter.name, _from_json, parameter.rule, value)
    for key, texts in _by_key(typed).items():
        parameter = _known(known, key)
        given[parameter.name] = _explained(parameter.name, _from_texts, parameter.rule, texts)
    return given


def _by_key(typed: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for text in typed:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InvalidArgumentError("write arguments as key=value, such as refund_id=TQ201808300000001")
        found.setdefault(key, []).append(value)
    return found


def _known(known: Mapping[str, Parameter], key: str) -> Parameter:
    if key not in known:
        raise unknown_argument(key, [parameter.name for parameter in known.values()])
    return known[key]


def _explained(name: str, read: Any, rule: rules.Field, value: Any) -> Any:
    try:
        return read(rule, value)
    except ValueError as error:
        raise InvalidArgumentError(f"{name} {error}", argument=name) from None


def _from_texts(rule: rules.Field, texts: list[str]) -> Any:
    """Read a value from one `key=value`, or a list from several of the same key."""
    while isinstance(rule, rules.JsonTextField):
        rule = rule.rule
    if isinstance(rule, rules.ListField):
        return _list(rule.item, texts)
    if len(texts) > 1:
        raise ValueError("is given more than once, but takes one value")
    return _from_text(rule, texts[0])


def _list(item: rules.Field, texts: list[str]) -> list[Any]:
    """Return items from a repeated key (each text is one), or from one text: JSON or comma separated."""
    (text, *more) = texts
    if more:
        return [_from_text(item, one) for one in texts]
    if text.lstrip().startswith("["):
        return [_from_json(item, one) for one in _json(text)]
    if isinstance(item, ObjectField | rules.JsonField):
        return [_from_text(item, text)]
    return [_from_text(item, one.strip()) for one in text.split(",")]


def _from_text(rule: rules.Field, text: str) -> Any:
    match rule:
        case ObjectField() | rules.JsonField():
            return _from_json(rule, _json(text))
        case rules.IntegerField() | rules.FenField():
            return _number(text)
        case rules.EnumField():
            takes_numbers = any(isinstance(member.value, int) for member in rule.values)
            return _number(text) if takes_numbers else text
        case rules.BoolField():
            if text not in ("true", "false"):
                raise ValueError("must be true or false")
            return text == "true"
        case rules.TimestampField():
            return _moment(text)
        case rules.ImageField():
            return Path(text).expanduser()
        case _:
            return text


def _from_json(rule: rules.Field, value: Any) -> Any:
    """Read a value from JSON: keys may be wire names, times and images are texts."""
    match rule:
        case rules.JsonTextField():
            return _from_json(rule.rule, value)
        case rules.ListField() if isinstance(value, list):
            return [_from_json(rule.item, item) for item in value]
        case ObjectField() if isinstance(value, dict):
            known = {one.wire: one for one in parameters_of_class(nested_class(rule))}
            by_name = {one.name: one for one in known.values()}
            found = {name: known.get(name) or by_name.get(name) for name in value}
            return {
                one.name if one else name: _from_json(one.rule, value[name]) if one else value[name]
                for name, one in found.items()
            }
        case rules.TimestampField() if isinstance(value, str):
            return _moment(value)
        case rules.ImageField() if isinstance(value, str):
            return Path(value).expanduser()
        case _:
            return value


def _json(text: str) -> Any:
    try:
        return loads(text.encode())
    except ValueError as error:
        raise ValueError(f"must be JSON ({error})") from None


def _number(text: str) -> int | Decimal:
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return Decimal(text)  # the rule refuses it, because it knows the accepted form
    raise ValueError("must be a whole number")


def _moment(text: str) -> datetime | int:
    if _WHOLE.fullmatch(text):
        return int(text)
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(
            "must be a time such as 2025-02-24T14:52:20+08:00, or epoch milliseconds (12 to 14 digits)"
        ) from None


def read_document(source: str | None) -> Mapping[str, Any]:
    """Read the object of `--body`: a text, a file (`@file`) or stdin (`-`)."""
    if source is None:
        return {}
    try:
        if source == "-":
            text = sys.stdin.buffer.read()
        elif source.startswith("@"):
            text = Path(source[1:]).read_bytes()
        else:
            text = source.encode()
        value = loads(text)
    except OSError as error:
        raise InvalidArgumentError(f"--body cannot be read: {error.strerror}", argument="--body") from None
    except ValueError as error:
        raise InvalidArgumentError(f"--body must be a JSON object ({error})", argument="--body") from None
    if not isinstance(value, dict):
        raise InvalidArgumentError("--body must be a JSON object", argument="--body")
    return value
