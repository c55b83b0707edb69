"""The lists of a run: what they confirm for each account."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from datetime import date
from typing import Final

import attrs

from pandapon_async.bulk.long_run import with_patience
from pandapon_async.client import Client
from pandapon_async.errors import PandaponError, error_kind_of
from pandapon_async.models.taobao.refunds import RefundDetail
from pandapon_async.progress import Progress
from pandapon_async.reconcile.by_list import PROOF, Confirming, InThread
from pandapon_async.reconcile.calls_saved import CallsSaved
from pandapon_async.reconcile.find_missing import Finding
from pandapon_async.reconcile.list_reading import MOST_PAGES, ListPages, ListReader
from pandapon_async.reconcile.list_store import WindowState
from pandapon_async.reconcile.list_windows import Window, start_of, windows_of
from pandapon_async.reconcile.run_store import RunStore

__all__ = ["AccountLists", "check_lists"]

ROWS_OF_WINDOW: Final = 1_000
"""The most ledger rows in a window; a day with more has its own window."""
MOST_AT_ONCE: Final = 32
"""How many windows are read in parallel."""
LONG_AGO: Final = Window(start_of(date(2000, 1, 1)), start_of(date(2000, 1, 3)))
"""A time without refunds: a list that shows some for it ignores its bounds."""


def check_lists(client: Client) -> None:
    """Refuse, before anything is sent, a client that cannot request lists of Taobao refunds.

    Raises ConfigurationError if their path is only inferred and the settings do not allow that.
    """
    client.taobao.refunds.page().close()


@attrs.define
class AccountLists:
    """Reads the lists of one account: for what they confirm, for what its ledger lacks, or for both."""

    client: Client
    state: RunStore
    account: str | None
    progress: Progress
    in_thread: InThread
    """Runs what uses the state, off the loop and in turn."""
    concurrency: int
    saved: CallsSaved
    confirming: Confirming | None = None
    finding: Finding | None = None
    confirmed: int = attrs.field(default=0, init=False)
    """How many rows were confirmed."""
    _counted: int = attrs.field(default=0, init=False)
    _pages: ListPages = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pages = ListPages(with_patience(self.client))

    async def run(self) -> None:
        """Read unread windows; rows that lists do not confirm are looked up one by one later."""
        if self.confirming is not None and not await self.in_thread(self.confirming.prepare):
            self.confirming = None
        if self.confirming is None and self.finding is None:
            return
        reader = ListReader(
            pages=self._pages,
            state=self.state,
            account=self.account,
            in_thread=self.in_thread,
            take=self._take,
            thorough=self.finding is not None,
            concurrency=min(self.concurrency, MOST_AT_ONCE),
            enough=self._enough,
            worth=self._worth,
        )
        problem = None
        try:
            if self.confirming is not None:
                await self.confirming.begin()
            problem = await self._read(reader)
        except PandaponError as error:  # single lookups may work even if lists fail
            problem = f"it cannot be read: {error_kind_of(error).replace('_', ' ')}"
        finally:
            self._count()
        await self._conclude(reader, problem)
        self._count()

    def _count(self) -> None:
        """Bring up to date what was confirmed and saved."""
        confirmed = 0 if self.confirming is None else self.confirming.confirmed
        self.saved.list += confirmed - self.confirmed - self._pages.asked + self._counted
        self.confirmed, self._counted = confirmed, self._pages.asked

    async def _read(self, reader: ListReader) -> str | None:
        """Read all windows; return why the list cannot be used, if so."""
        before = await self._pages.page(LONG_AGO, 0)
        if before is not None and before.value.items:
            return "it shows refunds of the year 2000, so it ignores the requested time"
        await self.in_thread(self._plan)
        await reader.run(self._first)
        if self.finding is not None and await self.in_thread(self.finding.until_now):
            await reader.run(self._first)
        return None

    def _plan(self) -> None:
        """Plan the windows, if no earlier part of this run has."""
        planned_for = self.state.list_fact(self.account).get("finding")
        if self.state.windows(self.account) and (self.finding is None or planned_for):
            return
        days = Counter() if self.confirming is None else self.confirming.days
        planned = [] if self.finding is None else self.finding.windows(days)
        covered = {day for day in days for window in planned if window.holds(day)}
        others = {day: rows for day, rows in days.items() if day not in covered}
        planned += windows_of(others, ROWS_OF_WINDOW)
        with self.state.transaction():
            self.state.set_windows(self.account, planned, WindowState.PLANNED)
            if self.finding is not None:
                self.state.set_list_fact(self.account, finding={"problems": ["it was not read to its end"]})

    def _first(self, window: Window) -> bool:
        return self.confirming is not None and self.confirming.proves(window)

    def _worth(self, window: Window) -> int:
        if self.finding is not None or self.confirming is None:
            return MOST_PAGES
        return self.confirming.worth(window)

    async def _take(self, items: Sequence[RefundDetail], request_id: str | None, window: Window) -> int:
        new = 0 if self.confirming is None else await self.confirming.take(items, request_id)
        return new if self.finding is None else await self.finding.take(items, window)

    def _enough(self) -> bool:
        """Whether to stop reading: the list is not trusted, or costs as much as it saves."""
        if self.finding is not None:
            return False
        if self.confirming is None or self.confirming.refused is not None:
            return True
        return self._pages.asked > max(PROOF, self.confirming.days.total() // 2)

    async def _conclude(self, reader: ListReader, problem: str | None) -> None:
        confirming, whose = self.confirming, "" if self.account is None else f"account {self.account}: "
        if confirming is not None:
            confirming.refused = confirming.refused or problem
            await self.in_thread(lambda: confirming.conclude(left=reader.left))
            if confirming.refused is not None:
                told = f"the list of refunds confirms no row: {confirming.refused}. All are looked up singly"
            else:
                told = (
                    f"{confirming.confirmed:,} rows confirmed by {self._pages.asked:,} pages of lists; "
                    "the others are looked up singly"
                )
            self.progress.note(whose + told)
        if self.finding is not None:
            problems = [problem] if problem is not None else []
            problems += [f"{count:,} parts of the list: {why}" for why, count in reader.problems.items()]
            await self.in_thread(functools.partial(self.finding.conclude, problems))
        elif confirming is not None:
            for why, count in reader.problems.most_common(3):
                self.progress.note(f"{whose}{count:,} parts of the list could not be read: {why}")
