"""CSV ledgers: UTF-8 with or without BOM, else GB18030, decided over the whole file and strictly.

A record that breaks the quoting rules within one line is handed on as a problem. One that swallows
further lines is refused with its place: nobody could say how many refunds are hidden in it.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.cells import blank
from pandapon_async.tables.table import Record

__all__ = ["CsvTable", "file_encoding"]

DELIMITERS = (",", "\t", ";")
BLOCK = 1 << 18


def file_encoding(path: Path) -> str:
    """`utf-8-sig` or `gb18030`, whichever the whole file is valid in.

    Raises InvalidArgumentError with the first bad byte's position, and for UTF-16.
    """
    with path.open("rb") as file:
        if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise InvalidArgumentError(f"{path.name} is UTF-16; save it as CSV in UTF-8")
    positions = {}
    for encoding in ("utf-8-sig", "gb18030"):
        bad = _first_bad_byte(path, encoding)
        if bad is None:
            return encoding
        positions[encoding] = bad
    raise InvalidArgumentError(
        f"{path.name} is neither UTF-8 (byte {positions['utf-8-sig']} breaks it) "
        f"nor GB18030 (byte {positions['gb18030']} breaks it)"
    )


def _first_bad_byte(path: Path, encoding: str) -> int | None:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    read = 0
    with path.open("rb") as file:
        while True:
            block = file.read(BLOCK)
            pending = len(decoder.getstate()[0])
            try:
                decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                return read - pending + error.start
            if not block:
                return None
            read += len(block)


class CsvTable:
    """A CSV file; the delimiter (comma, TAB or semicolon) is the one that splits the header most."""

    format = "csv"
    day_zero: date = date(1899, 12, 30)

    def __init__(self, path: Path, *, header_row: int | None = None) -> None:
        self.path = path
        self.encoding: str | None = file_encoding(path)
        self.blank_lines: int = 0
        self.delimiter: str
        self.header_row: int
        self.delimiter, self.header_row, header = self._header(header_row)
        self.columns: tuple[str, ...] = tuple(header)

    def _header(self, header_row: int | None) -> tuple[str, int, list[str]]:
        best: tuple[str, int, list[str]] = (",", header_row or 1, [])
        for delimiter in DELIMITERS:
            with contextlib.suppress(InvalidArgumentError):  # quotes that look broken under this delimiter
                row, cells = self._first_row(delimiter, header_row)
                if len(cells) > len(best[2]):
                    best = (delimiter, row, cells)
        if not best[2]:
            raise InvalidArgumentError(f"{self.path.name} has no row of column names", argument="header_row")
        return best

    def _first_row(self, delimiter: str, header_row: int | None) -> tuple[int, list[str]]:
        for row, cells, problem in self._raw(delimiter):
            if row == header_row or (header_row is None and (problem or not all(map(blank, cells)))):
                return row, cells
        return 1, []

    def _raw(self, delimiter: str) -> Iterator[tuple[int, list[str], str | None]]:
        """Row number, cells, problem."""
        with self.path.open(encoding=self.encoding, newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            row = 0
            while True:
                row += 1
                lines = reader.line_num
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    if reader.line_num - lines != 1 or "unexpected end" in str(error):
                        raise InvalidArgumentError(
                            f"{self.path.name}: a quotation mark opened in row {row} (line {lines + 1}) is "
                            f"not closed properly by line {reader.line_num}; rows may be hidden in it"
                        ) from None
                    yield row, [], "the quotation marks are broken"
                else:
                    yield row, cells, None

    def records(self, wanted: Sequence[int]) -> Iterator[Record]:
        """Each record; wholly blank lines are counted in `blank_lines` and are no records."""
        self.blank_lines = 0
        width = len(self.columns)
        for row, cells, problem in self._raw(self.delimiter):
            if row <= self.header_row:
                continue
            if problem is None and all(map(blank, cells)):
                self.blank_lines += 1
                continue
            if len(cells) > width and not all(map(blank, cells[width:])):
                problem = f"{len(cells)} cells where the header has {width}: columns may be shifted"
            have = len(cells)
            yield Record(row, [cells[at] if at < have else None for at in wanted], problem)
