"""What is wrong with a ledger row, drawn once per number.

The refund and its ledger row are made apart from each other, and both must know: a deadline in the
past or an unknown state is planted in the refund, a wrong amount in the row.
"""

from __future__ import annotations

import enum

__all__ = ["PER_MILLE", "Planted", "planted"]


class Planted(enum.StrEnum):
    """One planted difference; the value is the verdict that a reconciliation must reach."""

    MATCHED = "matched"
    AMOUNT_MISMATCH = "amount_mismatch"
    STATUS_DRIFT = "status_drift"
    MISSING_UPSTREAM = "missing_upstream"
    TIMED_OUT = "timed_out"
    DUPLICATE_LOCAL = "duplicate_local"
    CURRENCY_MISMATCH = "currency_mismatch"
    UNKNOWN_STATUS = "unknown_status"
    UNREADABLE = "unreadable"


PER_MILLE = {
    Planted.AMOUNT_MISMATCH: 20,
    Planted.STATUS_DRIFT: 20,
    Planted.MISSING_UPSTREAM: 10,
    Planted.TIMED_OUT: 10,
    Planted.DUPLICATE_LOCAL: 5,
    Planted.CURRENCY_MISMATCH: 5,
    Planted.UNKNOWN_STATUS: 5,
    Planted.UNREADABLE: 5,
}

_TABLE = [kind for kind, share in PER_MILLE.items() for _ in range(share)]
_TABLE += [Planted.MATCHED] * (1000 - len(_TABLE))


def planted(draw: int) -> Planted:
    """The difference that an even draw stands for."""
    return _TABLE[draw % 1000]
