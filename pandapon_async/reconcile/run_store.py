"""The memory of a run: a SQLite file that survives kill -9 at any moment.

It holds the ledger's rows as read, and each finished lookup, committed on its own before it counts:
in WAL mode a commit is one append (some 30 µs), and what the operating system has taken survives the
process. A resumed run asks again only for what was on its way. The file is locked while in use.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from pandapon_async.errors import ConfigurationError
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, Outcome
from pandapon_async.tables.cells import Platform

__all__ = ["Pending", "RunStore"]

APPLICATION_ID = 0x50507263  # "PPrc": marks the file as ours
SCHEMA_VERSION = 1
PAGE = 500

_ROW_FIELDS = tuple(field.name for field in attrs.fields(LedgerRow))
_LOOKUP_FIELDS = tuple(field.name for field in attrs.fields(Lookup))
_SCHEMA = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE ledger (row INTEGER PRIMARY KEY, {", ".join(_ROW_FIELDS[1:])});
CREATE TABLE firsts (platform TEXT, refund_id TEXT, row INTEGER NOT NULL,
                     PRIMARY KEY (platform, refund_id)) WITHOUT ROWID;
CREATE TABLE lookups (row INTEGER PRIMARY KEY, {", ".join(_LOOKUP_FIELDS)});
"""
_INSERT_ROW = f"INSERT INTO ledger VALUES ({', '.join('?' * len(_ROW_FIELDS))})"
_INSERT_LOOKUP = f"INSERT OR REPLACE INTO lookups VALUES ({', '.join('?' * (len(_LOOKUP_FIELDS) + 1))})"
_ASKED = "FROM ledger WHERE problem IS NULL AND duplicate_of IS NULL"
_NOT_YET = (
    "SELECT ledger.row, ledger.platform, ledger.refund_id FROM ledger LEFT JOIN lookups USING (row) "
    "WHERE ledger.row > ? AND problem IS NULL AND duplicate_of IS NULL AND lookups.row IS NULL "
    "ORDER BY ledger.row LIMIT ?"
)
_FAILED_IN_PASSING = (
    "SELECT ledger.row, ledger.platform, ledger.refund_id FROM lookups JOIN ledger USING (row) "
    "WHERE lookups.row > ? AND outcome = 'failed' AND retryable ORDER BY lookups.row LIMIT ?"
)


@attrs.frozen
class Pending:
    """A lookup to be made."""

    row: int
    platform: Platform
    refund_id: str


