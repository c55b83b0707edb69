"""One quota for many processes and machines: each books its permits in advance in a shared book.

Asking a store for each permit costs a round trip per call. Most limiters with a store only ask whether one
more call is allowed, so processes poll, and a burst of pollers exceeds the rate. Here a process books a slot
for each of its waiting callers with one request, at an even gap and at most 0.1 s ahead, and its own timer
gives them out. A slot that comes up late is dropped and never used late, so the server never sees more than
the rate, whatever stalls. Slots that a process booked and did not use are lost: at most 0.1 s of the quota.

Interactive calls book up to 0.1 s ahead, bulk work only half of that, so the bulk work of other processes
never takes every slot.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import math
from collections import deque
from typing import Final

from pandapon_async.clock import Clock
from pandapon_async.core.options import where_raised
from pandapon_async.core.rate import spacing
from pandapon_async.core.vendor import vendor_of
from pandapon_async.environment import tell
from pandapon_async.errors import DeadlineExceededError, NotSentError, PandaponError
from pandapon_async.settings import Credentials, Settings
from pandapon_async.shared.database import Database, DatabaseUnavailableError
from pandapon_async.shared.quota import Booking, QuotaBook, SlotBook
from pandapon_async.transport.rate_limiter import Limiter
from pandapon_async.transport.wait_queue import CancellableTimers, Priority, current_priority, too_late

__all__ = ["SharedLimiter", "quota_name", "shared_limiter_of"]

LEASE: Final = {Priority.INTERACTIVE: 0.1, Priority.BULK: 0.05}
"""Seconds that slots are booked ahead."""
GRACE: Final = 0.012
"""Seconds that a slot may come up late; the window's margin covers 0.02."""
ON_THE_WIRE: Final = 0.017
"""Seconds after its slot at which a request may still begin to leave."""
AWAY_SECONDS: Final = (0.05, 0.5)
"""Seconds; the shortest and the longest pause between two attempts to reach the book."""

log: Final = logging.getLogger("pandapon_async")


