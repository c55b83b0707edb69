"""Fuzzing of what people hand in: cells, columns, CSV and workbooks."""

from __future__ import annotations

import atexit
import contextlib
import csv
import io
import itertools
import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

from hypothesis import strategies as st

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.plans.columns import resolver as plan_resolver
from pandapon_async.plans.options import PlanOptions
from pandapon_async.plans.plan_types import REFUNDS, RETURNS
from pandapon_async.reconcile.columns import resolver as ledger_resolver
from pandapon_async.reconcile.options import Options
from pandapon_async.tables import amounts, cells, moments
from pandapon_async.tables.fields import NAMES
from tests.support.fuzzing import Target, at_once, damaged
from tests.support.tables import open_ledger, whole_table

folder = Path(tempfile.mkdtemp(prefix="pandapon-fuzz-"))
atexit.register(shutil.rmtree, folder, ignore_errors=True)

# --- cells

PATHOLOGICAL = """
    0 -0 1 99 12.5 1e999999999 1e-999999999 -1e-30 0e999999999 0e-999999999 1.10000000000000009 1e15 1e16
    99999999999999.99
"""
CELLS: st.SearchStrategy[Any] = (
    st.text(max_size=30)
    | st.text("0123456789.,-+eE¥元 \t'\"=TQ１２，．", max_size=24)
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.sampled_from([Decimal(text) for text in PATHOLOGICAL.split()])
    | st.datetimes()
    | st.none()
)


FIELDS = [field for kind in (RETURNS, REFUNDS) for field in kind.fields]


def check_cells(cell: Any) -> None:
    """Every cell under every reading: a value, or Refused; amounts and ids as plain arithmetic has them."""
    with at_once():
        readings: list[Callable[[Any], Any]] = [
            cells.plain_text, cells.id_text, cells.platform_name, cells.platform_of_id, cells.currency_code,
            moments.moment_text, lambda it: moments.moment_text(it, date(1904, 1, 1)),
            lambda it: cells.refund_id_text(it, "1688"), lambda it: cells.refund_id_text(it, "taobao"),
            *(lambda it, read=field.read: read(it, "yuan") for field in FIELDS),
        ]  # fmt: skip
        for reading in readings:
            with contextlib.suppress(cells.Refused):
                found = reading(cell)
                assert found is None or not isinstance(found, float)
        amounts = {unit: _amount(cell, unit) for unit in ("fen", "yuan")}
    for unit, fen in amounts.items():
        exact = _exact(cell)
        if fen is not None and exact is not None:
            wanted = exact * (100 if unit == "yuan" else 1)
            # A spreadsheet's number counts as it is shown, with 15 digits; all else counts as it is.
            slack = Fraction(abs(wanted), 10**14) if isinstance(cell, Decimal) else 0
            assert abs(fen - wanted) <= slack, f"{cell!r} in {unit} is {fen}"
    if isinstance(cell, str) and cell.isascii() and cell.isdigit():
        assert cells.id_text(cell) == cell


def _amount(cell: Any, unit: Any) -> int | None:
    try:
        return amounts.amount_fen(cell, unit)
    except cells.Refused:
        return None


def _exact(cell: Any) -> Fraction | None:
    """The number in a cell, by the digits, unless it is too long to be written out."""
    text = cells.tidy(str(cell)).replace(",", "").replace("¥", "").replace(" ", "").replace("\t", "")
    if isinstance(cell, datetime):
        return None
    if isinstance(cell, Decimal) and abs(cell.adjusted()) > 400:
        return Fraction(0) if not cell else None if cell.adjusted() > 0 else Fraction(1, 10**400)
    if isinstance(cell, str) and re.search("[eE]", text):
        return None  # such a text is no amount, and its fraction may fill the memory
    with contextlib.suppress(ValueError, ZeroDivisionError):
        return Fraction(text)
    return None


# --- columns

WORDS = sorted({name for outright, general in NAMES.values() for name in outright | general})
COLUMN_NAMES = st.lists(
    st.sampled_from([*WORDS, "reason_id", "freight_bill", "运单号", "vouchers", "", " "])
    | st.text(max_size=6)
    | st.tuples(st.sampled_from(WORDS), st.sampled_from(["(元)", "_fen", "（分）", "(unit:yuan)"])).map(
        "".join
    ),
    max_size=9,
)
MAPS = st.dictionaries(
    st.sampled_from(["refund_id", "amount", "amount_fen", "amount_yuan", "status", "order_id", "shop", "x"]),
    st.sampled_from([*WORDS, ""]) | st.text(max_size=4),
    max_size=3,
)


