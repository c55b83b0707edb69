"""The data of a lagging replica, which reads see while changes are hidden.

A platform of many machines answers a read from a copy. For seconds, at times for minutes, a write that was
carried out does not show there, and whoever takes "not shown" for "not done" sends it again. Here each
change of a refund form or a 1688 order reaches the replica when its own lag is over. There is a replica only
while something is hidden: otherwise reads see the books themselves.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from pandapon_async.sandbox.list_shapes import ListShape
from pandapon_async.sandbox.listing import TaobaoList
from pandapon_async.sandbox.orders import OrderBook, OrderState
from pandapon_async.sandbox.refunds import RefundBook, RefundState
from pandapon_async.settings import ListFacts

__all__ = ["Replica"]


class Replica:
    """The books as reads see them, from the state in which the first hidden change finds them."""

    def __init__(
        self,
        refunds: RefundBook,
        orders: OrderBook,
        facts: ListFacts | None = None,
        shape: ListShape | None = None,
    ) -> None:
        self._refunds = RefundBook(refunds.seed, refunds.count, refunds.freight)
        self._refunds.changed = dict(refunds.changed)
        self._orders = OrderBook(self._refunds)
        self._orders.changed = dict(orders.changed)
        self._orders.placed = list(orders.placed)
        self._taobao_list = TaobaoList(self._refunds, facts, shape)
        self._hidden: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers: Iterator[int] = itertools.count()
        self._newest: dict[Hashable, int] = {}

    @property
    def books(self) -> tuple[RefundBook, OrderBook, TaobaoList]:
        """Refund forms, 1688 orders, and the list of Taobao's forms."""
        return self._refunds, self._orders, self._taobao_list

    def hide(self, change: RefundState | OrderState, until: float) -> None:
        """Show a change from `until` on."""
        book: Any
        key: Hashable
        if isinstance(change, RefundState):
            book, key = self._refunds, change.number
        else:
            book, key = self._orders, change.order_id
        number = next(self._numbers)

        def show() -> None:
            if number > self._newest.get(key, -1):  # a later change may have been shown before it
                self._newest[key] = number
                book.put(change)

        heapq.heappush(self._hidden, (until, number, show))

    def catch_up(self, now: float) -> bool:
        """Show what may be seen by now; whether anything is hidden still."""
        while self._hidden and self._hidden[0][0] <= now:
            heapq.heappop(self._hidden)[2]()
        return bool(self._hidden)
