"""1688 orders: what an order call wants, its preview, and the order itself.

`Order` is the platform's buyer view, which several answers and the price callback share. The pages
show the names of its parts and a few of their fields; the other fields declared here carry the names
and units of the upstream platform's own view and are inferred. What is not declared is in `.extra`.
Amounts of an order are yuan (`Decimal`), those of its preview fen (`Fen`).
"""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any, Self

import attrs

from pandapon_async.core.model import Id, Model, OpenEnum, PageModel, Unread, field, model
from pandapon_async.declare.fields import IdInteger, IdText, NonEmpty, NumberField, TextField
from pandapon_async.models.alibaba.refunds import RefundStatus
from pandapon_async.money import Fen

__all__ = [
    "BatchCargo",
    "Cargo",
    "ConfirmedReceipt",
    "ExtAttribute",
    "FastAddress",
    "FastCargo",
    "GuaranteeTerms",
    "NativeLogistics",
    "Order",
    "OrderBaseInfo",
    "OrderItem",
    "OrderPage",
    "OrderPreview",
    "OrderStatus",
    "PaymentLink",
    "PreviewedCargo",
    "PreviewedOrder",
    "ReceiverInfo",
    "ShippingAddress",
    "TradeModel",
    "TradeTerm",
]

AnyText = Annotated[str, TextField(0)]
OptionalLine = Annotated[str | None, TextField(0)]


@attrs.define(frozen=True, kw_only=True, repr=False)
class ShippingAddress:
    """Where the goods go, as the first generation's order calls want it: every field, empty if need be."""

    full_name: NonEmpty
    mobile: NonEmpty
    phone: AnyText
    post_code: AnyText
    city_text: NonEmpty
    province_text: NonEmpty
    area_text: AnyText
    town_text: AnyText
    address: NonEmpty


@attrs.define(frozen=True, kw_only=True, repr=False)
class FastAddress:
    """Where the goods go, as the cart calls and the second generation want it: nothing marked required."""

    full_name: OptionalLine = None
    mobile: OptionalLine = None
    phone: OptionalLine = None
    post_code: OptionalLine = None
    city_text: OptionalLine = None
    province_text: OptionalLine = None
    area_text: OptionalLine = None
    town_text: OptionalLine = None
    address: OptionalLine = None
    district_code: OptionalLine = None


@attrs.define(frozen=True, kw_only=True)
class Cargo:
    """One product to buy: its offer, its variant (empty if it has none), how much."""

    offer_id: IdInteger
    spec_id: AnyText
    quantity: Annotated[Decimal | int, NumberField()]


@attrs.define(frozen=True, kw_only=True)
class BatchCargo(Cargo):
    """One product to buy among those of several shops: also names its shop."""

    seller_open_id: NonEmpty


@attrs.define(frozen=True, kw_only=True)
class FastCargo:
    """One product to buy, second generation: the offer by its opaque `offer_map_id`.

    The page marks nothing required. `product_no` and `container` are the buyer's own numbers of the
    product and of its box.
    """

    seller_open_id: Annotated[str | None, TextField()] = None
    offer_map_id: IdText | None = None
    spec_id: OptionalLine = None
    quantity: Annotated[Decimal | int | None, NumberField()] = None
    product_no: OptionalLine = None
    container: OptionalLine = None


class OrderStatus(OpenEnum, enum.StrEnum):
    """State of an order or of one of its lines. The upstream writes some also as WAIT_BUYER_PAY."""

    WAIT_BUYER_PAY = "waitbuyerpay"
    WAIT_SELLER_SEND = "waitsellersend"
    WAIT_BUYER_RECEIVE = "waitbuyerreceive"
    CONFIRM_GOODS = "confirm_goods"
    SUCCESS = "success"
    CANCEL = "cancel"
    TERMINATED = "terminated"
    OTHER = "other"

    @classmethod
    def read(cls, value: Any) -> Self | Any:
        """The member for either spelling; anything else as it is."""
        if not isinstance(value, str):
            return value
        plain = value.replace("_", "").lower()
        return next((member for member in cls if member.value.replace("_", "") == plain), value)

    @property
    def terminal(self) -> bool:
        """Whether nothing more happens to the order itself (a refund still may)."""
        return self in (OrderStatus.SUCCESS, OrderStatus.CANCEL, OrderStatus.TERMINATED)