def check_columns(case: tuple[list[str], dict[str, str], Any]) -> None:
    """Every header: each field at one column at most and no column twice, or InvalidArgumentError."""
    names, mapping, unit = case
    with at_once():
        for resolve in (_for_ledger, _for_returns, _for_refunds):
            with contextlib.suppress(InvalidArgumentError):
                found = resolve(names, mapping, unit)
                assert len(set(found.positions.values())) == len(found.positions) or mapping
                assert all(0 <= at < len(names) for at in found.positions.values())


def _for_ledger(names: list[str], mapping: dict[str, str], unit: Any) -> Any:
    options = Options(map={k: v for k, v in mapping.items() if k != "x"}, amount_unit=unit)
    return ledger_resolver(options).resolve(names)


def _for_returns(names: list[str], mapping: dict[str, str], unit: Any) -> Any:
    return plan_resolver(RETURNS, PlanOptions(constants=mapping, amount_unit=unit)).resolve(names)


def _for_refunds(names: list[str], mapping: dict[str, str], unit: Any) -> Any:
    return plan_resolver(REFUNDS, PlanOptions(map=mapping, amount_unit=unit)).resolve(names)


# --- tables

_numbers = itertools.count()
CSV_BYTES = st.binary(max_size=200) | damaged(
    st.lists(st.lists(st.text(max_size=8) | st.sampled_from(WORDS), max_size=5), max_size=6).map(
        lambda rows: _as_csv(rows).encode("utf-8", "surrogatepass")
    )
)


