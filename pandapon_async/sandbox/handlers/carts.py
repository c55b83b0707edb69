"""The shopping carts of both platforms."""

from __future__ import annotations

from typing import Any

from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox import ordering
from pandapon_async.sandbox.handlers.orders import placed
from pandapon_async.sandbox.handlers.registry import handles
from pandapon_async.sandbox.upstream import Upstream

__all__: list[str] = []


@handles("alibaba.carts.get")
def get(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """The whole cart of 1688."""
    return upstream.own.cart.wire(endpoint.generation)


@handles("alibaba.carts.set_quantity")
def set_quantity(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Set the quantity of a cart entry."""
    upstream.own.cart.set_quantity(arguments["id"], arguments["quantity"])
    upstream.note(endpoint.name, "cart_quantity", str(arguments["id"]), arguments)
    return True


@handles("alibaba.carts.preview_order")
def preview_order(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Preview the order of these entries; like `orders.preview`, because no page shows the answer."""
    return ordering.preview(_chosen(upstream, endpoint, arguments))


@handles("alibaba.carts.create_order")
def create_order(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One unpaid order per shop; the entries leave the cart."""
    orders = ordering.place(upstream, endpoint.name, _chosen(upstream, endpoint, arguments), arguments)
    for entry_id in dict.fromkeys(arguments["cartIds"]):
        del upstream.own.cart.entries[entry_id]
    return placed(orders)


def _chosen(
    upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]
) -> dict[str, list[ordering.Wanted]]:
    first = endpoint.generation == "v1"
    return ordering.by_shop(
        ordering.Wanted(
            entry.product,
            entry.quantity,
            entry.spec_id,
            entry.shop,
            ("offerId", int(entry.product.offer_id)) if first else ("offerMapId", entry.product.offer_map_id),
        )
        for entry in upstream.own.cart.chosen(arguments["cartIds"])
    )


@handles("taobao.carts.add")
def add(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Put a product into Taobao's cart. No page shows the answer."""
    entry = upstream.own.taobao_cart.add(arguments)
    item = arguments.get("itemId") or arguments.get("itemMapId")
    upstream.note(endpoint.name, "cart_add", f"{item}/{arguments['skuId']}", arguments)
    return {"success": True, "id": entry.id}


@handles("taobao.carts.create_order")
def create_taobao_order(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Order entries of Taobao's cart; they leave it. No page shows the answer."""
    entries = upstream.own.taobao_cart.chosen(arguments["ids"])
    lines = [
        {
            "itemId": str(entry.facts.get("itemId") or entry.facts.get("itemMapId")),
            "skuId": entry.facts["skuId"],
            "quantity": str(entry.facts["quantity"]),
        }
        for entry in entries
    ]
    order = upstream.taobao.place(lines)
    for entry in entries:
        del upstream.own.taobao_cart.entries[entry.id]
    upstream.note(endpoint.name, "order", None, arguments, order_id=order["purchaseOrderId"])
    return order
