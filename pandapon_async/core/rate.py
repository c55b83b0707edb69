"""When the next permit may be given, so that no sliding second ever has more than the rate.

Two rules together. Permits are booked ahead at an even gap, which keeps arrivals even and loses
nothing to late timers: the next slot counts from the last slot, not from the late wake-up. And the
times of the last `rate` permits are kept: the one that would be the rate + 1st of a window waits
until the first of them has left it, whatever stalled in between. Both use a window that is 2 %
longer than a second, a margin for requests that take unevenly long to arrive.

A bucket that allows a burst cannot do this: with a burst of the rate a strict server sees twice the
rate in one second, with a burst of one the late timers lose 13 % of the quota.

After a throttle the rate is lower for a while (`core/adaptive.py`). Only the next slot is ever booked, so a
change re-spaces all who wait, however many; and the times of the last permits are kept for the configured
rate, so a window that holds permits of a faster time is not overfilled either.

Pure: the caller brings the time.
"""

from __future__ import annotations

import math
from collections import deque

from pandapon_async.core.adaptive import Adaptation, AdaptiveRate
from pandapon_async.errors import ConfigurationError

__all__ = ["SlidingWindow", "spacing"]

MARGIN = 0.02
CATCH_UP = 0.05  # seconds of missed slots that may be made up for after a late wake-up
LATE = 0.002  # seconds between a permit and its use that are not worth a note
STEP = 1.0  # seconds between two steps of a rate on its way back


def spacing(rate: float, window: float = 1.0) -> tuple[float, int, float]:
    """How permits of this rate are spaced: the seconds of a window, the most in it, the gap between two."""
    # Below one a second, a window of the length of one permit says the same.
    longer = max(window, window / rate)
    span = longer * (1 + MARGIN)
    most = max(1, int(rate * longer + 1e-9))
    return span, most, span / most


class SlidingWindow:
    """The book of permits of one quota: `rate` permits in any `window` seconds.

    `configured` is the rate it was made with; `rate`, what is allowed since the last look, is below it only
    after a throttle.
    """

    __slots__ = (
        "_adaptation", "_gap", "_grows_at", "_most", "_slot", "_span", "_times", "_window",
        "configured", "paused_until", "rate",
    )  # fmt: skip

    def __init__(self, rate: float, window: float = 1.0, adaptive: AdaptiveRate | None = None) -> None:
        if not 1e-9 <= rate <= 1e9:
            raise ConfigurationError("rate must be calls per second above 0 (and below 1e9)")
        self.configured: float = rate
        self._window = window
        self._set(rate)
        self._times: deque[float] = deque(maxlen=self._most)
        self._slot = -math.inf
        self._adaptation = None if adaptive is None else Adaptation(rate, adaptive)
        self._grows_at = math.inf
        self.paused_until: float = -math.inf

    def _set(self, rate: float) -> None:
        self.rate: float = rate
        self._span, self._most, self._gap = spacing(rate, self._window)

    def next_at(self, now: float) -> float:
        """The earliest time, not before `now`, at which a permit may be given."""
        if now >= self._grows_at:
            self._grow(now)
        times, most = self._times, self._most
        earliest = max(now, self._slot, self.paused_until)
        if len(times) >= most:
            earliest = max(earliest, times[-most] + self._span)
        return earliest

    def take_free(self, now: float) -> bool:
        """Book a permit if one is free at `now`; False if the next one comes later. The way of most permits.

        After idle time there is nothing to catch up: the next slot counts from now.
        """
        if now >= self._grows_at:
            self._grow(now)
        if now < self._slot or now < self.paused_until:
            return False
        times, most = self._times, self._most
        if len(times) >= most and times[-most] + self._span > now:
            return False
        self._slot = now + self._gap
        times.append(now)
        return True

    def take(self, now: float) -> None:
        """Book a permit that is given at `now`, after `next_at`, to somebody who waited for its slot.

        The next slot counts from this one, not from the late wake-up.
        """
        self._slot = max(self._slot, now - CATCH_UP) + self._gap
        self._times.append(now)

    def forget(self, permit: float) -> None:
        """The permit of this moment was given and will not be used: the window has room for another."""
        if (position := self._position(permit)) is not None:
            del self._times[position]

    def move(self, permit: float, now: float) -> None:
        """The permit of this moment was used only `now`: that is when it counts from."""
        if now - permit > LATE and (position := self._position(permit)) is not None:
            del self._times[position]
            self._times.append(now)

    def _position(self, permit: float) -> int | None:
        times = self._times
        for position in range(len(times) - 1, -1, -1):
            if times[position] == permit:
                return position
            if times[position] < permit - self._span:
                break
        return None

    def expected(self, now: float, ahead: int) -> float:
        """When a newcomer behind `ahead` others can count on a permit."""
        return self.next_at(now) + ahead * self._gap

    def pause_until(self, moment: float) -> None:
        """No permit before this moment; a shorter pause never lifts a longer one.

        The slots that fall into the pause are gone: they are not made up for afterwards.
        """
        self.paused_until = max(self.paused_until, moment)
        self._slot = max(self._slot, moment)

    def throttled(self, now: float, sent: float) -> bool:
        """A call that went out at `sent` was refused for pace; to be told after the pause that it asks for.

        Gives whether the rate went down: once for a burst of refusals, whatever their number.
        """
        adaptation = self._adaptation
        if adaptation is None or not adaptation.is_new(sent):
            return False
        slowed = adaptation.throttled(now, self.paused_until, self._went_out_before(sent))
        self._grow(now)
        return slowed

    def rate_at(self, now: float) -> float:
        """Calls per second that are allowed now."""
        return self.rate if self._adaptation is None else self._adaptation.rate(now)

    def _went_out_before(self, sent: float) -> float:
        """How many permits a second were given in the window before this moment."""
        times = self._times
        if len(times) == times.maxlen and times[0] > sent - self._span:
            return self.rate  # too long ago: not all of them are remembered
        went = sum(1 for time in times if sent - self._span < time <= sent)
        return went * (1 + MARGIN) / self._span

    def _grow(self, now: float) -> None:
        """A step of the rate on its way back to what is configured."""
        rate = self.rate_at(now)
        self._set(rate)
        self._grows_at = math.inf if rate >= self.configured else now + STEP
