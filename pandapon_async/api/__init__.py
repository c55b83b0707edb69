"""What can be called: declarations only, one file per group of the vendor's navigation."""

from pandapon_async.api.addresses import Addresses
from pandapon_async.api.alibaba import Alibaba, AlibabaV1, AlibabaV2
from pandapon_async.api.freight import Freight
from pandapon_async.api.taobao import Taobao, TaobaoV1, TaobaoV2
from pandapon_async.declare.call import Group, Resource

__all__ = ["V1", "V2", "Addresses", "Alibaba", "Freight", "Taobao"]


class V1(Resource):
    """The calls that the first generation of the API has (paths without a version)."""

    alibaba = Group(AlibabaV1)
    """1688."""
    taobao = Group(TaobaoV1)
    """Taobao."""
    addresses = Group(Addresses)
    """The account's own addresses."""
    freight = Group(Freight)
    """Warehouse logistics: the way abroad."""


class V2(Resource):
    """The calls that the second generation of the API has (paths under /v2)."""

    alibaba = Group(AlibabaV2)
    """1688."""
    taobao = Group(TaobaoV2)
    """Taobao."""
    addresses = Group(Addresses)
    """The account's own addresses."""
    freight = Group(Freight)
    """Warehouse logistics: the way abroad."""
