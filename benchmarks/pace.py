"""How well a quota is kept: ours beside aiolimiter in several sizes.

`python -m benchmarks.pace` saturates each limiter for a few seconds at several rates and looks at the
times at which permits were given: what share of the quota was used, and how many calls a server that
admits `rate` calls in any sliding second would have refused.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import time
from collections import deque
from collections.abc import Awaitable, Callable

import attrs
from aiolimiter import AsyncLimiter

from pandapon_async import Limiter

Acquire = Callable[[], Awaitable[None]]


@attrs.define(frozen=True)
class Kept:
    """What a strict server would say of one run."""

    used: float
    busiest: int
    refused: float


RIVALS: dict[str, Callable[[float], Acquire]] = {
    "ours": lambda rate: Limiter(rate).acquire,
    "aiolimiter(rate, 1), as users set it up": lambda rate: AsyncLimiter(rate, 1).acquire,
    "aiolimiter(2 % of rate, 20 ms)": lambda rate: (
        AsyncLimiter(max(1.0, rate / 50), max(1.0, rate / 50) / rate).acquire
    ),
    "aiolimiter(1, 1 / rate)": lambda rate: AsyncLimiter(1, 1 / rate).acquire,
    "aiolimiter(2 %), rate 2 % lower": lambda rate: (
        AsyncLimiter(max(1.0, rate / 50), max(1.0, rate / 50) / (rate * 0.98)).acquire
    ),
}


async def saturate(acquire: Acquire, seconds: float, callers: int) -> list[float]:
    """The times at which permits were given while `callers` always want one."""
    end = time.monotonic() + seconds
    given: list[float] = []

    async def caller() -> None:
        while True:
            await acquire()
            now = time.monotonic()
            if now >= end:
                return
            given.append(now)

    tasks = [asyncio.create_task(caller()) for _ in range(callers)]
    await asyncio.wait(tasks, timeout=seconds + 2)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return sorted(given)


def judge(times: list[float], rate: float, seconds: float) -> Kept:
    """A server that admits `rate` in any sliding second; what it refuses does not count against the rest."""
    admitted: deque[float] = deque()
    window: deque[float] = deque()
    refused = busiest = 0
    for moment in times:
        window.append(moment)
        while window[0] <= moment - 1:
            window.popleft()
        busiest = max(busiest, len(window))
        while admitted and admitted[0] <= moment - 1:
            admitted.popleft()
        if len(admitted) >= rate:
            refused += 1
        else:
            admitted.append(moment)
    return Kept(len(times) / (rate * seconds), busiest, refused / len(times))


def main() -> None:
    """Run all rivals in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rates", type=float, nargs="+", default=[20, 200, 2000])
    options = parser.parse_args()
    print("| rate | limiter | quota used (median, spread) | busiest second | refused by a strict server |")
    print("| --- | --- | --- | --- | --- |")
    for rate in options.rates:
        runs: dict[str, list[Kept]] = {name: [] for name in RIVALS}
        for _ in range(options.rounds):
            for name, make in RIVALS.items():

                async def once(make: Callable[[float], Acquire] = make, rate: float = rate) -> list[float]:
                    return await saturate(make(rate), options.seconds, 64)

                runs[name].append(judge(asyncio.run(once()), rate, options.seconds))
        for name, kept in runs.items():
            used = sorted(one.used for one in kept)
            print(
                f"| {rate:g} | {name} | {statistics.median(used):.1%} ({used[0]:.1%}-{used[-1]:.1%}) "
                f"| {max(one.busiest for one in kept)} | {max(one.refused for one in kept):.1%} |"
            )


if __name__ == "__main__":
    main()
