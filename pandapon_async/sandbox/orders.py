"""1688 orders: made on demand like refunds, kept only once they were changed.

There are three kinds. The order that a computed refund belongs to. The orders that callers place, which
begin unpaid and keep all rules. And an order for every other id of an order's length, so that after-sales
can be tried on the ids of one's own books: it is paid and shipped, its lines are dear enough for anything,
and they answer to the order's own id (as the lines of single-line orders do), to the two ids after it, to 1,
2 and 3, and to whatever a refund was asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.sandbox.catalogue import product
from pandapon_async.sandbox.numbering import ORDER_1688, draws
from pandapon_async.sandbox.refunds import DAY_MS, START_MS, RefundBook, RefundState, generate
from pandapon_async.sandbox.states import Freight

__all__ = ["ORDER_MOVES", "PAID_FEN", "OrderBook", "OrderLine", "OrderState"]

PAID_FEN = 10_000_000
"""What was paid for each line of an order of which nothing else is known."""

ORDER_MOVES: Mapping[str, tuple[str, ...]] = {
    "waitbuyerpay": ("waitsellersend", "cancel"),
    "waitsellersend": ("waitbuyerreceive", "terminated"),
    "waitbuyerreceive": ("success", "terminated"),
    "success": (),
    "cancel": (),
    "terminated": (),
}
"""Which steps lead from one state of an order to another."""

_STAMPS = {"waitsellersend": "paid_ms", "waitbuyerreceive": "shipped_ms", "success": "completed_ms"}
_SHIPPED = ("waitbuyerreceive", "success")


@attrs.define(frozen=True, kw_only=True)
class OrderLine(Result):
    """One line of an order: a number of pieces of one product."""

    entry_id: str
    """The id of the line."""
    offer: int
    """The product's id."""
    spec_id: str | None = None
    """The variant, if the product has any."""
    price: int
    """Fen, of one piece."""
    quantity: int | float = 1
    """How many pieces."""
    amount: int
    """Fen, of all pieces."""
    refund_id: str | None = None
    """The newest refund form of the line."""
    received: bool = False
    """Whether its receipt was confirmed."""


@attrs.define(frozen=True, kw_only=True)
class OrderState(Result):
    """One order as the sandbox knows it. Amounts are fen, times epoch milliseconds."""

    order_id: str
    """The order's id."""
    status: str
    """Its state, in the platform's spelling."""
    lines: tuple[OrderLine, ...]
    """Its lines."""
    shipping: int = 0
    """Fen of freight."""
    seller: str
    """The seller's id."""
    created_ms: int
    """When it was placed."""
    modified_ms: int
    """When it last changed."""
    paid_ms: int | None = None
    """When it was paid."""
    shipped_ms: int | None = None
    """When the goods were sent."""
    completed_ms: int | None = None
    """When it was completed or closed."""
    close_reason: str | None = None
    """Why it was closed."""
    placed: bool = False
    """Whether a caller placed it here: then all that happens to it keeps the platform's rules."""
    trade_type: str = "fxassure"
    """How it is paid, as the platform writes it."""
    message: str | None = attrs.field(default=None, metadata={"personal": True})
    """The buyer's message."""
    address: Mapping[str, Any] | None = attrs.field(default=None, repr=False, metadata={"personal": True})
    """Where the goods go."""
    salt: int = 0
    """A draw from which all that has no meaning is made (names, titles)."""

    @property
    def total(self) -> int:
        """What it costs in all."""
        return self.shipping + sum(line.amount for line in self.lines)

    def paid_for(self, entry_ids: Iterable[str]) -> int:
        """The most that can be asked back for these lines: what they cost, and the freight."""
        asked = set(entry_ids)
        return self.shipping + sum(line.amount for line in self.lines if line.entry_id in asked)

    def refunded(self, entry_ids: Iterable[str], refund_id: str) -> OrderState:
        """The order with a refund form opened for these lines; lines it has not are added."""
        asked = dict.fromkeys(entry_ids)
        lines = [
            attrs.evolve(line, refund_id=refund_id) if line.entry_id in asked else line for line in self.lines
        ]
        known = {line.entry_id for line in self.lines}
        lines += [_dear_line(entry, refund_id) for entry in asked if entry not in known]
        return attrs.evolve(self, lines=tuple(lines))

    def moved(self, status: str, now_ms: int, **changes: Any) -> OrderState:
        """The order one step further."""
        stamp: dict[str, Any] = {_STAMPS[status]: now_ms} if status in _STAMPS else {}
        return attrs.evolve(self, status=status, modified_ms=now_ms, **stamp, **changes)


