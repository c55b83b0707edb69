"""The package of a workbook: a zip of parts that refer to each other, some far larger unpacked.

Relations, not names, tell which part is the workbook, a sheet or the shared texts: programs choose any names,
in any case, with ./ or backslashes. The usual readers hold every shared text in memory; here a temporary file
holds them, and everything that is unpacked has a limit.
"""

from __future__ import annotations

import errno
import posixpath
import re
import struct
import tempfile
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any
from urllib.parse import unquote
from xml.parsers import expat

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.moments import DAY_ZERO
from pandapon_async.tables.number_formats import shows_a_date, shows_more
from pandapon_async.tables.source import Sheet

__all__ = ["Archive", "Package", "SharedTexts", "Unreadable", "bounded", "grow", "parse", "unescape", "whole"]

BLOCK = 1 << 16
LONGEST_CELL = 1 << 17
LONGEST_TOKEN = 1 << 20  # bytes of one tag with its attributes, or of one comment
MOST_TEXTS = 1 << 23
LARGEST_PART = 4 << 30  # bytes of a part, unpacked
LARGEST_INDEX = 64 << 20  # bytes of the list of sheets or of the styles, unpacked
LARGEST_RELATIONS = 8 << 20  # bytes of the relations of a part, unpacked
LARGEST_TEXTS = 512 << 20  # bytes of the shared texts, unpacked: they go to a temporary file
DEEPEST = 256  # nested elements: the parser remembers every open one
MOST_PIECES, LONGEST_PIECE = 1 << 6, 1 << 12  # pieces of a text before they are joined
MOST_SHEETS = 1 << 12
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (
    expat.ExpatError, zipfile.BadZipFile, zlib.error, struct.error, EOFError, LookupError, ValueError,
    NotImplementedError,
)  # fmt: skip
_ESCAPED = re.compile(r"_x((?![dD][89a-fA-F])[0-9A-Fa-f]{4})_")  # half a surrogate pair is not a character


class Unreadable(ValueError):
    """Why a workbook is damaged, for people: the message is a part of a sentence."""


class Archive(zipfile.ZipFile):
    """The workbook's zip; errors are reported in a sentence."""

    def __init__(self, path: Path, name: str | None = None) -> None:
        self._name = name or path.name
        try:
            super().__init__(path)
        except (*_DAMAGE, OSError) as error:
            if not _is_damage(error):
                raise
            raise InvalidArgumentError(f"{self._name} is not a readable workbook") from None
        self._parts: dict[str, zipfile.ZipInfo] = {}
        self._twice: set[str] = set()
        for info in self.infolist():
            part = _plain_part(info.filename)
            if part in self._parts:
                self._twice.add(part)
            self._parts[part] = info

    def has(self, name: str) -> bool:
        """Whether the package has a part of this name, in any case."""
        return _plain_part(name) in self._parts

    def part(self, name: str, largest: int = LARGEST_PART) -> IO[bytes]:
        """Open a part; only the compressions that workbooks use are allowed.

        Raises InvalidArgumentError if its declared size exceeds `largest` bytes, which it cannot outgrow.
        """
        part = _plain_part(name)
        info = self._parts[part]
        if part in self._twice:  # programs disagree about which one counts
            raise Unreadable(f"it has the part {posixpath.basename(part)} twice")
        if info.flag_bits & 1:
            raise InvalidArgumentError(f"{self._name} has a password; unpack it and save it without one")
        if info.compress_type not in _METHODS:
            raise zipfile.BadZipFile("an unusual compression")
        if info.file_size > largest:
            raise InvalidArgumentError(
                f"{self._name}: {posixpath.basename(info.filename)} is {info.file_size >> 20:,} MB "
                f"unpacked, more than the limit of {largest >> 20:,} MB; split the workbook, or save it "
                "as CSV"
            )
        return self.open(info)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        if error is not None and _is_damage(error):
            why = f" ({error})" if isinstance(error, Unreadable) else ""
            raise InvalidArgumentError(
                f"{self._name} is a damaged workbook{why}; open it in Excel, WPS or LibreOffice and save it "
                "again"
            ) from None


def _plain_part(name: str) -> str:
    """Normalise a part's name: no leading slash, ./, ../ or backslash, lower case."""
    return posixpath.normpath("/" + name.replace("\\", "/")).lstrip("/").lower()


