"""1688 calls of the first generation."""

from functools import cached_property

from pandapon_async.api.v1.alibaba.carts import Carts
from pandapon_async.api.v1.alibaba.goods import Goods
from pandapon_async.api.v1.alibaba.orders import Orders
from pandapon_async.api.v1.alibaba.refunds import Refunds
from pandapon_async.declare.endpoint import Resource

__all__ = ["Alibaba"]


class Alibaba(Resource):
    """1688, by group of the vendor's navigation."""

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
