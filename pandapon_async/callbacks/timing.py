"""Waiting under the injected clock."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from pandapon_async.clock import Clock

__all__ = ["Alarm", "time_limit"]


@contextlib.asynccontextmanager
async def time_limit(clock: Clock, seconds: float) -> AsyncIterator[None]:
    """TimeoutError for what takes longer than this."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as scope:
        timer = clock.call_later(seconds, lambda: scope.reschedule(loop.time()))
        try:
            yield
        finally:
            timer.cancel()


class Alarm:
    """Something to wait for: until it is rung, or until some time has passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake whoever waits; whoever waits next, if nobody does."""
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Wait so long at most."""
        timer = self._clock.call_later(max(0.0, seconds), self._rung.set)
        try:
            await self._rung.wait()
        finally:
            timer.cancel()
            self._rung.clear()
