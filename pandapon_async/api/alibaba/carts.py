"""The 1688 shopping cart."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pandapon_async.core.model import Unread
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.call import At, Call, Resource, call
from pandapon_async.declare.endpoint import Evidence, Scope
from pandapon_async.declare.fields import (
    IdInteger,
    IntegerField,
    IntegerIdField,
    JsonField,
    ListField,
    NonEmpty,
)
from pandapon_async.models.alibaba.carts import Cart
from pandapon_async.models.alibaba.orders import FastAddress

__all__ = ["Carts"]

CartIds = Annotated[Iterable[int | str], ListField(IntegerIdField())]
Address = Annotated[FastAddress | None, ObjectField(FastAddress)]


class Carts(Resource):
    """Read the cart, change quantities, and order what is in it."""

    @call(
        "GET",
        v1=At("/alibaba/cart/list", "https://doc-en.pandapon.com/api-263477667", evidence=Evidence.INFERRED),
        v2=At("/v2/alibaba/cart/list", "https://doc-cnv2.pandapon.com/api-288837580"),
        safety=Safety.READ,
    )
    def get(self) -> Call[Cart]:
        """The whole cart, shop by shop: what can be bought, and what no longer can. It is not paged."""
        ...

    @call(
        "POST",
        v1=At("/alibaba/cart/edit-quantity", "https://doc.pandapon.com/api-250313129"),
        v2=At(
            "/v2/alibaba/cart/edit-quantity",
            "https://doc-env2.pandapon.com/api-289121030",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.REPEATABLE,
        confirmed_by="data",
    )
    def set_quantity(
        self,
        *,
        id: IdInteger,
        quantity: Annotated[int, IntegerField(1)],
        product_no: NonEmpty | None = None,
        container: NonEmpty | None = None,
        update_time: Annotated[Any, JsonField()] = None,
    ) -> Call[bool]:
        """Set how many pieces of one cart entry to buy (not add); True once it is done.

        `id` is the cart entry's, from `get`. `product_no` and `container` are the buyer's own numbers of
        the product and its box. `update_time` is an object the page shows by mistake: leave it out.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/cart/preview/order", "https://doc.pandapon.com/api-250313128"),
        v2=At(
            "/v2/alibaba/cart/preview/order",
            "https://doc-env2.pandapon.com/api-289121031",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.READ,
    )
    def preview_order(self, *, cart_ids: CartIds, address_param: Address = None) -> Call[Unread]:
        """What ordering these cart entries would give; orders nothing.

        The answer is not shown on the page and handed through as JSON; it can be expected to be like
        `orders.preview`'s, with amounts in fen.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/cart/create/order", "https://doc-en.pandapon.com/api-263477662"),
        v2=At(
            "/v2/alibaba/cart/create/order",
            "https://doc-env2.pandapon.com/api-289121032",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
    )
    def create_order(
        self,
        *,
        flow: NonEmpty,
        cart_ids: CartIds,
        address_param: Address = None,
        message: NonEmpty | None = None,
        shop_promotion_id: NonEmpty | None = None,
        trade_type: NonEmpty | None = None,
        user_id: NonEmpty | None = None,
        staff_name: NonEmpty | None = None,
    ) -> Call[Unread]:
        """Order these cart entries. Never sent twice by this client: look the order up before a repeat.

        `flow` is the way of ordering ("general", or what the preview names), `message` the remark to the
        seller, `staff_name` the employee who orders. The answer is not shown: JSON as it came.
        """
        ...
