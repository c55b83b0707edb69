"""The OpenAPI 3.1 document of the declared calls, for code generators, testers and other tools."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from pandapon_async import __version__
from pandapon_async.api.registry import endpoints, operations
from pandapon_async.declare.arguments import Location, Parameter
from pandapon_async.declare.endpoint import Endpoint, Evidence, Signing, Stage
from pandapon_async.openapi.answers import example_answer
from pandapon_async.openapi.catalogue import section_of
from pandapon_async.openapi.examples import wire_example
from pandapon_async.openapi.schemas import Schemas, nullable

__all__ = ["SERVER", "document", "operation_id", "request_schema"]

SERVER = "https://api.pandapon.com"

_SIGNED_HEADERS = ("timestamp", "nonceStr", "userId", "signature")
_SIGNED_QUERY = ("queryTimestamp", "querySign")

_DESCRIPTION = """\
PandaPon OpenAPI: one API over Taobao and 1688. This document is made from the declarations of
pandapon-async, an independent client, which were written from the vendor's public pages; it is not the
vendor's own.

Every request is signed: `signature` is the MD5, as 32 upper-case hex digits, of access key, timestamp,
nonce and access secret joined in this order without a separator. A timestamp must be within 600 seconds
of the server's clock, and a nonce is used once.

Every answer is an envelope. It says success by `code` 200, whatever the HTTP status; some calls also say
`success: false` inside `data`. Objects may have more fields than are shown, and any field may be missing
or null. `x-safety` says what may be done when an answer is lost, `x-stage` what the vendor's page says of
the call, `x-evidence` where its path was read, `x-personal` marks fields that can hold personal data.
"""
_PARAMETERS: Mapping[str, dict[str, Any]] = {
    "timestamp": {
        "name": "timestamp",
        "in": "header",
        "required": True,
        "description": "When the request was signed, as epoch milliseconds.",
        "schema": {"type": "string", "pattern": "^([0-9]{10}|[0-9]{13})$"},
        "example": "1715669977082",
    },
    "nonceStr": {
        "name": "nonce-str",
        "in": "header",
        "required": True,
        "description": "32 random letters and digits, new for every request.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9]{32}$"},
        "example": "0123456789abcdef0123456789ABCDEF",
    },
    "userId": {
        "name": "user-id",
        "in": "header",
        "required": True,
        "description": "The sub-account that the call is made for; not signed.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9_-]{1,64}$"},
        "example": "2100000000000",
    },
    "signature": {
        "name": "signature",
        "in": "header",
        "required": True,
        "description": "Upper-case hex MD5 of access key, timestamp, nonce and secret, joined.",
        "schema": {"type": "string", "pattern": "^[0-9A-F]{32}$"},
        "example": "00000000000000000000000000000000",
    },
    "queryTimestamp": {
        "name": "timestamp",
        "in": "query",
        "required": True,
        "description": "The same as in the header. The vendor's page of this call lists it here.",
        "schema": {"type": "string", "pattern": "^([0-9]{10}|[0-9]{13})$"},
        "example": "1715669977082",
    },
    "querySign": {
        "name": "sign",
        "in": "query",
        "required": True,
        "description": "How it is made is not known; this client sends the header's `signature`.",
        "schema": {"type": "string", "pattern": "^[0-9A-F]{32}$"},
        "example": "00000000000000000000000000000000",
    },
}
_ACCESS_KEY = {
    "type": "apiKey",
    "in": "header",
    "name": "access-key",
    "description": "The key of the vendor's console. The signature proves that its secret is known.",
}


def document(*, inferred: bool = False, server: str = SERVER) -> dict[str, Any]:
    """The document as JSON values. Calls whose path is inferred are in it only if `inferred`."""
    chosen = [one for one in endpoints().values() if inferred or one.evidence is not Evidence.INFERRED]
    schemas = Schemas("#/components/schemas/")
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in chosen:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "PandaPon OpenAPI",
            "version": __version__,
            "description": _DESCRIPTION,
        },
        "servers": [{"url": server}],
        "security": [{"accessKey": []}],
        "tags": [{"name": tag} for tag in dict.fromkeys(map(_tag, chosen))],
        "paths": paths,
        "components": {
            "securitySchemes": {"accessKey": _ACCESS_KEY},
            "parameters": {name: dict(parameter) for name, parameter in _PARAMETERS.items()},
            "schemas": {"Refusal": _envelope({"description": "null, or what the refusal is about"})}
            | dict(sorted(schemas.models.items())),
            "responses": {
                "Refusal": {
                    "description": "Refused with an HTTP status of its own; `code` and `msg` say why.",
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Refusal"}}},
                }
            },
        },
    }


def request_schema(endpoint: Endpoint, location: Location) -> dict[str, Any]:
    """The schema of all arguments that go to one place, as one object."""
    parameters = [one for one in endpoint.parameters if one.location is location]
    return {
        "type": "object",
        "properties": {one.wire: _schema(one) for one in parameters},
        "required": [one.wire for one in parameters if one.always_sent],
    }


def operation_id(endpoint: Endpoint) -> str:
    """The plain name for the generation that it stands for, the pinned one for the other."""
    chosen = operations()[endpoint.name].ranked[0] is endpoint
    return (endpoint.name if chosen else endpoint.pin).replace(".", "_")


def _operation(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    told = (inspect.getdoc(endpoint.declaration) or "").partition("\n")[2].strip()
    operation: dict[str, Any] = {
        "operationId": operation_id(endpoint),
        "tags": [_tag(endpoint)],
        "summary": endpoint.summary,
        "externalDocs": {"url": endpoint.page, "description": "The vendor's page"},
        "x-safety": endpoint.safety.value,
        "x-stage": endpoint.stage.value,
        "x-evidence": endpoint.evidence.value,
        "parameters": list(_parameters(endpoint)),
        "responses": {
            "200": _answer(endpoint, schemas),
            "default": {"$ref": "#/components/responses/Refusal"},
        },
    }
    if told:
        operation["description"] = told
    if endpoint.stage is Stage.DEPRECATED:
        operation["deprecated"] = True
    if endpoint.method != "GET":
        operation["requestBody"] = _body(endpoint)
    return operation


def _tag(endpoint: Endpoint) -> str:
    return str(section_of(endpoint))


def _parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    examples = wire_example(endpoint)
    for one in endpoint.parameters:
        if one.location is not Location.BODY:
            yield {
                "name": one.wire,
                "in": one.location.value,
                "required": one.always_sent,
                "schema": _schema(one),
                "example": examples[one.wire],
            }
    signed = _SIGNED_HEADERS + (_SIGNED_QUERY if endpoint.signing is Signing.QUERY else ())
    for name in signed:
        yield {"$ref": f"#/components/parameters/{name}"}


def _schema(parameter: Parameter) -> dict[str, Any]:
    schema = parameter.rule.schema()
    if parameter.default is not None:
        schema["default"] = parameter.rule.encode(parameter.default)
    return schema


def _body(endpoint: Endpoint) -> dict[str, Any]:
    in_body = {one.wire for one in endpoint.parameters if one.location is Location.BODY}
    every = {wire: value for wire, value in wire_example(endpoint).items() if wire in in_body}
    required = {
        wire: value for wire, value in wire_example(endpoint, optional=False).items() if wire in in_body
    }
    examples = {"every": {"summary": "Every argument", "value": every}}
    if required != every:
        examples["required"] = {"summary": "The required arguments alone", "value": required}
    return {
        "required": True,
        "content": {
            "application/json": {"schema": request_schema(endpoint, Location.BODY), "examples": examples}
        },
    }


def _answer(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    example = {
        "requestId": "5b950f5f7b064dc889c1a878b5c16234",
        "code": 200,
        "developId": "1021090911993463110",
        "msg": "成功",
        "data": example_answer(endpoint),
    }
    schema = _envelope(nullable(schemas.of(endpoint.response_type)))
    return {
        "description": "The envelope; `code` 200 is success.",
        "content": {"application/json": {"schema": schema, "example": example}},
    }


def _envelope(data: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "requestId": {"type": ["string", "null"]},
            "code": {"type": "integer"},
            "developId": {"type": ["string", "integer", "null"]},
            "msg": {"type": ["string", "null"]},
            "data": data,
        },
        "required": ["code"],
        "additionalProperties": True,
    }
