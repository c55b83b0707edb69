"""The Taobao shopping cart. No page of the vendor shows the answers of these calls."""

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
        """Order these cart entries. This client never sends it twice: look up the order before a repeat.

        `ids` are the ids of the entries. The page does not say whether the address is required.
        """
        ...


class CartsV1(_Carts):
    """Add products to the cart and order them (first generation)."""

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
        """Add a product to the cart. A repeat adds it again: after a lost answer read the cart first.

        The values come from `goods.get`. Prices are whole numbers; the page does not state their unit (other
        Taobao amounts are fen). `sku_quantity` is the stock; `properties` are JSON text on the wire.
        """
        ...


class CartsV2(_Carts):
    """Add products to the cart and order them (second generation)."""

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
        """Add a product to the cart. A repeat adds it again: after a lost answer read the cart first.

        The values come from `goods.get`; `item_map_id` is the product's opaque id. The page does not state
        the unit of the prices (other Taobao amounts are fen). Title and picture are required, as in the first
        generation.
        """
        ...


class Carts(_Carts):
    """Add products to the cart and order them."""

    add: Final = ByGeneration(CartsV1.add, CartsV2.add)
    """Adds a product to the cart; accepts the arguments of `v1` or those of `v2`."""
