"""A queue of waiting calls: first come first served within a priority, safe to cancel anywhere."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import enum
import functools
import math
from collections import deque
from collections.abc import Callable, Iterator

import attrs

from pandapon_async.clock import Clock
from pandapon_async.errors import DeadlineExceededError, NotSentError, PandaponError

__all__ = ["CancellableTimers", "Priority", "WaitQueue", "Waiter", "current_priority", "priority"]

SPARE = 32  # places in a queue that those who left may hold, beyond as many as are waiting


class Priority(enum.IntEnum):
    """Who goes first; within one priority the order of arrival counts."""

    INTERACTIVE = 0
    """Goes first: a person waits for it. The default."""
    BULK = 1
    """Goes behind all interactive calls; `bulk` and the jobs use it."""
    BACKGROUND = 2
    """Goes behind all others; `follow` uses it. In a shared quota it counts as bulk."""


_current: contextvars.ContextVar[Priority] = contextvars.ContextVar(
    "pandapon_priority", default=Priority.INTERACTIVE
)


@contextlib.contextmanager
def priority(level: Priority) -> Iterator[None]:
    """All calls inside wait in this priority."""
    token = _current.set(level)
    try:
        yield
    finally:
        _current.reset(token)


def current_priority() -> Priority:
    """The priority in which a call waits that begins here."""
    return _current.get()


@attrs.define(eq=False)
class Waiter:
    """One waiting call. One that was granted, failed or cancelled is skipped when its turn comes."""

    future: asyncio.Future[float] | None
    deadline: float

    @property
    def waits(self) -> bool:
        """Whether it still waits."""
        return self.future is not None and not self.future.done()

    def grant(self, now: float) -> None:
        """Its turn has come."""
        if self.future is not None and not self.future.done():
            self.future.set_result(now)

    def fail(self, error: PandaponError) -> None:
        """Its turn will not come."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        """The deadline came first."""
        self.fail(too_late())


class WaitQueue:
    """Who waits, by priority. Joining, leaving and taking the first cost the same whatever the length."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Two for each priority: those who go first in it, then the others.
        self._queues: tuple[deque[Waiter], ...] = tuple(deque() for _ in range(2 * len(Priority)))
        self._live = [0] * len(self._queues)
        self.joined: int = 0  # waiters still inside `join`, including those already woken
        self._soonest = math.inf  # no waiter's deadline is before this moment

    def __len__(self) -> int:
        return self.joined

    def ahead(self, *, first: bool = False) -> int:
        """How many would be served before a newcomer of the current priority."""
        return sum(self._live[: _level(first) + 1]) if self.joined else 0

    def waiting_at(self, level: Priority) -> int:
        """How many wait in this priority."""
        return self._live[2 * level] + self._live[2 * level + 1]

    async def join(self, deadline: float, unused: Callable[[], None], *, first: bool = False) -> float:
        """Wait until granted; gives the moment of that. Leaves no trace when cancelled.

        `first` goes before the others of the current priority. `unused` is called if the turn was granted in
        the very moment the waiter was cancelled.
        """
        level = _level(first)
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        waiter = Waiter(future, deadline)
        self._queues[level].append(waiter)
        self._live[level] += 1
        self.joined += 1
        if deadline < self._soonest:
            self._soonest = deadline
        # Nobody may be served for a long time, so each waiter watches its own deadline.
        timer = self._clock.call_later(max(0.0, deadline - self._clock.now()), waiter.expire)
        try:
            return await future
        except asyncio.CancelledError:
            if not future.cancelled() and future.exception() is None:
                unused()
            raise
        finally:
            timer.cancel()
            self._live[level] -= 1
            self.joined -= 1
            waiter.future = None  # it may stay queued for a while; an error in it would keep the whole call
            del future  # and here it would be a cycle, as the error knows this frame
            self._tidy(level)

    def grant_next(self, now: float) -> bool:
        """Let the first one go whose deadline has not passed; False if nobody is left."""
        for queue in self._queues:
            while queue:
                waiter = queue.popleft()
                if waiter.waits and waiter.deadline >= now:
                    waiter.grant(now)
                    return True
                waiter.expire()
        return False

    def fail_next(self, error: PandaponError) -> None:
        """Fail the first one that waits."""
        if self.waiting():
            next(filter(None, self._queues)).popleft().fail(error)

    def waiting(self) -> bool:
        """Whether anybody is waiting; drops those who left from the heads of the queues."""
        for queue in self._queues:
            while queue and not queue[0].waits:
                queue.popleft()
            if queue:
                return True
        return False

    def fail_later_than(self, moment: float) -> None:
        """Fail at once everybody whose deadline is before this moment: they would wait in vain.

        Every refusal of a burst asks for this; only one that concerns somebody looks through the queue.
        """
        if moment < self._soonest:
            return
        self._soonest = math.inf
        for queue in self._queues:
            for waiter in queue:
                if waiter.deadline <= moment:
                    waiter.expire()
                elif waiter.waits:
                    self._soonest = min(self._soonest, waiter.deadline)

    def _tidy(self, level: int) -> None:
        """Drop those who left from the middle of the queue before they outnumber those who wait."""
        queue = self._queues[level]
        if len(queue) > 2 * self._live[level] + SPARE:
            waiting = [waiter for waiter in queue if waiter.waits]
            queue.clear()
            queue.extend(waiting)


def _level(first: bool) -> int:
    return 2 * _current.get() + (not first)


class CancellableTimers:
    """Calls of one client that wait for a time to pass, and are woken when it closes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._futures: set[asyncio.Future[None]] = set()
        self._closed = False

    async def sleep(self, seconds: float) -> None:
        """Wait; raises NotSentError if the client is closed meanwhile, or was before."""
        if self._closed:
            raise closed()
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(seconds, functools.partial(_wake, future))
        self._futures.add(future)
        try:
            await future
        finally:
            timer.cancel()
            self._futures.discard(future)
            del future  # an exception in it knows this frame: no cycle

    def fail_all(self) -> None:
        """The client is closing."""
        self._closed = True
        for future in self._futures:
            if not future.done():
                future.set_exception(closed())


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def too_late() -> DeadlineExceededError:
    """The error of a wait that would cross the deadline."""
    return DeadlineExceededError("the call's turn would come after its deadline; nothing was sent")


def closed() -> NotSentError:
    """The error of a call that was waiting when the client was closed."""
    return NotSentError("the client was closed; nothing was sent", retryable=False)
