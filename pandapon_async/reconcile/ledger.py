"""Convert the records of a table to rows of the ledger: each becomes exactly one row.

An unreadable record becomes a row with the reason, the column and the known values. A field that is not
compared (such as an order's id) never fails the row; its unreadable cells are counted.
"""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

import attrs

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.reconcile.columns import SPECS
from pandapon_async.reconcile.options import Options
from pandapon_async.reconcile.statuses import is_known, plain_word, status_of_ledger
from pandapon_async.reconcile.verdict import LedgerRow
from pandapon_async.tables.cells import Cell, Platform, Refused, platform_of_id, refund_id_text, shown
from pandapon_async.tables.moments import moment_text
from pandapon_async.tables.table import Record, Table

__all__ = ["LedgerReader"]

T = TypeVar("T")
_PLAIN = re.compile(r"\w+")

MOST_WORDS = 20
"""How many unknown status words are reported one by one."""


@attrs.define
class _Uncompared:
    """The unreadable cells of a field that is not compared."""

    first: str
    count: int = 0


@attrs.define
class _Problems:
    """The first unreadable cell of a row: the column and the reason."""

    column: str = ""
    reason: str | None = None

    def add(self, column: str, reason: str) -> None:
        if self.reason is None:
            self.column, self.reason = column, reason


