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


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"ORC" + bytes(50), "an ORC file"),
        (b"PARE" + bytes(50), "an encrypted Parquet file"),
        (b"a.csv".ljust(257, b"\0") + b"ustar" + bytes(300), "a tar archive: unpack it first"),
    ],
)
@pytest.mark.parametrize("packed", [False, True])
def test_other_kinds_are_named(tmp_path: Path, head: bytes, said: str, packed: bool) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(gzip.compress(head) if packed else head)
    with pytest.raises(InvalidArgumentError, match=rf"^t(.csv)? is {said}"):
        records(path)


def test_what_a_system_puts_into_a_zip_is_not_a_table(tmp_path: Path) -> None:
    path = tmp_path / "t.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("t/refunds.csv", "refund_id,amount_fen\nTQ1,5\n")
        for name in ("t/Thumbs.db", "desktop.ini", "__MACOSX/t/._refunds.csv", "t/.DS_Store"):
            archive.writestr(name, b"x")
    assert [row.refund_id for row in ledger_rows(path)] == ["TQ1"]


@pytest.mark.parametrize("kind", ["string", "large_string", "string_view"])
def test_broken_bytes_in_parquet_cost_their_cell(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "t.parquet"
    raw = {"string": pa.binary(), "large_string": pa.large_binary(), "string_view": pa.binary_view()}[kind]

    def column(*values: bytes) -> Any:
        return pa.array(values, type=raw).view(getattr(pa, kind)())

    pq.write_table(
        pa.table(
            {
                "refund_id": column(b"TQ1", b"TQ\xff"),
                "amount_fen": [5, 6],
                "shop": column("店".encode("gbk"), b""),
            }
        ),
        path,
    )
    assert [row.problem for row in ledger_rows(path)] == [None, "'TQ\ufffd' contains broken bytes"]


def test_lists_and_structures_are_not_values(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"refund_id": [["TQ1"]], "amount_fen": [5]}), path)
    (row,) = ledger_rows(path)
    assert row.problem == "'…' is a list or a structure, not one value"
    pq.write_table(pa.table({"refund_id": ["TQ1"], "amount_fen": [5], "order_id": [["7"]]}), path)
    (row,) = ledger_rows(path)
    assert (row.problem, row.order_id) == (None, None)
