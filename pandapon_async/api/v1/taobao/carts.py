"""The Taobao shopping cart, first generation. No page that was read shows what these calls answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pandapon_async.core.model import Unread
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Call, Resource, call
from pandapon_async.declare.fields import (
    IdInteger,
    IdText,
    IntegerField,
    IntegerIdField,
    JsonTextField,
    ListField,
    NonEmpty,
    NumberField,
    ObjectField,
)
from pandapon_async.models.taobao.carts import ItemPropertyChoice
from pandapon_async.models.taobao.orders import OrderAddress

__all__ = ["Carts"]

CartIds = Annotated[Iterable[int | str], ListField(IntegerIdField())]
Price = Annotated[int, IntegerField(0)]
Properties = Annotated[
    Iterable[ItemPropertyChoice] | None, JsonTextField(ListField(ObjectField(ItemPropertyChoice)))
]
Stock = Annotated[int | None, NumberField(decimals=0, as_text=True)]


class Carts(Resource):
    """Put products into the cart, and order what is in it."""

    @call("POST", "/open/cart/add", safety=Safety.ONCE, page="https://doc.pandapon.com/api-250313100")
    def add(
        self,
        *,
        item_id: IdInteger,
        sku_id: IdText,
        mp_id: IdText,
        mp_sku_id: IdText,
        item_title: NonEmpty,
        item_pic: NonEmpty,
        price: Price,
        quantity: Annotated[int, IntegerField(1)],
        shop_id: IdInteger,
        shop_name: NonEmpty,
        promotion_price: Price | None = None,
        properties: Properties = None,
        sku_quantity: Stock = None,
        user_id: NonEmpty | None = None,
        user_nick: NonEmpty | None = None,
        platform: Annotated[int | None, IntegerField(0)] = None,
    ) -> Call[Unread]:
        """Add a product to the cart. A repeat adds again: after a lost answer read the cart, then decide.

        The facts are those of `goods.get`. Prices are whole numbers; the page does not say in what unit
        (other Taobao amounts are fen). `sku_quantity` is the stock; `properties` travel as JSON text.
        """
        ...

    @call(
        "POST",
        "/open/cart/create/order",
        safety=Safety.ONCE,
        page="https://doc.pandapon.com/api-250313096",
    )
    def create_order(
        self,
        *,
        ids: CartIds,
        order_address: Annotated[OrderAddress | None, ObjectField(OrderAddress)] = None,
        user_id: NonEmpty | None = None,
    ) -> Call[Unread]:
        """Order these cart entries. Never sent twice by this client: look the order up before a repeat.

        `ids` are the entries' own; whether the address may be left out is not marked.
        """
        ...
