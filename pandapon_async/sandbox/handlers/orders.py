"""1688 orders, from preview to receipt."""

from __future__ import annotations

from typing import Any

from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox import ordering
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.handlers.registry import handles
from pandapon_async.sandbox.listing import page_of
from pandapon_async.sandbox.orders import OrderState
from pandapon_async.sandbox.upstream import Refused, Upstream
from pandapon_async.sandbox.wire_orders import order_1688

__all__ = ["placed"]


@handles("alibaba.orders.preview")
def preview(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Preview one order of these products; a refusal is inside a successful envelope."""
    return ordering.preview(_one_shop(arguments))


@handles("alibaba.orders.preview_batch")
def preview_batch(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """The same shop by shop. The vendor's page shows no answer: it is like the other preview's here."""
    return ordering.preview(ordering.by_shop(ordering.wanted(arguments)))


@handles("alibaba.orders.create")
def create(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One unpaid order; the same call twice places two."""
    return placed(ordering.place(upstream, endpoint.name, _one_shop(arguments), arguments))


def placed(orders: list[OrderState]) -> dict[str, Any]:
    """The answer to orders that were placed, in fen. No page shows it: its names are the upstream's."""
    return {
        "orderId": orders[0].order_id,
        "orderIds": [order.order_id for order in orders],
        "totalSuccessAmount": sum(order.total for order in orders),
        "postFee": sum(order.shipping for order in orders),
        "success": True,
    }


@handles("alibaba.orders.create_batch")
def create_batch(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One unpaid order per shop."""
    shops = ordering.by_shop(ordering.wanted(arguments))
    orders = ordering.place(upstream, endpoint.name, shops, arguments)
    return [_shown(upstream, order) for order in orders]


@handles("alibaba.orders.page")
def page(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One page of the account's orders, the newest placed first. No page shows the answer's shape."""
    asked = page_of(arguments)
    return {
        "total": len(upstream.orders),
        "pageNo": asked.number,
        "pageSize": asked.size,
        "list": [_shown(upstream, order) for order in upstream.orders.page(asked.first, asked.size)],
    }


@handles("alibaba.orders.get")
def get(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """One order; code 404 if there is none (the real code is unknown)."""
    order = upstream.orders.find(arguments["orderId"])
    if order is None:
        raise Refusal(404, "order does not exist")
    return _shown(upstream, order)


@handles("alibaba.orders.cancel")
def cancel(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Cancel an order that is not paid yet."""
    ordering.cancel(upstream, endpoint.name, arguments)
    return True


@handles("alibaba.orders.payment_link")
def payment_link(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Where an order is paid. This account has no standing agreement: asking for the link pays nothing."""
    order = ordering.payable(upstream, arguments["orderId"])
    upstream.note(endpoint.name, "payment_link", order.order_id, arguments, order_id=order.order_id)
    return {
        "orderId": order.order_id,
        "protocolPaySuccess": False,
        "payUrl": f"https://trade.sandbox.invalid/order/cashier.htm?orderId={order.order_id}",
        "cantPayOrderList": [],
    }


@handles("alibaba.orders.submit_to_pay")
def submit_to_pay(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Pay orders. The vendor's page shows no answer."""
    orders = ordering.pay(upstream, endpoint.name, arguments["orderIds"])
    return {"success": True, "orderIds": [order.order_id for order in orders]}


@handles("alibaba.orders.confirm_receipt")
def confirm_receipt(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Confirm that lines arrived; refused inside a successful envelope, as the vendor's page shows."""
    try:
        ordering.confirm_receipt(upstream, endpoint.name, arguments)
    except Refused as refused:
        return {"success": False, "errorCode": refused.code, "errorInfo": refused.info}
    return {"success": True, "errorCode": None, "errorInfo": None}


def _shown(upstream: Upstream, order: OrderState) -> dict[str, Any]:
    return order_1688(order, upstream.refunds, names_refunds=upstream.orders_name_refunds)


def _one_shop(arguments: dict[str, Any]) -> dict[str, list[ordering.Wanted]]:
    """All that is named as one order, of the first product's shop."""
    cargos = ordering.wanted(arguments)
    return {cargos[0].shop: cargos}
