"""Round trips: what csv, openpyxl, xlsxwriter, pyarrow and polars write is read as the same, or refused."""

from __future__ import annotations

import csv
import importlib
import re
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any

import openpyxl
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.cells import Cell, blank
from tests.support.examples import examples
from tests.support.tables import records

xlsxwriter = importlib.import_module("xlsxwriter")  # has no types

REFUSED = re.compile("swallow rows|not closed properly")
_few = settings(
    max_examples=examples(20, 200), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

LETTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff\ufeff")
TEXT = st.text(LETTERS | st.sampled_from("\",\t; \n|'`=#TQ0123456789¥元"), max_size=24)
WORD = st.sampled_from(
    ["TQ100000000000000001", "2544000000000000103", "12.50元", "#N/A", "合计", "无", "1,250.00", ""]
)
ROWS = st.integers(2, 5).flatmap(
    lambda width: st.lists(st.lists(TEXT | WORD, min_size=width, max_size=width), min_size=1, max_size=6)
)
YUAN = st.decimals(min_value=-(10**9), max_value=10**9, places=2, allow_nan=False)
WHOLE = st.integers(-(2**63), 2**63 - 1)
TIME = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2199, 1, 1))


def filled(rows: list[list[Any]]) -> list[list[Any]]:
    return [row for row in rows if not all(map(blank, row))]


def header(rows: list[list[Any]]) -> list[str]:
    return [f"column {'abcdefgh'[at]}" for at in range(len(rows[0]))]


def read(path: Path) -> list[list[Cell]]:
    return [list(record.cells) for record in records(path)]


def read_or_refused(path: Path) -> tuple[list[list[Cell]], str]:
    """The cells; or why the file is refused, which must be for what rows could be swallowed in."""
    try:
        return read(path), ""
    except InvalidArgumentError as error:
        said = str(error)
    assert REFUSED.search(said)
    return [], said


@given(
    rows=ROWS, delimiter=st.sampled_from(",\t;|"), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
)
@_few
def test_csv(tmp_path: Path, rows: list[list[str]], delimiter: str, quoting: Any) -> None:
    path = tmp_path / "t.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter, quoting=quoting).writerows([header(rows), *rows])
    found, refusal = read_or_refused(path)
    assert found == filled(rows) or (refusal and any("\n" in cell for row in rows for cell in row))


@given(rows=ROWS, encoding=st.sampled_from(["gb18030", "utf-16", "utf-8"]))
@_few
def test_csv_in_other_encodings(tmp_path: Path, rows: list[list[str]], encoding: str) -> None:
    rows = [["".join(cell.split()).replace('"', "") for cell in row] for row in rows]
    path = tmp_path / "t.csv"
    with path.open("w", encoding=encoding, newline="") as file:
        csv.writer(file).writerows([["列甲", *header(rows)[1:]], *rows])
    assert read(path) == filled(rows)


def of_number(value: Any) -> Cell:
    """What a workbook's number comes to: 15 digits of it are sure."""
    if isinstance(value, str) or value is None:
        return value or None
    return Context(prec=15).create_decimal(value if isinstance(value, Decimal) else repr(float(value)))


CELLS: st.SearchStrategy[Any] = (
    TEXT.filter(lambda text: not text.startswith("=")) | WORD | st.none() | st.integers(-(10**14), 10**14)
)
CELLS |= st.integers(-(10**11), 10**11).map(lambda fen: fen / 100)
SHEET = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(CELLS, min_size=width, max_size=width), min_size=1, max_size=6)
)


def same(found: list[list[Cell]], rows: list[list[Any]]) -> bool:
    return [[*map(of_number, row)] for row in found] == [[*map(of_number, row)] for row in filled(rows)]


