"""A 1688 refund on the wire: the upstream's field names, fen, compact dates.

PandaPon's page shows the first fields only, the rest follows the upstream's detail answer. As there,
much is left out where it has no value, sentinels stand for nothing (-1), and one answer in four writes
the state in capitals.
"""

from __future__ import annotations

import time
from typing import Any

from pandapon_async.sandbox.reasons import REASONS
from pandapon_async.sandbox.refunds import RefundState
from pandapon_async.sandbox.states import UPPER_SNAKE, Status

__all__ = ["compact_date", "refund_1688"]

SELLERS = ("王建国", "李秀英", "张伟", "陈静", "刘洋")
ADDRESSES = (
    "浙江省义乌市稠城街道工人北路8号",
    "广东省广州市白云区石井大道21号",
    "福建省泉州市石狮市宝盖镇5号",
)

_GOODS_STATUS = {"waitsellerreceive": 3, "waitbuyersend": 2}
_BEIJING = 28_800


def compact_date(milliseconds: int) -> str:
    """The upstream's date form, in Beijing time.

    >>> compact_date(1524474676000)
    '20180423171116000+0800'
    """
    seconds, rest = divmod(milliseconds, 1000)
    year, month, day, hour, minute, second, *_ = time.gmtime(seconds + _BEIJING)
    return f"{year:04d}{month:02d}{day:02d}{hour:02d}{minute:02d}{second:02d}{rest:03d}+0800"


def _spelling(refund: RefundState, status: Status) -> Status:
    return UPPER_SNAKE.get(status, status) if refund.salt % 4 == 0 else status


def refund_1688(refund: RefundState) -> dict[str, Any]:
    """The detail answer."""
    salt = refund.salt
    applied, modified = compact_date(refund.applied_ms), compact_date(refund.modified_ms)
    reason = REASONS[refund.reason_id]
    status = _spelling(refund, refund.status)
    detail: dict[str, Any] = {
        "id": int(refund.refund_id[2:]),
        "refundId": refund.refund_id,
        "orderId": int(refund.order_id),
        "orderEntryIdList": [int(entry) for entry in refund.entry_ids],
        "status": status,
        "applyPayment": refund.apply_payment,
        "applyCarriage": refund.apply_carriage,
        "applyExpect": refund.apply_payment,
        "canRefundPayment": refund.apply_payment + salt % 5_000,
        "frozenFund": -1,
        "applyReasonId": reason.id,
        "applyReason": reason.name,
        "applySubReasonId": -1,
        "goodsStatus": _GOODS_STATUS.get(str(refund.status), 1 + salt % 2),
        "disputeType": 1 + salt // 2 % 2,
        "disputeRequest": 3 if refund.dispute_request == "returnRefund" else 1,
        "rejectTimes": 1 if refund.status == "waitbuyermodify" else 0,
        "buyerSendGoods": refund.freight_bill is not None,
        "timeOutFreeze": False,
        "gmtApply": applied,
        "gmtCreate": applied,
        "gmtModified": modified,
        "alipayPaymentId": str(20_230_000_000_000_000_000_000 + salt),
        "sellerRealName": SELLERS[salt % len(SELLERS)],
        "sellerMobile": f"13{salt % 10**9:09d}",
        "sellerReceiveAddress": ADDRESSES[salt % len(ADDRESSES)],
        "refundOperationList": [
            {
                "beforeOperateStatus": _spelling(refund, "waitselleragree"),
                "afterOperateStatus": status,
                "operateRemark": f"{SELLERS[salt % len(SELLERS)]} 已处理",
                "gmtCreate": modified,
            }
        ],
    }
    _add_what_there_is(detail, refund, modified)
    return detail


def _add_what_there_is(detail: dict[str, Any], refund: RefundState, modified: str) -> None:
    if refund.refund_payment is not None:
        detail["refundPayment"] = refund.refund_payment
        detail["refundCarriage"] = refund.apply_carriage
    if refund.freight_bill is not None:
        detail["freightBill"] = refund.freight_bill
        detail["logisticsCompanyNo"] = refund.logistics_company_no
    if refund.status == "waitbuyermodify":
        detail["rejectReason"] = "请补充凭证"
    if refund.status in ("refundsuccess", "refundclose"):
        detail["gmtCompleted"] = modified
    if refund.deadline_ms is not None:
        detail["gmtTimeOut"] = compact_date(refund.deadline_ms)
        detail["timeOutOperateType"] = (
            "timeoutAgree" if refund.status == "waitselleragree" else "timeoutClose"
        )
