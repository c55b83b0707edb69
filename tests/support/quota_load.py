"""Processes that share one quota, and a strict server that counts what arrives, in a process of its own.

    python -m tests.support.quota_load server RATE
    python -m tests.support.quota_load worker PORT KIND RATE CALLERS SECONDS ADDRESS

The server answers `+` or `-` to each byte. A request is refused if as many as the rate were admitted in the
second before it. A worker's callers always want a permit, and send a byte with each.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from pandapon_async import Clock, Limiter
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.shared.database import Database
from pandapon_async.shared.quota import QuotaBook
from pandapon_async.transport.shared_limiter import SharedLimiter

__all__ = ["Counted", "Load", "run_load"]


@attrs.frozen
class Counted:
    """What the server saw."""

    requests: int
    refused: int
    busiest: int
    """Most arrivals in any second."""
    by_second: list[int]

    def used(self, rate: float) -> float:
        """The part of the quota that was used in the whole seconds but the first and the last two."""
        middle = self.by_second[1:-2]
        return sum(middle) / len(middle) / rate


class Load:
    """The processes of one run."""

    def __init__(self, workers: Sequence[subprocess.Popen[str]]) -> None:
        self.workers = workers

    def signal(self, worker: int, what: signal.Signals) -> None:
        """Stop, continue or kill one of them."""
        self.workers[worker].send_signal(what)


def run_load(
    kinds: Sequence[str],
    rate: float,
    address: str,
    *,
    seconds: float,
    callers: Sequence[int] = (16,),
    during: Callable[[Load], None] = lambda _: None,
) -> tuple[Counted, list[dict[str, Any]]]:
    """Let one process for each kind use the quota; gives what the server counted and what each process says.

    Args:
        kinds: "shared", "shared:0.25" (with that fallback), "whole" (each the whole rate, unshared).
        rate: Calls per second.
        address: Of the database.
        seconds: How long they run.
        callers: How many callers each process has; the last number holds for the rest.
        during: Called once all run; what it does happens meanwhile.
    """
    with _process("server", rate) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        with contextlib.ExitStack() as stack:
            workers = [
                stack.enter_context(
                    _process("worker", port, kind, rate, callers[min(i, len(callers) - 1)], seconds, address)
                )
                for i, kind in enumerate(kinds)
            ]
            during(Load(workers))
            said = [worker.communicate(timeout=seconds + 30)[0] for worker in workers]
        server.send_signal(signal.SIGTERM)
        counted = Counted(**json.loads(server.communicate(timeout=10)[0]))
    return counted, [json.loads(text) for text in said if text]


@contextlib.contextmanager
def _process(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "tests.support.quota_load", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.kill()


class _Window(asyncio.Protocol):
    def __init__(self, rate: int) -> None:
        self.rate = rate
        self.admitted: collections.deque[float] = collections.deque()
        self.arrived: list[float] = []
        self.refused = 0

    def answer(self, transport: asyncio.Transport, data: bytes) -> None:
        now = time.monotonic()
        transport.write(b"".join(b"+" if self._admit(now) else b"-" for _ in data))

    def _admit(self, now: float) -> bool:
        self.arrived.append(now)
        while self.admitted and self.admitted[0] <= now - 1:
            self.admitted.popleft()
        if len(self.admitted) >= self.rate:
            self.refused += 1
            return False
        self.admitted.append(now)
        return True

    def report(self) -> dict[str, Any]:
        times, first, busiest = self.arrived, 0, 0
        for last, moment in enumerate(times):
            while times[first] <= moment - 1:
                first += 1
            busiest = max(busiest, last - first + 1)
        seconds = collections.Counter(int(moment - times[0]) for moment in times)
        by_second = [seconds[number] for number in range(max(seconds, default=-1) + 1)]
        return {
            "requests": len(times), "refused": self.refused, "busiest": busiest, "by_second": by_second,
        }  # fmt: skip


async def _serve(rate: int) -> None:
    window, ended = _Window(rate), asyncio.Event()

    class Connection(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport: Any = transport

        def data_received(self, data: bytes) -> None:
            window.answer(self.transport, data)

    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    print(json.dumps(window.report()), flush=True)


def _limiter(kind: str, rate: float, address: str) -> Limiter:
    name, _, share = kind.partition(":")
    if name == "whole":
        return Limiter(rate, adaptive=None)
    clock = Clock()
    database = Database(DatabaseUrl(address), clock)
    return SharedLimiter(
        QuotaBook(database, f"a quota of {rate:g}", clock), rate, clock, fallback=float(share or 0) or None
    )


async def _work(port: int, kind: str, rate: float, callers: int, seconds: float, address: str) -> None:
    limiter = _limiter(kind, rate, address)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    end = time.monotonic() + seconds

    async def call() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while time.monotonic() < end:
                    permit = await limiter.acquire()
                    if not limiter.is_stale(permit, time.monotonic()):
                        writer.write(b"x")

    begun = time.process_time()
    answers = asyncio.ensure_future(reader.read())
    await asyncio.gather(*(call() for _ in range(callers)))
    used = time.process_time() - begun
    await asyncio.sleep(0.2)
    await limiter.aclose()
    writer.write_eof()
    answers.cancel()
    facts = {"pid": os.getpid(), "permits": limiter.permits, "cpu_us": 1e6 * used / max(1, limiter.permits)}
    for name in ("questions", "booked", "late", "alone"):
        facts[name] = getattr(limiter, name, 0)
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "server":
        asyncio.run(_serve(int(float(sys.argv[2]))))
    else:
        port, kind, rate, callers, seconds, address = sys.argv[2:]
        asyncio.run(_work(int(port), kind, float(rate), int(callers), float(seconds), address))
