"""When the next permit may be given, so that no sliding second ever has more than the rate.

Two rules together. Permits are booked ahead at an even gap, which keeps arrivals even and loses
nothing to late timers: the next slot counts from the last slot, not from the late wake-up. And the
times of the last `rate` permits are kept: the one that would be the rate + 1st of a window waits
until the first of them has left it, whatever stalled in between. Both use a window that is 2 %
longer than a second, a margin for requests that take unevenly long to arrive.

A bucket that allows a burst cannot do this: with a burst of the rate a strict server sees twice the
rate in one second, with a burst of one the late timers lose 13 % of the quota.

Pure: the caller brings the time.
"""

from __future__ import annotations

from collections import deque

from pandapon_async.errors import ConfigurationError

__all__ = ["Pace"]

MARGIN = 0.02
CATCH_UP = 0.05  # seconds of missed slots that may be made up for after a late wake-up


class Pace:
    """The book of permits of one quota: `rate` permits in any `window` seconds."""

    __slots__ = ("_gap", "_slot", "_span", "_times", "paused_until", "rate")

    def __init__(self, rate: float, window: float = 1.0) -> None:
        if not 1e-9 <= rate <= 1e9:
            raise ConfigurationError("rate must be calls per second above 0 (and below 1e9)")
        # Below one a second, a window of the length of one permit says the same.
        window = max(window, window / rate)
        self.rate: float = rate
        self._span = window * (1 + MARGIN)
        per_window = max(1, int(rate * window + 1e-9))
        self._gap = self._span / per_window
        self._times: deque[float] = deque(maxlen=per_window)
        self._slot = float("-inf")
        self.paused_until: float = float("-inf")

    def next_at(self, now: float) -> float:
        """The earliest time, not before `now`, at which a permit may be given."""
        times = self._times
        earliest = max(now, self._slot, self.paused_until)
        if len(times) == times.maxlen:
            earliest = max(earliest, times[0] + self._span)
        return earliest

    def take(self, now: float, *, waited: bool) -> None:
        """Book a permit that is given at `now`; `waited` says whether somebody was waiting for its slot.

        Only a slot that was waited for counts from the book: after idle time there is nothing to catch up.
        """
        start = max(self._slot, now - CATCH_UP) if waited else max(self._slot, now)
        self._slot = start + self._gap
        self._times.append(now)

    def expected(self, now: float, ahead: int) -> float:
        """When a newcomer behind `ahead` others can count on a permit."""
        return self.next_at(now) + ahead * self._gap

    def pause_until(self, moment: float) -> None:
        """No permit before this moment; a shorter pause never lifts a longer one.

        The slots that fall into the pause are gone: they are not made up for afterwards.
        """
        self.paused_until = max(self.paused_until, moment)
        self._slot = max(self._slot, moment)
