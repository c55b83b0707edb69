"""What is remembered of followed refunds: one SQLite file, or memory. One process has it at a time."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Self

import attrs

from pandapon_async.errors import ConfigurationError
from pandapon_async.follow.changes import SENT_BACK, Seen
from pandapon_async.storage.damage import with_checksum
from pandapon_async.storage.sqlite_file import FileFormat, SqliteStore
from pandapon_async.tables.cells import Platform

__all__ = ["FollowStore", "Followed"]

_SEEN = tuple(field.name for field in attrs.fields(Seen))


@attrs.define(kw_only=True)
class Followed:
    """A refund, where it stood when its last change was taken, and when to look again."""

    platform: Platform
    refund_id: str
    active: bool = True
    """Whether it is among those to be followed."""
    next_look: float = 0.0
    """Seconds since 1970."""
    looked_at: float | None = None
    """When the last look was made that did not fail, in seconds since 1970."""
    since: float | None = None
    """Since when it has been in its state, in seconds since 1970."""
    stuck_told: bool = False
    """Whether it was reported that it is stuck in this state."""
    seen: Seen | None = None
    """Where it stood; None before the first look."""

    @property
    def key(self) -> tuple[Platform, str]:
        """What tells one from another."""
        return self.platform, self.refund_id


_COLUMNS = (
    *(field.name for field in attrs.fields(Followed) if field.name not in ("active", "seen")),
    *_SEEN,
)
FORMAT = FileFormat(
    name="file of followed refunds",
    application_id=0x50506677,  # "PPfw"
    number=1,
    schema=f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE refunds (active, {", ".join(_COLUMNS)}, checksum INTEGER, PRIMARY KEY (platform, refund_id));
CREATE INDEX by_look ON refunds (next_look) WHERE active;
CREATE INDEX by_status ON refunds (status, since) WHERE active
""",
    error=ConfigurationError,
    checked={"facts": ("name", "value"), "refunds": _COLUMNS},
    if_damaged="move it away; the refunds are then followed from the start",
)
_SELECT = f"SELECT active, {', '.join(_COLUMNS)}, checksum FROM refunds"
_WRITE = f"INSERT OR REPLACE INTO refunds VALUES ({', '.join('?' * (len(_COLUMNS) + 2))})"


class FollowStore(SqliteStore):
    """The file. All methods block for some 50 µs."""

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Self:
        """Open or make a file, for this process alone. Raises ConfigurationError if it cannot be used."""
        connection = FORMAT.open(path, patience=0, exclusive=True)
        connection.execute("PRAGMA synchronous = NORMAL")
        return cls(path, FORMAT, connection)

    def get(self, name: str) -> Any:
        """A fact by name; None if it was never set."""
        query = "SELECT name, value, checksum FROM facts WHERE name = ?"
        found = self._connection.execute(query, (name,)).fetchone()
        return None if found is None else json.loads(self.checked(found)[1])

    def set(self, name: str, value: Any) -> None:
        """Set a fact."""
        values = with_checksum((name, json.dumps(value, ensure_ascii=False)))
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", values)

    def choose(self, refunds: Iterable[tuple[Platform, str]], take_up: Callable[[Followed], object]) -> None:
        """Follow these and no others, all or none, each as `take_up` leaves it; the others are kept."""
        with self.transaction():
            self._connection.execute("UPDATE refunds SET active = 0")
            for platform, refund_id in refunds:
                one = self.of(platform, refund_id) or Followed(platform=platform, refund_id=refund_id)
                take_up(one)
                self.put(one)

    def put(self, one: Followed) -> None:
        """Keep a refund as it is now."""
        seen = attrs.astuple(one.seen or Seen())
        facts = (getattr(one, name) for name in _COLUMNS[: -len(_SEEN)])
        # A refund that is missing and one that was never looked at differ by `looked_at`.
        self._connection.execute(_WRITE, (one.active, *with_checksum((*facts, *seen))))

    def of(self, platform: Platform, refund_id: str) -> Followed | None:
        """What is remembered of a refund."""
        return next(self._find("platform = ? AND refund_id = ?", (platform, refund_id)), None)

    def due(self, now: float, limit: int) -> list[Followed]:
        """The refunds whose time has come, those that waited longest first."""
        due = "active AND next_look <= ? ORDER BY next_look, refund_id LIMIT ?"
        return list(self._find(due, (now, limit)))

    def next_look(self, after: float) -> float | None:
        """When the next refund's time comes after this moment; None if none will."""
        query = "SELECT min(next_look) FROM refunds WHERE active AND next_look > ?"
        found: float | None = self._connection.execute(query, (after,)).fetchone()[0]
        return found

    def count(self) -> int:
        """How many are followed."""
        found: int = self._connection.execute("SELECT count(*) FROM refunds WHERE active").fetchone()[0]
        return found

    def sent_back(self, before: float) -> Iterator[Followed]:
        """The refunds whose goods went back and have not been received since before this moment."""
        states = tuple(SENT_BACK.items())
        condition = " OR ".join("(platform = ? AND status = ?)" for _ in states)
        values = (*(text for state in states for text in state), before)
        return self._find(f"active AND ({condition}) AND since <= ? ORDER BY since, refund_id", values)

    def _find(self, condition: str, values: tuple[Any, ...] = ()) -> Iterator[Followed]:
        for active, *row in self._connection.execute(f"{_SELECT} WHERE {condition}", values):
            facts = dict(zip(_COLUMNS, self.checked(tuple(row)), strict=True))
            seen = Seen(**{name: facts.pop(name) for name in _SEEN})
            facts["stuck_told"] = bool(facts["stuck_told"])
            known = facts["looked_at"] is not None
            yield Followed(**facts, active=bool(active), seen=seen if known else None)