def _dear_line(entry_id: str, refund_id: str | None = None) -> OrderLine:
    offer = 600_000_000_000 + draws(0, "line", entry_id)[0]
    return OrderLine(entry_id=entry_id, offer=offer, price=PAID_FEN, amount=PAID_FEN, refund_id=refund_id)


class OrderBook:
    """All 1688 orders: the computed ones, and over them those that were changed or placed."""

    def __init__(self, refunds: RefundBook) -> None:
        self._refunds = refunds
        self.changed: dict[str, OrderState] = {}
        self.placed: list[str] = []
        self.on_change: Callable[[OrderState], None] | None = None

    def find(self, order_id: str) -> OrderState | None:
        """The order of this id as it is now, or None."""
        return self.changed.get(order_id) or self._computed(order_id)

    def for_refund(self, order_id: str) -> OrderState:
        """The order that a refund is asked for: any id will do."""
        return self.find(order_id) or _any_order(order_id)

    def put(self, order: OrderState) -> None:
        """Keep a changed order, or a placed one."""
        if self.on_change is not None:
            self.on_change(order)
        if order.placed and order.order_id not in self.changed:
            self.placed.append(order.order_id)
        self.changed[order.order_id] = order

    def next_id(self) -> str:
        """The id of the next order to be placed; no refund's order has one of these."""
        return ORDER_1688.text(2 * len(self.placed) + 1)

    def __len__(self) -> int:
        return len(self.placed) + (self._refunds.count + 1) // 2

    def page(self, first: int, size: int) -> Iterator[OrderState]:
        """Some of the account's orders: the placed ones, newest first, then those of the refunds."""
        for position in range(first, min(first + size, len(self))):
            if position < len(self.placed):
                order_id = self.placed[-1 - position]
            else:
                order_id = ORDER_1688.text(2 * (position - len(self.placed)))
            order = self.find(order_id)
            assert order is not None
            yield order

    def _computed(self, order_id: str) -> OrderState | None:
        number = ORDER_1688.number(order_id)
        if number is not None and number % 2 == 0 and number < self._refunds.count:
            return _order_of(
                generate(self._refunds.seed, number, self._refunds.freight), self._refunds.freight
            )
        digits = order_id.isascii() and order_id.isdigit() and order_id[:1] != "0"
        return _any_order(order_id) if digits and 16 <= len(order_id) <= 19 else None


def _order_of(refund: RefundState, freight: Freight | None) -> OrderState:
    """The order of a computed refund: the line it is about, and one or two others."""
    salt, first = refund.salt, int(refund.order_id) + 1
    created = refund.applied_ms - DAY_MS * (6 + salt % 10)
    amount = refund.apply_payment + salt % 5_000 - (0 if freight == "added" else refund.apply_carriage)
    lines = [
        OrderLine(
            entry_id=refund.entry_ids[0],
            offer=600_000_000_000 + salt,
            price=amount,
            amount=amount,
            refund_id=refund.refund_id,
        )
    ]
    for at in range(1, 2 + salt % 2):
        offer, pieces = 600_000_000_000 + salt // (at + 1), 1 + salt // at % 4
        price = product(offer).price
        lines.append(
            OrderLine(
                entry_id=str(first + at), offer=offer, price=price, quantity=pieces, amount=price * pieces
            )
        )
    status = ("success", "waitbuyerreceive", "waitsellersend", "success")[salt // 11 % 4]
    if refund.freight_bill is not None or refund.dispute_request == "returnRefund":
        status = "success"
    return OrderState(
        order_id=refund.order_id,
        status=status,
        lines=tuple(lines),
        shipping=refund.apply_carriage,
        seller=f"BBB{salt:010d}",
        created_ms=created,
        modified_ms=refund.modified_ms,
        paid_ms=created + 600_000,
        shipped_ms=created + DAY_MS if status in _SHIPPED else None,
        completed_ms=created + 5 * DAY_MS if status == "success" else None,
        salt=salt,
    )


def _any_order(order_id: str) -> OrderState:
    """The order of an unknown id."""
    salt = draws(0, "order", order_id)[0]
    created = START_MS + salt % (30 * DAY_MS)
    number = int(order_id)
    entries = dict.fromkeys(map(str, (number, number + 1, number + 2, 1, 2, 3)))
    return OrderState(
        order_id=order_id,
        status="waitbuyerreceive",
        lines=tuple(map(_dear_line, entries)),
        seller=f"BBB{salt:010d}",
        created_ms=created,
        modified_ms=created + DAY_MS,
        paid_ms=created + 600_000,
        shipped_ms=created + DAY_MS,
        salt=salt,
    )
