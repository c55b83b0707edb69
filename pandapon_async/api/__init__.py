"""The declarations of all calls, one file per group of the vendor's navigation."""

from pandapon_async.api.addresses import Addresses
from pandapon_async.api.alibaba import Alibaba, AlibabaV1, AlibabaV2
from pandapon_async.api.freight import Freight
from pandapon_async.api.taobao import Taobao, TaobaoV1, TaobaoV2
from pandapon_async.declare.call import Resource, Subresource

__all__ = ["V1", "V2", "Addresses", "Alibaba", "Freight", "Taobao"]


class V1(Resource):
    """The calls of the first generation of the API (paths without a version)."""

    alibaba: Subresource[AlibabaV1] = Subresource(AlibabaV1)
    """1688."""
    taobao: Subresource[TaobaoV1] = Subresource(TaobaoV1)
    """Taobao."""
    addresses: Subresource[Addresses] = Subresource(Addresses)
    """The account's own addresses."""
    freight: Subresource[Freight] = Subresource(Freight)
    """Warehouse logistics: shipping abroad."""


class V2(Resource):
    """The calls of the second generation of the API (paths under /v2)."""

    alibaba: Subresource[AlibabaV2] = Subresource(AlibabaV2)
    """1688."""
    taobao: Subresource[TaobaoV2] = Subresource(TaobaoV2)
    """Taobao."""
    addresses: Subresource[Addresses] = Subresource(Addresses)
    """The account's own addresses."""
    freight: Subresource[Freight] = Subresource(Freight)
    """Warehouse logistics: shipping abroad."""
