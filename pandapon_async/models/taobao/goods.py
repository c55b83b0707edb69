"""Taobao goods: one product, what a search finds, and which products can be supplied.

The pages do not say in what unit the prices are (other Taobao amounts are fen): they are numbers as
they came.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Annotated

import attrs

from pandapon_async.core.model import Id, Model, PageModel, Unread, field, model
from pandapon_async.declare.fields import IdText, ListField, TextIdField
from pandapon_async.models.taobao.refunds import ItemProperty

__all__ = ["Product", "ProductBatch", "ProductPage", "ProductQuery", "ProductSummary", "Sku", "SourceProduct"]


@attrs.define(frozen=True, kw_only=True)
class ProductQuery:
    """One product to ask for, and which of its variants."""

    item_id: IdText
    sku_ids: Annotated[Sequence[int | str] | None, ListField(TextIdField())] = None


@model
class Sku(Model):
    """One variant of a product. The vendor's sample spells `mpSkuId` with an l: both are read."""

    sku_id: Id | None = field()
    mp_sku_id: Id | None = field()
    mp_skuld: Id | None = field()
    pic_url: str | None = field()
    price: Decimal | None = field()
    promotion_price: Decimal | None = field()
    post_fee: Decimal | None = field()
    quantity: int | None = field()
    status: int | str | None = field()
    properties: list[ItemProperty] | None = field()


@model
class Product(Model):
    """One product. `quantity` is the stock, `begin_amount` the smallest quantity to buy."""

    item_id: Id | None = field()
    mp_id: Id | None = field()
    title: str | None = field()
    description: str | None = field()
    category_id: Id | None = field()
    category_name: str | None = field()
    category_path: str | None = field()
    price: Decimal | None = field()
    promotion_price: Decimal | None = field()
    begin_amount: int | None = field()
    quantity: int | None = field()
    product_unit: str | None = field()
    pic_urls: list[str] | None = field()
    item_type: str | None = field()
    status: int | str | None = field()
    shop_id: Id | None = field()
    shop_name: str | None = field()
    user_nick: str | None = field(personal=True)
    sku_list: list[Sku] | None = field()


@model
class SourceProduct(Model):
    """One product at its source, in a language of one's choice; the page shows these two fields only."""

    item_id: Id | None = field()
    description: str | None = field()


@model
class ProductSummary(Model):
    """One product that a search found; no page shows it, so both names are inferred."""

    item_id: Id | None = field()
    title: str | None = field()


@model
class ProductPage(PageModel):
    """One page of what a search found; how the list is recognised is an inference."""

    items: list[ProductSummary] = attrs.field(factory=list)


@model
class ProductBatch(Model):
    """Which of the products can be supplied, and why the others cannot.

    The fields of `mp_products` and `no_mp_reason_list` are not shown: both are the JSON that came.
    """

    mp_products: list[Unread] | None = field()
    no_mp_product_item_ids: list[Id] | None = field()
    no_mp_reason_list: list[Unread] | None = field()