@model
class GuaranteeTerms(Model):
    """What the seller guarantees, such as a delivery time; inferred."""

    assurance_info: str | None = field()
    assurance_type: str | None = field()
    quality_assurance_type: str | None = field()
    value: str | None = field()


@model
class NativeLogistics(Model):
    """Where the goods go within China."""

    address: str | None = field(personal=True)
    area: str | None = field(personal=True)
    area_code: Id | None = field()
    city: str | None = field(personal=True)
    contact_person: str | None = field(personal=True)
    fax: str | None = field(personal=True)
    mobile: str | None = field(personal=True)
    province: str | None = field(personal=True)
    telephone: str | None = field(personal=True)
    zip: Id | None = field(personal=True)
    logistics_items: Unread = field()
    town_code: Id | None = field()
    town: str | None = field(personal=True)
    caid: Id | None = field(personal=True)
    real_logistics_company_no: str | None = field()


@model
class OrderItem(Model):
    """One line of an order; yuan. From `quantity` on the names are inferred.

    `sub_item_id` is the line's own id, the `order_entry_ids` of other calls. `refund_id` is the refund
    form before the order completed, `refund_id_for_as` the one after.
    """

    cargo_number: str | None = field()
    description: str | None = field()
    item_amount: Decimal | None = field()
    name: str | None = field()
    price: Decimal | None = field()
    product_id: Id | None = field(wire="productID")
    product_img_url: list[str] | None = field()
    quantity: Decimal | None = field()
    refund: Decimal | None = field()
    sku_id: Id | None = field(wire="skuID")
    spec_id: Id | None = field()
    sub_item_id: Id | None = field(wire="subItemID", strict=True)
    status: OrderStatus | str | None = field(strict=True)
    refund_status: RefundStatus | str | None = field(strict=True)
    refund_id: Id | None = field(strict=True)
    refund_id_for_as: Id | None = field(strict=True)


@model
class TradeTerm(Model):
    """One payment of an order; inferred. `phas_amount` (sic) is yuan."""

    pay_status: Id | None = field()
    pay_time: datetime | None = field()
    pay_way: Id | None = field()
    phas_amount: Decimal | None = field()
    phase: Id | None = field()


@model
class ExtAttribute(Model):
    """One extension of an order; inferred."""

    key: str | None = field()
    value: Unread = field()
    description: str | None = field()


@model
class ReceiverInfo(Model):
    """Who receives the goods; inferred."""

    to_full_name: str | None = field(personal=True)
    to_mobile: str | None = field(personal=True)
    to_phone: str | None = field(personal=True)
    to_post: Id | None = field(personal=True)
    to_area: str | None = field(personal=True)
    to_division_code: Id | None = field()
    to_town_code: Id | None = field()


@model
class OrderBaseInfo(Model):
    """The order itself; inferred. Amounts are yuan, but `discount` is fen and may be negative."""

    id: Id | None = field(strict=True)
    id_of_str: Id | None = field()
    status: OrderStatus | str | None = field(strict=True)
    refund_status: RefundStatus | str | None = field()
    refund_id: Id | None = field()
    total_amount: Decimal | None = field()
    sum_product_payment: Decimal | None = field()
    shipping_fee: Decimal | None = field()
    refund: Decimal | None = field()
    discount: Fen | None = field()
    currency: str | None = field()
    trade_type: Id | None = field()
    create_time: datetime | None = field()
    modify_time: datetime | None = field()
    pay_time: datetime | None = field()
    all_delivered_time: datetime | None = field()
    receiving_time: datetime | None = field()
    complete_time: datetime | None = field()
    close_reason: str | None = field()
    buyer_id: Id | None = field(wire="buyerID")
    seller_id: Id | None = field(wire="sellerID")
    buyer_login_id: str | None = field(personal=True)
    seller_login_id: str | None = field(personal=True)
    remark: str | None = field(personal=True)
    buyer_feedback: str | None = field(personal=True)
    buyer_contact: Unread = field(personal=True)
    seller_contact: Unread = field(personal=True)
    receiver_info: ReceiverInfo | None = field()


