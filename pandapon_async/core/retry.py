"""When to retry and when to stop: delays with full jitter, Retry-After, one retry budget for all calls.

Pure: the caller brings the random number and the time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

import attrs

from pandapon_async.core.options import Options
from pandapon_async.errors import ConfigurationError, NotSentError, PandaponError, RateLimitError

__all__ = ["RetryBudget", "RetryPolicy", "parse_retry_after"]


def _time(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"RetryPolicy.{attribute.name} must be a number of seconds, 0 or more")


def _whole(least: int) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigurationError(f"RetryPolicy.{attribute.name} must be a whole number, {least} or more")

    return check


@attrs.define(frozen=True, kw_only=True)
class RetryPolicy(Options):
    """How often a call is tried and how long the client waits in between. Delays have full jitter.

    A budget limits the retries of the whole client: only retries without success use it up.
    """

    attempts: int = attrs.field(default=5, validator=_whole(1))
    """The most requests of a call, the first one included."""
    base: float = attrs.field(default=0.2, validator=_time)
    """Seconds; the delay after attempt n is drawn from [0, min(maximum, base * 2**(n - 1))]."""
    throttle_base: float = attrs.field(default=0.5, validator=_time)
    """Seconds; the same after a throttle."""
    maximum: float = attrs.field(default=20.0, validator=_time)
    """Seconds; the longest delay."""
    retry_after_maximum: float = attrs.field(default=60.0, validator=_time)
    """Seconds; the longest Retry-After that the client waits for. With a longer one the call fails and
    reports it.
    """
    throttle_pause: float = attrs.field(default=1.0, validator=_time)
    """Seconds for which a throttle without Retry-After pauses all callers."""
    budget: int = attrs.field(default=500, validator=_whole(0))
    """The client's tokens for retries; they keep a storm of failures from doubling the load."""
    cost: int = attrs.field(default=5, validator=_whole(0))
    """The tokens of one retry. A successful call pays back its retries and one token more."""

    def delay(self, attempt: int, error: BaseException | None, random: float) -> float:
        """Seconds to wait after this attempt (counted from 1), for a random number in [0, 1).

        The wait that a throttle asks for is not included: the limiter pauses all callers for that time and
        then releases them at the allowed rate. The wait that a proxy asks for is a minimum.
        """
        floor = (error.retry_after or 0.0) if isinstance(error, NotSentError) else 0.0
        base = self.throttle_base if isinstance(error, RateLimitError) else self.base
        return floor + min(self.maximum, base * 2.0 ** min(attempt - 1, 60)) * random

    def pause(self, error: RateLimitError) -> float:
        """Seconds for which a throttle pauses all callers."""
        asked = self.throttle_pause if error.retry_after is None else error.retry_after
        return min(asked, self.retry_after_maximum)

    def accepts(self, error: PandaponError) -> bool:
        """Whether the pause that the server asks for is short enough to wait for."""
        asked = error.retry_after if isinstance(error, RateLimitError | NotSentError) else None
        return asked is None or asked <= self.retry_after_maximum


class RetryBudget:
    """Prevents retry storms: when many calls fail at once, most of them fail fast instead of retrying."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.tokens: int = capacity

    def spend(self, cost: int) -> bool:
        """Take the cost of a retry; return False and take nothing if too little is left."""
        if self.tokens < cost:
            return False
        self.tokens -= cost
        return True

    def repay(self, spent: int) -> None:
        """Pay back the retries of a successful call and one token more."""
        self.tokens = min(self.capacity, self.tokens + spent + 1)


def parse_retry_after(seconds: str | None, milliseconds: str | None, wall: float) -> float | None:
    """Seconds to wait, from Retry-After (a number or a date) or Retry-After-Ms; None if it is invalid.

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
