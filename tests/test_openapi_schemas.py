"""How types become schemas and made-up answers, in the small."""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest
from openapi_schema_validator import OAS31Validator

from pandapon_async.api.registry import endpoints
from pandapon_async.core.model import Id, Model, OpenEnum, PageModel, field, model
from pandapon_async.core.structure import StructureError, structurer, wire_fields
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.models.taobao.refunds import RefundDetail
from pandapon_async.money import Fen
from pandapon_async.openapi import example_answer, example_data
from pandapon_async.openapi.schemas import Schemas, nullable, schema_name


class Colour(OpenEnum, enum.StrEnum):
    RED = "red"


@model
class Leaf(Model):
    text: str | None = field()


@model
class Tree(Model):
    text: str | None = field()
    number: int | None = field()
    flag: bool | None = field()
    fen: Fen | None = field()
    decimal: Decimal | None = field()
    moment: datetime | None = field()
    id: Id | None = field()
    colour: Colour | str | None = field()
    leaf: Leaf | None = field()
    leaves: list[Leaf] | None = field()
    number_or_text: int | str | None = field()
    one_or_many: Leaf | list[Leaf] | None = field()
    anything: Any = field()
    phone: str | None = field(personal=True)
    error_code: str | None = field()


@model
class Page(PageModel):
    items: list[Leaf] = attrs.field(factory=list)


def valid(kind: Any, value: Any) -> bool:
    schemas = Schemas("#/$defs/")
    schema = schemas.of(kind)
    return bool(OAS31Validator({**schema, "$defs": schemas.models}).is_valid(value))


def accepted(kind: Any, value: Any) -> bool:
    try:
        structurer(kind)(value, kind)
    except StructureError:
        return False
    return True


VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 7, 10**12, 10**15, Decimal("1.5"), "", "abc", "12", "-12", "1.5", "1_0", "１２", "NaN",
    "1652759264000", "20180423171116000+0800", "2018-04-23 17:11:16", "2018-04-23T17:11:16Z", "2018-04-23",
    [], [1], [{}], [{"text": "x"}], [{"text": 1}], {}, {"text": "x"}, {"text": 1},
)  # fmt: skip
# Dates without a time are read by Python's ISO reader, but no page has any: the schema leaves them out.
LAX = ("moment", "2018-04-23")


@pytest.mark.parametrize("wire", wire_fields(Tree))
def test_a_field_takes_what_its_schema_says(wire: str) -> None:
    for value in VALUES:
        if (wire, value) != LAX:
            assert valid(Tree, {wire: value}) is accepted(Tree, {wire: value}), value


@pytest.mark.parametrize(
    "value",
    [
        [], [{}], [{"text": "x"}], [{"text": 1}], {}, {"total": 3}, {"list": None}, {"list": []},
        {"list": {"a": 1}}, {"rows": [{"text": "x"}], "total": 1}, {"rows": [{"text": 1}]},
        {"list": None, "rows": []}, {"data": [{}], "other": [1]}, None, "text", 3,
    ],
)  # fmt: skip
def test_a_page_takes_what_its_schema_says(value: Any) -> None:
    assert valid(Page, value) is accepted(Page, value)


def test_unknown_fields_are_allowed_and_personal_ones_marked() -> None:
    schemas = Schemas("#/components/schemas/")
    assert schemas.of(Tree) == {"$ref": "#/components/schemas/Tree"}
    tree = schemas.models["Tree"]
    assert tree["additionalProperties"] is True
    assert "required" not in tree
    assert tree["properties"]["phone"] == {"type": ["string", "null"], "x-personal": True}
    assert tree["properties"]["colour"] == {"type": ["string", "integer", "null"], "examples": ["red"]}
    assert tree["properties"]["anything"] == {}
    assert tree["properties"]["leaf"] == {"anyOf": [{"$ref": "#/components/schemas/Leaf"}, {"type": "null"}]}


def test_nullable_says_null_once() -> None:
    once = nullable({"type": "string"})
    assert once == nullable(once) == {"type": ["string", "null"]}
    assert nullable({}) == {}


def test_no_two_models_share_a_name() -> None:
    found: dict[str, type[Any]] = {}
    pending: list[type[Any]] = [Model]
    while pending:
        for kind in pending.pop().__subclasses__():
            pending.append(kind)
            if kind.__module__.startswith("pandapon_async."):
                assert found.setdefault(schema_name(kind), kind).__qualname__ == kind.__qualname__
                assert found[schema_name(kind)].__module__ == kind.__module__


def test_made_up_data_is_the_same_for_ever() -> None:
    """Golden: a change of these is a change of every document and every made-up answer."""

    def address(seed: int) -> Any:
        return example_data(RefundDetail, seed)["refundOrderAggregate"]["logistics"]["receiverAddress"]

    assert address(7) == address(7) != address(8)
    assert address(7) == {
        "detailAddress": "Example Road 867",
        "phone": "13800000105",
        "receiver": "Zhang Example",
    }


def test_made_up_data_has_the_vendors_forms() -> None:
    refund = example_data(Refund)
    assert len(refund["gmtApply"]) == 22
    assert refund["gmtApply"].endswith("+0800")
    assert type(refund["applyPayment"]) is int
    assert refund["refundId"].isdigit()
    tree = example_data(Tree)
    assert tree["phone"].startswith("138")
    assert tree["errorCode"] is None
    assert 10**12 < tree["moment"] < 10**13
    assert 1 <= len(tree["leaves"]) <= 2
    assert set(example_data(Page)) == {"total", "list"}
    assert example_data(Any) == {}
    assert example_data(None) is None


def test_an_answer_names_what_was_asked_for() -> None:
    endpoint = endpoints()["v1.alibaba.refunds.get"]
    assert example_answer(endpoint, asked={"refundId": "TQ77"})["refundId"] == "TQ77"
    certificate = endpoints()["v1.taobao.orders.upload_pay_certificate"]
    assert all(example_answer(certificate, seed) is True for seed in range(20))


def test_an_unknown_type_is_noticed_at_once() -> None:
    @model
    class Odd(Model):
        weight: float | None = field()

    with pytest.raises(KeyError):
        Schemas("#/").of(Odd)
    with pytest.raises(AssertionError, match="add one"):
        example_data(Odd)
