"""Which lookups of an earlier run still count: those of the same night, and those that the user allows."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from pandapon_async.reconcile.run_store import RunStore

__all__ = ["CLOCK_STEP", "NEAR", "forget_old", "oldest_allowed", "same_night", "stamp"]

NIGHT = 12 * 3600.0
"""Seconds from its beginning for which an incomplete run is resumed: later it is another night's question."""
CLOCK_STEP = 60.0
"""Seconds by which a clock may have been set back since a lookup; what is later than that has no age."""


NEAR = timedelta(days=1)
"""How near a deadline is for a refund to be looked up in any case, and before those with more money."""


def stamp(seconds: float) -> str:
    """A moment as lookups carry it: so that their texts can be compared."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def same_night(begun: float | None, now: float) -> bool:
    """Whether a run that began then (in seconds since 1970) is resumed now."""
    return begun is not None and -CLOCK_STEP <= now - begun < NIGHT


def oldest_allowed(begun: float | None, now: float, reuse: timedelta | None) -> float:
    """From when on lookups count: the beginning of the run that is resumed, or what `reuse` allows.

    In seconds since 1970; infinite if none counts.
    """
    oldest = math.inf if begun is None else begun
    return oldest if reuse is None else min(oldest, now - reuse.total_seconds())


def forget_old(state: RunStore, begun: float | None, now: float, reuse: timedelta | None) -> int:
    """Drop the lookups that do not count any more; gives their number."""
    oldest = oldest_allowed(begun, now, reuse)
    state.keep_deadlines()
    if oldest == math.inf:
        return state.forget_all_lookups()
    return state.forget_lookups(stamp(oldest), stamp(now + CLOCK_STEP))
