"""How a receiver behaves. What the vendor leaves open about its pushes is a setting here."""

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
            raise ConfigurationError(f"{attribute.name} must be seconds, {least:g} or more")

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
    """As persistent as the vendor itself: about two and a half hours on average, then it is a dead letter."""
    return RetryPolicy(attempts=16, base=1.0, maximum=3600.0)


@attrs.define(frozen=True, kw_only=True)
class CallbackSettings:
    """What is accepted, and how it is handled. All times are in seconds."""

    base: Base = "key+body"
    """What a signature covers; see `verify`."""
    hex_case: HexCase = attrs.field(default="lower", validator=_one_of("lower", "upper", "any"))
    """The case of a signature's hex digits that is accepted; see `verify`."""
    maximum_bytes: int = attrs.field(default=MAXIMUM_BYTES, validator=_count)
    """Bytes of the largest body that is read."""
    older: float = attrs.field(default=DAY, validator=_seconds(0))
    """Seconds that a message's own time may be back."""
    newer: float = attrs.field(default=3600.0, validator=_seconds(0))
    """Seconds that a message's own time may be ahead."""
    duplicates: Literal["bytes", "content"] = attrs.field(
        default="bytes", validator=_one_of("bytes", "content")
    )
    """What makes two messages the same: all their "bytes", or their "content" without the time of the push,
    for a vendor that stamps a retry afresh."""
    unsigned_ok: bool = False
    """Answers 200 to everything without a signature and stores none of it: for the minute of the console's
    verification, never for longer."""
    remember: float = attrs.field(default=7 * DAY, validator=_seconds(1))
    """Seconds for which a message is kept after it was handled, and a duplicate of it dropped."""
    retry: RetryPolicy = attrs.field(factory=_retry)
    """How often and how long after a failure handlers are called again."""
    handler_timeout: float = attrs.field(default=60.0, validator=_seconds(0.001))
    """Seconds that a handler may take."""
    concurrency: int = attrs.field(default=16, validator=_count)
    """How many messages are handled at once."""
    order_window: float = attrs.field(default=0.0, validator=_seconds(0))
    """Seconds for which a message waits for earlier ones of the same refund or order."""
    answer_within: float = attrs.field(default=0.9, validator=_seconds(0.001))
    """Seconds within which a push is answered."""
    read_within: float = attrs.field(default=2.0, validator=_seconds(0.001))
    """Seconds within which a body has to be there."""
    most_waiting: int = attrs.field(default=1000, validator=_count)
    """How many messages may wait for the disk at once; more are sent back for a retry."""
    idle_within: float = attrs.field(default=30.0, validator=_seconds(0.001))
    """Seconds after which `pandapon callbacks serve` closes a connection without a request."""
    most_connections: int = attrs.field(default=512, validator=_count)
    """How many connections `pandapon callbacks serve` has at most."""
    grace: float = attrs.field(default=5.0, validator=_seconds(0))
    """Seconds for which handlers may go on when the receiver is closed."""

    def __attrs_post_init__(self) -> None:
        check_base(self.base)
        if self.older + self.newer > self.remember:
            # Else a recorded message could be played back after it was forgotten, and be handled again.
            raise ConfigurationError("remember must be at least older and newer together")
