"""What reaches a real OpenTelemetry SDK, in memory."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import attrs
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pandapon_async import Client, RetryPolicy, Settings
from pandapon_async.otel import OpenTelemetry
from pandapon_async.sandbox import Sandbox

__all__ = ["Points", "Watched", "signed_push", "watching"]

Points = dict[str, dict[tuple[tuple[str, Any], ...], Any]]


@attrs.define
class Watched:
    """An observer, and what reaches the SDK."""

    exporter: InMemorySpanExporter
    reader: InMemoryMetricReader
    tracers: TracerProvider
    meters: MeterProvider
    telemetry: OpenTelemetry

    @property
    def spans(self) -> tuple[ReadableSpan, ...]:
        return self.exporter.get_finished_spans()

    def collected(self) -> list[Any]:
        """The metrics of one collection."""
        data = self.reader.get_metrics_data()
        resources = data.resource_metrics if data else ()
        scopes = [scope for resource in resources for scope in resource.scope_metrics]
        return [metric for scope in scopes for metric in scope.metrics]

    def points(self) -> Points:
        """By metric and attributes: the value, or of a histogram how many there are."""
        found: Points = {}
        for metric in self.collected():
            for point in metric.data.data_points:
                value = getattr(point, "count", None) or getattr(point, "value", 0)
                found.setdefault(metric.name, {})[tuple(sorted((point.attributes or {}).items()))] = value
        return found

    async def counted(self) -> Points:
        """What the next collection gets, once the journals and stores have counted for it."""
        measures = self.telemetry._measures
        every = [*measures._clients, *measures._receivers]
        for one in every:
            one.counted = None
        self.points()
        while any(one.counted is None for one in every):  # noqa: ASYNC110 (they answer in this loop)
            await asyncio.sleep(0.001)
        return self.points()

    def text(self) -> str:
        """All that an exporter could write down."""
        return "".join(span.to_json() for span in self.spans) + repr(self.points())

    def client(self, sandbox: Sandbox, rate: float | None = None, **settings: Any) -> Client:
        """A client that repeats without waiting."""
        retry = RetryPolicy(base=0.0, throttle_base=0.0, throttle_pause=0.001)
        given = {"rate": rate, "observer": self.telemetry, "retry": retry, **settings}
        credentials = given.pop("credentials", sandbox.credentials)
        return Client(credentials, Settings(base_url=sandbox.base_url, **given))


def signed_push(number: int, **frame: Any) -> tuple[bytes, str]:
    """The body of a push about a refund, and its signature with Credentials("key", "secret", ...)."""
    pushed = {"messageType": "1688_REFUND", "messageBody": {"refundId": f"TQ{number}"}, **frame}
    body = json.dumps(pushed).encode()
    return body, hmac.new(b"secret", b"key" + body, hashlib.sha256).hexdigest()


@contextlib.contextmanager
def watching() -> Iterator[Watched]:
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers, meters = TracerProvider(shutdown_on_exit=False), MeterProvider([reader], shutdown_on_exit=False)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    telemetry = OpenTelemetry(tracer_provider=tracers, meter_provider=meters)
    yield Watched(exporter, reader, tracers, meters, telemetry)
    tracers.shutdown()
    meters.shutdown()