class RunStore:
    """The state of one run. Use `RunStore.open`; close it when done."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or begin a state file, for this process alone.

        Raises ConfigurationError if another process has it, if it is no state file, or if another
        version wrote it.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=0, isolation_level=None, check_same_thread=False)
        try:
            cls._prepare(path, connection)
        except sqlite3.DatabaseError as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
                message = f"{path} is in use by another running reconciliation; wait for it or stop it"
                raise ConfigurationError(message) from None
            raise ConfigurationError(f"{path} cannot be used as a state file: {error}") from None
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    @staticmethod
    def _prepare(path: Path, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        ours = db.execute("PRAGMA application_id").fetchone()[0] == APPLICATION_ID
        if tables and not ours:
            raise ConfigurationError(f"{path} is a database of something else; choose another state file")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if ours and version != SCHEMA_VERSION:
            raise ConfigurationError(
                f"{path} was written by another version of this program (schema {version}, not "
                f"{SCHEMA_VERSION}); finish it there or choose another state file"
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("BEGIN EXCLUSIVE")  # takes the lock, and keeps it: see locking_mode
        if not ours:
            for statement in _SCHEMA.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")

    def close(self) -> None:
        """Give the file back. May be called twice."""
        self._db.close()

    def get(self, name: str) -> Any:
        """A fact of the run by name, as it was set; None if it never was."""
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])

    def set(self, facts: Mapping[str, Any]) -> None:
        """Set facts of the run, all or none."""
        with self._transaction():
            for name, value in facts.items():
                text = json.dumps(value, ensure_ascii=False)
                self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, text))

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)

    def clear(self) -> None:
        """Forget everything, also what run it was."""
        with self._transaction():
            for table in ("facts", "ledger", "firsts", "lookups"):
                self._db.execute(f"DELETE FROM {table}")

    def add_rows(self, rows: Iterable[LedgerRow]) -> int:
        """Keep rows of the ledger, all or none; a refund seen in an earlier row is marked so.

        Gives the number of rows added.
        """
        count = 0
        with self._transaction():
            for row in rows:
                if row.problem is None:
                    row.duplicate_of = self._earlier(row)
                self._db.execute(_INSERT_ROW, tuple(getattr(row, name) for name in _ROW_FIELDS))
                count += 1
        return count

    def _earlier(self, row: LedgerRow) -> int | None:
        key = (row.platform, row.refund_id)
        added = self._db.execute("INSERT OR IGNORE INTO firsts VALUES (?, ?, ?)", (*key, row.row))
        if added.rowcount:
            return None
        query = "SELECT row FROM firsts WHERE platform = ? AND refund_id = ?"
        first: int = self._db.execute(query, key).fetchone()[0]
        return first

    def forget_rows(self) -> None:
        """Drop a ledger that was read only in part."""
        with self._transaction():
            self._db.execute("DELETE FROM ledger")
            self._db.execute("DELETE FROM firsts")

    def forget_failures(self) -> int:
        """Drop the failed lookups of an earlier run, which are not finished; gives their number."""
        return self._db.execute("DELETE FROM lookups WHERE outcome = ?", (Outcome.FAILED,)).rowcount

    def record(self, row: int, lookup: Lookup) -> None:
        """Keep what a lookup gave. Once this returns, it is never made again."""
        self._db.execute(_INSERT_LOOKUP, (row, *(getattr(lookup, name) for name in _LOOKUP_FIELDS)))

    def pending(self) -> Iterator[Pending]:
        """The lookups not yet made, in the order of rows."""
        return self._paged(_NOT_YET)

    def failed_in_passing(self) -> Iterator[Pending]:
        """The lookups that failed for a reason that may pass, each once."""
        return self._paged(_FAILED_IN_PASSING)

    def _paged(self, query: str) -> Iterator[Pending]:
        last = -1
        while page := self._db.execute(query, (last, PAGE)).fetchall():
            last = page[-1][0]
            for row, platform, refund_id in page:
                yield Pending(row, platform, refund_id)

    def to_look_up(self) -> int:
        """How many rows have to be looked up, done or not."""
        count: int = self._db.execute(f"SELECT count(*) {_ASKED}").fetchone()[0]
        return count

    def looked_up(self) -> int:
        """How many lookups are recorded, failed ones too."""
        count: int = self._db.execute("SELECT count(*) FROM lookups").fetchone()[0]
        return count

    def oldest_lookup(self) -> str | None:
        """When the oldest recorded lookup was made, in ISO 8601."""
        found = self._db.execute("SELECT min(looked_up_at) FROM lookups").fetchone()[0]
        return None if found is None else str(found)

    def passing_failures(self) -> int:
        """How many lookups failed for a reason that may pass."""
        query = "SELECT count(*) FROM lookups WHERE outcome = 'failed' AND retryable"
        count: int = self._db.execute(query).fetchone()[0]
        return count

    def joined(self) -> Iterator[tuple[LedgerRow, Lookup | None]]:
        """Every row with its lookup, in the order of the ledger; streamed."""
        at = len(_ROW_FIELDS)
        query = "SELECT * FROM ledger LEFT JOIN lookups USING (row) ORDER BY ledger.row"
        for values in self._db.execute(query):
            row = LedgerRow(**dict(zip(_ROW_FIELDS, values[:at], strict=True)))
            if values[at] is None:
                yield row, None
                continue
            found = dict(zip(_LOOKUP_FIELDS, values[at:], strict=True))
            found["outcome"] = Outcome(found["outcome"])
            found["retryable"] = bool(found["retryable"])
            yield row, Lookup(**found)


@attrs.frozen
class _Transaction:
    """All statements inside, or none. (sqlite3's own context manager needs implicit transactions.)"""

    db: sqlite3.Connection

    def __enter__(self) -> None:
        self.db.execute("BEGIN")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.db.execute("COMMIT" if kind is None else "ROLLBACK")
