"""When the next permit may be given: at most `rate` in any one second, however you place that second.

A strict server counts the requests of every second, wherever it begins, and refuses those over the rate.
The usual limiters fail this. Measured with 200 calls a second:

- A token bucket of 200 empties at once and refills meanwhile: the server saw 400 requests in its busiest
  second and refused 41 of 800.
- An exact window in the client lets through 400 as well: the first burst arrives late, because it opens
  connections, and the second burst does not.
- A bucket of one permit exceeds nothing, but late timers lose 13 % of the quota.

`SlidingWindow` follows two rules instead. First, it books permits at an even gap, and the next slot counts
from the last slot, not from the late wake-up, so late timers lose nothing. Second, it remembers the times of
the last `rate` permits, and permit rate + 1 waits until the first of them has left the window, whatever
stalled in between. Both rules use a window 2 % longer than a second, because requests take unevenly long to
arrive. The server then saw 198 to 200 requests in its busiest second and refused none; 98 % of the quota
was used.

After a throttle the rate is lower for a while (`core/adaptive.py`). Only the next slot is ever booked, so a
change of the rate re-spaces all waiters, however many. The times are kept for the configured rate, so a
window that still holds permits of a faster time is not overfilled.

Pure: the caller passes the time.
"""

from __future__ import annotations

import math
from collections import deque

from pandapon_async.core.adaptive import Adaptation, AdaptiveRate
from pandapon_async.errors import ConfigurationError

__all__ = ["SlidingWindow", "spacing"]

MARGIN = 0.02
CATCH_UP = 0.05  # seconds of missed slots that a late wake-up may catch up
LATE = 0.002  # seconds between a permit and its use that need no correction
STEP = 1.0  # seconds between two steps of a recovering rate


def spacing(rate: float, window: float = 1.0) -> tuple[float, int, float]:
    """The spacing of this rate: seconds of a window, most permits in it, seconds between two permits."""
    # Below one call a second, use a window as long as the gap of one permit.
    longer = max(window, window / rate)
    span = longer * (1 + MARGIN)
    most = max(1, int(rate * longer + 1e-9))
    return span, most, span / most


class SlidingWindow:
    """Books the permits of one quota: at most `rate` permits in any `window` seconds.

    `configured` is the rate it was created with. `rate` is the rate in effect since the last update; only
    after a throttle is it lower.
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
        """Book a permit if one is free at `now`, as most are; return False if the next one comes later.

        Idle time is not caught up: the next slot counts from now.
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
        """Book a permit at `now`, after `next_at`, for a caller who waited for its slot.

        The next slot counts from this one, not from the late wake-up.
        """
        self._slot = max(self._slot, now - CATCH_UP) + self._gap
        self._times.append(now)

    def forget(self, permit: float) -> None:
        """Return an unused permit of this moment to the window."""
        if (position := self._position(permit)) is not None:
            del self._times[position]

    def move(self, permit: float, now: float) -> None:
        """Count the permit of this moment from `now`, when it was used."""
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
        """The time at which a new caller behind `ahead` others can expect a permit."""
        return self.next_at(now) + ahead * self._gap

    def pause_until(self, moment: float) -> None:
        """Give no permit before this moment; a shorter pause never ends a longer one.

        Slots within the pause are lost and not caught up afterwards.
        """
        self.paused_until = max(self.paused_until, moment)
        self._slot = max(self._slot, moment)

    def throttled(self, now: float, sent: float) -> bool:
        """Record the throttle of a call sent at `sent`; call it after `pause_until`.

        Returns whether the rate dropped; a burst of refusals lowers it once, whatever their number.
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
        """Permits per second in the window before this moment."""
        times = self._times
        if len(times) == times.maxlen and times[0] > sent - self._span:
            return self.rate  # too long ago: the record is incomplete
        went = sum(1 for time in times if sent - self._span < time <= sent)
        return went * (1 + MARGIN) / self._span

    def _grow(self, now: float) -> None:
        """Raise a lowered rate by one step towards the configured one."""
        rate = self.rate_at(now)
        self._set(rate)
        self._grows_at = math.inf if rate >= self.configured else now + STEP
