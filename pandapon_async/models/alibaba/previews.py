"""The preview of a 1688 order: several orders if the platform splits it. Amounts are fen."""

from __future__ import annotations

from decimal import Decimal

from pandapon_async.core.model import Id, Model, Unread, field, model
from pandapon_async.money import Fen

__all__ = ["OrderPreview", "PreviewedCargo", "PreviewedOrder", "TradeModel"]


@model
class PreviewedCargo(Model):
    """One product of a previewed order; inferred. The unit of its two amounts is not known."""

    offer_id: Id | None = field()
    """The product's id."""
    offer_map_id: Id | None = field()
    """The product's opaque id."""
    spec_id: Id | None = field()
    """The variant's id for an order."""
    sku_id: Id | None = field()
    """The variant's id."""
    amount: Decimal | None = field()
    """The amount of the line; its unit is not known."""
    final_unit_price: Decimal | None = field()
    """The price of one piece; its unit is not known."""
    result_code: Id | None = field()
    """Why it cannot be ordered, as a code; None if it can."""
    message: str | None = field()
    """Why it cannot be ordered, in words."""


@model
class TradeModel(Model):
    """One way to pay; inferred. Creating the order needs `trade_type`, if `op_support` is true."""

    trade_type: str | None = field()
    """The value for creating the order."""
    name: str | None = field()
    """Its name."""
    description: str | None = field()
    """What it means."""
    op_support: bool | None = field()
    """Whether it can be chosen through the API."""


@model
class PreviewedOrder(Model):
    """One order of the preview. Amounts are fen; the names from `sum_payment` on are inferred.

    Creating the order needs `flow_flag` as `flow`.
    """

    discount_fee: Fen | None = field()
    """The discount in fen."""
    trade_mode_name_list: list[str] | None = field()
    """The ways to pay, by name."""
    status: bool | None = field()
    """Whether the order could be made."""
    tao_sample_single_promotion: bool | None = field()
    """Whether it is a promoted sample, in the upstream's words."""
    sum_payment: Fen | None = field()
    """The amount to pay in fen. Inferred."""
    sum_payment_no_carriage: Fen | None = field()
    """The amount to pay without freight in fen. Inferred."""
    sum_carriage: Fen | None = field()
    """Freight in fen. Inferred."""
    additional_fee: Fen | None = field()
    """Further fees in fen. Inferred."""
    flow_flag: str | None = field()
    """The value of `flow` for creating the order. Inferred."""
    result_code: Id | None = field()
    """Why it cannot be ordered, as a code; None if it can. Inferred."""
    message: str | None = field()
    """Why it cannot be ordered, in words. Inferred."""
    cargo_list: list[PreviewedCargo] | None = field()
    """The products. Inferred."""
    shop_promotion_list: Unread = field()
    """Promotions of the shop, as plain JSON. Inferred."""
    trade_model_list: list[TradeModel] | None = field()
    """The ways to pay. Inferred."""


@model
class OrderPreview(Model):
    """The preview of an order: several orders if the platform splits it."""

    order_previews: list[PreviewedOrder] | None = field(wire="orderPreviewResuslt")
    """The orders that would be created."""
    success: bool | None = field()
    """Whether the preview succeeded."""
    error_code: Id | None = field()
    """The inner error code."""
    error_msg: str | None = field()
    """The inner message, unchanged."""
    post_fee_by_desc_offer_list: list[Id] | None = field()
    """Products whose freight is only in their description."""
    consign_offer_list: list[Id] | None = field()
    """Products on consignment."""
    unsupported_cross_border_pay_offer_list: list[Id] | None = field()
    """Products that cannot be paid from abroad."""
