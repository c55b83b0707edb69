"""The second generation of the API (paths under /v2)."""

from functools import cached_property

from pandapon_async.api.v2.addresses import Addresses
from pandapon_async.api.v2.alibaba import Alibaba
from pandapon_async.api.v2.freight import Freight
from pandapon_async.api.v2.taobao import Taobao
from pandapon_async.declare.endpoint import Resource

__all__ = ["V2"]


class V2(Resource):
    """The second generation, by platform."""

    @cached_property
    def alibaba(self) -> Alibaba:
        """1688."""
        return Alibaba(self._caller)

    @cached_property
    def taobao(self) -> Taobao:
        """Taobao."""
        return Taobao(self._caller)

    @cached_property
    def addresses(self) -> Addresses:
        """The account's own addresses."""
        return Addresses(self._caller)

    @cached_property
    def freight(self) -> Freight:
        """Warehouse logistics: the way abroad."""
        return Freight(self._caller)
