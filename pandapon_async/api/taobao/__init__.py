"""The Taobao calls."""

from pandapon_async.api.taobao.carts import Carts, CartsV1, CartsV2
from pandapon_async.api.taobao.goods import Goods, GoodsV2
from pandapon_async.api.taobao.orders import Orders, OrdersV2
from pandapon_async.api.taobao.refunds import Refunds
from pandapon_async.declare.call import Resource, Subresource

__all__ = ["Taobao", "TaobaoV1", "TaobaoV2"]


class Taobao(Resource):
    """Taobao, by group of the vendor's navigation."""

    goods: Subresource[Goods] = Subresource(Goods)
    """Goods."""
    carts: Subresource[Carts] = Subresource(Carts)
    """The shopping cart."""
    orders: Subresource[Orders] = Subresource(Orders)
    """Orders."""
    refunds: Subresource[Refunds] = Subresource(Refunds)
    """After-sales."""


class TaobaoV1(Resource):
    """Taobao, first generation."""

    goods: Subresource[Goods] = Subresource(Goods)
    """Goods."""
    carts: Subresource[CartsV1] = Subresource(CartsV1)
    """The shopping cart."""
    orders: Subresource[Orders] = Subresource(Orders)
    """Orders."""
    refunds: Subresource[Refunds] = Subresource(Refunds)
    """After-sales."""


class TaobaoV2(Resource):
    """Taobao, second generation."""

    goods: Subresource[GoodsV2] = Subresource(GoodsV2)
    """Goods."""
    carts: Subresource[CartsV2] = Subresource(CartsV2)
    """The shopping cart."""
    orders: Subresource[OrdersV2] = Subresource(OrdersV2)
    """Orders."""
    refunds: Subresource[Refunds] = Subresource(Refunds)
    """After-sales."""
