"""What stands in JSON for the values of answers, and which of them tell of a person.

Ids are text already. Money is whole fen where the attribute counts fen; an amount in yuan is a decimal and
becomes text, since a JSON number would be read as a float. Nothing here knows a model; `core.model` stands
on it.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs

from pandapon_async.money import Fen

__all__ = ["is_personal", "plain_dict", "plain_value", "scalar"]

_PERSONAL_NAME = re.compile(
    "phone|mobile|^tel|fax|receiver|consignee|contact|nick|login|address|fullname|username|^name$|person"
    "|mail$|idcard|taxid|zip|postcode|remark|memo|^(province|city|district|area|town|street)"
)


def plain_dict(value: Any, *, personal: bool) -> dict[str, Any]:
    """The fields of an answer by the names of their attributes, ready for JSON.

    Args:
        value: an answer, or another attrs object.
        personal: whether fields that can hold personal data, and `extra`, are in it.
    """
    return {
        field.name: plain_value(getattr(value, field.name), personal=personal)
        for field in attrs.fields(type(value))
        if personal or not (field.metadata.get("personal") or field.name == "extra")
    }


def plain_value(value: Any, *, personal: bool) -> Any:
    """Any value of an answer, ready for JSON.

    Where no page of the vendor shows what an answer holds, no field is marked: there the names decide.
    """
    if attrs.has(type(value)):
        return plain_dict(value, personal=personal)
    if isinstance(value, list | tuple):
        return [plain_value(item, personal=personal) for item in value]
    if isinstance(value, Mapping):
        return {
            str(scalar(name)): plain_value(item, personal=personal)
            for name, item in value.items()
            if personal or not is_personal(str(name), item)
        }
    return scalar(value)


def scalar(value: Any) -> Any:
    """A single value: enumerations as their value, moments in ISO 8601, fen as whole numbers."""
    match value:
        case enum.Enum():
            return value.value
        case Fen():
            return int(value)
        case Decimal():
            return format(value, "f")
        case datetime():
            return value.isoformat()
        case _:
            return value


def is_personal(name: str, value: Any) -> bool:
    """Whether data of this name would be a person's; flags and nothing tell of nobody."""
    if value is None or isinstance(value, bool):
        return False
    return _PERSONAL_NAME.search(name.replace("_", "").replace("-", "").lower()) is not None
