"""The Taobao shopping cart, second generation. No page that was read shows what these calls answer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pandapon_async.api.v1.taobao import carts as first
from pandapon_async.core.model import Unread
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Call, Evidence, Resource, call, twin
from pandapon_async.declare.fields import IdInteger, IdText, IntegerField, ListField, NonEmpty, ObjectField
from pandapon_async.models.taobao.carts import PriceRange

__all__ = ["Carts"]


class Carts(Resource):
    """Put products into the cart, and order what is in it."""

    @call(
        "POST",
        "/v2/taobao/cart/add",
        safety=Safety.ONCE,
        page="https://doc-env2.pandapon.com/api-289121002",
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
        price: first.Price,
        quantity: Annotated[int, IntegerField(1)],
        shop_id: IdInteger,
        shop_name: NonEmpty,
        ali_shop_id: IdText | None = None,
        promotion_price: first.Price | None = None,
        price_ranges: Annotated[Iterable[PriceRange] | None, ListField(ObjectField(PriceRange))] = None,
        quote_type: Annotated[int | None, IntegerField(0)] = None,
        properties: first.Properties = None,
        sku_quantity: first.Stock = None,
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

    create_order: Final = twin(
        first.Carts.create_order,
        "/v2/taobao/cart/create/order",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289120999",
        evidence=Evidence.INFERRED,
    )
