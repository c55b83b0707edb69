"""Whether the freight of a 1688 refund is on top of its amount, or a part of it.

No page says it. Three independent programs add the two, and this client first took freight for a part. A plan
that takes the one for the other asks for the wrong sum, and a ledger differs from the platform by the freight
of every row. So it is a setting, and as long as nobody has answered, nothing rests on either reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

__all__ = ["FREIGHT_READINGS", "FreightReading", "total_fen", "totals_fen"]

FreightReading = Literal["ask", "added", "included"]
"""Freight is on top of a refund's amount, part of it, or a question to whoever runs the job."""
FREIGHT_READINGS: Final = ("ask", "added", "included")


def total_fen(amount: int, freight: int | None, reading: FreightReading) -> int:
    """What a refund comes to under one reading, in fen; where it is not known, the larger total."""
    return amount if reading == "included" else amount + (freight or 0)


def totals_fen(amount: int, freight: int | None, reading: FreightReading) -> Mapping[FreightReading, int]:
    """What a refund may come to, in fen, by the reading: one entry if it is known or makes no difference."""
    if reading != "ask" or not freight:
        return {reading: total_fen(amount, freight, reading)}
    return {one: total_fen(amount, freight, one) for one in ("included", "added")}
