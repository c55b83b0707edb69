"""Permits for the quota, and slots for requests in flight.

A free permit is given without a task switch; otherwise the call joins a queue that one timer serves. The
queue skips a cancelled waiter, so no permit is lost.
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
    """A limiter for one quota: at most `rate` calls in any second. Share it between clients of one account.

    With `rate=None` there is no limit. `adaptive` sets how far a throttle lowers the rate and for how long;
    with None, or without a limit, a throttle only pauses.
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
        """The configured rate in calls per second; None for no limit."""
        self.permits: int = 0
        """The number of permits given so far."""
        self.paused_seconds: float = 0.0
        """Seconds for which throttles paused all callers."""
        self.slowed: int = 0
        """How often a throttle lowered the rate."""

    @property
    def rate(self) -> float | None:
        """Calls per second that are allowed now: `configured`, or less for a while after a throttle."""
        return None if self._unlimited else self._window.rate_at(self._clock.now())

    @property
    def waiting(self) -> int:
        """How many calls wait for a permit."""
        return len(self._queue)

    async def acquire(self, deadline: float = math.inf, *, first: bool = False) -> float:
        """Wait for a permit; returns the time (in `Clock.now` seconds) from which it counts.

        `first` puts the caller before all others of its priority, for a caller that had a permit already.
        Raises DeadlineExceededError at once if its turn would come after `deadline` (in `Clock.now` seconds).
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
        """Whether a permit of that time is too old to use `now` and must be exchanged."""
        age = now - permit
        return age > OLDEST_PERMIT and age > 1 / (self.rate or math.inf)

    def unused(self, permit: float) -> None:
        """Return the permit of this time, which became too old before anything was sent."""
        if not self._unlimited:
            self._window.forget(permit)

    def used_late(self, permit: float, now: float) -> None:
        """Count the permit of this time from `now`, when the server sees the request."""
        if not self._unlimited:
            self._window.move(permit, now)

    def expected(self, before: int = 0, *, first: bool = False) -> float:
        """The expected time of a new caller's permit, with `before` more callers that are not queued yet."""
        if self._unlimited:
            return self._window.paused_until
        return self._window.expected(self._clock.now(), self._queue.ahead(first=first) + before)

    def pause(self, seconds: float) -> None:
        """Give no permit for this many seconds after a throttle. The longest pause counts."""
        now = self._clock.now()
        until = now + seconds
        self.paused_seconds += max(0.0, until - max(now, self._window.paused_until))
        self._window.pause_until(until)
        self._queue.fail_later_than(until)

    def throttled(self, seconds: float, sent: float) -> bool:
        """Pause and lower the rate after the throttle of a call sent at `sent` (in `Clock.now` seconds).

        All callers wait for `seconds` and then continue at a lower rate. The throttles of one burst count
        once: calls sent before the first throttle was noticed lower nothing. Returns whether the rate
        dropped.
        """
        self.pause(seconds)
        if self._unlimited or not self._window.throttled(self._clock.now(), sent):
            return False
        self.slowed += 1
        return True

    def close(self, owner: object) -> None:
        """Called when a client asks for no more permits; its waiters have left the queue already."""

    async def aclose(self) -> None:
        """Release resources outside this process; this limiter has none."""

    def _pass_on(self) -> None:
        """If a waiter is cancelled just as it gets its permit, the permit goes to the next waiter."""
        self._queue.grant_next(self._clock.now())

    def _bind(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._timer is not None and self._loop is not None and not self._loop.is_closed():
                raise ConfigurationError(
                    "this limiter has waiters in another event loop; create one limiter per loop"
                )
            self._loop, self._timer = loop, None

    def _schedule(self, now: float) -> None:
        due = self._window.paused_until if self._unlimited else self._window.next_at(now)
        self._timer = self._clock.call_later(max(0.0, due - now), self._serve)

    def _serve(self) -> None:
        """Give the permits that are due, then sleep until the next one."""
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
    """Limits how many requests one client has in flight at once.

    Waiting for a slot does not use up the time of the request.
    """

    def __init__(self, count: int, clock: Clock) -> None:
        self._clock = clock
        self._queue = WaitQueue(clock)
        self.free: int = count

    def ahead(self) -> int:
        """How many waiters would get a slot before a new caller of the current priority."""
        return self._queue.ahead()

    def take_free(self) -> bool:
        """Take a slot if one is free."""
        if self.free > 0:
            self.free -= 1
            return True
        return False

    async def acquire(self, deadline: float) -> None:
        """Wait for a slot. Raises DeadlineExceededError at the deadline (in `Clock.now` seconds)."""
        if not self.take_free():
            await self._queue.join(deadline, self.release)

    def release(self) -> None:
        """Pass the slot to the next waiter, or keep it for a later caller."""
        if not self._queue.joined or not self._queue.grant_next(self._clock.now()):
            self.free += 1
