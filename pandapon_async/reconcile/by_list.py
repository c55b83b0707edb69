"""Confirm rows by a list of the platform's refunds, page by page, instead of one call each.

No page of the vendor shows an answer of its list, and a list may be outdated, incomplete, wrong, or end too
early. Three rules make that harmless:

- A list only confirms. It replaces a lookup only if it makes the row `matched`, has every field that this
  verdict needs, and shows a final state; an outdated state of an open refund may be exactly what the ledger
  has. All other rows are looked up one by one. (With `ListFacts.current` lists are never outdated; then open
  refunds with a deadline are confirmed as well.)
- A list is tested in the same run. A sample of refunds, spread over the ledger by their digest, is looked up
  one by one first; every list item about them must agree. After a single difference, found at any time,
  nothing from the list counts, and all rows are looked up one by one.
- A refund that a list does not show is never `missing` for that reason.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date
from typing import Any, Final, cast

import attrs

from pandapon_async.core.lenient import lenient_structurer
from pandapon_async.core.structure import StructureError
from pandapon_async.models.taobao.refunds import RefundAggregate, RefundDetail, RefundOrder, listed_refund_id
from pandapon_async.reconcile.list_windows import Window, day_of
from pandapon_async.reconcile.lookup import lookup_of_answer
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.statuses import is_known, is_open
from pandapon_async.reconcile.verdict import (
    LedgerRow,
    Lookup,
    LookupSource,
    Outcome,
    Verdict,
    VerdictRule,
    judge,
)
from pandapon_async.tables.cells import shown

InThread = Callable[[Callable[[], Any]], Awaitable[Any]]

__all__ = ["CONFIRM_READS", "LEAST_ROWS", "PROOF", "Confirming", "confirms", "lookup_of_item"]

PROOF: Final = 20
"""How many refunds are looked up one by one and compared with the list."""
ENOUGH: Final = 10
"""How many of these a list must show before it is trusted."""
LEAST_ROWS: Final = 100
"""With fewer rows than this a list is not worth its test."""
CONFIRM_READS: Final = ("outcome", "status", "applied_fen", "currency", "deadline")
"""The fields that a confirmation needs: without one of them the row is looked up by itself."""
COMPARED: Final = {
    "status": "the status",
    "applied_fen": "the amount in fen",
    "currency": "the currency",
    "deadline": "the deadline",
}
"""The fields of a list item that must agree with the single answer, if present."""


def lookup_of_item(item: RefundDetail) -> tuple[str, Lookup] | None:
    """Return the refund of a list item and its facts; None if the item names no refund.

    An item has the form of a single answer, or directly the fields of a refund; any other form is ignored.
    """
    refund_id = listed_refund_id(item)
    if refund_id is None:
        return None
    if item.refund_order_aggregate is None:
        try:
            order = lenient_structurer(RefundOrder)(item.extra, None)
        except StructureError:
            return refund_id, Lookup(outcome=Outcome.FAILED)
        item = attrs.evolve(item, refund_order_aggregate=RefundAggregate(refund_order=order))
    return refund_id, lookup_of_answer(refund_id, item)


def confirms(row: LedgerRow, lookup: Lookup, rule: VerdictRule, *, current: bool = False) -> bool:
    """Whether a list item may replace a lookup of its refund; see the module."""
    if lookup.outcome is not Outcome.FOUND or row.platform is None:
        return False
    if lookup.status is None or lookup.applied_fen is None or lookup.currency is None:
        return False
    if is_open(row.platform, lookup.status) and not (current and lookup.deadline is not None):
        return False
    return judge(row, lookup, rule).verdict is Verdict.MATCHED


@attrs.define
class Confirming:
    """Confirms the rows of one account by its list, after the list passed its test."""

    state: RunStore
    account: str | None
    rule: VerdictRule
    current: bool
    """Whether the settings say that the list is never outdated."""
    in_thread: InThread
    """Runs functions on the state, off the loop and one at a time."""
    look_up: Callable[[Sequence[int]], Awaitable[None]]
    """Looks up rows one by one, and stores the results."""
    stamp: Callable[[], str]
    """The time, in the form of lookups."""
    told: Callable[[int], None]
    """Gets the number of newly confirmed rows."""
    days: Counter[date] = attrs.field(factory=Counter, init=False)
    """The days of the rows that a list can confirm, with their number of rows."""
    confirmed: int = attrs.field(default=0, init=False)
    """Rows that were confirmed in this run."""
    refused: str | None = attrs.field(default=None, init=False)
    """Why the list does not count; None: so far it does."""
    _proof: Mapping[str, int] = attrs.field(factory=dict, init=False)
    _proof_days: set[date] = attrs.field(factory=set, init=False)
    _compared: set[str] = attrs.field(factory=set, init=False)
    _untold: int = attrs.field(default=0, init=False)

    def prepare(self) -> bool:
        """Choose the refunds for testing the list; return False if there is too little to confirm.

        A run that is resumed after its test continues with the same ones.
        """
        spread: list[tuple[int, int, str, str]] = []
        for row, refund_id, applied_at, status in self.state.dated_rows("taobao", self.account):
            if self._may_confirm(status):
                self.days[day_of(applied_at)] += 1
            digest = int.from_bytes(hashlib.sha256(refund_id.encode()).digest()[:8], "big")
            entry = (-digest, row, refund_id, applied_at)
            if len(spread) < PROOF:
                heapq.heappush(spread, entry)
            else:
                heapq.heappushpop(spread, entry)
        known = self.state.list_fact(self.account)
        if "proof" in known:
            self._proof = known["proof"]
            self._compared.update(self._proof)
            return not known.get("over")
        if self.days.total() < LEAST_ROWS:
            return False
        self._proof = {refund_id: row for _, row, refund_id, _ in spread}
        self._proof_days = {day_of(applied_at) for *_, applied_at in spread}
        self.state.set_list_fact(self.account, proof=self._proof, proved=False)
        return True

    def _may_confirm(self, status: str | None) -> bool:
        """Whether a list can confirm a row whose ledger has this status."""
        if status is None:
            return True
        return is_known("taobao", status) and (self.current or not is_open("taobao", status))

    async def begin(self) -> None:
        """Look up the refunds for testing the list."""

        def lacking() -> list[int]:
            return [row for row in self._proof.values() if not self.state.lookups_of([row])]

        await self.look_up(await self.in_thread(lacking))

    def worth(self, window: Window) -> int:
        """How many pages a window is worth: half the number of rows that they may confirm."""
        inside = sum(rows * window.share_of(day) for day, rows in self.days.items() if window.holds(day))
        return max(2, round(inside / 2))

    def proves(self, window: Window) -> bool:
        """Whether a window may show refunds of the test."""
        return any(window.holds(day) for day in self._proof_days)

    async def take(self, items: Sequence[RefundDetail], request_id: str | None) -> int:
        """Compare and confirm the items of a page; return the number of confirmed rows."""
        found = [one for item in items if (one := lookup_of_item(item)) is not None]
        for refund_id, lookup in found:
            if refund_id in self._proof and self.refused is None:
                await self._compare(refund_id, lookup)
        if self.refused is not None:
            return 0
        moment = self.stamp()
        confirmed: int = await self.in_thread(lambda: self._confirm(found, request_id, moment))
        self._untold += confirmed
        if self._proved:
            self.told(self._untold)
            self._untold = 0
        return confirmed

    def _confirm(self, found: Sequence[tuple[str, Lookup]], request_id: str | None, moment: str) -> int:
        """Store the items that confirm their rows; return their number."""
        if self.refused is not None:  # another page was refused meanwhile
            return 0
        before = self.confirmed
        with self.state.transaction():
            for refund_id, lookup in found:
                row = self.state.pending_row("taobao", refund_id)
                if row is None or row.account != self.account:
                    continue
                if confirms(row, lookup, self.rule, current=self.current):
                    lookup.source, lookup.request_id, lookup.looked_up_at = (
                        LookupSource.LIST,
                        request_id,
                        moment,
                    )
                    self.state.record(row.row, lookup)
                    self.confirmed += 1
        return self.confirmed - before

    @property
    def _proved(self) -> bool:
        return self.refused is None and len(self._compared) >= ENOUGH

    async def _compare(self, refund_id: str, lookup: Lookup) -> None:
        """Compare a refund of the test: the list must agree with the single lookup."""

        async def difference() -> str | None:
            return cast("str | None", await self.in_thread(lambda: self._difference(refund_id, lookup)))

        found = "" if lookup.outcome is not Outcome.FOUND else await difference()
        if found:  # it may have changed since it was looked up
            await self.look_up([self._proof[refund_id]])
            found = await difference()
        if found is None or lookup.status is None or lookup.applied_fen is None:
            return
        if found:
            self.refused = f"refund {refund_id}: {found}"
            await self.in_thread(self._end)  # at once: a run that is killed now must not trust it again
        elif refund_id not in self._compared:
            self._compared.add(refund_id)
            if self._proved:
                await self.in_thread(lambda: self.state.set_list_fact(self.account, proved=True))

    def _difference(self, refund_id: str, lookup: Lookup) -> str | None:
        """Describe the difference between list and single lookup; None if the lookup failed."""
        single = next(iter(self.state.lookups_of([self._proof[refund_id]])), None)
        if single is None or single.outcome is Outcome.FAILED:
            return None
        if single.outcome is Outcome.MISSING:
            return "the list shows it, but a single lookup does not find it"
        for name in COMPARED:
            said, is_so = getattr(lookup, name), getattr(single, name)
            if said is not None and said != is_so:
                return (
                    f"in the list {COMPARED[name]} is {shown(str(said))}, in a single lookup "
                    f"{shown(str(is_so))}"
                )
        return ""

    def conclude(self, *, left: int) -> None:
        """End the list: if it did not pass its test, nothing from it counts.

        `left` windows had more pages than they were worth.
        """
        if self.refused is None and not self._proved and left:
            self.refused = (
                "its pages have few refunds of the ledger, so it would cost more calls than it saves"
            )
        if self.refused is None and not self._proved:
            single = [one for row in self._proof.values() for one in self.state.lookups_of([row])]
            existing = sum(one.outcome is Outcome.FOUND for one in single)
            self.refused = (
                f"on the days of the ledger it shows {len(self._compared)} of {existing} refunds that "
                f"were looked up one by one, with amount and status, but {ENOUGH} are needed (see "
                "list.time, list.unit)"
            )
        self._end()

    def _end(self) -> None:
        """Record that the list is over; drop what it confirmed if it does not count."""
        with self.state.transaction():
            if self.refused is not None:
                self.state.forget_list_lookups(self.account)
                self.confirmed = 0
            self.state.set_list_fact(self.account, over=True, refused=self.refused)
