"""Opening a 1688 refund form: the rules of the upstream's createRefund, and the form that comes of it.

Any order id will do, see `pandapon_async.sandbox.orders`; only of an order that was placed here is it
checked that lines, state and amount fit together. Refusals carry the upstream's codes in the envelope:
PandaPon's page of this call shows no inner ones.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.numbering import ALIBABA, draws, refund_id
from pandapon_async.sandbox.orders import PAID_FEN, OrderState
from pandapon_async.sandbox.reasons import GOODS_STATUSES, RECEIVED, reasons_for
from pandapon_async.sandbox.refunds import DAY_MS, RefundBook, RefundState
from pandapon_async.sandbox.states import Freight
from pandapon_async.sandbox.vouchers import Vouchers

__all__ = ["check_application", "new_refund", "order_key"]

_ORDER_STATUS = {
    "refundWaitSellerSend": "waitsellersend",
    "refundWaitBuyerReceive": "waitbuyerreceive",
    "refundBuyerReceived": "waitbuyerreceive",
    "aftersaleBuyerNotReceived": "success",
    "aftersaleBuyerReceived": "success",
}
"""The state that an order must have for the goods status of the application."""


def check_application(
    arguments: Mapping[str, Any], vouchers: Vouchers, order: OrderState, freight: Freight | None = None
) -> None:
    """Raise the first refusal that the upstream's rules demand."""
    goods_status = arguments["goodsStatus"]
    if goods_status not in GOODS_STATUSES:
        raise Refusal(5003, "goodsStatus does not exist")
    if arguments["orderId"] <= 0 or not arguments["orderEntryIds"]:
        raise Refusal(5001, "no such order")
    if order.placed:
        _check_order(arguments, order)
    if arguments["disputeRequest"] not in ("refund", "returnRefund"):
        raise Refusal(5010, "disputeRequest must be refund or returnRefund")
    if arguments["disputeRequest"] == "returnRefund" and goods_status not in RECEIVED:
        raise Refusal(5010, "goods that were not received cannot be sent back")
    if not 2 <= len(arguments["description"]) <= 150:
        raise Refusal(5012, "description must have 2 to 150 characters")
    _check_reason(arguments, vouchers)
    shipping = order.shipping if order.placed else PAID_FEN
    _check_amounts(
        arguments,
        _paid(arguments, order),
        shipping if freight == "added" else min(arguments["applyPayment"], shipping),
    )


def _check_order(arguments: Mapping[str, Any], order: OrderState) -> None:
    asked, lines = set(map(str, arguments["orderEntryIds"])), {line.entry_id for line in order.lines}
    if not asked <= lines:
        raise Refusal(5001, "no such order line")
    if order.status != _ORDER_STATUS[arguments["goodsStatus"]]:
        raise Refusal(5010, f"goodsStatus does not go with an order at {order.status}")
    if order.status == "waitsellersend" and arguments["applyPayment"] != _paid(arguments, order):
        raise Refusal(5011, "what was not shipped is refunded in full")


def _paid(arguments: Mapping[str, Any], order: OrderState) -> int:
    return order.paid_for(map(str, arguments["orderEntryIds"])) if order.placed else PAID_FEN


def _check_reason(arguments: Mapping[str, Any], vouchers: Vouchers) -> None:
    offered = {reason.id: reason for reason in reasons_for(arguments["goodsStatus"])}
    reason = offered.get(arguments["applyReasonId"])
    if reason is None:
        raise Refusal(5004, "applyReasonId is not offered for these goods")
    urls = arguments.get("vouchers") or []
    if reason.need_voucher and not urls:
        raise Refusal(5005, "this reason needs vouchers")
    if len(urls) > 5 or not all(vouchers.knows(url) for url in urls):
        raise Refusal(5005, "vouchers must be 1 to 5 urls that an upload answered")
    if reason.no_refund_carriage and arguments["applyCarriage"] != 0:
        raise Refusal(5006, "this reason refunds no freight")


def _check_amounts(arguments: Mapping[str, Any], paid: int, freight: int) -> None:
    if not 0 < arguments["applyPayment"] <= paid:
        raise Refusal(5011, f"applyPayment must be from 1 to the {paid} fen that were paid")
    if not 0 <= arguments["applyCarriage"] <= freight:
        raise Refusal(5011, "applyCarriage must be part of applyPayment and of the freight that was paid")
    entries = set(arguments["orderEntryIds"])
    for entry in arguments.get("orderEntryCountList") or []:
        if entry["id"] not in entries or not 1 <= entry["count"] <= 1_000:
            raise Refusal(5013, "orderEntryCountList must count pieces of the given order lines")


def order_key(arguments: Mapping[str, Any]) -> str:
    """The natural key of an application: the same wish has the same key, however often it is sent."""
    entries = "+".join(map(str, sorted(set(arguments["orderEntryIds"]))))
    names = ("disputeRequest", "applyPayment", "applyCarriage", "applyReasonId", "goodsStatus")
    return "/".join([str(arguments["orderId"]), entries, *(str(arguments[name]) for name in names)])


def new_refund(arguments: Mapping[str, Any], book: RefundBook, now_ms: int) -> RefundState:
    """The form that the application opens, waiting for the seller."""
    number = book.next_number()
    return RefundState(
        number=number,
        platform=ALIBABA,
        refund_id=refund_id(number),
        order_id=str(arguments["orderId"]),
        entry_ids=tuple(map(str, arguments["orderEntryIds"])),
        status="waitselleragree",
        apply_payment=arguments["applyPayment"],
        apply_carriage=arguments["applyCarriage"],
        applied_ms=now_ms,
        modified_ms=now_ms,
        deadline_ms=now_ms + 5 * DAY_MS,
        reason_id=arguments["applyReasonId"],
        dispute_request=arguments["disputeRequest"],
        salt=draws(book.seed, number)[8],
    )
