"""1688 goods, second generation: products go by opaque ids, `offer_map_id` in the answers."""

from __future__ import annotations

from typing import Final

from pandapon_async.api.v1.alibaba import goods as first
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Call, Evidence, Resource, call, paged, twin
from pandapon_async.declare.fields import IdText, NonEmpty
from pandapon_async.models.alibaba.goods import Product

__all__ = ["Goods"]


class Goods(Resource):
    """Find products by words, by picture, in one shop, and read one in full."""

    @call(
        "POST",
        "/v2/alibaba/product/detail/get",
        safety=Safety.READ,
        evidence=Evidence.INFERRED,
        page="https://doc-env2.pandapon.com/api-289121017",
    )
    def get(
        self, *, offer_id: IdText, country: NonEmpty = "en", out_member_id: NonEmpty | None = None
    ) -> Call[Product]:
        """One product in full; `country` is the language of its texts.

        The page could not be read. The arguments are the first generation's, but the id is text here,
        since this generation's ids are opaque (as in `related`).
        """
        ...

    search: Final = twin(
        first.Goods.search,
        "/v2/alibaba/product/keywords/query",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121018",
    )
    search_pages: Final = paged(search)
    search_by_image: Final = twin(
        first.Goods.search_by_image,
        "/v2/alibaba/product/image/query",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121019",
    )
    search_by_image_pages: Final = paged(search_by_image)
    search_in_shop: Final = twin(
        first.Goods.search_in_shop,
        "/v2/alibaba/product/query/selleroffer",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121020",
    )
    search_in_shop_pages: Final = paged(search_in_shop)
    related: Final = twin(
        first.Goods.related,
        "/v2/alibaba/product/productRelatedRecommendQuery",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121023",
    )
    related_pages: Final = paged(related)
    decrypt_open_uid: Final = twin(
        first.Goods.decrypt_open_uid,
        "/v2/alibaba/product/openuid/decrypt",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121043",
        evidence=Evidence.INFERRED,
    )
