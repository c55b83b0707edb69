"""What is kept of an answer: the few facts that verdicts need, the same for both platforms.

Nothing personal is among them, so the state file holds none either.
"""

from __future__ import annotations

from datetime import datetime

from pandapon_async.core.model import BEIJING
from pandapon_async.errors import ApiError, ErrorKind, NotFoundError, PandaponError, error_kind_of
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.models.taobao.refunds import RefundDetail, RefundOrder
from pandapon_async.reconcile.statuses import status_of_platform
from pandapon_async.reconcile.verdict import Lookup, Outcome

__all__ = ["lookup_of_answer", "lookup_of_error"]


def lookup_of_answer(refund_id: str, answer: Refund | RefundDetail) -> Lookup:
    """The facts of an answer. One that is about another refund counts as a failed lookup."""
    lookup = _of_1688(answer) if isinstance(answer, Refund) else _of_taobao(answer)
    about = answer if isinstance(answer, Refund) else _order(answer)
    named = None if about is None else about.refund_id
    if named is not None and named.removeprefix("TQ") != refund_id.removeprefix("TQ"):
        return Lookup(outcome=Outcome.FAILED, error="the answer was about another refund")
    return lookup


def _of_1688(refund: Refund) -> Lookup:
    paid_back = refund.refund_payment
    return Lookup(
        outcome=Outcome.FOUND,
        status=status_of_platform(refund.status),
        applied_fen=_whole(refund.apply_payment),
        refunded_fen=None if paid_back is None or paid_back < 0 else int(paid_back),  # -1 is "none yet"
        currency="CNY",  # 1688 settles in nothing else, and its answer names no currency
        deadline=None if refund.time_out_freeze else _text(refund.gmt_time_out),
        applied_at=_text(refund.gmt_apply or refund.gmt_create),
    )


def _of_taobao(detail: RefundDetail) -> Lookup:
    order = _order(detail)
    if order is None:
        return Lookup(outcome=Outcome.FOUND, currency=_currency(detail))
    return Lookup(
        outcome=Outcome.FOUND,
        status=status_of_platform(order.refund_status),
        applied_fen=_whole(order.refund_fee),
        currency=_currency(detail),
        deadline=_text(order.timeout_date),
    )


def _order(detail: RefundDetail) -> RefundOrder | None:
    aggregate = detail.refund_order_aggregate
    return None if aggregate is None else aggregate.refund_order


def _currency(detail: RefundDetail) -> str | None:
    return detail.currency.strip().upper() if detail.currency else None


def _whole(amount: int | None) -> int | None:
    return None if amount is None else int(amount)


def _text(moment: datetime | None) -> str | None:
    if moment is None:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=BEIJING)).astimezone(BEIJING).isoformat()


_WORDS = {
    ErrorKind.NOT_SENT: "the request could not be sent",
    ErrorKind.CONNECTION_LOST: "the connection was lost",
    ErrorKind.DEADLINE: "no answer in time",
    ErrorKind.MALFORMED_RESPONSE: "the answer cannot be read",
    ErrorKind.RESPONSE_TOO_LARGE: "the answer is too large",
    ErrorKind.DECODE: "the answer is not as documented",
    ErrorKind.RATE_LIMIT: "refused for the rate of calls",
}
"""Few kinds, so that they can be counted."""


def lookup_of_error(error: Exception) -> Lookup:
    """The facts of a failure: the refund is missing if the vendor said so, else the lookup failed."""
    if isinstance(error, NotFoundError):
        return Lookup(outcome=Outcome.MISSING, request_id=error.request_id, attempts=error.attempts)
    kind = error_kind_of(error)
    if not isinstance(error, PandaponError):
        words = f"{type(error).__name__} in this program"
        return Lookup(outcome=Outcome.FAILED, error=f"lookup failed: {words}", error_kind=kind)
    words = _WORDS.get(kind, kind.replace("_", " "))
    if kind is ErrorKind.API and isinstance(error, ApiError):
        words = f"refused with code {error.code}"
    if kind is ErrorKind.MALFORMED_RESPONSE and error.history and error.history[-1].http_status is not None:
        words = f"HTTP {error.history[-1].http_status}: {words}"
    return Lookup(
        outcome=Outcome.FAILED,
        error=f"lookup failed: {words}",
        error_kind=kind,
        retryable=error.retryable,
        request_id=error.request_id,
        attempts=error.attempts,
    )
