"""What `messageBody` holds, as far as it is known.

Shown by a page: the price changes, 1688's being the buyer's view of the order
(`models.alibaba.orders.Order`), Taobao's being `TaobaoOrderView`. The pages of the status and refund
messages could not be read: their models carry the fields of the upstream topics of the same purpose, all
of them inferred. A body is therefore told by its shape before it is told by its type, and what no model
knows is kept in `.extra`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from pandapon_async.core.model import Id, Model, Unread, field, model
from pandapon_async.core.structure import StructureError, structurer
from pandapon_async.models.alibaba.orders import Order, OrderStatus
from pandapon_async.models.alibaba.refunds import RefundStatus
from pandapon_async.models.taobao.refunds import RefundDetail
from pandapon_async.models.taobao.refunds import RefundStatus as TaobaoRefundStatus

__all__ = ["RefundChange", "StatusChange", "TaobaoOrderView", "TaobaoRefundChange", "TaobaoSubOrder", "typed"]


@model
class TaobaoSubOrder(Model):
    """One line of a Taobao order, as the price message shows it; 18 more fields are in `.extra`.

    In what unit `product_amount` is, is not said.
    """

    purchase_order_outer_id: Id | None = field(wire="purchase_order_outer_id")
    purchase_order_line_outer_id: Id | None = field(wire="purchase_order_line_outer_id")
    close_time_without_payment: Unread = field(wire="close_time_without_payment")
    detail_error_code: Id | None = field(wire="detail_error_code")
    product_amount: Decimal | None = field(wire="product_amount")
    logistic_company_name: str | None = field(wire="logistic_company_name")
    logistic_number: str | None = field(wire="logistic_number")
    quantity: int | None = field()


@model
class TaobaoOrderView(Model):
    """A Taobao order whose price changed. What the price object holds, no page shows."""

    sales_order_id: Id | None = field()
    sub_orders: list[TaobaoSubOrder] | None = field()
    purchase_order_price: Unread = field(wire="purchaseOrderPriceDTO")


@model
class StatusChange(Model):
    """An order went on; inferred from the upstream's order topics.

    `current_status` is the upstream's name of the field, `order_status`, `order_no`, `refund_status` and
    `close_reason` those of a platform with the same manual.
    """

    order_id: Id | None = field()
    current_status: OrderStatus | int | str | None = field()
    msg_send_time: datetime | None = field()
    buyer_member_id: Id | None = field()
    seller_member_id: Id | None = field()
    order_no: Id | None = field()
    order_status: Id | None = field()
    refund_status: Id | None = field()
    close_reason: str | None = field()


@model
class RefundChange(Model):
    """A 1688 refund form came to be or went on; inferred from the upstream's refund topics.

    `refund_action` is what was done, such as BUYER_APPLY_REFUND or SELLER_AGREE_REFUND (some thirty
    values), `operator` who did it: buyer, seller or system.
    """

    order_id: Id | None = field()
    refund_id: Id | None = field()
    refund_action: str | None = field()
    current_status: RefundStatus | int | str | None = field()
    operator: str | None = field()
    msg_send_time: datetime | None = field()
    buyer_member_id: Id | None = field()
    seller_member_id: Id | None = field()


@model
class TaobaoRefundChange(Model):
    """A Taobao reverse order came to be or went on; inferred, also from the calls about them."""

    refund_id: Id | None = field()
    purchase_order_id: Id | None = field()
    sales_order_id: Id | None = field()
    order_id: Id | None = field()
    refund_action: str | None = field()
    refund_status: TaobaoRefundStatus | int | str | None = field()
    current_status: TaobaoRefundStatus | int | str | None = field()
    operator: str | None = field()
    msg_send_time: datetime | None = field()


_BY_SHAPE: Mapping[str, type[Model]] = {
    "baseInfo": Order,
    "productItems": Order,
    "subOrders": TaobaoOrderView,
    "refundOrderAggregate": RefundDetail,
}
_BY_TYPE: Mapping[tuple[str, str], type[Model]] = {
    ("1688", "price"): Order,
    ("1688", "status"): StatusChange,
    ("1688", "refund"): RefundChange,
    ("taobao", "price"): TaobaoOrderView,
    ("taobao", "status"): StatusChange,
    ("taobao", "refund"): TaobaoRefundChange,
}


def typed(platform: str, kind: str, body: Any) -> tuple[Any, str | None]:
    """The body as its model, or as it is where none is known or it does not fit; and where it does not.

    A body that does not fit is no reason to refuse a message: whoever handles it gets all of it.
    """
    if not isinstance(body, dict):
        return body, None
    shaped = next((known for name, known in _BY_SHAPE.items() if name in body), None)
    expected = shaped or _BY_TYPE.get((platform, kind))
    if expected is None:
        return body, None
    try:
        return structurer(expected)(body, None), None
    except StructureError as mismatch:
        return body, mismatch.path.replace("$.data", "$.messageBody", 1)
