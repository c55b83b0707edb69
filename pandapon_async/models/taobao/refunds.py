"""Taobao after-sales ("reverse orders"): the refund, its order line, its return.

Amounts are fen. The vendor's page spells `logisticCompanyCode` with one s, a newer page with two; both are
read.
"""

from __future__ import annotations

import enum
import re
from datetime import datetime
from typing import Any, Self

import attrs

from pandapon_async.core.model import Id, Model, OpenEnum, PageModel, Unread, field, model
from pandapon_async.money import Fen

__all__ = [
    "CancelledRefund",
    "GoodsStatus",
    "ItemProperty",
    "LogisticsCompany",
    "PurchaseOrderLine",
    "ReceiverAddress",
    "RefundAggregate",
    "RefundDetail",
    "RefundFee",
    "RefundLogistics",
    "RefundOrder",
    "RefundPage",
    "RefundReason",
    "RefundRender",
    "RefundStatus",
    "RefundTemplate",
    "RefundType",
    "listed_refund_id",
]


class RefundStatus(OpenEnum, enum.IntEnum):
    """The state of a reverse order; a number or text ("-20") on the wire."""

    NONE = 0
    """There is no refund."""
    APPLIED = 10
    """Applied for; the seller has to answer."""
    AWAITING_RETURN = 20
    """The buyer has to send the goods back."""
    AWAITING_RECEIPT = 30
    """The goods are on their way back."""
    SUCCESS = 100
    """Refunded. Final."""
    REFUSED = -10
    """The seller refused."""
    CLOSED = -20
    """Closed without a refund. Final."""

    @classmethod
    def read(cls, value: Any) -> Self | Any:
        """Return the member for a number or its text; another number as int, anything else unchanged."""
        if isinstance(value, str) and re.fullmatch("-?[0-9]{1,9}", value):
            value = int(value)
        return cls(value) if type(value) is int and value in cls._value2member_map_ else value

    @property
    def terminal(self) -> bool:
        """Whether the reverse order is finished for good."""
        return self in (RefundStatus.SUCCESS, RefundStatus.CLOSED)


class RefundType(enum.IntEnum):
    """Refund only, or return and refund; the numbers are the upstream's."""

    REFUND = 1
    """Refund only."""
    RETURN_REFUND = 2
    """Return and refund."""


class GoodsStatus(enum.IntEnum):
    """Where the goods are; the numbers are the upstream's."""

    NOT_SHIPPED = 1
    """The seller has not sent the goods."""
    SHIPPED = 2
    """The goods were sent."""
    NOT_RECEIVED = 3
    """The buyer does not have the goods."""
    RECEIVED = 4
    """The buyer has the goods."""
    SENT_BACK = 5
    """The buyer has sent the goods back."""
    SELLER_CONFIRMED = 6
    """The seller has the goods back."""


@model
class LogisticsCompany(Model):
    """A carrier."""

    logistic_company_code: str | None = field()
    """The carrier's code, as the older page spells the field."""
    logistics_company_code: str | None = field()
    """The carrier's code, as the newer page spells the field."""
    logistics_company_name: str | None = field()
    """The carrier's name."""


@model
class ReceiverAddress(Model):
    """Where the goods go back to."""

    detail_address: str | None = field(personal=True)
    """The address. Personal."""
    phone: str | None = field(personal=True)
    """The receiver's phone. Personal."""
    receiver: str | None = field(personal=True)
    """The receiver's name. Personal."""


@model
class RefundLogistics(Model):
    """How the goods go back."""

    buyer_phone: str | None = field(personal=True)
    """The buyer's phone. Personal."""
    logistics_company: LogisticsCompany | None = field()
    """The carrier."""
    logistics_no: str | None = field()
    """The waybill of the return."""
    receiver_address: ReceiverAddress | None = field()
    """Where the goods go back to."""
    return_goods_desc: str | None = field(personal=True)
    """The buyer's remark on the return. Personal."""
    seller_agree_return_describe: str | None = field(personal=True)
    """The seller's remark on agreeing. Personal."""


@model
class ItemProperty(Model):
    """One property of the bought item, such as its colour."""

    prop_id: Id | None = field()
    """The property's id."""
    prop_name: str | None = field()
    """The property's name, such as a colour."""
    value_id: Id | None = field()
    """The value's id."""
    value_name: str | None = field()
    """The value's name, such as red."""


@model
class PurchaseOrderLine(Model):
    """The order line of the refund."""

    create_time: datetime | None = field()
    """When the line was ordered."""
    currency: str | None = field()
    """The currency of its amounts."""
    hongbao_deduction_amount: Fen | None = field()
    """The part that was paid by red envelope and is refunded as one."""
    item_image_url: str | None = field()
    """A picture of the item."""
    item_title: str | None = field()
    """The item's title."""
    order_service_expressions: Unread = field()
    """Services bought with it, as plain JSON."""
    post_fee: Fen | None = field()
    """Freight in fen."""
    price: Fen | None = field()
    """The price of one piece in fen."""
    product_fee: Fen | None = field()
    """The price of the goods in fen."""
    properties: ItemProperty | list[ItemProperty] | None = field()
    """The properties of the bought variant."""
    purchase_order_id: Id | None = field()
    """The vendor's order."""
    purchase_order_line_id: Id | None = field()
    """The vendor's id of the line."""
    quantity: int | None = field()
    """How many pieces."""
    sales_market: str | None = field()
    """The market it was bought on."""
    sales_order_id: Id | None = field()
    """Taobao's order."""
    supplier_id: Id | None = field()
    """The shop's id."""
    supplier_nick: str | None = field(personal=True)
    """The shop's nickname. Personal."""
    total_price: Fen | None = field()
    """The amount of the whole line in fen."""


