"""XLSX ledgers, streamed: a sheet is read piece by piece, its shared texts wait on disk.

The usual readers hold every text of a workbook in memory and hand numbers over as floats. Here a
number keeps the digits that are in the file, so that an id which is already corrupt can be told from
one that is not, and 200,000 rows need no more memory than 200.
"""

from __future__ import annotations

import contextlib
import errno
import re
import struct
import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self
from xml.parsers import expat

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.cells import Cell, blank
from pandapon_async.tables.table import Record

__all__ = ["XlsxTable"]

BLOCK = 1 << 16
LONGEST_CELL = 1 << 17
LONGEST_TOKEN = 1 << 20  # bytes of one tag with its attributes, or of one comment
MOST_ROWS, MOST_COLUMNS = 1 << 20, 1 << 14  # of any spreadsheet program
MOST_TEXTS = 1 << 23
DEEPEST = 256  # elements within elements: the parser remembers every one that is open
MOST_PIECES, LONGEST_PIECE = 1 << 6, 1 << 12  # of a text that is being read, before they are put together
LONGEST_ROW = 1 << 23  # characters of all cells of a row together, texts counted twice
MOST_SHEETS = 1 << 12
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (
    expat.ExpatError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, ValueError,
    NotImplementedError,
)  # fmt: skip
_ESCAPED = re.compile(r"_x((?![dD][89a-fA-F])[0-9A-Fa-f]{4})_")  # half a surrogate pair is no character
_COLUMN = re.compile(r"[A-Z]{1,3}")


class XlsxTable:
    """One sheet of a workbook. Numbers are `Decimal`, formulas give their stored result."""

    format = "xlsx"
    encoding: str | None = None

    def __init__(self, path: Path, *, sheet: str | None = None, header_row: int | None = None) -> None:
        self.path = path
        self.blank_lines: int = 0
        with _Archive(path) as archive:
            workbook = _Workbook(archive)
            self.day_zero: date = workbook.day_zero
            self._sheet = workbook.part_of(sheet)
            self._header_row, header = self._header(archive, header_row)
        self._positions = sorted(header)
        self.columns: tuple[str, ...] = tuple(str(header[at]) for at in self._positions)

    def _header(self, archive: _Archive, header_row: int | None) -> tuple[int, dict[int, Cell]]:
        with contextlib.closing(self._rows(archive)) as rows:
            for row, cells in rows:
                named = {at: cell for at, cell in cells.items() if not blank(cell)}
                if row == header_row or (header_row is None and named):
                    return row, named
        raise InvalidArgumentError(f"{self.path.name} has no row of column names", argument="header_row")

    def _rows(self, archive: _Archive) -> Generator[tuple[int, dict[int, Cell]], None, None]:
        with _SharedTexts(archive) as texts:
            yield from _SheetParser(texts).rows(archive.part(self._sheet))

    def records(self, wanted: Sequence[int]) -> Iterator[Record]:
        """Each row below the header; rows without any value are counted in `blank_lines`."""
        self.blank_lines = 0
        positions = [self._positions[at] for at in wanted]
        with _Archive(self.path) as archive:
            for row, cells in self._rows(archive):
                if row <= self._header_row:
                    continue
                if all(map(blank, cells.values())):
                    self.blank_lines += 1
                    continue
                yield Record(row, [cells.get(at) for at in positions])


class _Archive(zipfile.ZipFile):
    """The workbook's zip; what is wrong with it is said in a sentence."""

    def __init__(self, path: Path) -> None:
        self._name = path.name
        try:
            super().__init__(path)
        except (*_DAMAGE, OSError) as error:
            if not _is_damage(error):
                raise
            raise InvalidArgumentError(f"{path.name} is no readable workbook") from None

    def part(self, name: str) -> IO[bytes]:
        """A part to read; of the ways to pack it only those that workbooks use."""
        info = self.getinfo(name)
        if info.compress_type not in _METHODS or info.flag_bits & 1:
            raise zipfile.BadZipFile("packed as no workbook is")
        return self.open(info)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is not None and _is_damage(error):
            raise InvalidArgumentError(f"{self._name} is a damaged workbook") from None


def _is_damage(error: BaseException) -> bool:
    """Whether an error comes from what is in the file; a disk that fails is another matter."""
    if isinstance(error, OSError):
        return error.errno == errno.EINVAL  # a place before the file's beginning
    return isinstance(error, _DAMAGE) and not isinstance(error, InvalidArgumentError)


