"""What callers do with 1688 orders: preview, place, cancel, pay, confirm.

Every change of state leaves an effect. Placing the same order twice makes two: the client must prevent
that. A refusal is code 400 for what cannot be ordered, 404 for what does not exist, 409 for a state that
does not allow it; these are the sandbox's choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from pandapon_async.sandbox.catalogue import Product, amount_of, offer_number, product
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.numbering import draws
from pandapon_async.sandbox.orders import ORDER_MOVES, OrderLine, OrderState
from pandapon_async.sandbox.upstream import Refused, Upstream

__all__ = [
    "Wanted",
    "advance",
    "by_shop",
    "cancel",
    "confirm_receipt",
    "freight",
    "pay",
    "payable",
    "place",
    "preview",
    "stock_error",
    "wanted",
]


@attrs.define(frozen=True)
class Wanted:
    """So much of one product. `named` is the product as the caller named it."""

    product: Product
    quantity: int | float
    spec_id: str | None = None
    seller: str | None = None
    named: tuple[str, Any] = ("offerId", None)

    @property
    def shop(self) -> str:
        """Whose it is: the shop the caller named, else the product's own."""
        return self.seller or self.product.seller

    @property
    def amount(self) -> int:
        """What it costs, in fen."""
        return amount_of(self.product.price, self.quantity)


def wanted(arguments: Mapping[str, Any]) -> list[Wanted]:
    """The products that an order call names; a refusal says what one of them lacks."""
    found = []
    for position, cargo in enumerate(arguments["cargoParamList"]):
        name = "offerId" if cargo.get("offerId") is not None else "offerMapId"
        if cargo.get(name) is None or cargo.get("quantity") is None:
            raise Refusal(400, f"cargoParamList: item {position}: an offer and a quantity are required")
        found.append(
            Wanted(
                product(offer_number(cargo[name])),
                cargo["quantity"],
                cargo.get("specId") or None,
                cargo.get("sellerOpenId") or None,
                (name, cargo[name]),
            )
        )
    if not found:
        raise Refusal(400, "cargoParamList: names no product")
    return found


def stock_error(cargos: Iterable[Wanted]) -> tuple[str, str] | None:
    """Code and words of the first thing that keeps these products from being ordered, in 1688's manner."""
    for cargo in cargos:
        if cargo.quantity > cargo.product.stock:
            return "BOOKED_BEYOND_THE_MAX_QUANTITY", f"only {cargo.product.stock} in stock"
        if cargo.quantity < cargo.product.minimum:
            return "BOOKED_LESS_THAN_LEAST", f"sold from {cargo.product.minimum} pieces on"
    return None


def by_shop(cargos: Iterable[Wanted]) -> dict[str, list[Wanted]]:
    """The products shop by shop, in the order they were named."""
    shops: dict[str, list[Wanted]] = {}
    for cargo in cargos:
        shops.setdefault(cargo.shop, []).append(cargo)
    return shops


def freight(shop: str) -> int:
    """What a shop takes for sending an order, in fen."""
    return draws(0, "freight", shop)[0] % 11 * 100


def preview(shops: Mapping[str, list[Wanted]]) -> dict[str, Any]:
    """The preview of an order; amounts are fen."""
    found = stock_error(cargo for cargos in shops.values() for cargo in cargos)
    return {
        "orderPreviewResuslt": [] if found else [_previewed(shop, cargos) for shop, cargos in shops.items()],
        "success": found is None,
        "errorCode": found and found[0],
        "errorMsg": found and found[1],
        "postFeeByDescOfferList": None,
        "consignOfferList": None,
        "unsupportedCrossBorderPayOfferList": [],
    }


def _previewed(shop: str, cargos: list[Wanted]) -> dict[str, Any]:
    goods, carriage = sum(cargo.amount for cargo in cargos), freight(shop)
    return {
        "discountFee": 0,
        "tradeModeNameList": ["fxassure", "period"],
        "status": True,
        "taoSampleSinglePromotion": False,
        "sumPayment": goods + carriage,
        "sumPaymentNoCarriage": goods,
        "sumCarriage": carriage,
        "additionalFee": 0,
        "flowFlag": "general",
        "resultCode": "200",
        "message": None,
        "cargoList": [
            {
                cargo.named[0]: cargo.named[1],
                "specId": cargo.spec_id,
                "skuId": int(cargo.product.variant(cargo.spec_id).sku_id),
                "amount": cargo.amount,
                "finalUnitPrice": cargo.product.price,
                "resultCode": "200",
                "message": None,
            }
            for cargo in cargos
        ],
        "shopPromotionList": [],
        "tradeModelList": [
            {"tradeType": "fxassure", "name": "交易4.0", "description": "担保交易", "opSupport": True},
            {"tradeType": "period", "name": "账期", "description": "账期交易", "opSupport": False},
        ],
    }


