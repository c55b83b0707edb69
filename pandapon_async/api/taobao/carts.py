"""The Taobao shopping cart. No page that was read shows what these calls answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pandapon_async.core.model import Unread
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.call import At, ByGeneration, Call, Resource, call
from pandapon_async.declare.endpoint import Evidence, Scope
from pandapon_async.declare.fields import (
    IdInteger,
    IdText,
    IntegerField,
    IntegerIdField,
    JsonTextField,
    ListField,
    NonEmpty,
    NumberField,
)
from pandapon_async.models.taobao.carts import ItemPropertyChoice, PriceRange
from pandapon_async.models.taobao.orders import OrderAddress

__all__ = ["Carts", "CartsV1", "CartsV2"]

CartIds = Annotated[Iterable[int | str], ListField(IntegerIdField())]
Price = Annotated[int, IntegerField(0)]
Properties = Annotated[
    Iterable[ItemPropertyChoice] | None, JsonTextField(ListField(ObjectField(ItemPropertyChoice)))
]
Stock = Annotated[int | None, NumberField(decimals=0, as_text=True)]


class _Carts(Resource):
    @call(
        "POST",
        v1=At("/open/cart/create/order", "https://doc.pandapon.com/api-250313096"),
        v2=At(
            "/v2/taobao/cart/create/order",
            "https://doc-env2.pandapon.com/api-289120999",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
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


class CartsV1(_Carts):
    """Put products into the cart, and order what is in it (first generation)."""

    @call(
        "POST",
        v1=At("/open/cart/add", "https://doc.pandapon.com/api-250313100"),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
    )
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


class CartsV2(_Carts):
    """Put products into the cart, and order what is in it (second generation)."""

    @call(
        "POST",
        v2=At("/v2/taobao/cart/add", "https://doc-env2.pandapon.com/api-289121002"),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
    )
    def add(
        self,
        *,
        item_map_id: IdText,
        sku_id: IdText,
        mp_id: IdText,
        mp_sku_id: IdText,
        item_title: NonEmpty,
        item_pic: NonEmpty,
        price: Price,
        quantity: Annotated[int, IntegerField(1)],
        shop_id: IdInteger,
        shop_name: NonEmpty,
        ali_shop_id: IdText | None = None,
        promotion_price: Price | None = None,
        price_ranges: Annotated[Iterable[PriceRange] | None, ListField(ObjectField(PriceRange))] = None,
        quote_type: Annotated[int | None, IntegerField(0)] = None,
        properties: Properties = None,
        sku_quantity: Stock = None,
        user_id: NonEmpty | None = None,
        user_nick: NonEmpty | None = None,
        platform: Annotated[int | None, IntegerField(0)] = None,
    ) -> Call[Unread]:
        """Add a product to the cart. A repeat adds again: after a lost answer read the cart, then decide.

        The facts are those of `goods.get`; `item_map_id` is the product's opaque id. Prices are numbers
        in a unit the page does not state (other Taobao amounts are fen). Title and picture count as
        required, as in the first generation.
        """
        ...


class Carts(_Carts):
    """Put products into the cart, and order what is in it."""

    add: Final = ByGeneration(CartsV1.add, CartsV2.add)
    """Puts an item into the cart; takes the arguments of `v1` or those of `v2`."""
