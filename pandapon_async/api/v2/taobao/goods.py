"""Taobao goods, second generation: products go by opaque ids."""

from __future__ import annotations

from typing import Final

from pandapon_async.api.v1.taobao import goods as first
from pandapon_async.declare.endpoint import Evidence, Resource, paged, twin

__all__ = ["Goods"]


class Goods(Resource):
    """Find products by words, and read them."""

    get: Final = twin(
        first.Goods.get,
        "/v2/taobao/product/get",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289120986",
    )
    get_batch: Final = twin(
        first.Goods.get_batch,
        "/v2/taobao/product/batch/check",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289120987",
        evidence=Evidence.INFERRED,
    )
    search: Final = twin(
        first.Goods.search,
        "/v2/taobao/product/item/search",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289120988",
    )
    search_pages: Final = paged(search)
