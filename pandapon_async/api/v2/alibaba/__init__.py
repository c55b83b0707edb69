"""1688 calls of the second generation."""

from functools import cached_property

from pandapon_async.api.v2.alibaba.refunds import Refunds
from pandapon_async.endpoint import Group

__all__ = ["Alibaba"]


class Alibaba(Group):
    """1688, by group of the vendor's navigation."""

    @cached_property
    def refunds(self) -> Refunds:
        """After-sales."""
        return Refunds(self._caller)
