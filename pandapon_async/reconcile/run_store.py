"""The state of a run: an SQLite file that survives kill -9 at any moment.

It has the ledger's rows and each finished lookup, committed by itself before it counts. In WAL mode a commit
is one append (about 30 µs), and data that the operating system has accepted survives the process. A resumed
run repeats only the lookups that were in flight. The file is locked while in use.
"""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import attrs

from pandapon_async.errors import ConfigurationError, ErrorKind
from pandapon_async.reconcile.choice_store import NOTES, ChoiceTable
from pandapon_async.reconcile.list_store import LIST_SCHEMA, LIST_TABLES, ListTables, lookup_of
from pandapon_async.reconcile.statuses import is_open
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource, Outcome
from pandapon_async.storage.damage import with_checksum
from pandapon_async.storage.sqlite_file import FileFormat
from pandapon_async.tables.cells import Platform

__all__ = ["Pending", "RunStore"]

PAGE = 500
_NAME = re.compile(r"state-[0-9a-f]{12}\.sqlite")

_ROW_FIELDS = tuple(field.name for field in attrs.fields(LedgerRow))
_LOOKUP_FIELDS = tuple(field.name for field in attrs.fields(Lookup))
_SCHEMA = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE ledger (row INTEGER PRIMARY KEY, {", ".join(_ROW_FIELDS[1:])}, checksum INTEGER);
CREATE TABLE firsts (platform TEXT, refund_id TEXT, row INTEGER NOT NULL,
                     PRIMARY KEY (platform, refund_id)) WITHOUT ROWID;
CREATE TABLE lookups (row INTEGER PRIMARY KEY, {", ".join(_LOOKUP_FIELDS)}, checksum INTEGER);
{LIST_SCHEMA}"""


def _add_error_kinds(db: sqlite3.Connection) -> None:
    """Upgrade to format 2: a failed lookup has a code next to the text for people."""
    db.execute("ALTER TABLE lookups ADD COLUMN error_kind")
    db.execute("UPDATE lookups SET error_kind = ? WHERE outcome = 'failed'", (ErrorKind.OTHER,))


_CHECKED = ("facts", "ledger", "lookups")


def _without_checksums(db: sqlite3.Connection) -> None:
    """Drop the checksums, so that columns can be added before them."""
    for table in _CHECKED:
        db.execute(f"ALTER TABLE {table} DROP COLUMN checksum")


def _with_places_for_checksums(db: sqlite3.Connection) -> None:
    """Add the checksums, empty: the last step fills them, when all columns exist."""
    for table in _CHECKED:
        db.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")


def _add_beginning(db: sqlite3.Connection) -> None:
    """Upgrade to format 3: the start of the run (not after its first lookup), and checksums of rows."""
    _with_places_for_checksums(db)
    (first,) = db.execute("SELECT min(looked_up_at) FROM lookups").fetchone()
    if first is not None:
        begun = json.dumps(datetime.fromisoformat(first).timestamp())
        db.execute("INSERT INTO facts (name, value) VALUES ('begun', ?)", (begun,))


def _add_freight(db: sqlite3.Connection) -> None:
    """Upgrade to format 4: freight, and fields with another type; earlier lookups have neither."""
    _without_checksums(db)
    for name in ("applied_freight_fen", "refunded_freight_fen", "problems"):
        db.execute(f"ALTER TABLE lookups ADD COLUMN {name}")
    _with_places_for_checksums(db)


def _add_account(db: sqlite3.Connection) -> None:
    """Upgrade to format 5: the account of a row, if several accounts share a ledger."""
    _without_checksums(db)
    db.execute("ALTER TABLE ledger ADD COLUMN account")
    _with_places_for_checksums(db)


def _add_word(db: sqlite3.Connection) -> None:
    """Upgrade to format 6: the ledger's own word for a status."""
    _without_checksums(db)
    db.execute("ALTER TABLE ledger ADD COLUMN status_word")
    _with_places_for_checksums(db)


def _add_source(db: sqlite3.Connection) -> None:
    """Upgrade to format 7: the source of each lookup, and the data of lists."""
    _without_checksums(db)
    db.execute("ALTER TABLE lookups ADD COLUMN source")
    db.execute("UPDATE lookups SET source = ?", (LookupSource.SINGLE,))
    FORMAT.add_checksums(db, _CHECKED)
    for statement in LIST_SCHEMA.split(";\n"):
        db.execute(statement)


