"""1688 orders: what an order call wants, and the order itself.

`Order` is the platform's buyer view, which several answers and the price callback share. The pages
show the names of its parts and a few of their fields; the other fields declared here carry the names
and units of the upstream platform's own view and are inferred. What is not declared is in `.extra`.
Amounts of an order are yuan (`Decimal`).
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
    "OrderStatus",
    "PaymentLink",
    "ReceiverInfo",
    "ShippingAddress",
    "TradeTerm",
]

AnyText = Annotated[str, TextField(0)]
"""Text of any length, also empty."""
OptionalLine = Annotated[str | None, TextField(0)]
"""Text of any length, or None to leave the field out."""


@attrs.define(frozen=True, kw_only=True, repr=False)
class ShippingAddress:
    """Where the goods go, as the first generation's order calls want it: every field, empty if need be."""

    full_name: NonEmpty
    """The receiver's name."""
    mobile: NonEmpty
    """The receiver's mobile phone."""
    phone: AnyText
    """The receiver's phone."""
    post_code: AnyText
    """The postal code."""
    city_text: NonEmpty
    """The city."""
    province_text: NonEmpty
    """The province."""
    area_text: AnyText
    """The district."""
    town_text: AnyText
    """The town."""
    address: NonEmpty
    """Street and number."""


@attrs.define(frozen=True, kw_only=True, repr=False)
class FastAddress:
    """Where the goods go, as the cart calls and the second generation want it: nothing marked required."""

    full_name: OptionalLine = None
    """The receiver's name."""
    mobile: OptionalLine = None
    """The receiver's mobile phone."""
    phone: OptionalLine = None
    """The receiver's phone."""
    post_code: OptionalLine = None
    """The postal code."""
    city_text: OptionalLine = None
    """The city."""
    province_text: OptionalLine = None
    """The province."""
    area_text: OptionalLine = None
    """The district."""
    town_text: OptionalLine = None
    """The town."""
    address: OptionalLine = None
    """Street and number."""
    district_code: OptionalLine = None
    """The district's code."""


@attrs.define(frozen=True, kw_only=True)
class Cargo:
    """One product to buy: its offer, its variant (empty if it has none), how much."""

    offer_id: IdInteger
    """The product's id."""
    spec_id: AnyText
    """The variant's id; empty if the product has none."""
    quantity: Annotated[Decimal | int, NumberField()]
    """How many pieces or units."""


@attrs.define(frozen=True, kw_only=True)
class BatchCargo(Cargo):
    """One product to buy among those of several shops: also names its shop."""

    seller_open_id: NonEmpty
    """The shop's id."""


@attrs.define(frozen=True, kw_only=True)
class FastCargo:
    """One product to buy, second generation: the offer by its opaque `offer_map_id`.

    The page marks nothing required. `product_no` and `container` are the buyer's own numbers of the
    product and of its box.
    """

    seller_open_id: Annotated[str | None, TextField()] = None
    """The shop's id."""
    offer_map_id: IdText | None = None
    """The product's opaque id."""
    spec_id: OptionalLine = None
    """The variant's id."""
    quantity: Annotated[Decimal | int | None, NumberField()] = None
    """How many pieces or units."""
    product_no: OptionalLine = None
    """The buyer's own number of the product."""
    container: OptionalLine = None
    """The buyer's own number of the box."""


class OrderStatus(OpenEnum, enum.StrEnum):
    """State of an order or of one of its lines. The upstream writes some also as WAIT_BUYER_PAY."""

    WAIT_BUYER_PAY = "waitbuyerpay"
    """The buyer has to pay."""
    WAIT_SELLER_SEND = "waitsellersend"
    """The seller has to send the goods."""
    WAIT_BUYER_RECEIVE = "waitbuyerreceive"
    """The goods are on their way."""
    CONFIRM_GOODS = "confirm_goods"
    """The buyer confirmed the receipt."""
    SUCCESS = "success"
    """Completed. Final."""
    CANCEL = "cancel"
    """Cancelled. Final."""
    TERMINATED = "terminated"
    """Ended before it was completed. Final."""
    OTHER = "other"
    """Another state, as the upstream writes it."""

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
    """What is guaranteed, in words."""
    assurance_type: str | None = field()
    """The kind of guarantee."""
    quality_assurance_type: str | None = field()
    """The kind of guarantee of quality."""
    value: str | None = field()
    """How much or how long."""


