"""A 1688 order as it travels: the platform's buyer view.

The vendor's pages show the names of its parts and few of their fields; the others are the upstream's own.
Amounts are yuan as JSON numbers, dates compact, and the states of refunds are written in capitals here.
"""

from __future__ import annotations

from typing import Any

from pandapon_async.sandbox.catalogue import product, yuan
from pandapon_async.sandbox.numbering import ALIBABA
from pandapon_async.sandbox.orders import OrderLine, OrderState
from pandapon_async.sandbox.refunds import RefundBook, RefundState
from pandapon_async.sandbox.states import UPPER_SNAKE
from pandapon_async.sandbox.wire_1688 import ADDRESSES, SELLERS, compact_date

__all__ = ["order_1688"]

_BUYER = 2_208_000_000_001


def order_1688(order: OrderState, refunds: RefundBook, *, names_refunds: bool = True) -> dict[str, Any]:
    """The detail answer; without `names_refunds` its lines have no field for a refund form."""
    forms = [refunds.find(line.refund_id, ALIBABA) if line.refund_id else None for line in order.lines]
    items = [_item(order, line, form) for line, form in zip(order.lines, forms, strict=True)]
    base = _base(order, [form for form in forms if form is not None])
    if not names_refunds:
        for part in (base, *items):
            del part["refundId"], part["refundStatus"]
    return {
        "baseInfo": base,
        "productItems": items,
        "nativeLogistics": _logistics(order),
        "internationalLogistics": None,
        "tradeTerms": [
            {
                "payStatus": "1" if order.paid_ms is None else "2",
                "payTime": _date(order.paid_ms),
                "payWay": "12",
                "phasAmount": yuan(order.total),
                "phase": 1,
            }
        ],
        "guaranteesTerms": None,
        "extAttributes": [],
        "orderRateInfo": {"buyerRateStatus": 5, "sellerRateStatus": 5},
        "orderInvoiceInfo": None,
        "customs": None,
        "overseasExtraAddress": None,
        "orderBizInfo": {"odsCyd": False, "accountPeriodTime": None, "creditOrder": False},
    }


def _base(order: OrderState, forms: list[RefundState]) -> dict[str, Any]:
    newest = max(forms, key=lambda form: form.applied_ms, default=None)
    return {
        "id": int(order.order_id),
        "idOfStr": order.order_id,
        "status": order.status,
        "refundStatus": newest and _refund_status(newest),
        "refundId": newest and newest.refund_id,
        "totalAmount": yuan(order.total),
        "sumProductPayment": yuan(order.total - order.shipping),
        "shippingFee": yuan(order.shipping),
        "refund": yuan(sum(map(_paid_back, {form.refund_id: form for form in forms}.values()))),
        "discount": 0,
        "currency": "CNY",
        "tradeType": order.trade_type,
        "createTime": compact_date(order.created_ms),
        "modifyTime": compact_date(order.modified_ms),
        "payTime": _date(order.paid_ms),
        "allDeliveredTime": _date(order.shipped_ms),
        "receivingTime": _date(order.completed_ms) if order.status == "success" else None,
        "completeTime": _date(order.completed_ms),
        "closeReason": order.close_reason,
        "buyerID": f"b2b-{_BUYER}",
        "sellerID": f"b2b-{2_200_000_000_000 + order.salt}",
        "sellerLoginId": SELLERS[order.salt % len(SELLERS)],
        "sellerOpenId": order.seller,
        "buyerFeedback": order.message,
    }


def _item(order: OrderState, line: OrderLine, form: RefundState | None) -> dict[str, Any]:
    bought = product(line.offer)
    variant = bought.variant(line.spec_id)
    return {
        "name": bought.subject,
        "description": None,
        "productID": line.offer,
        "productImgUrl": [bought.image],
        "cargoNumber": None,
        "price": yuan(line.price),
        "quantity": line.quantity,
        "itemAmount": yuan(line.amount),
        "refund": yuan(_paid_back(form)) if form else 0,
        "skuID": int(variant.sku_id),
        "specId": line.spec_id or variant.spec_id,
        "subItemID": int(line.entry_id),
        "subItemIDString": line.entry_id,
        "status": "success" if line.received else order.status,
        "refundId": line.refund_id,
        "refundStatus": form and _refund_status(form),
    }


def _logistics(order: OrderState) -> dict[str, Any]:
    given = order.address
    if given is None:
        salt = order.salt
        return {
            "contactPerson": SELLERS[salt // 3 % len(SELLERS)],
            "mobile": f"17{salt % 10**9:09d}",
            "province": None,
            "city": None,
            "area": None,
            "address": ADDRESSES[salt // 3 % len(ADDRESSES)],
            "zip": "000000",
            "logisticsItems": [],
        }
    return {
        "contactPerson": given.get("fullName"),
        "mobile": given.get("mobile"),
        "telephone": given.get("phone"),
        "province": given.get("provinceText"),
        "city": given.get("cityText"),
        "area": given.get("areaText"),
        "town": given.get("townText"),
        "address": given.get("address"),
        "zip": given.get("postCode"),
        "areaCode": given.get("districtCode"),
        "logisticsItems": [],
    }


def _refund_status(form: RefundState) -> str:
    return UPPER_SNAKE.get(form.status, str(form.status))


def _paid_back(form: RefundState) -> int:
    return form.amount if form.status == "refundsuccess" else 0


def _date(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else compact_date(milliseconds)
