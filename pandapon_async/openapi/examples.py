"""Valid arguments for any declared call, made from its rules alone.

Whatever has to call something, no matter what, takes its arguments from here: the examples of the
OpenAPI document, the tests of the declarations, the contract tests against the sandbox.
"""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pandapon_async.declare import fields as rules
from pandapon_async.declare.arguments import ObjectField, Parameter, encode_arguments, parameters_of_class
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.images import Image
from pandapon_async.money import Fen

__all__ = ["PNG", "example", "example_arguments", "nested_class", "wire_example"]

PNG = b"\x89PNG\r\n\x1a\n" + bytes(24)
"""The smallest that passes for an image by its first bytes."""


def example_arguments(endpoint: Endpoint, *, optional: bool = True) -> dict[str, Any]:
    """One valid value for every argument of the call, or with optional=False for the required ones."""
    return _examples(endpoint.parameters, optional)


def wire_example(endpoint: Endpoint, *, optional: bool = True) -> dict[str, Any]:
    """The same as it travels: JSON values by wire name, an image as base64."""
    encoded = encode_arguments(endpoint.parameters, example_arguments(endpoint, optional=optional))
    return {
        wire: base64.b64encode(value.read()).decode() if isinstance(value, Image) else value
        for wire, value in encoded.items()
    }


def _examples(parameters: tuple[Parameter, ...], optional: bool) -> dict[str, Any]:
    return {
        parameter.name: example(parameter.rule, optional=optional)
        for parameter in parameters
        if parameter.always_sent or optional
    }


def example(rule: rules.Field, *, optional: bool = True) -> Any:
    """A value that the rule accepts."""
    if isinstance(rule, ObjectField):
        kind = nested_class(rule)
        return kind(**_examples(parameters_of_class(kind), optional))
    if isinstance(rule, rules.ListField):
        return [example(rule.item, optional=optional) for _ in range(max(rule.minimum, 1))]
    if isinstance(rule, rules.JsonTextField):
        return example(rule.rule, optional=optional)
    return _plain_example(rule)


def nested_class(rule: ObjectField) -> Any:
    """The request class that an object is an instance of."""
    return rule.kind if isinstance(rule.kind, type) else rule.kind()


def _plain_example(rule: rules.Field) -> Any:
    match rule:
        case rules.TextField():
            length = max(rule.minimum, min(7, rule.maximum or 7))
            return rule.example or ("example" * length)[:length]
        case rules.TextIdField():
            return rule.example
        case rules.IntegerIdField():
            return 2542285634920880794  # beyond 2**53, where a float would show
        case rules.IntegerField():
            return 1 if rule.minimum is None else rule.minimum
        case rules.NumberField():
            return max(rule.minimum, 1) if rule.decimals == 0 else Decimal("12.50")
        case rules.FenField():
            return Fen(1250)
        case rules.YuanField():
            return Decimal("12.50")
        case rules.BoolField():
            return True
        case rules.EnumField():
            return next(iter(rule.values))
        case rules.TimestampField():
            return datetime(2025, 2, 24, 6, 52, 20, tzinfo=UTC)
        case rules.ImageField():
            return PNG
        case rules.JsonField():
            return {"price": "asc"}
    raise AssertionError(f"no example for {type(rule).__name__}: add one")
