"""The declarations against the facts of the vendor's pages.

`data/vendor_calls.json` holds what the pages say of each call: method, path, and for every argument
its wire name, place, JSON type, and whether it is required (null where the page does not say).
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async.api.registry import endpoints
from pandapon_async.core.outcome import Safety
from pandapon_async.declare import fields as rules
from pandapon_async.declare.arguments import ObjectField, Parameter, encode_arguments, parameters_of_class
from pandapon_async.declare.endpoint import Endpoint, Evidence, Signing
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.images import Image
from tests.example_arguments import example_arguments

DATA = Path(__file__).parent / "data"
CALLS: list[dict[str, Any]] = json.loads((DATA / "vendor_calls.json").read_text(encoding="utf-8"))
DECLARED = endpoints()
BY_PATH = {endpoint.path: endpoint for endpoint in DECLARED.values()}
READ = [call for call in CALLS if call["evidence"] != "inferred"]
GUESSED = [call for call in CALLS if call["evidence"] == "inferred"]

# Where a declaration says something else than the page, and why.
EXCEPTIONS = {
    # An older page has the id in the query of the POST, the newer one in the body; no refund has no id.
    ("v1.alibaba.refunds.get", "refundId"): {"location", "required"},
    # Marked optional, but a query for no product means nothing.
    ("v1.taobao.goods.get", "itemId"): {"required"},
    # Marked optional, but a count without a line, or a line without a count, means nothing.
    ("v1.alibaba.refunds.create", "orderEntryCountList[].id"): {"required"},
    ("v1.alibaba.refunds.create", "orderEntryCountList[].count"): {"required"},
    # The table requires these four, the page's own example sends none of them.
    ("v1.taobao.orders.im_link", "loginName"): {"required"},
    ("v1.taobao.orders.im_link", "password"): {"required"},
    ("v1.taobao.orders.im_link", "pageName"): {"required"},
    ("v1.taobao.orders.im_link", "pageParamMap"): {"required"},
}
# Of these the page showed method and path only; their arguments are inferred, as their docstrings say.
ARGUMENTS_INFERRED = {"v2.alibaba.orders.create", "v2.alibaba.orders.page"}
# Here the page calls the properties text; what the text holds was read on the first generation's page.
INSIDE_INFERRED = {"v2.taobao.carts.add": "properties[]."}


@attrs.define(frozen=True)
class Fact:
    """What a declaration says of one argument, at any depth."""

    location: str
    required: bool
    always_sent: bool
    schema: dict[str, Any]


def facts(parameters: tuple[Parameter, ...], place: str | None = None, prefix: str = "") -> Iterator[Any]:
    for parameter in parameters:
        path = prefix + parameter.wire
        location = place or parameter.location.value
        always_sent = parameter.required or parameter.default is not None
        yield path, Fact(location, parameter.required, always_sent, parameter.rule.schema())
        yield from _inside(parameter.rule, location, path)


def _inside(rule: rules.Field, location: str, path: str) -> Iterator[Any]:
    if isinstance(rule, rules.JsonTextField):
        yield from _inside(rule.rule, location, path)
    elif isinstance(rule, rules.ListField):
        yield from _inside(rule.item, location, f"{path}[]")
    elif isinstance(rule, ObjectField):
        yield from facts(parameters_of_class(rule._class()), location, f"{path}.")


def same_type(documented: str, schema: dict[str, Any]) -> bool:
    kind = schema.get("type")
    if documented == "any" or kind is None:
        return True
    if documented.startswith("array["):
        return kind == "array" and same_type(documented[6:-1], schema["items"])
    return kind == documented or (documented, kind) == ("number", "integer")


def differences(documented: dict[str, Any], declared: Fact) -> set[str]:
    found = set()
    if documented["location"] != declared.location:
        found.add("location")
    marked = documented["required"]
    if (marked is True and not declared.always_sent) or (marked is False and declared.required):
        found.add("required")
    if not same_type(documented["type"], declared.schema):
        found.add("type")
    return found


def ids(value: Any) -> str:
    return value["path"] if isinstance(value, dict) else str(value)


def test_every_call_with_a_path_is_declared_and_nothing_else() -> None:
    assert len(READ) == 61
    assert len(GUESSED) == 28
    assert {call["path"] for call in CALLS} == set(BY_PATH)
    assert len(DECLARED) == 89


@pytest.mark.parametrize("call", CALLS, ids=ids)
def test_method_evidence_stage_and_page_are_the_documented_ones(call: dict[str, Any]) -> None:
    endpoint = BY_PATH[call["path"]]
    assert endpoint.method == (call["method"] or endpoint.method)
    assert endpoint.evidence.value == call["evidence"]
    assert endpoint.stage.value == (call["stage"] or endpoint.stage.value)
    assert endpoint.page in call["pages"]


@pytest.mark.parametrize("call", READ, ids=ids)
def test_arguments_are_the_documented_ones(call: dict[str, Any]) -> None:
    endpoint = BY_PATH[call["path"]]
    declared = dict(facts(endpoint.parameters))
    documented = {one["wire"]: one for one in call["parameters"]}
    if endpoint.signing is Signing.QUERY:  # the signature's own, added when the call is signed
        assert documented.pop("timestamp")["location"] == documented.pop("sign")["location"] == "query"
    if endpoint.pin not in ARGUMENTS_INFERRED:
        inferred = INSIDE_INFERRED.get(endpoint.pin, "\0")
        assert {path for path in declared if not path.startswith(inferred)} == documented.keys()
    found = {
        (endpoint.pin, path): differences(one, declared[path])
        for path, one in documented.items()
        if differences(one, declared[path])
    }
    assert found == {key: value for key, value in EXCEPTIONS.items() if key[0] == endpoint.pin}


def test_only_warehouse_logistics_is_signed_in_the_query() -> None:
    signed_in_query = {name for name, one in DECLARED.items() if one.signing is Signing.QUERY}
    assert signed_in_query == {name for name, one in DECLARED.items() if "/pp/logistics/" in one.path}
    assert len(signed_in_query) == 8


SAFETY = {
    Safety.NEVER_AUTOMATIC: {
        "alibaba.orders.payment_link",
        "alibaba.orders.submit_to_pay",
        "alibaba.orders.confirm_receipt",
    },
    Safety.ONCE: {
        "addresses.save",
        "alibaba.carts.create_order",
        "alibaba.orders.create",
        "alibaba.orders.create_batch",
        "alibaba.refunds.create",
        "freight.create_international_order",
        "taobao.carts.add",
        "taobao.carts.create_order",
        "taobao.orders.create",
        "taobao.refunds.post_message",
    },
    Safety.CHECKED: {
        "alibaba.orders.cancel",
        "alibaba.refunds.return_goods",
        "freight.update_domestic_logistics",
        "taobao.orders.update_warehouse",
        "taobao.orders.upload_pay_certificate",
        "taobao.refunds.cancel",
    },
    Safety.REPEATABLE: {"alibaba.carts.set_quantity", "alibaba.refunds.upload_voucher"},
}


@pytest.mark.parametrize("safety", list(SAFETY))
def test_whatever_changes_something_has_its_safety_class(safety: Safety) -> None:
    assert {name[3:] for name, one in DECLARED.items() if one.safety is safety} == SAFETY[safety]


def test_both_generations_agree_on_safety_and_answer() -> None:
    for name, first in DECLARED.items():
        second = DECLARED.get(f"v2.{name[3:]}")
        if name.startswith("v1.") and second is not None:
            assert second.safety is first.safety, name
            assert second.response_type == first.response_type, name
            assert second.method == first.method, name


@pytest.mark.parametrize("endpoint", DECLARED.values(), ids=lambda endpoint: endpoint.pin)
def test_every_call_explains_itself(endpoint: Endpoint) -> None:
    assert len(endpoint.summary) > 20
    assert endpoint.summary[0].isupper()
    assert endpoint.page.startswith("https://doc")
    assert ".pandapon.com/" in endpoint.page
    assert endpoint.declaration is not None
    signature = inspect.signature(endpoint.declaration)
    keyword_only = [one for one in signature.parameters.values() if one.name != "self"]
    assert all(one.kind is inspect.Parameter.KEYWORD_ONLY for one in keyword_only)


@pytest.mark.parametrize("optional", [True, False], ids=["all", "required"])
@pytest.mark.parametrize("endpoint", DECLARED.values(), ids=lambda endpoint: endpoint.pin)
def test_examples_made_from_the_rules_are_accepted(endpoint: Endpoint, optional: bool) -> None:
    encoded = encode_arguments(endpoint.parameters, example_arguments(endpoint, optional=optional))
    expected = {
        one.wire for one in endpoint.parameters if optional or one.required or one.default is not None
    }
    assert encoded.keys() == expected
    for parameter in endpoint.parameters:
        if parameter.wire in encoded and not isinstance(encoded[parameter.wire], Image):
            assert fits(encoded[parameter.wire], parameter.rule.schema()), parameter.name


JSON_TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "array": list,
    "object": dict,
}


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a wire value is of its schema's JSON types, at any depth."""
    if "type" not in schema:
        return True
    if not isinstance(value, JSON_TYPES[schema["type"]]):
        return False
    if schema["type"] == "array":
        return all(fits(item, schema["items"]) for item in value)
    if schema["type"] == "object":
        return all(fits(item, schema["properties"][name]) for name, item in value.items())
    return True


MONEY = [
    (endpoint, parameter)
    for endpoint in DECLARED.values()
    for parameter in endpoint.parameters
    if isinstance(parameter.rule, rules.FenField | rules.YuanField | rules.NumberField)
    or "price" in parameter.name
]


@pytest.mark.parametrize(("endpoint", "parameter"), MONEY, ids=lambda one: getattr(one, "name", None))
def test_no_call_takes_a_float_for_money(endpoint: Endpoint, parameter: Parameter) -> None:
    given = {**example_arguments(endpoint), parameter.name: 12.5}
    with pytest.raises(InvalidArgumentError) as refused:
        encode_arguments(endpoint.parameters, given)
    assert refused.value.argument == parameter.name


def test_inferred_calls_say_that_they_are() -> None:
    guessed = {BY_PATH[call["path"]].pin for call in GUESSED}
    assert guessed == {name for name, one in DECLARED.items() if one.evidence is Evidence.INFERRED}
