"""Refunds: made on demand from seed and number, kept only once they were changed.

A sandbox of a million refunds therefore starts at once and holds nothing; what a caller changed or
created lies over the computed ones. All dates lie in a fixed window, so that the same seed gives the
same ledger whenever it is drawn; they are scattered over it, as books are not kept in order either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.sandbox.numbering import (
    ALIBABA,
    LARGEST_NUMBER,
    ORDER_1688,
    PURCHASE_ORDER,
    TAOBAO,
    draws,
    number_of,
    platform_of,
    refund_id,
)
from pandapon_async.sandbox.planted import Planted, planted
from pandapon_async.sandbox.reasons import REASONS
from pandapon_async.sandbox.states import UNKNOWN, Freight, Status, is_open

__all__ = ["FAR_MS", "LEDGER_AS_OF", "RefundBook", "RefundState", "applied_ms", "generate", "initial_status"]

LEDGER_AS_OF = datetime(2023, 8, 16, tzinfo=timezone(timedelta(hours=8)))
"""A moment after everything in the ledger: judged as of then, it has the same truth as today."""

DAY_MS = 86_400_000
START_MS = 1_688_140_800_000  # 2023-07-01 00:00 in Beijing: no refund was applied for before
WINDOW_MS = 45 * DAY_MS  # nor after that long; then one quiet day until LEDGER_AS_OF
AS_OF_MS = START_MS + WINDOW_MS + DAY_MS
FAR_MS = START_MS + 40 * 365 * DAY_MS  # deadlines of open refunds: no clock of today is past them

_STATUSES: Mapping[str, tuple[Status, ...]] = {
    ALIBABA: ("refundsuccess",) * 45
    + ("refundclose",) * 15
    + ("waitselleragree",) * 15
    + ("waitbuyersend",) * 10
    + ("waitsellerreceive",) * 10
    + ("waitbuyermodify",) * 5,
    TAOBAO: (100,) * 45 + (-20,) * 12 + (10,) * 15 + (20,) * 10 + (30,) * 10 + (-10,) * 6 + (0,) * 2,
}
_OVERDUE: Mapping[str, tuple[Status, ...]] = {
    ALIBABA: ("waitselleragree", "waitbuyermodify", "waitbuyersend", "waitsellerreceive"),
    TAOBAO: (10, 20, 30),
}
_REASONS = tuple(REASONS.values())
CARRIERS = (
    ("SF", "顺丰快递"),
    ("YTO", "圆通速递"),
    ("ZTO", "中通快递"),
    ("STO", "申通快递"),
    ("EMS", "邮政特快"),
)


@attrs.define(frozen=True, kw_only=True)
class RefundState(Result):
    """One refund as the sandbox knows it. Amounts are fen, times epoch milliseconds."""

    number: int
    """Its number among the planted refunds."""
    platform: str
    """"1688" or "taobao"."""
    refund_id: str
    """Its id."""
    order_id: str
    """The order."""
    entry_ids: tuple[str, ...]
    """The lines of the order that it is about."""
    status: Status
    """Its state."""
    currency: str = "CNY"
    """The currency of its amounts."""
    apply_payment: int
    """Fen applied for."""
    apply_carriage: int = 0
    """Fen of freight applied for."""
    refund_payment: int | None = None
    """The refunded fen on 1688, if the answer has them."""
    applied_ms: int
    """When it was applied for."""
    modified_ms: int
    """When it last changed."""
    deadline_ms: int | None = None
    """Until when the party at turn has to act."""
    reason_id: int
    """The reason's id."""
    dispute_request: str
    """"refund" or "returnRefund"."""
    logistics_company_no: str | None = None
    """The carrier of the return."""
    freight_bill: str | None = None
    """The waybill of the return."""
    salt: int
    """A draw from which all that has no meaning is made (names, titles, spellings)."""

    @property
    def open(self) -> bool:
        """Whether it can still change."""
        return is_open(self.platform, self.status)

    @property
    def amount(self) -> int:
        """The amount that books should hold: what was paid back where that is known, else what was asked."""
        return self.apply_payment if self.refund_payment is None else self.refund_payment


def applied_ms(seed: int, number: int) -> int:
    """When refund `number` was applied for."""
    return _applied(draws(seed, number)[4])


def initial_status(seed: int, number: int) -> Status:
    """The state of refund `number` before anyone changed it, without making the rest."""
    draw = draws(seed, number)
    return _status(platform_of(number), planted(draw[0]), draw[1])


