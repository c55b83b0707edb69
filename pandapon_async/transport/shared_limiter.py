"""One quota for many processes and machines: permits are slots that a shared book gives ahead of time.

Asking a store for each permit costs a round trip per call, and asking only whether one more fits, as most
limiters with a store do, makes processes poll: a burst of pollers exceeds the rate. So a process books as
many slots as it has callers waiting, an even gap apart and at most 0.1 s ahead, with one question, and its
own timer gives them out. A slot that comes up late is thrown away and never used late, so whatever stalls,
the server sees no more than the rate. What a process booked and did not use is lost: 0.1 s of the quota.

Calls for people book up to 0.1 s ahead, bulk work only half of that: there is always a slot that bulk work of
another process has not booked yet.
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
from pandapon_async.core.vendor import vendor_id
from pandapon_async.environment import tell
from pandapon_async.errors import DeadlineExceededError, NotSentError, PandaponError
from pandapon_async.settings import Credentials, Settings
from pandapon_async.shared.database import Database, DatabaseUnavailableError
from pandapon_async.shared.quota import Booking, QuotaBook, SlotBook
from pandapon_async.transport.rate_limiter import Limiter
from pandapon_async.transport.wait_queue import CancellableTimers, Priority, current_priority, too_late

__all__ = ["SharedLimiter", "quota_name", "shared_limiter_of"]

LEASE: Final = {Priority.INTERACTIVE: 0.1, Priority.BULK: 0.05}
"""How far ahead slots are booked, in seconds."""
GRACE: Final = 0.012
"""Seconds that a slot may come up late; the window's margin covers 0.02."""
ON_THE_WIRE: Final = 0.017
"""Seconds after its slot at which a request may still begin to leave."""
AWAY_SECONDS: Final = (0.05, 0.5)
"""The shortest and the longest pause between two tries to reach a book that is away."""

log: Final = logging.getLogger("pandapon_async")


