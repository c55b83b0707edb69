"""What a run keeps of lists of refunds: which windows it has read, and which refunds they named."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from pandapon_async.reconcile.list_windows import Window
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource, Outcome
from pandapon_async.storage.damage import with_checksum
from pandapon_async.storage.sqlite_file import SqliteStore
from pandapon_async.tables.cells import Platform

__all__ = ["LIST_SCHEMA", "LIST_TABLES", "ListTables", "Listed", "WindowState", "lookup_of"]

_LOOKUP_FIELDS = tuple(field.name for field in attrs.fields(Lookup))
_ROW_FIELDS = tuple(field.name for field in attrs.fields(LedgerRow))
_WINDOW_FIELDS = ("account", "first", "last", "state", "seen")
_LISTED_FIELDS = ("platform", "refund_id", "account", "earliest", "latest", *_LOOKUP_FIELDS)
LIST_TABLES = {"windows": _WINDOW_FIELDS, "listed": _LISTED_FIELDS}
"""The tables, and the columns that their checksums are of."""
LIST_SCHEMA = f"""\
CREATE TABLE windows (account TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
                      state TEXT NOT NULL, seen INTEGER NOT NULL, checksum INTEGER,
                      PRIMARY KEY (account, first, last)) WITHOUT ROWID;
CREATE TABLE listed (platform TEXT NOT NULL, refund_id TEXT NOT NULL, {", ".join(_LISTED_FIELDS[2:])},
                     checksum INTEGER, PRIMARY KEY (platform, refund_id)) WITHOUT ROWID
