"""Pages, and the list of Taobao refunds: filters, without walking all refunds where that can be helped."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.list_shapes import ListShape
from pandapon_async.sandbox.numbering import PURCHASE_ORDER, REFUND, SALES_ORDER, TAOBAO, platform_of
from pandapon_async.sandbox.refunds import RefundBook, RefundState, applied_ms, generate, initial_status
from pandapon_async.sandbox.states import Status
from pandapon_async.settings import ListFacts

__all__ = ["LARGEST_PAGE", "Asked", "TaobaoList", "page_of"]

LARGEST_PAGE = 50

_IDS = {"refundId": REFUND[TAOBAO], "purchaseOrderId": PURCHASE_ORDER, "salesOrderId": SALES_ORDER}


@attrs.define(frozen=True)
class Asked:
    """The page that was asked for; counted from 1."""

    number: int
    size: int

    @property
    def first(self) -> int:
        """How many items come before it."""
        return (self.number - 1) * self.size

    def run(self, start: int, total: int) -> range:
        """The numbers on this page, of `total` numbers from `start` on."""
        return range(start, start + total)[self.first : self.first + self.size]


def page_of(
    arguments: Mapping[str, Any], *, number: str = "pageNo", largest: int = LARGEST_PAGE, first: int = 1
) -> Asked:
    """The page that a call asks for; a larger one than the largest is cut, as platforms do.

    `first` is the number of the first page.
    """
    asked, size = arguments.get(number), arguments.get("pageSize")
    asked, size = first if asked is None else asked, largest if size is None else size
    if asked < first or size < 1:
        raise Refusal(400, f"{number} counts from {first}, pageSize from 1")
    return Asked(asked - first + 1, min(size, largest))


Window = tuple[int | None, int | None]


class TaobaoList:
    """Finds Taobao refunds, in the order of their numbers.

    What a filter by status or time has to know of all refunds is gathered once, at the first such query;
    what a query found is kept until another one is asked, since pages are turned one after the other.
    """

    def __init__(
        self, book: RefundBook, facts: ListFacts | None = None, shape: ListShape | None = None
    ) -> None:
        self._book = book
        self._facts = facts or ListFacts()
        self._shape = shape or ListShape()
        self._computed: dict[Status, array[int]] | None = None
        self._times: array[int] | None = None
        self._current: dict[Status, Sequence[int]] = {}
        self._found: tuple[Status | None, Window, Sequence[int]] | None = None
        self._version = -1

    def page(self, asked: Asked, filters: Mapping[str, Any]) -> tuple[list[RefundState], int]:
        """The refunds of one page, and how many match in all. `filters` has the call's own names."""
        numbers = self._matching(filters)
        reached, first = self._shape.reach(len(numbers)), asked.first
        if first >= reached and first > 0 and self._shape.beyond != "empty":
            if self._shape.beyond == "refuse":
                raise Refusal(400, "there is no such page")
            first = max(0, reached - 1) // asked.size * asked.size
        shown = numbers[first : min(first + asked.size, reached)]
        return [self._book.get(number) for number in shown], len(numbers)

    def _matching(self, filters: Mapping[str, Any]) -> Sequence[int]:
        status = filters.get("refundStatus")
        window = self._window(filters)
        named = {series.number(filters[name]) for name, series in _IDS.items() if filters.get(name)}
        if named:
            number, *others = named
            fits = number is not None and not others and self._fits(number, status, window)
            return [number] if number is not None and fits else []
        if self._version != self._book.version:
            self._current, self._found, self._version = {}, None, self._book.version
        if self._found is None or self._found[:2] != (status, window):
            numbers = range(1, self._book.count, 2) if status is None else self._with_status(status)
            self._found = status, window, self._shape.shown(self._within(numbers, window))
        return self._found[2]

    def _window(self, filters: Mapping[str, Any]) -> Window:
        """What is asked for, in milliseconds."""
        if self._shape.ignores_window:
            return None, None
        start, end = filters.get("refundStartTime"), filters.get("refundEndTime")
        if self._facts.unit == "ms":
            return start, end
        return start and 1000 * start, end and 1000 * end + 999

    def _fits(self, number: int, status: Status | None, window: Window) -> bool:
        if number not in self._book or platform_of(number) != TAOBAO:
            return False
        refund = self._book.get(number)
        return (status is None or refund.status == status) and _inside(self._moment(refund), window)

    def _moment(self, refund: RefundState) -> int:
        """The moment that a window bounds."""
        return refund.modified_ms if self._facts.time == "modified" else refund.applied_ms

    def _within(self, numbers: Sequence[int], window: Window) -> Sequence[int]:
        if window == (None, None):
            return numbers
        if self._times is None:
            seed, count = self._book.seed, self._book.count
            modified = self._facts.time == "modified"
            self._times = array(
                "Q",
                (
                    generate(seed, number).modified_ms if modified else applied_ms(seed, number)
                    for number in range(1, count, 2)
                ),
            )
        times = self._times
        if self._facts.time == "modified":
            for number, refund in self._book.changed.items():
                if refund.platform == TAOBAO:
                    times[number // 2] = refund.modified_ms
        return array("Q", (number for number in numbers if _inside(times[number // 2], window)))

    def _with_status(self, status: Status) -> Sequence[int]:
        """All numbers in this state now: the computed ones, corrected by what was changed since."""
        if self._computed is None:
            self._computed = {}
            for number in range(1, self._book.count, 2):
                initial = initial_status(self._book.seed, number)
                self._computed.setdefault(initial, array("Q")).append(number)
        if status not in self._current:
            computed: Sequence[int] = self._computed.get(status, array("Q"))
            changed = {
                n: refund.status for n, refund in self._book.changed.items() if refund.platform == TAOBAO
            }
            if changed:
                kept = [number for number in computed if number not in changed]
                computed = sorted(kept + [number for number, now in changed.items() if now == status])
            self._current[status] = computed
        return self._current[status]


def _inside(moment: int, window: Window) -> bool:
    """Whether a moment is in the window, both ends included; None stands for no bound."""
    start, end = window
    return (start is None or start <= moment) and (end is None or moment <= end)
