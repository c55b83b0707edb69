"""What a typed, signed, paced call costs beside bare aiohttp and the recipe one would write by hand.

`python -m benchmarks.calls` starts a cheap raw server in its own process on one core, runs the
contenders in turn on the other, and prints the median ratios to bare aiohttp: CPU of the client
process and throughput. The server's own limit is measured first, to show that it is not the bottleneck.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import multiprocessing
import os
import resource
import statistics
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import attrs
from aiolimiter import AsyncLimiter
from cattrs import Converter
from tenacity import AsyncRetrying, stop_after_attempt

from pandapon_async import Client, Credentials, Settings

REFUND_ID = "TQ201808300000001"
TINY = {"requestId": "r", "code": 200, "developId": 1, "msg": "ok", "data": {"refundId": REFUND_ID}}
CREDENTIALS = Credentials("key", "secret", "1")
Call = Callable[[], Awaitable[Any]]


class _Raw(asyncio.Protocol):
    """Answers every request with the same bytes, without reading it more than needed."""

    answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._seen = b""

    def data_received(self, data: bytes) -> None:
        self._seen += data
        while (end := self._seen.find(b"\r\n\r\n")) >= 0:
            head = self._seen[:end].lower()
            at = head.find(b"content-length: ")
            length = int(head[at + 16 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self._seen) < end + 4 + length:
                return
            self._seen = self._seen[end + 4 + length :]
            self._transport.write(self.answer)  # type: ignore[attr-defined]


def _serve(body: bytes, port: Any, core: int) -> None:
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {core})
    _Raw.answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (
        len(body),
        body,
    )

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(_Raw, "127.0.0.1", 0)
        port.value = server.sockets[0].getsockname()[1]
        await server.serve_forever()

    asyncio.run(run())


@attrs.define
class _Refund:
    refundId: str | None = None
    status: str | None = None
    applyPayment: int | None = None


@asynccontextmanager
async def bare(url: str) -> AsyncIterator[Call]:
    body, headers = json.dumps({"refundId": REFUND_ID}).encode(), {"Content-Type": "application/json"}
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> bytes:
            async with session.post(f"{url}/alibaba/refund/info", data=body, headers=headers) as response:
                return await response.read()

        yield call


@asynccontextmanager
async def by_hand(url: str) -> AsyncIterator[Call]:
    limiter, converter = AsyncLimiter(1_000_000, 1), Converter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> _Refund:
            async for attempt in AsyncRetrying(stop=stop_after_attempt(3), reraise=True):
                with attempt:
                    async with limiter:
                        stamp, nonce = str(int(time.time() * 1000)), uuid.uuid4().hex
                        text = f"key{stamp}{nonce}secret"
                        headers = {
                            "access-key": "key",
                            "timestamp": stamp,
                            "nonce-str": nonce,
                            "user-id": "1",
                            "signature": hashlib.md5(text.encode(), usedforsecurity=False)
                            .hexdigest()
                            .upper(),
                        }
                        async with session.post(
                            f"{url}/alibaba/refund/info", json={"refundId": REFUND_ID}, headers=headers
                        ) as response:
                            envelope = await response.json()
                            return converter.structure(envelope["data"], _Refund)
            raise AssertionError("tenacity either returns or raises")

        yield call


@asynccontextmanager
async def ours(url: str) -> AsyncIterator[Call]:
    async with Client(CREDENTIALS, Settings(base_url=url, rate=1_000_000, concurrency=256)) as pandapon:
        refunds = pandapon.v1.alibaba.refunds
        yield lambda: refunds.get(refund_id=REFUND_ID)


CONTENDERS = {"bare aiohttp": bare, "by hand (tenacity, aiolimiter, cattrs)": by_hand, "pandapon-async": ours}


async def measure(make: Callable[[str], Any], url: str, count: int, concurrency: int) -> tuple[float, float]:
    """CPU seconds and wall seconds of `count` calls, after a warm-up."""
    async with make(url) as call:

        async def some(left: list[int]) -> None:
            while left[0] > 0:
                left[0] -= 1
                await call()

        for amount in (concurrency * 4, count):
            left = [amount]
            before, begun = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
            await asyncio.gather(*(some(left) for _ in range(concurrency)))
            after, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter() - begun
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return cpu, wall


def main() -> None:
    """Run the contenders interleaved and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--calls", type=int, default=4_000)
    parser.add_argument("--concurrency", type=int, default=32)
    options = parser.parse_args()
    port = multiprocessing.Value("i", 0)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    server = multiprocessing.Process(
        target=_serve, args=(json.dumps(TINY).encode(), port, cores[-1]), daemon=True
    )
    server.start()
    while not port.value:
        time.sleep(0.05)
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[0]})
    url = f"http://127.0.0.1:{port.value}"
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(options.rounds):
        for name, make in CONTENDERS.items():
            runs[name].append(asyncio.run(measure(make, url, options.calls, options.concurrency)))
    server.terminate()
    print(f"{options.calls} calls, concurrency {options.concurrency}, {options.rounds} rounds, tiny answer\n")
    print("| client | CPU us per call | x CPU of bare (spread) | calls/s | x throughput of bare (spread) |")
    print("| --- | --- | --- | --- | --- |")
    first = runs["bare aiohttp"]
    for name, results in runs.items():
        cpu = sorted(one[0] / other[0] for one, other in zip(results, first, strict=True))
        speed = sorted(other[1] / one[1] for one, other in zip(results, first, strict=True))
        print(
            f"| {name} | {1e6 * statistics.median(one[0] for one in results) / options.calls:.0f} "
            f"| {statistics.median(cpu):.2f} ({cpu[0]:.2f}-{cpu[-1]:.2f}) "
            f"| {options.calls / statistics.median(one[1] for one in results):.0f} "
            f"| {statistics.median(speed):.2f} ({speed[0]:.2f}-{speed[-1]:.2f}) |"
        )


if __name__ == "__main__":
    main()