"""
_PLACES = ", ".join("?" * (len(_LISTED_FIELDS) + 1))
_ADD_LISTED = f"INSERT OR IGNORE INTO listed VALUES ({_PLACES})"
_SET_LISTED = f"INSERT OR REPLACE INTO listed VALUES ({_PLACES})"
_PENDING_ROW = (
    f"SELECT {', '.join(f'ledger.{name}' for name in (*_ROW_FIELDS, 'checksum'))} FROM firsts "
    "JOIN ledger USING (row) LEFT JOIN lookups USING (row) "
    "WHERE firsts.platform = ? AND firsts.refund_id = ? AND lookups.row IS NULL"
)
_DATED = (
    "SELECT ledger.row, ledger.refund_id, ledger.applied_at, ledger.status FROM ledger "
    "LEFT JOIN lookups USING (row) WHERE ledger.platform = ? AND ledger.applied_at IS NOT NULL "
    "AND ledger.account IS ? AND problem IS NULL AND duplicate_of IS NULL AND lookups.row IS NULL"
)
_LACKING = (
    f"SELECT {', '.join(f'listed.{name}' for name in (*_LISTED_FIELDS, 'checksum'))} FROM listed "
    "WHERE NOT EXISTS (SELECT 1 FROM named WHERE named.refund_id = listed.refund_id) {more} "
    "ORDER BY listed.platform, listed.refund_id"
)


class WindowState(enum.StrEnum):
    """What became of a window of a list."""

    PLANNED = "planned"
    """It is to be read."""
    READ = "read"
    """It was read to its end."""
    SPLIT = "split"
    """It was cut off, and others stand for it."""
    FAILED = "failed"
    """It could not be read, or not to its end."""


@attrs.define
class Listed:
    """A refund that the platform named, by a list or by a push."""

    platform: Platform
    refund_id: str
    account: str | None
    earliest: int | None
    """Before when it was not applied for, in epoch milliseconds; None: not known."""
    latest: int | None
    """After when it was not applied for; None: not known."""
    lookup: Lookup | None = None
    """What a single lookup gave; None: it was not looked up."""


def lookup_of(values: Iterable[Any]) -> Lookup:
    """A lookup as it is stored, in the order of its fields."""
    found = dict(zip(_LOOKUP_FIELDS, values, strict=True))
    found["outcome"] = Outcome(found["outcome"])
    found["retryable"] = bool(found["retryable"])
    found["source"] = LookupSource(found["source"])
    return Lookup(**found)


class ListTables(SqliteStore):
    """The part of a run's state that lists need."""

    def forget_lists(self) -> None:
        """Drop what an earlier run read of lists; the lookups stay."""
        with self.transaction():
            self._connection.execute("DELETE FROM windows")
            self._connection.execute("DELETE FROM listed")
            self._connection.execute("DELETE FROM facts WHERE name LIKE 'list:%'")

    def list_fact(self, account: str | None) -> dict[str, Any]:
        """What is known of the lists of an account; empty before they are read."""
        query = "SELECT name, value, checksum FROM facts WHERE name = ?"
        found = self._connection.execute(query, (f"list:{account or ''}",)).fetchone()
        return {} if found is None else dict(json.loads(self.checked(found)[1]))

    def set_list_fact(self, account: str | None, **facts: Any) -> None:
        """Change what is known of the lists of an account."""
        text = json.dumps({**self.list_fact(account), **facts}, ensure_ascii=False)
        values = with_checksum((f"list:{account or ''}", text))
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", values)

    def list_facts(self) -> dict[str, dict[str, Any]]:
        """What is known of the lists of every account, "" where there are none."""
        query = "SELECT name, value, checksum FROM facts WHERE name LIKE 'list:%' ORDER BY name"
        found = [self.checked(values) for values in self._connection.execute(query)]
        return {name.removeprefix("list:"): json.loads(value) for name, value in found}

    def forget_unproved(self) -> None:
        """Drop what a run that was cut off has of lists that had not stood their proof."""
        for account, known in self.list_facts().items():
            if known.get("proof") and not known.get("proved") and not known.get("over"):
                with self.transaction():
                    self.forget_list_lookups(account or None)
                    self._connection.execute("DELETE FROM windows WHERE account = ?", (account,))
                    self._connection.execute("DELETE FROM facts WHERE name = ?", (f"list:{account}",))

    def forget_list_lookups(self, account: str | None) -> int:
        """Drop the lookups that lists of an account gave; gives their number."""
        query = "DELETE FROM lookups WHERE source = ? AND row IN (SELECT row FROM ledger WHERE account IS ?)"
        return self._connection.execute(query, (LookupSource.LIST, account)).rowcount

    def windows(self, account: str | None, *states: WindowState) -> list[Window]:
        """The windows of an account in these states, in order; all if none is named."""
        rows = self._windows(account)
        return [Window(first, last) for _, first, last, state, _ in rows if not states or state in states]

    def windows_read(self, account: str | None) -> dict[Window, int]:
        """The windows of an account that were read to their end, and how many refunds each showed."""
        rows = self._windows(account)
        return {
            Window(first, last): seen for _, first, last, state, seen in rows if state == WindowState.READ
        }

    def _windows(self, account: str | None) -> Iterator[tuple[Any, ...]]:
        query = f"SELECT {', '.join(_WINDOW_FIELDS)}, checksum FROM windows WHERE account = ? ORDER BY first"
        return map(self.checked, self._connection.execute(query, (account or "",)))

    def set_windows(
        self, account: str | None, windows: Iterable[Window], state: WindowState, seen: int = 0
    ) -> None:
        """Say what became of windows, and how many refunds each showed; or plan them."""
        for window in windows:
            values = with_checksum((account or "", window.first, window.last, str(state), seen))
            self._connection.execute("INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?)", values)

    def dated_rows(
        self, platform: Platform, account: str | None
    ) -> Iterator[tuple[int, str, str, str | None]]:
        """Row, refund id, time of application and status of each row that has a time and is not looked up."""
        yield from self._connection.execute(_DATED, (platform, account))

    def pending_row(self, platform: Platform, refund_id: str) -> LedgerRow | None:
        """The row about a refund, if it is still to be looked up."""
        found = self._connection.execute(_PENDING_ROW, (platform, refund_id)).fetchone()
        return (
            None if found is None else LedgerRow(**dict(zip(_ROW_FIELDS, self.checked(found), strict=True)))
        )

    def add_listed(self, one: Listed) -> bool:
        """Keep a refund that the platform named; whether it was not there before."""
        return bool(self._connection.execute(_ADD_LISTED, _values(one)).rowcount)

    def set_listed(self, one: Listed) -> None:
        """Keep what a refund that was named turned out to be."""
        self._connection.execute(_SET_LISTED, _values(one))


def _values(one: Listed) -> tuple[Any, ...]:
    facts = (one.platform, one.refund_id, one.account, one.earliest, one.latest)
    found = (None,) * len(_LOOKUP_FIELDS)
    if one.lookup is not None:
        found = tuple(getattr(one.lookup, name) for name in _LOOKUP_FIELDS)
    return with_checksum((*facts, *found))