@model
class Order(Model):
    """The buyer's view of an order. Parts whose fields no page shows are the JSON that came."""

    base_info: OrderBaseInfo | None = field()
    product_items: list[OrderItem] | None = field()
    native_logistics: NativeLogistics | None = field()
    international_logistics: Unread = field(personal=True)
    trade_terms: list[TradeTerm] | None = field()
    guarantees_terms: GuaranteeTerms | None = field()
    ext_attributes: list[ExtAttribute] | None = field()
    order_rate_info: Unread = field()
    order_invoice_info: Unread = field(personal=True)
    customs: Unread = field()
    overseas_extra_address: Unread = field(personal=True)
    order_biz_info: Unread = field()


@model
class OrderPage(PageModel):
    """One page of orders. The page of this call could not be read: rows and shape are inferred."""

    items: list[Order] = attrs.field(factory=list)


@model
class PreviewedCargo(Model):
    """One product of a previewed order; inferred. In what unit its two amounts are is not known."""

    offer_id: Id | None = field()
    offer_map_id: Id | None = field()
    spec_id: Id | None = field()
    sku_id: Id | None = field()
    amount: Decimal | None = field()
    final_unit_price: Decimal | None = field()
    result_code: Id | None = field()
    message: str | None = field()


@model
class TradeModel(Model):
    """One way to pay; inferred. `trade_type` is what creating the order wants, if `op_support`."""

    trade_type: str | None = field()
    name: str | None = field()
    description: str | None = field()
    op_support: bool | None = field()


@model
class PreviewedOrder(Model):
    """One of the orders that creating would make. Fen; from `sum_payment` on names are inferred.

    `flow_flag` is what creating the order wants as `flow`.
    """

    discount_fee: Fen | None = field()
    trade_mode_name_list: list[str] | None = field()
    status: bool | None = field()
    tao_sample_single_promotion: bool | None = field()
    sum_payment: Fen | None = field()
    sum_payment_no_carriage: Fen | None = field()
    sum_carriage: Fen | None = field()
    additional_fee: Fen | None = field()
    flow_flag: str | None = field()
    result_code: Id | None = field()
    message: str | None = field()
    cargo_list: list[PreviewedCargo] | None = field()
    shop_promotion_list: Unread = field()
    trade_model_list: list[TradeModel] | None = field()


@model
class OrderPreview(Model):
    """What creating an order would give: several orders where the platform splits it."""

    order_previews: list[PreviewedOrder] | None = field(wire="orderPreviewResuslt")
    success: bool | None = field()
    error_code: Id | None = field()
    error_msg: str | None = field()
    post_fee_by_desc_offer_list: list[Id] | None = field()
    consign_offer_list: list[Id] | None = field()
    unsupported_cross_border_pay_offer_list: list[Id] | None = field()


@model
class PaymentLink(Model):
    """Where to pay an order, and whether it was paid already by a standing agreement."""

    order_id: Id | None = field()
    protocol_pay_success: bool | None = field()
    pay_url: str | None = field()
    cant_pay_order_list: list[Id] | None = field()


@model
class ConfirmedReceipt(Model):
    """Whether the receipt was confirmed; a refusal is raised as `RejectedError`."""

    success: bool | None = field()
    error_code: str | None = field()
    error_info: str | None = field()
