"""Ends the requests whose time is up, with one timer for all of them.

A timer for each request, as aiohttp and `asyncio.timeout` have it, costs 5 % of a request, and hardly one
of them ever fires. Here a request only notes its end, and the timer is set anew when it fires or when
somebody ends sooner than all before.
"""

from __future__ import annotations

import asyncio
import math

from pandapon_async.clock import Clock

__all__ = ["Deadlines"]


class Deadlines:
    """The ends of what is under way, each in `Clock.now` seconds; one per task."""

    def __init__(self) -> None:
        self._ends: dict[asyncio.Task[object], float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = math.inf

    def begin(self, task: asyncio.Task[object], end: float, clock: Clock) -> None:
        """From now on the task is cancelled when its end comes; `finish` must follow."""
        self._ends[task] = end
        if end < self._fires_at:
            self._set(end, clock)

    def finish(self, task: asyncio.Task[object]) -> bool:
        """The task is out of danger; gives whether its end came, that is whether it was cancelled here."""
        return self._ends.pop(task, None) is None

    def close(self) -> None:
        """Leave no timer behind."""
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, end: float, clock: Clock) -> None:
        self.close()
        self._fires_at = end
        self._timer = clock.call_later(max(0.0, end - clock.now()), lambda: self._fire(clock))

    def _fire(self, clock: Clock) -> None:
        self._timer, self._fires_at = None, math.inf
        now = clock.now()
        for task in [task for task, end in self._ends.items() if end <= now]:
            del self._ends[task]
            task.cancel()
        if self._ends:
            self._set(min(self._ends.values()), clock)
