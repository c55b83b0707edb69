"""1688 goods: what a search finds, and the details of one product.

The pages show only part of these answers. Fields marked "inferred" below carry the names of the
upstream platform's own answer, which the fields that were read follow; the rest is in `.extra`.
First generation answers name a product by `offer_id`, second generation ones by `offer_map_id`.
"""

from __future__ import annotations

import attrs

from pandapon_async.core.model import Id, Model, PageModel, field, model

__all__ = ["Product", "ProductImage", "ProductPage", "ProductSummary", "RelatedProductPage", "Sku"]


@model
class ProductSummary(Model):
    """One product that a search found. `image_url` and `subject` were read, the rest is inferred."""

    image_url: str | None = field()
    subject: str | None = field()
    subject_trans: str | None = field()
    offer_id: Id | None = field()
    offer_map_id: Id | None = field()


@model
class ProductPage(Model):
    """One page of the products that a search found; read on second generation pages only."""

    total_records: int | None = field()
    total_page: int | None = field()
    page_size: int | None = field()
    current_page: int | None = field()
    data: list[ProductSummary] | None = field()

    @property
    def items(self) -> list[ProductSummary]:
        """The products of this page."""
        return self.data or []

    @property
    def total(self) -> int | None:
        """How many products match in all."""
        return self.total_records


@model
class RelatedProductPage(PageModel):
    """One page of products related to another; how the list is recognised is an inference."""

    items: list[ProductSummary] = attrs.field(factory=list)


@model
class ProductImage(Model):
    """The pictures of a product; inferred."""

    images: list[str] | None = field()
    white_image: str | None = field()


@model
class Sku(Model):
    """One variant of a product; inferred. `spec_id` is what an order's cargo wants."""

    sku_id: Id | None = field()
    spec_id: Id | None = field()
    cargo_number: str | None = field()


@model
class Product(Model):
    """One product in full. `description` is HTML; from `product_image` on the names are inferred."""

    offer_id: Id | None = field()
    offer_map_id: Id | None = field()
    category_id: Id | None = field()
    category_name: str | None = field()
    subject: str | None = field()
    subject_trans: str | None = field()
    description: str | None = field()
    main_video: str | None = field()
    detail_video: str | None = field()
    status: str | None = field()
    product_image: ProductImage | None = field()
    product_sku_infos: list[Sku] | None = field()
    seller_open_id: str | None = field()
    min_order_quantity: int | None = field()
