"""Whether the freight of a 1688 refund is added to its amount or included in it.

No page of the vendor says which. Three independent programs add the two; an early version of this client
included it. With the wrong reading a plan applies for the wrong sum, and every row of a ledger differs from
the platform by its freight. So it is a setting, and until someone sets it, nothing relies on either reading.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

__all__ = ["FREIGHT_READINGS", "FreightReading", "total_fen", "totals_fen"]

FreightReading = Literal["ask", "added", "included"]
""""added": on top of a refund's amount; "included": part of it; "ask": not known."""
FREIGHT_READINGS: Final = ("ask", "added", "included")


def total_fen(amount: int, freight: int | None, reading: FreightReading) -> int:
    """The total of a refund in fen under one reading; the larger total if the reading is not known."""
    return amount if reading == "included" else amount + (freight or 0)


def totals_fen(amount: int, freight: int | None, reading: FreightReading) -> Mapping[FreightReading, int]:
    """The possible totals of a refund in fen, by reading; one entry if the reading is known or irrelevant."""
    if reading != "ask" or not freight:
        return {reading: total_fen(amount, freight, reading)}
    return {one: total_fen(amount, freight, one) for one in ("included", "added")}
