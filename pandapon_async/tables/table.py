"""A ledger file as a table: which format it is, its columns, its records one after the other.

Each format has a small reader of its own. All of them stream: what is in memory does not grow with
the number of rows. A record that cannot be taken apart is handed on with its problem, never dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.cells import Cell

__all__ = ["Record", "Table", "file_digest", "open_table"]


@attrs.define
class Record:
    """One row: its number as a spreadsheet shows it, the wanted cells, or why there are none."""

    row: int
    cells: Sequence[Cell]
    problem: str | None = None


class Table(Protocol):
    """What every reader offers."""

    format: str
    encoding: str | None
    columns: tuple[str, ...]
    day_zero: date
    blank_lines: int

    def records(self, wanted: Sequence[int]) -> Iterator[Record]:
        """Each record in order, with the cells of the wanted columns (positions in `columns`)."""
        ...


def open_table(path: Path, *, sheet: str | None = None, header_row: int | None = None) -> Table:
    """The reader for a file, chosen by its first bytes.

    `sheet` names a sheet of a workbook (the first one otherwise), `header_row` the row of the column
    names (the first row that is not blank otherwise). Raises InvalidArgumentError for what cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(8)
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise InvalidArgumentError(
            f"{path.name} is an old .xls workbook or has a password; save it as plain .xlsx or CSV"
        )
    if head.startswith(b"PAR1"):
        from pandapon_async.tables.parquet_file import ParquetTable

        return ParquetTable(path)
    if head.startswith(b"PK\x03\x04"):
        from pandapon_async.tables.xlsx_file import XlsxTable

        return XlsxTable(path, sheet=sheet, header_row=header_row)
    from pandapon_async.tables.csv_file import CsvTable

    if sheet is not None:
        raise InvalidArgumentError(
            f"{path.name} is no workbook: it has no sheets to choose from", argument="sheet"
        )
    return CsvTable(path, header_row=header_row)


def file_digest(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """SHA-256 of a file, hex; `check` is called between the blocks and may raise to stop."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            check()
    return digest.hexdigest()
