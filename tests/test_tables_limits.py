"""What is unpacked has a limit, which is stated where it is met; nothing is left behind."""

from __future__ import annotations

import gzip
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables import kinds, parquet_file, xlsx_file, xlsx_package
from tests.support.fuzz_ledgers import PARTS, SHEET, sheet, workbook
from tests.support.tables import ledger_rows, records, whole_table

ROWS = sheet([[("s", "0"), ("s", "1")], [("s", "2"), ("n", "1")]])


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def test_shared_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(workbook({**PARTS, SHEET: ROWS}))
    assert len(records(path)) == 1
    monkeypatch.setattr(xlsx_package, "LARGEST_TEXTS", 40)
    with pytest.raises(
        InvalidArgumentError, match=r"sharedStrings.xml is 0 MB unpacked, more than the limit of 0 MB"
    ):
        records(path)


def test_cells(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.xlsx"
    path.write_bytes(workbook({**PARTS, SHEET: ROWS}))
    monkeypatch.setattr(xlsx_file, "MOST_CELLS", 3)
    with pytest.raises(InvalidArgumentError, match="damaged workbook"):
        records(path)


def test_a_part_is_never_larger_than_it_says(tmp_path: Path) -> None:
    """The limit looks at the size that the archive states; the archive stops reading there."""
    path = tmp_path / "t.xlsx"
    data = bytearray(workbook({**PARTS, SHEET: ROWS}, zipfile.ZIP_DEFLATED))
    at = data.rindex(b"PK\x01\x02", 0, data.rindex(SHEET.encode()))
    data[at + 24 : at + 28] = (30).to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(InvalidArgumentError, match="damaged workbook"):
        records(path)


def test_packed_tables(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(b"refund_id,amount_fen\nTQ1,5\n" + b"\n" * 50_000))
    assert [row.refund_id for row in ledger_rows(path)] == ["TQ1"]
    assert not list(temporary.iterdir())
    monkeypatch.setattr(kinds, "LARGEST_UNPACKED", 1 << 14)
    with pytest.raises(InvalidArgumentError, match="exceeds the limit of 0 GB unpacked"):
        whole_table(path)
    assert not list(temporary.iterdir())


def test_what_is_packed_and_cannot_be_read_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    path = tmp_path / "t.gz"
    path.write_bytes(gzip.compress(gzip.compress(b"refund_id,amount_fen\nTQ1,5\n")))
    with pytest.raises(InvalidArgumentError, match="packed twice"):
        whole_table(path)
    path.write_bytes(gzip.compress(b"%PDF-1.7"))
    with pytest.raises(InvalidArgumentError, match="t is a PDF"):
        whole_table(path)
    assert not list(temporary.iterdir())


def test_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.parquet"
    table: Any = pa.table(
        {"refund_id": ["TQ1"] * 1000, "amount_fen": range(1000), "other": ["x" * 50_000] * 1000}
    )
    pq.write_table(table, path, row_group_size=500, use_dictionary=False)
    monkeypatch.setattr(parquet_file, "LARGEST_GROUP", 10_000)
    assert len(ledger_rows(path, map={"amount_fen": "amount_fen"})) == 1000  # the other column is not read
    with pytest.raises(InvalidArgumentError, match=r"row group 1 has .* MB unpacked in the columns to read"):
        records(path)


def test_the_rows_of_a_parquet_are_not_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"refund_id": ["TQ1"] * 30_000, "amount_fen": [5] * 30_000}), path)
    assert len(ledger_rows(path)) == 30_000