def _parse(
    stream: IO[bytes], start: Callable[..., Any], end: Callable[..., Any], text: Callable[..., Any]
) -> Iterator[None]:
    """Run the handlers over a part; gives control back after every block."""
    depth = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError("nested without end")
        start(name.rpartition(" ")[2], attributes)

    def finish(name: str) -> None:
        nonlocal depth
        depth -= 1
        end(name.rpartition(" ")[2])

    parser = expat.ParserCreate(namespace_separator=" ")
    parser.buffer_text = True
    parser.StartElementHandler, parser.EndElementHandler = begin, finish
    parser.CharacterDataHandler = text
    parser.StartDoctypeDeclHandler = _refuse_doctype
    read = 0
    with stream:
        while block := stream.read(BLOCK):
            parser.Parse(block, False)
            read += len(block)
            if read - parser.CurrentByteIndex > LONGEST_TOKEN:
                raise ValueError("a tag without end")  # the parser keeps all of it until then
            yield
        parser.Parse(b"", True)
        yield


def _refuse_doctype(*_: Any) -> None:
    raise InvalidArgumentError("the workbook declares XML entities, which no spreadsheet program writes")


def _nothing(*_: Any) -> None:
    return None


class _Workbook:
    """Which sheets there are, in which parts, and from which day dates are counted."""

    def __init__(self, archive: _Archive) -> None:
        self.day_zero = date(1899, 12, 30)
        self._sheets: list[tuple[str, str, bool]] = []
        self._parts: dict[str, str] = {}
        for _ in _parse(archive.part("xl/workbook.xml"), self._element, _nothing, _nothing):
            pass
        for _ in _parse(archive.part("xl/_rels/workbook.xml.rels"), self._element, _nothing, _nothing):
            pass

    def _element(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            relation = next((value for key, value in attributes.items() if key.endswith(" id")), "")
            visible = attributes.get("state", "visible") == "visible"
            if len(self._sheets) >= MOST_SHEETS:
                raise ValueError("sheets without end")
            self._sheets.append((attributes["name"], relation, visible))
        elif name == "workbookPr" and attributes.get("date1904") in ("1", "true"):
            self.day_zero = date(1904, 1, 1)
        elif name == "Relationship":
            target = attributes["Target"]
            self._parts[attributes["Id"]] = target.lstrip("/") if target.startswith("/") else f"xl/{target}"

    def part_of(self, sheet: str | None) -> str:
        """The part that holds a sheet: the named one, else the first visible one."""
        for name, relation, visible in self._sheets:
            if (visible if sheet is None else name == sheet) and relation in self._parts:
                return self._parts[relation]
        names = ", ".join(name for name, _, _ in self._sheets)
        raise InvalidArgumentError(f"no such sheet; the workbook has: {names}", argument="sheet")


class _SharedTexts:
    """The texts that cells refer to by number, kept in a temporary file: 8 bytes of memory each."""

    def __init__(self, archive: _Archive) -> None:
        self._ends = array("Q", [0])
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by __exit__)
        self._text: list[str] | None = None
        self._phonetic = False
        self._complete: list[str] = []
        self._growing: list[str] | None = None
        self.get = lru_cache(maxsize=512)(self._read)
        self._archive = archive

    def _load(self) -> None:
        archive = self._archive
        if "xl/sharedStrings.xml" in archive.NameToInfo:
            for _ in _parse(archive.part("xl/sharedStrings.xml"), self._start, self._end, self._characters):
                self._spill()
        self._finish()
        self._spill()

    def _start(self, name: str, _: dict[str, str]) -> None:
        if name == "si":
            self._finish()
            self._growing = []
        elif name == "rPh":  # how the text is read aloud, not what it says
            self._phonetic = True
        elif name == "t" and not self._phonetic:
            self._text = []

    def _characters(self, text: str) -> None:
        if self._text is not None:
            _grow(self._text, text)

    def _end(self, name: str) -> None:
        if name == "t" and self._text is not None:
            if self._growing is None:
                raise ValueError("a text outside of all")
            _grow(self._growing, "".join(self._text))
            self._text = None
        elif name == "rPh":
            self._phonetic = False

    def _finish(self) -> None:
        if self._growing is not None:
            self._complete.append(_bounded("".join(self._growing)))
            self._growing = None

    def _spill(self) -> None:
        """Write out what is complete; the last text may still be growing."""
        complete, self._complete = self._complete, []
        if len(self._ends) + len(complete) > MOST_TEXTS:
            raise ValueError("texts without end")
        for piece in complete:
            self._ends.append(self._ends[-1] + self._file.write(piece.encode("utf-8", "replace")))

    def _read(self, index: int) -> str:
        start, end = self._ends[index], self._ends[index + 1]
        self._file.seek(start)
        return _unescape(self._file.read(end - start).decode())

    def __enter__(self) -> Self:
        try:
            self._load()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _bounded(text: str) -> str:
    if len(text) > LONGEST_CELL:
        raise InvalidArgumentError("the workbook has a cell longer than any spreadsheet allows")
    return text


