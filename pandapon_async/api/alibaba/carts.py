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
    """Read the cart, change quantities, and order its entries."""

    @call(
        "GET",
        v1=At("/alibaba/cart/list", "https://doc-en.pandapon.com/api-263477667", evidence=Evidence.INFERRED),
        v2=At("/v2/alibaba/cart/list", "https://doc-cnv2.pandapon.com/api-288837580"),
        safety=Safety.READ,
    )
    def get(self) -> Call[Cart]:
        """Read the whole cart by shop, not paged: what can be bought and what no longer can."""
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
        """Set the quantity of one cart entry (not add to it); returns True if accepted.

        `id` is the id of the cart entry, from `get`. `product_no` and `container` are the buyer's own numbers
        of the product and its box. `update_time` is an object that the page shows by mistake: leave it out.
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
        """Preview the order of these cart entries; orders nothing.

        The page does not show the answer, so it is returned as plain JSON; it is probably like that of
        `orders.preview`, with amounts in fen.
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
        """Order these cart entries. This client never sends it twice: look up the order before a repeat.

        `flow` is the way of ordering ("general", or the value from the preview), `message` the remark to the
        seller, `staff_name` the employee who orders. The page does not show the answer, so it is returned as
        plain JSON.
        """
        ...
