"""The part of a run's state about the choice between a lookup and the reuse of an earlier one.

It is in a temporary table, because a resumed run chooses again; only the end of reuse for a platform lasts as
long as the run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs

from pandapon_async.reconcile.list_store import lookup_of
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource
from pandapon_async.storage.sqlite_file import SqliteStore

__all__ = ["NOTES", "ChoiceTable"]

PAGE = 500

NOTES = "CREATE TEMP TABLE IF NOT EXISTS notes (row INTEGER PRIMARY KEY, deadline TEXT, choice TEXT)"
"""For each row the known deadline of an open refund, and the choice."""

_ROW_FIELDS = tuple(field.name for field in attrs.fields(LedgerRow))
_LOOKUP_FIELDS = tuple(field.name for field in attrs.fields(Lookup))
_ROW = ", ".join(f"ledger.{name}" for name in (*_ROW_FIELDS, "checksum"))
_LOOKUP = ", ".join(f"lookups.{name}" for name in ("row", *_LOOKUP_FIELDS, "checksum"))
_ASKED = (
    f"SELECT {_ROW} FROM ledger WHERE problem IS NULL AND duplicate_of IS NULL AND ledger.row > :after "
    "ORDER BY ledger.row LIMIT :most"
)
_CHOSEN = (
    f"SELECT {_ROW} FROM temp.notes CROSS JOIN ledger USING (row) LEFT JOIN lookups USING (row) "
    "WHERE choice = :choice AND lookups.row IS NULL AND notes.row > :after ORDER BY notes.row LIMIT :most"
)
_LOOKED_UP = (
    f"SELECT {_ROW}, {_LOOKUP} FROM temp.notes CROSS JOIN ledger USING (row) JOIN lookups USING (row) "
    "WHERE choice = :choice AND notes.row > :after ORDER BY notes.row LIMIT :most"
)


class ChoiceTable(SqliteStore):
    """The part of a run's state about reuse."""

    def pages_to_look_up(self) -> Iterator[list[LedgerRow]]:
        """Iterate over the rows that have or need a lookup, page by page, in the order of the ledger."""
        for page in self._pages(_ASKED, {}):
            yield [self._row(values) for values in page]

    def note_choices(self, choices: Iterable[tuple[int, str | None, str]]) -> None:
        """Record the deadline and the choice of rows."""
        self._connection.execute(NOTES)
        with self.transaction():
            self._connection.executemany("INSERT OR REPLACE INTO temp.notes VALUES (?, ?, ?)", choices)

    def count_choices(self) -> dict[str, int]:
        """Count the rows of each choice."""
        self._connection.execute(NOTES)
        counted = self._connection.execute(
            "SELECT choice, count(*) FROM temp.notes WHERE choice IS NOT NULL GROUP BY choice"
        )
        return dict(counted.fetchall())

    def rows_of(self, choice: str) -> Iterator[list[LedgerRow]]:
        """Iterate over the rows of a choice without a lookup, page by page."""
        for page in self._pages(_CHOSEN, {"choice": choice}):
            yield [self._row(values) for values in page]

    def looked_up_of(self, choices: Sequence[str]) -> Iterator[tuple[LedgerRow, Lookup]]:
        """Iterate over the rows of some choices with a lookup."""
        at = len(_ROW_FIELDS) + 1
        for choice in choices:
            for page in self._pages(_LOOKED_UP, {"choice": choice}):
                for values in page:
                    yield self._row(values[:at]), lookup_of(self.checked(values[at:])[1:])

    def _pages(self, query: str, places: dict[str, Any]) -> Iterator[list[tuple[Any, ...]]]:
        places = {**places, "after": -1, "most": PAGE}
        while page := self._connection.execute(query, places).fetchall():
            places["after"] = page[-1][0]
            yield page

    def _row(self, values: tuple[Any, ...]) -> LedgerRow:
        return LedgerRow(**dict(zip(_ROW_FIELDS, self.checked(values), strict=True)))

    def drop_reused(self, platforms: Sequence[str]) -> None:
        """Drop the reused lookups of these platforms."""
        query = (
            "DELETE FROM lookups WHERE source = ? AND row IN (SELECT row FROM ledger WHERE platform IN "
            f"({', '.join('?' * len(platforms))}))"
        )
        self._connection.execute(query, (LookupSource.REUSED, *platforms))

    def count_reused(self) -> dict[str, int]:
        """Count the reused lookups by choice."""
        query = "SELECT choice, count(*) FROM temp.notes JOIN lookups USING (row) WHERE source = ? GROUP BY 1"
        return dict(self._connection.execute(query, (LookupSource.REUSED,)).fetchall())
