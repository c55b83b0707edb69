"""The settings of a receiver, including everything that the vendor leaves open about its pushes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import attrs

from pandapon_async.callbacks.verify import MAXIMUM_BYTES, Base, HexCase, check_base
from pandapon_async.core.retry import RetryPolicy
from pandapon_async.errors import ConfigurationError

__all__ = ["CallbackSettings"]

DAY = 86_400.0


def _seconds(least: float) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or value < least:
            raise ConfigurationError(f"{attribute.name} must be a number of seconds, {least:g} or more")

    return check


def _count(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(f"{attribute.name} must be a whole number above 0")


def _one_of(*allowed: str) -> Callable[[object, attrs.Attribute[Any], Any], None]:
    def check(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value not in allowed:
            raise ConfigurationError(f"{attribute.name} must be one of {', '.join(allowed)}")

    return check


def _retry() -> RetryPolicy:
    """Retries as long as the vendor: about two and a half hours, then the message is a dead letter."""
    return RetryPolicy(attempts=16, base=1.0, maximum=3600.0)


@attrs.define(frozen=True, kw_only=True)
class CallbackSettings:
    """What a receiver accepts, and how it handles messages. All times are in seconds."""

    base: Base = "key+body"
    """The bytes that a signature covers; see `verify`."""
    hex_case: HexCase = attrs.field(default="lower", validator=_one_of("lower", "upper", "any"))
    """The accepted case of a signature's hex digits; see `verify`."""
    maximum_bytes: int = attrs.field(default=MAXIMUM_BYTES, validator=_count)
    """The most bytes of a body."""
    older: float = attrs.field(default=DAY, validator=_seconds(0))
    """Seconds that a message's own time may be in the past."""
    newer: float = attrs.field(default=3600.0, validator=_seconds(0))
    """Seconds that a message's own time may be in the future."""
    duplicates: Literal["bytes", "content"] = attrs.field(
        default="bytes", validator=_one_of("bytes", "content")
    )
    """What identifies a message: all its "bytes", or its "content" without the time of the push, for a vendor
    that stamps a retry anew.
    """
    unsigned_ok: bool = False
    """Answers 200 to every unsigned request and stores none of it: only for the minute of the console's
    verification.
    """
    remember: float = attrs.field(default=7 * DAY, validator=_seconds(1))
    """Seconds that a handled message is kept, during which its duplicates are dropped."""
    retry: RetryPolicy = attrs.field(factory=_retry)
    """How often failed handlers are called again, and after which delay."""
    handler_timeout: float = attrs.field(default=60.0, validator=_seconds(0.001))
    """Seconds that a handler may take."""
    concurrency: int = attrs.field(default=16, validator=_count)
    """The most messages handled at once."""
    order_window: float = attrs.field(default=0.0, validator=_seconds(0))
    """Seconds for which a message waits for earlier ones of the same refund or order."""
    answer_within: float = attrs.field(default=0.9, validator=_seconds(0.001))
    """Seconds within which a push is answered."""
    read_within: float = attrs.field(default=2.0, validator=_seconds(0.001))
    """Seconds within which a body must have arrived."""
    most_waiting: int = attrs.field(default=1000, validator=_count)
    """The most messages that wait for the disk at once; the vendor must send further ones again."""
    idle_within: float = attrs.field(default=30.0, validator=_seconds(0.001))
    """Seconds after which `pandapon callbacks serve` closes a connection without a request."""
    most_connections: int = attrs.field(default=512, validator=_count)
    """The most connections of `pandapon callbacks serve`."""
    grace: float = attrs.field(default=5.0, validator=_seconds(0))
    """Seconds that handlers may still run when the receiver is closed."""

    def __attrs_post_init__(self) -> None:
        check_base(self.base)
        if self.older + self.newer > self.remember:
            # Otherwise a recorded message could be replayed after it was forgotten, and be handled again.
            raise ConfigurationError("remember must be at least older and newer together")