def _grow(pieces: list[str], more: str) -> None:
    """Add to a text that is still being read; it need not end to be too long."""
    pieces.append(more)
    if len(pieces) > MOST_PIECES or len(more) > LONGEST_PIECE:
        pieces[:] = [_bounded("".join(pieces))]


def _whole(text: str) -> int:
    """A whole number as it stands in a file: int() would take -1, 1_0 and the digits of all scripts."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError("no whole number")
    return int(text)


def _unescape(text: str) -> str:
    """Characters that XML cannot carry are written as _x000D_."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text


class _SheetParser:
    """Turns the events of a sheet's XML into rows: number and cells by column position."""

    def __init__(self, texts: _SharedTexts) -> None:
        self._texts = texts
        self._rows: list[tuple[int, dict[int, Cell]]] = []
        self._row = 0
        self._cells: dict[int, Cell] = {}
        self._length = 0
        self._column = -1
        self._kind = "n"
        self._value: list[str] | None = None
        self._written: list[str] = []
        self._phonetic = False
        self._handlers = {"row": self._start_row, "c": self._start_cell, "v": self._start_value}
        self._handlers |= {"t": self._start_value, "rPh": self._start_phonetic}

    def rows(self, stream: IO[bytes]) -> Iterator[tuple[int, dict[int, Cell]]]:
        for _ in _parse(stream, self._start, self._end, self._characters):
            yield from self._rows
            self._rows = []

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if handler := self._handlers.get(name):
            handler(attributes)

    def _start_row(self, attributes: dict[str, str]) -> None:
        row = _whole(attributes["r"]) if "r" in attributes else self._row + 1
        if not self._row < row <= MOST_ROWS:
            raise ValueError("rows out of order, or without end")
        self._row = row
        self._cells = {}
        self._length = 0
        self._column = -1

    def _start_cell(self, attributes: dict[str, str]) -> None:
        reference = _COLUMN.match(attributes.get("r", ""))
        self._column = _position(reference[0]) if reference else self._column + 1
        if self._column >= MOST_COLUMNS:
            raise ValueError("columns without end")
        self._kind = attributes.get("t", "n")
        self._written = []

    def _start_value(self, _: dict[str, str]) -> None:
        if not self._phonetic:
            self._value = []

    def _start_phonetic(self, _: dict[str, str]) -> None:
        self._phonetic = True

    def _characters(self, text: str) -> None:
        if self._value is not None:
            _grow(self._value, text)

    def _end(self, name: str) -> None:
        if name in ("v", "t") and self._value is not None:
            _grow(self._written, "".join(self._value))
            self._value = None
        elif name == "rPh":
            self._phonetic = False
        elif name == "c":
            cell = self._cells[self._column] = self._cell()
            self._length += sum(map(len, self._written)) + (len(cell) if isinstance(cell, str) else 0)
            if self._length > LONGEST_ROW:
                raise ValueError("a row without end")
        elif name == "row":
            self._rows.append((self._row, self._cells))

    def _cell(self) -> Cell:
        written = _bounded("".join(self._written))
        if self._kind == "s":
            return self._texts.get(_whole(written)) if written else None
        if self._kind == "n":
            return _number(written)
        if self._kind == "b":
            return "TRUE" if written == "1" else "FALSE"
        return _unescape(written) if self._kind in ("inlineStr", "str") else written


def _number(written: str) -> Cell:
    if not written:
        return None
    try:
        number = Decimal(written)
    except InvalidOperation:
        return written
    return number if number.is_finite() else written


@lru_cache(maxsize=1024)
def _position(letters: str) -> int:
    """The position of a column from its letters: A is 0, AA is 26."""
    position = 0
    for letter in letters:
        position = position * 26 + ord(letter) - ord("A") + 1
    return position - 1
