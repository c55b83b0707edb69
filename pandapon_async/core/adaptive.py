"""How the rate drops when the server throttles, and how it recovers.

The vendor does not publish a quota, so the configured rate is a guess. A throttle may show that the guess is
too high; but servers also throttle for other reasons, whatever the rate. So the rate drops to what went
through: a second that was refused after 140 calls means 140, not half. A refusal at a rate that worked a few
seconds ago changes nothing. The rate recovers slowly, by the same amount each second, and never exceeds the
configured one.

Pure: the caller brings the time.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import attrs

from pandapon_async.core.options import Options
from pandapon_async.errors import ConfigurationError

__all__ = ["Adaptation", "AdaptiveRate"]


def _share(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= 1:
        raise ConfigurationError(f"AdaptiveRate.{attribute.name} must be a fraction, above 0 and at most 1")


def _seconds(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"AdaptiveRate.{attribute.name} must be a number of seconds, 0 or more")


@attrs.define(frozen=True, kw_only=True)
class AdaptiveRate(Options):
    """How far a throttle lowers the rate and how fast it recovers. Every default is an inference."""

    slower: float = attrs.field(default=0.95, validator=_share)
    """A throttle lowers the rate to this fraction of what went through in the second before it."""
    steepest: float = attrs.field(default=0.7, validator=_share)
    """One throttle never lowers the rate below this fraction of its value."""
    floor: float = attrs.field(default=0.1, validator=_share)
    """The rate never falls below this fraction of the configured rate."""
    recovery: float = attrs.field(default=0.0025, validator=_share)
    """Each second without a pause restores this fraction of the configured rate."""
    memory: float = attrs.field(default=20.0, validator=_seconds)
    """Seconds; a throttle at a clearly lower rate than an earlier one within this time changes nothing."""

    def slowed(self, rate: float, configured: float, took: float) -> float:
        """Return the rate after a throttle, if `took` calls went out in the second before it.

        >>> AdaptiveRate().slowed(200, 200, 180), AdaptiveRate().slowed(200, 200, 12)
        (171.0, 140.0)
        """
        least = max(self.steepest * rate, self.floor * configured)
        return min(rate, max(least, self.slower * min(rate, took)))


class Adaptation:
    """The current rate of one quota."""

    __slots__ = ("_base", "_burst", "_configured", "_policy", "_since", "_took")

    def __init__(self, configured: float, policy: AdaptiveRate) -> None:
        self._configured = configured
        self._policy = policy
        self._base = configured
        self._since = 0.0
        self._burst = -math.inf
        self._took: deque[tuple[float, float]] = deque()

    def rate(self, now: float) -> float:
        """Calls per second that are allowed now."""
        if self._base >= self._configured:
            return self._configured
        back = self._policy.recovery * self._configured * max(0.0, now - self._since)
        return min(self._configured, self._base + back)

    def is_new(self, sent: float) -> bool:
        """Whether the refusal of a call sent at `sent` is news.

        Calls sent before the last throttle was noticed belong to the same burst, which counts once.
        """
        return sent > self._burst

    def throttled(self, now: float, until: float, took: float) -> bool:
        """Record the first refusal of a burst; nothing is sent before `until`.

        Returns whether the rate dropped.
        """
        before, policy = self.rate(now), self._policy
        self._burst = now
        self._base, self._since = before, max(now, until)
        while self._took and self._took[0][0] < now - policy.memory:
            self._took.popleft()
        proven = max((took for _, took in self._took), default=0.0)
        self._took.append((now, took))
        if took >= policy.slower * proven:
            self._base = policy.slowed(before, self._configured, took)
        return self._base < before
