"""1688 after-sales: reasons, vouchers, refund forms.

`Refund` is a refund form in full. The vendor's page shows only its first fields in alphabetical order, up to
`buyer_user_id`. The other fields follow the upstream platform's own answer; the README marks them as
inferred. All money here is in fen.
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
    """Where the goods are, for the calls `reasons` and `create`."""

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
    """Refund only, or return and refund (only after the goods were received)."""

    REFUND = "refund"
    """Refund only."""
    RETURN_REFUND = "returnRefund"
    """Return and refund."""


class RefundStatus(OpenEnum, enum.StrEnum):
    """The state of a refund form. The upstream also writes it in the form WAIT_SELLER_AGREE."""

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
        """Return the member for either spelling; anything else unchanged."""
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
        """Whether the form is open and does not wait for the buyer after a refusal."""
        return not self.terminal and self is not RefundStatus.WAIT_BUYER_MODIFY


@attrs.define(frozen=True, kw_only=True)
class OrderEntryCount:
    """The number of pieces of one order line to refund, if not all."""

    id: OrderIdInteger
    """The id of the order line."""
    count: Annotated[int, IntegerField(1)]
    """How many pieces, from 1."""


@model
class RefundReason(Model):
    """One reason that the seller accepts. `no_refund_carriage=True`: freight is NOT refundable."""

    id: int | None = field()
    """The value of `apply_reason_id` for `create`."""
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
    """An uploaded proof image; `create` and `return_goods` need its `url` in `vouchers`."""

    image_domain: str | None = field()
    """The host that the image is on."""
    image_relative_url: str | None = field()
    """The image's path on that host."""

    @property
    def url(self) -> str:
        """Domain and path, joined with one slash. Raises ValueError if either is missing."""
        if not self.image_domain or not self.image_relative_url:
            raise ValueError("the answer has no image domain or no image path")
        return f"{self.image_domain.rstrip('/')}/{self.image_relative_url.lstrip('/')}"


@model
class CreatedRefund(Model):
    """The opened refund form."""

    refund_id: Id | None = field()
    """The new form's id (TQ...)."""


@model
class SubmittedReturn(Model):
    """Whether the return of goods was accepted; a refusal raises `RejectedError`."""

    success: bool | None = field()
    """Whether the return was accepted."""
    error_code: str | None = field()
    """The inner error code."""
    error_info: str | None = field()
    """The inner message, unchanged."""


@model
class OperationCarrier(Model):
    """The carrier in a step."""

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
    """A remark on the step. Personal."""
    gmt_create: datetime | None = field()
    """The time of the step."""
    operate_type_int: int | None = field()
    """The kind of step, as the upstream's number."""
    operator_role_id: int | None = field()
    """Who did it. The seller is 4 on the upstream's page and 2 in its sample."""
    discription: str | None = field(personal=True)
    """The text of the step (the upstream's spelling)."""
    freight_bill: str | None = field()
    """The waybill in the step."""
    logistics_company: OperationCarrier | None = field()
    """The carrier in the step."""
    vouchers: list[str] | None = field()
    """Proof images of the step."""


