"""The calls in flight of a client: a time limit for each, and one end for all on closing.

A call may wait for a slot, a permit, the journal, a connection, an answer or a back-off. It always ends in
one way: its task leaves the block of its time limit at once. The error for the caller depends on one fact
alone: whether a byte of a request may have left this machine.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
from typing import Final

import attrs

from pandapon_async.clock import Clock, time_limit
from pandapon_async.errors import (
    Attempt,
    ConfigurationError,
    ConnectionLostError,
    DeadlineExceededError,
    NotSentError,
    Outcome,
    PandaponError,
)
from pandapon_async.events import CallEnded, CallStarted
from pandapon_async.journal.writes import Write

__all__ = ["CLOSING_SECONDS", "CallContext", "CallRegistry"]

CLOSING_SECONDS: Final = 2.0
"""Seconds that closing waits for all calls to end, their outcomes to be recorded and the journal to close."""

log: Final = logging.getLogger("pandapon_async")


@attrs.define(eq=False)
class CallContext:
    """The history of a call so far.

    `permit` is the time of the current attempt's permit, `on_wire` whether a byte of its request may have
    been written, `outcome` the outcome of all attempts that have ended.
    """

    limit: time_limit
    deadline: float
    started: float
    waited: float = 0.0
    pending: float = 0.0  # waits before the next attempt
    http_status: int = 0  # of the current attempt's answer
    error: PandaponError | None = None
    write: Write | None = None
    history: list[Attempt] = attrs.field(factory=list)
    permit: float = -math.inf
    on_wire: bool = False
    outcome: Outcome = Outcome.NOT_SENT
    closing: bool = False
    admitted: bool = False
    """Whether the current attempt has its permit and its sending is recorded."""
    sent: float | None = None
    """When its first byte was written (in `Clock.now` seconds)."""
    told: CallStarted = attrs.field(init=False)
    """The event object of the call; set only if there is an observer."""

    def begin_attempt(self) -> None:
        """Begin another attempt."""
        self.permit, self.sent, self.admitted, self.on_wire = -math.inf, None, False, False
        self.http_status = 0

    def ended(self, error: PandaponError | None) -> None:
        """Record the end of an attempt, with this error or None."""
        self.error, self.on_wire, self.admitted = error, False, False
        if error is None:
            self.outcome = Outcome.ANSWERED
        elif self.outcome is not Outcome.UNKNOWN and error.outcome is not Outcome.NOT_SENT:
            self.outcome = error.outcome

    def end(self, error: BaseException | None, request_id: str | None, now: float) -> CallEnded:
        """Return how the call ended, for the observer."""
        if error is None:
            outcome = "ok"
        elif isinstance(error, PandaponError):
            outcome = str(error.outcome)
        else:
            outcome = str(Outcome.UNKNOWN if self.on_wire else self.outcome)
        return CallEnded(
            outcome,
            None if error is None else type(error).__name__,
            now - self.started,
            self.waited,
            len(self.history),
            self.write.intent.id if self.write is not None and self.write.written else None,
            request_id,
        )

    def cut_off(self) -> PandaponError:
        """Return the error of a call that its deadline or the closing of its client ended."""
        outcome = Outcome.UNKNOWN if self.on_wire else self.outcome
        unsent = outcome is Outcome.NOT_SENT
        what = "nothing was sent" if unsent else "before the complete answer arrived"
        if not self.closing:
            late = DeadlineExceededError(f"the deadline passed{'; ' if unsent else ' '}{what}")
            late.outcome = outcome
            return late
        if unsent:
            return NotSentError(f"the client was closed; {what}", retryable=False)
        closed = ConnectionLostError(f"the client was closed {what}", retryable=False)
        closed.outcome = outcome
        return closed


@attrs.define(eq=False)
class CallRegistry:
    """All calls in flight of a client and its copies, and records of outcomes that outlive their calls."""

    clock: Clock
    closed: bool = False
    without_permit: int = 0
    """Calls that hold a slot and do not wait for a permit yet."""
    over_at: float = math.inf
    """The time at which closing stops waiting (in `Clock.now` seconds)."""
    _slow: bool = False  # whether slow recording has been reported
    _calls: set[CallContext] = attrs.field(factory=set)
    _notes: set[asyncio.Future[bool]] = attrs.field(factory=set)
    _idle: asyncio.Event | None = None
    # One timer for all deadlines: a timer for each call costs 3 % of the call and hardly ever fires.
    _timer: asyncio.TimerHandle | None = None
    _fires_at: float = math.inf

    def begin(self, timeout: float) -> CallContext:
        """Begin a call; `end` must follow. Raises ConfigurationError once the client is closed."""
        if self.closed:
            raise ConfigurationError("the client is closed; create a new one")
        started = self.clock.now()
        context = CallContext(time_limit(self.clock, None), started + timeout, started)
        self._calls.add(context)
        if context.deadline < self._fires_at:
            self._set_timer(context.deadline, started)
        return context

    def end(self, context: CallContext) -> None:
        """End a call."""
        self._calls.discard(context)
        if self.closed and not self._calls:
            self._set_timer(math.inf, 0.0)
            if self._idle is not None:
                self._idle.set()

    def _set_timer(self, deadline: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._fires_at = deadline
        if deadline < math.inf:
            self._timer = self.clock.call_later(max(0.0, deadline - now), self._end_late_calls)

    def _end_late_calls(self) -> None:
        now = self.clock.now()
        later = math.inf
        for context in self._calls:
            if context.deadline <= now:
                context.limit.end()
            elif context.deadline < later:
                later = context.deadline
        self._set_timer(later, now)

    async def wait_recorded(self, context: CallContext, recorded: asyncio.Future[bool] | None) -> None:
        """Wait for the record of a call's outcome until the deadline, after which recording continues."""
        if recorded is None:
            return
        self._notes.add(recorded)
        waiter = asyncio.get_running_loop().create_future()  # cancelled with the call; the record is not
        recorded.add_done_callback(functools.partial(self._recorded, waiter))
        left = min(context.deadline, self.over_at) - self.clock.now()
        # The timer of all calls still watches this one, unless its time is over or closing comes sooner.
        watched = left > 0 and context.deadline <= self.over_at
        context.limit = time_limit(self.clock, None if watched else left)
        try:
            with context.limit:
                await waiter
        except TimeoutError:
            if left > 0 and not context.closing and not self._slow:
                self._slow = True
                log.warning(
                    "the journal is slow: the outcome of a write is recorded after its call has ended"
                )

    def _recorded(self, waiter: asyncio.Future[None], recorded: asyncio.Future[bool]) -> None:
        self._notes.discard(recorded)
        self._slow = self._slow and bool(self._notes)
        if not waiter.done():
            waiter.set_result(None)

    async def close(self, grace: float) -> None:
        """Refuse new calls, end those in flight after `grace` seconds, and wait for their outcomes.

        Sets `over_at` to the time by which closing must be complete.
        """
        self.closed = True
        if not self._calls:
            self._set_timer(math.inf, 0.0)
        if self._calls and grace > 0:
            await self._wait_idle(grace)
        self.over_at = self.clock.now() + CLOSING_SECONDS
        for context in self._calls:
            context.closing = True
            context.limit.end()
        if self._calls:
            await self._wait_idle(CLOSING_SECONDS)
        if self._notes:
            await self._wait_for_notes()

    async def _wait_idle(self, seconds: float) -> None:
        self._idle = self._idle or asyncio.Event()
        with contextlib.suppress(TimeoutError), time_limit(self.clock, seconds):
            await self._idle.wait()

    async def _wait_for_notes(self) -> None:
        try:
            with time_limit(self.clock, self.over_at - self.clock.now()):
                await asyncio.wait(self._notes)
        except TimeoutError:
            log.error(
                "outcomes of writes that could not be recorded within %g s: %d. Rows that stay `sent` in "
                "the journal become `unknown` at the next start",
                CLOSING_SECONDS,
                len(self._notes),
            )
