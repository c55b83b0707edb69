"""The first generation of the API (paths without a version)."""

from functools import cached_property

from pandapon_async.api.v1.addresses import Addresses
from pandapon_async.api.v1.alibaba import Alibaba
from pandapon_async.api.v1.freight import Freight
from pandapon_async.api.v1.taobao import Taobao
from pandapon_async.declare.endpoint import Resource

__all__ = ["V1"]


class V1(Resource):
    """The first generation, by platform."""

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
