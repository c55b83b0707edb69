"""The protocol of a limiter, and the check of a limiter that the user passes.

A semaphore also has `acquire`, and a thread lock has one that is not async. As a limiter, the first would let
a few calls through and then none, and the second would block the event loop. So the client checks a limiter
when it is passed, not when the first call hangs.
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol, runtime_checkable

from pandapon_async.errors import ConfigurationError

__all__ = ["RateLimiter", "check_limiter", "optional_method"]


@runtime_checkable
class RateLimiter(Protocol):
    """What `Settings(limiter=...)` accepts: `Limiter`, an `aiolimiter.AsyncLimiter`, or a class of your own.

    One method is enough. Calls wait in the client's own queue, which handles priorities, deadlines, pauses
    and closing; the client asks the limiter for one permit at a time. It may have these members too, which
    the client looks for once, when it is created:

    - `rate`: calls per second that are allowed now, or None. A permit older than both 0.05 s and 1 / rate is
      exchanged for a new one.
    - `expected() -> float`: the time of the next permit, in seconds of `time.monotonic()`. A call with an
      earlier deadline is refused at once.
    - `pause(seconds)`: the server throttled; nothing may be sent for this time.
    - `throttled(seconds, sent) -> bool`: instead of `pause` after a throttle; `sent` is when the refused
      request went out, in seconds of `time.monotonic()`. Returns whether the rate dropped.
    - `close(owner)`: this client asks for no more permits. `owner` is the same object for every copy of it.

    These are plain methods, not `async def`.
    """

    async def acquire(self) -> object:
        """Wait until one more request may be sent. The return value is ignored."""
        ...


def optional_method(limiter: object, name: str, *arguments: object) -> Any:
    """An optional method of a limiter, or None; it must take these arguments and not be async."""
    method = getattr(limiter, name, None)
    if not callable(method) or inspect.iscoroutinefunction(method):
        return None
    try:
        inspect.signature(method).bind(*arguments)
    except (TypeError, ValueError):
        return None
    return method


def check_limiter(limiter: object) -> None:
    """Raise ConfigurationError for an object that is not a limiter."""
    kind = limiter.__name__ if isinstance(limiter, type) else type(limiter).__name__
    wanted = "limiter must be an object such as Limiter(20) or aiolimiter.AsyncLimiter(4, 0.0204)"
    acquire = getattr(limiter, "acquire", None)
    if isinstance(limiter, type):
        raise ConfigurationError(f"{wanted}; {kind} is a class: pass an instance, {kind}(...)")
    if isinstance(limiter, int | float) and not isinstance(limiter, bool):
        raise ConfigurationError(f"{wanted}; for a rate alone use Settings(rate={limiter:g})")
    if not callable(acquire):
        raise ConfigurationError(f"{wanted}; {kind} has no method `async def acquire(self)`")
    if not inspect.iscoroutinefunction(acquire):
        raise ConfigurationError(f"{wanted}; {kind}.acquire is not `async def`")
    try:
        inspect.signature(acquire).bind()
    except (TypeError, ValueError):
        raise ConfigurationError(f"{wanted}; {kind}.acquire needs arguments") from None
    if callable(getattr(limiter, "release", None)):
        raise ConfigurationError(
            f"{wanted}; {kind} has `release`, so it limits how many requests run at once: use "
            "Settings(concurrency=...) for that"
        )
    for name, arguments in (("expected", ()), ("pause", (1.0,)), ("throttled", (1.0, 0.0))):
        if hasattr(limiter, name) and optional_method(limiter, name, *arguments) is None:
            form = ", ".join(["self", *("seconds", "sent")[: len(arguments)]])
            raise ConfigurationError(
                f"limiter: {kind}.{name} must be a plain method, `def {name}({form})`, or be absent"
            )
