"""Reading messages: the frame is fixed, everything in it may be new."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.callbacks import (
    CallbackReason,
    CallbackRefusedError,
    CallbackType,
    Message,
    RefundChange,
    StatusChange,
    TaobaoOrderView,
    TaobaoRefundChange,
    read,
)
from pandapon_async.callbacks.messages import content_id
from pandapon_async.models.alibaba.orders import Order, OrderStatus
from pandapon_async.models.alibaba.refunds import RefundStatus
from pandapon_async.models.taobao.refunds import RefundDetail
from pandapon_async.models.taobao.refunds import RefundStatus as TaobaoStatus

PRICE = "1688_ORDER_BUYER_VIEW_ORDER_PRICE_MODIFY"
TAOBAO_PRICE = "TAOBAO_ORDER_BUYER_VIEW_ORDER_PRICE_MODIFY"
REFUND = "1688_ORDER_BUYER_VIEW_ORDER_REFUND_AFTER_SALES"


def frame(
    name: Any = REFUND, body: Any = None, platform: Any = 1, timestamp: Any = "1715669977082", **more: Any
) -> bytes:
    message = {"messageType": name, "messageBody": body, "messagePlatform": platform, "timestamp": timestamp}
    return json.dumps({**message, **more}).encode()


REFUND_BODY = {
    "orderId": 2542285634920880794,
    "refundId": "TQ201808300000001",
    "refundAction": "SELLER_AGREE_REFUND",
    "currentStatus": "waitbuyersend",
    "operator": "seller",
    "msgSendTime": "2024-05-14 14:59:37",
    "newField": 1.5,
}


@pytest.mark.parametrize("as_text", [False, True])
def test_a_refund_message(as_text: bool) -> None:
    message = read(frame(body=json.dumps(REFUND_BODY) if as_text else REFUND_BODY))
    assert (message.platform, message.kind, message.type) == ("1688", CallbackType.REFUND, REFUND)
    assert (message.order_id, message.refund_id) == ("2542285634920880794", "TQ201808300000001")
    assert message.key == "1688:refund:TQ201808300000001"
    assert message.timestamp == datetime(2024, 5, 14, 6, 59, 37, 82000, tzinfo=UTC)
    assert message.moment == datetime(2024, 5, 14, 6, 59, 37, tzinfo=UTC)
    change = message.content
    assert isinstance(change, RefundChange)
    assert (change.current_status, change.refund_action) == (
        RefundStatus.WAIT_BUYER_SEND,
        "SELLER_AGREE_REFUND",
    )
    assert change.extra == {"newField": Decimal("1.5")}
    assert message.body["orderId"] == 2542285634920880794


def test_the_price_of_a_1688_order() -> None:
    body = {
        "baseInfo": {"id": 2542285634920880794, "status": "waitbuyerpay", "totalAmount": 12.5},
        "productItems": [{"subItemID": 1, "price": 12.5}],
        "nativeLogistics": {"mobile": "13800001111"},
        "orderBizInfo": {"odsCyd": False},
    }
    message = read(frame(PRICE, body))
    assert (message.kind, message.order_id, message.refund_id) == (
        CallbackType.PRICE,
        "2542285634920880794",
        None,
    )
    assert message.key == "1688:order:2542285634920880794"
    order = message.content
    assert isinstance(order, Order)
    assert order.base_info is not None
    assert (order.base_info.status, order.base_info.total_amount) == (
        OrderStatus.WAIT_BUYER_PAY,
        Decimal("12.5"),
    )
    assert "13800001111" not in repr(message)
    assert "13800001111" not in repr(order)


def test_the_price_of_a_taobao_order() -> None:
    body = {
        "salesOrderId": "SO-1",
        "subOrders": [{"purchase_order_outer_id": 7, "product_amount": 1250, "quantity": 2, "new": 1}],
        "purchaseOrderPriceDTO": {"total": 1250},
    }
    message = read(frame(TAOBAO_PRICE, body, 0))
    assert (message.platform, message.kind, message.order_id) == ("taobao", CallbackType.PRICE, "SO-1")
    order = message.content
    assert isinstance(order, TaobaoOrderView)
    assert order.sub_orders is not None
    (line,) = order.sub_orders
    assert (line.purchase_order_outer_id, line.product_amount, line.quantity) == ("7", Decimal(1250), 2)
    assert (line.extra, order.purchase_order_price) == ({"new": 1}, {"total": 1250})


def test_a_taobao_refund() -> None:
    body = {"refundId": 110000235001, "purchaseOrderId": "1022505290408395575", "refundStatus": "-20"}
    message = read(frame("TAOBAO_ORDER_REVERSE", body, "0"))
    assert (message.platform, message.kind, message.refund_id) == (
        "taobao",
        CallbackType.REFUND,
        "110000235001",
    )
    assert isinstance(message.content, TaobaoRefundChange)
    assert message.content.refund_status is TaobaoStatus.CLOSED
    assert message.order_id == "1022505290408395575"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"baseInfo": {"id": 1}}, Order),
        ({"refundOrderAggregate": {"refundOrder": {"refundId": 1}}}, RefundDetail),
        ({"subOrders": []}, TaobaoOrderView),
    ],
)
def test_a_body_is_told_by_its_shape_first(body: Any, expected: type[Any]) -> None:
    assert isinstance(read(frame("1688_SOME_STATUS", body)).content, expected)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (PRICE, CallbackType.PRICE),
        (TAOBAO_PRICE, CallbackType.PRICE),
        (REFUND, CallbackType.REFUND),
        ("1688_ORDER_BUYER_VIEW_ORDER_BUYER_REFUND_IN_SALES", CallbackType.REFUND),
        ("ORDER_BUYER_VIEW_ORDER_BUYER_REFUND", CallbackType.REFUND),
        ("TAOBAO_ORDER_AFTERSALE", CallbackType.REFUND),
        ("1688_ORDER_BUYER_VIEW_ANNOUNCE_SENDGOODS", CallbackType.STATUS),
        ("1688_ORDER_BUYER_VIEW_ORDER_COMFIRM_RECEIVEGOODS", CallbackType.STATUS),
        ("1688_ORDER_BUYER_VIEW_ORDER_BOPS_CLOSE", CallbackType.STATUS),
        ("1688_ORDER_BUYER_VIEW_BUYER_MAKE", CallbackType.STATUS),
        ("ORDER_PAY_SUCCESS", CallbackType.STATUS),
        ("ORDER_CANCEL", CallbackType.STATUS),
        ("TAOBAO_ORDER_STATUS_MODIFY", CallbackType.STATUS),
        ("1688_ORDER_BUYER_VIEW_MODIFY_MEMO", CallbackType.OTHER),
        ("9", CallbackType.OTHER),
        ("", CallbackType.OTHER),
    ],
)
def test_types_have_groups(name: str, kind: CallbackType) -> None:
    assert read(frame(name)).kind is kind


@pytest.mark.parametrize(
    ("platform", "name", "expected"),
    [
        (0, "X", "taobao"),
        (1, "X", "1688"),
        ("1", "X", "1688"),
        (7, "1688_X", "7"),
        (None, "1688_X", "1688"),
        (None, "TAOBAO_X", "taobao"),
        (True, "X", ""),
        (None, "X", ""),
        ({}, "X", ""),
    ],
)
def test_platforms(platform: Any, name: str, expected: str) -> None:
    assert read(frame(name, platform=platform)).platform == expected


@pytest.mark.parametrize(
    ("timestamp", "expected"),
    [
        ("1715669977082", datetime(2024, 5, 14, 6, 59, 37, 82000, tzinfo=UTC)),
        (1715669977082, datetime(2024, 5, 14, 6, 59, 37, 82000, tzinfo=UTC)),
        ("1715669977", datetime(2024, 5, 14, 6, 59, 37, tzinfo=UTC)),
        (1715669977, datetime(2024, 5, 14, 6, 59, 37, tzinfo=UTC)),
        ("2024-05-14 14:59:37", datetime(2024, 5, 14, 6, 59, 37, tzinfo=UTC)),
        ("20240514145937082+0800", datetime(2024, 5, 14, 6, 59, 37, 82000, tzinfo=UTC)),
        ("soon", None),
        ("", None),
        (None, None),
        (True, None),
        (-1, None),
        (10**30, None),
        ([], None),
        (1.5, None),
    ],
)
def test_times(timestamp: Any, expected: datetime | None) -> None:
    message = read(frame(timestamp=timestamp))
    assert message.timestamp == message.moment == expected


def test_the_unknown_is_handed_through_whole() -> None:
    raw = frame("1688_BRAND_NEW", {"a": {"b": [1, "二"]}}, 9, traceId="t-1")
    message = read(raw)
    assert (message.platform, message.type, message.kind) == ("9", "1688_BRAND_NEW", CallbackType.OTHER)
    assert message.content == message.body == {"a": {"b": [1, "二"]}}
    assert (message.extra, message.raw, message.misfit) == ({"traceId": "t-1"}, raw, None)
    assert message.key is None


def test_a_number_may_be_a_type() -> None:
    assert read(frame(9)).type == "9"
    assert read(b'{"messageBody": {}}').type == ""


@pytest.mark.parametrize("body", ["plain words", 5, None, [1, 2], True, ""])
def test_a_body_may_be_anything(body: Any) -> None:
    message = read(frame(body=body))
    assert (message.body, message.content, message.order_id) == (body, body, None)


def test_a_body_that_does_not_fit_its_model_is_there_as_it_came() -> None:
    message = read(frame(body={"refundId": "TQ1", "refundAction": ["?"]}))
    assert message.content == message.body
    assert message.misfit == "$.messageBody.refundAction"
    assert message.refund_id == "TQ1"


def test_a_status_message() -> None:
    message = read(frame("1688_ORDER_BUYER_VIEW_ORDER_SUCCESS", {"orderId": 1, "currentStatus": "success"}))
    assert isinstance(message.content, StatusChange)
    assert message.content.current_status is OrderStatus.SUCCESS


@pytest.mark.parametrize("value", [True, 1.5, [], {}, "", "x" * 65, 10**70, None])
def test_what_is_no_id_is_none(value: Any) -> None:
    assert read(frame(body={"refundId": value})).refund_id is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        b"null",
        b"[]",
        b'"text"',
        b"1",
        b"{",
        b'{"messageType": "A"} x',
        b'\xef\xbb\xbf{"messageType": "A"}',
        '{"messageType": "退款"}'.encode("gbk"),
        b'{"messageType": "\xff"}',
        b'{"messageType": "\\ud800"}',
        b'{"messageType": "A", "messageType": "B"}',
        b'{"messageType": NaN}',
        b'{"messageType": {}}',
        b'{"messageType": true}',
        b'{"messageType": 1.5}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"messageBody": ' + b"9" * 5000 + b"}",
        b'{"messageBody": 1e999999999}',
        b'{"messageType": "A", "messageBody": "{not json"}',
        json.dumps({"messageType": "A", "messageBody": "[" * 100_000}).encode(),
        json.dumps({"messageType": "A", "messageBody": '{"a": 1, "a": 2}'}).encode(),
        json.dumps({"messageType": "A", "messageBody": '{"a": "\\ud800"}'}).encode(),
    ],
    ids=lambda raw: repr(raw[:30]),
)
def test_what_is_no_message_is_one_typed_error(raw: bytes) -> None:
    with pytest.raises(CallbackRefusedError) as refused:
        read(raw)
    assert refused.value.reason is CallbackReason.UNREADABLE
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def read_or_refused(raw: bytes) -> Message | None:
    """The message, or None where it was refused; no other error gets through."""
    try:
        return read(raw)
    except CallbackRefusedError:
        return None


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_that_error(raw: bytes) -> None:
    message = read_or_refused(raw)
    assert message is None or message.raw == raw


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)
NAMES = st.sampled_from(
    [
        "messageType",
        "messageBody",
        "messagePlatform",
        "timestamp",
        "baseInfo",
        "refundId",
        "orderId",
        "subOrders",
    ]
)


@given(st.dictionaries(NAMES, JSON | st.dictionaries(NAMES, JSON, max_size=4), max_size=5))
def test_any_object_is_a_message_or_that_error(value: dict[str, Any]) -> None:
    message = read_or_refused(json.dumps(value).encode())
    if message is not None:
        assert isinstance(content_id(message), str)
        assert message.moment is None or message.moment.tzinfo is not None


def test_the_content_tells_messages_apart_but_not_retries() -> None:
    one = read(frame(body={"refundId": "TQ1", "currentStatus": "a"}))
    again = read(frame(body={"currentStatus": "a", "refundId": "TQ1"}, timestamp="1715669999999"))
    other = read(frame(body={"refundId": "TQ1", "currentStatus": "b"}))
    assert one.id != again.id
    assert content_id(one) == content_id(again) != content_id(other)
    assert content_id(read(frame(body={"a": 2**70}))) == read(frame(body={"a": 2**70})).id
