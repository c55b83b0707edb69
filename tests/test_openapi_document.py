"""The OpenAPI document: valid, whole, and its examples true to its schemas."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from pandapon_async.api.registry import endpoints, operations
from pandapon_async.declare.endpoint import Endpoint, Evidence, Signing, Stage
from pandapon_async.openapi import document
from pandapon_async.openapi.document import SERVER, operation_id

DECLARED = endpoints()
WHOLE = document(inferred=True)
each = pytest.mark.parametrize("endpoint", DECLARED.values(), ids=lambda endpoint: endpoint.pin)


def operation_of(endpoint: Endpoint) -> dict[str, Any]:
    found: dict[str, Any] = WHOLE["paths"][endpoint.path][endpoint.method.lower()]
    return found


def errors(schema: dict[str, Any], value: Any) -> list[str]:
    """What is wrong with a value; references lead into the document's components."""
    validator = OAS31Validator({**schema, "components": WHOLE["components"]})
    return [error.message for error in validator.iter_errors(value)]


@pytest.mark.parametrize("inferred", [False, True])
def test_it_is_valid(inferred: bool) -> None:
    assert not list(OpenAPIV31SpecValidator(document(inferred=inferred)).iter_errors())


def test_inferred_calls_are_in_it_only_if_asked_for() -> None:
    plain = document()
    names = {one["operationId"] for item in plain["paths"].values() for one in item.values()}
    shown = [one for one in DECLARED.values() if one.evidence is not Evidence.INFERRED]
    assert names == {operation_id(one) for one in shown}
    assert len(names) == len(shown)
    assert {"alibaba_refunds_create", "v1_alibaba_refunds_create", "alibaba_refunds_get"} <= names
    assert len(WHOLE["paths"]) == len(DECLARED) > len(plain["paths"])


def test_it_names_the_server_the_key_and_who_made_it() -> None:
    assert WHOLE["openapi"].startswith("3.1")
    assert WHOLE["servers"] == [{"url": SERVER}] == [{"url": "https://api.pandapon.com"}]
    assert document(server="http://127.0.0.1:8080")["servers"] == [{"url": "http://127.0.0.1:8080"}]
    assert WHOLE["components"]["securitySchemes"]["accessKey"]["name"] == "access-key"
    assert WHOLE["security"] == [{"accessKey": []}]
    assert "not the\nvendor's own" in WHOLE["info"]["description"]


@each
def test_every_call_says_what_its_declaration_says(endpoint: Endpoint) -> None:
    operation = operation_of(endpoint)
    chosen = operations()[endpoint.name].ranked[0] is endpoint
    assert operation["operationId"] == (endpoint.name if chosen else endpoint.pin).replace(".", "_")
    assert operation["summary"] == endpoint.summary
    assert operation["x-safety"] == endpoint.safety
    assert operation["x-stage"] == endpoint.stage
    assert operation["x-evidence"] == endpoint.evidence
    assert operation["externalDocs"]["url"] == endpoint.page
    assert operation.get("deprecated", False) is (endpoint.stage is Stage.DEPRECATED)
    assert set(operation["tags"]) <= {tag["name"] for tag in WHOLE["tags"]}
    assert ("requestBody" in operation) is (endpoint.method == "POST")


@each
def test_every_call_is_signed(endpoint: Endpoint) -> None:
    shared = WHOLE["components"]["parameters"]
    names = [one["$ref"].rpartition("/")[2] for one in operation_of(endpoint)["parameters"] if "$ref" in one]
    signed = [(shared[name]["in"], shared[name]["name"]) for name in names]
    in_headers = [("header", name) for name in ("timestamp", "nonce-str", "user-id", "signature")]
    in_query = [("query", "timestamp"), ("query", "sign")] if endpoint.signing is Signing.QUERY else []
    assert signed == in_headers + in_query
    assert all(shared[name]["required"] for name in names)


@each
def test_examples_fit_their_schemas(endpoint: Endpoint) -> None:
    operation = operation_of(endpoint)
    for parameter in operation["parameters"]:
        if "$ref" not in parameter:
            assert not errors(parameter["schema"], parameter["example"])
    if endpoint.method == "POST":
        content = operation["requestBody"]["content"]["application/json"]
        assert {"every"} <= content["examples"].keys() <= {"every", "required"}
        for example in content["examples"].values():
            assert not errors(content["schema"], example["value"])
    content = operation["responses"]["200"]["content"]["application/json"]
    assert not errors(content["schema"], content["example"])
    assert content["example"]["code"] == 200


def test_shared_examples_fit_their_schemas_too() -> None:
    for parameter in WHOLE["components"]["parameters"].values():
        assert not errors(parameter["schema"], parameter["example"])


def test_no_secret_is_in_it() -> None:
    assert "access_secret" not in json.dumps(WHOLE, ensure_ascii=False)
