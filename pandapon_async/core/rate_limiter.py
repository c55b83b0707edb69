"""What a limiter is to the client, whoever wrote it, and what is refused as one.

A semaphore has an `acquire` too, and a lock of threads has one that is not async. Taken for a limiter, the
first would let a few calls through and no more, the second would stop the event loop. So this is checked when
it is handed over, not when the first call hangs.
"""

from __future__ import annotations

import inspect
from typing import Any, Protocol, runtime_checkable

from pandapon_async.errors import ConfigurationError

__all__ = ["RateLimiter", "check_limiter", "optional_method"]


@runtime_checkable
class RateLimiter(Protocol):
    """What `Settings(limiter=...)` takes: `Limiter`, an `aiolimiter.AsyncLimiter`, or a class of your own.

    One method is enough. Calls wait in the client's own queue, which knows priorities, deadlines, pauses and
    closing; the limiter is asked for one permit at a time. It may have more, which is looked for once, when
    the client is made:

    - `rate`: calls per second that are allowed now, or None. A permit older than 0.05 s and than 1 / rate is
      not used, another is asked for.
    - `expected() -> float`: the moment of the next permit, in seconds of `time.monotonic()`. A call whose
      deadline is before it is refused at once.
    - `pause(seconds)`: the server pushed back, nobody may send for so long.
    - `throttled(seconds, sent) -> bool`: instead of `pause` after a throttle; `sent` is when the refused
      request went out, in seconds of `time.monotonic()`. Gives whether the rate went down.
    - `close(owner)`: this client asks for no more permits. `owner` is the same object for every copy of it.

    They are plain methods, not `async def`.
    """

    async def acquire(self) -> object:
        """Wait until one more request may be sent. What it gives is not looked at."""
        ...


def optional_method(limiter: object, name: str, *arguments: object) -> Any:
    """A method that a limiter may have, if it takes these arguments and is not async; else None."""
    method = getattr(limiter, name, None)
    if not callable(method) or inspect.iscoroutinefunction(method):
        return None
    try:
        inspect.signature(method).bind(*arguments)
    except (TypeError, ValueError):
        return None
    return method


def check_limiter(limiter: object) -> None:
    """Raise ConfigurationError for what cannot give permits."""
    kind = limiter.__name__ if isinstance(limiter, type) else type(limiter).__name__
    wanted = "limiter must be one such as Limiter(20) or aiolimiter.AsyncLimiter(4, 0.0204)"
    acquire = getattr(limiter, "acquire", None)
    if isinstance(limiter, type):
        raise ConfigurationError(f"{wanted}; {kind} is a class: make one, {kind}(...)")
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
            f"{wanted}; {kind} wants each permit back (it has `release`), so it limits how many requests are "
            "under way: for that use Settings(concurrency=...)"
        )
    for name, arguments in (("expected", ()), ("pause", (1.0,)), ("throttled", (1.0, 0.0))):
        if hasattr(limiter, name) and optional_method(limiter, name, *arguments) is None:
            form = ", ".join(["self", *("seconds", "sent")[: len(arguments)]])
            raise ConfigurationError(
                f"limiter: {kind}.{name} must be a plain method, `def {name}({form})`, or not be there"
            )
