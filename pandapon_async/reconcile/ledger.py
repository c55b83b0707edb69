"""From a table's records to rows of the ledger: each record becomes exactly one row.

A record that cannot be read becomes a row that says why and in which column.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import attrs

from pandapon_async.reconcile.columns import Columns
from pandapon_async.reconcile.options import FIELDS, Options
from pandapon_async.reconcile.statuses import status_of_ledger
from pandapon_async.reconcile.verdict import LedgerRow
from pandapon_async.tables.cells import (
    Cell,
    Platform,
    Refused,
    amount_fen,
    blank,
    currency_code,
    id_text,
    moment_text,
    plain_text,
    platform_name,
    platform_of_id,
    refund_id_text,
)
from pandapon_async.tables.table import Record, Table

__all__ = ["LedgerReader"]

T = TypeVar("T")

TOTALS = ("合计", "总计", "小计", "汇总", "总金额", "total", "subtotal", "grand total", "sum")


class _Problem(Exception):
    """The first thing in a row that cannot be read: in which column, and why."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


@attrs.frozen
class LedgerReader:
    """Reads the rows of one ledger under one set of options."""

    table: Table
    columns: Columns
    options: Options

    def rows(self) -> Iterator[LedgerRow]:
        """Every row of the ledger, in order."""
        fields = [field for field in FIELDS if field in self.columns.positions]
        for record in self.table.records([self.columns.positions[field] for field in fields]):
            yield self._row(record, dict(zip(fields, record.cells, strict=False)))

    def _row(self, record: Record, cells: dict[str, Cell]) -> LedgerRow:
        row = LedgerRow(row=record.row)
        if record.problem is not None:
            row.problem, row.column = record.problem, ""
            return row
        try:
            self._fill(row, cells)
        except _Problem as problem:
            row.problem, row.column = str(problem), problem.column
        return row

    def _fill(self, row: LedgerRow, cells: dict[str, Cell]) -> None:
        """Read the cells into the row, the harmless ones first, so that an unreadable row still says much."""
        refund = cells.get("refund_id")
        if blank(refund) and any(_says_total(cell) for cell in cells.values()):
            raise _Problem(self._column("refund_id"), "a totals row, not a refund")
        row.shop = plain_text(cells.get("shop"))
        row.applied_at = moment_text(cells.get("applied_at"), self.table.day_zero)
        platform = row.platform = self._platform(cells)
        row.refund_id = self._read("refund_id", lambda: refund_id_text(refund, platform))
        order_id = self._read("order_id", lambda: id_text(cells.get("order_id")))
        row.order_id = order_id[:64] if order_id else None
        row.currency = "CNY"
        if "currency" in self.columns.positions:
            row.currency = self._read("currency", lambda: currency_code(cells["currency"]))
        row.amount_fen = self._read("amount", lambda: amount_fen(cells["amount"], self.columns.amount_unit))
        if "status" in self.columns.positions:
            status = plain_text(cells["status"])
            if status is None:
                raise _Problem(self._column("status"), "no status")
            row.status = status_of_ledger(platform, status, self.options.status_map)

    def _platform(self, cells: dict[str, Cell]) -> Platform:
        if self.options.platform is not None:
            return self.options.platform
        if "platform" in self.columns.positions:
            return self._read("platform", lambda: platform_name(cells["platform"]))
        return self._read("refund_id", lambda: platform_of_id(cells["refund_id"]))

    def _read(self, field: str, read: Callable[[], T]) -> T:
        try:
            return read()
        except Refused as refused:
            raise _Problem(self._column(field), str(refused)) from None

    def _column(self, field: str) -> str:
        return self.columns.name_of(field) or field


def _says_total(cell: Cell) -> bool:
    return isinstance(cell, str) and (plain_text(cell) or "").lower().strip(":= ") in TOTALS
