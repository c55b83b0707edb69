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
    """One line of a Taobao order, as the price message shows it; 18 more fields are in `.extra`."""

    purchase_order_outer_id: Id | None = field(wire="purchase_order_outer_id")
    """The buyer's own number of the order."""
    purchase_order_line_outer_id: Id | None = field(wire="purchase_order_line_outer_id")
    """The buyer's own number of the line."""
    close_time_without_payment: Unread = field(wire="close_time_without_payment")
    """When the line closes if it is not paid; its form is not known."""
    detail_error_code: Id | None = field(wire="detail_error_code")
    """What went wrong with the line, if anything."""
    product_amount: Decimal | None = field(wire="product_amount")
    """The amount of the goods; no page says in what unit."""
    logistic_company_name: str | None = field(wire="logistic_company_name")
    """The carrier."""
    logistic_number: str | None = field(wire="logistic_number")
    """The waybill."""
    quantity: int | None = field()
    """How many pieces."""


@model
class TaobaoOrderView(Model):
    """A Taobao order whose price changed. What the price object holds, no page shows."""

    sales_order_id: Id | None = field()
    """The platform's order."""
    sub_orders: list[TaobaoSubOrder] | None = field()
    """The lines of the order."""
    purchase_order_price: Unread = field(wire="purchaseOrderPriceDTO")
    """The prices; no page shows what is in it."""


@model
class StatusChange(Model):
    """An order went on; inferred from the upstream's order topics and a platform with the same manual."""

    order_id: Id | None = field()
    """The order. Inferred."""
    current_status: OrderStatus | int | str | None = field()
    """Where the order stands now, as the upstream names the field. Inferred."""
    msg_send_time: datetime | None = field()
    """When the upstream sent the message. Inferred."""
    buyer_member_id: Id | None = field()
    """The buyer's id on the platform. Inferred."""
    seller_member_id: Id | None = field()
    """The seller's id on the platform. Inferred."""
    order_no: Id | None = field()
    """The order, as a platform with the same manual names it. Inferred."""
    order_status: Id | None = field()
    """Where the order stands now, as such a platform names it. Inferred."""
    refund_status: Id | None = field()
    """Where its refund stands, as such a platform names it. Inferred."""
    close_reason: str | None = field()
    """Why the order was closed, as such a platform names it. Inferred."""


@model
class RefundChange(Model):
    """A 1688 refund form came to be or went on; inferred from the upstream's refund topics."""

    order_id: Id | None = field()
    """The order. Inferred."""
    refund_id: Id | None = field()
    """The refund form (TQ...). Inferred."""
    refund_action: str | None = field()
    """What was done, such as BUYER_APPLY_REFUND or SELLER_AGREE_REFUND. Inferred."""
    current_status: RefundStatus | int | str | None = field()
    """Where the form stands now. Inferred."""
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
    """A Taobao reverse order came to be or went on; inferred, also from the calls about them."""

    refund_id: Id | None = field()
    """The reverse order. Inferred."""
    purchase_order_id: Id | None = field()
    """The purchase order. Inferred."""
    sales_order_id: Id | None = field()
    """The platform's order. Inferred."""
    order_id: Id | None = field()
    """The order, where the message names it so. Inferred."""
    refund_action: str | None = field()
    """What was done. Inferred."""
    refund_status: TaobaoRefundStatus | int | str | None = field()
    """Where the reverse order stands now. Inferred."""
    current_status: TaobaoRefundStatus | int | str | None = field()
    """The same, where the message names it so. Inferred."""
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
    """The body as its model, or as it is where none is known or it does not fit; and where it does not.

    A body that does not fit is not a reason to refuse a message: whoever handles it gets all of it.
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
