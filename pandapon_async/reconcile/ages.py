"""Decide which lookups of an earlier run count: those of the same night, and those that the user allows."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from pandapon_async.reconcile.run_store import RunStore

__all__ = ["CLOCK_STEP", "NEAR", "forget_old", "oldest_allowed", "same_night", "stamp"]

NIGHT = 12 * 3600.0
"""Seconds after its start during which an incomplete run is resumed; later a new night begins."""
CLOCK_STEP = 60.0
"""Seconds that a clock may have been set back since a lookup; a later lookup has no age."""


NEAR = timedelta(days=1)
"""Time before a deadline within which a refund is always looked up, and before larger amounts."""


def stamp(seconds: float) -> str:
    """Format a time as in lookups, so that the texts can be compared."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def same_night(begun: float | None, now: float) -> bool:
    """Whether a run that began then (in seconds since 1970) is resumed now."""
    return begun is not None and -CLOCK_STEP <= now - begun < NIGHT


def oldest_allowed(begun: float | None, now: float, reuse: timedelta | None) -> float:
    """The time from which lookups count: the start of the resumed run, or the limit of `reuse`.

    In seconds since 1970; infinite if none counts.
    """
    oldest = math.inf if begun is None else begun
    return oldest if reuse is None else min(oldest, now - reuse.total_seconds())


def forget_old(state: RunStore, begun: float | None, now: float, reuse: timedelta | None) -> int:
    """Drop the lookups that no longer count; return their number."""
    oldest = oldest_allowed(begun, now, reuse)
    state.keep_deadlines()
    if oldest == math.inf:
        return state.forget_all_lookups()
    return state.forget_lookups(stamp(oldest), stamp(now + CLOCK_STEP))
