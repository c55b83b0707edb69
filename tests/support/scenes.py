"""Scenes for the sweep over cancellations, and what is counted in them.

A scene is set anew for each await of what it plays. When that was cancelled, the scene counts what is
still taken, open or running, and shows that the work can be done after all.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from pandapon_async import Client
from tests.support.sweep import left_behind, sweep

_FOLDERS = itertools.count(1)


@attrs.define
class Figures:
    """What one sweep found: how many awaits, how often cancelled, and what was left behind in sum."""

    name: str
    awaits: int = 0
    cancelled: int = 0
    permits: int = 0
    connections: int = 0
    tasks: int = 0
    files: int = 0

    @property
    def leaks(self) -> int:
        """All of it together."""
        return self.permits + self.connections + self.tasks + self.files

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.awaits} awaits, {self.cancelled} cancelled; left behind: "
            f"{self.permits} permits, {self.connections} connections, {self.tasks} tasks, {self.files} files"
        )


@attrs.define
class Stage:
    """Where a scene is played: a folder of its own for each time, and the figures to add to."""

    root: Path
    figures: Figures
    plays: int = 0

    def folder(self) -> Path:
        """A new folder, for one play."""
        self.plays += 1
        path = self.root / f"play-{next(_FOLDERS)}"
        path.mkdir()
        return path

    def count(self, client: Client) -> None:
        """Add what a client still holds, while it is open and nothing runs."""
        pipeline = client._pipeline
        taken = client.settings.concurrency - pipeline.slots.free
        waiting = len(pipeline.slots._queue) + client.limiter.waiting + len(pipeline.timers._futures)
        self.figures.permits += taken + waiting
        session = pipeline.session._session
        if session is not None and session.connector is not None and not session.closed:
            self.figures.connections += len(session.connector._acquired)

    async def tasks(self) -> None:
        """Add the tasks that nobody waits for any more."""
        self.figures.tasks += len(await left_behind())


def _open_files() -> set[str]:
    """What this process has open, apart from what came and went with the look."""
    found = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(f"{link.name} {link.readlink()}")
    return {name for name in found if "/proc/" not in name}


@contextlib.contextmanager
def counted_files(figures: Figures) -> Iterator[None]:
    """Count the descriptors that are open at the end and were not at the beginning."""
    gc.collect()
    before = _open_files()
    yield
    gc.collect()
    figures.files += len(_open_files() - before)


def measure(name: str, scene: Callable[[Stage], Any], every: int = 1) -> Figures:
    """Sweep a scene and count, at every await or every second and so on; each play also checks itself."""
    figures = Figures(name)
    with tempfile.TemporaryDirectory() as root:
        stage = Stage(Path(root), figures)
        with counted_files(figures):
            figures.awaits = sweep(scene(stage), every)
        figures.cancelled = stage.plays - 2  # of each sweep before and after, the last play came to its end
    return figures


def table(found: Iterable[Figures]) -> str:
    """The figures as a table of the page, with their sum."""
    names = [field.name for field in attrs.fields(Figures)]
    rows = [[getattr(figures, name) for name in names] for figures in found]
    rows.append(["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])])
    lines = [names, ["---", *["--:"] * (len(names) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
