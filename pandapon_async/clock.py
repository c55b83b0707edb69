"""Time and randomness in one place, which tests and benchmarks can replace.

Every time, timer and random number that the library uses for a decision comes from here.
"""

from __future__ import annotations

import asyncio
import random
import re
import secrets
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Clock", "duration", "seconds_of", "time_limit"]


class Clock:
    """The real clock. Subclass it and override what a test needs."""

    def wall(self) -> float:
        """Seconds since 1970, UTC; used in signatures."""
        return time.time()

    def now(self) -> float:
        """Seconds of a clock that never goes back; used for waits and deadlines."""
        return time.monotonic()

    def boot(self) -> tuple[str, float] | None:
        """The id of the machine's boot and the seconds since; None if the system has no such id.

        Nobody can set this clock, it runs while the machine sleeps, and other processes can compare it.
        """
        return None if _BOOT_ID is None else (_BOOT_ID, time.clock_gettime(time.CLOCK_BOOTTIME))

    def call_later(self, seconds: float, callback: Callable[[], Any]) -> asyncio.TimerHandle:
        """Run `callback` after this many seconds; the returned handle cancels it."""
        return asyncio.get_running_loop().call_later(seconds, callback)

    def random(self) -> float:
        """A number in [0, 1), for jitter."""
        return random.random()

    def nonce(self) -> str:
        """A fresh nonce of 32 characters, from the system's secure source."""
        return secrets.token_hex(16)


def _boot_id() -> str | None:
    """Linux has an id for each boot; elsewhere other clocks measure ages."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


_BOOT_ID = _boot_id()


class time_limit:
    """Raise TimeoutError if the `with` block takes longer than this many seconds of `clock`.

    Like `asyncio.timeout`, with an injected clock; `end` ends the block now. Use one object for one block.
    Without `seconds` only `end` ends it.
    """

    __slots__ = ("_cancelling", "_clock", "_ended", "_seconds", "_task", "_timer")

    def __init__(self, clock: Clock, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[Any] | None = None

    def __enter__(self) -> Self:
        task = self._task = asyncio.current_task()
        assert task is not None, "a time limit needs a task"
        self._cancelling = task.cancelling()
        if self._seconds is not None:
            self._timer = self._clock.call_later(max(0.0, self._seconds), self.end)
        return self

    def end(self) -> None:
        """Leave the block with TimeoutError at its next await."""
        if self._task is not None and not self._ended:
            self._ended = True
            self._task.cancel()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None
        assert task is not None
        # Another cancellation of the task takes precedence.
        if self._ended and task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error


def duration(seconds: float) -> str:
    """Write a number of seconds in words.

    >>> duration(42), duration(150), duration(9000)
    ('42 s', '2 min 30 s', '2 h 30 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


_AGE = re.compile("([0-9]{1,6})([smhd])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def seconds_of(age: str) -> int:
    """Convert an age such as 36h to seconds. Raises ValueError for anything else.

    >>> seconds_of("90m"), seconds_of("400d")
    (5400, 34560000)
    """
    match = _AGE.fullmatch(age.strip())
    if match is None:
        raise ValueError(f"{age!r} is not an age; write 90m, 36h or 400d")
    return int(match[1]) * _SECONDS[match[2]]