_INSERT_FACT = "INSERT OR REPLACE INTO facts VALUES (?, ?, ?)"
FORMAT = FileFormat(
    name="state file",
    application_id=0x50507263,  # "PPrc"
    number=7,
    schema=_SCHEMA,
    upgrades={
        1: _add_error_kinds,
        2: _add_beginning,
        3: _add_freight,
        4: _add_account,
        5: _add_word,
        6: _add_source,
    },
    error=ConfigurationError,
    checked={
        "facts": ("name", "value"),
        "ledger": _ROW_FIELDS,
        "lookups": ("row", *_LOOKUP_FIELDS),
        **LIST_TABLES,
    },
)
_INSERT_ROW = f"INSERT INTO ledger VALUES ({', '.join('?' * (len(_ROW_FIELDS) + 1))})"
_INSERT_LOOKUP = f"INSERT OR REPLACE INTO lookups VALUES ({', '.join('?' * (len(_LOOKUP_FIELDS) + 2))})"
_JOINED = (
    f"SELECT {', '.join(f'ledger.{name}' for name in (*_ROW_FIELDS, 'checksum'))}, "
    f"{', '.join(f'lookups.{name}' for name in ('row', *_LOOKUP_FIELDS, 'checksum'))} "
    "FROM ledger LEFT JOIN lookups USING (row) ORDER BY ledger.row"
)
_ASKED = "FROM ledger WHERE problem IS NULL AND duplicate_of IS NULL"
# The order of the lookups, in temporary tables, because it depends on when a run starts or resumes.
_QUEUE = (
    "CREATE TEMP TABLE queue (rank INTEGER, weight INTEGER, row INTEGER, PRIMARY KEY (rank, weight, row)) "
    "WITHOUT ROWID"
)
_FILL_QUEUE = (
    "INSERT INTO temp.queue SELECT "
    "CASE WHEN choice = 'pushed' THEN 0 WHEN notes.deadline <= :urgent THEN 1 ELSE 2 END, "
    "-abs(coalesce(amount_fen, 0)), ledger.row FROM ledger LEFT JOIN temp.notes USING (row) "
    "WHERE problem IS NULL AND duplicate_of IS NULL ORDER BY 1, 2, 3"
)
_DEADLINES = (
    "SELECT row, platform, lookups.status, deadline FROM lookups JOIN ledger USING (row) "
    "WHERE deadline IS NOT NULL"
)
# CROSS JOIN keeps the queue first, so that it is read in its order without sorting.
_QUEUED = (
    "SELECT rank, weight, ledger.row, ledger.platform, ledger.refund_id, ledger.account FROM temp.queue "
    "CROSS JOIN ledger USING (row) LEFT JOIN lookups USING (row) LEFT JOIN temp.notes USING (row) "
    "WHERE (rank, weight, queue.row) > (:rank, :weight, :row) "
    "AND (:account IS NULL OR ledger.account = :account) AND {wanted} "
    "ORDER BY rank, weight, queue.row LIMIT :most"
)
_IS_ARRANGED = "SELECT 1 FROM temp.sqlite_master WHERE name = 'queue'"
_NOT_YET = _QUEUED.format(wanted="lookups.row IS NULL")
_TO_TRY = _QUEUED.format(
    wanted="lookups.row IS NULL AND (choice IS NULL OR choice NOT IN ('final', 'silent'))"
)
_TO_RECHECK = _QUEUED.format(wanted="lookups.row IS NULL AND choice = 'recheck'")
_FAILED_IN_PASSING = _QUEUED.format(wanted="outcome = 'failed' AND retryable")


@attrs.frozen
class Pending:
    """A lookup to make."""

    row: int
    platform: Platform
    refund_id: str
    account: str | None = None


