"""Open a table: find the kind of file, the sheets and rows of the table, and the columns.

Everything that can be refused is refused here, before any row is processed.
"""

from __future__ import annotations

import errno
import hashlib
import re
import shlex
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.plain_text import meant
from pandapon_async.tables.cells import blank, shown
from pandapon_async.tables.columns import Columns, Resolver, columns_named, listed_names
from pandapon_async.tables.csv_file import DELIMITERS, CsvSource
from pandapon_async.tables.csv_text import Encodings, encodings_of
from pandapon_async.tables.file_set import SPAN, FileSet
from pandapon_async.tables.files_table import FilesTable
from pandapon_async.tables.headers import FURTHER, SEARCHED, Header, HeadRow, find_header
from pandapon_async.tables.kinds import kind_of, refusal_of, unpacked
from pandapon_async.tables.parquet_file import FLOAT32_DIGITS, ParquetSource
from pandapon_async.tables.source import Sheet, Source
from pandapon_async.tables.table import Section, Table
from pandapon_async.tables.xlsx_file import XlsxSource

__all__ = ["Quoting", "ReadOptions", "file_digest", "open_table", "usable"]

_SEPARATOR = re.compile(r" {2,}|[^\w\s(),;|]|[\x01-\x08\x1c-\x1f]")
"""Separators of columns that are told apart to name them: ^, ~, control characters, several spaces."""
Quoting = Literal["auto", "none"]
_UNUSABLE = (
    errno.ENOENT, errno.EACCES, errno.EPERM, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP,
    errno.EINVAL,
)  # fmt: skip


@attrs.frozen(kw_only=True)
class ReadOptions:
    """Where the table is in a file. All have defaults.

    `sheets` names the sheets of a workbook to read, `all_sheets` selects every visible one; otherwise exactly
    one must have the columns. `header_row` is the row of the column names (detected by default).
    `quoting="none"` treats quotation marks in CSV as ordinary characters, `multiline` names the columns with
    intended line breaks.
    """

    sheets: tuple[str, ...] = ()
    all_sheets: bool = False
    header_row: int | None = None
    quoting: Quoting = "auto"
    multiline: tuple[str, ...] = ()


def open_table(path: Path, resolver: Resolver, options: ReadOptions | None = None) -> Table:
    """Open a file, or the files of a folder or a pattern, and find the columns in it.

    Raises InvalidArgumentError for an unreadable file, with its kind and what to do.
    """
    options = options or ReadOptions()
    with usable(path):
        found = FileSet.of(path)
        if found.names:
            return FilesTable(
                found, resolver.identifier, lambda one, name: _open_file(one, name, resolver, options)
            )
    return _open_file(path, path.name, resolver, options)


def _open_file(path: Path, name: str, resolver: Resolver, options: ReadOptions) -> Table:
    with usable(path):
        kind = kind_of(path)
        real = path
        copy = unpacked(path, kind) if kind in ("zip", "gzip") else None
        if copy is not None:
            real, name = copy
        try:
            table = _open(path, real, name, kind if copy is None else kind_of(real), resolver, options)
        except BaseException:
            if copy is not None:
                real.unlink(missing_ok=True)
            raise
        if copy is not None:
            weakref.finalize(table, real.unlink, missing_ok=True)
        return table


