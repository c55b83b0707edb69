"""The 1688 calls."""

from pandapon_async.api.alibaba.carts import Carts
from pandapon_async.api.alibaba.goods import Goods, GoodsV1, GoodsV2
from pandapon_async.api.alibaba.orders import Orders, OrdersV1, OrdersV2
from pandapon_async.api.alibaba.refunds import Refunds
from pandapon_async.declare.call import Resource, Subresource

__all__ = ["Alibaba", "AlibabaV1", "AlibabaV2"]


class Alibaba(Resource):
    """1688, by group of the vendor's navigation."""

    goods: Subresource[Goods] = Subresource(Goods)
    """Goods."""
    carts: Subresource[Carts] = Subresource(Carts)
    """The shopping cart."""
    orders: Subresource[Orders] = Subresource(Orders)
    """Orders."""
    refunds: Subresource[Refunds] = Subresource(Refunds)
    """After-sales."""


class AlibabaV1(Resource):
    """1688, first generation."""

    goods: Subresource[GoodsV1] = Subresource(GoodsV1)
    """Goods."""
    carts: Subresource[Carts] = Subresource(Carts)
    """The shopping cart."""
    orders: Subresource[OrdersV1] = Subresource(OrdersV1)
    """Orders."""
    refunds: Subresource[Refunds] = Subresource(Refunds)
    """After-sales."""


class AlibabaV2(Resource):
    """1688, second generation."""

    goods: Subresource[GoodsV2] = Subresource(GoodsV2)
    """Goods."""
    carts: Subresource[Carts] = Subresource(Carts)
    """The shopping cart."""
    orders: Subresource[OrdersV2] = Subresource(OrdersV2)
    """Orders."""
    refunds: Subresource[Refunds] = Subresource(Refunds)
    """After-sales."""
