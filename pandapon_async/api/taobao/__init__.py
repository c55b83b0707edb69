"""The Taobao calls."""

from pandapon_async.api.taobao.carts import Carts, CartsV1, CartsV2
from pandapon_async.api.taobao.goods import Goods, GoodsV2
from pandapon_async.api.taobao.orders import Orders, OrdersV2
from pandapon_async.api.taobao.refunds import Refunds
from pandapon_async.declare.call import Group, Resource

__all__ = ["Taobao", "TaobaoV1", "TaobaoV2"]


class Taobao(Resource):
    """Taobao, by group of the vendor's navigation."""

    goods = Group(Goods)
    """Goods."""
    carts = Group(Carts)
    """The shopping cart."""
    orders = Group(Orders)
    """Orders."""
    refunds = Group(Refunds)
    """After-sales."""


class TaobaoV1(Resource):
    """Taobao, first generation."""

    goods = Group(Goods)
    """Goods."""
    carts = Group(CartsV1)
    """The shopping cart."""
    orders = Group(Orders)
    """Orders."""
    refunds = Group(Refunds)
    """After-sales."""


class TaobaoV2(Resource):
    """Taobao, second generation."""

    goods = Group(GoodsV2)
    """Goods."""
    carts = Group(CartsV2)
    """The shopping cart."""
    orders = Group(OrdersV2)
    """Orders."""
    refunds = Group(Refunds)
    """After-sales."""
