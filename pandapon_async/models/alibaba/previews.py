"""What creating a 1688 order would give: several orders where the platform splits it. Amounts are fen."""

from __future__ import annotations

from decimal import Decimal

from pandapon_async.core.model import Id, Model, Unread, field, model
from pandapon_async.money import Fen

__all__ = ["OrderPreview", "PreviewedCargo", "PreviewedOrder", "TradeModel"]


@model
class PreviewedCargo(Model):
    """One product of a previewed order; inferred. In what unit its two amounts are is not known."""

    offer_id: Id | None = field()
    """The product's id."""
    offer_map_id: Id | None = field()
    """The product's opaque id."""
    spec_id: Id | None = field()
    """The variant's id, as an order wants it."""
    sku_id: Id | None = field()
    """The variant's id."""
    amount: Decimal | None = field()
    """The amount of the line; its unit is not known."""
    final_unit_price: Decimal | None = field()
    """The price of one piece; its unit is not known."""
    result_code: Id | None = field()
    """What stands in the way of ordering it, if anything."""
    message: str | None = field()
    """The same in words."""


@model
class TradeModel(Model):
    """One way to pay; inferred. `trade_type` is what creating the order wants, if `op_support`."""

    trade_type: str | None = field()
    """What creating the order wants."""
    name: str | None = field()
    """Its name."""
    description: str | None = field()
    """What it means."""
    op_support: bool | None = field()
    """Whether it can be chosen through the API."""


@model
class PreviewedOrder(Model):
    """One of the orders that creating would make. Fen; from `sum_payment` on names are inferred.

    `flow_flag` is what creating the order wants as `flow`.
    """

    discount_fee: Fen | None = field()
    """Fen of discount."""
    trade_mode_name_list: list[str] | None = field()
    """The ways to pay, by name."""
    status: bool | None = field()
    """Whether the order could be made."""
    tao_sample_single_promotion: bool | None = field()
    """Whether it is a promoted sample, as the upstream names it."""
    sum_payment: Fen | None = field()
    """Fen to pay. Inferred."""
    sum_payment_no_carriage: Fen | None = field()
    """Fen to pay without freight. Inferred."""
    sum_carriage: Fen | None = field()
    """Fen of freight. Inferred."""
    additional_fee: Fen | None = field()
    """Fen of further fees. Inferred."""
    flow_flag: str | None = field()
    """What creating the order wants as `flow`. Inferred."""
    result_code: Id | None = field()
    """What stands in the way, if anything. Inferred."""
    message: str | None = field()
    """The same in words. Inferred."""
    cargo_list: list[PreviewedCargo] | None = field()
    """The products. Inferred."""
    shop_promotion_list: Unread = field()
    """Promotions of the shop; the JSON that came. Inferred."""
    trade_model_list: list[TradeModel] | None = field()
    """The ways to pay. Inferred."""


@model
class OrderPreview(Model):
    """What creating an order would give: several orders where the platform splits it."""

    order_previews: list[PreviewedOrder] | None = field(wire="orderPreviewResuslt")
    """The orders that creating would make."""
    success: bool | None = field()
    """Whether the preview succeeded."""
    error_code: Id | None = field()
    """The inner error code."""
    error_msg: str | None = field()
    """The inner message, as it came."""
    post_fee_by_desc_offer_list: list[Id] | None = field()
    """Products whose freight only their description tells."""
    consign_offer_list: list[Id] | None = field()
    """Products on consignment."""
    unsupported_cross_border_pay_offer_list: list[Id] | None = field()
    """Products that cannot be paid from abroad."""
