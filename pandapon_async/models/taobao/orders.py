"""Taobao orders: the arguments for creating one, and its packages."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import attrs

from pandapon_async.core.model import Id, Model, Wire, field, model
from pandapon_async.declare.fields import IdText, NonEmpty, NumberField, TextField

__all__ = [
    "Logistics",
    "LogisticsGoods",
    "LogisticsPartner",
    "LogisticsReceiver",
    "LogisticsTrace",
    "OrderAddress",
    "OrderLine",
    "Package",
]

OptionalLine = Annotated[str | None, TextField(0)]
"""Text of any length, or None to leave the field out."""


@attrs.define(frozen=True, kw_only=True, repr=False)
class OrderAddress:
    """Who receives an order. The page marks nothing as required; `state` is the province."""

    name: OptionalLine = None
    """The receiver's name."""
    phone: OptionalLine = None
    """The receiver's phone."""
    mobile_phone: Annotated[str | None, TextField(0), Wire("mobile_phone")] = None
    """The receiver's mobile phone."""
    country: OptionalLine = None
    """The country."""
    state: OptionalLine = None
    """The province."""
    city: OptionalLine = None
    """The city."""
    district: OptionalLine = None
    """The district."""
    address: OptionalLine = None
    """Street and number."""
    zip: OptionalLine = None
    """The postal code."""


@attrs.define(frozen=True, kw_only=True)
class OrderLine:
    """One line of an order. `order_line_no` is the buyer's own number of the line.

    `quantity` and `price` are text on the wire. The page does not state the unit of `price`; the order's
    `purchase_amount` is fen.
    """

    item_id: IdText
    """The item's id."""
    sku_id: IdText
    """The variant's id."""
    order_line_no: NonEmpty
    """The buyer's own number of the line."""
    quantity: Annotated[int, NumberField(1, decimals=0, as_text=True)]
    """How many pieces, from 1."""
    price: Annotated[Decimal | int | str, NumberField(as_text=True)]
    """The price; the page does not state its unit."""
    currency: NonEmpty = "CNY"
    """The currency of the price."""


@model
class LogisticsTrace(Model):
    """One tracking event of a package; the page does not show the form of the text `time`."""

    time: str | None = field()
    """The time, as text in a form that no page shows."""
    action: str | None = field()
    """What happened, by code."""
    status: str | None = field()
    """The package's state, by code."""
    status_desc: str | None = field()
    """The package's state in words."""
    standerd_desc: str | None = field()
    """The event in words (the vendor's spelling)."""
    province: str | None = field()
    """The province."""
    city: str | None = field()
    """The city."""
    district: str | None = field()
    """The district."""
    facility_name: str | None = field()
    """The carrier's facility."""
    next_city: str | None = field()
    """The city it goes to next."""
    next_node_name: str | None = field()
    """The facility it goes to next."""


@model
class LogisticsPartner(Model):
    """Who carries a package."""

    company: str | None = field()
    """The carrier's name."""
    company_contact: str | None = field(personal=True)
    """How to reach the carrier. Personal."""
    company_image_url: str | None = field()
    """The carrier's logo."""


@model
class LogisticsReceiver(Model):
    """Who receives a package."""

    name: str | None = field(personal=True)
    """The receiver's name. Personal."""
    phone: str | None = field(personal=True)
    """The receiver's phone. Personal."""
    address: str | None = field(personal=True)
    """Street and number. Personal."""
    province: str | None = field(personal=True)
    """The province. Personal."""
    city: str | None = field(personal=True)
    """The city. Personal."""
    district: str | None = field(personal=True)
    """The district. Personal."""
    zip_code: str | None = field(personal=True)
    """The postal code. Personal."""


@model
class LogisticsGoods(Model):
    """An item in a package; the vendor sends `quantity` as text."""

    title: str | None = field()
    """The item's title."""
    property: str | None = field()
    """The variant in words."""
    image_url: str | None = field()
    """A picture of the item."""
    quantity: str | None = field()
    """How many pieces, as text."""


@model
class Package(Model):
    """One package of a sub-order."""

    mail_no: str | None = field()
    """The waybill."""
    goods_number: int | str | None = field()
    """How many items it holds."""
    logistics_status: str | None = field()
    """The state, such as DELIVERING, SIGNED, REJECTED, WAITING_CUSTOMS; text, because not all are known."""
    logistics_desc: str | None = field()
    """The state in words."""
    logistics_traces: list[LogisticsTrace] | None = field()
    """The tracking events."""
    logistics_partner: LogisticsPartner | list[LogisticsPartner] | None = field()
    """Who carries it."""
    receiver: LogisticsReceiver | None = field()
    """Who receives it."""
    logistics_goods: list[LogisticsGoods] | None = field()
    """The items in it."""


@model
class Logistics(Model):
    """The packages of a sub-order; `purchase_order_outer_id` is Taobao's id of it."""

    purchase_order_outer_id: Id | None = field()
    """Taobao's id of the sub-order."""
    pnm_logistics_details: list[Package] | None = field()
    """Its packages."""
