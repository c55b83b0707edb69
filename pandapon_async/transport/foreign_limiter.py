"""A limiter that the user passes: our queue in front of it, its rate behind.

A limiter such as `aiolimiter.AsyncLimiter` only decides when the next request may go. It does not know that a
call has a deadline, that interactive calls go before a nightly job, that the server asked all callers to
wait, or that the client is closing. So all calls wait in our queue. One task asks the limiter for one permit
at a time and gives it to the call that is then first in the queue. The task exists only while calls wait.
"""

from __future__ import annotations

import asyncio
import logging
import math
import weakref
from collections.abc import Callable
from typing import Any, Final

from pandapon_async.clock import Clock
from pandapon_async.core.options import where_raised
from pandapon_async.core.rate_limiter import RateLimiter, optional_method
from pandapon_async.errors import ConfigurationError, NotSentError
from pandapon_async.settings import Settings
from pandapon_async.transport.rate_limiter import Limiter
from pandapon_async.transport.wait_queue import CancellableTimers, too_late

__all__ = ["front_of", "limiter_of"]

log: Final = logging.getLogger("pandapon_async")


class ForeignLimiter(Limiter):
    """Our limiter's interface on top of the user's limiter."""

    permits: int
    slowed: int

    def __init__(self, limiter: RateLimiter, clock: Clock) -> None:
        super().__init__(None, clock, None)  # unlimited: our queue and our pause, their rate
        self._theirs = limiter
        self._asking: asyncio.Task[None] | None = None
        self._timers = CancellableTimers(self._clock)
        self._expected = optional_method(limiter, "expected")
        self._pause = optional_method(limiter, "pause", 0.0)
        self._throttled = optional_method(limiter, "throttled", 0.0, 0.0)
        self._close = optional_method(limiter, "close", self)
        self._has_rate = hasattr(limiter, "rate")
        self.configured: float | None = self.rate

    @property
    def rate(self) -> float | None:
        """Calls per second, if the limiter reports a number above 0."""
        rate = self._tell(lambda: getattr(self._theirs, "rate", None)) if self._has_rate else None
        number = isinstance(rate, int | float) and not isinstance(rate, bool) and 0 < rate < math.inf
        return rate if number else None

    async def acquire(self, deadline: float = math.inf, *, first: bool = False) -> float:
        """Wait for a permit; see `Limiter.acquire`. Raises NotSentError if the limiter fails."""
        if self.expected(first=first) > deadline:
            raise too_late()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            if self._asking is not None and self._loop is not None and not self._loop.is_closed():
                raise ConfigurationError(
                    "this limiter has waiters in another event loop; create one limiter per loop"
                )
            self._loop, self._asking = loop, None
        if self._asking is None or self._asking.done():
            self._asking = loop.create_task(self._serve_queue())
        try:
            return await self._queue.join(deadline, self._pass_on, first=first)
        finally:
            if not self._queue.joined:  # no waiter is left
                self._stop()

    def expected(self, before: int = 0, *, first: bool = False) -> float:
        """The expected time of a new caller's permit, or now if the limiter does not report it."""
        own = super().expected()
        theirs = self._tell(self._expected) if self._expected is not None else None
        if not isinstance(theirs, int | float):
            return own
        rate = self.rate
        ahead = 0.0 if rate is None else (self._queue.ahead(first=first) + before) / rate
        return max(own, theirs + ahead)

    def pause(self, seconds: float) -> None:
        """Give no permit for this many seconds after a throttle, and pass the pause to the limiter."""
        super().pause(seconds)
        if self._pause is not None:
            self._tell(self._pause, seconds)

    def throttled(self, seconds: float, sent: float) -> bool:
        """Record a throttle; see `Limiter.throttled`. Only the limiter itself can lower its rate."""
        if self._throttled is None:
            self.pause(seconds)
            return False
        super().pause(seconds)
        slowed = self._tell(self._throttled, seconds, sent) is True
        self.slowed += slowed
        return slowed

    def close(self, owner: object) -> None:
        """Report to the limiter that this client asks for no more permits."""
        if self._close is not None:
            self._tell(self._close, owner)

    def _tell(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call an optional method of the limiter; its failure must not hide the outcome of a request."""
        try:
            return function(*arguments)
        except Exception as failure:
            log.error("the limiter failed: %s", where_raised(failure))
            return None

    def _stop(self) -> None:
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None

    async def _serve_queue(self) -> None:
        """Ask for one permit after another while calls wait."""
        await asyncio.sleep(0)  # the creator of this task joins the queue first, however tasks start
        queue, clock, me = self._queue, self._clock, asyncio.current_task()
        assert me is not None
        while queue.waiting() and self._asking is me:
            pause = self._window.paused_until - clock.now()
            if pause > 0:
                await self._timers.sleep(pause)
                continue
            try:
                await self._theirs.acquire()
            except (Exception, asyncio.CancelledError) as failure:
                if me.cancelling():
                    raise
                queue.fail_next(
                    NotSentError(f"the limiter failed ({where_raised(failure)}); nothing was sent")
                )
                await asyncio.sleep(0)
                continue
            now = clock.now()
            # A permit that arrives during a pause is not used: it would be too old afterwards.
            if self._window.paused_until <= now and queue.grant_next(now):
                self.permits += 1
        if self._asking is me:
            self._asking = None


_fronts: Final[weakref.WeakValueDictionary[int, ForeignLimiter]] = weakref.WeakValueDictionary()


def limiter_of(settings: Settings) -> Limiter:
    """Return the limiter of a client with these settings."""
    if settings.limiter is None:
        return Limiter(settings.rate, settings.clock, settings.adaptive_rate)
    return front_of(settings.limiter, settings.clock)


def front_of(limiter: RateLimiter, clock: Clock) -> Limiter:
    """Return the queue in front of a limiter; clients with the same limiter share it."""
    if isinstance(limiter, Limiter):
        return limiter
    front = _fronts.get(id(limiter))  # it holds the limiter, so the id stays unique
    if front is None:
        front = _fronts[id(limiter)] = ForeignLimiter(limiter, clock)
    return front
