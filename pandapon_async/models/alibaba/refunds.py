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
    REFUND_WAIT_BUYER_RECEIVE = "refundWaitBuyerReceive"
    REFUND_BUYER_RECEIVED = "refundBuyerReceived"
    AFTERSALE_BUYER_NOT_RECEIVED = "aftersaleBuyerNotReceived"
    AFTERSALE_BUYER_RECEIVED = "aftersaleBuyerReceived"


class DisputeRequest(enum.StrEnum):
    """Money back alone, or goods back and money back (only once the goods were received)."""

    REFUND = "refund"
    RETURN_REFUND = "returnRefund"


class RefundStatus(OpenEnum, enum.StrEnum):
    """State of a refund form. The upstream writes the same states also as WAIT_SELLER_AGREE."""

    WAIT_SELLER_AGREE = "waitselleragree"
    WAIT_BUYER_MODIFY = "waitbuyermodify"
    WAIT_BUYER_SEND = "waitbuyersend"
    WAIT_SELLER_RECEIVE = "waitsellerreceive"
    REFUND_SUCCESS = "refundsuccess"
    REFUND_CLOSE = "refundclose"

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
    count: Annotated[int, IntegerField(1)]


@model
class RefundReason(Model):
    """One reason the seller accepts. `no_refund_carriage=True` means freight is NOT refundable."""

    id: int | None = field()
    name: str | None = field()
    need_voucher: bool | None = field()
    no_refund_carriage: bool | None = field()
    tip: str | None = field()


@model
class Voucher(Model):
    """An uploaded proof image; `url` is what `create` and `return_goods` want in `vouchers`."""

    image_domain: str | None = field()
    image_relative_url: str | None = field()

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


@model
class SubmittedReturn(Model):
    """Whether the return of goods was accepted; a refusal is raised as `RejectedError`."""

    success: bool | None = field()
    error_code: str | None = field()
    error_info: str | None = field()


@model
class OperationCarrier(Model):
    """The carrier that a step names."""

    company_no: str | None = field()
    company_name: str | None = field()


@model
class RefundOperation(Model):
    """One step in the history of a refund form."""

    before_operate_status: RefundStatus | str | None = field()
    after_operate_status: RefundStatus | str | None = field()
    operate_remark: str | None = field(personal=True)
    gmt_create: datetime | None = field()
    operate_type_int: int | None = field()
    operator_role_id: int | None = field()
    """Who did it. The upstream's page says 4 for the seller, its sample 2."""
    discription: str | None = field(personal=True)
    """What was said (the upstream's spelling)."""
    freight_bill: str | None = field()
    logistics_company: OperationCarrier | None = field()
    vouchers: list[str] | None = field()


@model
class Refund(Model):
    """A refund form of 1688 in full. Absent, null and unknown are None; amounts are fen."""

    id: Id | None = field()
    refund_id: Id | None = field(strict=True)
    order_id: Id | None = field(strict=True)
    order_entry_id_list: list[Id] | None = field()
    status: RefundStatus | str | None = field(strict=True)
    apply_payment: Fen | None = field(strict=True)
    apply_carriage: Fen | None = field(strict=True)
    apply_expect: Fen | None = field()
    refund_payment: Fen | None = field(strict=True)
    refund_carriage: Fen | None = field(strict=True)
    can_refund_payment: Fen | None = field()
    frozen_fund: Fen | None = field()
    apply_reason_id: int | None = field()
    apply_reason: str | None = field()
    apply_sub_reason_id: int | None = field()
    goods_status: int | None = field()
    dispute_type: int | None = field()
    dispute_request: int | None = field()
    reject_reason: str | None = field(personal=True)
    reject_times: int | None = field()
    freight_bill: str | None = field()
    logistics_company_no: str | None = field()
    buyer_send_goods: bool | None = field()
    time_out_freeze: bool | None = field()
    time_out_operate_type: str | None = field()
    gmt_apply: datetime | None = field()
    gmt_create: datetime | None = field()
    gmt_modified: datetime | None = field()
    gmt_completed: datetime | None = field()
    gmt_time_out: datetime | None = field()
    refund_operation_list: list[RefundOperation] | None = field()
    alipay_payment_id: Id | None = field()
    create_by: str | None = field(personal=True)
    create_by_id: Id | None = field()
    create_time: datetime | None = field()
    update_by: str | None = field(personal=True)
    update_by_id: Id | None = field()
    update_time: datetime | None = field()
    remark: str | None = field(personal=True)
    product_name: str | None = field()
    trade_type_str: str | None = field()
    task_status: int | str | None = field()
    only_refund: bool | None = field()
    refund_goods: bool | None = field()
    goods_received: bool | None = field()
    new_refund_return: bool | None = field()
    instant_refund_type: int | str | None = field()
    apply_sub_reason: str | None = field()
    reject_reason_id: int | None = field()
    order_entry_count_map: Unread = field()
    """How many pieces of each order line, by the line's id."""
    gmt_freezed: datetime | None = field()
    prepaid_balance: Fen | None = field()
    refund_official_solution_cost: Fen | None = field()
    """What an official solution costs the buyer."""
    insufficient_account: bool | None = field()
    insufficient_bail: bool | None = field()
    support_new_steppay: bool | None = field()
    seller_delay_disburse: bool | None = field()
    aftersale_agree_timeout: bool | None = field()
    aftersale_auto_disburse: bool | None = field()
    crm_modify_refund: bool | None = field()
    disburse_channel: str | None = field()
    asyn_err_code: str | None = field()
    asyn_sub_err_code: str | None = field()
    ext_info: Unread = field(personal=True)
    buyer_logistics_name: str | None = field()
    buyer_alipay_id: Id | None = field(personal=True)
    buyer_member_id: Id | None = field(personal=True)
    buyer_login_id: str | None = field(personal=True)
    buyer_user_id: Id | None = field(personal=True)
    seller_alipay_id: Id | None = field(personal=True)
    seller_member_id: Id | None = field(personal=True)
    seller_login_id: str | None = field(personal=True)
    seller_user_id: Id | None = field(personal=True)
    seller_real_name: str | None = field(personal=True)
    seller_mobile: str | None = field(personal=True)
    seller_tel: str | None = field(personal=True)
    seller_receive_address: str | None = field(personal=True)
