"""The memory of a run: a SQLite file that survives kill -9 at any moment.

It holds the ledger's rows as read, and each finished lookup, committed on its own before it counts:
in WAL mode a commit is one append (some 30 µs), and what the operating system has taken survives the
process. A resumed run asks again only for what was on its way. The file is locked while in use.
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
    """Format 2 says of a failed lookup what failed, beside the words for people."""
    db.execute("ALTER TABLE lookups ADD COLUMN error_kind")
    db.execute("UPDATE lookups SET error_kind = ? WHERE outcome = 'failed'", (ErrorKind.OTHER,))


def _add_beginning(db: sqlite3.Connection) -> None:
    """Format 3 says when the run began: not after its first lookup. Each row has a place for a checksum."""
    for table in ("facts", "ledger", "lookups"):
        db.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")
    (first,) = db.execute("SELECT min(looked_up_at) FROM lookups").fetchone()
    if first is not None:
        begun = json.dumps(datetime.fromisoformat(first).timestamp())
        db.execute("INSERT INTO facts (name, value) VALUES ('begun', ?)", (begun,))


def _add_freight(db: sqlite3.Connection) -> None:
    """Format 4 keeps freight, and which fields came as another type; lookups made before it have neither."""
    for table in ("facts", "ledger", "lookups"):
        db.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
    for name in ("applied_freight_fen", "refunded_freight_fen", "problems"):
        db.execute(f"ALTER TABLE lookups ADD COLUMN {name}")
    for table in ("facts", "ledger", "lookups"):  # filled by the last step, when all columns are there
        db.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")


def _add_account(db: sqlite3.Connection) -> None:
    """Format 5 keeps whose refund a row is, where several accounts share a ledger."""
    for table in ("facts", "ledger", "lookups"):
        db.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
    db.execute("ALTER TABLE ledger ADD COLUMN account")
    for table in ("facts", "ledger", "lookups"):  # filled by the last step, when all columns are there
        db.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")


def _add_word(db: sqlite3.Connection) -> None:
    """Format 6 keeps the ledger's own word for a status."""
    for table in ("facts", "ledger", "lookups"):
        db.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
    db.execute("ALTER TABLE ledger ADD COLUMN status_word")
    for table in ("facts", "ledger", "lookups"):  # filled by the last step, when all columns are there
        db.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")


def _add_source(db: sqlite3.Connection) -> None:
    """Format 7 says where each lookup comes from, and keeps what lists showed; before it there were none."""
    for table in ("facts", "ledger", "lookups"):
        db.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
    db.execute("ALTER TABLE lookups ADD COLUMN source")
    db.execute("UPDATE lookups SET source = ?", (LookupSource.SINGLE,))
    FORMAT.add_checksums(db, ("facts", "ledger", "lookups"))
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
# The order of the lookups: in temporary tables, as it depends on when a run is begun or resumed.
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
# CROSS JOIN keeps the queue in front, so that it is read in its order and nothing is sorted.
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
    """A lookup to be made."""

    row: int
    platform: Platform
    refund_id: str
    account: str | None = None


