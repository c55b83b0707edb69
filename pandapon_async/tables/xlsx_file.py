"""Read XLSX as a stream: a sheet piece by piece, with the digits of each number as in the file.

The usual readers return numbers as floats. This reader distinguishes a corrupt id from an intact one, and an
error or an uncalculated formula from a value; 200,000 rows need no more memory than 200. A cell with an
invalid reference is refused, not guessed.
"""

from __future__ import annotations

import contextlib
import re
import weakref
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from typing import IO
from xml.parsers import expat

from pandapon_async.tables.cells import BadCell, Cell, DateNumber, FormattedNumber, blank
from pandapon_async.tables.headers import SEARCHED, HeadRow
from pandapon_async.tables.source import RawRow, Sheet
from pandapon_async.tables.xlsx_package import (
    Archive,
    Package,
    SharedTexts,
    Unreadable,
    bounded,
    grow,
    parse,
    unescape,
    whole,
)

__all__ = ["XlsxSource"]

MOST_ROWS, MOST_COLUMNS = 1 << 20, 1 << 14  # of any spreadsheet program
MOST_CELLS = 100_000_000  # of one sheet; a million rows of a hundred columns
MOST_MERGED = 10_000  # merged areas of a sheet that are noted
LONGEST_ROW = 1 << 23  # characters of all cells of a row together, texts counted twice
_TRUE = ("1", "true")
_REFERENCE = re.compile(r"([A-Za-z]{1,3})([1-9][0-9]{0,6})", re.ASCII)
NEVER_CALCULATED = "is a formula without a stored result: open the workbook, save it once, and try again"
ERROR = "is a spreadsheet error, not a value"

Cells = dict[int, Cell]
Handlers = dict[str, Callable[[dict[str, str]], None]]


class XlsxSource:
    """A workbook. Numbers are `Decimal`; a formula is its stored result."""

    format = "xlsx"
    encoding: str | None = None

    def __init__(self, path: Path, name: str | None = None) -> None:
        self.path = path
        self.name: str = name or path.name
        with Archive(path, self.name) as archive:
            package = Package(archive)
        self.day_zero: date = package.day_zero
        self.sheets: Sequence[Sheet] = package.sheets
        self._texts_part = package.texts
        self._package = package
        self._texts: SharedTexts | None = None
        self._hidden: dict[str, int] = {}
        self._merged: dict[str, str] = {}

    def _shared_texts(self, archive: Archive) -> SharedTexts:
        """Read once for all sheets; the temporary file lives as long as this object."""
        if self._texts is None:
            self._texts = SharedTexts(archive, self._texts_part)
            weakref.finalize(self, self._texts.close)
        return self._texts

    def head(self, sheet: Sheet, first: int = 1, most: int = SEARCHED) -> Sequence[HeadRow]:
        """Return up to `most` non-empty rows from row `first` on."""
        found: list[HeadRow] = []
        with Archive(self.path, self.name) as archive:
            parser = self._parser(archive, sheet)
            with contextlib.closing(parser.rows(archive.part(sheet.part))) as rows:
                for number, cells, _ in rows:
                    if number >= first and not all(map(blank, cells.values())):
                        found.append((number, [cells.get(at) for at in range(max(cells) + 1)]))
                    if len(found) == most:
                        break
        return found

    def rows(self, sheet: Sheet, names: Sequence[str], last: int, wanted: Sequence[int]) -> Iterator[RawRow]:
        """Iterate over the rows below the column names; hidden ones are included and counted."""
        self._hidden[sheet.name] = 0
        with Archive(self.path, self.name) as archive:
            parser = self._parser(archive, sheet)
            for number, cells, hidden in parser.rows(archive.part(sheet.part)):
                if number > last:
                    if hidden and not all(map(blank, cells.values())):
                        self._hidden[sheet.name] += 1
                    yield number, cells, None
        self._merged[sheet.name] = _merged_note(parser.merged, names, last, wanted)

    def _parser(self, archive: Archive, sheet: Sheet) -> _SheetParser:
        if not archive.has(sheet.part):
            raise Unreadable(f"the sheet {sheet.name} is missing")
        return _SheetParser(self._shared_texts(archive), self._package, sheet.name)

    def pick(self, cells: Cells, wanted: Sequence[int]) -> Sequence[Cell]:
        """Return the cells of the wanted columns."""
        return [cells.get(at) for at in wanted]

    def is_blank(self, cells: Cells) -> bool:
        """Whether a row is empty."""
        return all(map(blank, cells.values()))

    def filled(self, cells: Cells) -> Iterable[Cell]:
        """Return all cells of a row."""
        return cells.values()

    def notes(self) -> Sequence[str]:
        """Note the number of hidden rows, and the merged cells of the columns that were read."""
        hidden = sum(self._hidden.values())
        notes = [f"hidden rows, read like the others: {hidden:,}"] if hidden else []
        return notes + list(filter(None, self._merged.values()))


