"""1688 orders: the arguments of the order calls, and the order itself.

`Order` is the platform's buyer view, which several answers and the price callback share. The pages show the
names of its parts and a few of their fields. The other fields declared here are inferred: they have the names
and units of the upstream platform's own view. Undeclared fields are in `.extra`. Amounts of an order are yuan
(`Decimal`).
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
    """The delivery address for order calls of the first generation: every field, empty if necessary."""

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
    """The delivery address for cart calls and the second generation: no field is marked as required."""

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
    """One product to buy: its offer, its variant (empty if it has none), its quantity."""

    offer_id: IdInteger
    """The product's id."""
    spec_id: AnyText
    """The variant's id; empty if the product has none."""
    quantity: Annotated[Decimal | int, NumberField()]
    """The number of pieces or units."""


@attrs.define(frozen=True, kw_only=True)
class BatchCargo(Cargo):
    """One product to buy from one of several shops, with the id of its shop."""

    seller_open_id: NonEmpty
    """The shop's id."""


@attrs.define(frozen=True, kw_only=True)
class FastCargo:
    """One product to buy in the second generation, with its opaque `offer_map_id`.

    The page marks nothing as required. `product_no` and `container` are the buyer's own numbers of the
    product and of its box.
    """

    seller_open_id: Annotated[str | None, TextField()] = None
    """The shop's id."""
    offer_map_id: IdText | None = None
    """The product's opaque id."""
    spec_id: OptionalLine = None
    """The variant's id."""
    quantity: Annotated[Decimal | int | None, NumberField()] = None
    """The number of pieces or units."""
    product_no: OptionalLine = None
    """The buyer's own number of the product."""
    container: OptionalLine = None
    """The buyer's own number of the box."""


class OrderStatus(OpenEnum, enum.StrEnum):
    """The state of an order or an order line. The upstream also writes some in the form WAIT_BUYER_PAY."""

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
    """Another state, in the upstream's spelling."""

    @classmethod
    def read(cls, value: Any) -> Self | Any:
        """Return the member for either spelling; anything else unchanged."""
        if not isinstance(value, str):
            return value
        plain = value.replace("_", "").lower()
        return next((member for member in cls if member.value.replace("_", "") == plain), value)

    @property
    def terminal(self) -> bool:
        """Whether the order itself is final (a refund may still follow)."""
        return self in (OrderStatus.SUCCESS, OrderStatus.CANCEL, OrderStatus.TERMINATED)


@model
class GuaranteeTerms(Model):
    """A guarantee of the seller, such as a delivery time; inferred."""

    assurance_info: str | None = field()
    """The guarantee in words."""
    assurance_type: str | None = field()
    """The kind of guarantee."""
    quality_assurance_type: str | None = field()
    """The kind of quality guarantee."""
    value: str | None = field()
    """The amount or time of the guarantee."""


@model
class NativeLogistics(Model):
    """The delivery within China."""

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
    """The parcels, as plain JSON."""
    town_code: Id | None = field()
    """The town's code."""
    town: str | None = field(personal=True)
    """The town. Personal."""
    caid: Id | None = field(personal=True)
    """An id of the receiver's contact, in the upstream's terms. Personal."""
    real_logistics_company_no: str | None = field()
    """The carrier's code."""


@model
class OrderItem(Model):
    """One line of an order; amounts are yuan. The names from `quantity` on are inferred.

    `sub_item_id` is the id of the line, which other calls take in `order_entry_ids`. `refund_id` is the
    refund form from before the order was completed, `refund_id_for_as` the one from after.
    """

    cargo_number: str | None = field()
    """The seller's own number of the product."""
    description: str | None = field()
    """A description of the line."""
    item_amount: Decimal | None = field()
    """The amount of the whole line in yuan."""
    name: str | None = field()
    """The product's name."""
    price: Decimal | None = field()
    """The price of one piece in yuan."""
    product_id: Id | None = field(wire="productID")
    """The product's id."""
    product_img_url: list[str] | None = field()
    """Pictures of the product."""
    quantity: Decimal | None = field()
    """The number of pieces or units. Inferred."""
    refund: Decimal | None = field()
    """The refunded amount of the line in yuan. Inferred."""
    sku_id: Id | None = field(wire="skuID")
    """The variant's id. Inferred."""
    spec_id: Id | None = field()
    """The variant's id for an order. Inferred."""
    sub_item_id: Id | None = field(wire="subItemID", strict=True)
    """The id of the line, for `order_entry_ids` of other calls. Inferred."""
    status: OrderStatus | str | None = field(strict=True)
    """The state of the line. Inferred."""
    refund_status: RefundStatus | str | None = field(strict=True)
    """The state of its refund. Inferred."""
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
    """The payment method."""
    phas_amount: Decimal | None = field()
    """The amount in yuan (the upstream's spelling)."""
    phase: Id | None = field()
    """The number of the instalment."""


