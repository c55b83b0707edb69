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
    """A picture of the product."""
    subject: str | None = field()
    """The title."""
    subject_trans: str | None = field()
    """The title, translated. Inferred."""
    offer_id: Id | None = field()
    """The product's id, in the first generation. Inferred."""
    offer_map_id: Id | None = field()
    """The product's opaque id, in the second generation. Inferred."""


@model
class ProductPage(Model):
    """One page of the products that a search found; read on second generation pages only."""

    total_records: int | None = field()
    """How many products match in all."""
    total_page: int | None = field()
    """How many pages there are."""
    page_size: int | None = field()
    """How many products a page holds."""
    current_page: int | None = field()
    """The number of this page."""
    data: list[ProductSummary] | None = field()
    """The products of this page."""

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
    """The products of this page."""


@model
class ProductImage(Model):
    """The pictures of a product; inferred."""

    images: list[str] | None = field()
    """The pictures."""
    white_image: str | None = field()
    """A picture on white ground."""


@model
class Sku(Model):
    """One variant of a product; inferred. `spec_id` is what an order's cargo wants."""

    sku_id: Id | None = field()
    """The variant's id."""
    spec_id: Id | None = field()
    """The variant's id, as an order wants it."""
    cargo_number: str | None = field()
    """The seller's own number of the variant."""


@model
class Product(Model):
    """One product in full. `description` is HTML; from `product_image` on the names are inferred."""

    offer_id: Id | None = field()
    """The product's id, in the first generation."""
    offer_map_id: Id | None = field()
    """The product's opaque id, in the second generation."""
    category_id: Id | None = field()
    """The category's id."""
    category_name: str | None = field()
    """The category's name."""
    subject: str | None = field()
    """The title."""
    subject_trans: str | None = field()
    """The title, translated."""
    description: str | None = field()
    """The description, as HTML."""
    main_video: str | None = field()
    """A video of the product."""
    detail_video: str | None = field()
    """A video of the details."""
    status: str | None = field()
    """Whether it is on sale, as the upstream writes it."""
    product_image: ProductImage | None = field()
    """The pictures. Inferred."""
    product_sku_infos: list[Sku] | None = field()
    """The variants. Inferred."""
    seller_open_id: str | None = field()
    """The shop's id. Inferred."""
    min_order_quantity: int | None = field()
    """The smallest quantity to buy. Inferred."""