def _merged_note(
    merged: Iterable[tuple[int, int, int, int]], names: Sequence[str], last: int, wanted: Sequence[int]
) -> str:
    """Name the first merged area below the column names in a column that is read; "" without one."""
    for left, right, begin, end in merged:
        column = next((at for at in sorted(wanted) if left <= at <= right), None)
        if column is not None and begin > last:
            return (
                "merged cells have their value in their first row only, such as column "
                f"{names[column]}, rows {begin} to {end}: unmerge them and fill the rows"
            )
    return ""


class _SheetParser:
    """Turns the events of a sheet's XML into rows: number, cells by column position, whether hidden."""

    def __init__(self, texts: SharedTexts, package: Package, sheet: str) -> None:
        self._texts = texts
        self._date_styles = package.date_styles
        self._formats = package.formats
        self._calculated = package.calculated
        self._sheet = sheet
        self._style = "0"
        self._rows: list[tuple[int, Cells, bool]] = []
        self._row = 0
        self._hidden = False
        self._cells: Cells = {}
        self._count = 0
        self._length = 0
        self._column = -1
        self._kind = "n"
        self._formula = False
        self._source = ""
        self._value: list[str] | None = None
        self._written: list[str] = []
        self._phonetic = False
        self._outside: Handlers = {"sheetData": self._start_data, "mergeCell": self._note_merged}
        self._inside: Handlers = {"row": self._start_row, "c": self._start_cell, "v": self._start_value}
        self._inside |= {"t": self._start_text, "rPh": self._start_phonetic, "f": self._start_formula}
        self._handlers = self._outside
        self.merged: list[tuple[int, int, int, int]] = []
        """First and last column, first and last row of merged areas."""

    def rows(self, stream: IO[bytes]) -> Generator[tuple[int, Cells, bool], None, None]:
        """Iterate over the rows of a sheet in order."""
        pieces = parse(stream, self._start, self._end, self._characters)
        while True:
            try:
                next(pieces)
            except StopIteration:
                return
            except Unreadable as error:
                raise Unreadable(f"sheet {self._sheet}, near row {self._row}: {error}") from None
            except expat.ExpatError:
                raise Unreadable(f"sheet {self._sheet} breaks off near row {self._row}") from None
            yield from self._rows
            self._rows = []

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if handler := self._handlers.get(name):
            handler(attributes)

    def _start_data(self, _: dict[str, str]) -> None:
        self._handlers = self._inside

    def _note_merged(self, attributes: dict[str, str]) -> None:
        """Keep a merged area that is more than one row high: only its first row has the value."""
        first, _, last = attributes.get("ref", "").partition(":")
        begin, end = _REFERENCE.fullmatch(first), _REFERENCE.fullmatch(last)
        if begin and end and int(end[2]) > int(begin[2]) and len(self.merged) < MOST_MERGED:
            left, right = _position(begin[1].upper()), _position(end[1].upper())
            self.merged.append((left, right, int(begin[2]), int(end[2])))

    def _start_row(self, attributes: dict[str, str]) -> None:
        row = whole(attributes["r"]) if "r" in attributes else self._row + 1
        if row > MOST_ROWS:
            raise Unreadable(f"more than {MOST_ROWS:,} rows")
        if row <= self._row:
            raise Unreadable(f"row {row} comes after row {self._row}")
        self._row = row
        self._hidden = attributes.get("hidden") in _TRUE or _is_zero(attributes.get("ht"))
        self._cells = {}
        self._length = 0
        self._column = -1

    def _start_cell(self, attributes: dict[str, str]) -> None:
        reference = attributes.get("r")
        self._column = self._column + 1 if reference is None else _column_of(reference, self._row)
        self._count += 1
        if self._column >= MOST_COLUMNS or self._count > MOST_CELLS:
            raise Unreadable(f"more than {MOST_COLUMNS:,} columns or {MOST_CELLS:,} cells")
        if self._column in self._cells:
            raise Unreadable(f"two cells in column {self._column + 1}")
        self._source = ""
        self._kind = attributes.get("t", "n")
        self._style = attributes.get("s", "0")
        self._formula = False
        self._written = []

    def _start_value(self, _: dict[str, str]) -> None:
        if self._source:
            raise Unreadable("a cell with two values")
        self._source = "v"
        self._value = []

    def _start_text(self, _: dict[str, str]) -> None:
        if self._phonetic:
            return
        if self._source == "v":
            raise Unreadable("a cell with two values")
        self._source = "t"
        self._value = []

    def _start_phonetic(self, _: dict[str, str]) -> None:
        self._phonetic = True

    def _start_formula(self, _: dict[str, str]) -> None:
        self._formula = True

    def _characters(self, text: str) -> None:
        if self._value is not None:
            grow(self._value, text)

    def _end(self, name: str) -> None:
        if self._handlers is self._outside:  # elements of extensions may have the same names
            return
        if name in ("v", "t") and self._value is not None:
            grow(self._written, "".join(self._value))
            self._value = None
        elif name == "rPh":
            self._phonetic = False
        elif name == "c":
            cell = self._cells[self._column] = self._cell()
            self._length += sum(map(len, self._written)) + (len(cell) if isinstance(cell, str) else 0)
            if self._length > LONGEST_ROW:
                raise Unreadable("a row that is too long")
        elif name == "row":
            self._rows.append((self._row, self._cells, self._hidden))
        elif name == "sheetData":
            self._handlers = self._outside

    def _cell(self) -> Cell:
        written = bounded("".join(self._written))
        if self._kind == "s":
            return self._texts.get(whole(written)) if written else None
        if self._kind == "n":
            if self._formula and (not written or (written == "0" and not self._calculated)):
                return BadCell("=…", NEVER_CALCULATED)
            number = _number(written)
            if self._style != "0" and isinstance(number, Decimal):
                if self._style in self._date_styles:
                    return DateNumber(number)
                if code := self._formats.get(self._style):
                    return FormattedNumber(number, code)
            return number
        if self._kind == "b":
            return "TRUE" if written == "1" else "FALSE"
        if self._kind == "e":
            return BadCell(written, ERROR)
        if self._kind in ("inlineStr", "str"):
            return unescape(written)
        if self._kind != "d":
            raise Unreadable(f"a cell of the unknown type {self._kind[:20]!r}")
        return written


def _is_zero(height: str | None) -> bool:
    """Whether a row has no height, so that nobody sees it."""
    return height is not None and not height.strip("0.")


def _number(written: str) -> Cell:
    if not written:
        return None
    try:
        number = Decimal(written)
    except InvalidOperation:
        return written
    return number if number.is_finite() else written


def _column_of(reference: str, row: int) -> int:
    """Return the position of a cell's column from its reference, such as B7 in row 7."""
    match = _REFERENCE.fullmatch(reference)
    if match is None or int(match[2]) != row:
        raise Unreadable(f"a cell in row {row} has the reference {reference[:20]!r}")
    return _position(match[1].upper())


@lru_cache(maxsize=1024)
def _position(letters: str) -> int:
    """Convert a column's letters to its position: A is 0, AA is 26."""
    position = 0
    for letter in letters:
        position = position * 26 + ord(letter) - ord("A") + 1
    return position - 1
