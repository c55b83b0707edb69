"""Taobao orders, second generation."""

from __future__ import annotations

from typing import Final

from pandapon_async.api.v1.taobao import orders as first
from pandapon_async.declare.endpoint import Evidence, Resource, twin

__all__ = ["Orders"]


class Orders(Resource):
    """Create orders, follow their packages, and the rest around them."""

    create: Final = twin(
        first.Orders.create,
        "/v2/taobao/order",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289120990",
        evidence=Evidence.INFERRED,
    )
    logistics: Final = twin(
        first.Orders.logistics,
        "/v2/taobao/order/logistics/detail/get",
        room=__name__,
        page="https://doc-cnv2.pandapon.com/api-288535324",
    )
    update_warehouse: Final = twin(
        first.Orders.update_warehouse,
        "/v2/taobao/order/updateWarehouse",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289120993",
        evidence=Evidence.INFERRED,
    )
    im_link: Final = twin(
        first.Orders.im_link,
        "/v2/taobao/order/page/link/get",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289120995",
        evidence=Evidence.INFERRED,
    )
