"""How old a write is, by clocks that can be believed.

A wall clock that steps an hour ahead makes a write look an hour old a second after it was sent, and absence
would be believed far too early. So within one boot of the machine its uptime is compared; else what the
server said of the time, then and now; else only what this process has seen itself counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from pandapon_async.clock import Clock
from pandapon_async.journal.intent import Intent

__all__ = ["Ages", "seconds_left"]

MOST = 100_000
"""How many first looks are remembered. One that is forgotten counts from the next look."""


def seconds_left(age: float, settle_after: float) -> float:
    """How long until absence can be believed; who waits so long has waited enough.

    Up to a millisecond more than is lacking: ages are differences of large numbers, and come out short.
    """
    lacking = settle_after - age
    return 0.0 if lacking <= 0 else (math.floor(lacking * 1_000) + 1) / 1_000


class Ages:
    """The ages of writes; `told` gives the server's time in seconds since 1970, where it has told it."""

    def __init__(self, clock: Clock, told: Callable[[], float | None]) -> None:
        self._clock = clock
        self._told = told
        self._first_looks: dict[str, float] = {}

    def of(self, intent: Intent) -> float:
        """The seconds for which the write surely has not been under way any more."""
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