class RunStore(ListTables, ChoiceTable):
    """The state of one run. Use `RunStore.open`; close it when done."""

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open or begin a state file, for this process alone.

        Raises ConfigurationError if another process has it, if it is not a state file, or if a newer version
        wrote it.
        """
        connection = FORMAT.open(path, patience=0, exclusive=True)
        connection.execute("PRAGMA synchronous = NORMAL")
        return cls(path, FORMAT, connection)

    @staticmethod
    def made(path: Path) -> bool:
        """Whether a file that cannot be opened is surely a state: by its name, or by the mark in its head."""
        if _NAME.fullmatch(path.name):
            return True
        return FORMAT.made(path)

    def get(self, name: str) -> Any:
        """A fact of the run by name, as it was set; None if it never was."""
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
        """Forget everything, also what run it was."""
        self._forget_order()
        with self.transaction():
            for table in ("facts", "ledger", "firsts", "lookups", *LIST_TABLES):
                self._connection.execute(f"DELETE FROM {table}")

    def add_rows(self, rows: Iterable[LedgerRow], *, marked: bool = False) -> int:
        """Keep rows of the ledger, all or none; a refund seen in an earlier row is marked so.

        `marked`: that was done where all rows were together, and these may be a part. Gives the number of
        rows added.
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
        """Drop a ledger that was read only in part."""
        self._forget_order()
        with self.transaction():
            self._connection.execute("DELETE FROM ledger")
            self._connection.execute("DELETE FROM firsts")

    def forget_failures(self) -> int:
        """Drop the failed lookups of an earlier run, which are not finished; gives their number."""
        return self._connection.execute("DELETE FROM lookups WHERE outcome = ?", (Outcome.FAILED,)).rowcount

    def forget_all_lookups(self) -> int:
        """Drop every lookup; gives their number."""
        return self._connection.execute("DELETE FROM lookups").rowcount

    def forget_tried(self) -> None:
        """Drop the lookups of a probe that was cut off: where the ids belong was not known."""
        rows = [(row,) for row in self.get("trying") or ()]
        with self.transaction():
            self._connection.executemany("DELETE FROM lookups WHERE row = ?", rows)

    def forget_lookups(self, before: str, after: str) -> int:
        """Drop the lookups made before a moment, or after one (a clock was ahead); gives their number.

        Moments are in ISO 8601, UTC, to the millisecond, as `looked_up_at` is.
        """
        query = "DELETE FROM lookups WHERE looked_up_at < ? OR looked_up_at > ?"
        return self._connection.execute(query, (before, after)).rowcount

    def record_all(self, lookups: Iterable[tuple[int, Lookup]]) -> None:
        """Keep what several lookups gave, all or none."""
        with self.transaction():
            for row, lookup in lookups:
                self.record(row, lookup)

    def record(self, row: int, lookup: Lookup) -> None:
        """Keep what a lookup gave. Once this returns, it is never made again."""
        values = (row, *(getattr(lookup, name) for name in _LOOKUP_FIELDS))
        self._connection.execute(_INSERT_LOOKUP, with_checksum(values))

    def keep_deadlines(self) -> None:
        """Keep the deadlines of open refunds, for the order, of lookups that are about to be dropped."""
        self._connection.execute(NOTES)
        found = self._connection.execute(_DEADLINES)
        rows = ((row, deadline) for row, platform, status, deadline in found if is_open(platform, status))
        with self.transaction():
            self._connection.executemany(
                "INSERT OR REPLACE INTO temp.notes (row, deadline) VALUES (?, ?)", rows
            )

    def arrange(self, urgent: str = "") -> None:
        """Put the lookups in order: first what has its deadline up to then, as known, then by money.

        `urgent` is a moment in ISO 8601, Beijing time, as deadlines are.
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
        """The lookups not yet made, the most important first: all, or those of one account."""
        return self._paged(_NOT_YET, account)

    def wanted(self, rows: Iterable[int]) -> list[Pending]:
        """What to look up for these rows, whether it was looked up or not."""
        query = "SELECT row, platform, refund_id, account FROM ledger WHERE row = ?"
        return [Pending(*self._connection.execute(query, (row,)).fetchone()) for row in rows]

    def to_try(self) -> Iterator[Pending]:
        """The lookups not yet made that are made in any case."""
        return self._paged(_TO_TRY, None)

    def to_recheck(self, account: str | None = None) -> Iterator[Pending]:
        """The lookups not yet made that tell whether others can be used again; as `pending`."""
        return self._paged(_TO_RECHECK, account)

    def failed_in_passing(self, account: str | None = None) -> Iterator[Pending]:
        """The lookups that failed for a reason that may pass, each once: all, or those of one account."""
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
        """The accounts that rows are of."""
        query = f"SELECT DISTINCT account {_ASKED} AND account IS NOT NULL ORDER BY account"
        return [account for (account,) in self._connection.execute(query)]

    def to_look_up(self) -> int:
        """How many rows have to be looked up, done or not."""
        count: int = self._connection.execute(f"SELECT count(*) {_ASKED}").fetchone()[0]
        return count

    def looked_up(self) -> int:
        """How many lookups are recorded, failed ones too."""
        count: int = self._connection.execute("SELECT count(*) FROM lookups").fetchone()[0]
        return count

    def left(self) -> tuple[int, dict[str, int]]:
        """How many refunds were not looked up, and what they come to in fen, by currency of the ledger."""
        query = (
            "SELECT coalesce(ledger.currency, ''), count(*), sum(amount_fen) "
            "FROM ledger LEFT JOIN lookups USING (row) WHERE problem IS NULL AND duplicate_of IS NULL "
            "AND lookups.row IS NULL GROUP BY 1 ORDER BY 2 DESC"
        )
        found = self._connection.execute(query).fetchall()
        return sum(count for _, count, _ in found), {currency: fen for currency, _, fen in found}

    def platforms_found(self) -> frozenset[Platform]:
        """The platforms of which at least one refund was found."""
        query = "SELECT DISTINCT platform FROM lookups JOIN ledger USING (row) WHERE outcome = 'found'"
        return frozenset(platform for (platform,) in self._connection.execute(query))

    def lookups_of(self, rows: Iterable[int]) -> list[Lookup]:
        """The lookups of these rows, as far as they were made."""
        found = []
        for row in rows:
            query = f"SELECT row, {', '.join(_LOOKUP_FIELDS)}, checksum FROM lookups WHERE row = ?"
            values = self._connection.execute(query, (row,)).fetchone()
            if values is not None:
                found.append(lookup_of(self.checked(values)[1:]))
        return found

    def oldest_lookup(self) -> str | None:
        """When the oldest recorded lookup was made, in ISO 8601."""
        found = self._connection.execute("SELECT min(looked_up_at) FROM lookups").fetchone()[0]
        return None if found is None else str(found)

    def passing_failures(self) -> int:
        """How many lookups failed for a reason that may pass."""
        query = "SELECT count(*) FROM lookups WHERE outcome = 'failed' AND retryable"
        count: int = self._connection.execute(query).fetchone()[0]
        return count

    def failures(self) -> int:
        """How many lookups failed."""
        query = "SELECT count(*) FROM lookups WHERE outcome = 'failed'"
        count: int = self._connection.execute(query).fetchone()[0]
        return count

    def joined(self) -> Generator[tuple[LedgerRow, Lookup | None], None, None]:
        """Every row with its lookup, in the order of the ledger; streamed."""
        at = len(_ROW_FIELDS) + 1
        for values in self._connection.execute(_JOINED):
            row = LedgerRow(**dict(zip(_ROW_FIELDS, self.checked(values[:at]), strict=True)))
            if values[at] is None:
                yield row, None
                continue
            yield row, lookup_of(self.checked(values[at:])[1:])
