"""The 1688 shopping cart, by shop."""

from __future__ import annotations

from decimal import Decimal

from pandapon_async.core.model import Id, Model, field, model

__all__ = ["Cart", "CartItem", "CartShop"]


@model
class CartItem(Model):
    """One product in the cart. The page does not say in what unit `price` is.

    `properties` is text; `offer_id` is where the first generation is expected to have it.
    """

    id: Id | None = field()
    """The id of the entry in the cart."""
    offer_map_id: Id | None = field()
    """The product's opaque id."""
    offer_id: Id | None = field()
    """The product's id, where the first generation is expected to have it."""
    spec_id: Id | None = field()
    """The variant's id, as an order wants it."""
    sku_id: Id | None = field()
    """The variant's id."""
    item_title: str | None = field()
    """The title."""
    item_pic: str | None = field()
    """A picture."""
    price: Decimal | None = field()
    """The price; the page does not say in what unit."""
    quantity: int | None = field()
    """How many pieces."""
    amount_on_sale: int | None = field()
    """How many pieces are in stock."""
    properties: str | None = field()
    """The variant in words."""


@model
class CartShop(Model):
    """What the cart holds of one shop."""

    seller_open_id: str | None = field()
    """The shop's id."""
    seller_nick_name: str | None = field(personal=True)
    """The shop's name. Personal."""
    cart_item_infos: list[CartItem] | None = field()
    """What the cart holds of the shop."""


@model
class Cart(Model):
    """The whole cart: what can be bought now, and what no longer can."""

    enable_list: list[CartShop] | None = field()
    """What can be bought now, by shop."""
    disable_list: list[CartShop] | None = field()
    """What can no longer be bought, by shop."""
