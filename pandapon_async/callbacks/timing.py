"""Waiting under the injected clock."""

from __future__ import annotations

import asyncio

from pandapon_async.clock import Clock

__all__ = ["Alarm"]


class Alarm:
    """A bell: wait until it is rung or until a time has passed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Wake the waiter, or the next one if there is none."""
        self._rung.set()

    async def wait(self, seconds: float) -> None:
        """Wait for at most this many seconds."""
        timer = self._clock.call_later(max(0.0, seconds), self._rung.set)
        try:
            await self._rung.wait()
        finally:
            timer.cancel()
            self._rung.clear()
