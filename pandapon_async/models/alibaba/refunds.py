"""1688 after-sales: reasons, vouchers, refund forms.

`Refund` is the detail of a refund form. The vendor's page shows only its first fields, up to `buyer_user_id`
in the order of the alphabet; the rest follows the upstream platform's own detail answer and is marked as
inference in the README. All money here is in fen.
"""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Annotated, Any, Self

import attrs

from pandapon_async.core.model import Id, Model, OpenEnum, Unread, field, model
from pandapon_async.declare.fields import IntegerField, OrderIdInteger
from pandapon_async.money import Fen

__all__ = [
    "CreatedRefund",
    "DisputeRequest",
    "GoodsStatus",
    "OperationCarrier",
    "OrderEntryCount",
    "Refund",
    "RefundOperation",
    "RefundReason",
    "RefundStatus",
    "SubmittedReturn",
    "Voucher",
]


class GoodsStatus(enum.StrEnum):
    """Where the goods are, as the reason and create calls want it."""

    REFUND_WAIT_SELLER_SEND = "refundWaitSellerSend"
    """Before the order is completed: the seller has not sent the goods."""
    REFUND_WAIT_BUYER_RECEIVE = "refundWaitBuyerReceive"
    """Before the order is completed: the goods are on their way."""
    REFUND_BUYER_RECEIVED = "refundBuyerReceived"
    """Before the order is completed: the buyer has the goods."""
    AFTERSALE_BUYER_NOT_RECEIVED = "aftersaleBuyerNotReceived"
    """After the order was completed: the buyer does not have the goods."""
    AFTERSALE_BUYER_RECEIVED = "aftersaleBuyerReceived"
    """After the order was completed: the buyer has the goods."""


class DisputeRequest(enum.StrEnum):
    """Money back alone, or goods back and money back (only once the goods were received)."""

    REFUND = "refund"
    """Money back."""
    RETURN_REFUND = "returnRefund"
    """Goods back and money back."""


class RefundStatus(OpenEnum, enum.StrEnum):
    """State of a refund form. The upstream writes the same states also as WAIT_SELLER_AGREE."""

    WAIT_SELLER_AGREE = "waitselleragree"
    """The seller has to answer."""
    WAIT_BUYER_MODIFY = "waitbuyermodify"
    """The seller refused; the buyer may change the form."""
    WAIT_BUYER_SEND = "waitbuyersend"
    """The buyer has to send the goods back."""
    WAIT_SELLER_RECEIVE = "waitsellerreceive"
    """The goods are on their way back."""
    REFUND_SUCCESS = "refundsuccess"
    """Refunded. Final."""
    REFUND_CLOSE = "refundclose"
    """Closed without a refund. Final."""

    @classmethod
    def read(cls, value: Any) -> Self | Any:
        """The member for either spelling; anything else as it is."""
        if not isinstance(value, str):
            return value
        plain = value.replace("_", "").lower()
        try:
            return cls("refundclose" if plain == "refundclosed" else plain)
        except ValueError:
            return value

    @property
    def terminal(self) -> bool:
        """Whether the form is finished for good."""
        return self in (RefundStatus.REFUND_SUCCESS, RefundStatus.REFUND_CLOSE)

    @property
    def in_progress(self) -> bool:
        """Whether the form is open, and not refused and waiting for the buyer to change it."""
        return not self.terminal and self is not RefundStatus.WAIT_BUYER_MODIFY


@attrs.define(frozen=True, kw_only=True)
class OrderEntryCount:
    """How many pieces of one order line to refund, where not all of them."""

    id: OrderIdInteger
    """The id of the order line."""
    count: Annotated[int, IntegerField(1)]
    """How many pieces, from 1."""


@model
class RefundReason(Model):
    """One reason the seller accepts. `no_refund_carriage=True` means freight is NOT refundable."""

    id: int | None = field()
    """What `create` wants as `apply_reason_id`."""
    name: str | None = field()
    """The reason in words."""
    need_voucher: bool | None = field()
    """Whether proof images are required."""
    no_refund_carriage: bool | None = field()
    """True: freight is NOT refundable with this reason."""
    tip: str | None = field()
    """A hint for the buyer."""


@model
class Voucher(Model):
    """An uploaded proof image; `url` is what `create` and `return_goods` want in `vouchers`."""

    image_domain: str | None = field()
    """The host that the image is on."""
    image_relative_url: str | None = field()
    """The image's path on that host."""

    @property
    def url(self) -> str:
        """Domain and relative path, joined with one slash. Raises ValueError if either is missing."""
        if not self.image_domain or not self.image_relative_url:
            raise ValueError("the answer named no image domain or no path")
        return f"{self.image_domain.rstrip('/')}/{self.image_relative_url.lstrip('/')}"


