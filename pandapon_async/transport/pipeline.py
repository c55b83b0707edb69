"""The way of one call, in a fixed order.

    deadline -> (writes: note the intent)
    -> [slot -> permit -> (writes: note the sending) -> sign -> send -> read, bounded -> classify]
    -> (writes: note the outcome) -> decode -> result

The bracket is one attempt; it repeats under the retry policy. Signing is inside it and after every
wait, so each attempt has a fresh timestamp, nonce and signature. A permit is taken for each attempt,
since each one counts against the quota. This is the only layer that retries.
"""

from __future__ import annotations

import logging
from typing import Final

import attrs

from pandapon_async.core.envelope import Envelope
from pandapon_async.core.outcome import RawResponse, for_operation, may_repeat, read_response
from pandapon_async.core.retry import RetryBudget
from pandapon_async.core.signing import signed_headers
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.errors import (
    Attempt,
    AuthenticationError,
    ConfigurationError,
    DeadlineExceededError,
    PandaponError,
    RateLimitError,
)
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.writes import Write, begin_write
from pandapon_async.settings import Credentials, Settings, is_loopback
from pandapon_async.transport.rate_limiter import ConcurrencyLimiter, Limiter
from pandapon_async.transport.requests import PreparedRequest
from pandapon_async.transport.server_time import ServerTime
from pandapon_async.transport.session import Session
from pandapon_async.transport.wait_queue import CancellableTimers, closed, too_late

__all__ = ["CallContext", "Pipeline", "Statistics"]

log: Final = logging.getLogger("pandapon_async")


class _RateProperties:
    """Properties derived from the limiter; kept out of the attrs fields."""

    __slots__ = ("_limiter",)

    def watch(self, limiter: Limiter) -> None:
        """The quota that is meant."""
        self._limiter = limiter

    @property
    def slowed_to(self) -> float | None:
        """Calls per second, while throttles keep them below what is configured; else None."""
        rate = self._limiter.rate
        return None if rate == self._limiter.configured else rate


@attrs.define
class Statistics(_RateProperties):
    """Running counts of a client and all its copies."""

    calls: int = 0
    attempts: int = 0
    retried: int = 0
    throttled: int = 0
    failed: int = 0
    slowed: int = 0


@attrs.define
class CallContext:
    """What has happened to a call so far."""

    deadline: float
    started: float
    waited: float = 0.0
    pending: float = 0.0  # back-off that belongs to the next attempt
    http_status: int = 0
    error: PandaponError | None = None
    write: Write | None = None
    history: list[Attempt] = attrs.field(factory=list)


