"""Reads what a receiver stores, in this process or another, message by message: what was pushed since."""

from __future__ import annotations

import contextlib
import os
import sqlite3

from pandapon_async.callbacks.store import FILE_FORMAT

__all__ = ["PAGE", "PushReader"]

PAGE = 500
"""How many messages are read at once."""
_NEW = (
    "SELECT seq, platform, refund_id FROM messages WHERE seq > ? AND refund_id IS NOT NULL"
    f" ORDER BY seq LIMIT {PAGE}"
)


class PushReader:
    """An open store of callbacks, for reading only. Its receiver goes on writing it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.name: str = f"pushes of {path}"
        """The name under which the position is stored."""
        self.position: int = 0
        """The number of the last message that was read."""
        self._path = path
        self._held = contextlib.ExitStack()
        self._connection: sqlite3.Connection | None = None

    def begin(self, position: int | None) -> None:
        """Open the store, and continue behind this message; None: behind all that are there.

        Raises: CallbackStoreUnavailableError if the file does not exist or cannot be read.
        """
        self._connection, _ = self._held.enter_context(FILE_FORMAT.reading(self._path))
        self.position = self._last() if position is None else position

    def new(self) -> list[tuple[str, str]]:
        """Return platform and id of the next refunds that were pushed, at most `PAGE`."""
        assert self._connection is not None, "begin opens it"
        with FILE_FORMAT.failing(self._path, "read"):
            if self._last() < self.position:
                self.position = 0  # a store that was replaced, or emptied, counts from 1 again
            rows = self._connection.execute(_NEW, (self.position,)).fetchall()
        if rows:
            self.position = rows[-1][0]
        return [(platform, refund_id) for _, platform, refund_id in rows]

    def _last(self) -> int:
        assert self._connection is not None, "begin opens it"
        with FILE_FORMAT.failing(self._path, "read"):
            found: int | None = self._connection.execute("SELECT max(seq) FROM messages").fetchone()[0]
        return found or 0

    def close(self) -> None:
        """Close the store; may be called twice."""
        self._held.close()
