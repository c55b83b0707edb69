"""When to try again, and when to stop: delays with full jitter, Retry-After, one budget for all.

Pure: the caller brings the random number and the time.
"""

from __future__ import annotations

import math
import re
from datetime import UTC
from email.utils import parsedate_to_datetime

import attrs

from pandapon_async.errors import ConfigurationError, PandaponError, Throttled

__all__ = ["RetryBudget", "RetryPolicy", "parse_retry_after"]


@attrs.define(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how long. All times are in seconds.

    `attempts` counts the first one. A delay is drawn from [0, min(maximum, base * 2**n)] (full
    jitter); throttles have a base of their own. What the server asks for in Retry-After holds all
    callers, up to `retry_after_maximum`: beyond it the call fails and says how long to wait. A throttle
    without Retry-After pauses everybody for `throttle_pause`. `budget` bounds retries over the whole
    client: each costs `cost`, a call that succeeds pays back what its retries cost and one more, so only
    retries that do not help use it up.
    """

    attempts: int = 5
    base: float = 0.2
    throttle_base: float = 0.5
    maximum: float = 20.0
    retry_after_maximum: float = 60.0
    throttle_pause: float = 1.0
    budget: int = 500
    cost: int = 5

    def __attrs_post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigurationError("RetryPolicy.attempts counts the first one: 1 or more")
        if min(self.base, self.throttle_base, self.maximum, self.throttle_pause) < 0:
            raise ConfigurationError("the times of a RetryPolicy must not be negative")

    def delay(self, attempt: int, error: BaseException | None, random: float) -> float:
        """Seconds to wait after this attempt (from 1), given a random number in [0, 1).

        What a throttle asks for is not in it: the limiter holds everybody for so long, and lets them
        go on at the allowed rate rather than as a herd.
        """
        base = self.throttle_base if isinstance(error, Throttled) else self.base
        return min(self.maximum, base * 2.0 ** min(attempt - 1, 60)) * random

    def pause(self, error: Throttled) -> float:
        """Seconds for which a throttle holds all callers."""
        asked = self.throttle_pause if error.retry_after is None else error.retry_after
        return min(asked, self.retry_after_maximum)

    def accepts(self, error: PandaponError) -> bool:
        """Whether the server's own wish for a pause is short enough to be waited for."""
        asked = error.retry_after if isinstance(error, Throttled) else None
        return asked is None or asked <= self.retry_after_maximum


class RetryBudget:
    """Stops storms: when many calls fail at once, most of them fail fast instead of all retrying."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tokens = capacity

    def spend(self, cost: int) -> bool:
        """Take a retry's cost; False (and nothing taken) if there is not enough left."""
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def repay(self, spent: int) -> None:
        """A success pays back what its retries cost, and one token more."""
        self.tokens = min(self.capacity, self.tokens + spent + 1)


def parse_retry_after(seconds: str | None, milliseconds: str | None, wall: float) -> float | None:
    """Seconds to wait, from Retry-After (a number or a date) or Retry-After-Ms; None for junk.

    >>> parse_retry_after("2", None, 0.0)
    2.0
    >>> parse_retry_after("Thu, 01 Jan 1970 00:00:30 GMT", None, 10.0)
    20.0
    >>> parse_retry_after("soon", None, 0.0) is None
    True
    """
    for text, unit in ((milliseconds, 0.001), (seconds, 1.0)):
        if text is not None and re.fullmatch(r"\s*[0-9]{1,12}(\.[0-9]{1,9})?\s*", text, re.ASCII):
            return float(text) * unit
    if seconds is None:
        return None
    try:
        date = parsedate_to_datetime(seconds)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    moment = date if date.tzinfo else date.replace(tzinfo=UTC)
    wait = moment.timestamp() - wall
    return max(0.0, wait) if math.isfinite(wait) else None
