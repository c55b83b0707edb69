"""The pipeline of one call, in a fixed order.

    deadline -> (writes: journal the intent)
    -> [slot -> connection, where we hold it ourselves -> permit -> (writes: note the sending)
        -> age check -> sign -> send -> read, bounded -> classify]
    -> (writes: note the outcome) -> decode -> result

The bracket is one attempt; it repeats under the retry policy. The steps between slot and reading are in
`exchange.py`, `direct.py` and `session.py`. Signing comes after every wait, so each attempt has a fresh
timestamp, nonce and signature. Each attempt takes its own permit, because each one counts against the quota.
It takes the permit with a connection in hand, so the rate holds on the wire. This is the only layer that
retries.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable
from typing import Final

import attrs

from pandapon_async.clock import time_limit
from pandapon_async.core.envelope import Envelope
from pandapon_async.core.outcome import RawResponse, for_operation, may_repeat, read_response
from pandapon_async.core.retry import RetryBudget
from pandapon_async.errors import (
    Attempt,
    AuthenticationError,
    ConnectionLostError,
    DeadlineExceededError,
    DuplicateIntentError,
    Outcome,
    PandaponError,
    RateLimitError,
)
from pandapon_async.events import CallStarted, Observed
from pandapon_async.journal.identity import Writer
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.writes import EarlierWriteError, Write, begin_write
from pandapon_async.settings import Credentials, Settings, is_loopback
from pandapon_async.transport.calls import CLOSING_SECONDS, CallContext, CallRegistry
from pandapon_async.transport.exchange import Exchange
from pandapon_async.transport.rate_limiter import ConcurrencyLimiter, Limiter
from pandapon_async.transport.requests import PreparedRequest
from pandapon_async.transport.server_time import ServerTime
from pandapon_async.transport.session import Session
from pandapon_async.transport.wait_queue import CancellableTimers, too_late

__all__ = ["Pipeline", "Statistics"]

LookFirst = Callable[[Write, float], Awaitable[None]]

log: Final = logging.getLogger("pandapon_async")


class _RateProperties:
    """Properties derived from the limiter; kept out of the attrs fields."""

    __slots__ = ("_limiter",)

    def watch(self, limiter: Limiter) -> None:
        """The limiter of the quota."""
        self._limiter = limiter

    @property
    def slowed_to(self) -> float | None:
        """Calls per second while throttles keep the rate below the configured one; else None."""
        rate = self._limiter.rate
        return None if rate == self._limiter.configured else rate


@attrs.define
class Statistics(_RateProperties):
    """Running counters of a client and all its copies."""

    calls: int = 0
    attempts: int = 0
    retried: int = 0
    throttled: int = 0
    failed: int = 0
    slowed: int = 0


@attrs.define(eq=False)
class Pipeline:
    """Carries out calls for one client and its copies; holds what they share."""

    credentials: Credentials = attrs.field(repr=False)
    settings: Settings
    session: Session
    limiter: Limiter
    slots: ConcurrencyLimiter
    budget: RetryBudget
    timers: CancellableTimers
    server_time: ServerTime
    statistics: Statistics
    journal: Journal
    writer: Writer
    calls: CallRegistry
    observed: Observed | None = None

    async def run(
        self, prepared: PreparedRequest, look_first: LookFirst | None = None
    ) -> tuple[Envelope, CallContext]:
        """Carry out a call: return the envelope of a success, or raise the error for the caller.

        `look_first` checks the earlier write of a `Write` before this one is sent, until a deadline. After a
        success the observer does not get the end yet, because the data may still not match (`tell_end`).
        """
        context = self.calls.begin(self.settings.timeout)
        if self.observed is not None:
            self._tell_start(self.observed, prepared, context)
        try:
            self.session.open()
            self.statistics.calls += 1
            try:
                envelope = await self._limited(prepared, context, look_first)
            except PandaponError as error:
                await self._failed(prepared, context, error)
                raise AssertionError from error  # always raises
            if context.write is not None:
                await self.calls.wait_recorded(context, context.write.confirmed(envelope))
        except BaseException as error:
            self.tell_end(context, error)
            raise
        finally:
            self.calls.end(context)
        self.budget.repay((len(context.history) - 1) * self.settings.retry.cost)
        return envelope, context

    def _tell_start(self, observed: Observed, prepared: PreparedRequest, context: CallContext) -> None:
        endpoint, url = prepared.endpoint, prepared.url
        context.told = CallStarted(
            name=endpoint.name,
            method=endpoint.method,
            path=endpoint.path,
            declared=endpoint.declaration is not None,
            safety=endpoint.safety,
            server_address=url.host or "",
            server_port=url.port or 0,
        )
        observed.tell("started", context.told)

    def tell_end(
        self, context: CallContext, error: BaseException | None, request_id: str | None = None
    ) -> None:
        """Pass the end of a call to the observer, if there is one."""
        if self.observed is not None:
            request_id = request_id or getattr(error, "request_id", None)
            end = context.end(error, request_id, self.settings.clock.now())
            self.observed.tell("ended", context.told, end)

    async def _limited(
        self, prepared: PreparedRequest, context: CallContext, look_first: LookFirst | None
    ) -> Envelope:
        """Do everything up to the answer, within the call's time limit."""
        endpoint = prepared.endpoint
        try:
            with context.limit:
                if not endpoint.repeatable:
                    context.write = await begin_write(
                        self.journal,
                        self.writer,
                        endpoint,
                        prepared.fields,
                        self.settings,
                        served=self.server_time.told,
                        at_once=self.slots.free > 0 and self.limiter.expected() <= context.started,
                    )
                    await _look_before_sending(context.write, context.deadline, look_first)
                try:
                    return await self._attempts(prepared, context)
                except EarlierWriteError:
                    assert context.write is not None
                    await _look_before_sending(context.write, context.deadline, look_first)
                return await self._attempts(prepared, context)
        except TimeoutError:
            pass  # raised below, without the cancellation behind it
        except PandaponError:
            raise
        except BaseException:
            if context.write is not None:
                lost = context.on_wire or context.outcome is Outcome.UNKNOWN
                context.write.abandoned(perhaps_done=lost)
            raise
        error = context.cut_off()
        try:
            if context.on_wire:
                self._record(prepared, context, error)
            elif context.error is not None:
                error.__cause__ = context.error
            raise error
        finally:
            del error

    async def _failed(self, prepared: PreparedRequest, context: CallContext, error: PandaponError) -> None:
        """Record the end of a failed call, and raise the error for the caller."""
        self.statistics.failed += 1
        write, endpoint = context.write, prepared.endpoint
        if error.outcome is Outcome.NOT_SENT and context.outcome is Outcome.UNKNOWN:
            error = _sent_before(error)
        final = for_operation(error, endpoint.safety, write.intent.id if write else None)
        final.endpoint = endpoint.name
        final.safety = endpoint.safety
        final.attempts = len(context.history)
        final.history = tuple(context.history)
        try:
            if write is not None:
                await self.calls.wait_recorded(context, write.failed(final))
            if final is error:
                raise error
            raise final from error
        finally:
            # An error knows this frame: holding it here would keep the body until a full collection.
            del final, error
            context.error = None

    async def _attempts(self, prepared: PreparedRequest, context: CallContext) -> Envelope:
        """Make one attempt; enter the retry loop only after a failure that may be repeated."""
        safety = prepared.endpoint.safety
        try:
            return await self._attempt(prepared, context)
        except PandaponError as error:
            if not may_repeat(error, safety):
                raise
            # Keep the error from tenacity: it references frames, which since Python 3.12 reference tenacity's
            # frames.
            result: Envelope | PandaponError | None = error
            made = True
        # Only now: tenacity costs a quarter of a request, and most calls never need it.
        from tenacity import AsyncRetrying, RetryCallState, retry_if_result

        policy, clock = self.settings.retry, self.settings.clock

        async def again() -> bool:
            """Whether to make another attempt after this one."""
            nonlocal result, made
            if not made:
                try:
                    result = await self._attempt(prepared, context)
                except PandaponError as error:
                    result = error
            made = False
            return isinstance(result, PandaponError) and may_repeat(result, safety)

        def wait(state: RetryCallState) -> float:
            return policy.delay(state.attempt_number, context.error, clock.random())

        async def sleep(seconds: float) -> None:
            await self._back_off(seconds, context)

        try:
            await AsyncRetrying(
                retry=retry_if_result(bool),
                stop=lambda state: self._give_up(state.attempt_number, context),
                wait=wait,
                sleep=sleep,
                retry_error_callback=lambda state: None,
            )(again)
            if isinstance(result, PandaponError):
                raise result
            assert result is not None
            return result
        finally:
            result = None

    async def _attempt(self, prepared: PreparedRequest, context: CallContext) -> Envelope:
        """Make one attempt: at most one request on the wire."""
        clock, calls, slots = self.settings.clock, self.calls, self.slots
        # Each call before this one needs a permit: those that wait for a slot, and those with a slot but no
        # permit.
        ahead = calls.without_permit + (0 if slots.free else slots.ahead())
        if self.limiter.expected(ahead) > context.deadline:
            raise too_late()
        if not slots.take_free():
            begun = clock.now()
            await slots.acquire(context.deadline)
            context.pending += clock.now() - begun
        context.begin_attempt()
        exchange = Exchange(
            self.settings,
            self.credentials,
            prepared,
            context,
            calls,
            self.limiter,
            self.server_time,
            prepared.payload(),
        )
        calls.without_permit += 1
        response: RawResponse | None = None
        try:
            try:
                response = await self.session.send(exchange)
                context.http_status = response.http_status
                self.server_time.heard(response.headers)
                envelope = read_response(response, prepared.endpoint, self.settings.vendor.codes)
            except (EarlierWriteError, DuplicateIntentError):
                raise  # not an attempt: the journal refused it, so it never began
            except PandaponError as error:
                if isinstance(error, AuthenticationError) and response is not None:
                    self._look_at_the_clock(error, response, exchange)
                if context.admitted or not isinstance(error, DeadlineExceededError):
                    self._record(prepared, context, error)
                raise
            self._record(prepared, context, None, envelope)
            return envelope
        finally:
            if not exchange.counted:
                calls.without_permit -= 1
            self.slots.release()

    def _look_at_the_clock(
        self, error: AuthenticationError, response: RawResponse, exchange: Exchange
    ) -> None:
        """After a refusal because of the clock, sign a repeatable call again, once.

        A write is not repeated: no page says that a refusal means that nothing was done.
        """
        settings, context = self.settings, exchange.context
        trusted = settings.base_url.startswith("https:") or is_loopback(settings.base_url)
        correct = settings.correct_clock and trusted
        sent = settings.clock.now() if context.sent is None else context.sent
        right = self.server_time.explain(error, response.headers, exchange.signed, sent, correct=correct)
        again = any(attempt.reason == type(error).__name__ for attempt in context.history)
        error.retryable = right and exchange.prepared.endpoint.safety.repeatable and not again

    def _record(
        self,
        prepared: PreparedRequest,
        context: CallContext,
        error: PandaponError | None,
        envelope: Envelope | None = None,
    ) -> None:
        """Record the outcome of an attempt, pass it to the observer, and obey a throttle."""
        statistics, settings = self.statistics, self.settings
        context.ended(error)
        waited, context.pending = context.pending, 0.0
        context.waited += waited
        statistics.attempts += 1
        if context.history:
            statistics.retried += 1
        now = settings.clock.now()
        sent = now if context.sent is None else context.sent
        number, seconds = len(context.history) + 1, now - sent
        status = context.http_status or None
        if envelope is not None:
            attempt = Attempt(number, "ok", seconds, waited, None, status, envelope.code, envelope.request_id)
        else:
            attempt = Attempt(
                number,
                outcome="ok" if error is None else str(error.outcome),
                seconds=seconds,
                waited=waited,
                reason=None if error is None else type(error).__name__,
                http_status=status,
                code=getattr(error, "code", None),
                request_id=error.request_id if error else None,
            )
        context.history.append(attempt)
        if isinstance(error, RateLimitError):
            statistics.throttled += 1
            if self.limiter.throttled(settings.retry.pause(error), sent):
                statistics.slowed += 1
                log.info("throttled: the rate is now %.3g calls a second", self.limiter.rate or math.nan)
        if self.observed is not None:
            self.observed.tell("attempt", context.told, attempt)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %s", prepared.endpoint.name, attempt)

    def _give_up(self, attempts: int, context: CallContext) -> bool:
        policy, error = self.settings.retry, context.error
        if attempts >= policy.attempts or error is None or not policy.accepts(error):
            return True
        return not self.budget.spend(policy.cost)

    async def _back_off(self, seconds: float, context: CallContext) -> None:
        """Wait before a repeat; fail at once if the wait would cross the deadline."""
        clock = self.settings.clock
        begun = clock.now()
        if self.limiter.rate is None:
            # Jitter spreads the callers, so it must start at the end of a pause, not at its begin.
            seconds += max(0.0, self.limiter.expected() - begun)
        if begun + seconds >= context.deadline or self.limiter.expected() > context.deadline:
            late = DeadlineExceededError("the deadline would pass before the next attempt")
            late.outcome = context.outcome
            raise late from context.error
        await self.timers.sleep(seconds)
        context.pending = clock.now() - begun

    async def close(self, grace: float) -> None:
        """End all calls, then close the session, and the limiter and the journal that are not the user's.

        See `CallRegistry.close` for the calls.
        """
        try:
            await self.calls.close(grace)
        finally:
            self.timers.fail_all()
            self.limiter.close(self.calls)
            await self.session.close()
        settings = self.settings
        if settings.limiter is None:
            await self.limiter.aclose()
        if self.journal is settings.journal:
            return
        try:
            with time_limit(settings.clock, max(0.1, self.calls.over_at - settings.clock.now())):
                await self.journal.aclose()
        except TimeoutError:
            log.error(
                "the journal could not be closed within %g s; it closes in the background", CLOSING_SECONDS
            )


def _sent_before(error: PandaponError) -> PandaponError:
    """The last attempt was certainly not sent, but the answer to an earlier one was lost."""
    kind = DeadlineExceededError if isinstance(error, DeadlineExceededError) else ConnectionLostError
    lost = kind(f"{error.args[0]}; the answer to an earlier attempt was lost", retryable=False)
    lost.outcome = Outcome.UNKNOWN
    lost.__cause__ = error
    return lost


async def _look_before_sending(write: Write, deadline: float, look_first: LookFirst | None) -> None:
    """Check an earlier write of the key, if there is one that may have been carried out."""
    if write.earlier is not None:
        assert look_first is not None, "no function to check earlier writes was passed"
        await look_first(write, deadline)
