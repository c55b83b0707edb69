"""What the warehouse logistics calls want; no page that was read shows what they answer.

Prices go with a currency, in a unit no page states. Every spelling that looks wrong is the vendor's.
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
Price = Annotated[Decimal | int | str, NumberField(as_text=True)]
Pieces = Annotated[int, IntegerField(1)]


@attrs.define(frozen=True, kw_only=True, repr=False)
class FreightAddress:
    """Who receives the parcel abroad. The pages mark nothing required; `country` is a code such as US."""

    name: OptionalText = None
    email: OptionalText = None
    phone: OptionalText = None
    mobile_phone: OptionalText = None
    address: OptionalText = None
    tax_id: OptionalText = None
    country: OptionalText = None
    city: OptionalText = None
    zip: OptionalText = None
    state: OptionalText = None


@attrs.define(frozen=True, kw_only=True)
class FreightChoice:
    """The way a parcel goes, as an estimate offered it; its fields were read from examples only."""

    service_id: OptionalText = None
    company_name: OptionalText = None
    service_category: OptionalText = None


@attrs.define(frozen=True, kw_only=True)
class FreightItem:
    """One product to preview the freight of."""

    item_id: IdText
    sku_id: IdText
    quantity: Pieces
    freight_info: Annotated[FreightChoice, ObjectField(FreightChoice)]
    currency: NonEmpty
    price: Price


@attrs.define(frozen=True, kw_only=True)
class BookedItem:
    """One product to send abroad. The page marks nothing required."""

    item_id: IdText | None = None
    sku_id: IdText | None = None
    quantity: Annotated[int | None, IntegerField(1)] = None
    title: OptionalText = None
    image_url: OptionalText = None
    freight_info: Annotated[FreightChoice | None, ObjectField(FreightChoice)] = None
    currency: OptionalText = None
    price: Price | None = None


@attrs.define(frozen=True, kw_only=True)
class TmallOrder:
    """The Tmall order the goods were bought with."""

    tmall_order_id: IdText | None = None


@attrs.define(frozen=True, kw_only=True)
class LogisticsItem:
    """One product in a domestic parcel; its fields were read from an example only."""

    item_id: IdText | None = None
    sku_id: IdText | None = None
    quantity: Annotated[int | None, IntegerField(1)] = None
    title: OptionalText = None
    image_url: OptionalText = None


@attrs.define(frozen=True, kw_only=True)
class DomesticLogistics:
    """One leg of the way to the warehouse; `rts_time` is epoch seconds of a moment, 10 digits."""

    logistic_number: Annotated[str | None, TextField(), Wire("logisticNumer")] = None
    logistic_company_name: OptionalText = None
    rts_time: Annotated[int | str | None, TextIdField(r"[0-9]{10}", "1754342534")] = None


@attrs.define(frozen=True, kw_only=True)
class LogisticsUpdate:
    """Which product travels under which waybill."""

    line_item: Annotated[LogisticsItem | None, ObjectField(LogisticsItem)] = None
    logistic_number: Annotated[str | None, TextField(), Wire("logisticNumer")] = None
    domestic_logistic_info: Annotated[
        Sequence[DomesticLogistics] | None, ListField(ObjectField(DomesticLogistics))
    ] = None
