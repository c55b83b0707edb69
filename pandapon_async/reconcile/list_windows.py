"""The windows of time that lists of refunds are asked for, and how one that was cut off is split.

A window holds the moments from `first` up to, but without, `last`. Whether the vendor counts a bound in is
not known, so each is asked for from a second earlier: what is shown twice is known by its id.
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
    """From `first` up to, but without, `last`; in epoch milliseconds, on whole seconds."""

    first: int
    last: int

    @property
    def bounds(self) -> tuple[int, int]:
        """What to ask the vendor for: a second more at the beginning, in case it leaves the bound out."""
        return self.first - SECOND_MS, self.last

    def holds(self, day: date) -> bool:
        """Whether any of a day is in it."""
        return self.first < start_of(day + timedelta(days=1)) and start_of(day) < self.last

    def share_of(self, day: date) -> float:
        """Which part of a day is in it."""
        first, last = start_of(day), start_of(day + timedelta(days=1))
        return max(0, min(last, self.last) - max(first, self.first)) / (last - first)

    def split(self, parts: int) -> list[Window]:
        """So many windows that together are this one; fewer if it is too short, itself if it is a second."""
        seconds = (self.last - self.first) // SECOND_MS
        parts = max(1, min(parts, seconds))
        edges = [self.first + seconds * part // parts * SECOND_MS for part in range(parts)]
        return [Window(*pair) for pair in zip(edges, [*edges[1:], self.last], strict=True)]


def day_of(moment: str) -> date:
    """The day in Beijing of a moment in ISO 8601; without a zone it is Beijing's."""
    read = datetime.fromisoformat(moment)
    return (read if read.tzinfo is None else read.astimezone(BEIJING)).date()


def start_of(day: date) -> int:
    """When a day begins in Beijing, in epoch milliseconds."""
    return round(datetime(day.year, day.month, day.day, tzinfo=BEIJING).timestamp()) * SECOND_MS


def days_between(first: date, last: date) -> Iterable[date]:
    """Every day from the first to the last."""
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def windows_of(
    days: Mapping[date, int], most: int, edges: Collection[date] = (), most_days: int | None = None
) -> list[Window]:
    """The windows that cover these days, joined while they hold at most `most` rows together.

    Args:
        days: How many rows of the ledger each day has. A day that is not named ends a window.
        most: A day with more has a window of its own.
        edges: Days at which a window has to begin.
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
