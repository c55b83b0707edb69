"""Convert models to JSON values by wire name, as `pandapon call` prints them.

`Model.to_dict` uses the Python names instead. `core.structure` reads the same model from the result, unless
something was hidden. Fields that are None are left out. If no page of the vendor shows an answer, none of its
fields is marked as personal; then the names decide.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pandapon_async.core.json_values import is_personal, scalar
from pandapon_async.core.model import Model
from pandapon_async.core.structure import wire_fields

__all__ = ["HIDDEN", "count_extra", "to_json"]

HIDDEN = "***"
"""The placeholder for personal data."""


def to_json(value: Any, *, personal: bool = False, extra: bool = False) -> Any:
    """Convert a result to JSON values: times in ISO 8601, decimals as text, fen as whole numbers.

    `personal` shows personal data, which is `HIDDEN` otherwise; `extra` shows fields that the models
    do not know.
    """
    if isinstance(value, Model):
        return _object(value, personal, extra)
    if isinstance(value, list | tuple):
        return [to_json(item, personal=personal, extra=extra) for item in value]
    if isinstance(value, Mapping):
        return {
            str(name): to_json(item, personal=personal, extra=extra)
            if personal or not is_personal(str(name), item)
            else HIDDEN
            for name, item in value.items()
        }
    return scalar(value)


def count_extra(value: Any) -> int:
    """How many fields the models do not know, at any depth."""
    if isinstance(value, list | tuple):
        return sum(map(count_extra, value))
    if not isinstance(value, Model):
        return 0
    fields = wire_fields(type(value))
    inside = (getattr(value, field.name) for field in fields.values())
    return sum(name not in fields for name in value.extra) + sum(map(count_extra, inside))


def _object(value: Model, personal: bool, extra: bool) -> dict[str, Any]:
    made: dict[str, Any] = {}
    fields = wire_fields(type(value))
    for wire, field in fields.items():
        item = getattr(value, field.name)
        if item is None:
            continue
        hidden = field.metadata.get("personal") and not personal
        made[wire] = HIDDEN if hidden else to_json(item, personal=personal, extra=extra)
    if extra:
        made |= to_json(value.extra, personal=personal, extra=extra)
        # A value of an unexpected type is as personal as its field.
        odd = (wire for wire, field in fields.items() if wire in value.extra and wire in value.problems)
        made |= {wire: HIDDEN for wire in odd if fields[wire].metadata.get("personal") and not personal}
    return made
