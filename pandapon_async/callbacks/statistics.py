"""What a receiver counts."""

from __future__ import annotations

from collections import Counter

import attrs

from pandapon_async.core.json_values import Result

__all__ = ["Statistics"]


@attrs.define
class Statistics(Result):
    """Running numbers since the receiver was made."""

    stored: int = 0
    """New messages that were stored."""
    duplicates: int = 0
    """Messages that were stored before."""
    verifications: int = 0
    """The console's requests without a signature."""
    refused: Counter[str] = attrs.field(factory=Counter)
    """Requests that were refused, by `CallbackReason`."""
    unavailable: int = 0
    """Messages that could not be stored in time and were sent back for a retry."""
    handled: int = 0
    """Messages that are done with."""
    unhandled: int = 0
    """Of those, messages that no handler wanted."""
    failed: int = 0
    """Attempts that failed and will be repeated."""
    dead: int = 0
    """Messages that were given up."""