@attrs.define(eq=False)
class Pipeline:
    """Carries out calls for one client and its copies; what they share lives here."""

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
    account: str
    owner: object

    async def run(self, prepared: PreparedRequest) -> tuple[Envelope, CallContext]:
        """The envelope of a call that succeeded, or the error its caller must see."""
        self.session.open()
        started = self.settings.clock.now()
        context = CallContext(started + self.settings.timeout, started)
        self.statistics.calls += 1
        endpoint = prepared.endpoint
        try:
            if not endpoint.repeatable:
                context.write = await begin_write(
                    self.journal,
                    self.account,
                    endpoint,
                    prepared.fields,
                    allow_repeat=self.settings.allow_repeat,
                    at_once=self.slots.free > 0 and self.limiter.expected() <= started,
                )
            envelope = await self._attempts(prepared, context)
        except PandaponError as error:
            self.statistics.failed += 1
            final = for_operation(error, endpoint.safety, context.write.intent.id if context.write else None)
            final.endpoint = endpoint.name
            final.attempts = len(context.history)
            final.history = tuple(context.history)
            try:
                if context.write is not None:
                    await context.write.failed(final)
                if final is error:
                    raise
                raise final from error
            finally:
                # An error knows this frame: holding it here would keep the body until a full collection.
                del final
                context.error = None
        except BaseException:
            if context.write is not None:
                context.write.abandoned()
            raise
        if context.write is not None:
            await context.write.confirmed(envelope)
        self.budget.repay((len(context.history) - 1) * self.settings.retry.cost)
        return envelope, context

    async def _attempts(self, prepared: PreparedRequest, context: CallContext) -> Envelope:
        """One attempt; only if it fails in a way that may be repeated, the retry loop."""
        safety = prepared.endpoint.safety
        try:
            return await self._attempt(prepared, context)
        except PandaponError as error:
            if not may_repeat(error, safety):
                raise
            # Not for tenacity to hold: an error knows frames, which since Python 3.12 know those of tenacity.
            result: Envelope | PandaponError | None = error
            made = True
        # Entered only now: tenacity costs a quarter of a request, and most calls never need it.
        from tenacity import AsyncRetrying, RetryCallState, retry_if_result

        policy, clock = self.settings.retry, self.settings.clock

        async def again() -> bool:
            """Whether there is to be another attempt after this one; the first has been made."""
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
        """One request on the wire, at most."""
        clock = self.settings.clock
        begun = clock.now()
        if not self.slots.free and self.limiter.expected(self.slots.ahead()) > context.deadline:
            raise too_late()  # those who wait for a slot before this call will want a permit each
        await self.slots.acquire(context.deadline, self.owner)
        try:
            await self.limiter.acquire(context.deadline, self.owner)
            if self.session.closed:
                raise closed()
            if context.write is not None:
                await context.write.sending()
            sent = clock.now()
            waited = context.pending + sent - begun
            context.waited, context.pending = context.waited + waited, 0.0
            try:
                envelope = await self._exchange(prepared, context)
            except PandaponError as error:
                self._record(prepared, context, sent, waited, error)
                raise
            self._record(prepared, context, sent, waited, None, envelope)
            return envelope
        finally:
            self.slots.release()

    async def _exchange(self, prepared: PreparedRequest, context: CallContext) -> Envelope:
        settings, credentials, endpoint = self.settings, self.credentials, prepared.endpoint
        clock = settings.clock
        begun = clock.now()
        if context.deadline <= begun:
            raise too_late()
        unit = 1000 if settings.timestamp_unit == "ms" else 1
        try:
            headers = signed_headers(
                credentials.access_key,
                credentials.access_secret,
                credentials.user_id,
                str(int(self.server_time.wall() * unit)),
                clock.nonce(),
                prepared.signer or settings.signer,
            )
        except Exception as failure:
            raise ConfigurationError(f"the signer failed ({type(failure).__name__})") from failure
        if not _fits_a_header(headers["signature"]) or not _fits_a_header(headers["nonce-str"]):
            raise ConfigurationError(
                "the signer and the clock's nonce must give text that a header can carry"
            )
        url = prepared.url
        if endpoint.signs_in_query:
            # How `sign` is made is not known: it is taken to be the signature, over the same values.
            url = url.update_query(timestamp=headers["timestamp"], sign=headers["signature"])
        body = prepared.payload()
        if body is not None:
            headers["Content-Type"] = "application/json"
        response = await self.session.send(settings, endpoint.method, url, headers, body, context.deadline)
        context.http_status = response.http_status
        try:
            return read_response(response, endpoint, settings.codes)
        except AuthenticationError as error:
            signed = int(headers["timestamp"]) / unit
            self._look_at_the_clock(error, response, endpoint, context, signed, begun)
            raise

    def _look_at_the_clock(
        self,
        error: AuthenticationError,
        response: RawResponse,
        endpoint: Endpoint,
        context: CallContext,
        signed: float,
        sent: float,
    ) -> None:
        """Refused for the clock alone, a call that may be repeated is signed anew, once.

        A write is not: that a refusal means nothing was done is documented nowhere.
        """
        settings = self.settings
        trusted = settings.base_url.startswith("https:") or is_loopback(settings.base_url)
        correct = settings.correct_clock and trusted
        right = self.server_time.explain(error, response.headers, signed, sent, correct=correct)
        again = any(attempt.reason == type(error).__name__ for attempt in context.history)
        error.retryable = right and endpoint.safety.repeatable and not again

    def _record(
        self,
        prepared: PreparedRequest,
        context: CallContext,
        sent: float,
        waited: float,
        error: PandaponError | None,
        envelope: Envelope | None = None,
    ) -> None:
        """Write down what became of an attempt, tell the observer, and obey a throttle."""
        statistics, settings = self.statistics, self.settings
        context.error = error
        if context.write is not None:
            context.write.answered(error)
        statistics.attempts += 1
        if context.history:
            statistics.retried += 1
        number, seconds = len(context.history) + 1, settings.clock.now() - sent
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
                log.info("throttled: slowed down to %.3g calls a second", self.limiter.rate)
        if settings.observer is not None:
            try:
                settings.observer(prepared.endpoint.name, attempt)
            except Exception:  # what became of the call must not be lost over it
                log.exception("the observer failed at an attempt of %s", prepared.endpoint.name)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %s", prepared.endpoint.name, attempt)

    def _give_up(self, attempts: int, context: CallContext) -> bool:
        policy, error = self.settings.retry, context.error
        if attempts >= policy.attempts or error is None or not policy.accepts(error):
            return True
        return not self.budget.spend(policy.cost)

    async def _back_off(self, seconds: float, context: CallContext) -> None:
        """Wait before a repeat, unless the wait would cross the deadline: then fail at once."""
        clock = self.settings.clock
        begun = clock.now()
        if self.limiter.rate is None:
            # Only chance spreads the callers then: it has to begin when a pause ends, not when it begins.
            seconds += max(0.0, self.limiter.expected() - begun)
        if begun + seconds >= context.deadline or self.limiter.expected() > context.deadline:
            raise _no_time_left(context) from context.error
        await self.timers.sleep(seconds)
        context.pending = clock.now() - begun


def _no_time_left(context: CallContext) -> DeadlineExceededError:
    late = DeadlineExceededError("the deadline would pass before the next attempt")
    late.outcome = context.error.outcome if context.error else late.outcome
    return late


def _fits_a_header(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()
