"""The JSON values of answers, and which of them are personal.

Ids are text already. Money is whole fen if the attribute counts fen. An amount in yuan is a decimal and
becomes text, because readers parse a JSON number as a float. This module does not know any model;
`core.model` imports it.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs

from pandapon_async.errors import PandaponError
from pandapon_async.money import Fen

__all__ = ["Result", "is_personal", "plain_dict", "plain_value", "scalar"]

_PERSONAL_NAME = re.compile(
    "phone|mobile|^tel|fax|receiver|consignee|contact|nick|login|address|fullname|username|^name$|person"
    "|mail$|idcard|taxid|zip|postcode|remark|memo|^(province|city|district|area|town|street)"
)


class Result:
    """What a call or a job gives: an attrs class, or a named tuple, that becomes JSON."""

    __slots__ = ()

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return the result as plain values for JSON, a frame or a web framework.

        Args:
            personal: Whether to include the fields that can hold personal data, and `extra`.

        Returns:
            A dict by attribute name: ids as text, fen as whole numbers, yuan (decimals) as text, times in ISO
            8601, enumerations as their value, None for missing fields.
        """
        return plain_dict(self, personal=personal)

    def to_json(self, *, personal: bool = False) -> str:
        """Return the values of `to_dict` as JSON text."""
        return json.dumps(self.to_dict(personal=personal), ensure_ascii=False)


def plain_dict(value: Any, *, personal: bool) -> dict[str, Any]:
    """Return the fields of an answer by attribute name, ready for JSON.

    Args:
        value: An answer, or another attrs object or named tuple.
        personal: Whether to include fields that can hold personal data.
    """
    if attrs.has(type(value)):
        fields = attrs.fields(type(value))
        names = [field.name for field in fields if personal or not field.metadata.get("personal")]
    else:
        names = value._fields
    return {name: plain_value(getattr(value, name), personal=personal) for name in names}


def plain_value(value: Any, *, personal: bool) -> Any:
    """Convert any value of an answer for JSON.

    If no page of the vendor shows an answer, none of its fields is marked as personal; then the names decide.
    """
    if isinstance(value, Result | PandaponError):
        return value.to_dict(personal=personal)
    if attrs.has(type(value)) or (isinstance(value, tuple) and hasattr(value, "_fields")):
        return plain_dict(value, personal=personal)
    if isinstance(value, BaseException):  # not ours: its text may hold anything
        return {"error": type(value).__name__, **({"message": str(value)} if personal else {})}
    if isinstance(value, list | tuple):
        return [plain_value(item, personal=personal) for item in value]
    if isinstance(value, Mapping):
        return {
            str(scalar(name)): plain_value(item, personal=personal)
            for name, item in value.items()
            if personal or not is_personal(str(name), item)
        }
    if hasattr(value, "__fspath__"):
        return str(value)
    plain = scalar(value)
    return plain if plain is None or isinstance(plain, str | int | float) else f"<{type(value).__name__}>"


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
