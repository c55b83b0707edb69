"""What watching costs a call: OpenTelemetry not installed, installed, its API alone, its SDK.

`python -m benchmarks.telemetry` measures all of them in turn, each in a process of its own, so that what is
not installed is not there: the CPU of the client and of the sandbox that answers it, together. It prints the
median of the rounds, their range, and the median of the ratios to the first one of the same round.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import time
from typing import Any

from benchmarks.child import in_child

__all__ = ["measure"]

CALLS = 400
ROUNDS = 9
NOT_INSTALLED = "OpenTelemetry is not installed"
CASES = (
    NOT_INSTALLED,
    "installed, no observer",
    "a function as observer",
    "OpenTelemetry, its API alone",
    "OpenTelemetry, an SDK that records all",
)


def _observer(case: str) -> Any:
    if case == NOT_INSTALLED:
        sys.modules["opentelemetry"] = None  # type: ignore[assignment]  # what Python does not find
        return None
    if case == CASES[1]:
        return None
    if case == CASES[2]:
        return lambda name, attempt: None
    from pandapon_async.otel import OpenTelemetry

    if case == CASES[3]:
        return OpenTelemetry()
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(InMemorySpanExporter()))
    return OpenTelemetry(tracer_provider=tracers, meter_provider=MeterProvider([InMemoryMetricReader()]))


def measure(case: str) -> float:
    """The CPU of a call, in microseconds."""
    return asyncio.run(_measure(_observer(case)))


async def _measure(observer: Any) -> float:
    from pandapon_async import Client, Settings
    from pandapon_async.sandbox import Sandbox

    async with Sandbox(refunds=2 * CALLS, log_limit=5) as sandbox:
        ids = list(sandbox.refund_ids("1688"))[:CALLS]
        settings = Settings(base_url=sandbox.base_url, rate=None, observer=observer)
        async with Client(sandbox.credentials, settings) as client:
            for refund_id in ids:
                await client.alibaba.refunds.get(refund_id=refund_id)
            begun = time.process_time()
            for refund_id in ids:
                await client.alibaba.refunds.get(refund_id=refund_id)
            return (time.process_time() - begun) / CALLS * 1e6


def main() -> None:
    """Print the table."""
    load = os.getloadavg()[0]
    rounds = [{case: in_child("telemetry", "measure", case=case) for case in CASES} for _ in range(ROUNDS)]
    print(f"{ROUNDS} rounds of {CALLS} calls; load {load:.1f} before, {os.getloadavg()[0]:.1f} after")
    for case in CASES:
        found = [one[case] for one in rounds]
        ratio = statistics.median(one[case] / one[NOT_INSTALLED] for one in rounds)
        print(
            f"{case:40}{statistics.median(found):5.0f} us a call ({min(found):.0f} to {max(found):.0f})"
            f"   {ratio:.2f}"
        )


if __name__ == "__main__":
    main()
