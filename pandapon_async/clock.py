"""Time and chance, in one place that tests and benchmarks can replace.

No decision of the library rests on a time, a timer or a die that does not come from here.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

__all__ = ["Clock", "duration", "time_limit"]


class Clock:
    """The real time. Subclass it and override what a test needs."""

    def wall(self) -> float:
        """Seconds since 1970, UTC; what signatures carry."""
        return time.time()

    def now(self) -> float:
        """Seconds on a clock that never goes back; what waits and deadlines use."""
        return time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], Any]) -> asyncio.TimerHandle:
        """Run `callback` in this many seconds; the handle cancels it."""
        return asyncio.get_running_loop().call_later(seconds, callback)

    def random(self) -> float:
        """A number in [0, 1), for jitter."""
        return random.random()

    def nonce(self) -> str:
        """A fresh nonce of 32 characters, from the system's secure source."""
        return secrets.token_hex(16)


@contextlib.asynccontextmanager
async def time_limit(clock: Clock, seconds: float) -> AsyncIterator[asyncio.Timeout]:
    """Raise TimeoutError if the block takes longer than this many seconds of `clock`."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:
        timer = clock.call_later(max(0.0, seconds), lambda: scope.reschedule(loop.time()))
        try:
            yield scope
        finally:
            timer.cancel()


def duration(seconds: float) -> str:
    """Seconds in words.

    >>> duration(42), duration(150), duration(9000)
    ('42 s', '2 min 30 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
