"""Spans and metrics by OpenTelemetry, from its API alone: your program decides about SDK and exporter.

What may be seen: names of calls, numbers, states; on spans also the vendor's request id and our intent id,
which lead to one request. Ids of orders, refunds and users, keys, urls and bodies are nowhere, and a call
that is not declared here loses its name and path, as they may hold such ids. No trace context is sent to the
vendor.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import attrs

from pandapon_async.errors import Attempt, ConfigurationError, Outcome
from pandapon_async.events import CallEnded, CallStarted

try:
    from opentelemetry import context as current
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import CallbackOptions, Observation
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError:
    raise ImportError(
        "pandapon_async.otel needs opentelemetry-api: pip install 'pandapon-async[otel]'"
    ) from None

if TYPE_CHECKING:
    from pandapon_async.callbacks import Message, Receiver
    from pandapon_async.client import Client
    from pandapon_async.reconcile import Summary

__all__ = ["OpenTelemetry"]

_NAME = "pandapon_async"
_SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
_SECONDS: Final = (
    0.005,
    0.01,
    0.025,
    0.05,
    0.075,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    2.5,
    5.0,
    7.5,
    10.0,
    30.0,
    60.0,
)
_OPEN_STATES = ("intended", "sent", "unknown")
_RECEIVED = ("stored", "duplicates", "unavailable", "handled", "unhandled", "failed", "dead")


@attrs.define(eq=False)
class _Watched:
    """A client whose quota and journal are reported at each collection; `open_writes` was counted before."""

    client: weakref.ref[Client]
    labels: dict[str, str]
    loop: asyncio.AbstractEventLoop
    open_writes: dict[str, int] = attrs.field(factory=lambda: dict.fromkeys(_OPEN_STATES, 0))

    def refresh(self) -> None:
        """Count for the next collection, in the client's loop: a collection runs in a thread of the SDK."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self.loop.call_soon_threadsafe(self._count)

    def _count(self) -> None:
        client = self.client()
        if client is not None:
            client.journal.count_open_soon(self._counted)

    def _counted(self, counted: dict[Any, int]) -> None:
        self.open_writes = {state: counted.get(state, 0) for state in _OPEN_STATES}  # a state is a text