@model
class ExtAttribute(Model):
    """One extension of an order; inferred."""

    key: str | None = field()
    """Its name."""
    value: Unread = field()
    """Its value, as plain JSON."""
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
    """The state of the order."""
    refund_status: RefundStatus | str | None = field()
    """The state of its refund."""
    refund_id: Id | None = field()
    """Its refund form."""
    total_amount: Decimal | None = field()
    """The amount to pay in yuan, freight included."""
    sum_product_payment: Decimal | None = field()
    """The amount of the goods in yuan."""
    shipping_fee: Decimal | None = field()
    """Freight in yuan."""
    refund: Decimal | None = field()
    """The refunded amount in yuan."""
    discount: Fen | None = field()
    """The discount in fen; may be negative."""
    currency: str | None = field()
    """The currency of its amounts."""
    trade_type: Id | None = field()
    """How the order is paid, in the upstream's words."""
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
    """A remark on the order. Personal."""
    buyer_feedback: str | None = field(personal=True)
    """The buyer's message. Personal."""
    buyer_contact: Unread = field(personal=True)
    """The buyer's contact, as plain JSON. Personal."""
    seller_contact: Unread = field(personal=True)
    """The seller's contact, as plain JSON. Personal."""
    receiver_info: ReceiverInfo | None = field()
    """Who receives the goods."""


@model
class Order(Model):
    """The buyer's view of an order. Parts whose fields no page shows are plain JSON."""

    base_info: OrderBaseInfo | None = field()
    """The order itself."""
    product_items: list[OrderItem] | None = field()
    """Its lines."""
    native_logistics: NativeLogistics | None = field()
    """The delivery within China."""
    international_logistics: Unread = field(personal=True)
    """The delivery abroad, as plain JSON. Personal."""
    trade_terms: list[TradeTerm] | None = field()
    """Its payments."""
    guarantees_terms: GuaranteeTerms | None = field()
    """The seller's guarantees."""
    ext_attributes: list[ExtAttribute] | None = field()
    """Its extensions."""
    order_rate_info: Unread = field()
    """Ratings, as plain JSON."""
    order_invoice_info: Unread = field(personal=True)
    """The invoice, as plain JSON. Personal."""
    customs: Unread = field()
    """Customs, as plain JSON."""
    overseas_extra_address: Unread = field(personal=True)
    """The address abroad, as plain JSON. Personal."""
    order_biz_info: Unread = field()
    """Business facts, as plain JSON."""


@model
class OrderPage(PageModel):
    """One page of orders. The vendor's page of this call could not be read: rows and form are inferred."""

    items: list[Order] = attrs.field(factory=list)
    """The orders of this page."""


@model
class PaymentLink(Model):
    """The link for paying an order, and whether a standing agreement already paid it."""

    order_id: Id | None = field()
    """The order."""
    protocol_pay_success: bool | None = field()
    """Whether a standing agreement already paid it."""
    pay_url: str | None = field()
    """The link for paying."""
    cant_pay_order_list: list[Id] | None = field()
    """Orders that cannot be paid."""


@model
class ConfirmedReceipt(Model):
    """Whether the receipt was confirmed; a refusal raises `RejectedError`."""

    success: bool | None = field()
    """Whether the receipt was confirmed."""
    error_code: str | None = field()
    """The inner error code."""
    error_info: str | None = field()
    """The inner message, unchanged."""
