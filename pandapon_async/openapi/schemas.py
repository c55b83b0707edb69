"""JSON schemas of what comes back, from the models: what fits one, the models accept.

Every field of an answer may be missing or null, and every object may have more fields than are known
here: that is how the models read it. Numbers that come as text, and text that comes as a number, are
in the schema where the models take both.
"""

from __future__ import annotations

import enum
import inspect
import types
import typing
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Union

from pandapon_async.core.model import IdMark, Model, OpenEnum, PageModel
from pandapon_async.core.structure import LIST_FIELDS, TOTAL_FIELDS, wire_fields
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.money import Fen

__all__ = ["Schemas", "arms_of", "is_id", "known_values", "nullable", "response_schema", "schema_name"]

_MOMENT = (
    r"^(|[1-9][0-9]{11,13}|[0-9]{17}[+-][0-9]{4}"
    r"|[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{3})?(Z|[+-][0-9]{2}:[0-9]{2})?)$"
)
_PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    dict: {"type": "object"},
    Fen: {"type": ["integer", "string"], "pattern": "^-?[0-9]{1,18}$", "description": "fen, 1/100 yuan"},
    Decimal: {"type": ["number", "string"], "pattern": r"^-?[0-9]{1,30}(\.[0-9]{1,10})?$"},
    datetime: {
        "type": ["string", "integer"],
        "pattern": _MOMENT,
        "minimum": 10**11,
        "maximum": 10**14 - 1,
        "description": "epoch milliseconds, yyyyMMddHHmmssSSSZ or yyyy-MM-dd HH:mm:ss (Beijing time)",
    },
}
_ID = {"type": ["string", "integer"], "description": "an id, as text or as a number"}


def response_schema(endpoint: Endpoint) -> dict[str, Any]:
    """The schema of the data of a successful answer to this call, complete in itself (`$defs`)."""
    schemas = Schemas("#/$defs/")
    schema = schemas.of(endpoint.response_type)
    return {**schema, "$defs": schemas.models} if schemas.models else schema


class Schemas:
    """Makes schemas of types; those of models are kept in `models` by name and referred to.

    `root` is where the references point, such as "#/components/schemas/".
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self.models: dict[str, dict[str, Any]] = {}

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type: an empty one, which anything fits, for data that no page shows."""
        if kind is Any:
            return {}
        if kind in (None, types.NoneType):
            return {"type": "null"}
        if is_id(kind):
            return dict(_ID)
        if typing.get_origin(kind) in (Union, types.UnionType):
            return self._union(kind)
        if typing.get_origin(kind) is list:
            return {"type": "array", "items": self.of(typing.get_args(kind)[0])}
        if issubclass(kind, Model):
            return self._reference(kind)
        if issubclass(kind, OpenEnum):
            return open_enum_schema(kind)
        return dict(_PLAIN[kind])

    def _union(self, kind: Any) -> dict[str, Any]:
        arms = arms_of(kind)
        enumeration = next((arm for arm in arms if isinstance(arm, type) and issubclass(arm, OpenEnum)), None)
        schemas = [self.of(arm) for arm in ([enumeration] if enumeration else arms)]
        if all(schema.keys() == {"type"} for schema in schemas):
            types_of = [name for schema in schemas for name in _types(schema)]
            schemas = [{"type": types_of if len(types_of) > 1 else types_of[0]}]
        schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
        return nullable(schema) if types.NoneType in typing.get_args(kind) else schema

    def _reference(self, kind: type[Model]) -> dict[str, Any]:
        name = schema_name(kind)
        if name not in self.models:
            self.models[name] = {}  # a model that holds itself finds its name taken
            make = self._page if issubclass(kind, PageModel) else self._object
            self.models[name] = make(kind)
        return {"$ref": self._root + name}

    def _object(self, kind: type[Model]) -> dict[str, Any]:
        hints = typing.get_type_hints(kind, include_extras=True)
        properties = {}
        for wire, field in wire_fields(kind).items():
            schema = self.of(hints[field.name])
            properties[wire] = {**schema, "x-personal": True} if field.metadata.get("personal") else schema
        return {
            "type": "object",
            "description": _told(kind),
            "properties": properties,
            "additionalProperties": True,
        }

    def _page(self, kind: type[Model]) -> dict[str, Any]:
        """A list, or an object with the list under one of the usual names."""
        items = self.of(typing.get_type_hints(kind, include_extras=True)["items"])
        rows = f"{schema_name(kind)}Rows"
        self.models[rows] = {
            "type": "object",
            "description": "The page as an object: one of the fields of lists is there.",
            "properties": {
                **{name: nullable(items) for name in LIST_FIELDS},
                **{name: {"type": ["integer", "null"]} for name in TOTAL_FIELDS},
            },
            "additionalProperties": True,
            "not": {"properties": {name: {"not": {"type": "array"}} for name in LIST_FIELDS}},
        }
        return {"description": _told(kind), "anyOf": [items, {"$ref": self._root + rows}]}


def open_enum_schema(kind: type[OpenEnum]) -> dict[str, Any]:
    """Text or a number; the values that are known are examples, as others survive."""
    return {"type": ["string", "integer"], "examples": known_values(kind)}


def known_values(kind: type[OpenEnum]) -> list[Any]:
    """The values of an open enumeration that are known."""
    return [member.value for member in typing.cast("type[enum.Enum]", kind)]


def nullable(schema: dict[str, Any]) -> dict[str, Any]:
    """The same schema, null allowed."""
    if not schema or "null" in _types(schema):
        return schema
    if "type" in schema:
        return {**schema, "type": [*_types(schema), "null"]}
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {"anyOf": [schema, {"type": "null"}]}


def schema_name(kind: type[Any]) -> str:
    """Return the name of a model's schema; equal class names of the two platforms get distinct names.

    >>> from pandapon_async.models.taobao.refunds import RefundDetail
    >>> schema_name(RefundDetail)
    'TaobaoRefundDetail'
    """
    section = kind.__module__.partition(".models.")[2].rpartition(".")[0]
    return section.title().replace(".", "") + kind.__name__


def arms_of(kind: Any) -> list[Any]:
    """The types that a value may be of, None left out."""
    if typing.get_origin(kind) in (Union, types.UnionType):
        return [arm for arm in typing.get_args(kind) if arm is not types.NoneType]
    return [kind]


def is_id(kind: Any) -> bool:
    """Whether a type is an id's."""
    return typing.get_origin(kind) is Annotated and any(
        isinstance(mark, IdMark) for mark in typing.get_args(kind)[1:]
    )


def _types(schema: dict[str, Any]) -> list[str]:
    found = schema.get("type", [])
    return [found] if isinstance(found, str) else list(found)


def _told(kind: type[Any]) -> str:
    return " ".join((inspect.getdoc(kind) or "").split())
