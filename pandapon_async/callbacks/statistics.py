"""What a receiver counts."""

from __future__ import annotations

from collections import Counter

import attrs

__all__ = ["Statistics"]


@attrs.define
class Statistics:
    """Running numbers since the receiver was made.

    `stored` are new messages, `duplicates` those that were there already, `verifications` the console's
    requests without a signature, `refused` by reason, `unavailable` what could not be stored in time
    and was sent back for a retry. `handled` messages are done with, `unhandled` of them wanted by nobody;
    `failed` counts attempts that will be repeated, `dead` messages that were given up.
    """

    stored: int = 0
    duplicates: int = 0
    verifications: int = 0
    refused: Counter[str] = attrs.field(factory=Counter)
    unavailable: int = 0
    handled: int = 0
    unhandled: int = 0
    failed: int = 0
    dead: int = 0
