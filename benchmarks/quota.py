"""How well a quota is kept: ours beside aiolimiter in several sizes, pyrate-limiter and aiometer.

`python -m benchmarks.quota` saturates each limiter for a few seconds (`--seconds 60` for longer) at several
rates and looks at the times at which permits were given: what share of the quota was used, and how many
calls a server that admits `rate` calls in any sliding second would have refused: if each arrived in the
moment of its permit, and if the way there took up to 20 ms more or less.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import attrs

from benchmarks import report, rivals
from benchmarks.child import in_child
from benchmarks.measure import run
from pandapon_async import Limiter

__all__ = ["LIMITERS", "judge", "main"]

CALLERS = 64
JITTER = 0.02
Acquire = Callable[[], Awaitable[Any]]
Saturate = Callable[[float, float], Awaitable[list[float]]]
"""From the rate and the seconds to the times at which permits were given."""


@attrs.define(frozen=True)
class Kept:
    """What a strict server would say of one run."""

    used: float
    busiest: int
    refused: float
    refused_with_jitter: float


def _callers(make: Callable[[float], Acquire]) -> Saturate:
    """Many callers that always want a permit."""

    async def saturate(rate: float, seconds: float) -> list[float]:
        acquire = make(rate)
        end = time.monotonic() + seconds
        given: list[float] = []

        async def caller() -> None:
            while True:
                await acquire()
                now = time.monotonic()
                if now >= end:
                    return
                given.append(now)

        tasks = [asyncio.create_task(caller()) for _ in range(CALLERS)]
        await asyncio.wait(tasks, timeout=seconds + 0.1)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return sorted(given)

    return saturate


def _aiolimiter(share: Callable[[float], float], share_of_rate: float = 1.0) -> Saturate:
    """A bucket of `share(rate)` permits that refills at `share_of_rate` times the rate."""

    def make(rate: float) -> Acquire:
        burst = share(rate)
        acquire: Acquire = (
            rivals.module("aiolimiter").AsyncLimiter(burst, burst / (rate * share_of_rate)).acquire
        )
        return acquire

    return _callers(make)


def _pyrate(rate: float) -> Acquire:
    package = rivals.module("pyrate_limiter")
    limiter = package.Limiter(package.Rate(int(rate), package.Duration.SECOND))
    return lambda: limiter.try_acquire_async("benchmark")


async def _aiometer(rate: float, seconds: float) -> list[float]:
    """It has no permits, only jobs that it starts at a rate."""
    given: list[float] = []
    end = time.monotonic() + seconds

    def jobs() -> Iterator[int]:
        for number in itertools.count():
            if time.monotonic() >= end:
                return
            yield number

    async def job(_: int) -> None:
        given.append(time.monotonic())

    await rivals.module("aiometer").run_on_each(job, jobs(), max_per_second=rate)
    return [moment for moment in given if moment < end]


def _two_percent(rate: float) -> float:
    return max(1.0, rate / 50)


LIMITERS: dict[str, tuple[str, Saturate]] = {
    "pandapon-async": ("pandapon_async", _callers(lambda rate: Limiter(rate).acquire)),
    "aiolimiter(rate, 1), as users set it up": ("aiolimiter", _aiolimiter(lambda rate: rate)),
    "aiolimiter(2 % of rate, 20 ms)": ("aiolimiter", _aiolimiter(_two_percent)),
    "aiolimiter(1, 1 / rate)": ("aiolimiter", _aiolimiter(lambda rate: 1.0)),
    "aiolimiter(2 %), rate 2 % lower": ("aiolimiter", _aiolimiter(_two_percent, share_of_rate=0.98)),
    "pyrate-limiter": ("pyrate_limiter", _callers(_pyrate)),
    "aiometer": ("aiometer", _aiometer),
}


def judge(times: list[float], rate: float, seconds: float) -> Kept:
    """A server that admits `rate` in any sliding second; what it refuses does not count against the rest."""
    window: deque[float] = deque()
    busiest = 0
    for moment in times:
        window.append(moment)
        while window[0] <= moment - 1:
            window.popleft()
        busiest = max(busiest, len(window))
    dice = random.Random(1)
    late = sorted(moment + dice.uniform(0, JITTER) for moment in times)
    count = max(1, len(times))
    return Kept(
        len(times) / (rate * seconds), busiest, _refused(times, rate) / count, _refused(late, rate) / count
    )


def _refused(times: list[float], rate: float) -> int:
    admitted: deque[float] = deque()
    refused = 0
    for moment in times:
        while admitted and admitted[0] <= moment - 1:
            admitted.popleft()
        if len(admitted) >= rate:
            refused += 1
        else:
            admitted.append(moment)
    return refused


def measure(name: str, rate: float, seconds: float) -> dict[str, float]:
    """In a child: one limiter, judged."""

    async def work() -> list[float]:
        return await LIMITERS[name][1](rate, seconds)

    return attrs.asdict(judge(run(work()), rate, seconds))


def main() -> None:
    """Run all rivals in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="per limiter, rate and round")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rates", type=float, nargs="+", default=[20, 200, 2000])
    parser.add_argument("--limiters", nargs="+", choices=LIMITERS, default=list(LIMITERS))
    parser.add_argument(
        "--save-as", default="quota", help="the name of the page, of a run that is to be kept"
    )
    options = parser.parse_args()
    names = [name for name in options.limiters if rivals.is_installed(LIMITERS[name][0])]
    skipped = [f"skipped: {name}, as it is not installed" for name in options.limiters if name not in names]
    rows = []
    for rate in options.rates:
        runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _, name in itertools.product(range(options.rounds), names):
            runs[name].append(in_child("quota", "measure", name=name, rate=rate, seconds=options.seconds))
        for name, kept in runs.items():
            rows.append(
                [
                    f"{rate:g}/s, {name}",
                    report.spread([100 * one["used"] for one in kept], ".1f"),
                    f"{max(one['busiest'] for one in kept):.0f}",
                    f"{100 * max(one['refused'] for one in kept):.1f}",
                    f"{100 * max(one['refused_with_jitter'] for one in kept):.1f}",
                ]
            )
    head = ["rate, limiter", "% of the quota used", "busiest second", "% refused", "% refused, 20 ms jitter"]
    report.write(
        options.save_as,
        "how the quota is kept",
        f"{options.rounds} x {options.seconds:g} s, {CALLERS} callers that always want a permit; the "
        "busiest second and the refusals, by a server that admits the rate in any sliding second, are the "
        "worst of all rounds.",
        report.table(head, rows),
        *skipped,
    )


if __name__ == "__main__":
    main()
