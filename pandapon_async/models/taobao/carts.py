"""The arguments of the Taobao cart; no page of the vendor shows its answers."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

import attrs

from pandapon_async.declare.fields import IdText, IntegerField, NonEmpty, NumberField

__all__ = ["ItemPropertyChoice", "PriceRange"]


@attrs.define(frozen=True, kw_only=True)
class ItemPropertyChoice:
    """One property of the variant to buy, such as its colour."""

    value_id: IdText
    """The value's id."""
    value_name: NonEmpty
    """The value's name, such as red."""
    prop_id: IdText
    """The property's id."""
    prop_name: NonEmpty
    """The property's name, such as a colour."""


@attrs.define(frozen=True, kw_only=True)
class PriceRange:
    """The wholesale price from a certain quantity; the page does not state its unit."""

    start_quantity: Annotated[int | None, IntegerField(0)] = None
    """The number of pieces from which the price applies."""
    price: Annotated[Decimal | int | None, NumberField()] = None
    """The price; the page does not state its unit."""
