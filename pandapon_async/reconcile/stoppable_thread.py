"""Run work off the event loop and end it when its task is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["StoppableThread"]

T = TypeVar("T")


class _Stopped(BaseException):
    """Ends work in a thread after its task was cancelled."""


class StoppableThread:
    """Runs work in a thread, one piece at a time; the work calls `check` regularly."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def check(self) -> None:
        """Raise if the work should end; the work calls this."""
        if self._stop.is_set():
            raise _Stopped

    async def run(self, work: Callable[[], T]) -> T:
        """Run work off the loop. A cancellation stops the work and waits for it, because it uses files.

        Later work is not affected.
        """
        self._stop.clear()
        task = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # retrieved, so asyncio does not warn about it
            raise