def place(
    upstream: Upstream, endpoint: str, shops: Mapping[str, list[Wanted]], arguments: Mapping[str, Any]
) -> list[OrderState]:
    """One unpaid order per shop, all or none."""
    found = stock_error(cargo for cargos in shops.values() for cargo in cargos)
    if found:
        raise Refusal(400, f"{found[0]}: {found[1]}")
    return [_placed(upstream, endpoint, shop, cargos, arguments) for shop, cargos in shops.items()]


def _placed(
    upstream: Upstream, endpoint: str, shop: str, cargos: list[Wanted], arguments: Mapping[str, Any]
) -> OrderState:
    order_id, now = upstream.orders.next_id(), upstream.now_ms()
    # The line of a single-line order has the order's own id, as on the platform.
    first = int(order_id) + (len(cargos) > 1)
    lines = [
        OrderLine(
            entry_id=str(first + at),
            offer=int(cargo.product.offer_id),
            spec_id=cargo.spec_id,
            price=cargo.product.price,
            quantity=cargo.quantity,
            amount=cargo.amount,
        )
        for at, cargo in enumerate(cargos)
    ]
    order = OrderState(
        order_id=order_id,
        status="waitbuyerpay",
        lines=tuple(lines),
        shipping=freight(shop),
        seller=shop,
        created_ms=now,
        modified_ms=now,
        placed=True,
        trade_type=arguments.get("tradeType") or "fxassure",
        message=arguments.get("message"),
        address=arguments.get("addressParam"),
        salt=draws(upstream.refunds.seed, "order", order_id)[0],
    )
    upstream.orders.put(order)
    upstream.note(endpoint, "order", None, {**arguments, "shop": shop}, order_id=order_id)
    return order


def cancel(upstream: Upstream, endpoint: str, arguments: Mapping[str, Any]) -> None:
    """Cancel an order that is not paid yet."""
    order = _existing(upstream, str(arguments["orderId"]))
    if order.status != "waitbuyerpay":
        raise Refusal(409, f"an order at {order.status} cannot be cancelled")
    upstream.orders.put(order.moved("cancel", upstream.now_ms(), close_reason=arguments["cancelReason"]))
    upstream.note(endpoint, "cancel_order", order.order_id, arguments, order_id=order.order_id)


def payable(upstream: Upstream, order_id: str) -> OrderState:
    """An order that is still to be paid."""
    order = _existing(upstream, order_id)
    if order.status != "waitbuyerpay":
        raise Refusal(409, f"an order at {order.status} cannot be paid")
    return order


def pay(upstream: Upstream, endpoint: str, order_ids: Iterable[str]) -> list[OrderState]:
    """Pay orders, all or none; paying one twice is refused."""
    orders = [payable(upstream, order_id) for order_id in dict.fromkeys(order_ids)]
    if not orders:
        raise Refusal(400, "orderIds: names no order")
    for order in orders:
        upstream.orders.put(order.moved("waitsellersend", upstream.now_ms()))
        upstream.note(endpoint, "pay", order.order_id, {"amount": order.total}, order_id=order.order_id)
    return orders


def confirm_receipt(upstream: Upstream, endpoint: str, arguments: Mapping[str, Any]) -> None:
    """Confirm that lines arrived; the order succeeds with its last line. Raises Refused."""
    order = upstream.orders.find(str(arguments["orderId"]))
    entries = dict.fromkeys(map(str, arguments["orderEntryIds"]))
    if order is None:
        raise Refused("4003", "order does not exist")
    if not entries or not entries.keys() <= {line.entry_id for line in order.lines}:
        raise Refused("4003", "order line does not exist")
    if order.status in ("waitbuyerpay", "waitsellersend"):
        raise Refused("500_2", "the order is not shipped yet")
    if order.status != "waitbuyerreceive" or any(
        line.received for line in order.lines if line.entry_id in entries
    ):
        raise Refused("4007", "status does not allow a confirmation of receipt")
    lines = [attrs.evolve(line, received=line.received or line.entry_id in entries) for line in order.lines]
    received = attrs.evolve(order, lines=tuple(lines), modified_ms=upstream.now_ms())
    if all(line.received for line in lines):
        received = received.moved("success", upstream.now_ms())
    upstream.orders.put(received)
    key = f"{order.order_id}/{'+'.join(sorted(entries))}"
    upstream.note(endpoint, "confirm_receipt", key, arguments, order_id=order.order_id)


def advance(upstream: Upstream, order_id: str, status: str) -> OrderState:
    """The platform's or the seller's own step; ValueError if no step leads from here to `status`."""
    order = upstream.orders.find(order_id)
    if order is None:
        raise LookupError(f"there is no order {order_id}")
    if status not in ORDER_MOVES[order.status]:
        raise ValueError(f"order {order_id} cannot go from {order.status} to {status}")
    moved = order.moved(status, upstream.now_ms())
    upstream.orders.put(moved)
    upstream.note(None, "advance_order", order_id, {"status": status}, order_id=order_id)
    return moved


def _existing(upstream: Upstream, order_id: str) -> OrderState:
    order = upstream.orders.find(order_id)
    if order is None:
        raise Refusal(404, "order does not exist")
    return order
