"""Permits for the quota and slots for requests under way.

A permit that is free is given without a task switch; otherwise the call joins a queue that one
timer serves. A cancelled waiter costs nobody anything: the queue skips it.
"""

from __future__ import annotations

import asyncio
import math

from pandapon_async.clock import Clock
from pandapon_async.core.adaptive import AdaptiveRate
from pandapon_async.core.rate import SlidingWindow
from pandapon_async.errors import ConfigurationError
from pandapon_async.transport.wait_queue import WaitQueue, too_late

__all__ = ["ConcurrencyLimiter", "Limiter"]

ADAPTIVE = AdaptiveRate()
OLDEST_PERMIT = 0.05
"""Seconds, or the gap between two permits if that is longer: an older permit is exchanged."""


class Limiter:
    """One quota: `rate` calls in any second, None for no limit. Share it between clients of one account.

    `adaptive` says how far a throttle takes the rate down and for how long; with None a throttle only pauses,
    as it does without a limit.
    """

    def __init__(
        self, rate: float | None, clock: Clock | None = None, adaptive: AdaptiveRate | None = ADAPTIVE
    ) -> None:
        if rate is not None and not 0 < rate < math.inf:
            raise ConfigurationError("rate must be calls per second above 0, or None for no limit")
        self._clock = clock or Clock()
        self._unlimited = rate is None
        self._window = SlidingWindow(rate if rate is not None else 1.0, adaptive=adaptive)
        self._queue = WaitQueue(self._clock)
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.configured: float | None = rate
        """The rate it was made with, in calls per second; None for no limit."""
        self.permits: int = 0
        """How many permits it gave."""
        self.paused_seconds: float = 0.0
        """How long the server's own wishes held all callers, in seconds."""
        self.slowed: int = 0
        """How often a throttle took the rate down."""

    @property
    def rate(self) -> float | None:
        """Calls per second that are allowed now: `configured`, or less for a while after a throttle."""
        return None if self._unlimited else self._window.rate_at(self._clock.now())

    @property
    def waiting(self) -> int:
        """How many calls wait for a permit."""
        return len(self._queue)

    async def acquire(self, deadline: float = math.inf, *, first: bool = False) -> float:
        """Wait for a permit; gives the moment (in `Clock.now` seconds) from which it counts.

        `first` goes before all others of the same priority, for who had a permit already. Raises
        DeadlineExceededError at once if the turn would come after `deadline` (in `Clock.now` seconds).
        """
        now = self._clock.now()
        queue, window = self._queue, self._window
        if (not queue.joined or not queue.waiting()) and (
            window.paused_until <= now if self._unlimited else window.take_free(now)
        ):
            self.permits += 1
            return now
        if self.expected(first=first) > deadline:
            raise too_late()
        self._bind()
        if self._timer is None:
            self._schedule(now)
        return await queue.join(deadline, self._pass_on, first=first)

    def is_stale(self, permit: float, now: float) -> bool:
        """Whether a permit of that moment is too old to be used `now`: another is asked for instead."""
        age = now - permit
        return age > OLDEST_PERMIT and age > 1 / (self.rate or math.inf)

    def unused(self, permit: float) -> None:
        """Give back the permit of this moment: nothing was sent with it, and it was too old to be used."""
        if not self._unlimited:
            self._window.forget(permit)

    def used_late(self, permit: float, now: float) -> None:
        """The permit of this moment was used only `now`: that is when the server sees the request."""
        if not self._unlimited:
            self._window.move(permit, now)

    def expected(self, before: int = 0, *, first: bool = False) -> float:
        """When a newcomer can count on a permit, with so many `before` it that are not queued yet."""
        if self._unlimited:
            return self._window.paused_until
        return self._window.expected(self._clock.now(), self._queue.ahead(first=first) + before)

    def pause(self, seconds: float) -> None:
        """The server pushed back: nobody gets a permit for so long. Longer pauses win over shorter ones."""
        now = self._clock.now()
        until = now + seconds
        self.paused_seconds += max(0.0, until - max(now, self._window.paused_until))
        self._window.pause_until(until)
        self._queue.fail_later_than(until)

    def throttled(self, seconds: float, sent: float) -> bool:
        """A call that went out at `sent` (in `Clock.now` seconds) was refused for pace: pause, and slow down.

        Everybody waits for so many `seconds`, and goes on at a lower rate. The refusals of one burst count
        once: what went out before the first of them came back says nothing more. Gives whether the rate
        went down.
        """
        self.pause(seconds)
        if self._unlimited or not self._window.throttled(self._clock.now(), sent):
            return False
        self.slowed += 1
        return True

    def close(self, owner: object) -> None:
        """This client asks for no more permits; its waiters have left the queue by themselves."""

    async def aclose(self) -> None:
        """Give back what it holds outside of this process: nothing."""

    def _pass_on(self) -> None:
        """If a waiter is cancelled just as it gets its permit, the permit goes to the next waiter."""
        self._queue.grant_next(self._clock.now())

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._timer is not None and self._loop is not None and not self._loop.is_closed():
                raise ConfigurationError("this limiter has waiters in another event loop; use one per loop")
            self._loop, self._timer = loop, None

    def _schedule(self, now: float) -> None:
        due = self._window.paused_until if self._unlimited else self._window.next_at(now)
        self._timer = self._clock.call_later(max(0.0, due - now), self._serve)

    def _serve(self) -> None:
        """Give out what is due, then sleep until the next one is."""
        self._timer = None
        now = self._clock.now()
        window, queue = self._window, self._queue
        while (window.paused_until if self._unlimited else window.next_at(now)) <= now:
            if not queue.grant_next(now):
                return
            self.permits += 1
            if not self._unlimited:
                window.take(now)
        if queue.waiting():
            self._schedule(now)


class ConcurrencyLimiter:
    """How many requests one client may have under way at once.

    Waiting for a slot never eats the request's own time.
    """

    def __init__(self, count: int, clock: Clock) -> None:
        self._clock = clock
        self._queue = WaitQueue(clock)
        self.free: int = count

    def ahead(self) -> int:
        """How many would get a slot before a newcomer of the current priority."""
        return self._queue.ahead()

    async def acquire(self, deadline: float) -> None:
        """Wait for a slot. Raises DeadlineExceededError at the deadline (in `Clock.now` seconds)."""
        if self.free > 0:
            self.free -= 1
            return
        await self._queue.join(deadline, self.release)

    def release(self) -> None:
        """Hand the slot to the next in the queue, or keep it for a newcomer."""
        if not self._queue.joined or not self._queue.grant_next(self._clock.now()):
            self.free += 1