def _as_csv(rows: list[list[str]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue()


def _table(data: bytes) -> list[list[Any]] | None:
    """The header and all rows of a file, None if it is refused; as a ledger it is read as well."""
    path = folder / f"case-{next(_numbers) % 8}"
    path.write_bytes(data)
    with at_once():
        try:
            table = whole_table(path)
            header = list(table.columns.names)
            records = list(table.records())
            with contextlib.suppress(InvalidArgumentError):
                ledger = open_ledger(path, amount_unit="fen")
                if ledger.table.columns.names == table.columns.names:
                    rows = len(list(ledger.rows())) + ledger.table.totals + ledger.table.repeated
                    assert rows == len(records), "a row was dropped"
        except InvalidArgumentError:
            return None
    return [header, *(list(record.cells) for record in records)]


def check_bytes(data: bytes) -> None:
    """Every file: a table, or InvalidArgumentError."""
    _table(data)


def check_csv(rows: list[list[str]]) -> None:
    """What was written is what is read, blank lines apart."""
    read = _table(b"\xef\xbb\xbf" + _as_csv(rows).encode())
    kept = [row for row in rows if not all(map(cells.blank, row))]
    assert read is not None
    assert read == kept


@st.composite
def whole_tables(draw: st.DrawFn) -> list[list[str]]:
    """A header and rows of as many cells, in a form in which the comma is the delimiter."""
    letters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters=",;\t\x85\u2028\u2029")
    text = st.text(letters, max_size=8) | st.sampled_from(["a,b", 'say "x"', "退款编号", "1250.00"])
    width = draw(st.integers(2, 5))
    header = [f"column {number}" for number in range(width)]
    rows = st.lists(st.lists(text, min_size=width, max_size=width), max_size=6)
    return [header, *draw(rows)]


SHEET = "xl/worksheets/sheet1.xml"
PARTS = {
    "xl/workbook.xml": '<workbook xmlns:r="r"><sheets><sheet name="s" r:id="a"/></sheets></workbook>',
    "xl/_rels/workbook.xml.rels": (
        '<Relationships><Relationship Id="a" Target="worksheets/sheet1.xml"/></Relationships>'
    ),
    "xl/sharedStrings.xml": (
        "<sst><si><t>zero</t></si><si><t>one</t></si><si><r><t>tw</t></r><r><t>o</t></r></si></sst>"
    ),
}
SHARED = ["zero", "one", "two"]


def workbook(parts: dict[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """The bytes of a workbook of these parts."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file.getvalue()


def sheet(rows: list[list[tuple[str | None, str]]]) -> str:
    """A sheet's XML; each cell is its type and what is written in it."""
    lines = []
    for number, row in enumerate(rows, start=1):
        cells_of_row = "".join(
            f'<c r="{chr(65 + at)}{number}"{"" if kind is None else f" t={quoteattr(kind)}"}>'
            + (f"<is><t>{escape(text)}</t></is>" if kind == "inlineStr" else f"<v>{escape(text)}</v>")
            + "</c>"
            for at, (kind, text) in enumerate(row)
        )
        lines.append(f'<row r="{number}">{cells_of_row}</row>')
    return f"<worksheet><sheetData>{''.join(lines)}</sheetData></worksheet>"


XML_TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"), max_size=8
)
XLSX_CELL = (
    st.tuples(st.just("inlineStr"), XML_TEXT)
    | st.tuples(st.sampled_from([None, "n"]), st.sampled_from([*PATHOLOGICAL.split(), "", "x", "nan", "1_0"]))
    | st.tuples(
        st.just("s"),
        st.sampled_from(["0", "1", "2", "3", "-1", "-2", "x", "99999999999999999999", "+1", "1_0", "٣"]),
    )
    | st.tuples(st.sampled_from(["b", "e", "str", "d", "zz"]), XML_TEXT)
)


@st.composite
def sheets(draw: st.DrawFn) -> list[list[tuple[str | None, str]]]:
    """A header of texts, and rows of all kinds of cells."""
    width = draw(st.integers(1, 4))
    header: list[tuple[str | None, str]] = [("inlineStr", f"column {number}") for number in range(width)]
    return [header, *draw(st.lists(st.lists(XLSX_CELL, min_size=width, max_size=width), max_size=5))]


def check_sheet(rows: list[list[tuple[str | None, str]]]) -> None:
    """Every workbook: the cells that were written, as their types have them; or it is refused."""
    got = _table(workbook({**PARTS, SHEET: sheet(rows)}))
    try:
        wanted: list[list[Any]] | None = [[_slow_cell(*cell) for cell in row] for row in rows]
    except LookupError:
        wanted = None
    if wanted is None:
        assert got is None, "a text that is not there was read"
        return
    assert got is not None
    assert repr(got[1:]) == repr([row for row in wanted[1:] if not all(map(cells.blank, row))])


def _slow_cell(kind: str | None, text: str) -> Any:
    if kind in (None, "n"):
        try:
            return Decimal(text) if text and Decimal(text).is_finite() else text or None
        except ArithmeticError:
            return text
    if kind == "s":
        if text not in ("0", "1", "2"):
            raise LookupError(text)
        return SHARED[int(text)]
    if kind == "b":
        return "TRUE" if text == "1" else "FALSE"
    if kind == "zz":
        raise LookupError(kind)
    return text


XLSX_BYTES = damaged(
    st.tuples(
        sheets(),
        st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]),
    ).map(lambda it: workbook({**PARTS, SHEET: sheet(it[0])}, it[1]))
)


@st.composite
def damaged_parts(draw: st.DrawFn) -> bytes:
    """A sound archive with damage in the XML of one part."""
    parts: dict[str, str | bytes] = {**PARTS, SHEET: sheet(draw(sheets()))}
    name = draw(st.sampled_from(sorted(parts)))
    content = parts[name]
    parts[name] = draw(damaged(st.just(content.encode() if isinstance(content, str) else content)))
    return workbook(parts)


TARGETS: dict[str, Target] = {
    "cells": Target(CELLS, check_cells, 15_000, lambda data: data.decode("utf-8", "replace")),
    "columns": Target(
        st.tuples(COLUMN_NAMES, MAPS, st.sampled_from([None, "fen", "yuan"])), check_columns, 6_000
    ),
    "CSV": Target(CSV_BYTES, check_bytes, 6_000, bytes),
    "CSV, as written": Target(whole_tables(), check_csv, 4_000),
    "workbooks": Target(XLSX_BYTES, check_bytes, 4_000, bytes),
    "workbooks, their XML": Target(damaged_parts(), check_bytes, 4_000),
    "workbooks, as written": Target(sheets(), check_sheet, 4_000),
}