def generate(seed: int, number: int, freight: Freight | None = None) -> RefundState:
    """Refund `number` of this seed, before anyone changed it.

    `freight` says whether refunds of 1688 have some, and how it counts; what they come to is always the same.
    """
    draw = draws(seed, number)
    platform = platform_of(number)
    kind = planted(draw[0])
    status = _status(platform, kind, draw[1])
    applied = _applied(draw[4])
    payment = 100 + draw[2] % 200_000
    orders = ORDER_1688 if platform == ALIBABA else PURCHASE_ORDER
    order = orders.text(number)
    sent = status in ("waitsellerreceive", 30) or (status in ("refundsuccess", 100) and draw[6] % 3 == 0)
    carrier = CARRIERS[draw[7] % len(CARRIERS)][0]
    reason = _REASONS[draw[10] % len(_REASONS)]
    paid_back = _paid_back(status, payment, draw[5])
    carriage = draw[3] % min(1_500, payment)
    if (
        freight is None
        or reason.no_refund_carriage
        or platform != ALIBABA
        or paid_back not in (None, payment)
    ):
        carriage = 0
    if freight == "added":
        payment -= carriage
        paid_back = None if paid_back is None else paid_back - carriage
    return RefundState(
        number=number,
        platform=platform,
        refund_id=refund_id(number),
        order_id=order,
        entry_ids=(str(int(order) + 1),),
        status=status,
        apply_payment=payment,
        apply_carriage=carriage,
        refund_payment=paid_back,
        applied_ms=applied,
        modified_ms=applied + draw[6] % DAY_MS,
        deadline_ms=_deadline(platform, status, kind, applied, draw[5]),
        reason_id=reason.id,
        dispute_request="returnRefund" if sent or status in ("waitbuyersend", 20) else "refund",
        logistics_company_no=carrier if sent else None,
        freight_bill=f"{carrier}{draw[9]:012d}" if sent else None,
        salt=draw[8],
    )


def _applied(draw: int) -> int:
    return START_MS + (draw * WINDOW_MS >> 32)


def _status(platform: str, kind: Planted, draw: int) -> Status:
    if kind is Planted.UNKNOWN_STATUS:
        return UNKNOWN[platform]
    choices = _OVERDUE[platform] if kind is Planted.TIMED_OUT else _STATUSES[platform]
    return choices[draw % len(choices)]


def _paid_back(status: Status, payment: int, draw: int) -> int | None:
    """What 1688 says was paid back: mostly what was asked, at times less, at times nothing is said."""
    if status != "refundsuccess" or draw % 20 == 0:
        return None
    return payment - payment // (2 + draw % 5) if draw % 5 == 1 else payment


def _deadline(platform: str, status: Status, kind: Planted, applied: int, draw: int) -> int | None:
    """Open refunds act by themselves in the far future, planted ones should have acted by LEDGER_AS_OF.

    Finished ones keep a past deadline half of the time, which must not make them overdue.
    """
    if status == 0:
        return None
    if kind is Planted.TIMED_OUT:
        return applied + (AS_OF_MS - applied) * (1 + draw % 8) // 10
    if is_open(platform, status):
        return FAR_MS + draw % (30 * DAY_MS)
    return applied + DAY_MS * 7 if draw % 2 else None


class RefundBook:
    """All refunds: the computed ones, and over them those that were changed or created."""

    def __init__(self, seed: int, count: int, freight: Freight | None = None) -> None:
        if not 0 <= count <= LARGEST_NUMBER // 10:
            raise ValueError(f"refunds must be from 0 to {LARGEST_NUMBER // 10}")
        self.seed = seed
        self.count = count
        self.freight: Freight | None = freight
        self.changed: dict[int, RefundState] = {}
        self.version: int = 0
        self.on_change: Callable[[RefundState], None] | None = None
        self._next = count + count % 2  # created refunds are 1688's: even numbers

    def __contains__(self, number: int) -> bool:
        return 0 <= number < self.count or number in self.changed

    def get(self, number: int) -> RefundState:
        """Refund `number` as it is now; LookupError if there is none."""
        if number not in self:
            raise LookupError(f"no refund has number {number}")
        return self.changed.get(number) or generate(self.seed, number, self.freight)

    def find(self, identifier: str, platform: str) -> RefundState | None:
        """The refund of this id on this platform, or None."""
        number = number_of(identifier, platform)
        return None if number is None or number not in self else self.get(number)

    def put(self, refund: RefundState) -> None:
        """Keep a changed refund."""
        if self.on_change is not None:
            self.on_change(refund)
        self.changed[refund.number] = refund
        self.version += 1

    def next_number(self) -> int:
        """The number of the next refund to be created, always 1688's."""
        number = self._next
        self._next += 2
        return number

    def numbers(self, platform: str | None = None) -> Iterator[int]:
        """All numbers, those of created refunds last."""
        start, step = {None: (0, 1), ALIBABA: (0, 2), TAOBAO: (1, 2)}[platform]
        yield from range(start, self.count, step)
        yield from (
            number
            for number in sorted(self.changed)
            if number >= self.count and platform in (None, platform_of(number))
        )
