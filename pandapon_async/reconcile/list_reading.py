"""Read a list of refunds window by window, and detect when it ends too early.

A list that shows 10,000 of 40,000 items and then nothing looks like a list of 10,000. Two things reveal it: a
stated total that was not reached, and the windows themselves. If a list ends at some number of items, the
largest windows end there. So the largest window is read again in parts, and if the parts show more, all
windows of that size are split. The state records which windows were read, so a run that was killed reads only
the others.
"""

from __future__ import annotations

import contextlib
import enum
import functools
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs

from pandapon_async.bulk import Failed, run
from pandapon_async.client import Client
from pandapon_async.declare.call import MOST_ITEMS
from pandapon_async.declare.response import Response
from pandapon_async.errors import ApiError, AuthenticationError, NotFoundError, RateLimitError, error_kind_of
from pandapon_async.models.taobao.refunds import RefundDetail, RefundPage, listed_refund_id
from pandapon_async.reconcile.list_store import WindowState
from pandapon_async.reconcile.list_windows import Window
from pandapon_async.reconcile.run_store import RunStore

__all__ = ["MOST_PAGES", "End", "ListPages", "ListReader", "Reading", "Taker", "read_window"]

MOST_PAGES: Final = 50
"""The most pages of a window; a larger one is split, because lists may end somewhere."""
MOST_PARTS: Final = 16
"""Into how many windows a window is split."""
SIZES: Final = (MOST_ITEMS, 50, 20)
"""Page sizes that are tried in turn while the first page is refused."""


class End(enum.StrEnum):
    """How reading a window ended."""

    WHOLE = "whole"
    """All of it was shown."""
    CUT = "cut"
    """The list ended too early."""
    LARGE = "large"
    """There is more than is read in one window."""
    LEFT = "left"
    """There are more pages than it is worth."""


@attrs.frozen
class Reading:
    """The result of reading a window."""

    end: End
    """How it ended."""
    seen: int = 0
    """How many refunds it showed."""
    new: int = 0
    """How many of them were new."""
    total: int | None = None
    """The stated total of refunds."""
    parts: int = 2
    """Into how many windows to split it, if it is incomplete."""


@attrs.define
class ListPages:
    """Requests pages of a list with one client, and learns their size."""

    client: Client
    asked: int = 0
    """The number of requested pages."""
    largest: int = 0
    """The most items on a page so far."""
    totals: bool = True
    """Whether stated totals are trusted; no longer once the parts of a window have more than it."""
    _size: int | None = None

    async def page(self, window: Window, number: int) -> Response[RefundPage] | None:
        """Return a page, counted from 0; None if it is empty or does not exist.

        The very first page is requested in smaller sizes while it is refused.
        """
        sizes = [self._size] if self._size is not None else self._sizes()
        for size in sizes:
            try:
                response = await self._ask(window, number, size)
            except (AuthenticationError, RateLimitError):
                raise
            except NotFoundError:
                return None
            except ApiError:
                if number > 0:
                    return None
                if size == sizes[-1]:
                    raise
            else:
                self._size = size
                self.largest = max(self.largest, len(response.value.items))
                return response
        return None

    def _sizes(self) -> list[int]:
        largest = self.client.settings.vendor.list.largest_page
        return list(SIZES) if largest is None else [min(largest, MOST_ITEMS)]

    async def _ask(self, window: Window, number: int, size: int) -> Response[RefundPage]:
        self.asked += 1
        start, end = window.bounds
        return await self.client.taobao.refunds.page(
            page_no=number + self.client.settings.vendor.list.first_page,
            page_size=size,
            refund_start_time=start,
            refund_end_time=end,
        ).with_response()


Taker = Callable[[Sequence[RefundDetail], str | None, Window], Awaitable[int]]
"""Takes the items of a page, the id of its request and the window; returns how many are new."""