@model
class CreatedRefund(Model):
    """The refund form that was opened."""

    refund_id: Id | None = field()
    """The new form's id (TQ...)."""


@model
class SubmittedReturn(Model):
    """Whether the return of goods was accepted; a refusal is raised as `RejectedError`."""

    success: bool | None = field()
    """Whether the return was accepted."""
    error_code: str | None = field()
    """The inner error code."""
    error_info: str | None = field()
    """The inner message, as it came."""


@model
class OperationCarrier(Model):
    """The carrier that a step names."""

    company_no: str | None = field()
    """The carrier's code."""
    company_name: str | None = field()
    """The carrier's name."""


@model
class RefundOperation(Model):
    """One step in the history of a refund form."""

    before_operate_status: RefundStatus | str | None = field()
    """The form's state before the step."""
    after_operate_status: RefundStatus | str | None = field()
    """The form's state after the step."""
    operate_remark: str | None = field(personal=True)
    """A remark to the step. Personal."""
    gmt_create: datetime | None = field()
    """When the step was made."""
    operate_type_int: int | None = field()
    """The kind of step, as the upstream numbers it."""
    operator_role_id: int | None = field()
    """Who did it. The upstream's page says 4 for the seller, its sample 2."""
    discription: str | None = field(personal=True)
    """What was said (the upstream's spelling)."""
    freight_bill: str | None = field()
    """The waybill that the step names."""
    logistics_company: OperationCarrier | None = field()
    """The carrier that the step names."""
    vouchers: list[str] | None = field()
    """Proof images of the step."""


