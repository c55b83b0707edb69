"""The 1688 shopping cart, second generation."""

from __future__ import annotations

from typing import Final

from pandapon_async.api.v1.alibaba import carts as first
from pandapon_async.declare.endpoint import Evidence, Resource, twin

__all__ = ["Carts"]


class Carts(Resource):
    """Read the cart, change quantities, and order what is in it."""

    get: Final = twin(
        first.Carts.get,
        "/v2/alibaba/cart/list",
        room=__name__,
        page="https://doc-cnv2.pandapon.com/api-288837580",
    )
    set_quantity: Final = twin(
        first.Carts.set_quantity,
        "/v2/alibaba/cart/edit-quantity",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121030",
        evidence=Evidence.INFERRED,
    )
    preview_order: Final = twin(
        first.Carts.preview_order,
        "/v2/alibaba/cart/preview/order",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121031",
        evidence=Evidence.INFERRED,
    )
    create_order: Final = twin(
        first.Carts.create_order,
        "/v2/alibaba/cart/create/order",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121032",
        evidence=Evidence.INFERRED,
    )
