"""Taobao orders: what creating one wants, and where its packages are."""

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


@attrs.define(frozen=True, kw_only=True, repr=False)
class OrderAddress:
    """Who receives an order. The page marks nothing required; `state` is the province."""

    name: OptionalLine = None
    phone: OptionalLine = None
    mobile_phone: Annotated[str | None, TextField(0), Wire("mobile_phone")] = None
    country: OptionalLine = None
    state: OptionalLine = None
    city: OptionalLine = None
    district: OptionalLine = None
    address: OptionalLine = None
    zip: OptionalLine = None


@attrs.define(frozen=True, kw_only=True)
class OrderLine:
    """One line of an order. `order_line_no` is the buyer's own number of the line.

    `quantity` and `price` travel as text. The page does not say in what unit `price` is, while the
    order's `purchase_amount` is fen.
    """

    item_id: IdText
    sku_id: IdText
    order_line_no: NonEmpty
    quantity: Annotated[int, NumberField(1, decimals=0, as_text=True)]
    price: Annotated[Decimal | int | str, NumberField(as_text=True)]
    currency: NonEmpty = "CNY"


@model
class LogisticsTrace(Model):
    """One step on a package's way; `time` is text of a form the page does not show."""

    time: str | None = field()
    action: str | None = field()
    status: str | None = field()
    status_desc: str | None = field()
    standerd_desc: str | None = field()
    province: str | None = field()
    city: str | None = field()
    district: str | None = field()
    facility_name: str | None = field()
    next_city: str | None = field()
    next_node_name: str | None = field()


@model
class LogisticsPartner(Model):
    """Who carries a package."""

    company: str | None = field()
    company_contact: str | None = field(personal=True)
    company_image_url: str | None = field()


@model
class LogisticsReceiver(Model):
    """Who receives a package."""

    name: str | None = field(personal=True)
    phone: str | None = field(personal=True)
    address: str | None = field(personal=True)
    province: str | None = field(personal=True)
    city: str | None = field(personal=True)
    district: str | None = field(personal=True)
    zip_code: str | None = field(personal=True)


@model
class LogisticsGoods(Model):
    """What a package holds; the vendor sends `quantity` as text."""

    title: str | None = field()
    property: str | None = field()
    image_url: str | None = field()
    quantity: str | None = field()


@model
class Package(Model):
    """One package of a sub-order."""

    mail_no: str | None = field()
    goods_number: int | str | None = field()
    logistics_status: str | None = field()
    """Such as DELIVERING, SIGNED, REJECTED, WAITING_CUSTOMS; text, as not all are known."""
    logistics_desc: str | None = field()
    logistics_traces: list[LogisticsTrace] | None = field()
    logistics_partner: LogisticsPartner | list[LogisticsPartner] | None = field()
    receiver: LogisticsReceiver | None = field()
    logistics_goods: list[LogisticsGoods] | None = field()


@model
class Logistics(Model):
    """The packages of a sub-order; `purchase_order_outer_id` is Taobao's id of it."""

    purchase_order_outer_id: Id | None = field()
    pnm_logistics_details: list[Package] | None = field()