@model
class Refund(Model):
    """A refund form of 1688 in full. Absent, null and unknown are None; amounts are fen."""

    id: Id | None = field()
    """The vendor's own number of the record; not the refund's id."""
    refund_id: Id | None = field(strict=True)
    """The form's id (TQ...)."""
    order_id: Id | None = field(strict=True)
    """The order."""
    order_entry_id_list: list[Id] | None = field()
    """The lines of the order that it is about."""
    status: RefundStatus | str | None = field(strict=True)
    """Where the form stands."""
    apply_payment: Fen | None = field(strict=True)
    """Fen applied for. Whether freight is part of it is not known: `VendorProfile.freight`."""
    apply_carriage: Fen | None = field(strict=True)
    """Fen of freight applied for."""
    apply_expect: Fen | None = field()
    """Fen that the buyer would like to have. The upstream says that it can be empty."""
    refund_payment: Fen | None = field(strict=True)
    """Fen paid back. Whether freight is part of it is not known: `VendorProfile.freight`."""
    refund_carriage: Fen | None = field(strict=True)
    """Fen of freight paid back."""
    can_refund_payment: Fen | None = field()
    """Fen that can be paid back at most."""
    frozen_fund: Fen | None = field()
    """Fen that are frozen; -1 in the upstream's sample, where nothing is."""
    apply_reason_id: int | None = field()
    """The reason's id."""
    apply_reason: str | None = field()
    """The reason in words."""
    apply_sub_reason_id: int | None = field()
    """The finer reason's id; 0 or -1 where there is none."""
    goods_status: int | None = field()
    """Where the goods are: 1 not received, 2 received, 3 sent back."""
    dispute_type: int | None = field()
    """1 before the order was completed, 2 after."""
    dispute_request: int | None = field()
    """What was asked for, as the upstream numbers it."""
    reject_reason: str | None = field(personal=True)
    """Why the seller refused. Personal."""
    reject_times: int | None = field()
    """How often the seller refused."""
    freight_bill: str | None = field()
    """The waybill of the return."""
    logistics_company_no: str | None = field()
    """The carrier of the return, by code."""
    buyer_send_goods: bool | None = field()
    """Whether the buyer has sent the goods back."""
    time_out_freeze: bool | None = field()
    """Whether the time limit is stopped."""
    time_out_operate_type: str | None = field()
    """What happens when the time limit passes, as the upstream writes it."""
    gmt_apply: datetime | None = field()
    """When it was applied for."""
    gmt_create: datetime | None = field()
    """When the form was made."""
    gmt_modified: datetime | None = field()
    """When the form last changed."""
    gmt_completed: datetime | None = field()
    """When the form was finished."""
    gmt_time_out: datetime | None = field()
    """Until when the party at turn has to act."""
    refund_operation_list: list[RefundOperation] | None = field()
    """The history of the form."""
    alipay_payment_id: Id | None = field()
    """Alipay's id of the payment."""
    create_by: str | None = field(personal=True)
    """Who made the vendor's record. Personal."""
    create_by_id: Id | None = field()
    """The id of who made the vendor's record."""
    create_time: datetime | None = field()
    """When the vendor's record was made."""
    update_by: str | None = field(personal=True)
    """Who last changed the vendor's record. Personal."""
    update_by_id: Id | None = field()
    """The id of who last changed the vendor's record."""
    update_time: datetime | None = field()
    """When the vendor's record last changed."""
    remark: str | None = field(personal=True)
    """A remark to the vendor's record. Personal."""
    product_name: str | None = field()
    """The product's name. Inferred."""
    trade_type_str: str | None = field()
    """How the order was paid, as the upstream writes it. Inferred."""
    task_status: int | str | None = field()
    """The state of a task of the platform's staff, if they stepped in. Inferred."""
    only_refund: bool | None = field()
    """Whether money alone is asked for. Inferred."""
    refund_goods: bool | None = field()
    """Whether goods go back. Inferred."""
    goods_received: bool | None = field()
    """Whether the buyer has the goods. Inferred."""
    new_refund_return: bool | None = field()
    """Whether it follows the upstream's newer process of returns. Inferred."""
    instant_refund_type: int | str | None = field()
    """The kind of instant refund, as the upstream numbers it. Inferred."""
    apply_sub_reason: str | None = field()
    """The finer reason in words. Inferred."""
    reject_reason_id: int | None = field()
    """The id of the seller's reason to refuse. Inferred."""
    order_entry_count_map: Unread = field()
    """How many pieces of each order line, by the line's id."""
    gmt_freezed: datetime | None = field()
    """When it was frozen. Inferred."""
    prepaid_balance: Fen | None = field()
    """Fen paid ahead. Inferred."""
    refund_official_solution_cost: Fen | None = field()
    """What an official solution costs the buyer."""
    insufficient_account: bool | None = field()
    """Whether the seller's account does not cover it. Inferred."""
    insufficient_bail: bool | None = field()
    """Whether the seller's deposit does not cover it. Inferred."""
    support_new_steppay: bool | None = field()
    """Whether it was paid by the upstream's newer instalments. Inferred."""
    seller_delay_disburse: bool | None = field()
    """Whether the seller pays later. Inferred."""
    aftersale_agree_timeout: bool | None = field()
    """Whether it was agreed to because a time limit passed. Inferred."""
    aftersale_auto_disburse: bool | None = field()
    """Whether the money is paid out without the seller. Inferred."""
    crm_modify_refund: bool | None = field()
    """Whether the platform's staff changed it. Inferred."""
    disburse_channel: str | None = field()
    """By which way the money is paid out. Inferred."""
    asyn_err_code: str | None = field()
    """An error of the payment behind it. Inferred."""
    asyn_sub_err_code: str | None = field()
    """A finer error of the payment behind it. Inferred."""
    ext_info: Unread = field(personal=True)
    """Further facts; the JSON that came. Personal."""
    buyer_logistics_name: str | None = field()
    """The carrier of the return, by name. Inferred."""
    buyer_alipay_id: Id | None = field(personal=True)
    """The buyer's id at Alipay. Personal."""
    buyer_member_id: Id | None = field(personal=True)
    """The buyer's member id. Personal."""
    buyer_login_id: str | None = field(personal=True)
    """The buyer's login. Personal."""
    buyer_user_id: Id | None = field(personal=True)
    """The buyer's user id. Personal."""
    seller_alipay_id: Id | None = field(personal=True)
    """The seller's id at Alipay. Personal."""
    seller_member_id: Id | None = field(personal=True)
    """The seller's member id. Personal."""
    seller_login_id: str | None = field(personal=True)
    """The seller's login. Personal."""
    seller_user_id: Id | None = field(personal=True)
    """The seller's user id. Personal."""
    seller_real_name: str | None = field(personal=True)
    """The seller's name. Personal."""
    seller_mobile: str | None = field(personal=True)
    """The seller's mobile phone. Personal."""
    seller_tel: str | None = field(personal=True)
    """The seller's phone. Personal."""
    seller_receive_address: str | None = field(personal=True)
    """Where the goods go back to. Personal."""
