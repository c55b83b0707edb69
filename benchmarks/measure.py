"""What a stretch of work cost this process: CPU, time, memory."""

from __future__ import annotations

import asyncio
import resource
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import attrs

from benchmarks import rivals

__all__ = [
    "MIB",
    "Stopwatch",
    "Ticker",
    "current_rss",
    "drive",
    "drive_for",
    "forget_peak",
    "peak_rss",
    "run",
]

T = TypeVar("T")
MIB = 1024 * 1024


@attrs.define
class Stopwatch:
    """`with Stopwatch() as watch:` and then `watch.cpu` and `watch.wall`, in seconds.

    CPU is user and system time of the whole process, its threads included.
    """

    cpu: float = 0.0
    wall: float = 0.0

    def __enter__(self) -> Stopwatch:
        self.cpu, self.wall = -_cpu(), -time.perf_counter()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall += time.perf_counter()
        self.cpu += _cpu()


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def peak_rss() -> int:
    """Bytes of memory at the highest point since the start or `forget_peak`.

    Not `ru_maxrss`: that one keeps what the parent had when it forked.
    """
    return _status("VmHWM:")


def current_rss() -> int:
    """Bytes of memory now."""
    return _status("VmRSS:")


def forget_peak() -> None:
    """Let `peak_rss` begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def _status(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    raise LookupError(name)


def run(work: Coroutine[Any, Any, T], *, uvloop: bool = False) -> T:
    """Run a coroutine on the stock loop, or on uvloop's."""
    factory: Any = rivals.module("uvloop").new_event_loop if uvloop else None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(work)


async def drive(call: Callable[[], Awaitable[Any]], count: int, concurrency: int) -> None:
    """Make `count` calls, `concurrency` at once, from that many workers; results are dropped."""
    left = count

    async def worker() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await call()

    await asyncio.gather(*(worker() for _ in range(concurrency)))


async def drive_for(call: Callable[[], Awaitable[Any]], seconds: float, concurrency: int) -> int:
    """Make calls for so many seconds, `concurrency` at once; gives how many were made."""
    end = time.perf_counter() + seconds
    made = 0

    async def worker() -> None:
        nonlocal made
        while time.perf_counter() < end:
            await call()
            made += 1

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return made


class Ticker:
    """`async with Ticker() as ticker:` and then `ticker.worst`: how long, in seconds, the loop was held.

    A task that wants to run every 2 ms, and notes how much later than that its turn came.
    """

    PERIOD = 0.002

    def __init__(self) -> None:
        self.worst = 0.0

    async def _tick(self) -> None:
        while True:
            begun = time.perf_counter()
            await asyncio.sleep(self.PERIOD)
            self.worst = max(self.worst, time.perf_counter() - begun - self.PERIOD)

    async def __aenter__(self) -> Ticker:
        self._task = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(self.PERIOD)  # so that a stall that is just over is noticed
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
