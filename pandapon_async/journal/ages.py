"""The age of a write, by clocks that can be trusted.

If the wall clock steps an hour ahead, a write looks an hour old a second after it was sent, and its absence
would be believed far too early. So within one boot of the machine its uptime is compared; otherwise the
server's time, then and now; otherwise only the time that this process itself has seen counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pandapon_async.clock import Clock
from pandapon_async.journal.intent import Intent

__all__ = ["Ages", "seconds_left"]

MOST = 100_000
"""How many first looks are remembered. A forgotten one counts from the next look."""


def seconds_left(age: float, settle_after: float) -> float:
    """Seconds until absence can be believed.

    Rounded up by a millisecond, because ages are differences of large numbers and come out slightly short.
    """
    lacking = settle_after - age
    return 0.0 if lacking <= 0 else (math.floor(lacking * 1_000) + 1) / 1_000


class Ages:
    """The ages of writes; `told` returns the server's time in seconds since 1970, if known."""

    def __init__(self, clock: Clock, told: Callable[[], float | None]) -> None:
        self._clock = clock
        self._told = told
        self._first_looks: dict[str, float] = {}

    def of(self, intent: Intent) -> float:
        """Seconds since the write was certainly no longer in flight."""
        boot = self._clock.boot()
        if boot is not None and intent.uptime is not None and intent.boot == boot[0]:
            return max(0.0, boot[1] - intent.uptime)
        told = self._told()
        if told is not None and intent.served is not None:
            return max(0.0, told - intent.served)
        now = self._clock.now()
        first = self._first_looks.setdefault(intent.id, now)
        if len(self._first_looks) > MOST:
            del self._first_looks[next(iter(self._first_looks))]
        return now - first
