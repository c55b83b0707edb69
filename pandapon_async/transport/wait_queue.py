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

SPARE = 32  # entries of departed callers that a queue may hold beyond the number of waiters


class Priority(enum.IntEnum):
    """The priority of a call; within one priority the order of arrival counts."""

    INTERACTIVE = 0
    """Goes first, because a person waits for it. The default."""
    BULK = 1
    """Goes behind all interactive calls; `bulk` and the jobs use it."""
    BACKGROUND = 2
    """Goes behind all others; `follow` uses it. In a shared quota it counts as bulk."""


_current: contextvars.ContextVar[Priority] = contextvars.ContextVar(
    "pandapon_priority", default=Priority.INTERACTIVE
)


@contextlib.contextmanager
def priority(level: Priority) -> Iterator[None]:
    """Make all calls inside the block wait in this priority."""
    token = _current.set(level)
    try:
        yield
    finally:
        _current.reset(token)


def current_priority() -> Priority:
    """The priority of a call that begins here."""
    return _current.get()


@attrs.define(eq=False)
class Waiter:
    """A waiting call. The queue skips one that was granted, failed or cancelled."""

    future: asyncio.Future[float] | None
    deadline: float

    @property
    def waits(self) -> bool:
        """Whether the call still waits."""
        return self.future is not None and not self.future.done()

    def grant(self, now: float) -> None:
        """Grant the call its turn."""
        if self.future is not None and not self.future.done():
            self.future.set_result(now)

    def fail(self, error: PandaponError) -> None:
        """End the wait with an error."""
        if self.future is not None and not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        """Called when the deadline passes first."""
        self.fail(too_late())


class WaitQueue:
    """The waiting calls, by priority. Joining, leaving and taking the first have constant cost."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Two queues for each priority: callers with `first`, then the others.
        self._queues: tuple[deque[Waiter], ...] = tuple(deque() for _ in range(2 * len(Priority)))
        self._live = [0] * len(self._queues)
        self.joined: int = 0  # waiters still inside `join`, including those already woken
        self._soonest = math.inf  # no waiter's deadline is before this time

    def __len__(self) -> int:
        return self.joined

    def ahead(self, *, first: bool = False) -> int:
        """How many waiters would be served before a new caller of the current priority."""
        return sum(self._live[: _level(first) + 1]) if self.joined else 0

    def waiting_at(self, level: Priority) -> int:
        """How many calls wait in this priority."""
        return self._live[2 * level] + self._live[2 * level + 1]

    async def join(self, deadline: float, unused: Callable[[], None], *, first: bool = False) -> float:
        """Wait until granted; returns the time of that. Leaves no trace when cancelled.

        `first` goes before the others of the current priority. `unused` is called if the waiter was cancelled
        just as it was granted.
        """
        level = _level(first)
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        waiter = Waiter(future, deadline)
        self._queues[level].append(waiter)
        self._live[level] += 1
        self.joined += 1
        if deadline < self._soonest:
            self._soonest = deadline
        # A pause may be long, so each waiter watches its own deadline.
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
            waiter.future = (
                None  # it may stay queued for a while, and an error in it would keep the whole call alive
            )
            del future  # and here it would be a cycle, because the error references this frame
            self._tidy(level)

    def grant_next(self, now: float) -> bool:
        """Grant the first waiter whose deadline has not passed; return False if none is left."""
        for queue in self._queues:
            while queue:
                waiter = queue.popleft()
                if waiter.waits and waiter.deadline >= now:
                    waiter.grant(now)
                    return True
                waiter.expire()
        return False

    def fail_next(self, error: PandaponError) -> None:
        """Fail the first waiter."""
        if self.waiting():
            next(filter(None, self._queues)).popleft().fail(error)

    def waiting(self) -> bool:
        """Whether any call waits; drops departed callers from the heads of the queues."""
        for queue in self._queues:
            while queue and not queue[0].waits:
                queue.popleft()
            if queue:
                return True
        return False

    def fail_later_than(self, moment: float) -> None:
        """Fail at once every waiter whose deadline is before this time: its wait would be useless.

        Every throttle of a burst calls this; only one that affects a waiter searches the queue.
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
        """Drop departed callers from the middle of the queue before they outnumber the waiters."""
        queue = self._queues[level]
        if len(queue) > 2 * self._live[level] + SPARE:
            waiting = [waiter for waiter in queue if waiter.waits]
            queue.clear()
            queue.extend(waiting)


def _level(first: bool) -> int:
    return 2 * _current.get() + (not first)


class CancellableTimers:
    """Timers of one client's calls; closing the client ends them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._futures: set[asyncio.Future[None]] = set()
        self._closed = False

    async def sleep(self, seconds: float) -> None:
        """Wait; raises NotSentError if the client is or gets closed."""
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
            del future  # avoids a cycle: an exception in it references this frame

    def fail_all(self) -> None:
        """End all waits, because the client closes."""
        self._closed = True
        for future in self._futures:
            if not future.done():
                future.set_exception(closed())


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def too_late() -> DeadlineExceededError:
    """Return the error of a wait that would cross the deadline."""
    return DeadlineExceededError("the call's turn would come after its deadline; nothing was sent")


def closed() -> NotSentError:
    """Return the error of a call that waited when the client was closed."""
    return NotSentError("the client was closed; nothing was sent", retryable=False)
