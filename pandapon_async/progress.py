"""The progress of a run on stderr: done, rate, throttled, retried, failed, time left.

On a terminal it redraws a bar; elsewhere (a log, a cron mail) it writes a plain line every few seconds.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from pandapon_async.clock import Clock, duration

__all__ = ["ConsoleProgress", "Counts", "NullProgress", "Progress"]

WINDOW = 20.0
"""Seconds over which the rate is measured."""
LIVE_EVERY = 0.5
PLAIN_EVERY = 5.0


class Counts(Protocol):
    """The running counters of a client."""

    @property
    def throttled(self) -> int:
        """How often the server throttled."""
        ...

    @property
    def retried(self) -> int:
        """How many attempts were retries."""
        ...

    @property
    def slowed_to(self) -> float | None:
        """Calls per second while throttles keep the rate below the configured one; else None."""
        ...


class Progress(Protocol):
    """A receiver of a run's progress."""

    def note(self, text: str) -> None:
        """Called when a slow step begins or there is something to report."""
        ...

    def begin(self, task: str, total: int, done: int, counts: Counts) -> None:
        """Called when `total` lookups begin, of which `done` are reused from an earlier run."""
        ...

    def advance(self, *, failed: bool) -> None:
        """Called when one more is done."""
        ...

    def end(self) -> None:
        """Called when the lookups end, complete or not. May be called twice."""
        ...


class NullProgress(Progress):
    """A receiver that ignores all progress."""

    def note(self, text: str) -> None:
        """Do nothing."""

    def begin(self, task: str, total: int, done: int, counts: Counts) -> None:
        """Do nothing."""

    def advance(self, *, failed: bool) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""


class ConsoleProgress(Progress):
    """Writes progress to a stream. Use it in the event loop's thread only."""

    def __init__(self, stream: TextIO, clock: Clock | None = None, *, live: bool | None = None) -> None:
        self._stream = stream
        self._clock = clock or Clock()
        self._live = stream.isatty() if live is None else live
        self._bars: Bars | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._task = ""
        self._total = self._done = self._failed = 0
        self._counts: Counts | None = None
        self._before = (0, 0)
        self._samples: deque[tuple[float, int]] = deque()

    def note(self, text: str) -> None:
        """Write a separate line."""
        self._write_line(text)

    def begin(self, task: str, total: int, done: int, counts: Counts) -> None:
        """Begin to count, and show the state."""
        self.end()
        self._task, self._total, self._done, self._failed = task, total, done, 0
        self._counts, self._before = counts, (counts.throttled, counts.retried)
        self._samples = deque([(self._clock.now(), done)])
        if self._live:
            self._bars = self._begin_bar()
        self._schedule()

    def advance(self, *, failed: bool) -> None:
        """Count one; the display follows at the next tick."""
        self._done += 1
        self._failed += failed

    def end(self) -> None:
        """Show the last state and stop."""
        if self._timer is None:
            return
        self._timer.cancel()
        self._timer = None
        if self._bars is not None:
            self._show(self._bars)
            self._bars.stop()
            self._bars = None
        else:
            self._write_line(self.line())

    def _schedule(self) -> None:
        self._timer = self._clock.call_later(LIVE_EVERY if self._live else PLAIN_EVERY, self._tick)

    def _tick(self) -> None:
        if self._bars is not None:
            self._show(self._bars)
        else:
            self._write_line(self.line())
        self._schedule()

    def _begin_bar(self) -> Bars:
        bars = Bars(
            BarColumn(bar_width=20),
            TextColumn("{task.description}", markup=False),
            console=Console(file=self._stream, force_terminal=True),
            auto_refresh=False,  # our clock redraws it, in our thread
            get_time=self._clock.now,
        )
        bars.add_task(self.line(), total=self._total, completed=self._done)
        bars.start()
        return bars

    def _show(self, bars: Bars) -> None:
        bars.update(bars.task_ids[0], completed=self._done, description=self.line(), refresh=True)

    def _write_line(self, text: str) -> None:
        if self._bars is not None:
            self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)
            return
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def line(self) -> str:
        """The current state in one line."""
        throttled = self._counts.throttled - self._before[0] if self._counts else 0
        retried = self._counts.retried - self._before[1] if self._counts else 0
        slowed_to = self._counts.slowed_to if self._counts else None
        rate = self._rate()
        percent = 100 * self._done // self._total if self._total else 100
        parts = [
            f"{self._task}: {self._done:,} of {self._total:,} ({percent} %)",
            f"{rate:,.1f}/s",
            f"throttled {throttled:,}"
            if slowed_to is None
            else f"slowed to {slowed_to:,.3g}/s after {throttled:,} throttles",
            f"retried {retried:,}",
            f"failed {self._failed:,}",
        ]
        if self._done < self._total:
            parts.append(
                f"{duration((self._total - self._done) / rate)} left" if rate else "time left unknown"
            )
        return " · ".join(parts)

    def _rate(self) -> float:
        now = self._clock.now()
        self._samples.append((now, self._done))
        while len(self._samples) > 2 and self._samples[1][0] <= now - WINDOW:
            self._samples.popleft()
        then, done = self._samples[0]
        return (self._done - done) / (now - then) if now > then else 0.0
