"""The lists of a run: of each account, what they confirm of its rows, and what its ledger lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any, Final

import attrs

from pandapon_async.bulk.long_run import with_patience
from pandapon_async.client import Client
from pandapon_async.errors import PandaponError, error_kind_of
from pandapon_async.models.taobao.refunds import RefundDetail
from pandapon_async.progress import Progress
from pandapon_async.reconcile.by_list import PROOF, Confirming
from pandapon_async.reconcile.calls_saved import CallsSaved
from pandapon_async.reconcile.list_reading import ListPages, ListReader
from pandapon_async.reconcile.list_store import WindowState
from pandapon_async.reconcile.list_windows import Window, start_of, windows_of
from pandapon_async.reconcile.run_store import RunStore

__all__ = ["AccountLists", "check_lists"]

ROWS_OF_WINDOW: Final = 1_000
"""Rows of the ledger in one window; a day with more has a window of its own."""
MOST_AT_ONCE: Final = 32
"""Windows that are read side by side."""
LONG_AGO: Final = Window(start_of(date(2000, 1, 1)), start_of(date(2000, 1, 3)))
"""A time without refunds: a list that shows some then ignores its bounds."""


def check_lists(client: Client) -> None:
    """Refuse, before anything is sent, a client that cannot ask for lists of Taobao refunds.

    Raises: ConfigurationError if no page shows their path, and the settings do not allow an inferred one.
    """
    client.taobao.refunds.page().close()


@attrs.define
class AccountLists:
    """Reads the lists of one account."""

    client: Client
    state: RunStore
    account: str | None
    progress: Progress
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]
    """Runs what uses the state, off the loop and in turn."""
    concurrency: int
    saved: CallsSaved
    confirming: Confirming | None = None
    _pages: ListPages = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pages = ListPages(with_patience(self.client))

    async def run(self) -> None:
        """Read what is not read yet; what lists do not confirm is left to be looked up singly."""
        confirming = self.confirming
        if confirming is None or not await self.in_thread(confirming.prepare):
            return
        reader = ListReader(
            pages=self._pages,
            state=self.state,
            account=self.account,
            in_thread=self.in_thread,
            take=self._take,
            thorough=False,
            concurrency=min(self.concurrency, MOST_AT_ONCE),
            enough=self._enough,
            worth=confirming.worth,
        )
        try:
            await confirming.begin()
            await self._read(reader, confirming)
        except PandaponError as error:  # whatever ails lists, single lookups may work
            confirming.refused = f"it cannot be read: {error_kind_of(error).replace('_', ' ')}"
        finally:
            self.saved.list += confirming.confirmed - self._pages.asked
        await self.in_thread(lambda: confirming.conclude(left=reader.left))
        self._tell(confirming, reader.problems)

    async def _read(self, reader: ListReader, confirming: Confirming) -> None:
        before = await self._pages.page(LONG_AGO, 0)
        if before is not None and before.value.items:
            confirming.refused = "it shows refunds of the year 2000: it ignores the time that it is asked for"
            return
        await self.in_thread(lambda: self._plan(confirming))
        await reader.run(confirming.proves)

    def _plan(self, confirming: Confirming) -> None:
        if not self.state.windows(self.account):
            planned = windows_of(confirming.days, ROWS_OF_WINDOW)
            with self.state.transaction():
                self.state.set_windows(self.account, planned, WindowState.PLANNED)

    async def _take(self, items: Sequence[RefundDetail], request_id: str | None, window: Window) -> int:
        return 0 if self.confirming is None else await self.confirming.take(items, request_id)

    def _enough(self) -> bool:
        """Whether to read no more: the list is not believed, or costs as much as it saves."""
        confirming = self.confirming
        if confirming is None or confirming.refused is not None:
            return True
        return self._pages.asked > max(PROOF, confirming.days.total() // 2)

    def _tell(self, confirming: Confirming, problems: Counter[str]) -> None:
        whose = "" if self.account is None else f"account {self.account}: "
        if confirming.refused is not None:
            self.progress.note(
                f"{whose}the list of refunds is not used: {confirming.refused}. All rows are looked up singly"
            )
        else:
            self.progress.note(
                f"{whose}{confirming.confirmed:,} rows confirmed by {self._pages.asked:,} pages of lists; "
                "the others are looked up singly"
            )
        for problem, count in problems.most_common(3):
            self.progress.note(f"{whose}{count:,} parts of the list could not be read: {problem}")