@model
class Refund(Model):
    """A refund form of 1688 in full. Missing and null fields are None; amounts are fen."""

    id: Id | None = field()
    """The vendor's own number of the record; not the refund's id."""
    refund_id: Id | None = field(strict=True)
    """The form's id (TQ...)."""
    order_id: Id | None = field(strict=True)
    """The order."""
    order_entry_id_list: list[Id] | None = field()
    """The order lines of the form."""
    status: RefundStatus | str | None = field(strict=True)
    """The state of the form."""
    apply_payment: Fen | None = field(strict=True)
    """The amount applied for, in fen. Freight included or not: see `VendorProfile.freight`."""
    apply_carriage: Fen | None = field(strict=True)
    """The freight applied for, in fen."""
    apply_expect: Fen | None = field()
    """The amount that the buyer wants, in fen. According to the upstream it can be empty."""
    refund_payment: Fen | None = field(strict=True)
    """The amount refunded, in fen. Freight included or not: see `VendorProfile.freight`."""
    refund_carriage: Fen | None = field(strict=True)
    """The freight refunded, in fen."""
    can_refund_payment: Fen | None = field()
    """The maximum refund in fen."""
    frozen_fund: Fen | None = field()
    """The frozen amount in fen; -1 in the upstream's sample, in which nothing is frozen."""
    apply_reason_id: int | None = field()
    """The reason's id."""
    apply_reason: str | None = field()
    """The reason in words."""
    apply_sub_reason_id: int | None = field()
    """The id of the detailed reason; 0 or -1 if there is none."""
    goods_status: int | None = field()
    """Where the goods are: 1 not received, 2 received, 3 sent back."""
    dispute_type: int | None = field()
    """1 before the order was completed, 2 after."""
    dispute_request: int | None = field()
    """What was applied for, as the upstream's number."""
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
    """Whether the time limit is suspended."""
    time_out_operate_type: str | None = field()
    """What happens when the time limit passes, in the upstream's words."""
    gmt_apply: datetime | None = field()
    """When the refund was applied for."""
    gmt_create: datetime | None = field()
    """When the form was created."""
    gmt_modified: datetime | None = field()
    """When the form last changed."""
    gmt_completed: datetime | None = field()
    """When the form ended."""
    gmt_time_out: datetime | None = field()
    """Until when the party that is due has to act."""
    refund_operation_list: list[RefundOperation] | None = field()
    """The history of the form."""
    alipay_payment_id: Id | None = field()
    """Alipay's id of the payment."""
    create_by: str | None = field(personal=True)
    """Who created the vendor's record. Personal."""
    create_by_id: Id | None = field()
    """The id of the person who created the vendor's record."""
    create_time: datetime | None = field()
    """When the vendor's record was created."""
    update_by: str | None = field(personal=True)
    """Who last changed the vendor's record. Personal."""
    update_by_id: Id | None = field()
    """The id of the person who last changed the vendor's record."""
    update_time: datetime | None = field()
    """When the vendor's record last changed."""
    remark: str | None = field(personal=True)
    """A remark on the vendor's record. Personal."""
    product_name: str | None = field()
    """The product's name. Inferred."""
    trade_type_str: str | None = field()
    """How the order was paid, in the upstream's words. Inferred."""
    task_status: int | str | None = field()
    """The state of a task of the platform's staff, if they stepped in. Inferred."""
    only_refund: bool | None = field()
    """Whether it is a refund only. Inferred."""
    refund_goods: bool | None = field()
    """Whether the goods are returned. Inferred."""
    goods_received: bool | None = field()
    """Whether the buyer has the goods. Inferred."""
    new_refund_return: bool | None = field()
    """Whether it follows the upstream's newer return process. Inferred."""
    instant_refund_type: int | str | None = field()
    """The kind of instant refund, as the upstream's number. Inferred."""
    apply_sub_reason: str | None = field()
    """The detailed reason in words. Inferred."""
    reject_reason_id: int | None = field()
    """The id of the seller's reason for refusing. Inferred."""
    order_entry_count_map: Unread = field()
    """The number of pieces of each order line, by the id of the line."""
    gmt_freezed: datetime | None = field()
    """When the amount was frozen. Inferred."""
    prepaid_balance: Fen | None = field()
    """The amount paid in advance, in fen. Inferred."""
    refund_official_solution_cost: Fen | None = field()
    """The buyer's cost of an official solution."""
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
    """Whether the refund is paid without the seller. Inferred."""
    crm_modify_refund: bool | None = field()
    """Whether the platform's staff changed it. Inferred."""
    disburse_channel: str | None = field()
    """The channel of the payout. Inferred."""
    asyn_err_code: str | None = field()
    """The error code of the payout. Inferred."""
    asyn_sub_err_code: str | None = field()
    """The detailed error code of the payout. Inferred."""
    ext_info: Unread = field(personal=True)
    """Further facts, as plain JSON. Personal."""
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
