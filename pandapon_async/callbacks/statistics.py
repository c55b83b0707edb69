"""The counters of a receiver."""

from __future__ import annotations

from collections import Counter

import attrs

from pandapon_async.core.json_values import Result

__all__ = ["Statistics"]


@attrs.define
class Statistics(Result):
    """The counters since the receiver was created."""

    stored: int = 0
    """New messages that were stored."""
    duplicates: int = 0
    """Duplicates of stored messages."""
    verifications: int = 0
    """Unsigned requests of the console."""
    refused: Counter[str] = attrs.field(factory=Counter)
    """Requests that were refused, by `CallbackReason`."""
    unavailable: int = 0
    """Messages that could not be stored in time and were sent back for a retry."""
    handled: int = 0
    """Messages that are done."""
    unhandled: int = 0
    """Of those, messages without a handler."""
    failed: int = 0
    """Attempts that failed and will be repeated."""
    dead: int = 0
    """Messages that were given up."""
