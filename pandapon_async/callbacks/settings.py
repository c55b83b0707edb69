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
    """What is accepted, and how it is handled. All times are in seconds.

    Unknown about the vendor, hence settings: `base` and `hex_case` of the signature (see `verify`);
    how far a message's own time may be back (`older`) and ahead (`newer`); whether a retry is stamped
    afresh (`duplicates="content"` then, which leaves the time of the push out of what makes two messages
    the same); what the console's verification sends (`unsigned_ok` answers 200 to everything that
    carries no signature, without storing it: for the minute of the verification, never for longer).

    `remember` is how long a message is kept after it was handled, and a duplicate of it dropped.
    `retry` says how often and how long after a failure handlers are called again; `handler_timeout` how
    long one may take, `concurrency` how many messages are handled at once. `order_window` waits so long
    for earlier messages of the same refund or order before one is handled.
    `answer_within` and `read_within` bound the answer and the reading of a body, `most_waiting` how
    many messages may be waiting for the disk at once, beyond which they are sent back for a retry.
    `idle_within` and `most_connections` hold for `pandapon callbacks serve` alone: a connection without a
    request in work is closed after so many seconds, and there are at most so many. A web server of your own
    has its own bounds.
    `grace` is how long handlers may go on when the receiver is closed.
    """

    base: Base = "key+body"
    hex_case: HexCase = attrs.field(default="lower", validator=_one_of("lower", "upper", "any"))
    maximum_bytes: int = attrs.field(default=MAXIMUM_BYTES, validator=_count)
    older: float = attrs.field(default=DAY, validator=_seconds(0))
    newer: float = attrs.field(default=3600.0, validator=_seconds(0))
    duplicates: Literal["bytes", "content"] = attrs.field(
        default="bytes", validator=_one_of("bytes", "content")
    )
    unsigned_ok: bool = False
    remember: float = attrs.field(default=7 * DAY, validator=_seconds(1))
    retry: RetryPolicy = attrs.field(factory=_retry)
    handler_timeout: float = attrs.field(default=60.0, validator=_seconds(0.001))
    concurrency: int = attrs.field(default=16, validator=_count)
    order_window: float = attrs.field(default=0.0, validator=_seconds(0))
    answer_within: float = attrs.field(default=0.9, validator=_seconds(0.001))
    read_within: float = attrs.field(default=2.0, validator=_seconds(0.001))
    most_waiting: int = attrs.field(default=1000, validator=_count)
    idle_within: float = attrs.field(default=30.0, validator=_seconds(0.001))
    most_connections: int = attrs.field(default=512, validator=_count)
    grace: float = attrs.field(default=5.0, validator=_seconds(0))

    def __attrs_post_init__(self) -> None:
        check_base(self.base)
        if self.older + self.newer > self.remember:
            # Else a recorded message could be played back after it was forgotten, and be handled again.
            raise ConfigurationError("remember must be at least older and newer together")
