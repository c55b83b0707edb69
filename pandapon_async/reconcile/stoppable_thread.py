"""Work off the event loop that ends when its task is cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

__all__ = ["StoppableThread"]

T = TypeVar("T")


class _Stopped(BaseException):
    """Ends work in a thread whose task was cancelled."""


class StoppableThread:
    """Runs work in a thread, one after the other; the work calls `check` now and then."""

    def __init__(self) -> None:
        self._stop = threading.Event()

    def check(self) -> None:
        """To be called by the work: raises if it is to end."""
        if self._stop.is_set():
            raise _Stopped

    async def run(self, work: Callable[[], T]) -> T:
        """Run work off the loop. If cancelled, it is told to stop and waited for: it uses files.

        What is run after that is not told so.
        """
        self._stop.clear()
        task = asyncio.get_running_loop().run_in_executor(None, work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._stop.set()
            await asyncio.wait([task])
            if not task.cancelled():
                task.exception()  # looked at, so that nobody warns of it
            raise