class OpenTelemetry:
    """An observer for `Settings(observer=OpenTelemetry())`, and for `Receiver(..., observer=...)`.

    A call is a span of kind INTERNAL, each attempt one of kind CLIENT below it, a callback that is handled
    one of kind CONSUMER, which is the current one in its handlers.

    Args:
        tracer_provider: Where spans go; None: the global one.
        meter_provider: Where metrics go; None: the global one.
    """

    def __init__(
        self,
        *,
        tracer_provider: trace.TracerProvider | None = None,
        meter_provider: metrics.MeterProvider | None = None,
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, None, tracer_provider, _SCHEMA)
        meter = metrics.get_meter(_NAME, "", meter_provider, _SCHEMA)
        self._clients: list[_Watched] = []
        self._receivers: list[tuple[weakref.ref[Receiver], dict[str, str]]] = []
        self._messages: dict[int, tuple[trace.Span, Any]] = {}

        def seconds(name: str, description: str) -> metrics.Histogram:
            return meter.create_histogram(
                name, "s", description, explicit_bucket_boundaries_advisory=list(_SECONDS)
            )

        self._calls = seconds("pandapon.client.call.duration", "Calls with all their waits and attempts")
        self._waits = seconds(
            "pandapon.client.wait.duration", "What calls waited for slots, permits, back-off"
        )
        self._requests = seconds("http.client.request.duration", "Single attempts")
        self._unknown = meter.create_counter(
            "pandapon.client.outcome_unknown",
            "{write}",
            "Writes with an unknown outcome",
        )
        self._rows = meter.create_counter("pandapon.reconcile.rows", "{row}", "Rows of ledgers by verdict")
        for name, unit, description, attribute in (
            ("limit", "{call}/s", "Calls a second that are allowed now", "rate"),
            ("waiting", "{call}", "Calls that wait for a permit", "waiting"),
        ):
            meter.create_observable_gauge(
                f"pandapon.quota.{name}", [self._limiters(attribute)], unit, description
            )
        for name, unit, description, attribute in (
            ("permits", "{permit}", "Permits given", "permits"),
            ("paused", "s", "Seconds for which throttles held all calls", "paused_seconds"),
        ):
            meter.create_observable_counter(
                f"pandapon.quota.{name}", [self._limiters(attribute)], unit, description
            )
        meter.create_observable_gauge(
            "pandapon.journal.intents", [self._intents], "{intent}", "Open writes of the journal by state"
        )
        meter.create_observable_counter(
            "pandapon.callbacks", [self._received], "{message}", "Callbacks by result"
        )

    def watch(self, watched: Any, name: str | None = None) -> None:
        """Measure the quota and the journal of a client too, or what a receiver counts.

        The open writes of a journal are counted once it is open: at the first write, or by `journal.open()`.

        Args:
            watched: A `Client` (then in its event loop) or a `Receiver`; it is not kept alive.
            name: The value of the attribute `pandapon.name`, where there are several.

        Raises:
            ConfigurationError: A client, and no event loop runs.
        """
        labels = {} if name is None else {"pandapon.name": name}
        if not hasattr(watched, "journal"):
            self._receivers.append((weakref.ref(watched), labels))
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ConfigurationError("watch(client) must be called in the client's event loop") from None
        self._clients.append(_Watched(weakref.ref(watched), labels, loop))

    def started(self, call: CallStarted) -> None:
        """Begin the span of a call, and make it the current one."""
        name = call.name if call.declared else "request"
        span = self._tracer.start_span(
            name,
            kind=SpanKind.INTERNAL,
            attributes={"pandapon.call": name, "pandapon.safety": str(call.safety)},
        )
        token = None
        if span.get_span_context().is_valid:
            token = current.attach(trace.set_span_in_context(span))
        call.context = (name, span, token)

    def attempt(self, call: CallStarted, attempt: Attempt) -> None:
        """A span and a duration of one attempt."""
        span: trace.Span = call.context[1]
        common: dict[str, str | int] = {
            "http.request.method": call.method,
            "server.address": call.server_address,
            "server.port": call.server_port,
        }
        if call.declared:
            common["url.template"] = call.path
        if attempt.http_status is not None:
            common["http.response.status_code"] = attempt.http_status
        if attempt.reason is not None:
            common["error.type"] = attempt.reason
        self._requests.record(attempt.seconds, common)
        if not span.is_recording():
            return
        now = time.time_ns()
        child = self._tracer.start_span(
            f"{call.method} {call.path}" if call.declared else call.method,
            context=trace.set_span_in_context(span),
            kind=SpanKind.CLIENT,
            attributes=common,
            start_time=now - int(attempt.seconds * 1e9),
        )
        child.set_attribute("pandapon.outcome", attempt.outcome)
        child.set_attribute("pandapon.waited", round(attempt.waited, 6))
        if attempt.number > 1:
            child.set_attribute("http.request.resend_count", attempt.number - 1)
        if attempt.code is not None:
            child.set_attribute("pandapon.code", attempt.code)
        if attempt.request_id is not None:
            child.set_attribute("pandapon.request_id", attempt.request_id)
        if attempt.reason is not None:
            child.set_status(Status(StatusCode.ERROR))
        child.end(now)

    def ended(self, call: CallStarted, end: CallEnded) -> None:
        """End the span of a call, and measure it."""
        name, span, token = call.context
        labels = {"pandapon.call": name, "pandapon.outcome": end.outcome}
        if end.reason is not None:
            labels["error.type"] = end.reason
        self._calls.record(end.seconds, labels)
        self._waits.record(end.waited, {"pandapon.call": name})
        if end.outcome == Outcome.UNKNOWN and call.safety not in ("read", "repeatable"):
            self._unknown.add(1, {"pandapon.call": name})
        if span.is_recording():
            span.set_attribute("pandapon.outcome", end.outcome)
            span.set_attribute("pandapon.attempts", end.attempts)
            for key, value in (("intent_id", end.intent_id), ("request_id", end.request_id)):
                if value is not None:
                    span.set_attribute(f"pandapon.{key}", value)
            if end.reason is not None:
                span.set_attribute("error.type", end.reason)
                span.set_status(Status(StatusCode.ERROR))
        span.end()
        if token is not None:
            current.detach(token)

    def message_started(self, message: Message) -> None:
        """Begin the span of a callback that is handled, and make it the current one."""
        span = self._tracer.start_span(
            "callback process",
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": "pandapon",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.message.id": message.id,
                "pandapon.callback.platform": message.platform or "",
                "pandapon.callback.kind": str(message.kind),
                "pandapon.callback.attempt": message.attempt,
            },
        )
        token = current.attach(trace.set_span_in_context(span))
        self._messages[id(message)] = (span, token)

    def message_ended(self, message: Message, failures: tuple[str, ...]) -> None:
        """End it; `failures` are the names of the errors of its handlers."""
        span, token = self._messages.pop(id(message))
        if failures:
            span.set_attribute("error.type", failures[0])
            span.set_status(Status(StatusCode.ERROR))
        span.end()
        current.detach(token)

    def reconciled(self, summary: Summary) -> None:
        """Count the rows of a reconciliation that is done."""
        for verdict, rows in summary.verdicts.items():
            if rows:
                self._rows.add(rows, {"pandapon.verdict": str(verdict)})

    def _limiters(self, attribute: str) -> Any:
        def read(_: CallbackOptions) -> Iterator[Observation]:
            for watched in list(self._clients):
                client = watched.client()
                if client is None:
                    self._clients.remove(watched)
                elif (value := getattr(client.limiter, attribute, None)) is not None:
                    yield Observation(value, watched.labels)

        return read

    def _intents(self, _: CallbackOptions) -> Iterator[Observation]:
        """What was counted last: the file is never read in the thread that collects."""
        for watched in list(self._clients):
            client = watched.client()
            if client is not None:
                for state, count in watched.open_writes.items():
                    yield Observation(count, {**watched.labels, "pandapon.state": state})
                watched.refresh()

    def _received(self, _: CallbackOptions) -> Iterator[Observation]:
        for reference, labels in list(self._receivers):
            receiver = reference()
            if receiver is None:
                continue
            counted = receiver.statistics
            for result in _RECEIVED:
                yield Observation(getattr(counted, result), {**labels, "pandapon.result": result})
            refused = sum(counted.refused.values())
            yield Observation(refused, {**labels, "pandapon.result": "refused"})
