"""A table: the columns found in a file, its rows in order, and what was skipped.

Every row of a file ends in exactly one place: it is a record, or it is counted as an empty line, a preamble,
a total at the end, or column names that stand among the rows again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.cells import CERTAIN_ID, Cell, blank, plain_text, tidy, unwrap
from pandapon_async.tables.columns import Columns
from pandapon_async.tables.fields import plain_name, simplified
from pandapon_async.tables.file_set import place_of
from pandapon_async.tables.headers import Header
from pandapon_async.tables.source import Sheet, Source

__all__ = ["Record", "Section", "Table"]

_ID = re.compile(r"T[QD][0-9]|[0-9]{6}", re.ASCII)
MOST_TOTALS = 20
"""How many rows at the end of a table can be its totals."""
_TOTALS = (
    "合计", "总计", "小计", "汇总", "总金额", "累计", "共计", "本页合计", "总交易单数", "交易合计",
    "导出时间", "合计金额", "金额合计", "总计金额", "本页小计", "平均", "平均值",
    "total", "totals", "subtotal", "grand total", "sum", "average",
)  # fmt: skip
_HINTS = frozenset(("必填", "选填", "可选", "必须", "非必填", "可不填", "required", "optional"))
"""What templates write below the column names."""
_COUNT = re.compile(r"共 ?[0-9,]+ ?[条笔行单项个件]", re.ASCII)
_MARK = re.compile(r"\s*#(?![A-Za-z0-9¡])")
"""The begin of the lines below an Alipay bill; #N/A and #12345 are cells of a row."""
_FOOTERS = (
    "制表", "制单", "审核", "复核", "经办", "签字", "签名", "盖章", "打印", "导出", "统计", "笔数",
    "数据来源", "以上", "以下", "注:", "说明:", "备注:",
)  # fmt: skip
_END = re.compile(
    r"\W*第? ?[0-9]+ ?页.*|page [0-9]+.*|\(?[0-9,]+ rows?\b.*|\W*end of .*|query ok.*|\W*结束\W*",
    re.IGNORECASE,
)
"""Other last lines: page numbers, and what database programs say."""
_RULE = re.compile(r"[-=_+|:*~—]{3,}")


@attrs.define
class Record:
    """One row: its number as a spreadsheet shows it, the cells of the fields, and its problem if any."""

    row: int
    cells: Sequence[Cell]
    problem: str | None = None


@attrs.frozen
class Section:
    """The part of a table in one sheet."""

    sheet: Sheet
    header: Header
    columns: Columns
    offset: int = 0


