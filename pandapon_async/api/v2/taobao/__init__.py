"""Taobao calls of the second generation."""

from functools import cached_property

from pandapon_async.api.v2.taobao.carts import Carts
from pandapon_async.api.v2.taobao.goods import Goods
from pandapon_async.api.v2.taobao.orders import Orders
from pandapon_async.api.v2.taobao.refunds import Refunds
from pandapon_async.declare.endpoint import Resource

__all__ = ["Taobao"]


class Taobao(Resource):
    """Taobao, by group of the vendor's navigation."""

    @cached_property
    def goods(self) -> Goods:
        """Goods."""
        return Goods(self._caller)

    @cached_property
    def carts(self) -> Carts:
        """The shopping cart."""
        return Carts(self._caller)

    @cached_property
    def orders(self) -> Orders:
        """Orders."""
        return Orders(self._caller)

    @cached_property
    def refunds(self) -> Refunds:
        """After-sales."""
        return Refunds(self._caller)