class SharedLimiter(Limiter):
    """A limiter whose slots come from a book that other processes use, too.

    Args:
        book: The book; closed with this limiter.
        rate: Calls per second of the whole quota. If processes have different rates, the lowest applies.
        clock: The source of time and timers.
        fallback: The fraction of the rate that this process uses alone while the book is unreachable; None:
            it sends nothing then.
    """

    permits: int

    def __init__(
        self, book: SlotBook, rate: float, clock: Clock | None = None, *, fallback: float | None = None
    ) -> None:
        super().__init__(None, clock, None)  # unlimited: our queue and our pause, the book's rate
        self.configured: float | None = rate
        self.booked: int = 0
        """The number of booked slots."""
        self.late: int = 0
        """The number of slots that came up too late or had no caller left."""
        self.questions: int = 0
        """The number of requests to the book."""
        self.alone: int = 0
        """The number of permits given without the book."""
        self._book = book
        self._timers = CancellableTimers(self._clock)
        self._span, _, self._own_gap = spacing(rate)
        self._gap = self._own_gap
        self._slots: deque[float] = deque()
        self._free_at = -math.inf  # the book's time of the first slot that it had not given
        self._asking: asyncio.Task[None] | None = None
        self._telling: set[asyncio.Task[None]] = set()
        self._away: DatabaseUnavailableError | None = None
        self._pause_of_tries = AWAY_SECONDS[0]
        self._napping: asyncio.Future[None] | None = None
        self._returning = False
        self._last = -math.inf  # when the last permit counted
        self._share = None if fallback is None else Limiter(rate * fallback, self._clock, None)
        book.on_pause(self._pause_until)

    @property
    def rate(self) -> float | None:
        """Calls per second that are allowed now: `configured`, or the lower one of another process."""
        assert self.configured is not None
        return self.configured if self._gap <= self._own_gap else self.configured * self._own_gap / self._gap

    async def acquire(self, deadline: float = math.inf, *, first: bool = False) -> float:
        """Wait for a permit; see `Limiter.acquire`. Raises ConfigurationError if the book cannot be used."""
        now = self._clock.now()
        if not self._queue.waiting() and (slot := self._take(now)) is not None:
            self.permits += 1
            return slot
        if self.expected(first=first) > deadline:
            raise too_late()
        self._bind()
        self._arm(now)
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._ask())
        elif self._napping is not None and current_priority() is Priority.INTERACTIVE:
            _wake(self._napping)
        left = deadline - now
        try:
            # Slightly before the call ends, so the error can name what it waited for.
            return await self._queue.join(deadline - min(0.01, left / 10), self._pass_on, first=first)
        except DeadlineExceededError:
            if self._away is None:
                raise
            why = self._away
        raise DeadlineExceededError(f"the quota is shared, and {why}; nothing was sent")

    def is_stale(self, permit: float, now: float) -> bool:
        """Whether a permit is too old to use: its slot in the book is fixed."""
        return now - permit > ON_THE_WIRE

    def unused(self, permit: float) -> None:
        """Drop the permit: its slot has passed."""

    def used_late(self, permit: float, now: float) -> None:
        """Do nothing: the delay is less than the window's margin."""

    def expected(self, before: int = 0, *, first: bool = False) -> float:
        """The expected time of a new caller's permit; see `Limiter.expected`."""
        now = self._clock.now()
        ahead = self._queue.ahead(first=first) + before
        paused = self._window.paused_until
        if ahead < len(self._slots):
            return max(now, self._slots[ahead], paused)
        after = self._slots[-1] + self._gap if self._slots else -math.inf
        return max(now, after, paused, self._free_at) + (ahead - len(self._slots)) * self._gap

    def pause(self, seconds: float) -> None:
        """Give no permit for this many seconds after a throttle, in any process."""
        self._pause_until(self._clock.now() + seconds)
        task = asyncio.ensure_future(self._tell_pause(seconds))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def throttled(self, seconds: float, sent: float) -> bool:
        """Pause all processes after a throttle. The rate stays the same."""
        self.pause(seconds)
        return False

    async def aclose(self) -> None:
        """End the background tasks and release the book."""
        tasks = [task for task in (self._asking, *self._telling) if task is not None]
        for task in tasks:
            task.cancel()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._book.aclose()

    def _pause_until(self, moment: float) -> None:
        seconds = max(0.0, moment - self._clock.now())
        super().pause(seconds)
        if self._share is not None:
            self._share.pause(seconds)
        while self._slots and self._slots[0] < moment:
            self._slots.popleft()
            self.late += 1

    async def _tell_pause(self, seconds: float) -> None:
        try:
            await self._book.pause(seconds, gap=self._own_gap, span=self._span)
        except PandaponError as error:
            log.warning("a pause could not be passed to the other processes: %s", error)

    def _take(self, now: float) -> float | None:
        """A slot that is due."""
        slots = self._slots
        while slots and slots[0] + GRACE < now:
            slots.popleft()
            self.late += 1
        if not slots or slots[0] > now or self._window.paused_until > now:
            return None
        self._last = slots.popleft()
        return self._last

    def _arm(self, now: float) -> None:
        if self._timer is None and self._slots:
            self._timer = self._clock.call_later(max(0.0, self._slots[0] - now), self._serve)

    def _serve(self) -> None:
        """Give the permits whose slots are due."""
        self._timer = None
        now = self._clock.now()
        while self._queue.waiting() and (slot := self._take(now)) is not None:
            self._queue.grant_next(slot)
            self.permits += 1
        if self._queue.waiting():
            self._arm(now)

    async def _ask(self) -> None:
        """Book slots while calls wait."""
        await asyncio.sleep(
            0
        )  # the creator of this task joins the queue first, and so do all callers of the same turn
        try:
            while self._queue.waiting():
                try:
                    if self._away is not None and self._share is not None:
                        await self._go_alone(self._share)
                    else:
                        await self._refill()
                except DatabaseUnavailableError as error:
                    await self._lost(error)
                except PandaponError as error:
                    self._fail_all(type(error), str(error))
                except Exception as failure:  # otherwise all would wait for a task that has ended
                    self._fail_all(NotSentError, f"the shared quota failed: {where_raised(failure)}")
        finally:
            self._asking = None

    def _fail_all(self, kind: type[PandaponError], text: str) -> None:
        while self._queue.waiting():
            self._queue.fail_next(kind(f"{text}; nothing was sent"))

    async def _refill(self) -> None:
        """Ask the book once, or wait until a caller needs a slot."""
        urgent, now = self._queue.waiting_at(Priority.INTERACTIVE), self._clock.now()
        level = Priority.INTERACTIVE if urgent else Priority.BULK
        ahead = LEASE[level]
        wanted = (urgent or len(self._queue)) - len(self._slots)
        booked_until = self._slots[-1] if self._slots else now
        if wanted < 1 or booked_until - now > ahead / 2:
            await self._nap(booked_until - now - ahead / 2, level)
            return
        booking = await self._book_slots(min(wanted, int(ahead / self._gap) + 1), ahead)
        if booking.count == 0:  # everything that may be booked is; wait until several slots are possible
            await self._nap(self._free_at - self._clock.now() - ahead + ahead / 5, level)

    async def _book_slots(self, wanted: int, ahead: float) -> Booking:
        self.questions += 1
        booking = await self._book.book(
            wanted, gap=self._own_gap, span=self._span, ahead=ahead, returning=self._returning
        )
        if self._away is not None:
            log.warning("the shared quota is reachable again")
        self._away, self._returning, self._pause_of_tries = None, False, AWAY_SECONDS[0]
        if booking.gap != self._gap:
            self._gap = booking.gap
            if self._gap > self._own_gap:
                log.warning(
                    "another process uses this quota with %.3g calls a second; that rate applies, not %.3g",
                    self.rate, self.configured,
                )  # fmt: skip
        if booking.paused_until > max(self._clock.now(), self._window.paused_until):
            self._pause_until(booking.paused_until)
        self._slots.extend(booking.first + number * booking.gap for number in range(booking.count))
        self._free_at = booking.first + booking.count * booking.gap
        self.booked += booking.count
        self._arm(self._clock.now())
        return booking

    async def _nap(self, seconds: float, level: Priority) -> None:
        """Wait before the next request to the book; an interactive call ends a wait for bulk work."""
        woken = asyncio.get_running_loop().create_future()
        self._napping = woken if level is Priority.BULK else None
        timer = self._clock.call_later(max(0.001, seconds), functools.partial(_wake, woken))
        try:
            await woken
        finally:
            timer.cancel()
            self._napping = None

    async def _lost(self, error: DatabaseUnavailableError) -> None:
        """Handle an unreachable book: send nothing, or with `fallback` a fraction of the quota."""
        if self._away is None:
            share = None if self._share is None else self._share.configured
            then = "nothing is sent" if share is None else f"this process sends {share:g} calls a second"
            log.warning("%s; until it is reachable, %s", error, then)
        self._away = error
        if self._share is None:
            # With jitter, or all processes would ask at once.
            await self._timers.sleep(self._pause_of_tries * (0.5 + self._clock.random() / 2))
            self._pause_of_tries = min(AWAY_SECONDS[1], 2 * self._pause_of_tries)
        elif not self._returning:
            # The book's slots count for one window; permits given without it count afterwards.
            self._returning = True
            await self._timers.sleep(max(0.0, self._last + self._span - self._clock.now()))

    async def _go_alone(self, share: Limiter) -> None:
        """Give this process's fraction of the permits until the book is reachable or no call waits."""
        trying: asyncio.Task[object] = asyncio.ensure_future(self._try_again())
        permit: asyncio.Task[float] | None = None
        try:
            while self._queue.waiting():
                permit = asyncio.ensure_future(share.acquire())
                await asyncio.wait((trying, permit), return_when=asyncio.FIRST_COMPLETED)
                if permit.done():
                    self._last = self._clock.now()
                    granted = self._queue.grant_next(self._last)
                    self.permits += granted
                    self.alone += granted
                if trying.done():
                    trying.result()
                    return
        finally:
            trying.cancel()
            if permit is not None:
                permit.cancel()

    async def _try_again(self) -> None:
        """Seconds between two attempts: shorter than a window.

        Otherwise others use the whole quota again while this process still uses its fraction.
        """
        await self._timers.sleep(self._span / 2)
        await self._book_slots(1, 0.0)


def shared_limiter_of(credentials: Credentials, settings: Settings) -> SharedLimiter:
    """Return this account's limiter in `Settings.shared`: one for each key, or for each of its users."""
    url, clock = settings.shared, settings.clock
    assert url is not None
    assert settings.rate is not None, "the settings refuse it"
    if url.tls != "verify-full" and not url.local:
        tell(
            f"the shared database {url}: sslmode={url.tls} does not verify the server; use "
            "sslmode=verify-full"
        )
    database = Database(url, clock)
    book = QuotaBook(database, quota_name(credentials, settings), clock)
    return SharedLimiter(book, settings.rate, clock, fallback=settings.shared_fallback)


def quota_name(credentials: Credentials, settings: Settings) -> str:
    """The name of a quota in the database: the vendor, and a hash that does not reveal the key."""
    whose = credentials.access_key
    if settings.vendor.quota_scope == "user":
        whose = f"{whose}\n{credentials.user_id}"
    vendor = vendor_of(settings.vendor_id, settings.base_url)
    return f"{vendor} {hashlib.sha256(whose.encode()).hexdigest()[:16]}"


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
