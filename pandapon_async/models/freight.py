"""The arguments of the warehouse logistics calls; no page of the vendor shows their answers.

A price has a currency, but no page states its unit. Spellings that look wrong are the vendor's.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import attrs

from pandapon_async.core.model import Wire
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.fields import (
    IdText,
    IntegerField,
    ListField,
    NonEmpty,
    NumberField,
    TextField,
    TextIdField,
)

__all__ = [
    "BookedItem",
    "DomesticLogistics",
    "FreightAddress",
    "FreightChoice",
    "FreightItem",
    "LogisticsItem",
    "LogisticsUpdate",
    "TmallOrder",
]

OptionalText = Annotated[str | None, TextField()]
"""Text, or None to leave the field out."""
Price = Annotated[Decimal | int | str, NumberField(as_text=True)]
"""A price as a number or text; the pages do not state its unit."""
Pieces = Annotated[int, IntegerField(1)]
"""A number of pieces, from 1."""


@attrs.define(frozen=True, kw_only=True, repr=False)
class FreightAddress:
    """Who receives the parcel abroad. The pages mark nothing as required; `country` is a code such as US."""

    name: OptionalText = None
    """The receiver's name."""
    email: OptionalText = None
    """The receiver's mail address."""
    phone: OptionalText = None
    """The receiver's phone."""
    mobile_phone: OptionalText = None
    """The receiver's mobile phone."""
    address: OptionalText = None
    """Street and number."""
    tax_id: OptionalText = None
    """The receiver's tax number."""
    country: OptionalText = None
    """The country's code, such as US."""
    city: OptionalText = None
    """The city."""
    zip: OptionalText = None
    """The postal code."""
    state: OptionalText = None
    """The state or province."""


@attrs.define(frozen=True, kw_only=True)
class FreightChoice:
    """A shipping service from an estimate; only examples show its fields."""

    service_id: OptionalText = None
    """The service's id."""
    company_name: OptionalText = None
    """The carrier's name."""
    service_category: OptionalText = None
    """The kind of service."""


@attrs.define(frozen=True, kw_only=True)
class FreightItem:
    """A product whose freight is estimated."""

    item_id: IdText
    """The item's id."""
    sku_id: IdText
    """The variant's id."""
    quantity: Pieces
    """How many pieces, from 1."""
    freight_info: Annotated[FreightChoice, ObjectField(FreightChoice)]
    """The shipping service."""
    currency: NonEmpty
    """The currency of the price."""
    price: Price
    """The price; the pages do not state its unit."""


@attrs.define(frozen=True, kw_only=True)
class BookedItem:
    """One product to send abroad. The page marks nothing as required."""

    item_id: IdText | None = None
    """The item's id."""
    sku_id: IdText | None = None
    """The variant's id."""
    quantity: Annotated[int | None, IntegerField(1)] = None
    """How many pieces, from 1."""
    title: OptionalText = None
    """The item's title."""
    image_url: OptionalText = None
    """A picture of the item."""
    freight_info: Annotated[FreightChoice | None, ObjectField(FreightChoice)] = None
    """The shipping service."""
    currency: OptionalText = None
    """The currency of the price."""
    price: Price | None = None
    """The price; the pages do not state its unit."""


@attrs.define(frozen=True, kw_only=True)
class TmallOrder:
    """The Tmall order of the goods."""

    tmall_order_id: IdText | None = None
    """The id of the Tmall order."""


@attrs.define(frozen=True, kw_only=True)
class LogisticsItem:
    """One product in a domestic parcel; only an example shows its fields."""

    item_id: IdText | None = None
    """The item's id."""
    sku_id: IdText | None = None
    """The variant's id."""
    quantity: Annotated[int | None, IntegerField(1)] = None
    """How many pieces, from 1."""
    title: OptionalText = None
    """The item's title."""
    image_url: OptionalText = None
    """A picture of the item."""


@attrs.define(frozen=True, kw_only=True)
class DomesticLogistics:
    """One leg of the way to the warehouse; `rts_time` is a time in epoch seconds, 10 digits."""

    logistic_number: Annotated[str | None, TextField(), Wire("logisticNumer")] = None
    """The waybill."""
    logistic_company_name: OptionalText = None
    """The carrier's name."""
    rts_time: Annotated[int | str | None, TextIdField(r"[0-9]{10}", "1754342534")] = None
    """A time in epoch seconds, 10 digits."""


@attrs.define(frozen=True, kw_only=True)
class LogisticsUpdate:
    """A product and its waybill."""

    line_item: Annotated[LogisticsItem | None, ObjectField(LogisticsItem)] = None
    """The product."""
    logistic_number: Annotated[str | None, TextField(), Wire("logisticNumer")] = None
    """The waybill."""
    domestic_logistic_info: Annotated[
        Sequence[DomesticLogistics] | None, ListField(ObjectField(DomesticLogistics))
    ] = None
    """The legs of the way to the warehouse."""
