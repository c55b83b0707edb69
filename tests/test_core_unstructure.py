"""Models back into JSON: nothing lost, nothing personal unless asked for."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs
import pytest

from pandapon_async.core.structure import structurer
from pandapon_async.core.unstructure import HIDDEN, count_extra, to_json
from pandapon_async.models.alibaba.orders import NativeLogistics, Order, OrderBaseInfo, OrderStatus
from pandapon_async.models.alibaba.refunds import Refund, RefundStatus
from pandapon_async.models.taobao.refunds import RefundPage
from pandapon_async.money import Fen

CANARY = "13800001111"


def test_every_kind_of_value() -> None:
    refund = Refund(
        id="2542285634920880794",
        status=RefundStatus.REFUND_SUCCESS,
        apply_payment=Fen(1250),
        gmt_apply=datetime(2018, 4, 23, 9, 11, 16, tzinfo=UTC),
        buyer_send_goods=False,
        order_entry_id_list=["1", "2"],
    )
    made = to_json(refund)
    assert made == {
        "id": "2542285634920880794",
        "status": "refundsuccess",
        "applyPayment": 1250,
        "gmtApply": "2018-04-23T09:11:16+00:00",
        "buyerSendGoods": False,
        "orderEntryIdList": ["1", "2"],
    }
    assert type(made["applyPayment"]) is int
    assert json.loads(json.dumps(made)) == made


def test_wire_names_and_decimals() -> None:
    order = Order(
        base_info=OrderBaseInfo(buyer_id="5", total_amount=Decimal("1E+2"), status=OrderStatus.CANCEL)
    )
    assert to_json(order) == {"baseInfo": {"buyerID": "5", "totalAmount": "100", "status": "cancel"}}


def test_personal_fields_are_hidden_unless_asked_for() -> None:
    order = Order(
        native_logistics=NativeLogistics(mobile=CANARY, contact_person="Li Example", area_code="330100"),
        order_invoice_info={"mobile": CANARY},
    )
    hidden = to_json(order)
    assert hidden["nativeLogistics"] == {"mobile": HIDDEN, "contactPerson": HIDDEN, "areaCode": "330100"}
    assert hidden["orderInvoiceInfo"] == HIDDEN
    assert CANARY in json.dumps(to_json(order, personal=True))


def test_unknown_fields_are_left_out_counted_and_shown() -> None:
    order = structurer(Order)(
        {"new": 1, "baseInfo": {"newer": {"a": 1}, "id": "1"}, "productItems": [{"n": 1}]}, None
    )
    assert count_extra(order) == 3
    assert to_json(order) == {"baseInfo": {"id": "1"}, "productItems": [{}]}
    shown = to_json(order, extra=True)
    assert shown == {"baseInfo": {"id": "1", "newer": {"a": 1}}, "productItems": [{"n": 1}], "new": 1}
    assert structurer(Order)(shown, None) == order


@pytest.mark.parametrize(
    "name",
    [
        "phone", "mobile", "mobilePhone", "telephone", "tel", "fax", "receiver", "receiverName",
        "contactPerson", "fullName", "toFullName", "name", "buyerNick", "buyerLoginId",
        "detailAddress", "email", "zip", "mobile_phone", "province",
        "city", "districtName", "consignee", "remark",
    ],
)  # fmt: skip
def test_where_no_model_knows_names_decide(name: str) -> None:
    given = {name: CANARY, "orderId": "77", "amount": Decimal("1.50"), "list": [{name: {"deep": CANARY}}]}
    hidden = to_json(given)
    assert hidden == {"orderId": "77", "amount": "1.50", "list": [{name: HIDDEN}], name: HIDDEN}
    assert to_json(given, personal=True)[name] == CANARY


@pytest.mark.parametrize(
    "name",
    ["orderId", "shopName", "itemTitle", "skuId", "status", "createTime", "price", "telltale", "success"],
)
def test_what_tells_of_nobody_is_shown(name: str) -> None:
    expected: Any = {"telltale": HIDDEN}.get(name, "x")
    assert to_json({name: "x"})[name] == expected
    assert to_json({"mobile": None, "phone": True}) == {"mobile": None, "phone": True}


def test_unknown_fields_are_no_way_around() -> None:
    order = structurer(Order)({"buyerMobile": CANARY}, None)
    assert CANARY not in json.dumps(to_json(order, extra=True))
    assert CANARY in json.dumps(to_json(order, extra=True, personal=True))


def test_a_page_keeps_its_items_and_its_total() -> None:
    page = structurer(RefundPage)({"list": [{"currency": "CNY"}], "total": 9, "pageNo": 1}, None)
    made = to_json(page, extra=True)
    assert made == {"items": [{"currency": "CNY"}], "total": 9, "pageNo": 1}
    assert structurer(RefundPage)(made, None).items == page.items


@pytest.mark.parametrize("value", [None, True, "text", 7])
def test_plain_answers_stay_what_they_are(value: Any) -> None:
    assert to_json(value) is value


def test_a_result_as_a_dict_has_the_names_of_its_attributes() -> None:
    order = structurer(Order)(
        {
            "baseInfo": {
                "id": 2542285634920880794,
                "totalAmount": Decimal("12.50"),
                "status": "cancel",
                "x": 1,
            },
            "nativeLogistics": {"mobile": CANARY, "areaCode": "330100"},
            "orderInvoiceInfo": {"mobile": CANARY, "taxpayer": {"phone": CANARY, "kind": 1}},
            "new": {"rate": Decimal("0.1")},
        },
        None,
    )
    made = order.to_dict()
    assert list(made) == [
        field.name
        for field in attrs.fields(Order)
        if field.name != "extra" and not field.metadata["personal"]
    ]
    assert made["base_info"]["id"] == "2542285634920880794"
    assert made["base_info"]["total_amount"] == "12.50"
    assert made["base_info"]["status"] == "cancel"
    assert made["base_info"]["refund_status"] is None
    assert made["native_logistics"]["area_code"] == "330100"
    assert "mobile" not in made["native_logistics"]
    assert CANARY not in order.to_json()
    assert "extra" not in order.to_json()
    whole = json.loads(order.to_json(personal=True))
    assert whole == order.to_dict(personal=True)
    assert whole["native_logistics"]["mobile"] == CANARY
    assert whole["extra"] == {"new": {"rate": "0.1"}}
    assert whole["base_info"]["extra"] == {"x": 1}


def test_money_of_a_result_is_whole_fen_and_a_moment_is_iso_8601() -> None:
    made = Refund(apply_payment=Fen(1250), gmt_apply=datetime(2018, 4, 23, 9, 11, 16, tzinfo=UTC)).to_dict()
    assert (made["apply_payment"], type(made["apply_payment"])) == (1250, int)
    assert made["gmt_apply"] == "2018-04-23T09:11:16+00:00"
    assert Refund(status="新状态").to_dict()["status"] == "新状态"
    assert '"新状态"' in Refund(status="新状态").to_json()


def test_a_page_as_a_dict_holds_its_items() -> None:
    page = structurer(RefundPage)({"list": [{"currency": "CNY"}], "total": 9, "pageNo": 1}, None)
    made = page.to_dict()
    assert made["total"] == 9
    assert made["items"][0]["currency"] == "CNY"
    assert json.loads(page.to_json()) == made