class RunStore(ListTables, ChoiceTable):
    """The state of one run. Open it with `RunStore.open` and close it in the end."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or create a state file, locked for this process.

        Raises ConfigurationError if another process uses it, it is not a state file, or a newer version wrote
        it.
        """
        connection = FORMAT.open(path, patience=0, exclusive=True)
        connection.execute("PRAGMA synchronous = NORMAL")
        return cls(path, FORMAT, connection)

    @staticmethod
    def made(path: Path) -> bool:
        """Whether an unreadable file is certainly a state, by its name or the mark in its header."""
        if _NAME.fullmatch(path.name):
            return True
        return FORMAT.made(path)

    def get(self, name: str) -> Any:
        """Return a fact of the run; None if it was never set."""
        query = "SELECT name, value, checksum FROM facts WHERE name = ?"
        found = self._connection.execute(query, (name,)).fetchone()
        return None if found is None else json.loads(self.checked(found)[1])

    def set(self, facts: Mapping[str, Any]) -> None:
        """Set facts of the run, all or none."""
        with self.transaction():
            for name, value in facts.items():
                text = json.dumps(value, ensure_ascii=False)
                self._connection.execute(_INSERT_FACT, with_checksum((name, text)))

    def clear(self) -> None:
        """Delete everything, including the identity of the run."""
        self._forget_order()
        with self.transaction():
            for table in ("facts", "ledger", "firsts", "lookups", *LIST_TABLES):
                self._connection.execute(f"DELETE FROM {table}")

    def add_rows(self, rows: Iterable[LedgerRow], *, marked: bool = False) -> int:
        """Add rows of the ledger, all or none; mark a refund that an earlier row has.

        `marked`: duplicates were marked with all rows together, and these may be a part. Returns the number
        of rows.
        """
        count = 0
        self._connection.execute("DROP TABLE IF EXISTS temp.queue")
        with self.transaction():
            for row in rows:
                if row.problem is None and not marked:
                    row.duplicate_of = self._earlier(row)
                values = tuple(getattr(row, name) for name in _ROW_FIELDS)
                self._connection.execute(_INSERT_ROW, with_checksum(values))
                count += 1
        return count

    def _earlier(self, row: LedgerRow) -> int | None:
        key = (row.platform, row.refund_id)
        added = self._connection.execute("INSERT OR IGNORE INTO firsts VALUES (?, ?, ?)", (*key, row.row))
        if added.rowcount:
            return None
        query = "SELECT row FROM firsts WHERE platform = ? AND refund_id = ?"
        first: int = self._connection.execute(query, key).fetchone()[0]
        return first

    def forget_rows(self) -> None:
        """Drop a partly read ledger."""
        self._forget_order()
        with self.transaction():
            self._connection.execute("DELETE FROM ledger")
            self._connection.execute("DELETE FROM firsts")

    def forget_failures(self) -> int:
        """Drop the failed lookups of an earlier run, which are not finished; return their number."""
        return self._connection.execute("DELETE FROM lookups WHERE outcome = ?", (Outcome.FAILED,)).rowcount

    def forget_all_lookups(self) -> int:
        """Drop every lookup; return their number."""
        return self._connection.execute("DELETE FROM lookups").rowcount

    def forget_tried(self) -> None:
        """Drop the lookups of an interrupted probe: the place of the ids was not known."""
        rows = [(row,) for row in self.get("trying") or ()]
        with self.transaction():
            self._connection.executemany("DELETE FROM lookups WHERE row = ?", rows)

    def forget_lookups(self, before: str, after: str) -> int:
        """Drop the lookups made before or after a time (a clock was ahead); return their number.

        Times are in ISO 8601, UTC, to the millisecond, like `looked_up_at`.
        """
        query = "DELETE FROM lookups WHERE looked_up_at < ? OR looked_up_at > ?"
        return self._connection.execute(query, (before, after)).rowcount

    def record_all(self, lookups: Iterable[tuple[int, Lookup]]) -> None:
        """Store several lookups, all or none."""
        with self.transaction():
            for row, lookup in lookups:
                self.record(row, lookup)

    def record(self, row: int, lookup: Lookup) -> None:
        """Store a lookup. After the return it is never repeated."""
        values = (row, *(getattr(lookup, name) for name in _LOOKUP_FIELDS))
        self._connection.execute(_INSERT_LOOKUP, with_checksum(values))

    def keep_deadlines(self) -> None:
        """Keep the deadlines of open refunds from lookups that will be dropped, for the order."""
        self._connection.execute(NOTES)
        found = self._connection.execute(_DEADLINES)
        rows = ((row, deadline) for row, platform, status, deadline in found if is_open(platform, status))
        with self.transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO temp.notes (row, deadline) VALUES (?, ?)", rows
            )

    def arrange(self, urgent: str = "") -> None:
        """Order the lookups: first those with a known deadline up to `urgent`, then by money.

        `urgent` is a time in ISO 8601, Beijing time, like deadlines.
        """
        self._connection.execute(NOTES)
        self._connection.execute("DROP TABLE IF EXISTS temp.queue")
        self._connection.execute(_QUEUE)
        with self.transaction():
            self._connection.execute(_FILL_QUEUE, {"urgent": urgent})

    def _forget_order(self) -> None:
        for table in ("queue", "notes"):
            self._connection.execute(f"DROP TABLE IF EXISTS temp.{table}")

    def pending(self, account: str | None = None) -> Iterator[Pending]:
        """Iterate over the missing lookups, the most important first: all, or those of one account."""
        return self._paged(_NOT_YET, account)

    def wanted(self, rows: Iterable[int]) -> list[Pending]:
        """Return the lookups of these rows, made or not."""
        query = "SELECT row, platform, refund_id, account FROM ledger WHERE row = ?"
        return [Pending(*self._connection.execute(query, (row,)).fetchone()) for row in rows]

    def to_try(self) -> Iterator[Pending]:
        """Iterate over the missing lookups that are always made."""
        return self._paged(_TO_TRY, None)

    def to_recheck(self, account: str | None = None) -> Iterator[Pending]:
        """Iterate over the missing lookups of the sample; as `pending`."""
        return self._paged(_TO_RECHECK, account)

    def failed_in_passing(self, account: str | None = None) -> Iterator[Pending]:
        """Iterate over the lookups that failed for a transient reason: all, or those of one account."""
        return self._paged(_FAILED_IN_PASSING, account)

    def _paged(self, query: str, account: str | None) -> Iterator[Pending]:
        if not self._connection.execute(_IS_ARRANGED).fetchone():
            self.arrange()
        places: dict[str, Any] = {"rank": -1, "weight": 0, "row": 0, "account": account, "most": PAGE}
        while page := self._connection.execute(query, places).fetchall():
            places |= zip(("rank", "weight", "row"), page[-1], strict=False)
            for _, _, *row in page:
                yield Pending(*row)

    def accounts(self) -> list[str]:
        """Return the accounts of the rows."""
        query = f"SELECT DISTINCT account {_ASKED} AND account IS NOT NULL ORDER BY account"
        return [account for (account,) in self._connection.execute(query)]

    def to_look_up(self) -> int:
        """Count the rows that need a lookup, done or not."""
        count: int = self._connection.execute(f"SELECT count(*) {_ASKED}").fetchone()[0]
        return count

    def looked_up(self) -> int:
        """Count the stored lookups, including failed ones."""
        count: int = self._connection.execute("SELECT count(*) FROM lookups").fetchone()[0]
        return count

    def single_lookups(self) -> int:
        """Count the stored lookups that were made one by one, including failed ones."""
        query = "SELECT count(*) FROM lookups WHERE source = ?"
        count: int = self._connection.execute(query, (LookupSource.SINGLE,)).fetchone()[0]
        return count

    def left(self) -> tuple[int, dict[str, int]]:
        """Return the number of refunds without a lookup and their sum in fen, by currency of the ledger."""
        query = (
            "SELECT coalesce(ledger.currency, ''), count(*), sum(amount_fen) "
            "FROM ledger LEFT JOIN lookups USING (row) WHERE problem IS NULL AND duplicate_of IS NULL "
            "AND lookups.row IS NULL GROUP BY 1 ORDER BY 2 DESC"
        )
        found = self._connection.execute(query).fetchall()
        return sum(count for _, count, _ in found), {currency: fen for currency, _, fen in found}

    def platforms_found(self) -> frozenset[Platform]:
        """Return the platforms with at least one found refund."""
        query = "SELECT DISTINCT platform FROM lookups JOIN ledger USING (row) WHERE outcome = 'found'"
        return frozenset(platform for (platform,) in self._connection.execute(query))

    def lookups_of(self, rows: Iterable[int]) -> list[Lookup]:
        """Return the existing lookups of these rows."""
        found = []
        for row in rows:
            query = f"SELECT row, {', '.join(_LOOKUP_FIELDS)}, checksum FROM lookups WHERE row = ?"
            values = self._connection.execute(query, (row,)).fetchone()
            if values is not None:
                found.append(lookup_of(self.checked(values)[1:]))
        return found

    def oldest_lookup(self) -> str | None:
        """Return the time of the oldest stored lookup, in ISO 8601."""
        found = self._connection.execute("SELECT min(looked_up_at) FROM lookups").fetchone()[0]
        return None if found is None else str(found)

    def passing_failures(self) -> int:
        """Count the lookups that failed for a transient reason."""
        query = "SELECT count(*) FROM lookups WHERE outcome = 'failed' AND retryable"
        count: int = self._connection.execute(query).fetchone()[0]
        return count

    def failures(self) -> int:
        """Count the failed lookups."""
        query = "SELECT count(*) FROM lookups WHERE outcome = 'failed'"
        count: int = self._connection.execute(query).fetchone()[0]
        return count

    def joined(self) -> Generator[tuple[LedgerRow, Lookup | None], None, None]:
        """Iterate over all rows with their lookups, in the order of the ledger; streamed."""
        at = len(_ROW_FIELDS) + 1
        for values in self._connection.execute(_JOINED):
            row = LedgerRow(**dict(zip(_ROW_FIELDS, self.checked(values[:at]), strict=True)))
            if values[at] is None:
                yield row, None
                continue
            yield row, lookup_of(self.checked(values[at:])[1:])
