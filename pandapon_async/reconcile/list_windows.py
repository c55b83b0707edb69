"""The time windows of requests for lists of refunds, and how a cut-off one is split.

A window covers the times from `first` up to, but excluding, `last`. It is not known whether the vendor
includes a bound, so each request begins a second earlier; ids identify items that appear twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Final

import attrs

from pandapon_async.core.model import BEIJING

__all__ = ["DAY_MS", "SECOND_MS", "Window", "day_of", "days_between", "start_of", "windows_of"]

SECOND_MS: Final = 1_000
DAY_MS: Final = 86_400_000


@attrs.frozen(order=True)
class Window:
    """From `first` up to, but excluding, `last`; in epoch milliseconds, on whole seconds."""

    first: int
    last: int

    @property
    def bounds(self) -> tuple[int, int]:
        """The bounds of the request: a second earlier, in case the vendor excludes the bound."""
        return self.first - SECOND_MS, self.last

    def holds(self, day: date) -> bool:
        """Whether it contains a part of a day."""
        return self.first < start_of(day + timedelta(days=1)) and start_of(day) < self.last

    def share_of(self, day: date) -> float:
        """The part of a day in it."""
        first, last = start_of(day), start_of(day + timedelta(days=1))
        return max(0, min(last, self.last) - max(first, self.first)) / (last - first)

    def split(self, parts: int) -> list[Window]:
        """Split it into this many windows; fewer if it is too short, itself if it is one second."""
        seconds = (self.last - self.first) // SECOND_MS
        parts = max(1, min(parts, seconds))
        edges = [self.first + seconds * part // parts * SECOND_MS for part in range(parts)]
        return [Window(*pair) for pair in zip(edges, [*edges[1:], self.last], strict=True)]


def day_of(moment: str) -> date:
    """Return the day in Beijing of a time in ISO 8601; without a zone it is Beijing time."""
    read = datetime.fromisoformat(moment)
    return (read if read.tzinfo is None else read.astimezone(BEIJING)).date()


def start_of(day: date) -> int:
    """Return the begin of a day in Beijing, in epoch milliseconds."""
    return round(datetime(day.year, day.month, day.day, tzinfo=BEIJING).timestamp()) * SECOND_MS


def days_between(first: date, last: date) -> Iterable[date]:
    """Iterate over the days from the first to the last."""
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def windows_of(
    days: Mapping[date, int], most: int, edges: Collection[date] = (), most_days: int | None = None
) -> list[Window]:
    """Return the windows for these days, joined while they have at most `most` rows together.

    Args:
        days: The number of ledger rows of each day. A day without rows ends a window.
        most: A day with more has a window of its own.
        edges: Days at which a window must begin.
        most_days: How many days a window has at most; None: as many as come.
    """
    groups: list[list[date]] = []
    held = 0
    for day in sorted(days):
        joins = bool(groups) and day - groups[-1][-1] == timedelta(days=1) and day not in edges
        if joins and held + days[day] <= most and len(groups[-1]) < (most_days or len(days)):
            groups[-1].append(day)
            held += days[day]
        else:
            groups.append([day])
            held = days[day]
    return [Window(start_of(group[0]), start_of(group[-1] + timedelta(days=1))) for group in groups]
