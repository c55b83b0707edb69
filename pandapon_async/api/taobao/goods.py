"""Taobao goods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pandapon_async.core.model import Wire
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.call import At, Call, Resource, call, paged
from pandapon_async.declare.endpoint import Evidence
from pandapon_async.declare.fields import (
    IdText,
    IntegerField,
    JsonTextField,
    ListField,
    NonEmpty,
    PageNo,
)
from pandapon_async.models.taobao.goods import Product, ProductBatch, ProductPage, ProductQuery, SourceProduct

__all__ = ["Goods", "GoodsV2"]


class GoodsV2(Resource):
    """Find products by keyword and read them (second generation)."""

    @call(
        "GET",
        v1=At("/open/product/get", "https://doc-vnm.pandapon.com/api-250496531"),
        v2=At("/v2/taobao/product/get", "https://doc-env2.pandapon.com/api-289120986"),
        safety=Safety.READ,
    )
    def get(self, *, item_id: IdText) -> Call[Product]:
        """Read one product with its variants; the page does not state the unit of its prices.

        The ids of the second generation are opaque text such as WUnUC1cILiBjt-Jv3lDdlQ.
        """
        ...

    @call(
        "POST",
        v1=At("/open/product/batch/check", "https://doc-en.pandapon.com/api-263477607"),
        v2=At(
            "/v2/taobao/product/batch/check",
            "https://doc-env2.pandapon.com/api-289120987",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.READ,
    )
    def get_batch(
        self,
        *,
        products: Annotated[
            Iterable[ProductQuery], JsonTextField(ListField(ObjectField(ProductQuery))), Wire("params")
        ],
    ) -> Call[ProductBatch]:
        """Check several products at once: which can be supplied, and why the others cannot.

        The list is JSON text on the wire; the client writes it. The page names no maximum number.
        """
        ...

    @call(
        "POST",
        v1=At(
            "/open/product/item/search",
            "https://doc-en.pandapon.com/api-263477606",
            evidence=Evidence.INFERRED,
        ),
        v2=At("/v2/taobao/product/item/search", "https://doc-env2.pandapon.com/api-289120988"),
        safety=Safety.READ,
    )
    def search(
        self,
        *,
        keyword: NonEmpty | None = None,
        page_no: PageNo | None = None,
        page_size: Annotated[int, IntegerField(1, 40)] | None = None,
        sort: NonEmpty | None = None,
    ) -> Call[ProductPage]:
        """Read one page of the products that match a keyword; `search_pages` iterates over all of them.

        Pages count from 1 and hold at most 40 products; `sort` is for example "tk_rate_desc". No page of the
        vendor shows the answer, so how the client recognises the list is inferred.
        """
        ...

    search_pages: Final = paged(search)
    """Iterate over all products that match, page after page."""


class Goods(GoodsV2):
    """Find products by keyword and read them."""

    @call(
        "POST",
        v1=At("/open/product/source/get", "https://doc-vnm.pandapon.com/api-250496526"),
        safety=Safety.READ,
    )
    def get_source(self, *, item_id: IdText, language: NonEmpty | None = None) -> Call[SourceProduct]:
        """Read one product from its source; `language`, such as "vi", requests a translation.

        Only the Vietnamese documentation has this call.
        """
        ...
