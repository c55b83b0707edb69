"""Taobao after-sales ("reverse orders"): the refund, its order line, its way back.

Amounts are fen. The vendor's page spells `logisticCompanyCode` with one s, the newer one with two;
both are read.
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
    """State of a reverse order; travels as a number or as text ("-20")."""

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
        """The member for a number or its text; another number as int, anything else as it is."""
        if isinstance(value, str) and re.fullmatch("-?[0-9]{1,9}", value):
            value = int(value)
        return cls(value) if type(value) is int and value in cls._value2member_map_ else value

    @property
    def terminal(self) -> bool:
        """Whether the reverse order is finished for good."""
        return self in (RefundStatus.SUCCESS, RefundStatus.CLOSED)


class RefundType(enum.IntEnum):
    """Money back alone, or goods back and money back; the numbers are the upstream's."""

    REFUND = 1
    """Money back."""
    RETURN_REFUND = 2
    """Goods back and money back."""


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
    """What the buyer said of the return. Personal."""
    seller_agree_return_describe: str | None = field(personal=True)
    """What the seller said when agreeing. Personal."""


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
    """The order line the refund is about."""

    create_time: datetime | None = field()
    """When the line was ordered."""
    currency: str | None = field()
    """The currency of its amounts."""
    hongbao_deduction_amount: Fen | None = field()
    """What of it was paid by red envelope, and is given back as one."""
    item_image_url: str | None = field()
    """A picture of the item."""
    item_title: str | None = field()
    """The item's title."""
    order_service_expressions: Unread = field()
    """Services bought with it; the JSON that came."""
    post_fee: Fen | None = field()
    """Fen of freight."""
    price: Fen | None = field()
    """Fen of one piece."""
    product_fee: Fen | None = field()
    """Fen of the goods."""
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
    """Fen of the whole line."""


@model
class RefundOrder(Model):
    """The refund itself. `timeout_date` is when the platform acts by itself if nobody does."""

    can_edit_fee: bool | None = field()
    """Whether the amount may be changed."""
    fee_tips: str | None = field()
    """A hint on the amount."""
    goods_status: int | None = field()
    """Where the goods are, as in `GoodsStatus`."""
    pay_order_id: Id | None = field()
    """The payment's order."""
    reason_desc: str | None = field()
    """The reason in words."""
    reason_id: int | None = field()
    """The reason's id."""
    refund_desc: str | None = field(personal=True)
    """What the buyer said. Personal."""
    refund_fee: Fen | None = field(strict=True)
    """Fen applied for or paid back."""
    refund_id: Id | None = field(strict=True)
    """The reverse order's id."""
    refund_status: RefundStatus | int | str | None = field(strict=True)
    """Where it stands."""
    refund_type: int | None = field()
    """1 money back, 2 goods back and money back."""
    remaining_time: int | str | None = field()
    """How long the party at turn has left; its unit is not known."""
    seller_refuse_reason: str | None = field(personal=True)
    """Why the seller refused. Personal."""
    seller_refuse_reason_describe: str | None = field(personal=True)
    """What the seller said when refusing. Personal."""
    timeout_date: datetime | None = field()
    """When the platform acts by itself if nobody does."""
    timeout_type: int | str | None = field()
    """What the platform does then, as it numbers it."""


@model
class RefundAggregate(Model):
    """The refund with its order line and its logistics."""

    logistics: RefundLogistics | None = field()
    """How the goods go back."""
    purchase_order_line: PurchaseOrderLine | None = field()
    """The order line that it is about."""
    refund_order: RefundOrder | None = field()
    """The refund itself."""


@model
class RefundDetail(Model):
    """What a query for one reverse order gives."""

    currency: str | None = field()
    """The currency of its amounts."""
    distributor_id: Id | None = field()
    """The buyer's id as a distributor."""
    refund_order_aggregate: RefundAggregate | None = field()
    """The refund with its order line and its logistics."""


@model
class CancelledRefund(RefundDetail):
    """A cancelled reverse order, as it stands after the cancellation."""

    cancel_success: bool | None = field()
    """Whether it was cancelled."""


@model
class RefundPage(PageModel):
    """One page of the reverse orders that match a filter.

    The vendor's page does not show this answer: how the list is recognised is an inference.
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
    """One reason a reverse order may give."""

    reason_id: int | None = field()
    """What creating a reverse order wants."""
    reason_desc: str | None = field()
    """The reason in words."""
    tips: str | None = field()
    """A hint for the buyer."""


@model
class RefundFee(Model):
    """How much may be asked back; fen."""

    min_refund_fee: Fen | None = field()
    """The fewest fen that may be asked for."""
    refund_fee: Fen | None = field()
    """The most fen that may be asked for."""
    can_edit_refund_fee: bool | None = field()
    """Whether the amount may be changed."""
    fee_tips: str | None = field()
    """A hint on the amount."""


@model
class RefundTemplate(Model):
    """What a reverse order can be filled in with."""

    refund_reasons: list[RefundReason] | None = field()
    """The reasons to choose from."""
    goods_status_list: list[Id] | None = field()
    """The places of the goods to choose from."""
    refund_order: RefundOrder | None = field()
    """The form as it would be made."""
    max_refund_fee: RefundFee | None = field()
    """How much may be asked for."""


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
    """What the form can be filled in with."""
