"""Taobao orders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pandapon_async.sandbox.numbering import PURCHASE_ORDER

__all__ = ["Taobao"]


class Taobao:
    """The orders on Taobao. Those placed here have ids that no refund's order has."""

    def __init__(self) -> None:
        self.orders: dict[str, dict[str, Any]] = {}

    def place(
        self, lines: Sequence[Mapping[str, Any]], number: str | None = None, amount: int | None = None
    ) -> dict[str, Any]:
        """A new order, as its answer shows it: the vendor's pages do not, its names are inferred."""
        order_id = PURCHASE_ORDER.text(2 * len(self.orders))
        order = {
            "purchaseOrderId": order_id,
            "sellerOrderNumber": number,
            "purchaseAmount": amount,
            "currency": "CNY",
            "subPurchaseOrders": [
                {
                    "subPurchaseOrderId": str(int(order_id) + at),
                    **{name: line.get(name) for name in ("orderLineNo", "itemId", "skuId", "quantity")},
                }
                for at, line in enumerate(lines, start=1)
            ],
            "success": True,
        }
        self.orders[order_id] = order
        return order
