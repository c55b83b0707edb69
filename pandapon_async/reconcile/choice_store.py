"""What a run keeps of the choice between looking a refund up and using an earlier lookup again.

It is kept in a temporary table, as it is chosen anew when a run is resumed; only that reuse ended for a
platform lasts as long as the run does.
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
"""Of rows: the deadline of an open refund as far as it is known, and the choice."""

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
    """The part of a run's state that is about reuse."""

    def pages_to_look_up(self) -> Iterator[list[LedgerRow]]:
        """The rows that have a lookup or need one, page by page, in the order of the ledger."""
        for page in self._pages(_ASKED, {}):
            yield [self._row(values) for values in page]

    def note_choices(self, choices: Iterable[tuple[int, str | None, str]]) -> None:
        """Note the deadline and the choice of rows."""
        self._connection.execute(NOTES)
        with self.transaction():
            self._connection.executemany("INSERT OR REPLACE INTO temp.notes VALUES (?, ?, ?)", choices)

    def count_choices(self) -> dict[str, int]:
        """How many rows there are of each choice."""
        self._connection.execute(NOTES)
        counted = self._connection.execute(
            "SELECT choice, count(*) FROM temp.notes WHERE choice IS NOT NULL GROUP BY choice"
        )
        return dict(counted.fetchall())

    def rows_of(self, choice: str) -> Iterator[list[LedgerRow]]:
        """The rows of a choice that have no lookup yet, page by page."""
        for page in self._pages(_CHOSEN, {"choice": choice}):
            yield [self._row(values) for values in page]

    def looked_up_of(self, choices: Sequence[str]) -> Iterator[tuple[LedgerRow, Lookup]]:
        """The rows of some choices that have a lookup, with it."""
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
        """Drop the lookups of platforms that are used again."""
        query = (
            "DELETE FROM lookups WHERE source = ? AND row IN (SELECT row FROM ledger WHERE platform IN "
            f"({', '.join('?' * len(platforms))}))"
        )
        self._connection.execute(query, (LookupSource.REUSED, *platforms))

    def count_reused(self) -> dict[str, int]:
        """How many lookups are used again, by choice."""
        query = "SELECT choice, count(*) FROM temp.notes JOIN lookups USING (row) WHERE source = ? GROUP BY 1"
        return dict(self._connection.execute(query, (LookupSource.REUSED,)).fetchall())
