"""What the Taobao cart wants; no page that was read shows what it answers."""

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
    value_name: NonEmpty
    prop_id: IdText
    prop_name: NonEmpty


@attrs.define(frozen=True, kw_only=True)
class PriceRange:
    """The wholesale price from a quantity on; the page does not say in what unit."""

    start_quantity: Annotated[int | None, IntegerField(0)] = None
    price: Annotated[Decimal | int | None, NumberField()] = None