def _is_damage(error: BaseException) -> bool:
    """Whether an error comes from the content of the file, not from a failing disk."""
    if isinstance(error, OSError):
        return error.errno == errno.EINVAL  # a position before the beginning of the file
    return isinstance(error, _DAMAGE) and not isinstance(error, InvalidArgumentError)


def parse(
    stream: IO[bytes], start: Callable[..., Any], end: Callable[..., Any], text: Callable[..., Any]
) -> Iterator[None]:
    """Run the handlers over a part; yields after every block."""
    depth = 0

    def begin(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
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
                raise ValueError("a tag that is too long")  # the parser keeps all of it until its end
            yield
        parser.Parse(b"", True)
        yield


def _refuse_doctype(*_: Any) -> None:
    raise InvalidArgumentError("the workbook declares XML entities, which no spreadsheet program writes")


_DATE_FORMATS = frozenset(map(str, (*range(14, 23), *range(27, 37), *range(45, 48), *range(50, 59))))
"""The numbers of the built-in formats for dates and times, including the Chinese ones."""
_PERCENTAGES = {"9": "0%", "10": "0.00%"}
"""The built-in formats that show a percentage."""
_CUSTOM = 164
"""The first number of a workbook's own formats; those before it show the currency of the reader's system."""


def _nothing(*_: Any) -> None:
    return None


@attrs.frozen
class _Relation:
    """A relation of a part: its target and its type."""

    type: str
    part: str


class Package:
    """Read the sheets of a workbook with their parts, the part of its shared texts, and its first day.

    `calculated`: the stored results of formulas are real; a program that cannot calculate stores 0 and asks
    for a calculation when the workbook is opened. `formats` has the number formats that show more than the
    digits, by style.
    """

    def __init__(self, archive: Archive) -> None:
        self.day_zero: date = DAY_ZERO
        self.calculated: bool = True
        self.sheets: list[Sheet] = []
        self._named: list[tuple[str, str, bool]] = []
        self._found: dict[str, _Relation] = {}
        root = self._relations(archive, "")
        workbook = next(
            (one.part for one in root.values() if one.type == "officeDocument"), "xl/workbook.xml"
        )
        relations = self._relations(archive, workbook)
        for _ in parse(archive.part(workbook, LARGEST_INDEX), self._in_workbook, _nothing, _nothing):
            pass
        for name, relation, visible in self._named:
            target = relations.get(relation)
            if target is None:
                raise Unreadable(f"the sheet {name} is missing")
            if target.type in ("worksheet", ""):  # a chart can have its own sheet
                self.sheets.append(Sheet(name, visible, target.part))
        beside = posixpath.join(posixpath.dirname(workbook), "sharedStrings.xml")
        texts = next((one.part for one in relations.values() if one.type == "sharedStrings"), beside)
        self.texts: str | None = texts if archive.has(texts) else None
        self.date_styles: frozenset[str] = frozenset()
        self.formats: dict[str, str] = {}
        self._read_styles(archive, relations)

    def _read_styles(self, archive: Archive, relations: Mapping[str, _Relation]) -> None:
        """Find the styles that show a number as a date or a time, or not as its digits."""
        part = next((one.part for one in relations.values() if one.type == "styles"), None)
        if part is None or not archive.has(part):
            return
        dates = set(_DATE_FORMATS)
        formats = dict(_PERCENTAGES)
        styles: list[str] = []
        inside = False

        def begin(name: str, attributes: dict[str, str]) -> None:
            nonlocal inside
            if name == "numFmt":
                number, code = whole(attributes["numFmtId"]), attributes.get("formatCode", "")
                if shows_a_date(code):
                    dates.add(str(number))
                elif number >= _CUSTOM and shows_more(code):
                    formats[str(number)] = code
            elif name == "cellXfs":
                inside = True
            elif name == "xf" and inside:
                styles.append(attributes.get("numFmtId", "0"))

        def end(name: str) -> None:
            nonlocal inside
            inside = inside and name != "cellXfs"

        for _ in parse(archive.part(part, LARGEST_INDEX), begin, end, _nothing):
            pass
        self.date_styles = frozenset(str(number) for number, style in enumerate(styles) if style in dates)
        self.formats = {
            str(number): formats[style] for number, style in enumerate(styles) if style in formats
        }

    def _relations(self, archive: Archive, of: str) -> dict[str, _Relation]:
        """Return the relations of a part; "" is the package itself."""
        folder, name = posixpath.split(of.replace("\\", "/"))
        self._found, self._folder, self._archive = {}, folder, archive
        part = posixpath.join(folder, "_rels", f"{name}.rels")
        if archive.has(part):
            for _ in parse(archive.part(part, LARGEST_RELATIONS), self._in_relations, _nothing, _nothing):
                pass
        return self._found

    def _in_relations(self, name: str, attributes: dict[str, str]) -> None:
        if name != "Relationship" or attributes.get("TargetMode") == "External":
            return
        target = attributes["Target"].replace("\\", "/")
        if not target.startswith("/"):
            target = posixpath.join(self._folder, target)
        if not self._archive.has(target):
            target = unquote(target)
        self._found[attributes["Id"]] = _Relation(attributes.get("Type", "").rpartition("/")[2], target)

    def _in_workbook(self, name: str, attributes: dict[str, str]) -> None:
        if name == "sheet":
            relation = next((value for key, value in attributes.items() if key.endswith(" id")), "")
            visible = attributes.get("state", "visible") == "visible"
            if len(self._named) >= MOST_SHEETS:
                raise ValueError("too many sheets")
            self._named.append((attributes["name"], relation, visible))
        elif name == "workbookPr" and attributes.get("date1904") in ("1", "true"):
            self.day_zero = date(1904, 1, 1)
        elif name == "calcPr" and attributes.get("fullCalcOnLoad") in ("1", "true"):
            self.calculated = False


class SharedTexts:
    """The shared texts that cells refer to by number, in a temporary file: 8 bytes of memory each."""

    def __init__(self, archive: Archive, part: str | None) -> None:
        self._ends = array("Q", [0])
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  (closed by close)
        self._text: list[str] | None = None
        self._phonetic = False
        self._complete: list[str] = []
        self._growing: list[str] | None = None
        self.get: Callable[[int], str] = lru_cache(maxsize=512)(self._read)
        self.close: Callable[[], None] = self._file.close
        try:
            if part is not None:
                self._load(archive.part(part, LARGEST_TEXTS))
        except BaseException:
            self.close()
            raise

    def _load(self, stream: IO[bytes]) -> None:
        for _ in parse(stream, self._start, self._end, self._characters):
            self._spill()
        self._finish()
        self._spill()

    def _start(self, name: str, _: dict[str, str]) -> None:
        if name == "si":
            self._finish()
            self._growing = []
        elif name == "rPh":  # the pronunciation of the text, not the text
            self._phonetic = True
        elif name == "t" and not self._phonetic:
            self._text = []

    def _characters(self, text: str) -> None:
        if self._text is not None:
            grow(self._text, text)

    def _end(self, name: str) -> None:
        if name == "t" and self._text is not None:
            if self._growing is None:
                raise ValueError("a text outside every item")
            grow(self._growing, "".join(self._text))
            self._text = None
        elif name == "rPh":
            self._phonetic = False

    def _finish(self) -> None:
        if self._growing is not None:
            self._complete.append(bounded("".join(self._growing)))
            self._growing = None

    def _spill(self) -> None:
        """Write the complete texts; the last one may still grow."""
        complete, self._complete = self._complete, []
        if len(self._ends) + len(complete) > MOST_TEXTS:
            raise ValueError("too many texts")
        for piece in complete:
            self._ends.append(self._ends[-1] + self._file.write(piece.encode("utf-8", "replace")))

    def _read(self, index: int) -> str:
        if index + 1 >= len(self._ends):
            raise Unreadable("a shared text is missing")
        start, end = self._ends[index], self._ends[index + 1]
        self._file.seek(start)
        return unescape(self._file.read(end - start).decode())


def bounded(text: str) -> str:
    """Return the text, unless it is longer than a cell can be."""
    if len(text) > LONGEST_CELL:
        raise InvalidArgumentError("the workbook has a cell longer than any spreadsheet allows")
    return text


def grow(pieces: list[str], more: str) -> None:
    """Append to an unfinished text; checks its length at once."""
    pieces.append(more)
    if len(pieces) > MOST_PIECES or len(more) > LONGEST_PIECE:
        pieces[:] = [bounded("".join(pieces))]


def whole(text: str) -> int:
    """Read a whole number strictly: int() would also accept -1, 1_0 and digits of any script."""
    if not (text.isascii() and text.isdigit()):
        raise Unreadable(f"{text[:20]!r} is not a whole number")
    return int(text)


def unescape(text: str) -> str:
    """Decode _x000D_, the form of characters that XML cannot contain."""
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text) if "_x" in text else text
