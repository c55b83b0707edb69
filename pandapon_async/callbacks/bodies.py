"""The content of `messageBody`, as far as it is known.

Shown by a page: the price changes, 1688's being the buyer's view of the order
(`models.alibaba.orders.Order`), Taobao's being `TaobaoOrderView`. The pages of the status and refund messages
could not be read: their models carry the fields of the upstream topics of the same purpose, all of them
inferred. So a body is recognised by its form before its type, and `.extra` keeps unknown fields.
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
    """One line of a Taobao order, as the price message shows it; 18 more fields are in `.extra`."""

    purchase_order_outer_id: Id | None = field(wire="purchase_order_outer_id")
    """The buyer's own number of the order."""
    purchase_order_line_outer_id: Id | None = field(wire="purchase_order_line_outer_id")
    """The buyer's own number of the line."""
    close_time_without_payment: Unread = field(wire="close_time_without_payment")
    """When the line closes if it is not paid; its form is not known."""
    detail_error_code: Id | None = field(wire="detail_error_code")
    """The error of the line, if any."""
    product_amount: Decimal | None = field(wire="product_amount")
    """The amount of the goods; no page states its unit."""
    logistic_company_name: str | None = field(wire="logistic_company_name")
    """The carrier."""
    logistic_number: str | None = field(wire="logistic_number")
    """The waybill."""
    quantity: int | None = field()
    """How many pieces."""


@model
class TaobaoOrderView(Model):
    """A Taobao order whose price changed. No page shows the content of the price object."""

    sales_order_id: Id | None = field()
    """The platform's order."""
    sub_orders: list[TaobaoSubOrder] | None = field()
    """The lines of the order."""
    purchase_order_price: Unread = field(wire="purchaseOrderPriceDTO")
    """The prices; no page shows their content."""


@model
class StatusChange(Model):
    """An order changed its state; inferred from the upstream's topics and a platform with the same manual."""

    order_id: Id | None = field()
    """The order. Inferred."""
    current_status: OrderStatus | int | str | None = field()
    """The new state of the order, in the upstream's field. Inferred."""
    msg_send_time: datetime | None = field()
    """When the upstream sent the message. Inferred."""
    buyer_member_id: Id | None = field()
    """The buyer's id on the platform. Inferred."""
    seller_member_id: Id | None = field()
    """The seller's id on the platform. Inferred."""
    order_no: Id | None = field()
    """The order, in the field of a platform with the same manual. Inferred."""
    order_status: Id | None = field()
    """The new state of the order, in the field of such a platform. Inferred."""
    refund_status: Id | None = field()
    """The state of its refund, in the field of such a platform. Inferred."""
    close_reason: str | None = field()
    """Why the order was closed, in the field of such a platform. Inferred."""


@model
class RefundChange(Model):
    """A 1688 refund form was opened or changed; inferred from the upstream's refund topics."""

    order_id: Id | None = field()
    """The order. Inferred."""
    refund_id: Id | None = field()
    """The refund form (TQ...). Inferred."""
    refund_action: str | None = field()
    """What was done, such as BUYER_APPLY_REFUND or SELLER_AGREE_REFUND. Inferred."""
    current_status: RefundStatus | int | str | None = field()
    """The new state of the form. Inferred."""
    operator: str | None = field()
    """Who did it: buyer, seller or system. Inferred."""
    msg_send_time: datetime | None = field()
    """When the upstream sent the message. Inferred."""
    buyer_member_id: Id | None = field()
    """The buyer's id on 1688. Inferred."""
    seller_member_id: Id | None = field()
    """The seller's id on 1688. Inferred."""


@model
class TaobaoRefundChange(Model):
    """A Taobao reverse order was opened or changed; inferred, also from the calls about them."""

    refund_id: Id | None = field()
    """The reverse order. Inferred."""
    purchase_order_id: Id | None = field()
    """The purchase order. Inferred."""
    sales_order_id: Id | None = field()
    """The platform's order. Inferred."""
    order_id: Id | None = field()
    """The order, in another possible field. Inferred."""
    refund_action: str | None = field()
    """What was done. Inferred."""
    refund_status: TaobaoRefundStatus | int | str | None = field()
    """The new state of the reverse order. Inferred."""
    current_status: TaobaoRefundStatus | int | str | None = field()
    """The new state, in another possible field. Inferred."""
    operator: str | None = field()
    """Who did it. Inferred."""
    msg_send_time: datetime | None = field()
    """When the upstream sent the message. Inferred."""


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
    """Return the body as its model, or unchanged without a matching model, and the place that does not match.

    A body that does not match is not a reason to refuse a message: the handler gets all of it.
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
