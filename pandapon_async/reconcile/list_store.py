"""The part of a run's state about lists of refunds: the windows read, and the refunds in them."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
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
_LISTED_FIELDS = ("platform", "refund_id", "account", "earliest", "latest", "created", *_LOOKUP_FIELDS)
LIST_TABLES: dict[str, tuple[str, ...]] = {"windows": _WINDOW_FIELDS, "listed": _LISTED_FIELDS}
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
_LISTED_COLUMNS = ", ".join(f"listed.{name}" for name in (*_LISTED_FIELDS, "checksum"))
_LISTED = f"SELECT {_LISTED_COLUMNS} FROM listed"
_BARE = "CASE WHEN substr({0}, 1, 2) IN ('TQ', 'TD') THEN substr({0}, 3) ELSE {0} END"
"""As `lookup.bare_id`: messages of 1688 may name a refund without the letters that the ledger has."""
# Two sets that SQLite makes once: a join would go over the whole ledger for each refund that is listed.
_LACKING = (
    f"{_LISTED} WHERE listed.refund_id NOT IN (SELECT refund_id FROM ledger WHERE refund_id IS NOT NULL) "
    f"AND (listed.platform, {_BARE.format('listed.refund_id')}) NOT IN (SELECT platform, "
    f"{_BARE.format('refund_id')} FROM ledger WHERE refund_id IS NOT NULL AND platform IS NOT NULL) "
    "AND NOT (listed.platform = '1688' AND EXISTS (SELECT 1 FROM listed AS other WHERE "
    "other.platform = '1688' AND other.refund_id IN ('TQ' || listed.refund_id, 'TD' || listed.refund_id))) "
    "ORDER BY listed.platform, listed.refund_id"
)
_LISTED_DATES = (
    "SELECT ledger.applied_at, listed.earliest, listed.latest FROM ledger JOIN listed "
    "ON listed.platform = ledger.platform AND listed.refund_id = ledger.refund_id "
    "WHERE listed.account IS ? AND listed.earliest IS NOT NULL AND ledger.applied_at IS NOT NULL"
)
_FOUND = (
    "SELECT ledger.applied_at, listed.refund_id FROM ledger JOIN lookups USING (row) LEFT JOIN listed "
    "ON listed.platform = ledger.platform AND listed.refund_id = ledger.refund_id "
    "WHERE ledger.platform = 'taobao' AND lookups.outcome = 'found' AND ledger.applied_at IS NOT NULL"
)


class WindowState(enum.StrEnum):
    """The state of a window of a list."""

    PLANNED = "planned"
    """Not read yet."""
    READ = "read"
    """Read to its end."""
    SPLIT = "split"
    """Cut off and replaced by others."""
    FAILED = "failed"
    """Not readable, or not to its end."""


@attrs.define
class Listed:
    """A refund named by the platform, in a list or a push."""

    platform: Platform
    refund_id: str
    account: str | None
    earliest: int | None
    """The earliest time of its application, in epoch milliseconds; None: not known."""
    latest: int | None
    """The latest time of its application; None: not known."""
    created: int | None = None
    """When its order was placed, according to the list; None: not known."""
    lookup: Lookup | None = None
    """The result of a single lookup; None: it was not looked up."""


def lookup_of(values: Iterable[Any]) -> Lookup:
    """Return a lookup in its stored form, in the order of its fields."""
    found = dict(zip(_LOOKUP_FIELDS, values, strict=True))
    found["outcome"] = Outcome(found["outcome"])
    found["retryable"] = bool(found["retryable"])
    found["source"] = LookupSource(found["source"])
    return Lookup(**found)


class ListTables(SqliteStore):
    """The part of a run's state for lists."""

    def forget_lists(self) -> None:
        """Drop what was read of lists. Lookups stay, but for those of a list that had not stood its proof."""
        self.forget_unproved()
        with self.transaction():
            self._connection.execute("DELETE FROM windows")
            self._connection.execute("DELETE FROM listed")
            self._connection.execute("DELETE FROM facts WHERE name LIKE 'list:%'")

    def list_fact(self, account: str | None) -> dict[str, Any]:
        """Return what is known about the lists of an account; empty before they are read."""
        query = "SELECT name, value, checksum FROM facts WHERE name = ?"
        found = self._connection.execute(query, (f"list:{account or ''}",)).fetchone()
        return {} if found is None else dict(json.loads(self.checked(found)[1]))

    def set_list_fact(self, account: str | None, **facts: Any) -> None:
        """Set what is known about the lists of an account."""
        text = json.dumps({**self.list_fact(account), **facts}, ensure_ascii=False)
        values = with_checksum((f"list:{account or ''}", text))
        self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", values)

    def list_facts(self) -> dict[str, dict[str, Any]]:
        """Return what is known about the lists of every account; "" without accounts."""
        query = "SELECT name, value, checksum FROM facts WHERE name LIKE 'list:%' ORDER BY name"
        found = [self.checked(values) for values in self._connection.execute(query)]
        return {name.removeprefix("list:"): json.loads(value) for name, value in found}

    def forget_unproved(self) -> None:
        """Drop the data of lists that had not passed their test when a run was cut off."""
        for account, known in self.list_facts().items():
            if known.get("proof") and not known.get("proved") and not known.get("over"):
                with self.transaction():
                    self.forget_list_lookups(account or None)
                    self._connection.execute("DELETE FROM windows WHERE account = ?", (account,))
                    self._connection.execute("DELETE FROM facts WHERE name = ?", (f"list:{account}",))

    def forget_list_lookups(self, account: str | None) -> int:
        """Drop the lookups from lists of an account; return their number."""
        query = "DELETE FROM lookups WHERE source = ? AND row IN (SELECT row FROM ledger WHERE account IS ?)"
        return self._connection.execute(query, (LookupSource.LIST, account)).rowcount

    def windows(self, account: str | None, *states: WindowState) -> list[Window]:
        """Return the windows of an account in these states, in order; all without a state."""
        rows = self._windows(account)
        return [Window(first, last) for _, first, last, state, _ in rows if not states or state in states]

    def windows_read(self, account: str | None) -> dict[Window, int]:
        """Return the complete windows of an account, with the number of refunds in each."""
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
        """Record the states of windows and their numbers of refunds, or plan windows."""
        for window in windows:
            values = with_checksum((account or "", window.first, window.last, str(state), seen))
            self._connection.execute("INSERT OR REPLACE INTO windows VALUES (?, ?, ?, ?, ?, ?)", values)

    def dated_rows(
        self, platform: Platform, account: str | None
    ) -> Iterator[tuple[int, str, str, str | None]]:
        """Iterate over row, refund id, time and status of rows with a time and without a lookup."""
        yield from self._connection.execute(_DATED, (platform, account))

    def pending_row(self, platform: Platform, refund_id: str) -> LedgerRow | None:
        """Return the row of a refund, if it still needs a lookup."""
        found = self._connection.execute(_PENDING_ROW, (platform, refund_id)).fetchone()
        return (
            None if found is None else LedgerRow(**dict(zip(_ROW_FIELDS, self.checked(found), strict=True)))
        )

    def add_listed(self, found: Iterable[Listed]) -> int:
        """Store refunds that the platform named; return how many are new.

        Of one that is there, the time in which it was applied for becomes narrower.
        """
        new = 0
        with self.transaction():
            for one in found:
                if self._connection.execute(_ADD_LISTED, _values(one)).rowcount:
                    new += 1
                    continue
                where = f"{_LISTED} WHERE platform = ? AND refund_id = ?"
                (values,) = self._connection.execute(where, (one.platform, one.refund_id)).fetchall()
                known = _listed(self.checked(values))
                earliest = max(filter(None, (known.earliest, one.earliest)), default=None)
                latest = min(filter(None, (known.latest, one.latest)), default=None)
                if (earliest, latest) != (known.earliest, known.latest):
                    self.set_listed(attrs.evolve(known, earliest=earliest, latest=latest))
        return new

    def set_listed(self, one: Listed) -> None:
        """Store the lookup of a named refund."""
        self._connection.execute(_SET_LISTED, _values(one))

    def named(self) -> int:
        """How many refunds the platform named."""
        count: int = self._connection.execute("SELECT count(*) FROM listed").fetchone()[0]
        return count

    def lacking(self) -> Iterator[Listed]:
        """The refunds that the platform named and no row of the ledger does."""
        for values in self._connection.execute(_LACKING):
            yield _listed(self.checked(values))

    def arrange_lacking(self) -> int:
        """Put in order what is to be looked up of these refunds; gives how many there are, done or not."""
        self._connection.execute("DROP TABLE IF EXISTS temp.lacking")
        self._connection.execute(
            "CREATE TEMP TABLE lacking (platform TEXT, refund_id TEXT, PRIMARY KEY (platform, refund_id)) "
            "WITHOUT ROWID"
        )
        names = [(one.platform, one.refund_id) for one in self.lacking()]
        with self.transaction():
            self._connection.executemany("INSERT INTO temp.lacking VALUES (?, ?)", names)
        return len(names)

    def lacking_pending(self, account: str | None, *, again: bool) -> Iterator[Listed]:
        """Of these, what is to be looked up; or, `again`, what failed for a reason that may pass."""
        wanted = "outcome = 'failed' AND retryable" if again else "outcome IS NULL"
        query = (
            f"SELECT {_LISTED_COLUMNS} FROM temp.lacking CROSS JOIN listed USING (platform, refund_id) "
            f"WHERE (listed.platform, listed.refund_id) > (?, ?) AND (? IS NULL OR account IS ?) "
            f"AND {wanted} ORDER BY listed.platform, listed.refund_id LIMIT 500"
        )
        after = ("", "")
        while page := self._connection.execute(query, (*after, account, account)).fetchall():
            found = [_listed(self.checked(values)) for values in page]
            after = (found[-1].platform, found[-1].refund_id)
            yield from found

    def forget_lacking_failures(self) -> None:
        """Look up again what failed in an earlier run."""
        for one in list(self.lacking()):
            if one.lookup is not None and one.lookup.outcome is Outcome.FAILED:
                self.set_listed(attrs.evolve(one, lookup=None))

    def listed_dates(self, account: str | None) -> Iterator[tuple[str, int, int]]:
        """Of the ledger's refunds that the list of an account shows: when the ledger says that they were
        applied for, and the time that the list says."""
        yield from self._connection.execute(_LISTED_DATES, (account,))

    def found_dates(self) -> Iterator[tuple[str, bool]]:
        """Of the ledger's Taobao refunds that exist: when applied for, and whether a list shows them."""
        found = self._connection.execute(_FOUND)
        return ((applied_at, refund_id is not None) for applied_at, refund_id in found)

    def has_platform(self, platform: Platform) -> bool:
        """Whether the ledger has refunds of a platform."""
        query = "SELECT 1 FROM ledger WHERE platform = ? LIMIT 1"
        return self._connection.execute(query, (platform,)).fetchone() is not None

    def unreadable_ids(self) -> int:
        """How many rows of the ledger name no refund."""
        query = "SELECT count(*) FROM ledger WHERE refund_id IS NULL"
        count: int = self._connection.execute(query).fetchone()[0]
        return count

    def dates(self) -> tuple[str, str] | None:
        """The first and the last time of an application in the ledger."""
        query = "SELECT applied_at FROM ledger WHERE applied_at IS NOT NULL AND duplicate_of IS NULL"
        times = [(datetime.fromisoformat(text), text) for (text,) in self._connection.execute(query)]
        return (min(times)[1], max(times)[1]) if times else None


def _listed(values: tuple[Any, ...]) -> Listed:
    at = len(_LISTED_FIELDS) - len(_LOOKUP_FIELDS)
    lookup = None if values[at] is None else lookup_of(values[at:])
    platform, refund_id, account, earliest, latest, created = values[:at]
    return Listed(platform, refund_id, account, earliest, latest, created, lookup)


def _values(one: Listed) -> tuple[Any, ...]:
    facts = (one.platform, one.refund_id, one.account, one.earliest, one.latest, one.created)
    found = (None,) * len(_LOOKUP_FIELDS)
    if one.lookup is not None:
        found = tuple(getattr(one.lookup, name) for name in _LOOKUP_FIELDS)
    return with_checksum((*facts, *found))
