"""The way of one call, in a fixed order.

deadline -> [slot -> permit -> sign -> send -> read, bounded -> classify] -> decode -> result

The bracket is one attempt; it repeats under the retry policy. Signing is inside it and after every
wait, so each attempt has a fresh timestamp, nonce and signature. A permit is taken for each attempt,
since each one counts against the quota. This is the only layer that retries.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any

import attrs
from yarl import URL

from pandapon_async.core.backoff import RetryBudget
from pandapon_async.core.envelope import Envelope
from pandapon_async.core.outcome import for_operation, may_repeat, read_answer
from pandapon_async.core.signing import signed_headers
from pandapon_async.endpoint import Endpoint, Safety
from pandapon_async.errors import (
    Attempt,
    DeadlineExceeded,
    InvalidArgument,
    PandaponError,
    Throttled,
)
from pandapon_async.settings import Credentials, Settings
from pandapon_async.transport.limiter import Limiter, Slots
from pandapon_async.transport.session import Session
from pandapon_async.transport.upload import ImageBody
from pandapon_async.transport.waiters import Sleepers, payments_refused, too_late

__all__ = ["Outgoing", "Pipeline", "Statistics", "Trail"]

log = logging.getLogger("pandapon_async")


@attrs.define
class Statistics:
    """Running counts of a client and all its copies."""

    calls: int = 0
    attempts: int = 0
    retried: int = 0
    throttled: int = 0
    failed: int = 0


@attrs.define
class Outgoing:
    """A call ready to be sent, except for the signature. `body` is bytes, image fields or None."""

    endpoint: Endpoint
    url: URL
    body: bytes | dict[str, Any] | None

    def payload(self) -> bytes | ImageBody | None:
        """The body of one attempt; an image's is new each time, as a used one cannot be sent again."""
        return ImageBody(self.body) if isinstance(self.body, dict) else self.body


@attrs.define
class Trail:
    """What has happened to a call so far."""

    deadline: float
    started: float
    waited: float = 0.0
    pending: float = 0.0  # back-off that belongs to the next attempt
    http_status: int = 0
    error: PandaponError | None = None
    history: list[Attempt] = attrs.field(factory=list)


