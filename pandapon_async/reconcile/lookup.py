"""The stored facts of an answer: those that verdicts need, the same for both platforms.

None of them is personal, so the state file has no personal data.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from pandapon_async.core.lenient import CannotBeSeenError, Fields, visible
from pandapon_async.core.model import BEIJING
from pandapon_async.errors import (
    ApiError,
    DecodeError,
    ErrorKind,
    NotFoundError,
    PandaponError,
    error_kind_of,
)
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.models.taobao.refunds import RefundAggregate, RefundDetail, RefundOrder
from pandapon_async.reconcile.statuses import is_open, status_of_platform
from pandapon_async.reconcile.verdict import Lookup, Outcome

__all__ = ["VERDICT_READS", "bare_id", "lookup_of_answer", "lookup_of_error"]

_INDEX = re.compile(r"\[[0-9]+\]")

VERDICT_READS: Fields = {
    Refund: (
        "refund_id", "status", "apply_payment", "apply_carriage", "refund_payment", "refund_carriage",
        "time_out_freeze", "gmt_time_out",
    ),
    RefundDetail: ("refund_order_aggregate", "currency"),
    RefundAggregate: ("refund_order",),
    RefundOrder: ("refund_id", "refund_status", "refund_fee", "timeout_date"),
}  # fmt: skip
"""The fields that verdicts read. If one has another type, the row is unverified."""


def lookup_of_answer(refund_id: str, answer: Refund | RefundDetail) -> Lookup:
    """Return the facts of an answer. The lookup failed if it is about another refund or a field cannot be
    seen.

    The age of a refund decides nothing, so an unreadable one is only unknown.
    """
    try:
        about, lookup = _of_1688(answer) if isinstance(answer, Refund) else _of_taobao(answer)
        if about is None and lookup.status is None and lookup.applied_fen is None:
            lookup = _failed("the answer is empty", ErrorKind.EMPTY)
        elif about is not None and bare_id(about) != bare_id(refund_id):
            lookup = _failed("the answer was about another refund")
    except CannotBeSeenError as unseen:
        lookup = _failed(str(unseen), ErrorKind.DECODE)
    lookup.problems = _kinds(answer.problems)
    return lookup


def _failed(why: str, kind: ErrorKind | None = None) -> Lookup:
    return Lookup(outcome=Outcome.FAILED, error=why, error_kind=kind)


def bare_id(refund_id: str) -> str:
    """Return a refund's id without the letters that 1688 puts before some ids."""
    return refund_id.removeprefix("TQ").removeprefix("TD")


def _kinds(places: Iterable[str]) -> str | None:
    """Return the places without the numbers of list items, each once, so that they can be counted."""
    return " ".join(dict.fromkeys(_INDEX.sub("", place) for place in places)) or None


def _of_1688(answer: Refund) -> tuple[str | None, Lookup]:
    """Return the refund of an answer and its facts."""
    refund = visible(answer, VERDICT_READS)
    status = status_of_platform(refund.status)
    timer = refund if is_open("1688", status) else answer  # the deadline of a closed form does not matter
    return refund.refund_id, Lookup(
        outcome=Outcome.FOUND,
        status=status,
        applied_fen=_whole(refund.apply_payment),
        applied_freight_fen=_whole(refund.apply_carriage),
        refunded_fen=_whole(refund.refund_payment),
        refunded_freight_fen=_whole(refund.refund_carriage),
        currency="CNY",  # 1688 uses no other currency, and its answer has none
        deadline=None if timer.time_out_freeze else _text(timer.gmt_time_out),
        applied_at=_text(answer.gmt_apply or answer.gmt_create),
    )


def _of_taobao(answer: RefundDetail) -> tuple[str | None, Lookup]:
    detail = visible(answer, VERDICT_READS)
    aggregate = detail.refund_order_aggregate
    order = None if aggregate is None else aggregate.refund_order
    if order is None:
        return None, Lookup(outcome=Outcome.FOUND)
    return order.refund_id, Lookup(
        outcome=Outcome.FOUND,
        status=status_of_platform(order.refund_status),
        applied_fen=_whole(order.refund_fee),
        currency=detail.currency.strip().upper() if detail.currency else None,
        deadline=_text(order.timeout_date),
    )


def _whole(amount: int | None) -> int | None:
    """Return fen; -1 is the upstream's value for "none yet"."""
    return None if amount is None or amount < 0 else int(amount)


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
    ErrorKind.RATE_LIMIT: "throttled",
}
"""Return the kind of a failure: there are few, so that they can be counted."""


def lookup_of_error(error: Exception) -> Lookup:
    """Return the facts of a failure: the refund is missing if the vendor says so, else it failed."""
    if isinstance(error, NotFoundError):
        if error.empty:
            lookup = _failed("the answer is empty", ErrorKind.EMPTY)
            lookup.request_id, lookup.attempts = error.request_id, error.attempts
            return lookup
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
    problems = None
    if isinstance(error, DecodeError) and error.path:
        problems = _kinds([error.path.removeprefix("$.data").lstrip(".")])
        words = f"{words}: {problems or 'all of it'} has another type than expected"
    return Lookup(
        outcome=Outcome.FAILED,
        error=f"lookup failed: {words}",
        error_kind=kind,
        retryable=error.retryable,
        request_id=error.request_id,
        attempts=error.attempts,
        problems=problems,
    )