@model
class NativeLogistics(Model):
    """Where the goods go within China."""

    address: str | None = field(personal=True)
    """Street and number. Personal."""
    area: str | None = field(personal=True)
    """The district. Personal."""
    area_code: Id | None = field()
    """The district's code."""
    city: str | None = field(personal=True)
    """The city. Personal."""
    contact_person: str | None = field(personal=True)
    """The receiver's name. Personal."""
    fax: str | None = field(personal=True)
    """The receiver's fax. Personal."""
    mobile: str | None = field(personal=True)
    """The receiver's mobile phone. Personal."""
    province: str | None = field(personal=True)
    """The province. Personal."""
    telephone: str | None = field(personal=True)
    """The receiver's phone. Personal."""
    zip: Id | None = field(personal=True)
    """The postal code. Personal."""
    logistics_items: Unread = field()
    """The parcels; the JSON that came."""
    town_code: Id | None = field()
    """The town's code."""
    town: str | None = field(personal=True)
    """The town. Personal."""
    caid: Id | None = field(personal=True)
    """An id of the receiver's contact, as the upstream names it. Personal."""
    real_logistics_company_no: str | None = field()
    """The carrier's code."""


@model
class OrderItem(Model):
    """One line of an order; yuan. From `quantity` on the names are inferred.

    `sub_item_id` is the line's own id, the `order_entry_ids` of other calls. `refund_id` is the refund
    form before the order completed, `refund_id_for_as` the one after.
    """

    cargo_number: str | None = field()
    """The seller's own number of the product."""
    description: str | None = field()
    """A description of the line."""
    item_amount: Decimal | None = field()
    """Yuan of the whole line."""
    name: str | None = field()
    """The product's name."""
    price: Decimal | None = field()
    """Yuan of one piece."""
    product_id: Id | None = field(wire="productID")
    """The product's id."""
    product_img_url: list[str] | None = field()
    """Pictures of the product."""
    quantity: Decimal | None = field()
    """How many pieces or units. Inferred."""
    refund: Decimal | None = field()
    """Yuan refunded of the line. Inferred."""
    sku_id: Id | None = field(wire="skuID")
    """The variant's id. Inferred."""
    spec_id: Id | None = field()
    """The variant's id, as an order wants it. Inferred."""
    sub_item_id: Id | None = field(wire="subItemID", strict=True)
    """The line's own id: the `order_entry_ids` of other calls. Inferred."""
    status: OrderStatus | str | None = field(strict=True)
    """Where the line stands. Inferred."""
    refund_status: RefundStatus | str | None = field(strict=True)
    """Where its refund stands. Inferred."""
    refund_id: Id | None = field(strict=True)
    """The refund form from before the order was completed. Inferred."""
    refund_id_for_as: Id | None = field(strict=True)
    """The refund form from after the order was completed. Inferred."""


@model
class TradeTerm(Model):
    """One payment of an order; inferred. `phas_amount` (sic) is yuan."""

    pay_status: Id | None = field()
    """The state of the payment."""
    pay_time: datetime | None = field()
    """When it was paid."""
    pay_way: Id | None = field()
    """The way it was paid."""
    phas_amount: Decimal | None = field()
    """Yuan (the upstream's spelling)."""
    phase: Id | None = field()
    """The number of the instalment."""


@model
class ExtAttribute(Model):
    """One extension of an order; inferred."""

    key: str | None = field()
    """Its name."""
    value: Unread = field()
    """Its value; the JSON that came."""
    description: str | None = field()
    """What it means."""


@model
class ReceiverInfo(Model):
    """Who receives the goods; inferred."""

    to_full_name: str | None = field(personal=True)
    """The receiver's name. Personal."""
    to_mobile: str | None = field(personal=True)
    """The receiver's mobile phone. Personal."""
    to_phone: str | None = field(personal=True)
    """The receiver's phone. Personal."""
    to_post: Id | None = field(personal=True)
    """The postal code. Personal."""
    to_area: str | None = field(personal=True)
    """The address. Personal."""
    to_division_code: Id | None = field()
    """The district's code."""
    to_town_code: Id | None = field()
    """The town's code."""


