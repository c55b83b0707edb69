"""The 1688 calls."""

from pandapon_async.api.alibaba.carts import Carts
from pandapon_async.api.alibaba.goods import Goods, GoodsV1, GoodsV2
from pandapon_async.api.alibaba.orders import Orders, OrdersV1, OrdersV2
from pandapon_async.api.alibaba.refunds import Refunds
from pandapon_async.declare.call import Group, Resource

__all__ = ["Alibaba", "AlibabaV1", "AlibabaV2"]


class Alibaba(Resource):
    """1688, by group of the vendor's navigation."""

    goods = Group(Goods)
    """Goods."""
    carts = Group(Carts)
    """The shopping cart."""
    orders = Group(Orders)
    """Orders."""
    refunds = Group(Refunds)
    """After-sales."""


class AlibabaV1(Resource):
    """1688, first generation."""

    goods = Group(GoodsV1)
    """Goods."""
    carts = Group(Carts)
    """The shopping cart."""
    orders = Group(OrdersV1)
    """Orders."""
    refunds = Group(Refunds)
    """After-sales."""


class AlibabaV2(Resource):
    """1688, second generation."""

    goods = Group(GoodsV2)
    """Goods."""
    carts = Group(Carts)
    """The shopping cart."""
    orders = Group(OrdersV2)
    """Orders."""
    refunds = Group(Refunds)
    """After-sales."""
