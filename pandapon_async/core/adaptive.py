"""How the rate gives way when the server pushes back, and how it comes back.

The vendor names no quota, so the rate that was configured is a guess. The first throttle shows it to be
wrong, perhaps: servers also push back for reasons of their own, whatever the pace. So the rate goes down to
what went through (a second that was refused after 140 calls says 140, not a half), and a refusal at a pace
that went well a few seconds ago takes nothing off it. Back up it goes slowly, by the same amount each
second, never above what was configured.

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
        raise ConfigurationError(f"AdaptiveRate.{attribute.name} must be a share, above 0 and at most 1")


def _seconds(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"AdaptiveRate.{attribute.name} must be seconds, 0 or more")


@attrs.define(frozen=True, kw_only=True)
class AdaptiveRate(Options):
    """How far the rate goes down at a throttle and how fast it comes back. All of it is inference."""

    slower: float = attrs.field(default=0.95, validator=_share)
    """A throttle takes the rate to this share of what went through in the second before it."""
    steepest: float = attrs.field(default=0.7, validator=_share)
    """One throttle never takes the rate below this share of what it was."""
    floor: float = attrs.field(default=0.1, validator=_share)
    """The rate never falls below this share of what is configured."""
    recovery: float = attrs.field(default=0.0025, validator=_share)
    """Each second without a pause gives this share of the configured rate back."""
    memory: float = attrs.field(default=20.0, validator=_seconds)
    """Seconds; a throttle counts only if no more went through at an earlier one within this time."""

    def slowed(self, rate: float, configured: float, took: float) -> float:
        """The rate after a throttle, where `took` calls went out in the second before it.

        >>> AdaptiveRate().slowed(200, 200, 180), AdaptiveRate().slowed(200, 200, 12)
        (171.0, 140.0)
        """
        least = max(self.steepest * rate, self.floor * configured)
        return min(rate, max(least, self.slower * min(rate, took)))


class Adaptation:
    """The rate of one quota as it is now."""

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
        """Whether the refusal of a call that went out at `sent` tells anything that is not known yet.

        What went out before the last throttle was noticed belongs to the same burst, and counts once.
        """
        return sent > self._burst

    def throttled(self, now: float, until: float, took: float) -> bool:
        """The first refusal of a burst; nobody goes on before `until`. Whether the rate went down."""
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
