"""Taobao orders and what belongs to them."""

from __future__ import annotations

from typing import Any

import orjson

from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox.answers import answer
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.handlers.registry import handles
from pandapon_async.sandbox.numbering import TAOBAO, draws
from pandapon_async.sandbox.upstream import Upstream

__all__: list[str] = []


@handles("taobao.orders.create")
def create(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Place an order. The buyer's own number does not keep a repeat from placing a second one."""
    lines, number = orjson.loads(arguments["orderLineList"]), arguments["sellerOrderNumber"]
    if not lines:
        raise Refusal(400, "orderLineList: names no product")
    order = upstream.taobao.place(lines, number, arguments["purchaseAmount"])
    upstream.note(endpoint.name, "order", number, arguments, order_id=order["purchaseOrderId"])
    return order


@handles("taobao.orders.logistics")
def logistics(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """The packages of a sub-order; the sub-order may be any."""
    sub_order = arguments["subPurchaseOrderId"]
    return {**answer(upstream, endpoint, arguments), "purchaseOrderOuterId": sub_order}


@handles("taobao.orders.update_warehouse")
def update_warehouse(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Change the warehouse that an order goes to; the order may be any. No page shows the answer."""
    upstream.note(endpoint.name, "warehouse", arguments["orderId"], arguments)
    return {"success": True}


@handles("taobao.orders.im_link")
def im_link(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """A link to a chat, with what looks like a login token."""
    token = "".join(f"{part:08x}" for part in draws(0, "im", arguments["bizId"])[:4])
    return f"https://im.sandbox.invalid/chat?loginToken={token}"


@handles("taobao.orders.upload_pay_certificate")
def upload_pay_certificate(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Take the payment proof of an order; the order may be any."""
    upstream.upload(endpoint.name, "base64", arguments["base64"], key=arguments["orderId"])
    return True


@handles("taobao.refunds.post_message")
def post_message(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Write into a reverse order; code 404 if there is none. No page shows the answer."""
    refund = upstream.refunds.find(arguments["refundId"], TAOBAO)
    if refund is None:
        raise Refusal(404, "refund does not exist")
    upstream.note(endpoint.name, "message", refund.refund_id, arguments, refund_id=refund.refund_id)
    return {"success": True}
