"""Every declared call from end to end: what it sends fits its schema, what comes back fits its model."""

from __future__ import annotations

import random
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from pandapon_async.api.registry import endpoints
from pandapon_async.core.codes import Codes
from pandapon_async.core.json_codec import dumps, loads
from pandapon_async.core.model import parse_moment
from pandapon_async.core.outcome import RawResponse, read_response
from pandapon_async.core.structure import StructureError, structurer
from pandapon_async.core.unstructure import count_extra, to_json
from pandapon_async.declare.arguments import Location, encode_arguments
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.openapi import (
    example_answer,
    example_arguments,
    example_data,
    response_schema,
    wire_example,
)
from pandapon_async.openapi.document import request_schema

DECLARED = endpoints()
SEEDS = range(5)
each = pytest.mark.parametrize("endpoint", DECLARED.values(), ids=lambda endpoint: endpoint.pin)


@each
@pytest.mark.parametrize("optional", [True, False], ids=["all", "required"])
def test_what_is_sent_fits_the_schema(endpoint: Endpoint, optional: bool) -> None:
    wire = wire_example(endpoint, optional=optional)
    assert (
        wire.keys()
        == encode_arguments(endpoint.parameters, example_arguments(endpoint, optional=optional)).keys()
    )
    for location in Location:
        schema = request_schema(endpoint, location)
        sent = {name: value for name, value in wire.items() if name in schema["properties"]}
        OAS31Validator(schema).validate(loads(dumps(sent)))
        for name in schema["required"]:
            lacking = {other: value for other, value in sent.items() if other != name}
            assert not OAS31Validator(schema).is_valid(lacking)


@each
def test_what_comes_back_fits_schema_and_model_and_comes_out_again(endpoint: Endpoint) -> None:
    validator = OAS31Validator(response_schema(endpoint))
    structure = structurer(endpoint.response_type)
    for seed in SEEDS:
        data = loads(dumps(example_data(endpoint.response_type, seed)))
        validator.validate(data)
        if endpoint.response_type is None:
            assert data is None
            continue
        value = structure(data, endpoint.response_type)
        again = to_json(value, personal=True, extra=True)
        validator.validate(again)
        assert structure(again, endpoint.response_type) == value
        if not is_page(data):
            assert count_extra(value) == 0
            assert differences(leaves(data), leaves(again)) == []


def is_page(data: Any) -> bool:
    """A page comes out under other names than it came in."""
    return isinstance(data, dict) and data.keys() == {"total", "list"}


def leaves(value: Any, path: str = "$") -> dict[str, Any]:
    """Every value that is no object and no list, by its place; null is as good as missing."""
    if isinstance(value, dict):
        value = list(value.items())
    elif isinstance(value, list):
        value = list(enumerate(value))
    else:
        return {} if value is None else {path: value}
    return {place: leaf for name, item in value for place, leaf in leaves(item, f"{path}.{name}").items()}


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """The places where something else came out; moments come in the vendor's forms and leave as ISO 8601."""
    return [
        place
        for place in before.keys() | after.keys()
        if before.get(place) != after.get(place)
        and parse_moment(before[place]) != datetime.fromisoformat(after[place])
    ]


WRONG: tuple[Any, ...] = (True, [], {}, "text", 7, Decimal("1.5"), "12", "")


@each
def test_schema_and_model_agree_on_what_is_wrong(endpoint: Endpoint) -> None:
    """One leaf is replaced by something of another kind: both take it, or both refuse it."""
    if endpoint.response_type is None:
        return
    validator = OAS31Validator(response_schema(endpoint))
    structure = structurer(endpoint.response_type)
    chance = random.Random(endpoint.name)
    for seed in range(15):
        data = example_data(endpoint.response_type, seed % 3)
        places = [place for place in walk(data) if not (is_page(data) and place[-1:] == ("total",))]
        where = chance.choice(places)
        wrong = chance.choice(WRONG)
        data = replaced(data, where, wrong)
        try:
            structure(data, endpoint.response_type)
        except StructureError:
            accepted = False
        else:
            accepted = True
        assert validator.is_valid(data) is accepted, (where, wrong)


def walk(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The place of every value, the whole one's first."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for name, item in inside for place in walk(item, (*path, name)))]


def replaced(value: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    name, *rest = path
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[name] = replaced(value[name], tuple(rest), other)
    return copy


@each
def test_an_example_answer_counts_as_success(endpoint: Endpoint) -> None:
    """In all three layers, so that a server may answer with it."""
    asked = wire_example(endpoint)
    for seed in SEEDS:
        data = example_answer(endpoint, seed, asked)
        body = dumps({"requestId": "1", "code": 200, "developId": None, "msg": "成功", "data": data})
        envelope = read_response(RawResponse(200, body), endpoint, Codes())
        if endpoint.response_type is not None:
            structurer(endpoint.response_type)(envelope.data, endpoint.response_type)
            OAS31Validator(response_schema(endpoint)).validate(envelope.data)
