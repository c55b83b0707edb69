"""CSV: rows of text, separated by comma, TAB, semicolon or bar.

Quotation marks can lose rows. An unclosed one swallows the lines below it, and two stray ones pair up and do
so silently. So a quoted cell with line breaks is checked, and the file is refused if the cell seems to
contain rows. Broken quotes within one line affect only that row.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import IO

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.cells import BROKEN, Cell, blank, shown, tidy, unwrap
from pandapon_async.tables.fields import plain_name
from pandapon_async.tables.headers import SEARCHED, HeadRow
from pandapon_async.tables.moments import DAY_ZERO
from pandapon_async.tables.source import RawRow, Sheet

__all__ = ["DELIMITERS", "CsvSource"]

DELIMITERS = (",", "\t", ";", "|")
LONGEST_LINE = 1 << 20
_BREAKS = re.compile(r"\r\n|\r|\n")
_ID = re.compile(r"T[QD][0-9]+|[0-9]{15,}", re.ASCII)
_SHORT_ID = re.compile(r"[0-9]{10,}", re.ASCII)


class CsvSource:
    """A CSV file in a known encoding and with a known delimiter.

    Without `quoting` a quotation mark is an ordinary character. `multiline` names the columns with intended
    line breaks.
    """

    format = "csv"
    day_zero: date = DAY_ZERO

    def __init__(
        self,
        path: Path,
        encoding: str,
        delimiter: str,
        *,
        name: str | None = None,
        quoting: bool = True,
        multiline: Collection[str] = (),
    ) -> None:
        self.path = path
        self.name: str = name or path.name
        self.encoding: str | None = encoding
        self.delimiter = delimiter
        self.sheets: Sequence[Sheet] = (Sheet(""),)
        self._quoting = quoting
        self._multiline = {plain_name(column) for column in multiline}
        blanks = "[ ]" if delimiter == "\t" else "[ \t]"
        self._blank_quote = re.compile(rf'(?:^|{re.escape(delimiter)}){blanks}+"')
        self._field = re.compile(
            rf'{blanks}*"((?:[^"]|"")*+)"{blanks}*(?={re.escape(delimiter)}|[\r\n]*\Z)'
            rf"|([^{re.escape(delimiter)}\r\n]*)"
        )

    def head(self, sheet: Sheet, first: int = 1) -> Sequence[HeadRow]:
        """Return some non-empty rows from row `first` on."""
        found: list[HeadRow] = []
        try:
            for row, cells, problem in self._records(()):
                if row >= first and (problem or not all(map(blank, cells))):
                    found.append((row, [""] if problem else cells))
                if len(found) == SEARCHED:
                    break
        except InvalidArgumentError:  # reported again when the rows are read
            if not found:
                raise
        return found

    def rows(self, sheet: Sheet, names: Sequence[str], last: int, wanted: Sequence[int]) -> Iterator[RawRow]:
        """Iterate over the rows below the column names."""
        width = len(names)
        for record in self._records(names):
            row, cells, problem = record
            if row <= last:
                continue
            if len(cells) > width and not all(map(blank, cells[width:])):
                problem = f"the row has {len(cells)} cells, the header has {width}: columns may be shifted"
                yield row, cells, problem
            elif 1 < len(cells) < width and self._swallows_columns(cells, width):
                yield row, cells, "wrongly paired quotation marks join columns"
            else:
                yield record

    def pick(self, cells: Sequence[str], wanted: Sequence[int]) -> Sequence[Cell]:
        """Return the cells of the wanted columns; a short row is filled with empty cells."""
        have = len(cells)
        return [cells[at] if at < have else None for at in wanted]

    def is_blank(self, cells: Sequence[str]) -> bool:
        """Whether a row is empty."""
        return all(map(blank, cells))

    def filled(self, cells: Sequence[str]) -> Iterable[Cell]:
        """Return all cells of a row."""
        return cells

    def notes(self) -> Sequence[str]:
        """Nothing is skipped here."""
        return ()

    def _records(self, names: Sequence[str]) -> Iterator[tuple[int, list[str], str | None]]:
        """Iterate over the records from the beginning of the file, each with its problem if any."""
        allowed = {at for at, name in enumerate(names) if plain_name(name) in self._multiline}
        delimiter, row = self.delimiter, 0
        with self.path.open(encoding=self.encoding, errors="replace", newline="") as file:
            lines = _Lines(file, self.name)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            while line := lines.begin():
                row += 1
                if '"' not in line or not self._quoting:
                    yield row, line.rstrip("\r\n").split(delimiter), None
                    continue
                began, problem = lines.number, None
                try:
                    cells = next(reader)
                except csv.Error as error:
                    if lines.number != began or "unexpected end" in str(error):
                        raise self._not_closed(row, began, lines.number) from None
                    cells = self._split(line) or []
                    problem = None if cells else "the quotation marks are broken"
                else:
                    if lines.number != began:
                        self._look_into(row, began, lines.number, cells, len(names) or len(cells), allowed)
                    elif self._blank_quote.search(line):
                        cells = self._split(line) or cells
                yield row, cells, problem

    def _split(self, line: str) -> list[str] | None:
        """Split a line with spaces around its quotation marks; None if the marks are broken."""
        cells, at = [], 0
        while True:
            match = self._field.match(line, at)
            assert match is not None, "the pattern also matches the empty text"
            if match[1] is None and match[2].lstrip().startswith('"'):
                return None
            cells.append(match[2] if match[1] is None else match[1].replace('""', '"'))
            at = match.end()
            if not line.startswith(self.delimiter, at):
                return cells
            at += 1

    def _not_closed(self, row: int, began: int, ended: int) -> InvalidArgumentError:
        return InvalidArgumentError(
            f"{self.name}: a quotation mark opened in row {row} (line {began}) is not closed by line "
            f"{ended}; rows may be hidden in it. Remove the mark, or read the file with --quoting none"
        )

    def _look_into(
        self, row: int, began: int, ended: int, cells: Sequence[str], width: int, allowed: Collection[int]
    ) -> None:
        """Refuse the file if a cell with line breaks seems to hold rows."""
        for at, cell in enumerate(cells):
            if at in allowed or not _BREAKS.search(cell):
                continue
            if inner := _row_within(cells, at, self.delimiter, width):
                first = shown(_first_cell(inner, self.delimiter))
                raise InvalidArgumentError(
                    f"{self.name}: quotation marks pair up wrongly between row {row} and row "
                    f"{row + ended - began} (lines {began} to {ended}), and swallow rows: {first} begins "
                    "one. Remove the stray marks there (a mark within a cell is written twice). If the "
                    "line breaks are intended, use --multiline COLUMN; if the marks are ordinary "
                    "characters, use --quoting none"
                )

    def _swallows_columns(self, cells: Sequence[str], width: int) -> bool:
        return sum(cell.count(self.delimiter) + 1 for cell in cells) == width


class _Lines:
    """The lines of a file for csv.reader, with the current position."""

    def __init__(self, file: IO[str], name: str) -> None:
        self.number = 0
        self._file = file
        self._name = name
        self._pending = ""

    def begin(self) -> str:
        """Return the first line of a record, which csv.reader gets as well; "" at the end."""
        self._pending = self._read()
        return self._pending

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line, self._pending = self._pending or self._read(), ""
        if not line:
            raise StopIteration
        return line

    def _read(self) -> str:
        line = self._file.readline(LONGEST_LINE)
        if len(line) == LONGEST_LINE and not line.endswith(("\r", "\n")):
            raise InvalidArgumentError(
                f"{self._name}: line {self.number + 1} is longer than {LONGEST_LINE:,} characters"
            )
        self.number += bool(line)
        return line


def _row_within(cells: Sequence[str], at: int, delimiter: str, width: int) -> str | None:
    """Return the line of cell `at` that looks like a row or the rest of one.

    Such a line has about as many cells as the header, or a cell in the form of a refund id or an order id, or
    begins like its own row.
    """
    lines, have = _BREAKS.split(cells[at]), len(cells)
    counts = [line.count(delimiter) + 1 for line in lines]
    about = max(2, width if width <= 3 else width - 1)
    beginning = [*cells[:at], *lines[0].split(delimiter)]
    for line, count in zip(lines[1:], counts[1:], strict=True):
        if count >= about or _has_id(line, delimiter) or _begins_alike(line.split(delimiter), beginning):
            return line
    if _has_id(lines[0], delimiter) or (at + counts[0] == width == counts[-1] + have - 1 - at):
        return lines[-1]
    return None


def _has_id(line: str, delimiter: str) -> bool:
    return any(_ID.fullmatch(_bare(piece)) for piece in line.split(delimiter))


def _begins_alike(pieces: Sequence[str], beginning: Sequence[str]) -> bool:
    """Whether several lines have a number of equally many digits in the same place as the row: a short id."""
    return len(pieces) > 1 and any(
        len(piece) == len(cell) and _SHORT_ID.fullmatch(piece) and _SHORT_ID.fullmatch(cell)
        for piece, cell in zip(map(_bare, pieces), map(_bare, beginning), strict=False)
    )


def _bare(piece: str) -> str:
    return unwrap(tidy(piece.strip(' \t"')))


def _first_cell(line: str, delimiter: str) -> str:
    """Quote a swallowed row by its first cell, which is rarely a name."""
    return line.split(delimiter)[0].strip(' \t"').replace(BROKEN, "?")