@attrs.define
class LedgerReader:
    """Reads the rows of a ledger with a set of options."""

    table: Table
    options: Options
    route: Callable[[str | None, str | None], str] | None = None
    """A function that returns the account of a row from its account and shop; None if all rows have one."""
    _uncompared: dict[str, _Uncompared] = attrs.field(init=False, factory=dict)
    _status_words: Counter[tuple[str, Platform | None]] = attrs.field(init=False, factory=Counter)
    """The unknown status words; with the platform, if they are mapped to states of the other one only."""
    _below_zero: int = attrs.field(init=False, default=0)
    _status_map: Mapping[str, tuple[str, ...]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._status_map = {plain_word(word): states for word, states in self.options.status_map.items()}

    def rows(self) -> Iterator[LedgerRow]:
        """Iterate over all rows of the ledger in order."""
        self._uncompared.clear()
        self._status_words.clear()
        self._below_zero = 0
        fields = list(self.table.columns.positions)
        for record in self.table.records():
            yield self._row(record, dict(zip(fields, record.cells, strict=False)))

    def notes(self) -> list[str]:
        """Notes about the rows, complete after they were read."""
        notes = self.table.notes()
        for field, found in self._uncompared.items():
            cells = f"{found.count:,} cell{'s' * (found.count > 1)}"
            notes.append(f"{field}: {cells} cannot be read and are not compared; {found.first}")
        if self._below_zero:
            notes.append(self._signs())
        for (word, platform), count in self._status_words.most_common(MOST_WORDS):
            rows = f"{count:,} row{'s' * (count > 1)}"
            missing = "not known" if platform is None else f"mapped to no state of {platform}"
            notes.append(
                f"status {shown(word)} is {missing} ({rows}); define it with --status-map "
                f"{word if _PLAIN.fullmatch(word) else shlex.quote(word)}=STATE, "
                "such as 退款成功"
            )
        if len(self._status_words) > MOST_WORDS:
            notes.append(f"other unknown status words: {len(self._status_words) - MOST_WORDS:,}")
        return notes

    def _signs(self) -> str:
        rows = "1 row has" if self._below_zero == 1 else f"{self._below_zero:,} rows have"
        if self.options.negative:
            return f"{rows} a positive amount, which --negative reads as below zero"
        return f"{rows} a negative amount; if this ledger writes refunds as negative amounts, use --negative"

    def _row(self, record: Record, cells: Mapping[str, Cell]) -> LedgerRow:
        row, problems = LedgerRow(row=record.row), _Problems()
        if record.problem is not None:
            problems.add("", record.problem)
            row.platform = self.options.platform
            self._keep_id(row, cells)
        else:
            self._fill(row, cells, problems)
        row.problem = problems.reason
        row.column = None if problems.reason is None else problems.column
        return row

    def _keep_id(self, row: LedgerRow, cells: Mapping[str, Cell]) -> None:
        """Return the well-formed id of a row with shifted columns; no other field is trusted."""
        cell = cells.get("refund_id")
        try:
            row.platform = row.platform or platform_of_id(cell)
            row.refund_id = refund_id_text(cell, row.platform)
        except Refused:
            row.platform = self.options.platform

    def _fill(self, row: LedgerRow, cells: Mapping[str, Cell], problems: _Problems) -> None:
        """Read the cells into the row; an unreadable one leaves its field empty."""
        row.shop = self._value("shop", row, cells, problems)
        row.applied_at = moment_text(self._value("applied_at", row, cells, problems), self.table.day_zero)
        platform = row.platform = self._platform(row, cells, problems)
        if platform is not None:
            row.refund_id = self._checked(
                "refund_id", cells, problems, lambda cell: refund_id_text(cell, platform)
            )
        if row.refund_id is None and problems.reason is not None:
            row.refund_id = _id_of_any(cells.get("refund_id"))
        if self.route is not None:
            self._find_account(self.route, row, cells, problems)
        row.order_id = self._value("order_id", row, cells, problems)
        row.currency = "CNY"
        if "currency" in cells:
            row.currency = self._value("currency", row, cells, problems)
        amount = self._value("amount", row, cells, problems)
        freight = self._value("freight", row, cells, problems) if "freight" in cells else 0
        if amount is not None and freight is not None:
            row.amount_fen = total = -(amount + freight) if self.options.negative else amount + freight
            self._below_zero += total < 0
        if "status" in cells:
            word = self._value("status", row, cells, problems)
            if word is not None and platform is not None:
                row.status = status_of_ledger(platform, word, self._status_map)
                row.status_word = word
                if not is_known(platform, row.status):
                    self._count_word(word, platform)

    def _count_word(self, word: str, platform: Platform) -> None:
        key = (word, platform if plain_word(word) in self._status_map else None)
        if key in self._status_words or len(self._status_words) < 1_000:
            self._status_words[key] += 1

    def _find_account(
        self,
        route: Callable[[str | None, str | None], str],
        row: LedgerRow,
        cells: Mapping[str, Cell],
        problems: _Problems,
    ) -> None:
        try:
            row.account = route(self._value("account", row, cells, problems), row.shop)
        except InvalidArgumentError as error:
            problems.add(self.table.columns.name_of("account" if "account" in cells else "shop"), str(error))

    def _platform(self, row: LedgerRow, cells: Mapping[str, Cell], problems: _Problems) -> Platform | None:
        if self.options.platform is not None:
            return self.options.platform
        if "platform" in cells:
            found: Platform | None = self._value("platform", row, cells, problems)
            return found
        return self._checked("refund_id", cells, problems, platform_of_id)

    def _checked(
        self, field: str, cells: Mapping[str, Cell], problems: _Problems, check: Callable[[Cell], T]
    ) -> T | None:
        """Read a cell by a stricter rule than its field's own."""
        try:
            value: T = SPECS[field].value(cells.get(field), read=lambda cell, _: check(cell))
        except Refused as refused:
            problems.add(self.table.columns.name_of(field), str(refused))
            return None
        return value

    def _value(self, field: str, row: LedgerRow, cells: Mapping[str, Cell], problems: _Problems) -> Any:
        """Read a cell; None if it is unreadable, which is a problem only if something depends on it."""
        if field not in cells:
            return None
        spec, columns = SPECS[field], self.table.columns
        try:
            return spec.value(cells[field], columns.units.get(field))
        except Refused as refused:
            if spec.compared:
                problems.add(columns.name_of(field), str(refused))
            else:
                first = (
                    f"the first, in {self.table.place(row.row)}, column {columns.name_of(field)}: {refused}"
                )
                self._uncompared.setdefault(field, _Uncompared(first)).count += 1
            return None


def _id_of_any(cell: Cell) -> str | None:
    """Return the id in a cell if it has the form of one on some platform: the row's own may be unreadable."""
    try:
        return refund_id_text(cell, platform_of_id(cell))
    except Refused:
        return None
