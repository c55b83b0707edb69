"""How far this machine's clock is from the server's, and whether signatures correct it.

A signature carries the time, and the vendor's manual accepts 600 seconds to either side. The answer to a
stale timestamp is not documented; this client assumes that it looks like the refusal of a wrong key. The Date
header of the answer tells the two apart: if the timestamp of the refused request is far from it, the clock
explains the refusal, and later timestamps can be corrected.

A Date has whole seconds and was written some time between sending and receiving; the measurement allows for
both. A Date is only as trustworthy as its connection, so differences above a limit are not corrected.

Pure: the caller brings the times.
"""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import attrs

from pandapon_async.clock import duration

__all__ = ["LEAST", "MOST", "Skew", "date_of", "measure"]

LEAST = 30.0
"""Seconds; a smaller difference counts as a correct clock, well within what the manual accepts."""
MOST = 24 * 3600.0
"""Seconds; a larger difference is not corrected: it is neither drift nor a wrong time zone."""


@attrs.define(frozen=True)
class Skew:
    """How many `seconds` the server's clock is ahead of ours, give or take `doubt`."""

    seconds: float
    doubt: float

    @property
    def matters(self) -> bool:
        """Whether the difference exceeds what the measurement and everyday drift explain."""
        return abs(self.seconds) > max(LEAST, self.doubt)

    @property
    def believable(self) -> bool:
        """Whether the difference is small enough to be corrected."""
        return abs(self.seconds) <= MOST

    def __str__(self) -> str:
        side = "behind" if self.seconds > 0 else "ahead of"
        return f"{duration(abs(self.seconds))} {side} the server's"


def date_of(headers: Mapping[str, str]) -> float | None:
    """The answer's Date, in seconds since 1970; None without one, or if a cache may have stored it.

    >>> date_of({"Date": "Thu, 01 Jan 1970 00:01:00 GMT"}), date_of({"Date": "noon"})
    (60.0, None)
    """
    text = headers.get("Date")
    if text is None or headers.get("Age", "0").strip() != "0":
        return None
    try:
        date = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return None if date.tzinfo is None else date.timestamp()


def measure(date: float, sent: float, received: float) -> Skew:
    """Measure the difference from a Date and our times of sending and receiving, all in seconds since 1970.

    >>> str(measure(1000.0, 336.0, 339.0))
    "11 min 3 s behind the server's"
    """
    middle = (sent + received) / 2
    return Skew(date + 0.5 - middle, 0.5 + abs(received - sent) / 2)