@model
class OrderBaseInfo(Model):
    """The order itself; inferred. Amounts are yuan, but `discount` is fen and may be negative."""

    id: Id | None = field(strict=True)
    """The order's id."""
    id_of_str: Id | None = field()
    """The order's id as text."""
    status: OrderStatus | str | None = field(strict=True)
    """Where the order stands."""
    refund_status: RefundStatus | str | None = field()
    """Where its refund stands."""
    refund_id: Id | None = field()
    """Its refund form."""
    total_amount: Decimal | None = field()
    """Yuan to pay, freight included."""
    sum_product_payment: Decimal | None = field()
    """Yuan of the goods."""
    shipping_fee: Decimal | None = field()
    """Yuan of freight."""
    refund: Decimal | None = field()
    """Yuan refunded."""
    discount: Fen | None = field()
    """Fen of discount; may be negative."""
    currency: str | None = field()
    """The currency of its amounts."""
    trade_type: Id | None = field()
    """How the order is paid, as the upstream writes it."""
    create_time: datetime | None = field()
    """When it was placed."""
    modify_time: datetime | None = field()
    """When it last changed."""
    pay_time: datetime | None = field()
    """When it was paid."""
    all_delivered_time: datetime | None = field()
    """When all goods were sent."""
    receiving_time: datetime | None = field()
    """When the receipt was confirmed."""
    complete_time: datetime | None = field()
    """When it was completed."""
    close_reason: str | None = field()
    """Why it was closed."""
    buyer_id: Id | None = field(wire="buyerID")
    """The buyer's id."""
    seller_id: Id | None = field(wire="sellerID")
    """The seller's id."""
    buyer_login_id: str | None = field(personal=True)
    """The buyer's login. Personal."""
    seller_login_id: str | None = field(personal=True)
    """The seller's login. Personal."""
    remark: str | None = field(personal=True)
    """A remark to the order. Personal."""
    buyer_feedback: str | None = field(personal=True)
    """The buyer's message. Personal."""
    buyer_contact: Unread = field(personal=True)
    """The buyer's contact; the JSON that came. Personal."""
    seller_contact: Unread = field(personal=True)
    """The seller's contact; the JSON that came. Personal."""
    receiver_info: ReceiverInfo | None = field()
    """Who receives the goods."""


@model
class Order(Model):
    """The buyer's view of an order. Parts whose fields no page shows are the JSON that came."""

    base_info: OrderBaseInfo | None = field()
    """The order itself."""
    product_items: list[OrderItem] | None = field()
    """Its lines."""
    native_logistics: NativeLogistics | None = field()
    """The way within China."""
    international_logistics: Unread = field(personal=True)
    """The way abroad; the JSON that came. Personal."""
    trade_terms: list[TradeTerm] | None = field()
    """Its payments."""
    guarantees_terms: GuaranteeTerms | None = field()
    """What the seller guarantees."""
    ext_attributes: list[ExtAttribute] | None = field()
    """Its extensions."""
    order_rate_info: Unread = field()
    """Ratings; the JSON that came."""
    order_invoice_info: Unread = field(personal=True)
    """The invoice; the JSON that came. Personal."""
    customs: Unread = field()
    """Customs; the JSON that came."""
    overseas_extra_address: Unread = field(personal=True)
    """The address abroad; the JSON that came. Personal."""
    order_biz_info: Unread = field()
    """Business facts; the JSON that came."""


@model
class OrderPage(PageModel):
    """One page of orders. The page of this call could not be read: rows and shape are inferred."""

    items: list[Order] = attrs.field(factory=list)
    """The orders of this page."""


@model
class PaymentLink(Model):
    """Where to pay an order, and whether it was paid already by a standing agreement."""

    order_id: Id | None = field()
    """The order."""
    protocol_pay_success: bool | None = field()
    """Whether it was paid already by a standing agreement."""
    pay_url: str | None = field()
    """Where to pay."""
    cant_pay_order_list: list[Id] | None = field()
    """Orders that cannot be paid."""


@model
class ConfirmedReceipt(Model):
    """Whether the receipt was confirmed; a refusal is raised as `RejectedError`."""

    success: bool | None = field()
    """Whether the receipt was confirmed."""
    error_code: str | None = field()
    """The inner error code."""
    error_info: str | None = field()
    """The inner message, as it came."""
