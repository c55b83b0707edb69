"""The 1688 shopping cart, by shop."""

from __future__ import annotations

from decimal import Decimal

from pandapon_async.core.model import Id, Model, field, model

__all__ = ["Cart", "CartItem", "CartShop"]


@model
class CartItem(Model):
    """One product in the cart. The page does not state the unit of `price`.

    `properties` is text; `offer_id` is the expected name in the first generation.
    """

    id: Id | None = field()
    """The id of the entry in the cart."""
    offer_map_id: Id | None = field()
    """The product's opaque id."""
    offer_id: Id | None = field()
    """The product's id; the expected name in the first generation."""
    spec_id: Id | None = field()
    """The variant's id for an order."""
    sku_id: Id | None = field()
    """The variant's id."""
    item_title: str | None = field()
    """The title."""
    item_pic: str | None = field()
    """A picture."""
    price: Decimal | None = field()
    """The price; the page does not state its unit."""
    quantity: int | None = field()
    """How many pieces."""
    amount_on_sale: int | None = field()
    """How many pieces are in stock."""
    properties: str | None = field()
    """The variant in words."""


@model
class CartShop(Model):
    """The entries of one shop in the cart."""

    seller_open_id: str | None = field()
    """The shop's id."""
    seller_nick_name: str | None = field(personal=True)
    """The shop's name. Personal."""
    cart_item_infos: list[CartItem] | None = field()
    """The entries of the shop."""


@model
class Cart(Model):
    """The whole cart: entries that can be bought now, and those that no longer can."""

    enable_list: list[CartShop] | None = field()
    """Entries that can be bought now, by shop."""
    disable_list: list[CartShop] | None = field()
    """Entries that can no longer be bought, by shop."""
