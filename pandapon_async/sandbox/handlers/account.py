"""The account's addresses, and the way abroad. What the logistics calls answer is on no page."""

from __future__ import annotations

from typing import Any

from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.sandbox.answers import chance
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.handlers.registry import handles
from pandapon_async.sandbox.upstream import Upstream

__all__: list[str] = []

CARRIERS = (("FF-AIR", "云途物流", "express"), ("FF-SEA", "递四方", "economy"))


@handles("addresses.save")
def save(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Add an address, or change one; code 404 for an id that is none. No data comes back."""
    address_id = arguments.get("id")
    addresses = upstream.own.addresses
    if address_id is None:
        addresses[1_001 + len(addresses)] = arguments
    elif address_id in addresses:
        addresses[address_id] = arguments
    else:
        raise Refusal(404, "address does not exist")
    upstream.note(endpoint.name, "address", address_id and str(address_id), arguments)


@handles("freight.estimate")
def estimate(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """What sending one product abroad would cost, by carrier."""
    return {
        "itemId": arguments["itemId"],
        "skuId": arguments["skuId"],
        "currency": arguments["currency"],
        "freightInfos": _offers(arguments),
    }


@handles("freight.preview")
def preview(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """What sending several abroad would cost, under the number that booking takes."""
    number = chance("render", arguments)[0] % 10**5
    return {"renderId": f"FF20240802{number:05d}", "currency": "CNY", "freightInfos": _offers(arguments)}


@handles("freight.update_domestic_logistics")
def update_domestic_logistics(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Say what comes to the warehouse; the order may be any, but one must be named."""
    order_id = arguments.get("orderId") or arguments.get("tmallOrderId")
    if not order_id:
        raise Refusal(400, "orderId: or tmallOrderId is required")
    upstream.note(endpoint.name, "domestic_logistics", order_id, arguments)
    return {"success": True}


@handles("freight.create_international_order")
def create_international_order(upstream: Upstream, endpoint: Endpoint, arguments: dict[str, Any]) -> Any:
    """Book the way abroad; the same call twice books twice."""
    upstream.bookings += 1
    booked = f"LP{10**9 + upstream.bookings}"
    render_id = arguments.get("renderId")
    upstream.note(endpoint.name, "international_order", render_id, arguments, order_id=booked)
    return {"success": True, "logisticsOrderId": booked, "renderId": render_id}


def _offers(arguments: dict[str, Any]) -> list[dict[str, Any]]:
    draw = chance("freight", arguments)
    return [
        {
            "serviceId": service,
            "companyName": company,
            "serviceCategory": category,
            "price": f"{3_000 + draw[at] % 20_000}",
            "currency": "CNY",
            "minDays": 3 + at * 12,
            "maxDays": 8 + at * 20,
        }
        for at, (service, company, category) in enumerate(CARRIERS)
    ]