class SharedLimiter(Limiter):
    """A quota whose slots are booked in a book that other processes use, too.

    Args:
        book: The book; closed with this limiter.
        rate: Calls per second of the whole quota. Where processes say different ones, the lowest holds.
        clock: Time and timers.
        fallback: The part of the rate that this process sends at by itself while the book is away; None
            sends nothing then.
    """

    permits: int

    def __init__(
        self, book: SlotBook, rate: float, clock: Clock | None = None, *, fallback: float | None = None
    ) -> None:
        super().__init__(None, clock, None)  # unlimited: our queue and our pause, the book's pace
        self.configured: float | None = rate
        self.booked: int = 0
        """Slots that were booked."""
        self.late: int = 0
        """Slots that came up too late to be used, or that nobody wanted any more."""
        self.questions: int = 0
        """How often the book was asked."""
        self.alone: int = 0
        """Permits that were given without the book."""
        self._book = book
        self._timers = CancellableTimers(self._clock)
        self._span, _, self._own_gap = spacing(rate)
        self._gap = self._own_gap
        self._slots: deque[float] = deque()
        self._free_at = -math.inf  # what the book said of the first slot that it had not given
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
        """Wait for a slot; see `Limiter.acquire`. Raises ConfigurationError if the book cannot be used."""
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
            # A moment before the call ends, so the error can say what it was waiting for.
            return await self._queue.join(deadline - min(0.01, left / 10), self._pass_on, first=first)
        except DeadlineExceededError:
            if self._away is None:
                raise
            why = self._away
        raise DeadlineExceededError(f"the quota is shared, and {why}; nothing was sent")

    def is_stale(self, permit: float, now: float) -> bool:
        """Whether a permit is too old to be used: its place in the book is fixed."""
        return now - permit > ON_THE_WIRE

    def unused(self, permit: float) -> None:
        """The permit is lost: nobody can be sent in its place any more."""

    def used_late(self, permit: float, now: float) -> None:
        """By less than the window's margin; the book needs not know."""

    def expected(self, before: int = 0, *, first: bool = False) -> float:
        """When a newcomer can count on a permit; see `Limiter.expected`."""
        now = self._clock.now()
        ahead = self._queue.ahead(first=first) + before
        paused = self._window.paused_until
        if ahead < len(self._slots):
            return max(now, self._slots[ahead], paused)
        after = self._slots[-1] + self._gap if self._slots else -math.inf
        return max(now, after, paused, self._free_at) + (ahead - len(self._slots)) * self._gap

    def pause(self, seconds: float) -> None:
        """The server pushed back: nobody gets a permit for so long, in no process."""
        self._pause_until(self._clock.now() + seconds)
        task = asyncio.ensure_future(self._tell_pause(seconds))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    def throttled(self, seconds: float, sent: float) -> bool:
        """A call was refused for pace: all pause. The rate stays as it is."""
        self.pause(seconds)
        return False

    async def aclose(self) -> None:
        """End what goes on in the background, and give the book back."""
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
            log.warning("a pause could not be told to the other processes: %s", error)

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
        """Give out the slots that are due."""
        self._timer = None
        now = self._clock.now()
        while self._queue.waiting() and (slot := self._take(now)) is not None:
            self._queue.grant_next(slot)
            self.permits += 1
        if self._queue.waiting():
            self._arm(now)

    async def _ask(self) -> None:
        """Keep slots coming while somebody waits."""
        await asyncio.sleep(0)  # who made this task joins the queue first, and with it all who came at once
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
                except Exception as failure:  # else all would wait for a task that has ended
                    self._fail_all(NotSentError, f"the shared quota failed: {where_raised(failure)}")
        finally:
            self._asking = None

    def _fail_all(self, kind: type[PandaponError], text: str) -> None:
        while self._queue.waiting():
            self._queue.fail_next(kind(f"{text}; nothing was sent"))

    async def _refill(self) -> None:
        """Ask the book once, or wait until there is something to ask for."""
        urgent, now = self._queue.waiting_at(Priority.INTERACTIVE), self._clock.now()
        level = Priority.INTERACTIVE if urgent else Priority.BULK
        ahead = LEASE[level]
        wanted = (urgent or len(self._queue)) - len(self._slots)
        booked_until = self._slots[-1] if self._slots else now
        if wanted < 1 or booked_until - now > ahead / 2:
            await self._nap(booked_until - now - ahead / 2, level)
            return
        booking = await self._book_slots(min(wanted, int(ahead / self._gap) + 1), ahead)
        if booking.count == 0:  # all that may be booked is; when there is room again, for several
            await self._nap(self._free_at - self._clock.now() - ahead + ahead / 5, level)

    async def _book_slots(self, wanted: int, ahead: float) -> Booking:
        self.questions += 1
        booking = await self._book.book(
            wanted, gap=self._own_gap, span=self._span, ahead=ahead, returning=self._returning
        )
        if self._away is not None:
            log.warning("the shared quota is back")
        self._away, self._returning, self._pause_of_tries = None, False, AWAY_SECONDS[0]
        if booking.gap != self._gap:
            self._gap = booking.gap
            if self._gap > self._own_gap:
                log.warning(
                    "another process shares this quota at %.3g calls a second: that holds, not %.3g",
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
        """Wait before the next question; the first call for a person ends a wait that was for bulk work."""
        woken = asyncio.get_running_loop().create_future()
        self._napping = woken if level is Priority.BULK else None
        timer = self._clock.call_later(max(0.001, seconds), functools.partial(_wake, woken))
        try:
            await woken
        finally:
            timer.cancel()
            self._napping = None

    async def _lost(self, error: DatabaseUnavailableError) -> None:
        """The book is away: nothing is sent, or with `fallback` a share of the quota."""
        if self._away is None:
            share = None if self._share is None else self._share.configured
            then = "nothing is sent" if share is None else f"this process sends {share:g} a second by itself"
            log.warning("%s; until it is back, %s", error, then)
        self._away = error
        if self._share is None:
            # Spread, or all processes ask at once whether it is back.
            await self._timers.sleep(self._pause_of_tries * (0.5 + self._clock.random() / 2))
            self._pause_of_tries = min(AWAY_SECONDS[1], 2 * self._pause_of_tries)
        elif not self._returning:
            # What the book gave counts for a window; what is given without it will count afterwards.
            self._returning = True
            await self._timers.sleep(max(0.0, self._last + self._span - self._clock.now()))

    async def _go_alone(self, share: Limiter) -> None:
        """Give out this process's share, until the book is back or nobody waits."""
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
        """Sooner than a window ends: else others have the whole quota again while this one goes alone."""
        await self._timers.sleep(self._span / 2)
        await self._book_slots(1, 0.0)


def shared_limiter_of(credentials: Credentials, settings: Settings) -> SharedLimiter:
    """The quota that `Settings.shared` keeps for this account: one for a key, or one for each user of it."""
    url, clock = settings.shared, settings.clock
    assert url is not None
    assert settings.rate is not None, "the settings refuse it"
    if url.tls != "verify-full" and not url.local:
        tell(f"the shared database {url}: sslmode={url.tls} does not prove which server answers")
    database = Database(url, clock)
    book = QuotaBook(database, quota_name(credentials, settings), clock)
    return SharedLimiter(book, settings.rate, clock, fallback=settings.shared_fallback)


def quota_name(credentials: Credentials, settings: Settings) -> str:
    """What a quota is called in the database: the vendor, and a hash that does not tell the key."""
    whose = credentials.access_key
    if settings.vendor.quota_scope == "user":
        whose = f"{whose}\n{credentials.user_id}"
    vendor = settings.vendor_id or vendor_id(settings.base_url)
    return f"{vendor} {hashlib.sha256(whose.encode()).hexdigest()[:16]}"


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