@attrs.define(eq=False)
class Pipeline:
    """Carries out calls for one client and its copies; what they share lives here."""

    credentials: Credentials = attrs.field(repr=False)
    settings: Settings
    session: Session
    limiter: Limiter
    slots: Slots
    budget: RetryBudget
    sleepers: Sleepers
    statistics: Statistics
    owner: object

    async def run(self, outgoing: Outgoing) -> tuple[Envelope, Trail]:
        """The envelope of a call that succeeded, or the error its caller must see."""
        self.session.open()
        if outgoing.endpoint.safety is Safety.NEVER_AUTOMATIC and payments_refused.get():
            raise InvalidArgument(
                "this call releases money: bulk work makes it only with allow_payments=True",
                endpoint=outgoing.endpoint.name,
            )
        started = self.settings.clock.now()
        trail = Trail(started + self.settings.timeout, started)
        self.statistics.calls += 1
        intent_id = None if outgoing.endpoint.safety.repeatable else uuid.uuid4().hex
        try:
            envelope = await self._attempts(outgoing, trail)
        except PandaponError as error:
            self.statistics.failed += 1
            final = for_operation(error, outgoing.endpoint.safety, intent_id)
            final.endpoint = outgoing.endpoint.name
            final.attempts = len(trail.history)
            final.history = tuple(trail.history)
            if final is error:
                raise
            raise final from error
        self.budget.repay((len(trail.history) - 1) * self.settings.retry.cost)
        return envelope, trail

    async def _attempts(self, outgoing: Outgoing, trail: Trail) -> Envelope:
        """One attempt; only if it fails in a way that may be repeated, the retry loop."""
        safety = outgoing.endpoint.safety
        try:
            return await self._attempt(outgoing, trail)
        except PandaponError as error:
            if not may_repeat(error, safety):
                raise
            first = error
        # Entered only now: tenacity costs a quarter of a request, and most calls never need it.
        from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

        policy, clock = self.settings.retry, self.settings.clock

        def repeatable(error: BaseException) -> bool:
            return isinstance(error, PandaponError) and may_repeat(error, safety)

        def wait(state: RetryCallState) -> float:
            return policy.delay(state.attempt_number, trail.error, clock.random())

        async def sleep(seconds: float) -> None:
            await self._back_off(seconds, trail)

        async for attempt in AsyncRetrying(
            retry=retry_if_exception(repeatable),
            stop=lambda state: self._give_up(state.attempt_number, trail),
            wait=wait,
            sleep=sleep,
            reraise=True,
        ):
            with attempt:
                if attempt.retry_state.attempt_number == 1:
                    raise first
                return await self._attempt(outgoing, trail)
        raise AssertionError("tenacity either returns or raises")

    async def _attempt(self, outgoing: Outgoing, trail: Trail) -> Envelope:
        """One request on the wire, at most."""
        clock = self.settings.clock
        begun = clock.now()
        await self.slots.take(trail.deadline, self.owner)
        try:
            await self.limiter.acquire(trail.deadline, self.owner)
            sent = clock.now()
            waited = trail.pending + sent - begun
            trail.waited, trail.pending = trail.waited + waited, 0.0
            try:
                envelope = await self._exchange(outgoing, trail)
            except PandaponError as error:
                self._record(outgoing, trail, sent, waited, error)
                raise
            self._record(outgoing, trail, sent, waited, None, envelope)
            return envelope
        finally:
            self.slots.give_back()

    async def _exchange(self, outgoing: Outgoing, trail: Trail) -> Envelope:
        settings, credentials, endpoint = self.settings, self.credentials, outgoing.endpoint
        clock = settings.clock
        seconds = trail.deadline - clock.now()
        if seconds <= 0:
            raise too_late()
        unit = 1000 if settings.timestamp_unit == "ms" else 1
        headers = signed_headers(
            credentials.access_key,
            credentials.access_secret,
            credentials.user_id,
            str(int(clock.wall() * unit)),
            clock.nonce(),
            settings.signer,
        )
        body = outgoing.payload()
        if body is not None:
            headers["Content-Type"] = "application/json"
        answer = await self.session.send(settings, endpoint.method, outgoing.url, headers, body, seconds)
        trail.http_status = answer.http_status
        return read_answer(answer, endpoint, settings.codes)

    def _record(
        self,
        outgoing: Outgoing,
        trail: Trail,
        sent: float,
        waited: float,
        error: PandaponError | None,
        envelope: Envelope | None = None,
    ) -> None:
        """Write down what became of an attempt, tell the observer, and obey a throttle."""
        statistics, settings = self.statistics, self.settings
        trail.error = error
        statistics.attempts += 1
        if trail.history:
            statistics.retried += 1
        attempt = Attempt(
            number=len(trail.history) + 1,
            outcome="ok" if error is None else str(error.outcome),
            seconds=settings.clock.now() - sent,
            waited=waited,
            reason=None if error is None else type(error).__name__,
            http_status=trail.http_status or None,
            code=envelope.code if envelope else getattr(error, "code", None),
            request_id=envelope.request_id if envelope else error.request_id if error else None,
        )
        trail.history.append(attempt)
        if isinstance(error, Throttled):
            statistics.throttled += 1
            self.limiter.pause(settings.retry.pause(error))
        if settings.observer is not None:
            settings.observer(outgoing.endpoint.name, attempt)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s: %s", outgoing.endpoint.name, attempt)

    def _give_up(self, attempts: int, trail: Trail) -> bool:
        policy, error = self.settings.retry, trail.error
        if attempts >= policy.attempts or error is None or not policy.accepts(error):
            return True
        return not self.budget.spend(policy.cost)

    async def _back_off(self, seconds: float, trail: Trail) -> None:
        """Wait before a repeat, unless the wait would cross the deadline: then fail at once."""
        clock = self.settings.clock
        begun = clock.now()
        if begun + seconds >= trail.deadline:
            late = DeadlineExceeded("the deadline would pass before the next attempt")
            late.outcome = trail.error.outcome if trail.error else late.outcome
            raise late from trail.error
        await self.sleepers.sleep(seconds)
        trail.pending = clock.now() - begun
