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
    offer_map_id: Id | None = field()
    offer_id: Id | None = field()
    spec_id: Id | None = field()
    sku_id: Id | None = field()
    item_title: str | None = field()
    item_pic: str | None = field()
    price: Decimal | None = field()
    quantity: int | None = field()
    amount_on_sale: int | None = field()
    properties: str | None = field()


@model
class CartShop(Model):
    """What the cart holds of one shop."""

    seller_open_id: str | None = field()
    seller_nick_name: str | None = field(personal=True)
    cart_item_infos: list[CartItem] | None = field()


@model
class Cart(Model):
    """The whole cart: what can be bought now, and what no longer can."""

    enable_list: list[CartShop] | None = field()
    disable_list: list[CartShop] | None = field()
