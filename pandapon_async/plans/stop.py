"""Stop a run early without interrupting a row."""

from __future__ import annotations

import asyncio
import functools

from pandapon_async.clock import Clock

__all__ = ["Stop"]


class Stop:
    """Asks a run to start nothing new; running rows finish."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """Why, for people."""
        self.hurried: bool = False
        """Whether the run also skips waits for results that a later run can find."""
        self._pauses: set[asyncio.Future[None]] = set()

    def request(self, reason: str, *, hurry: bool = False) -> None:
        """Start nothing new from now on. Call it in the event loop's thread."""
        self.reason = self.reason or reason
        self.hurried = self.hurried or hurry
        if hurry:
            for pause in self._pauses:
                _wake(pause)

    @property
    def requested(self) -> bool:
        """Whether a stop was requested."""
        return self.reason is not None

    async def pause(self, seconds: float, clock: Clock) -> None:
        """Wait; ends early if the stop is hurried."""
        if self.hurried:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = clock.call_later(seconds, functools.partial(_wake, future))
        self._pauses.add(future)
        try:
            await future
        finally:
            timer.cancel()
            self._pauses.discard(future)


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