async def read_window(
    pages: ListPages, window: Window, take: Taker, *, thorough: bool = False, worth: int = MOST_PAGES
) -> Reading:
    """Read a window page after page.

    Args:
        pages: Requests the pages.
        window: What to read.
        take: Takes the items of each page.
        worth: The most pages to read; a larger window is skipped.
        thorough: Whether to read beyond the stated total, which may be too low.

    Raises the error of an unreadable page; earlier items stay stored.
    """
    number = seen = new = 0
    total: int | None = None
    before: list[object] = []
    while True:
        response = await pages.page(window, number)
        items = [] if response is None else response.value.items
        known: list[object] = [listed_refund_id(item) or item for item in items]
        if response is None or not items or known == before:
            cut = total is not None and seen < total
            return Reading(End.CUT if cut else End.WHOLE, seen, new, total)
        new += await take(items, response.request_id, window)
        number, seen, before = number + 1, seen + len(items), known
        said = response.value.total
        total = said if pages.totals and said is not None and said >= len(items) else None
        if total is not None and seen >= total and not thorough:
            return Reading(End.WHOLE, seen, new, total)
        room = MOST_PAGES * pages.largest
        if worth < MOST_PAGES and (number >= worth or (total or 0) > worth * pages.largest):
            return Reading(End.LEFT, seen, new, total)
        if number >= MOST_PAGES or (total or 0) > room:
            return Reading(End.LARGE, seen, new, total, min(MOST_PARTS, max(2, -(-(total or 0) // room))))


@attrs.frozen
class _Whole:
    """A window that was split: the number of its refunds, and the stated total."""

    window: Window
    seen: int
    total: int | None = None


@attrs.define
class ListReader:
    """Reads the planned windows of an account, splits cut-off ones, and records which were read."""

    pages: ListPages
    state: RunStore
    account: str | None
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]
    """Runs what uses the state, off the loop and in turn."""
    take: Taker
    thorough: bool
    """Whether everything must be found, see the module; otherwise missing items do no harm."""
    concurrency: int
    enough: Callable[[], bool] = lambda: False
    """Whether to stop reading."""
    worth: Callable[[Window], int] = lambda _: MOST_PAGES
    """How many pages a window is worth."""
    left: int = attrs.field(default=0, init=False)
    """How many windows had more pages than they were worth."""
    problems: Counter[str] = attrs.field(factory=Counter, init=False)
    """Why windows could not be read, with their number."""

    _ends_at: int | None = attrs.field(default=None, init=False)
    """The most refunds of a window that the list shows, if known or under test."""

    async def run(self, first: Callable[[Window], bool] = lambda _: False) -> None:
        """Read all unread windows, those of `first` before the others."""
        unread = (WindowState.PLANNED, WindowState.FAILED)
        waiting: list[Window] = await self.in_thread(lambda: self.state.windows(self.account, *unread))
        await self._read_and_split(waiting, {}, first)
        while self.thorough and not self.enough():
            largest = await self.in_thread(self._largest)
            if largest is None:
                return
            window, seen = largest
            parts, self._ends_at = window.split(2), seen
            await self._set(parts, WindowState.PLANNED)
            if not await self._read_and_split(parts, dict.fromkeys(parts, _Whole(window, seen)), first):
                return  # the largest was complete, and so are all smaller ones
            await self._read_and_split(await self.in_thread(self._as_large), {}, first)

    async def _read_and_split(
        self,
        waiting: list[Window],
        parents: dict[Window, _Whole],
        first: Callable[[Window], bool],
    ) -> int:
        """Read windows and the parts of cut-off ones; return the number of new refunds."""
        new = 0
        while waiting and not self.enough():
            waiting.sort(key=lambda window: (not first(window), window))
            readings, before = await self._read(waiting), parents
            new += sum(reading.new for reading in readings.values())
            waiting, parents = await self.in_thread(functools.partial(self._split, readings, before))
        return new

    def _largest(self) -> tuple[Window, int] | None:
        """Return the largest window below the known limit; None if there is none to split."""
        read = self.state.windows_read(self.account)
        shown = [(seen, window) for window, seen in read.items() if seen and not self._is_cut(seen)]
        seen, window = max(shown, default=(0, None))
        return None if window is None or len(window.split(2)) == 1 else (window, seen)

    def _as_large(self) -> list[Window]:
        """Plan the parts of all windows that reached the limit of the list."""
        parts = []
        for window, seen in self.state.windows_read(self.account).items():
            if self._is_cut(seen) and len(window.split(2)) > 1:
                with self.state.transaction():
                    self.state.set_windows(self.account, [window], WindowState.SPLIT, seen)
                    self.state.set_windows(self.account, window.split(2), WindowState.PLANNED)
                parts += window.split(2)
        return parts

    def _is_cut(self, seen: int) -> bool:
        return self._ends_at is not None and seen >= self._ends_at

    async def _read(self, windows: list[Window]) -> dict[Window, Reading]:
        """Read windows in parallel; return the results."""
        readings: dict[Window, Reading] = {}
        results = run(
            self._one, windows, concurrency=self.concurrency, clock=self.pages.client.settings.clock
        )
        async with contextlib.aclosing(results):
            async for result in results:
                if isinstance(result, Failed):
                    if isinstance(result.error, AuthenticationError):
                        continue  # the run ends with it
                    self.problems[error_kind_of(result.error).replace("_", " ")] += 1
                    await self._set([result.item], WindowState.FAILED)
                elif result.value is not None:
                    readings[result.item] = result.value
                    self.left += result.value.end is End.LEFT
                    if result.value.end in (End.WHOLE, End.LEFT):
                        await self._set([result.item], WindowState.READ, result.value.seen)
        return readings

    async def _set(self, windows: Iterable[Window], state: WindowState, seen: int = 0) -> None:
        await self.in_thread(lambda: self.state.set_windows(self.account, windows, state, seen))

    async def _one(self, window: Window) -> Reading | None:
        if self.enough():
            return None
        worth = self.worth(window)
        return await read_window(self.pages, window, self.take, thorough=self.thorough, worth=worth)

    def _split(
        self, readings: Mapping[Window, Reading], parents: Mapping[Window, _Whole]
    ) -> tuple[list[Window], dict[Window, _Whole]]:
        """Return the windows to read next, with the windows that contain them."""
        shown: Counter[Window] = Counter()
        stated: Counter[Window] = Counter()
        for window, reading in readings.items():
            if window in parents:
                shown[parents[window].window] += reading.new
                stated[parents[window].window] += reading.total or 0
        for whole in set(parents.values()):
            if whole.total is not None and 2 * stated[whole.window] > 3 * whole.total:
                self.pages.totals = False
        waiting: list[Window] = []
        following: dict[Window, _Whole] = {}
        for window, reading in readings.items():
            if reading.end is End.LEFT or (reading.end is End.WHOLE and not self._is_cut(reading.seen)):
                continue
            parts = window.split(reading.parts)
            of = parents.get(window)
            # A part that shows as much as the whole may be cut off like the whole.
            had_all = of is not None and not shown[of.window] and reading.seen < of.seen
            if had_all and reading.end is not End.LARGE:
                self.state.set_windows(self.account, [window], WindowState.READ, reading.seen)
            elif len(parts) == 1:
                self.problems["more refunds within a second than the list shows"] += 1
                self.state.set_windows(self.account, [window], WindowState.FAILED)
            else:
                with self.state.transaction():
                    self.state.set_windows(self.account, [window], WindowState.SPLIT)
                    self.state.set_windows(self.account, parts, WindowState.PLANNED)
                waiting += parts
                following |= dict.fromkeys(parts, _Whole(window, reading.seen, reading.total))
        return waiting, following
