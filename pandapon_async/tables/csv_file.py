"""CSV: rows of text, separated by comma, TAB, semicolon or bar.

Quotation marks can lose rows. An unclosed one swallows the lines below it, and two stray ones pair up and do
so silently. So a quoted cell with line breaks is checked, and the file is refused if the cell seems to
contain rows. Broken quotes within one line affect only that row.

A delimiter that should have been quoted shifts the cells behind it: 1,961.89 becomes 1 and 961.89. The row
then has one cell more than the others. It is refused even if the last cell is empty, because it would be read
with an amount of 1.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import date
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import IO

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.cells import BROKEN, CERTAIN_ID, Cell, blank, shown, tidy, unwrap
from pandapon_async.tables.columns import columns_named
from pandapon_async.tables.headers import SEARCHED, HeadRow
from pandapon_async.tables.moments import DAY_ZERO
from pandapon_async.tables.source import RawRow, Sheet

__all__ = ["DELIMITERS", "CsvSource"]

DELIMITERS = (",", "\t", ";", "|")
LONGEST_LINE = 1 << 20
_BREAKS = re.compile(r"\r\n|\r|\n")
_SHORT_ID = re.compile(r"[0-9]{10,}", re.ASCII)
TAOBAO_DIGITS = 12
_THOUSANDS = re.compile(r"[^0-9,.]*[0-9]{1,3}", re.ASCII)
_HUNDREDS = re.compile(r"[0-9]{3}(?:\.[0-9]{1,2})?[^0-9,.]*", re.ASCII)
SAMPLED = 100
"""How many rows show how many cells a row of this file usually has."""
END_OF_FILE = "\x1a"
"""What DOS programs write at the end of a text file."""
BROKEN_MARKS = (
    "the quotation marks are broken; write a mark within a cell twice, or use --quoting none if marks are "
    "ordinary characters"
)


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
        self._multiline = tuple(multiline)
        blanks = "[ \u00a0\u3000]" if delimiter == "\t" else "[ \t\u00a0\u3000]"
        self._blank_quote = re.compile(rf'(?:^|{re.escape(delimiter)}){blanks}+"')
        self._fields = {
            escape: re.compile(
                rf'{blanks}*"((?:{inner})*+)"{blanks}*(?={re.escape(delimiter)}|[\r\n]*\Z)'
                rf"|([^{re.escape(delimiter)}\r\n]*)"
            )
            for escape, inner in (('""', '[^"]|""'), ('\\"', r'[^"\\]|\\.|""'))
        }
        self._open = re.compile(rf'{blanks}*"(?:[^"\\]|\\.|"")*+\\?\Z', re.DOTALL)

    def head(self, sheet: Sheet, first: int = 1, most: int = SEARCHED) -> Sequence[HeadRow]:
        """Return up to `most` non-empty rows from row `first` on."""
        found: list[HeadRow] = []
        try:
            for row, cells, problem in self._records(()):
                if row >= first and (problem or not all(map(blank, cells))):
                    found.append((row, [""] if problem else cells))
                if len(found) == most:
                    break
        except InvalidArgumentError:  # reported again when the rows are read
            if not found:
                raise
        return found

    def rows(self, sheet: Sheet, names: Sequence[str], last: int, wanted: Sequence[int]) -> Iterator[RawRow]:
        """Iterate over the rows below the column names."""
        records = (record for record in self._records(names) if record[0] > last)
        sample = list(islice(records, SAMPLED))
        usual = _usual_width(sample, len(names))
        for record in chain(sample, records):
            row, cells, problem = record
            if problem is None and (problem := self._shifted(cells, names, usual)):
                yield row, cells, problem
            else:
                yield record

    def _shifted(self, cells: Sequence[str], names: Sequence[str], usual: int) -> str | None:
        """Why the cells of a row may not be those of their columns, if so. `usual` rows have that many."""
        have, width = len(cells), len(names)
        if have == width == usual:
            return None
        if have > width and (have > usual or not all(map(blank, cells[width:]))):
            return f"the row has {have} cells, the header has {width}: columns may be shifted"
        if usual < have <= width and any(
            not (blank(cell) or name) for cell, name in zip(cells[usual:], names[usual:], strict=False)
        ):
            return f"the row has {have} cells, most have {usual}: columns may be shifted"
        if have > min(usual, width) and self.delimiter == "," and (split := _split_amount(cells)):
            return f"{shown(split)} may be one amount without quotation marks: columns may be shifted"
        if 1 < have < width and self._swallows_columns(cells, {width, usual}):
            return "wrongly paired quotation marks join columns"
        return None

    def pick(self, cells: Sequence[str], wanted: Sequence[int]) -> Sequence[Cell]:
        """Return the cells of the wanted columns; a short row is filled with empty cells."""
        have = len(cells)
        return [cells[at] if at < have else None for at in wanted]

    def is_blank(self, cells: Sequence[str]) -> bool:
        """Whether a row is empty."""
        return all(map(blank, cells)) or cells == [END_OF_FILE]

    def filled(self, cells: Sequence[str]) -> Iterable[Cell]:
        """Return all cells of a row."""
        return cells

    def notes(self) -> Sequence[str]:
        """Nothing is skipped here."""
        return ()

    def _records(self, names: Sequence[str]) -> Iterator[tuple[int, list[str], str | None]]:
        """Iterate over the records from the beginning of the file, each with its problem if any."""
        allowed = {at for column in self._multiline for at in columns_named(names, column)}
        delimiter, row = self.delimiter, 0
        with self.path.open(encoding=self.encoding, errors="replace", newline="") as file:
            lines = _Lines(file, self.name)
            reader = csv.reader(lines, delimiter=delimiter, strict=True)
            while line := lines.begin():
                row += 1
                if '"' not in line or not self._quoting:
                    yield row, line.rstrip("\r\n").split(delimiter), None
                    continue
                began = lines.number
                found: list[str] | None
                try:
                    found = next(reader)
                except csv.Error as error:
                    if "unexpected end" in str(error):
                        raise self._not_closed(row, began, lines.number) from None
                    found = self._loose(row, began, lines)
                    if found is None and lines.number != began:
                        raise self._not_closed(row, began, lines.number) from None
                else:
                    if lines.number == began and self._blank_quote.search(line):
                        found = self._loose(row, began, lines) or found
                if found is not None and lines.number != began:
                    self._look_into(row, began, lines.number, found, len(names) or len(found), allowed)
                yield row, found or [], None if found else BROKEN_MARKS

    def _loose(self, row: int, began: int, lines: _Lines) -> list[str] | None:
        """Split a record that csv does not understand; None if its marks are broken.

        It may have blanks around its quotation marks, or backslashes before those within a cell.
        """
        while True:
            text = lines.record
            goes_on = False
            for escape, field in self._fields.items():
                cells, is_open = self._split(text, field, escape)
                if cells is not None:
                    return cells
                goes_on = goes_on or is_open
            if not goes_on:
                return None
            if not lines.go_on():
                raise self._not_closed(row, began, lines.number)

    def _split(self, text: str, field: re.Pattern[str], escape: str) -> tuple[list[str] | None, bool]:
        """Split a record; without cells, whether its last cell goes on in the next line."""
        cells: list[str] = []
        at, quoted = 0, False
        while True:
            match = field.match(text, at)
            assert match is not None, "the pattern also matches the empty text"
            if match[1] is None and match[2].lstrip().startswith('"'):
                return None, quoted and self._open.match(text, at) is not None
            quoted = quoted or match[1] is not None
            cells.append(match[2] if match[1] is None else match[1].replace(escape, '"').replace('""', '"'))
            at = match.end()
            if not text.startswith(self.delimiter, at):
                return (None, False) if text[at:].strip("\r\n") else (cells, False)
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
            inner = _row_within(cells, at, self.delimiter, width)
            if inner is not None:
                first = shown(_first_cell(inner, self.delimiter))
                raise InvalidArgumentError(
                    f"{self.name}: quotation marks pair up wrongly between row {row} and row "
                    f"{row + ended - began} (lines {began} to {ended}), and swallow rows: {first} begins "
                    "one. Remove the stray marks there (a mark within a cell is written twice). If the "
                    "line breaks are intended, use --multiline COLUMN; if the marks are ordinary "
                    "characters, use --quoting none"
                )

    def _swallows_columns(self, cells: Sequence[str], widths: set[int]) -> bool:
        return sum(cell.count(self.delimiter) + 1 for cell in cells) in widths - {len(cells)}


class _Lines:
    """The lines of a file for csv.reader, with the current position."""

    def __init__(self, file: IO[str], name: str) -> None:
        self.number = 0
        self._file = file
        self._name = name
        self._pending = ""
        self._record: list[str] = []

    @property
    def record(self) -> str:
        """The lines of the current record so far."""
        return "".join(self._record)

    def begin(self) -> str:
        """Return the first line of a record, which csv.reader gets as well; "" at the end."""
        self._pending = self._read()
        self._record = [self._pending]
        return self._pending

    def go_on(self) -> bool:
        """Add lines to the record up to the next one with a quotation mark; False at the end."""
        while line := self._read():
            self._record.append(line)
            if '"' in line:
                return True
        return False

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        if line := self._pending:
            self._pending = ""
            return line
        line = self._read()
        if not line:
            raise StopIteration
        self._record.append(line)
        return line

    def _read(self) -> str:
        line = self._file.readline(LONGEST_LINE)
        if len(line) == LONGEST_LINE and not line.endswith(("\r", "\n")):
            raise InvalidArgumentError(
                f"{self._name}: line {self.number + 1} is longer than {LONGEST_LINE:,} characters"
            )
        self.number += bool(line)
        return line.removeprefix("\ufeff")  # of another file that was appended


def _usual_width(sample: Iterable[RawRow], width: int) -> int:
    """Return how many cells most rows have; `width` if it is as frequent as another."""
    counts = Counter(len(cells) for _, cells, problem in sample if not problem and len(cells) > 1)
    return max(counts, key=lambda have: (counts[have], have == width), default=width)


def _split_amount(cells: Sequence[str]) -> str | None:
    """Return an amount that its thousands comma splits into two cells, if any."""
    for first, second in pairwise(cells):
        if _THOUSANDS.fullmatch(tidy(first)) and _HUNDREDS.fullmatch(tidy(second)):
            return f"{tidy(first)},{tidy(second)}"
    return None


def _row_within(cells: Sequence[str], at: int, delimiter: str, width: int) -> str | None:
    """Return the line of cell `at` that looks like a row or the rest of one.

    Such a line has about as many cells as the header, or a cell in the form of a refund id or an order id, or
    begins like its own row. Or the first and the last line complete two rows, the first of which begins with
    the cells before and the second of which ends with the cells behind.
    """
    lines, have = _BREAKS.split(cells[at]), len(cells)
    pieces = [line.split(delimiter) for line in lines]
    about = max(2, width if width <= 3 else width - 1)
    first, last = [*cells[:at], *pieces[0]], [*pieces[-1], *cells[at + 1 :]]
    for line, parts in zip(lines[1:], pieces[1:], strict=True):
        if len(parts) >= about or _has_id(parts) or (len(parts) > 1 and _is_alike(parts, first, other=True)):
            return line
    several = max(map(len, pieces)) > 1
    alone = not several and not any(line.strip() for line in lines[1:])  # the cell's own id and an empty line
    whole = len(first) == width == len(last) and have > 1
    two_rows = (several or alone) and _is_alike(last, first, other=len(pieces[0]) > 2)
    if whole or two_rows or (_has_id(pieces[0]) and not alone):
        return lines[-1] or lines[0]
    return None


def _has_id(pieces: Sequence[str]) -> bool:
    """Whether a line has an id; with few other cells, one as short as those of Taobao may be a waybill."""
    bare = list(map(_bare, pieces))
    if any(map(CERTAIN_ID.fullmatch, bare)):
        return True
    return len(bare) > 2 and any(len(one) >= TAOBAO_DIGITS and _SHORT_ID.fullmatch(one) for one in bare)


def _is_alike(row: Sequence[str], other_row: Sequence[str], *, other: bool = False) -> bool:
    """Whether two rows have a number of equally many digits in the same place, unlike a phone in a remark.

    With `other`, the ids may be of two platforms.
    """
    for one, two in zip(map(_bare, row), map(_bare, other_row), strict=False):
        if _SHORT_ID.fullmatch(one) and (
            (len(one) == len(two) and _SHORT_ID.fullmatch(two))
            or (other and len(one) >= TAOBAO_DIGITS and CERTAIN_ID.fullmatch(two))
        ):
            return True
    return False


def _bare(piece: str) -> str:
    return unwrap(tidy(piece.strip(' \t"')))


def _first_cell(line: str, delimiter: str) -> str:
    """Quote a swallowed row by its first cell, which is rarely a name."""
    return line.split(delimiter)[0].strip(' \t"').replace(BROKEN, "?")
