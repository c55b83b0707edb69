"""Taobao goods: one product, the result of a search, and which products can be supplied.

The pages do not state the unit of prices (other Taobao amounts are fen), so prices are unchanged numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import attrs

from pandapon_async.core.model import Id, Model, PageModel, Unread, field, model
from pandapon_async.declare.fields import IdText, ListField, TextIdField
from pandapon_async.models.taobao.refunds import ItemProperty

__all__ = ["Product", "ProductBatch", "ProductPage", "ProductQuery", "ProductSummary", "Sku", "SourceProduct"]


@attrs.define(frozen=True, kw_only=True)
class ProductQuery:
    """A product to check, and which of its variants."""

    item_id: IdText
    """The item's id."""
    sku_ids: Annotated[Sequence[int | str] | None, ListField(TextIdField())] = None
    """Which of its variants; None: all."""


@model
class Sku(Model):
    """One variant of a product. The vendor's sample spells `mpSkuId` with an l: both are read."""

    sku_id: Id | None = field()
    """The variant's id."""
    mp_sku_id: Id | None = field()
    """The vendor's own id of the variant."""
    mp_skuld: Id | None = field()
    """The vendor's own id of the variant, in the spelling of the vendor's sample."""
    pic_url: str | None = field()
    """A picture."""
    price: Decimal | None = field()
    """The price; the page does not state its unit."""
    promotion_price: Decimal | None = field()
    """The price in a promotion; the page does not state its unit."""
    post_fee: Decimal | None = field()
    """Freight; the page does not state its unit."""
    quantity: int | None = field()
    """How many pieces are in stock."""
    status: int | str | None = field()
    """Whether it is on sale, as the vendor numbers it."""
    properties: list[ItemProperty] | None = field()
    """What distinguishes it from the other variants."""


@model
class Product(Model):
    """One product. `quantity` is the stock, `begin_amount` the minimum quantity."""

    item_id: Id | None = field()
    """The item's id."""
    mp_id: Id | None = field()
    """The vendor's own id of the item."""
    title: str | None = field()
    """The title."""
    description: str | None = field()
    """The description."""
    category_id: Id | None = field()
    """The category's id."""
    category_name: str | None = field()
    """The category's name."""
    category_path: str | None = field()
    """The category and those above it."""
    price: Decimal | None = field()
    """The price; the page does not state its unit."""
    promotion_price: Decimal | None = field()
    """The price in a promotion; the page does not state its unit."""
    begin_amount: int | None = field()
    """The minimum quantity to buy."""
    quantity: int | None = field()
    """How many pieces are in stock."""
    product_unit: str | None = field()
    """The unit of one piece, such as a pair."""
    pic_urls: list[str] | None = field()
    """Pictures."""
    item_type: str | None = field()
    """The kind of item, as the vendor writes it."""
    status: int | str | None = field()
    """Whether it is on sale, as the vendor numbers it."""
    shop_id: Id | None = field()
    """The shop's id."""
    shop_name: str | None = field()
    """The shop's name."""
    user_nick: str | None = field(personal=True)
    """The seller's nickname. Personal."""
    sku_list: list[Sku] | None = field()
    """The variants."""


@model
class SourceProduct(Model):
    """One product from its source in a chosen language; the page shows these two fields only."""

    item_id: Id | None = field()
    """The item's id."""
    description: str | None = field()
    """The description."""


@model
class ProductSummary(Model):
    """One product found by a search; no page shows it, so both names are inferred."""

    item_id: Id | None = field()
    """The item's id. Inferred."""
    title: str | None = field()
    """The title. Inferred."""


@model
class ProductPage(PageModel):
    """One page of a search; how the client recognises the list is inferred."""

    items: list[ProductSummary] = attrs.field(factory=list)
    """The items of this page."""


@model
class ProductBatch(Model):
    """Which products can be supplied, and why the others cannot.

    The page does not show the fields of `mp_products` and `no_mp_reason_list`: both are plain JSON.
    """

    mp_products: list[Unread] | None = field()
    """The items that can be supplied, as plain JSON."""
    no_mp_product_item_ids: list[Id] | None = field()
    """The ids of the items that cannot."""
    no_mp_reason_list: list[Unread] | None = field()
    """Why they cannot, as plain JSON."""
