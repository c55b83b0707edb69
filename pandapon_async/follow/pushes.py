"""Reads what a receiver has stored, in this process or another: what was pushed since."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from pandapon_async.callbacks.store import FILE_FORMAT

__all__ = ["PushReader"]

_NEW = "SELECT seq, platform, refund_id FROM messages WHERE seq > ? AND refund_id IS NOT NULL ORDER BY seq"


class PushReader:
    """An open store of callbacks, for reading alone. The receiver goes on writing it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name: str = f"pushes of {path}"
        """What the position is kept under."""
        self.position: int = 0
        """The number of the last message that was read."""
        self.moved: bool = False
        """Whether the last reading found anything."""
        self._path = path
        self._held = contextlib.ExitStack()
        self._connection: sqlite3.Connection | None = None

    def begin(self, position: int | None) -> None:
        """Open the store, and go on behind this message; None: behind all that is there.

        Raises CallbackStoreUnavailableError if the file is not there or cannot be read.
        """
        connection, _ = self._held.enter_context(FILE_FORMAT.reading(self._path))
        self._connection = connection
        last = self._last()
        # A store that was replaced, or emptied of what was handled, begins to count anew.
        self.position = last if position is None else 0 if position > last else position

    def new(self) -> Iterator[tuple[str, str]]:
        """The platform and the id of each refund that was pushed since the last reading."""
        assert self._connection is not None
        self.moved = False
        with FILE_FORMAT.failing(self._path, "read"):
            if self._last() < self.position:
                self.position, self.moved = 0, True
            rows = self._connection.execute(_NEW, (self.position,)).fetchall()
        for number, platform, refund_id in rows:
            self.position, self.moved = number, True
            yield platform, refund_id

    def _last(self) -> int:
        assert self._connection is not None
        with FILE_FORMAT.failing(self._path, "read"):
            found: int | None = self._connection.execute("SELECT max(seq) FROM messages").fetchone()[0]
        return found or 0

    def close(self) -> None:
        """Close the store; may be called twice."""
        self._held.close()
