"""What watching costs a call: no observer, a function, OpenTelemetry's API alone, its SDK.

`python -m benchmarks.telemetry` measures all of them in turn in one process against one sandbox, CPU of the
client and the sandbox together, and prints the best of several rounds.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pandapon_async import Client, Settings
from pandapon_async.otel import OpenTelemetry
from pandapon_async.sandbox import Sandbox

CALLS = 400
ROUNDS = 7


async def main() -> None:
    """Print the table."""
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter = InMemorySpanExporter()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([InMemoryMetricReader()])
    observers: dict[str, Any] = {
        "no observer": None,
        "a function": lambda name, attempt: None,
        "OpenTelemetry, API alone": OpenTelemetry(),
        "OpenTelemetry, SDK that records all": OpenTelemetry(tracer_provider=tracers, meter_provider=meters),
    }
    best = dict.fromkeys(observers, float("inf"))
    async with Sandbox(refunds=2 * CALLS, log_limit=5) as sandbox:
        ids = list(sandbox.refund_ids("1688"))[:CALLS]
        for _ in range(ROUNDS):
            for name, observer in observers.items():
                settings = Settings(base_url=sandbox.base_url, rate=None, observer=observer)
                async with Client(sandbox.credentials, settings) as client:
                    await client.alibaba.refunds.get(refund_id=ids[0])
                    begun = time.process_time()
                    for refund_id in ids:
                        await client.alibaba.refunds.get(refund_id=refund_id)
                    best[name] = min(best[name], (time.process_time() - begun) / CALLS * 1e6)
                exporter.clear()
    plain = best["no observer"]
    for name, microseconds in best.items():
        print(f"{name:38}{microseconds:7.0f} us a call   {microseconds / plain:5.2f}")


if __name__ == "__main__":
    asyncio.run(main())
