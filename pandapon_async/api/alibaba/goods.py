"""1688 goods. The second generation identifies products by opaque ids, `offer_map_id` in its answers."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Final

from pandapon_async.core.model import Unread, Wire
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.call import At, ByGeneration, Call, Resource, call, paged
from pandapon_async.declare.endpoint import Evidence
from pandapon_async.declare.fields import (
    IdInteger,
    IdText,
    ImageField,
    IntegerField,
    JsonField,
    JsonTextField,
    NonEmpty,
    PageNo,
    YuanField,
)
from pandapon_async.images import ImageSource
from pandapon_async.models.alibaba.goods import Product, ProductPage, RelatedProductPage

__all__ = ["Goods", "GoodsV1", "GoodsV2"]

BeginPage = Annotated[int, IntegerField(1), Wire("beginPage")]
PageSize = Annotated[int, IntegerField(1)]
Sort = Annotated[Mapping[str, str] | None, JsonTextField(JsonField())]
Yuan = Annotated[Decimal | int | str | None, YuanField()]


class _Goods(Resource):
    @call(
        "POST",
        v1=At("/alibaba/product/keywords/query", "https://doc-en.pandapon.com/api-263477640"),
        v2=At("/v2/alibaba/product/keywords/query", "https://doc-env2.pandapon.com/api-289121018"),
        safety=Safety.READ,
    )
    def search(
        self,
        *,
        keyword: NonEmpty,
        page_no: BeginPage = 1,
        page_size: PageSize = 20,
        country: NonEmpty = "en",
        filter: NonEmpty | None = None,
        sort: Sort = None,
        out_member_id: NonEmpty | None = None,
        price_start: Yuan = None,
        price_end: Yuan = None,
        category_id: IdText | None = None,
    ) -> Call[ProductPage]:
        """Read one page of the products that match a keyword; `search_pages` iterates over all of them.

        `filter` is a list separated by commas, such as "shipInToday,ksCiphertext"; `sort` is for example
        {"price": "asc"}. The prices limit the wholesale price, in yuan according to the page's example
        633.69. Pages count from 1.
        """
        ...

    search_pages: Final = paged(search)

    @call(
        "POST",
        v1=At("/alibaba/product/image/query", "https://doc.pandapon.com/api-250313105"),
        v2=At("/v2/alibaba/product/image/query", "https://doc-env2.pandapon.com/api-289121019"),
        safety=Safety.READ,
    )
    def search_by_image(
        self,
        *,
        image: Annotated[ImageSource, ImageField(), Wire("imageBase64")],
        page_no: BeginPage = 1,
        page_size: PageSize = 20,
        country: NonEmpty = "en",
        region: NonEmpty | None = None,
        filter: NonEmpty | None = None,
        sort: Sort = None,
        price_start: Yuan = None,
        price_end: Yuan = None,
        category_id: IdInteger | None = None,
        image_address: NonEmpty | None = None,
        out_member_id: NonEmpty | None = None,
    ) -> Call[ProductPage]:
        """Read one page of the products similar to a picture; `search_by_image_pages` iterates over all of
        them.

        `image` is bytes, a path or a binary file of at most 1 MiB (this client's limit; the page names none).
        `image_address` is the url of a 1688 picture, which the page lists as well. `region` selects the
        subject in the picture. The other arguments are those of `search`.
        """
        ...

    search_by_image_pages: Final = paged(search_by_image)

    @call(
        "POST",
        v1=At("/alibaba/product/query/selleroffer", "https://doc-en.pandapon.com/api-263477642"),
        v2=At("/v2/alibaba/product/query/selleroffer", "https://doc-env2.pandapon.com/api-289121020"),
        safety=Safety.READ,
    )
    def search_in_shop(
        self,
        *,
        seller_open_id: NonEmpty,
        keyword: NonEmpty,
        page_no: BeginPage = 1,
        page_size: PageSize = 20,
        country: NonEmpty = "en",
        filter: NonEmpty | None = None,
        sort: Sort = None,
        out_member_id: NonEmpty | None = None,
        price_start: Yuan = None,
        price_end: Yuan = None,
        category_id: IdInteger | None = None,
    ) -> Call[ProductPage]:
        """Read one page of a shop's products for a keyword; `search_in_shop_pages` iterates over all of them.

        `seller_open_id` is the shop's id, from the details of a product. The other arguments are those of
        `search`, but the category is a number on the wire.
        """
        ...

    search_in_shop_pages: Final = paged(search_in_shop)

    @call(
        "POST",
        v1=At(
            "/alibaba/product/productRelatedRecommendQuery",
            "https://doc-en.pandapon.com/api-269244511",
            evidence=Evidence.INFERRED,
        ),
        v2=At(
            "/v2/alibaba/product/productRelatedRecommendQuery", "https://doc-env2.pandapon.com/api-289121023"
        ),
        safety=Safety.READ,
    )
    def related(
        self, *, offer_id: IdText, page_no: PageNo = 1, page_size: PageSize = 10, language: NonEmpty = "en"
    ) -> Call[RelatedProductPage]:
        """Read one page of the products related to one; `related_pages` iterates over all of them.

        `language` is "en" or "vi". The upstream returns at most 10 per page. The ids of the second generation
        are opaque text such as f6vE-dfY1NV37oG_fz9WSA.
        """
        ...

    related_pages: Final = paged(related)

    @call(
        "POST",
        v1=At(
            "/alibaba/product/openuid/decrypt",
            "https://doc-en.pandapon.com/api-263477639",
            evidence=Evidence.PUBLIC_CLIENT,
        ),
        v2=At(
            "/v2/alibaba/product/openuid/decrypt",
            "https://doc-env2.pandapon.com/api-289121043",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.READ,
    )
    def decrypt_open_uid(self, *, offer_id: IdText, open_uid: NonEmpty) -> Call[Unread]:
        """Look up the seller of a product on Wangwang by the seller's open uid.

        Path and arguments come from a public client; no source shows the answer. By its title the first
        generation returns a url and the second a nickname. Either identifies a person.
        """
        ...


class GoodsV1(_Goods):
    """Find products by keyword, picture or shop, and read one in full (first generation)."""

    @call(
        "POST",
        v1=At("/alibaba/product/detail/get", "https://doc-vnm.pandapon.com/project-4008853/api-147289688"),
        safety=Safety.READ,
    )
    def get(
        self, *, offer_id: IdInteger, country: NonEmpty = "en", out_member_id: NonEmpty | None = None
    ) -> Call[Product]:
        """Read one product in full; `country` is the language of its texts, for now always "en".

        `out_member_id` is your own id of the buyer. The fields of the answer are only partly known.
        """
        ...


class GoodsV2(_Goods):
    """Find products by keyword, picture or shop, and read one in full (second generation)."""

    @call(
        "POST",
        v2=At(
            "/v2/alibaba/product/detail/get",
            "https://doc-env2.pandapon.com/api-289121017",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.READ,
    )
    def get(
        self, *, offer_id: IdText, country: NonEmpty = "en", out_member_id: NonEmpty | None = None
    ) -> Call[Product]:
        """Read one product in full; `country` is the language of its texts.

        The page could not be read. The arguments are those of the first generation, but the id is text,
        because the ids of this generation are opaque (as in `related`).
        """
        ...


class Goods(_Goods):
    """Find products by keyword, picture or shop, and read one in full."""

    get: Final = ByGeneration(GoodsV1.get, GoodsV2.get)
    """Read one product in full; accepts the arguments of `v1` or those of `v2`."""
