"""Preview a ledger without any request: which column is which field, and how many lookups it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.reconcile.columns import inferred, resolver
from pandapon_async.reconcile.ledger import LedgerReader
from pandapon_async.reconcile.options import Options
from pandapon_async.tables.file_set import name_of, place_of
from pandapon_async.tables.given import Rows, table_file
from pandapon_async.tables.open import open_table

__all__ = ["LedgerPreview", "preview"]

LISTED = 10


@attrs.frozen(kw_only=True)
class LedgerPreview(Result):
    """The preview of a reconciliation."""

    name: str
    """The file, or "rows"."""
    format: str
    """"csv", "xlsx" or "parquet"."""
    columns: dict[str, str]
    """Which column is read as which field."""
    amount_unit: str | None
    """The unit of the amounts: "fen" or "yuan"."""
    rows: int
    """How many rows there are."""
    lookups: int
    """How many refunds would be looked up."""
    duplicates: int
    """How many rows repeat the refund of an earlier row."""
    unreadable: int
    """How many rows cannot be read."""
    problems: tuple[tuple[int, str, str], ...]
    """The first rows that cannot be read: row, column, reason."""
    platforms: dict[str, int]
    """The lookups by platform."""
    ledger_fen: dict[str, int]
    """The sum of the refunds to look up, in fen by currency."""
    inferred: tuple[str, ...]
    """The assumptions about the columns."""
    notes: tuple[str, ...]
    """Notes about the file."""
    files: tuple[str, ...] = ()
    """The files, if there are several; `place` names the file of a row."""

    @property
    def exit_code(self) -> int:
        """0 if every row can be read, else 1."""
        return 1 if self.unreadable else 0

    def place(self, row: int) -> str:
        """Name the place of a row for people, with its file if there are several."""
        return place_of(row, self.files)

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return everything for JSON; amounts are whole fen."""
        return {**super().to_dict(personal=personal), "exit_code": self.exit_code}


def preview(ledger: Rows, options: Options | None = None) -> LedgerPreview:
    """Read a ledger, map its columns and count its rows. Makes no request, writes nothing; blocks.

    Args:
        ledger: a path, mappings, or an Arrow stream, as for `reconcile`.
        options: as for `reconcile`.

    Raises InvalidArgumentError for a ledger or options that cannot work.
    """
    with table_file(ledger) as path:
        return _look(path, options or Options())


def _look(path: Path, options: Options) -> LedgerPreview:
    table = open_table(path, resolver(options), options.reading)
    reader, rows, unreadable = LedgerReader(table, options), 0, 0
    seen: set[int] = set()  # hashes: for a million rows they need 60 MB less than ids
    problems: list[tuple[int, str, str]] = []
    platforms: dict[str, int] = {}
    sums: dict[str, int] = {}
    for row in reader.rows():
        rows += 1
        if row.problem is not None or row.platform is None:
            unreadable += 1
            if len(problems) < LISTED:
                problems.append((row.row, row.column or "", row.problem or "no platform"))
            continue
        key = hash((row.platform, row.refund_id))
        if key in seen:
            continue
        seen.add(key)
        platforms[row.platform] = platforms.get(row.platform, 0) + 1
        currency = row.currency or "CNY"
        sums[currency] = sums.get(currency, 0) + (row.amount_fen or 0)
    if not rows:
        raise InvalidArgumentError(f"{name_of(path)} has no rows below its column names", argument="ledger")
    return LedgerPreview(
        name=name_of(path),
        format=table.format,
        columns=dict(table.columns.named()),
        amount_unit=table.columns.units["amount"],
        rows=rows,
        lookups=len(seen),
        duplicates=rows - unreadable - len(seen),
        unreadable=unreadable,
        problems=tuple(problems),
        platforms=platforms,
        ledger_fen=sums,
        inferred=tuple(inferred(table.columns, options)),
        notes=tuple(reader.notes()),
        files=table.files,
    )
