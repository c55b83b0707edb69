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
]


class RefundStatus(OpenEnum, enum.IntEnum):
    """State of a reverse order; travels as a number or as text ("-20")."""

    NONE = 0
    APPLIED = 10
    AWAITING_RETURN = 20
    AWAITING_RECEIPT = 30
    SUCCESS = 100
    REFUSED = -10
    CLOSED = -20

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
    RETURN_REFUND = 2


class GoodsStatus(enum.IntEnum):
    """Where the goods are; the numbers are the upstream's."""

    NOT_SHIPPED = 1
    SHIPPED = 2
    NOT_RECEIVED = 3
    RECEIVED = 4
    SENT_BACK = 5
    SELLER_CONFIRMED = 6


@model
class LogisticsCompany(Model):
    """A carrier."""

    logistic_company_code: str | None = field()
    logistics_company_code: str | None = field()
    logistics_company_name: str | None = field()


@model
class ReceiverAddress(Model):
    """Where the goods go back to."""

    detail_address: str | None = field(personal=True)
    phone: str | None = field(personal=True)
    receiver: str | None = field(personal=True)


@model
class RefundLogistics(Model):
    """How the goods go back."""

    buyer_phone: str | None = field(personal=True)
    logistics_company: LogisticsCompany | None = field()
    logistics_no: str | None = field()
    receiver_address: ReceiverAddress | None = field()
    return_goods_desc: str | None = field(personal=True)
    seller_agree_return_describe: str | None = field(personal=True)


@model
class ItemProperty(Model):
    """One property of the bought item, such as its colour."""

    prop_id: Id | None = field()
    prop_name: str | None = field()
    value_id: Id | None = field()
    value_name: str | None = field()


@model
class PurchaseOrderLine(Model):
    """The order line the refund is about."""

    create_time: datetime | None = field()
    currency: str | None = field()
    hongbao_deduction_amount: Fen | None = field()
    """What of it was paid by red envelope, and is given back as one."""
    item_image_url: str | None = field()
    item_title: str | None = field()
    order_service_expressions: Unread = field()
    post_fee: Fen | None = field()
    price: Fen | None = field()
    product_fee: Fen | None = field()
    properties: ItemProperty | list[ItemProperty] | None = field()
    purchase_order_id: Id | None = field()
    purchase_order_line_id: Id | None = field()
    quantity: int | None = field()
    sales_market: str | None = field()
    sales_order_id: Id | None = field()
    supplier_id: Id | None = field()
    supplier_nick: str | None = field(personal=True)
    total_price: Fen | None = field()


@model
class RefundOrder(Model):
    """The refund itself. `timeout_date` is when the platform acts by itself if nobody does."""

    can_edit_fee: bool | None = field()
    fee_tips: str | None = field()
    goods_status: int | None = field()
    pay_order_id: Id | None = field()
    reason_desc: str | None = field()
    reason_id: int | None = field()
    refund_desc: str | None = field(personal=True)
    refund_fee: Fen | None = field(strict=True)
    refund_id: Id | None = field(strict=True)
    refund_status: RefundStatus | int | str | None = field(strict=True)
    refund_type: int | None = field()
    remaining_time: int | str | None = field()
    seller_refuse_reason: str | None = field(personal=True)
    seller_refuse_reason_describe: str | None = field(personal=True)
    timeout_date: datetime | None = field()
    timeout_type: int | str | None = field()


@model
class RefundAggregate(Model):
    """The refund with its order line and its logistics."""

    logistics: RefundLogistics | None = field()
    purchase_order_line: PurchaseOrderLine | None = field()
    refund_order: RefundOrder | None = field()


@model
class RefundDetail(Model):
    """What a query for one reverse order gives."""

    currency: str | None = field()
    distributor_id: Id | None = field()
    refund_order_aggregate: RefundAggregate | None = field()


@model
class CancelledRefund(RefundDetail):
    """A cancelled reverse order, as it stands after the cancellation."""

    cancel_success: bool | None = field()


@model
class RefundPage(PageModel):
    """One page of the reverse orders that match a filter.

    The vendor's page does not show this answer: how the list is recognised is an inference.
    """

    items: list[RefundDetail] = attrs.field(factory=list)


@model
class RefundReason(Model):
    """One reason a reverse order may give."""

    reason_id: int | None = field()
    reason_desc: str | None = field()
    tips: str | None = field()


@model
class RefundFee(Model):
    """How much may be asked back; fen."""

    min_refund_fee: Fen | None = field()
    refund_fee: Fen | None = field()
    can_edit_refund_fee: bool | None = field()
    fee_tips: str | None = field()


@model
class RefundTemplate(Model):
    """What a reverse order can be filled in with."""

    refund_reasons: list[RefundReason] | None = field()
    goods_status_list: list[Id] | None = field()
    refund_order: RefundOrder | None = field()
    max_refund_fee: RefundFee | None = field()


@model
class RefundRender(Model):
    """Whether a sub-order can be refunded (`sale_flag`), and how."""

    sale_flag: bool | None = field()
    currency: str | None = field()
    distributor_id: Id | None = field()
    refund_order_template: RefundTemplate | None = field()