class Table:
    """A table that is open for reading. `columns` are those of its first section."""

    def __init__(
        self, path: Path, source: Source, sections: Sequence[Section], identifier: str, notes: Sequence[str]
    ) -> None:
        self.path = path
        self.files: tuple[str, ...] = ()
        """The names of the files, if there are several."""
        self.sections: tuple[Section, ...] = tuple(sections)
        self.columns: Columns = sections[0].columns
        self.format: str = source.format
        self.encoding: str | None = source.encoding
        self.day_zero: date = source.day_zero
        self.blank_lines: int = 0
        """How many empty rows the last reading had."""
        self.totals: int = 0
        """How many rows of totals the last reading had."""
        self.repeated: int = 0
        """How many rows of the last reading only repeated the column names or ruled them off."""
        self.source: Source = source
        """The file that is open."""
        self._fields = list(self.columns.positions)
        self._id = self._fields.index(identifier) if identifier in self._fields else None
        self._notes = tuple(notes)

    def place(self, row: int) -> str:
        """Name the place of a row for people."""
        return place_of(row, self.files)

    def records(self) -> Iterator[Record]:
        """Iterate over the rows, each with its cells in the order of `columns.positions`."""
        self.blank_lines = self.totals = self.repeated = 0
        for section in self.sections:
            yield from self._records(section)

    def is_empty(self) -> bool:
        """Whether the table has no row."""
        return next(self.records(), None) is None

    def notes(self) -> list[str]:
        """Notes about unread and hidden rows; complete after the records were read."""
        notes = list(self._notes)
        for section in self.sections:
            where = f"sheet {section.sheet.name}: " if len(self.sections) > 1 else ""
            if section.header.above:
                notes.append(f"{where}rows above the column names, not read: {section.header.above:,}")
            if section.header.last > section.header.first:
                notes.append(
                    f"{where}rows {section.header.first} and {section.header.last} are the column names"
                )
            notes += [f"{where}{note}" for note in section.columns.notes]
        if self.totals:
            notes.append(f"rows of totals at the end, not read: {self.totals:,}")
        if self.repeated:
            notes.append(f"repeated column names and ruled lines, not read: {self.repeated:,}")
        return [*notes, *self.source.notes()]

    def _records(self, section: Section) -> Iterator[Record]:
        wanted = [section.columns.positions[field] for field in self._fields]
        source, at_id, offset = self.source, self._id, section.offset
        held: list[Record] = []  # rows that are totals unless a row with an id follows
        began = False
        rows = source.rows(section.sheet, section.columns.names, section.header.last, wanted)
        for row, cells, problem in rows:
            if problem is None and source.is_blank(cells):
                self.blank_lines += 1
                continue
            picked = source.pick(cells, wanted)
            record = Record(row + offset, picked, problem)
            if at_id is not None and not _may_be_id(picked[at_id]):
                if problem is None and self._is_heading(section, record):
                    self.repeated += 1
                    continue
                filled = [cell for cell in source.filled(cells) if not blank(cell)]
                if filled and not began and _is_rule(filled):
                    self.repeated += 1
                    continue
                after = bool(held)
                if filled and len(held) < MOST_TOTALS and _says_total(picked[at_id], filled, after=after):
                    held.append(record)
                    continue
            yield from held
            held.clear()
            began = True
            yield record
        self.totals += len(held)

    def _is_heading(self, section: Section, record: Record) -> bool:
        """Whether a row has the column names again, as in joined files, or hints of a template.

        Raises InvalidArgumentError if they are names of other columns: another table begins there.
        """
        columns, cells = section.columns, dict(zip(self._fields, record.cells, strict=True))
        identifier = self._fields[self._id] if self._id is not None else ""
        if all(blank(cell) or tidy(str(cell)).lower().strip("()") in _HINTS for cell in record.cells):
            return not blank(cells[identifier])
        if sum(columns.named_by(field, cell) for field, cell in cells.items()) >= min(2, len(cells)):
            if columns.named_by(identifier, cells[identifier]):
                return True
        elif sum(any(columns.named_by(other, cell) for other in columns.known) for cell in record.cells) < 2:
            return False
        if not any(columns.named_by(other, cells[identifier]) for other in columns.known):
            return False
        raise InvalidArgumentError(
            f"{self.path.name}, {self.place(record.row)} has column names in another order: another table "
            "begins there. Put it on a sheet or into a file of its own"
        )


def _may_be_id(cell: Cell) -> bool:
    """Whether a cell could identify a row: six or more consecutive digits, or a number."""
    return cell is not None and (not isinstance(cell, str) or _ID.search(cell) is not None)


def _is_total(cell: Cell) -> bool:
    """Whether a cell is a word for a total, with or without a figure after it."""
    if not isinstance(cell, str) or blank(cell):
        return False
    for text in ((plain_text(cell) or "").lower().lstrip("#*-= "), plain_name(cell)):  # 合 计, 總計
        if _COUNT.match(text) or any(
            text == word or (text.startswith(word) and not text[len(word)].isalpha()) for word in _TOTALS
        ):
            return True
    return False


def _is_footer(cell: Cell) -> bool:
    if not isinstance(cell, str):
        return False
    text = simplified(tidy(cell))
    return text.startswith(_FOOTERS) or _END.fullmatch(text) is not None


def _is_rule(filled: Sequence[Cell]) -> bool:
    """Whether a row is a line drawn with dashes, as database programs have below the column names."""
    return all(isinstance(cell, str) and _RULE.fullmatch(tidy(cell)) for cell in filled)


def _says_total(identifier: Cell, filled: Sequence[Cell], *, after: bool) -> bool:
    """Whether a row without an id is a total: it has a word for it, is a line of marks, or follows one.

    Its identifying cell is empty, or is the word itself, or is a word in a row that begins with one.
    """
    first = filled[0]
    if all(map(_is_footer, filled)) or _is_rule(filled):
        return True
    if any(isinstance(cell, str) and CERTAIN_ID.fullmatch(unwrap(tidy(cell))) for cell in filled):
        return False
    if _is_total(first) or (isinstance(first, str) and _MARK.match(first)):
        return not (
            isinstance(identifier, str) and re.search(r"[1-9]", identifier) and identifier is not first
        )
    if blank(identifier) or _is_total(identifier):
        return any(map(_is_total, filled))
    return after and all(isinstance(cell, str) and cell.lstrip().startswith("`") for cell in filled)
