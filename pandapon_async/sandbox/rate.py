"""A rate as a strict server counts it: at most this many requests in any one second."""

from __future__ import annotations

import math
from collections import deque

__all__ = ["Arrivals", "SlidingWindow"]


class SlidingWindow:
    """Admits at most `rate` arrivals in any sliding second; refused ones do not count.

    Below one per second the window is as long as one arrival takes (0.5: one in two seconds).
    """

    def __init__(self, rate: float) -> None:
        if not rate > 0:
            raise ValueError("rate must be above 0, or None for no limit")
        self._capacity = max(1, math.floor(rate))
        self._seconds = 1.0 if rate >= 1 else 1.0 / rate
        self._admitted: deque[float] = deque()

    def admit(self, now: float) -> float | None:
        """None if the arrival is admitted, else the seconds until one would be."""
        admitted = self._admitted
        while admitted and admitted[0] <= now - self._seconds:
            admitted.popleft()
        if len(admitted) >= self._capacity:
            return admitted[0] + self._seconds - now
        admitted.append(now)
        return None


class Arrivals:
    """The largest number of arrivals in any sliding second so far."""

    def __init__(self) -> None:
        self._last_second: deque[float] = deque()
        self.most: int = 0

    def note(self, now: float) -> None:
        """Count one arrival."""
        last = self._last_second
        last.append(now)
        while last[0] <= now - 1.0:
            last.popleft()
        if len(last) > self.most:
            self.most = len(last)
