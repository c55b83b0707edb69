"""The JSON values of answers, and which of them are personal.

Ids are text already. Money is whole fen if the attribute counts fen. An amount in yuan is a decimal and
becomes text, because readers parse a JSON number as a float. This module does not know any model;
`core.model` imports it.
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
    """Return the fields of an answer by attribute name, ready for JSON.

    Args:
        value: An answer, or another attrs object.
        personal: Whether to include fields that can hold personal data, and `extra`.
    """
    return {
        field.name: plain_value(getattr(value, field.name), personal=personal)
        for field in attrs.fields(type(value))
        if personal or not (field.metadata.get("personal") or field.name == "extra")
    }


def plain_value(value: Any, *, personal: bool) -> Any:
    """Convert any value of an answer for JSON.

    If no page of the vendor shows an answer, none of its fields is marked as personal; then the names decide.
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
    """Convert a single value: enumerations to their value, times to ISO 8601, fen to whole numbers."""
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
    """Whether data of this name is personal; flags and None never are."""
    if value is None or isinstance(value, bool):
        return False
    return _PERSONAL_NAME.search(name.replace("_", "").replace("-", "").lower()) is not None
