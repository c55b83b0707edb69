"""1688 goods: the result of a search, and the details of one product.

The pages show only part of these answers. Fields marked "inferred" have the names of the upstream platform's
own answer, because the fields on the pages have them too; all others are in `.extra`. Answers of the first
generation identify a product by `offer_id`, those of the second by `offer_map_id`.
"""

from __future__ import annotations

import attrs

from pandapon_async.core.model import Id, Model, PageModel, field, model

__all__ = ["Product", "ProductImage", "ProductPage", "ProductSummary", "RelatedProductPage", "Sku"]


@model
class ProductSummary(Model):
    """One product found by a search. Pages show `image_url` and `subject`; the other fields are inferred."""

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
    """One page of a search; only pages of the second generation show it."""

    total_records: int | None = field()
    """The total number of matching products."""
    total_page: int | None = field()
    """The number of pages."""
    page_size: int | None = field()
    """The number of products on a page."""
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
        """The total number of matching products."""
        return self.total_records


@model
class RelatedProductPage(PageModel):
    """One page of related products; how the client recognises the list is inferred."""

    items: list[ProductSummary] = attrs.field(factory=list)
    """The products of this page."""


@model
class ProductImage(Model):
    """The pictures of a product; inferred."""

    images: list[str] | None = field()
    """The pictures."""
    white_image: str | None = field()
    """A picture on a white background."""


@model
class Sku(Model):
    """One variant of a product; inferred. An order's cargo needs `spec_id`."""

    sku_id: Id | None = field()
    """The variant's id."""
    spec_id: Id | None = field()
    """The variant's id for an order."""
    cargo_number: str | None = field()
    """The seller's own number of the variant."""


@model
class Product(Model):
    """One product in full. `description` is HTML; the names from `product_image` on are inferred."""

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
    """Whether it is on sale, in the upstream's words."""
    product_image: ProductImage | None = field()
    """The pictures. Inferred."""
    product_sku_infos: list[Sku] | None = field()
    """The variants. Inferred."""
    seller_open_id: str | None = field()
    """The shop's id. Inferred."""
    min_order_quantity: int | None = field()
    """The minimum quantity to buy. Inferred."""
