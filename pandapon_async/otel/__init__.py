"""Spans and metrics by OpenTelemetry, from its API alone: your program decides about SDK and exporter.

What may be seen: names of calls, numbers, states; on spans also the vendor's request id and our intent id,
which lead to one request. Ids of orders, refunds and users, keys, urls and bodies are nowhere, and a call
that is not declared here loses its name and path, as they may hold such ids. No trace context is sent to the
vendor.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from pandapon_async import __version__
from pandapon_async.errors import Attempt, Outcome
from pandapon_async.events import CallEnded, CallStarted

try:
    from opentelemetry import context as current
    from opentelemetry import metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError:
    raise ImportError(
        "pandapon_async.otel needs opentelemetry-api: pip install 'pandapon-async[otel]'"
    ) from None

from pandapon_async.otel.measures import Measures

if TYPE_CHECKING:
    from pandapon_async.callbacks import Message, Receiver
    from pandapon_async.client import Client
    from pandapon_async.reconcile import Summary

__all__ = ["OpenTelemetry"]

_NAME = "pandapon_async"
_PLATFORMS = ("1688", "taobao")  # anything else is the vendor's text, and may be anything
_SCHEMA = "https://opentelemetry.io/schemas/1.37.0"


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
        self._tracer = trace.get_tracer(_NAME, __version__, tracer_provider, _SCHEMA)
        self._measures = Measures.of(meter_provider, (_NAME, __version__, _SCHEMA))
        self._messages: dict[int, tuple[trace.Span, Any]] = {}

    def watch(self, watched: Client | Receiver, name: str | None = None) -> None:
        """Measure also the quota and the journal of a client, or what a receiver counts and has to do.

        The open writes of a journal are counted once it is open: at the first write, or by `journal.open()`;
        the messages of a receiver once it is started.

        Args:
            watched: It is not kept alive; a closed client is forgotten.
            name: The value of the attribute `pandapon.name`. Those with the same name are added up.

        Raises:
            ConfigurationError: It is neither a client nor a receiver.
        """
        self._measures.watch(watched, name)

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
        self._measures.requests.record(attempt.seconds, common)
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
        self._measures.calls.record(end.seconds, labels)
        self._measures.waits.record(end.waited, {"pandapon.call": name})
        if end.outcome == Outcome.UNKNOWN and call.safety not in ("read", "repeatable"):
            self._measures.unknown.add(1, {"pandapon.call": name})
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
        """Begin the span of a callback that is handled, and make it the current one.

        It begins a trace: what is current here is whatever was when the receiver started.
        """
        nothing = current.Context()
        span = self._tracer.start_span(
            "callback process",
            context=nothing,
            kind=SpanKind.CONSUMER,
            attributes={
                "messaging.system": "pandapon",
                "messaging.operation.name": "process",
                "messaging.operation.type": "process",
                "messaging.message.id": message.id,
                "pandapon.callback.platform": message.platform if message.platform in _PLATFORMS else "other",
                "pandapon.callback.kind": str(message.kind),
                "pandapon.callback.attempt": message.attempt,
            },
        )
        token = current.attach(trace.set_span_in_context(span, nothing))
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
                self._measures.rows.add(rows, {"pandapon.verdict": str(verdict)})