@model
class RefundOrder(Model):
    """The refund itself. At `timeout_date` the platform acts by itself if nobody else does."""

    can_edit_fee: bool | None = field()
    """Whether the amount may be changed."""
    fee_tips: str | None = field()
    """A note on the amount."""
    goods_status: int | None = field()
    """Where the goods are, as in `GoodsStatus`."""
    pay_order_id: Id | None = field()
    """The order of the payment."""
    reason_desc: str | None = field()
    """The reason in words."""
    reason_id: int | None = field()
    """The reason's id."""
    refund_desc: str | None = field(personal=True)
    """The buyer's remark. Personal."""
    refund_fee: Fen | None = field(strict=True)
    """The amount applied for or refunded, in fen."""
    refund_id: Id | None = field(strict=True)
    """The reverse order's id."""
    refund_status: RefundStatus | int | str | None = field(strict=True)
    """The state."""
    refund_type: int | None = field()
    """1 refund only, 2 return and refund."""
    remaining_time: int | str | None = field()
    """The time left for the party that has to act; its unit is not known."""
    seller_refuse_reason: str | None = field(personal=True)
    """Why the seller refused. Personal."""
    seller_refuse_reason_describe: str | None = field(personal=True)
    """The seller's remark on refusing. Personal."""
    timeout_date: datetime | None = field()
    """When the platform acts by itself if nobody does."""
    timeout_type: int | str | None = field()
    """What the platform does then, as its number."""


@model
class RefundAggregate(Model):
    """The refund with its order line and its logistics."""

    logistics: RefundLogistics | None = field()
    """How the goods go back."""
    purchase_order_line: PurchaseOrderLine | None = field()
    """The order line."""
    refund_order: RefundOrder | None = field()
    """The refund itself."""


@model
class RefundDetail(Model):
    """The answer to a query for one reverse order."""

    currency: str | None = field()
    """The currency of its amounts."""
    distributor_id: Id | None = field()
    """The buyer's id as a distributor."""
    refund_order_aggregate: RefundAggregate | None = field()
    """The refund with its order line and its logistics."""


@model
class CancelledRefund(RefundDetail):
    """A reverse order after its cancellation."""

    cancel_success: bool | None = field()
    """Whether it was cancelled."""


@model
class RefundPage(PageModel):
    """One page of the reverse orders that match a filter.

    The vendor's page does not show this answer, so how the client recognises the list is inferred.
    """

    items: list[RefundDetail] = attrs.field(factory=list)
    """The reverse orders of this page."""


def listed_refund_id(item: RefundDetail) -> str | None:
    """The refund that an item of a list is about; None if it does not say.

    No page shows an item: it may be as a single answer, or have the refund's fields at once.
    """
    aggregate = item.refund_order_aggregate
    if aggregate is not None and aggregate.refund_order is not None:
        return aggregate.refund_order.refund_id
    found = item.extra.get("refundId")
    return str(found) if type(found) in (int, str) else None


@model
class RefundReason(Model):
    """One reason for a reverse order."""

    reason_id: int | None = field()
    """The reason id that creating a reverse order needs."""
    reason_desc: str | None = field()
    """The reason in words."""
    tips: str | None = field()
    """A hint for the buyer."""


@model
class RefundFee(Model):
    """The amounts that may be refunded, in fen."""

    min_refund_fee: Fen | None = field()
    """The minimum in fen."""
    refund_fee: Fen | None = field()
    """The maximum in fen."""
    can_edit_refund_fee: bool | None = field()
    """Whether the amount may be changed."""
    fee_tips: str | None = field()
    """A note on the amount."""


@model
class RefundTemplate(Model):
    """The possible values of a reverse order."""

    refund_reasons: list[RefundReason] | None = field()
    """The reasons to choose from."""
    goods_status_list: list[Id] | None = field()
    """The places of the goods to choose from."""
    refund_order: RefundOrder | None = field()
    """The form as it would be created."""
    max_refund_fee: RefundFee | None = field()
    """The amounts that may be refunded."""


@model
class RefundRender(Model):
    """Whether a sub-order can be refunded (`sale_flag`), and how."""

    sale_flag: bool | None = field()
    """Whether the sub-order can be refunded."""
    currency: str | None = field()
    """The currency of the amounts."""
    distributor_id: Id | None = field()
    """The buyer's id as a distributor."""
    refund_order_template: RefundTemplate | None = field()
    """The possible values of the form."""
