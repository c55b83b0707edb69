"""How far a run is, on stderr: done, rate, throttled, retried, failed, time left.

On a terminal a bar that is redrawn, elsewhere (a log, a cron mail) a plain line every few seconds.
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
    """The running counts of a client."""

    @property
    def throttled(self) -> int:
        """Refusals by rate."""
        ...

    @property
    def retried(self) -> int:
        """Attempts beyond the first."""
        ...

    @property
    def slowed_to(self) -> float | None:
        """Calls per second, while throttles keep them below what is configured."""
        ...


class Progress(Protocol):
    """Who wants to know how far a run is."""

    def note(self, text: str) -> None:
        """A step that takes its time begins, or something is worth saying."""
        ...

    def begin(self, task: str, total: int, done: int, counts: Counts) -> None:
        """`total` lookups begin, of which `done` are there from an earlier run."""
        ...

    def advance(self, *, failed: bool) -> None:
        """One more is done."""
        ...

    def end(self) -> None:
        """No more of them come, whether all are done or not. May be called twice."""
        ...


class NullProgress(Progress):
    """Nobody wants to know."""

    def note(self, text: str) -> None:
        """Nothing."""

    def begin(self, task: str, total: int, done: int, counts: Counts) -> None:
        """Nothing."""

    def advance(self, *, failed: bool) -> None:
        """Nothing."""

    def end(self) -> None:
        """Nothing."""


class ConsoleProgress(Progress):
    """Writes progress to a stream. Must be used in the event loop's thread."""

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
        """A line of its own."""
        self._write_line(text)

    def begin(self, task: str, total: int, done: int, counts: Counts) -> None:
        """Count from here on, and show it."""
        self.end()
        self._task, self._total, self._done, self._failed = task, total, done, 0
        self._counts, self._before = counts, (counts.throttled, counts.retried)
        self._samples = deque([(self._clock.now(), done)])
        if self._live:
            self._bars = self._begin_bar()
        self._schedule()

    def advance(self, *, failed: bool) -> None:
        """Count; what is shown follows at the next tick."""
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
            auto_refresh=False,  # it is redrawn by our clock, in our thread
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
        """The state of things in one line."""
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
