"""What a permit costs: when it is free, and with 1, 1,000 and 20,000 calls in line for the next one.

`python -m benchmarks.limiter` keeps the line at that length, each caller rejoining once served, and takes
the CPU time of a number of permits. How well the quota itself is kept is in `benchmarks.quota`.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks import report, rivals
from benchmarks.child import in_child
from benchmarks.measure import Stopwatch, run
from pandapon_async import Limiter

__all__ = ["main"]

Acquire = Callable[[], Awaitable[Any]]
RATE = 2_000
NEVER_REACHED = 10_000_000
FREE = 20_000
LINES = (1, 1_000, 20_000)


def _ours(rate: int) -> Acquire:
    return Limiter(rate).acquire


def _aiolimiter(rate: int) -> Acquire:
    acquire: Acquire = rivals.module("aiolimiter").AsyncLimiter(rate / 50, 1 / 50).acquire
    return acquire


def _pyrate(rate: int) -> Acquire:
    package = rivals.module("pyrate_limiter")
    limiter = package.Limiter(package.Rate(rate, package.Duration.SECOND))
    return lambda: limiter.try_acquire_async("benchmark")


LIMITERS: dict[str, tuple[str, Callable[[int], Acquire]]] = {
    "pandapon-async": ("pandapon_async", _ours),
    "aiolimiter (2 % of the rate at once)": ("aiolimiter", _aiolimiter),
    "pyrate-limiter": ("pyrate_limiter", _pyrate),
}


def free(name: str, count: int) -> float:
    """In a child: CPU seconds of a permit that is there."""

    async def work() -> float:
        acquire = LIMITERS[name][1](NEVER_REACHED)
        await acquire()
        with Stopwatch() as watch:
            for _ in range(count):
                await acquire()
        return watch.cpu / count

    return run(work())


def in_line(name: str, waiters: int, permits: int) -> float:
    """In a child: CPU seconds of a permit that so many are waiting for."""

    async def work() -> float:
        acquire = LIMITERS[name][1](RATE)
        given = 0
        enough = asyncio.Event()

        async def caller() -> None:
            nonlocal given
            while True:
                await acquire()
                given += 1
                if given >= permits:
                    enough.set()

        callers = [asyncio.create_task(caller()) for _ in range(waiters)]
        await asyncio.sleep(0.2)  # until all are in line
        given = 0
        enough.clear()  # a limiter that lets a burst through has given many already
        with Stopwatch() as watch:
            await enough.wait()
        for task in callers:
            task.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
        return watch.cpu / permits

    return run(work())


def main() -> None:
    """Run all in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--permits", type=int, default=RATE, help=f"taken in each run, at {RATE} a second")
    parser.add_argument("--lines", type=int, nargs="+", default=LINES, help="how many wait")
    options = parser.parse_args()
    rows, skipped = [], []
    for name, (package, _) in LIMITERS.items():
        if not rivals.is_installed(package):
            skipped.append(f"skipped: {name}, as {package} is not installed")
            continue
        costs = [[in_child("limiter", "free", name=name, count=FREE) for _ in range(options.rounds)]]
        for waiters in options.lines:
            costs.append(
                [
                    in_child("limiter", "in_line", name=name, waiters=waiters, permits=options.permits)
                    for _ in range(options.rounds)
                ]
            )
        rows.append([name, *(report.spread([1e6 * one for one in runs], ".1f") for runs in costs)])
    head = ["CPU µs a permit", "free", *(f"{waiters:,} waiting" for waiters in options.lines)]
    report.write("limiter", f"what a permit costs, {RATE} a second", report.table(head, rows), *skipped)


if __name__ == "__main__":
    main()
