"""Convert the records of a table to rows of a plan: each becomes one row, planned or refused.

These checks need no network: cells, images, and the rules of the call's declaration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from pandapon_async.core.freight import FreightReading, total_fen, totals_fen
from pandapon_async.declare.arguments import encode_arguments
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.journal.writes import natural_key
from pandapon_async.plans.plan_types import PlanType
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.voucher_files import Pictures, PlannedPicture
from pandapon_async.tables.cells import CERTAIN_ID, Cell, Refused, id_text, shown
from pandapon_async.tables.columns import Columns
from pandapon_async.tables.table import Record, Table

__all__ = ["RowParser", "encode_row", "whose_row"]

UNRESOLVED = 1
"""A placeholder for a reason's id while only its name is known; checked like an id, never sent."""


class _Problem(Exception):
    """The first problem of a row: the field and the reason."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


def encode_row(plan_type: PlanType, row: PlanRow) -> dict[str, Any]:
    """Return the row's encoded arguments, with images as digests. Raises InvalidArgumentError."""
    given = dict(row.arguments)
    if row.pictures:
        given["vouchers"] = row.pictures
    return encode_arguments(plan_type.endpoint.parameters, given)


def whose_row(
    plan_type: PlanType, cells: Mapping[str, Cell], route: Callable[[str | None, str | None], str]
) -> str:
    """Return the account of a row. Raises InvalidArgumentError if it cannot be determined."""
    said: list[str | None] = []
    for field in plan_type.fields:
        if field.name in ("account", "shop"):
            try:
                said.append(field.value(cells[field.name], None) if field.name in cells else None)
            except Refused as refused:
                raise InvalidArgumentError(str(refused), argument=field.name) from None
    shop, account = said
    return route(account, shop)


@attrs.frozen
class RowParser:
    """Reads the rows of one table."""

    plan_type: PlanType
    table: Table
    columns: Columns
    pictures: Pictures
    freight: FreightReading = "ask"
    account: str | None = None
    """The account of the plan."""
    route: Callable[[str | None, str | None], str] | None = None
    """A function that returns the account of a row; None if all rows have one account."""

    def rows(self) -> Iterator[tuple[PlanRow, list[PlannedPicture]]]:
        """Iterate over all rows with their images, in order."""
        fields = list(self.columns.positions)
        for record in self.table.records():
            cells = dict(zip(fields, record.cells, strict=False))
            if self.route is None or whose_row(self.plan_type, cells, self.route) == self.account:
                yield self._row(record, cells)

    def _row(self, record: Record, cells: Mapping[str, Cell]) -> tuple[PlanRow, list[PlannedPicture]]:
        row = PlanRow(row=record.row)
        found: list[PlannedPicture] = []
        try:
            if record.problem is not None:
                self._keep_id(row, cells)
                raise _Problem("", record.problem)
            values, problem = self._values(cells)
            row.shop = values.pop("shop", None)
            account = values.pop("account", None)
            if self.route is None and account is not None and account != self.account:
                problem = problem or _Problem("account", f"it belongs to account {shown(account)}")
            paths = values.pop("vouchers", None)
            self._keep(row, values)
            if problem is not None:
                raise problem
            found = self._pictures(paths)
            row.pictures = [picture.digest for picture in found]
            for number, picture in enumerate(found, start=1):
                if picture.note is not None:
                    row.add_remark(f"image {number}: {picture.note}")
            self._fill(row, values)
        except _Problem as problem:
            row.state, row.reason = RowState.REFUSED, str(problem)
            row.column = self.columns.name_of(problem.field) if problem.field else ""
            self._forget(row)
        return row, found

    def _keep(self, row: PlanRow, values: Mapping[str, Any]) -> None:
        """Put the values into the row. If it is refused, its ids and its amount are shown."""
        row.currency = values.get("currency")
        for field in self.plan_type.fields:
            value = values.get(field.name)
            if field.argument is not None and value is not None:
                row.arguments[field.argument] = value
        if self.plan_type.amount is not None:
            row.amount_fen = row.arguments.get(self.plan_type.amount)

    def _keep_id(self, row: PlanRow, cells: Mapping[str, Cell]) -> None:
        """Keep the id of a row with shifted columns if it is certainly one; no other cell is trusted."""
        name = self.plan_type.identified_by[0]
        try:
            text = id_text(cells.get(name))
        except Refused:
            return
        if text is not None and CERTAIN_ID.fullmatch(text):
            row.arguments[name] = text

    def _forget(self, row: PlanRow) -> None:
        """Drop values that the call does not accept: with shifted columns they may be a name."""
        for parameter in self.plan_type.endpoint.parameters:
            if parameter.name in row.arguments:
                try:
                    parameter.rule.encode(row.arguments[parameter.name])
                except ValueError:
                    del row.arguments[parameter.name]

    def _values(self, cells: Mapping[str, Cell]) -> tuple[dict[str, Any], _Problem | None]:
        """Return the value of each field, from its cell or the value for all rows, and the first problem."""
        values: dict[str, Any] = {}
        problem: _Problem | None = None
        for field in self.plan_type.fields:
            if field.name not in cells:
                values[field.name] = self.columns.constants.get(field.name, field.default)
                continue
            try:
                values[field.name] = field.value(cells[field.name], self.columns.units.get(field.name))
            except Refused as refused:
                problem = problem or _Problem(field.name, str(refused))
        return values, problem

    def _pictures(self, cell: str | None) -> list[PlannedPicture]:
        if cell is None:
            return []
        try:
            return self.pictures.of_cell(cell)
        except Refused as refused:
            raise _Problem("vouchers", str(refused)) from None

    def _fill(self, row: PlanRow, values: dict[str, Any]) -> None:
        row.reason_text = values.get("reason")
        if row.reason_text is not None and "apply_reason_id" not in row.arguments:
            row.arguments["apply_reason_id"] = UNRESOLVED
        else:
            row.reason_text = None
        encoded = self._encoded(row)
        if row.reason_text is not None:
            del row.arguments["apply_reason_id"]
        else:
            row.key = natural_key(self.plan_type.endpoint, encoded)
        if self.plan_type.amount is not None:
            payment, carriage = row.arguments[self.plan_type.amount], row.arguments["apply_carriage"]
            row.amount_fen = total_fen(payment, carriage, self.freight)
            self._check_freight(payment, carriage)
            row.touches = [f"{row.arguments['order_id']}/{line}" for line in row.arguments["order_entry_ids"]]

    def _check_freight(self, payment: int, carriage: int) -> None:
        totals = totals_fen(payment, carriage, self.freight)
        if len(totals) > 1:
            told = ", or ".join(f"{total} fen if freight is {reading}" for reading, total in totals.items())
            raise _Problem(
                "apply_carriage",
                f"comes to {told}, and the reading is not set; use --freight added or --freight included",
            )

    def _encoded(self, row: PlanRow) -> dict[str, Any]:
        try:
            return encode_row(self.plan_type, row)
        except InvalidArgumentError as error:
            field = next((field for field in self.plan_type.fields if field.argument == error.argument), None)
            if field is None:
                raise _Problem("", str(error)) from None
            value = row.arguments.get(field.argument or "")
            text = ", ".join(map(str, value)) if isinstance(value, list) else str(value or "")
            quoted = f"{shown(text)}: " if text and field.may_quote(text) else ""
            raise _Problem(field.name, f"{quoted}{error}") from None