@contextmanager
def usable(path: Path) -> Iterator[None]:
    """A file that cannot be opened is the caller's mistake; a failing disk is not."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNUSABLE:
            raise
        raise InvalidArgumentError(f"{path} cannot be read: {error.strerror}") from None


def _open(path: Path, real: Path, name: str, kind: str, resolver: Resolver, options: ReadOptions) -> Table:
    if refusal := refusal_of(real, name):
        raise refusal
    if kind == "gzip" or (kind == "zip" and real != path and unpacked(real, kind)):
        raise InvalidArgumentError(f"{name} is packed twice; unpack it first")
    if kind != "zip" and (options.sheets or options.all_sheets):
        raise InvalidArgumentError(
            f"{name} is not a workbook: it has no sheets to choose from", argument="sheet"
        )
    if kind == "parquet":
        return _parquet(path, ParquetSource(real, name), resolver)
    if kind == "zip":
        return _workbook(path, XlsxSource(real, name), resolver, options)
    return _csv(path, real, name, resolver, options)


def _parquet(path: Path, source: ParquetSource, resolver: Resolver) -> Table:
    columns = _columns(source.name, resolver, source.names)
    notes = []
    for spec in resolver.specs:
        at = columns.positions.get(spec.name)
        if at is None or not source.is_float32(at) or not (spec.id or columns.units.get(spec.name) == "fen"):
            continue
        said = f"column {source.names[at]} is stored as float32, which has {FLOAT32_DIGITS} exact digits"
        if spec.compared:
            raise InvalidArgumentError(
                f"{source.name}: {said}; store it as text or whole numbers", argument="map"
            )
        notes.append(said)
    header = Header(0, 0, source.names)
    return Table(path, source, [Section(source.sheets[0], header, columns)], resolver.identifier, notes)


def _csv(path: Path, real: Path, name: str, resolver: Resolver, options: ReadOptions) -> Table:
    encodings = encodings_of(real, name)
    source, header = _best_csv(real, name, encodings, resolver, options)
    for column in options.multiline:
        if not columns_named(header.names, column):
            raise InvalidArgumentError(
                f"--multiline {column} matches no column. Columns: {listed_names(header.names)}",
                argument="multiline",
            )
    hint = _further(source, source.sheets[0], header, resolver) or header.hint
    columns = _columns(name, resolver, header.names, hint)
    notes = encodings.notes(source.encoding)
    return Table(path, source, [Section(source.sheets[0], header, columns)], resolver.identifier, notes)


def _further(source: Source, sheet: Sheet, header: Header | None, resolver: Resolver) -> str:
    """Return the row of the column names for the message about a missing one, also far down."""
    if header is not None and resolver.satisfied(header.names):
        return ""
    found = find_header(source.head(sheet, 1, FURTHER), resolver, None)
    if found is None or not found.sure or (header is not None and found.first == header.first):
        return ""
    return f"Row {found.first} looks like column names: --header-row {found.first}. "


def _columns(name: str, resolver: Resolver, names: Sequence[str], hint: str = "") -> Columns:
    """Find the columns; an error names the file."""
    try:
        return resolver.resolve(names, hint)
    except InvalidArgumentError as error:
        raise InvalidArgumentError(f"{name}: {error}", argument=error.argument) from None


def _best_csv(
    real: Path, name: str, encodings: Encodings, resolver: Resolver, options: ReadOptions
) -> tuple[CsvSource, Header]:
    """Choose the encoding and delimiter that recognise the most columns, else that split the most."""
    best: tuple[tuple[int, int, int, int], CsvSource, Header] | None = None
    problem: InvalidArgumentError | None = None
    for encoding in encodings.names:
        for delimiter in DELIMITERS:
            source = CsvSource(
                real,
                encoding,
                delimiter,
                name=name,
                quoting=options.quoting != "none",
                multiline=options.multiline,
            )
            try:
                header = find_header(
                    source.head(source.sheets[0], options.header_row or 1), resolver, options.header_row
                )
            except InvalidArgumentError as error:  # quotes that look broken with this delimiter
                problem = problem or error
                continue
            if header is None:
                continue
            fields = len(resolver.recognised(header.names)) if header.sure else 0
            rank = (header.sure and fields >= 2, fields, len(header.names), -DELIMITERS.index(delimiter))
            if best is None or rank > best[0]:
                best = rank, source, header
    if best is None:
        raise problem or _no_names(name, options)
    if not best[2].sure and (separator := _unsupported_separator(best[1], resolver)):
        raise InvalidArgumentError(
            f"{name}: its columns are separated by {shown(separator)}, which is not supported; save it with "
            "commas, TABs, semicolons or bars"
        )
    if problem is not None and not best[2].sure and len(best[2].names) == 1:  # not split at all
        raise problem
    return best[1], best[2]


def _unsupported_separator(source: CsvSource, resolver: Resolver) -> str | None:
    """Return a separator that no CSV file should have, if the column names are recognised with it."""
    for _, cells in source.head(source.sheets[0]):
        line = source.delimiter.join(map(str, cells))
        for separator in dict.fromkeys(match[0] for match in _SEPARATOR.finditer(line)):
            fields = resolver.recognised(line.split(separator))
            if len(fields) >= 2 and resolver.identifier in fields:
                return separator
    return None


def _no_names(name: str, options: ReadOptions) -> InvalidArgumentError:
    row = f" (row {options.header_row})" if options.header_row is not None else ""
    return InvalidArgumentError(f"{name} has no row with column names{row}", argument="header_row")


def _workbook(path: Path, source: XlsxSource, resolver: Resolver, options: ReadOptions) -> Table:
    chosen = _named_sheets(source, options)
    first = options.header_row or 1
    heads = {sheet: source.head(sheet, first) for sheet in source.sheets if sheet.visible or sheet in chosen}
    headers = {sheet: find_header(head, resolver, options.header_row) for sheet, head in heads.items()}
    if not chosen:
        chosen = [_only_sheet(source.name, heads, headers, resolver, options)]
    if options.all_sheets:  # a cover sheet has no rows to read
        chosen = _having(heads, headers, resolver) or chosen
    sections = []
    for sheet in chosen:
        header = headers[sheet]
        if header is None:
            raise _no_names(f"{source.name}, sheet {sheet.name}", options)
        offset = SPAN * (source.sheets.index(sheet) + 1) if len(chosen) > 1 else 0
        hint = _sheet_hint(source, sheet, headers, resolver, options)
        of_sheet = f"{source.name}, sheet {sheet.name}" if len(source.sheets) > 1 else source.name
        sections.append(Section(sheet, header, _columns(of_sheet, resolver, header.names, hint), offset))
    columns = sections[0].columns
    for section in sections[1:]:
        if (
            section.columns.positions.keys() != columns.positions.keys()
            or section.columns.units != columns.units
        ):
            raise InvalidArgumentError(
                f"{source.name}: sheets {sections[0].sheet.name} and {section.sheet.name} differ in "
                "their columns; read them separately with --sheet",
                argument="sheet",
            )
    return Table(path, source, sections, resolver.identifier, _sheet_notes(source, sections))


def _named_sheets(source: XlsxSource, options: ReadOptions) -> list[Sheet]:
    """Return the sheets that the user named; empty without a choice."""
    if options.all_sheets:
        if options.sheets:
            raise InvalidArgumentError("use --sheet or --all-sheets, not both", argument="sheet")
        return [sheet for sheet in source.sheets if sheet.visible]
    chosen = []
    for name in dict.fromkeys(options.sheets):
        found = [sheet for sheet in source.sheets if sheet.name == name] or [
            sheet for sheet in source.sheets if sheet.name.strip().lower() == name.strip().lower()
        ]
        if not found:
            names = [sheet.name for sheet in source.sheets]
            near = meant(name, names)
            raise InvalidArgumentError(
                f"the workbook has no sheet {name}{near}{' It' if near else '; it'} has: {', '.join(names)}",
                argument="sheet",
            )
        if found[0] not in chosen:
            chosen.append(found[0])
    return chosen


def _only_sheet(
    name: str,
    heads: dict[Sheet, Sequence[HeadRow]],
    headers: dict[Sheet, Header | None],
    resolver: Resolver,
    options: ReadOptions,
) -> Sheet:
    """Return the only sheet with the columns, if any; with two of them the user must choose."""
    having = _having(heads, headers, resolver)
    complete = [sheet for sheet in having if (head := headers[sheet]) and resolver.satisfied(head.names)]
    every = ", or all of them with --all-sheets" if complete in ([], having) else ""
    having = complete or having
    if len(having) > 1:
        names = ", ".join(sheet.name for sheet in having)
        several = " ".join(f"--sheet {_quoted(sheet.name)}" for sheet in having)
        raise InvalidArgumentError(
            f"{name}: {len(having)} sheets have these columns: {names}; read one with --sheet "
            f"{_quoted(having[0].name)}, several with {several}{every}",
            argument="sheet",
        )
    if having:
        return having[0]
    for sheet, header in headers.items():
        if _identifies(header, resolver):
            return sheet
    filled = [sheet for sheet, header in headers.items() if header is not None]
    if not filled:
        raise _no_names(name, options)
    return filled[0]


def _having(
    heads: dict[Sheet, Sequence[HeadRow]], headers: dict[Sheet, Header | None], resolver: Resolver
) -> list[Sheet]:
    """Return the sheets with the columns and rows below them."""
    return [
        sheet
        for sheet, header in headers.items()
        if header is not None
        and resolver.identifier in (fields := resolver.recognised(header.names))
        and len(fields) >= 2
        and _has_rows(heads[sheet], header)
    ]


def _has_rows(head: Sequence[HeadRow], header: Header) -> bool:
    return any(number > header.last and not all(map(blank, cells)) for number, cells in head)


def _sheet_hint(
    source: XlsxSource,
    sheet: Sheet,
    headers: dict[Sheet, Header | None],
    resolver: Resolver,
    options: ReadOptions,
) -> str:
    """Return where the columns are, if this sheet lacks one: on another sheet or further down."""
    header = headers[sheet]
    if header is not None and resolver.satisfied(header.names):
        return ""
    return (
        _other_sheet(source, sheet, headers, resolver, options.header_row, SEARCHED)
        or _further(source, sheet, header, resolver)
        or _other_sheet(source, sheet, headers, resolver, None, FURTHER)
        or ("" if header is None else header.hint)
    )


def _other_sheet(
    source: XlsxSource,
    sheet: Sheet,
    headers: dict[Sheet, Header | None],
    resolver: Resolver,
    header_row: int | None,
    most: int,
) -> str:
    """Return the sheet to suggest if this one has no rows of refunds; it may be hidden."""
    if _identifies(headers[sheet], resolver):
        return ""
    for other in sorted(source.sheets, key=lambda other: not other.visible):
        if other is sheet:
            continue
        header = find_header(source.head(other, header_row or 1, most), resolver, header_row)
        if header is not None and _identifies(header, resolver):
            what = "Sheet" if other.visible else "The hidden sheet"
            row = f" --header-row {header.first}" if most > SEARCHED else ""
            return f"{what} {other.name} has one: --sheet {_quoted(other.name)}{row}. "
    return ""


def _quoted(name: str) -> str:
    return shlex.quote(name) if "'" in name else f"'{name}'"


def _identifies(header: Header | None, resolver: Resolver) -> bool:
    """Whether a column identifies a row."""
    return header is not None and resolver.identifier in resolver.recognised(header.names)


def _sheet_notes(source: XlsxSource, sections: Sequence[Section]) -> list[str]:
    read = {section.sheet for section in sections}
    unread = [sheet.name for sheet in source.sheets if sheet.visible and sheet not in read]
    hidden = [sheet.name for sheet in source.sheets if not sheet.visible and sheet not in read]
    notes = []
    if len(sections) > 1:
        last = sections[-1]
        notes.append(
            f"sheets read: {', '.join(section.sheet.name for section in sections)}; rows are numbered by "
            f"sheet: {last.offset + 2} is row 2 of {last.sheet.name}"
        )
    elif unread or hidden:
        notes.append(f"sheet read: {sections[0].sheet.name}")
    if unread:
        notes.append(f"other sheets, not read: {', '.join(unread)}")
    if hidden:
        notes.append(f"hidden sheets, not read: {', '.join(hidden)}")
    return notes


def file_digest(path: Path, check: Callable[[], None] = lambda: None) -> str:
    """Return the SHA-256 of a file in hex; for a folder or a pattern, of the names and digests of its files.

    `check` is called between the blocks and may raise to stop.
    """
    found = FileSet.of(path)
    if not found.names:
        return _digest(path, check)
    digest = hashlib.sha256()
    for one, name in zip(found.files, found.names, strict=True):
        digest.update(f"{_digest(one, check)}  {name}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _digest(path: Path, check: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
            check()
    return digest.hexdigest()
