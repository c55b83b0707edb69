"""The text of `pandapon call NAME --help`, from the declaration."""

from __future__ import annotations

import inspect
import json
import shlex
from typing import Any

from pandapon_async.core.outcome import Safety
from pandapon_async.declare import fields as rules
from pandapon_async.declare.arguments import ObjectField, Parameter, parameters_of_class
from pandapon_async.declare.endpoint import Endpoint, Evidence, Stage
from pandapon_async.images import Image
from pandapon_async.openapi.examples import example, nested_class

__all__ = ["SAFETY", "describe", "help_text"]

SAFETY = {
    Safety.READ: "changes nothing",
    Safety.REPEATABLE: "a repeat is harmless",
    Safety.CHECKED: "changes something; read the state before a repeat",
    Safety.ONCE: "creates something; never sent twice by itself",
    Safety.NEVER_AUTOMATIC: "releases money",
}


def help_text(endpoint: Endpoint, name: str) -> str:
    """Return everything known about a call as plain text; `name` is the typed one."""
    lines = [
        f"pandapon call {name} [KEY=VALUE ...]",
        "",
        inspect.getdoc(endpoint.declaration) or "",
        "",
        "Arguments:" if endpoint.parameters else "Takes no arguments.",
        *(line for parameter in endpoint.parameters for line in _argument(parameter)),
        "",
        f"Request:  {endpoint.method} {endpoint.path}",
        f"Safety:   {endpoint.safety} ({SAFETY[endpoint.safety]}{_flag(endpoint.safety)})",
        f"Page:     {endpoint.page}",
    ]
    if endpoint.stage is not Stage.RELEASED:
        lines.append(f"Stage:    {endpoint.stage}")
    if endpoint.evidence is not Evidence.DOCUMENTED:
        how = "; needs --allow-inferred" if endpoint.evidence is Evidence.INFERRED else ""
        lines.append(f"Evidence: {endpoint.evidence} (no page of the vendor shows the path{how})")
    lines += ["", "Example:", f"  {_example(endpoint, name)}"]
    return "\n".join(lines)


def _flag(safety: Safety) -> str:
    if safety is Safety.NEVER_AUTOMATIC:
        return "; needs --yes-this-moves-money"
    return "" if safety.repeatable else "; asks first, needs --yes in scripts"


def _argument(parameter: Parameter) -> list[str]:
    facts = ["required" if parameter.required else "optional"]
    if parameter.default is not None:
        facts = [f"default {parameter.default}"]
    also = f", also {parameter.wire}" if parameter.wire != parameter.name else ""
    return [
        f"  {parameter.name}",
        f"      {describe(parameter.rule)}",
        f"      {facts[0]}; in the {parameter.location}{also}",
    ]


def describe(rule: rules.Field) -> str:
    """Describe the accepted values of a rule.

    >>> describe(rules.ListField(rules.TextField(), 1, 5))
    'list of 1 to 5, comma separated or KEY repeated: text'
    """
    match rule:
        case rules.ListField():
            count = _range(rule.minimum, rule.maximum)
            how = "comma separated or KEY repeated"
            if isinstance(rule.item, ObjectField | rules.JsonField):
                how = "as JSON or KEY repeated"
            return f"list of {count}, {how}: {describe(rule.item)}"
        case rules.JsonTextField():
            return describe(rule.rule)
        case ObjectField():
            return f"JSON object {{{', '.join(map(_field, parameters_of_class(nested_class(rule))))}}}"
        case rules.TextField():
            return _text(rule)
        case rules.TextIdField() | rules.IntegerIdField():
            return f"id, such as {example(rule)}"
        case rules.IntegerField():
            bounds = "" if rule.minimum is None and rule.maximum is None else f", {_bounds(rule)}"
            return f"whole number{bounds}"
        case rules.EnumField():
            known = ", ".join(str(member.value) for member in rule.values)
            return f"one of {known}{' (or another that the vendor knows)' if rule.open else ''}"
        case rules.NumberField():
            decimals = f" with at most {rule.decimals} decimals" if rule.decimals else ", whole"
            return f"number{decimals}, at least {rule.minimum}"
        case rules.ImageField():
            return f"path of an image: {', '.join(rule.formats)}; at most {rule.maximum_bytes} bytes"
        case _:
            return _PLAIN[type(rule)]


_PLAIN: dict[type[Any], str] = {
    rules.FenField: "money in whole fen (1/100 yuan), such as 1250",
    rules.YuanField: "money in yuan, such as 12.50",
    rules.BoolField: "true or false",
    rules.TimestampField: "time: 2025-02-24T14:52:20+08:00 or epoch milliseconds",
    rules.JsonField: "JSON",
}


def _field(parameter: Parameter) -> str:
    return parameter.wire + ("" if parameter.required else "?")


def _text(rule: rules.TextField) -> str:
    if rule.pattern is not None:
        return f"text that matches {rule.pattern}" + (f", such as {rule.example}" if rule.example else "")
    if rule.maximum is None:
        return "text" if rule.minimum < 2 else f"text of at least {rule.minimum} characters"
    return f"text of {rule.minimum} to {rule.maximum} characters"


def _range(minimum: int, maximum: int | None) -> str:
    return f"at least {minimum}" if maximum is None else f"{minimum} to {maximum}"


def _bounds(rule: rules.IntegerField) -> str:
    if rule.minimum is None:
        return f"at most {rule.maximum}"
    return _range(rule.minimum, rule.maximum)


def _example(endpoint: Endpoint, name: str) -> str:
    """Return a valid command line with only the required arguments."""
    words = [f"{one.name}={_word(one.rule)}" for one in endpoint.parameters if one.required]
    return " ".join(["pandapon call", name, *words])


def _word(rule: rules.Field) -> str:
    value: Any = "proof.jpg" if isinstance(rule, rules.ImageField) else _wire(rule)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if isinstance(rule, rules.ListField) and not isinstance(rule.item, ObjectField | rules.JsonField):
        text = ",".join(map(str, value))
    return shlex.quote(text)


def _wire(rule: rules.Field) -> Any:
    """Return the wire form of an example, with the JSON text of a few fields decoded."""
    inner = rule.rule if isinstance(rule, rules.JsonTextField) else rule
    encoded = inner.encode(example(inner))
    return "" if isinstance(encoded, Image) else encoded
