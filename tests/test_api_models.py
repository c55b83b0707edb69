"""The models against the facts of the vendor's pages: no field that a page shows is missing.

Beside the fields in `data/vendor_calls.json` there are whole answers in `data/answers`, by the name
of the call: the vendor's samples, or where a page shows the shape alone, that shape; persons, shops
and texts are made up.
"""

from __future__ import annotations

import json
import types
import typing
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Union

import attrs
import pytest

from pandapon_async.api.registry import endpoints
from pandapon_async.core.json_codec import loads
from pandapon_async.core.model import Model, camel
from pandapon_async.core.structure import arms_of, structurer
from pandapon_async.models.alibaba import orders as alibaba
from pandapon_async.models.alibaba.orders import OrderStatus
from pandapon_async.models.taobao.orders import OrderAddress
from pandapon_async.money import Fen

DATA = Path(__file__).parent / "data"
CALLS: list[dict[str, Any]] = json.loads((DATA / "vendor_calls.json").read_text(encoding="utf-8"))
ANSWERS = sorted((DATA / "answers").glob("*.json"))
BY_PATH = {endpoint.path: endpoint for endpoint in endpoints().values()}

# Documented fields that no model has, and why. (None today.)
EXCEPTIONS: dict[str, set[str]] = {}


def arms(kind: Any) -> list[Any]:
    """The types a value may be of, `| None` and `Annotated` looked through."""
    if typing.get_origin(kind) is Annotated:
        return arms(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (Union, types.UnionType):
        return [one for arm in typing.get_args(kind) if arm is not types.NoneType for one in arms(arm)]
    return [kind]


def covers(kind: Any, path: str) -> bool:
    """Whether a type has the field at the end of a wire path such as `data[].imageUrl`."""
    if kind is Any or path == "":
        return True
    if path.startswith("[]"):
        lists = [one for one in arms(kind) if typing.get_origin(one) is list]
        return any(covers(typing.get_args(one)[0], path[2:].removeprefix(".")) for one in lists)
    name = path.split(".")[0].split("[")[0]
    rest = path[len(name) :].removeprefix(".")
    return any(
        covers(fields(one)[name], rest)
        for one in arms(kind)
        if isinstance(one, type) and issubclass(one, Model) and name in fields(one)
    )


def fields(kind: type[Any]) -> dict[str, Any]:
    """The types of a model's fields by wire name."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {one.metadata.get("wire") or camel(one.name): hints[one.name] for one in attrs.fields(kind)}


DOCUMENTED = [call for call in CALLS if call["response"]]


@pytest.mark.parametrize("call", DOCUMENTED, ids=lambda call: call["path"])
def test_every_documented_field_has_its_attribute(call: dict[str, Any]) -> None:
    kind = BY_PATH[call["path"]].response_type
    missing = {path for path in call["response"] if not covers(kind, path)}
    assert missing == EXCEPTIONS.get(call["path"], set())
    if call["response"] == [""]:
        assert set(arms_of(kind)) <= {bool, str}  # some of them may come without data


def leftovers(value: Any, path: str = "$") -> list[str]:
    """Where in an answer something landed in `.extra`."""
    if isinstance(value, list):
        return [one for item in value for one in leftovers(item, f"{path}[]")]
    if not isinstance(value, Model):
        return []
    found = [f"{path}.{name}" for name in value.extra]
    for one in attrs.fields(type(value)):
        found += leftovers(getattr(value, one.name), f"{path}.{one.name}")
    return found


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.stem)
def test_the_vendors_samples_fit_their_models_wholly(answer: Path) -> None:
    envelope = loads(answer.read_bytes())
    endpoint = endpoints()[answer.stem]
    assert envelope["code"] == 200
    if endpoint.response_type is None:
        assert envelope.get("data") is None
        return
    assert leftovers(structurer(endpoint.response_type)(envelope["data"], None)) == []


PERSONAL = ("phone", "mobile", "telephone", "fax", "receiver", "contact", "nick", "login", "address")


def all_models() -> set[type[Any]]:
    found = set()
    pending = [Model]
    while pending:
        kind = pending.pop()
        found.add(kind)
        pending.extend(kind.__subclasses__())
    return found


@pytest.mark.parametrize("kind", sorted(all_models(), key=repr), ids=lambda kind: kind.__qualname__)
def test_personal_data_stays_out_of_reprs(kind: type[Any]) -> None:
    for one in attrs.fields(kind):
        holds_model = any(
            isinstance(arm, type) and issubclass(arm, Model)
            for arm in arms(typing.get_type_hints(kind, include_extras=True)[one.name])
        )
        if any(word in one.name for word in PERSONAL) and not holds_model:
            assert one.metadata.get("personal") is True, f"{kind.__name__}.{one.name}"
            assert one.repr is False


@pytest.mark.parametrize(
    "address",
    [
        alibaba.ShippingAddress(
            full_name="Li Example",
            mobile="Li Example",
            phone="",
            post_code="",
            city_text="Li Example",
            province_text="Li Example",
            area_text="",
            town_text="",
            address="Li Example",
        ),
        alibaba.FastAddress(full_name="Li Example"),
        OrderAddress(name="Li Example"),
    ],
    ids=lambda address: type(address).__name__,
)
def test_addresses_do_not_show_themselves(address: Any) -> None:
    assert "Li Example" not in repr(address)


@pytest.mark.parametrize(
    ("wire", "status"),
    [
        ("waitbuyerpay", alibaba.OrderStatus.WAIT_BUYER_PAY),
        ("WAIT_BUYER_PAY", alibaba.OrderStatus.WAIT_BUYER_PAY),
        ("confirm_goods", alibaba.OrderStatus.CONFIRM_GOODS),
        ("CONFIRM_GOODS", alibaba.OrderStatus.CONFIRM_GOODS),
        ("SUCCESS", alibaba.OrderStatus.SUCCESS),
        ("waitlogisticstakein", "waitlogisticstakein"),
        (7, 7),
    ],
)
def test_order_status_in_either_spelling(wire: Any, status: Any) -> None:
    assert alibaba.OrderStatus.read(wire) == status


def test_an_order_counts_in_yuan_and_its_ids_are_text() -> None:
    order = structurer(alibaba.Order)(
        loads(
            b'{"baseInfo": {"id": 2542285634920880794, "status": "WAIT_SELLER_SEND", "totalAmount": 39.9,'
            b' "discount": -3989, "createTime": "20180801104333000+0800", "tradeType": "50060"},'
            b' "productItems": [{"productID": 574273466269, "subItemID": 2542285634920880795,'
            b' "quantity": 1, "price": 39.9, "refundIdForAs": "TQ1", "weightUnit": "g"}],'
            b' "guaranteesTerms": null, "orderBizInfo": {"dropshipping": true}}'
        ),
        None,
    )
    assert order.base_info.id == "2542285634920880794"
    assert order.base_info.status is alibaba.OrderStatus.WAIT_SELLER_SEND
    assert order.base_info.total_amount == Decimal("39.9")
    assert order.base_info.discount == Fen(-3989)
    assert order.product_items[0].sub_item_id == "2542285634920880795"
    assert order.product_items[0].refund_id_for_as == "TQ1"
    assert order.product_items[0].extra == {"weightUnit": "g"}
    assert order.order_biz_info == {"dropshipping": True}


def test_a_status_that_is_no_text_stays_what_it_is() -> None:
    assert OrderStatus.read(7) == 7
    assert OrderStatus.read("wait_buyer_pay") is OrderStatus.read("waitbuyerpay")