@given(rows=SHEET)
@_few
def test_openpyxl(tmp_path: Path, rows: list[list[Any]]) -> None:
    book = openpyxl.Workbook()
    for at, row in enumerate([header(rows), *rows], start=1):
        for place, cell in enumerate(row, start=1):
            written: Any = book.worksheets[0].cell(at, place)
            if isinstance(cell, str):
                written.value = cell
                written.data_type = "s"  # "#N/A" is a text here
            else:
                written.value = cell
    path = tmp_path / "t.xlsx"
    book.save(path)
    assert same(read(path), rows)


@given(rows=SHEET, shared=st.booleans())
@_few
def test_xlsxwriter(tmp_path: Path, rows: list[list[Any]], shared: bool) -> None:
    path = tmp_path / "t.xlsx"
    book = xlsxwriter.Workbook(path, {"constant_memory": not shared})
    sheet = book.add_worksheet()
    for at, row in enumerate([header(rows), *rows]):
        for place, cell in enumerate(row):
            if isinstance(cell, str):
                sheet.write_string(at, place, cell)
            elif cell is not None:
                sheet.write_number(at, place, cell)
    book.close()
    found = read(path)
    numbers = [[Decimal(repr(float(c))) if isinstance(c, Decimal) else c for c in row] for row in found]
    assert same(numbers, rows)


@given(
    ids=st.lists(st.none() | WHOLE, min_size=1, max_size=6),
    yuan=YUAN,
    scale=st.integers(2, 12),
    moment=TIME,
    text=TEXT,
)
@_few
def test_pyarrow(
    tmp_path: Path, ids: list[int | None], yuan: Decimal, scale: int, moment: datetime, text: str
) -> None:
    path = tmp_path / "t.parquet"
    count = len(ids)
    aware = moment.replace(tzinfo=UTC)
    columns = {
        "whole": pa.array(ids, pa.int64()),
        "amount": pa.array([yuan] * count, pa.decimal128(30, scale)),
        "wide": pa.array([yuan] * count, pa.decimal256(60, scale)),
        "naive": pa.array([moment] * count, pa.timestamp("us")),
        "aware": pa.array([aware] * count, pa.timestamp("us", "Asia/Shanghai")),
        "text": pa.array([text] * count, pa.large_string()),
        "word": pa.array([text] * count).dictionary_encode(),
    }
    pq.write_table(pa.table(columns), path, row_group_size=2)
    found = read(path)
    assert [row[0] for row in found] == ids
    for row in found:
        assert Decimal(str(row[1])) == Decimal(str(row[2])) == yuan
        assert row[3:] == [moment, aware, text, text]


@given(
    rows=st.lists(st.tuples(TEXT, st.none() | WHOLE, YUAN, st.none() | TIME), min_size=1, max_size=6),
    compression=st.sampled_from(["zstd", "snappy", "uncompressed"]),
)
@_few
def test_polars(tmp_path: Path, rows: list[tuple[Any, ...]], compression: Any) -> None:
    path = tmp_path / "t.parquet"
    schema: dict[str, Any] = {
        "text": pl.String,
        "whole": pl.Int64,
        "yuan": pl.Decimal(38, 4),
        "when": pl.Datetime("us"),
    }
    frame = pl.DataFrame([list(row) for row in rows], schema=schema, orient="row")
    frame.write_parquet(path, compression=compression)
    for found, (text, whole, yuan, when) in zip(read(path), rows, strict=True):
        assert (found[0], found[1], found[3]) == (text, whole, when)
        assert Decimal(str(found[2])) == yuan
    frame.select("text", "whole").write_csv(tmp_path / "t.csv")
    kept = [[text, "" if whole is None else str(whole)] for text, whole, _, _ in rows]
    again, refusal = read_or_refused(tmp_path / "t.csv")
    assert again == filled(kept) or (refusal and any("\n" in text for text, *_ in rows))


@pytest.mark.parametrize("days", [-(10**6), 3 * 10**6])
def test_days_that_no_calendar_has_are_nothing(tmp_path: Path, days: int) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"day": pa.array([days, 19_000], pa.int32()).cast(pa.date32())}), path)
    assert read(path) == [[None], [datetime(1970, 1, 1) + timedelta(days=19_000)]]
