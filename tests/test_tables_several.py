"""A folder or a pattern of files is one table: which files, in what order, and where each row stands."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as arrow
import pytest
from pyarrow import parquet

from pandapon_async import InvalidArgumentError
from pandapon_async.reconcile import Options, merge, preview, reconcile, run_part, split
from pandapon_async.reconcile.outputs import VARYING, rows_digest
from pandapon_async.sandbox import Sandbox
from pandapon_async.tables import file_set
from pandapon_async.tables.open import file_digest
from tests.support.command import Shell
from tests.support.tables import ledger_rows, open_ledger
from tests.support.virtual import virtual_time
from tests.test_reconcile_job import AS_OF, FreshClock, client, read_rows, sandbox, write_ledger

HEAD = "platform,refund_id,amount_fen\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two parts, and what jobs leave beside them."""
    folder = tmp_path / "ledger"
    (folder / "_temporary").mkdir(parents=True)
    part(folder / "part-0002.csv", "TQ22", "TQ33")
    part(folder / "part-0001.csv", "TQ11")
    for name in (
        "_SUCCESS",
        ".part-0001.csv.crc",
        "part-0003.csv.tmp",
        ".ledger.csv.0123456789abcdef.partial",
    ):
        (folder / name).write_text("")
    (folder / "README.md").write_text("what this is")
    return folder


def part(path: Path, *refunds: str) -> Path:
    path.write_text(HEAD + "".join(f"1688,{refund},100\n" for refund in refunds))
    return path


def refused(path: Path, **options: str) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        open_ledger(path, **options)
    return str(caught.value)


def test_the_rows_of_all_files_follow_each_other(folder: Path) -> None:
    reader = open_ledger(folder)
    assert [(row.row, row.refund_id) for row in reader.rows()] == [
        (10_000_002, "TQ11"),
        (20_000_002, "TQ22"),
        (20_000_003, "TQ33"),
    ]
    assert reader.table.place(20_000_003) == "row 3 of part-0002.csv"
    assert reader.notes() == [
        "files read: part-0001.csv, part-0002.csv; rows are numbered by file: 20000002 is row 2 of "
        "part-0002.csv",
        "not read: .ledger.csv.0123456789abcdef.partial, .part-0001.csv.crc, README.md, _SUCCESS, "
        "_temporary/ and 1 more",
    ]


def test_a_pattern_names_files_in_several_folders(tmp_path: Path) -> None:
    for day in ("02", "01"):
        (tmp_path / f"dt={day}").mkdir()
        part(tmp_path / f"dt={day}" / "refunds.csv", f"TQ{day}")
        (tmp_path / f"dt={day}" / "_SUCCESS").write_text("")
    reader = open_ledger(tmp_path / "dt=*" / "*")
    assert [row.refund_id for row in reader.rows()] == ["TQ01", "TQ02"]
    assert reader.table.files == ("dt=01/refunds.csv", "dt=02/refunds.csv")
    assert reader.notes()[1] == "not read: dt=01/_SUCCESS, dt=02/_SUCCESS"
    hint = refused(tmp_path)
    assert "has no .csv or .parquet file, only dt=01/, dt=02/" in hint
    assert f"'{tmp_path}/*/*.csv'" in hint
    assert refused(tmp_path / "*.parquet") == f"no file matches {tmp_path}/*.parquet"


def test_a_name_with_the_signs_of_a_pattern_is_that_file(tmp_path: Path) -> None:
    path = part(tmp_path / "refunds[1].csv", "TQ1")
    part(tmp_path / "refunds1.csv", "TQ2")
    reader = open_ledger(path)
    assert [(row.row, row.refund_id) for row in reader.rows()] == [(2, "TQ1")]
    assert (reader.notes(), file_digest(path)) == ([], file_digest(path.rename(tmp_path / "other.csv")))


def test_parquet_and_packed_files(tmp_path: Path) -> None:
    (tmp_path / "typed").mkdir()
    for number in (1, 2):
        columns = {"platform": ["1688"], "refund_id": [f"TQ{number}"], "amount_fen": [100]}
        parquet.write_table(arrow.table(columns), tmp_path / "typed" / f"part-{number}.snappy.parquet")
    assert [row.refund_id for row in ledger_rows(tmp_path / "typed")] == ["TQ1", "TQ2"]
    (tmp_path / "packed").mkdir()
    plain = part(tmp_path / "a.csv", "TQ5")
    for name in ("a.csv.gz", "b.csv.gz"):
        (tmp_path / "packed" / name).write_bytes(gzip.compress(plain.read_bytes()))
    assert [row.row for row in ledger_rows(tmp_path / "packed")] == [10_000_002, 20_000_002]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("platform,refund_id,amount_yuan\n1688,TQ5,1\n", "column 3 is amount_fen and amount_yuan"),
        ("refund_id,platform,amount_fen\nTQ5,1688,1\n", "column 1 is platform and refund_id"),
        ("platform,refund_id,amount_fen,status\n1688,TQ5,1,\n", "only part-0003.csv has status"),
    ],
)
def test_files_with_other_columns_are_refused_with_both_names(folder: Path, content: str, said: str) -> None:
    (folder / "part-0003.csv").write_text(content)
    text = refused(folder)
    assert text.startswith("part-0001.csv and part-0003.csv differ in their column names: ")
    assert said in text


def _empty(path: Path) -> None:
    path.with_name("part-0003.csv").write_text("")


def _workbook(path: Path) -> None:
    path.with_name("part-0003.xlsx").write_bytes(b"PK\x03\x04")


def _other_format(path: Path) -> None:
    parquet.write_table(
        arrow.table({"platform": ["1688"], "refund_id": ["TQ1"], "amount_fen": [1]}),
        path.with_name("part-0003.parquet"),
    )


def _html(path: Path) -> None:
    path.with_name("part-0003.csv").write_text("<html><table><tr><td>refund_id")


@pytest.mark.parametrize(
    ("add", "said"),
    [
        (_empty, "part-0003.csv is empty"),
        (_workbook, "part-0003.xlsx is a workbook: the files of one table must be CSV or Parquet"),
        (_other_format, "part-0001.csv is csv, and part-0003.parquet is parquet"),
        (_html, "part-0003.csv is a web page"),
    ],
)
def test_a_file_that_cannot_be_read_along_is_refused(
    folder: Path, add: Callable[[Path], None], said: str
) -> None:
    add(folder / "part-0001.csv")
    assert said in refused(folder)


def test_a_part_without_rows_is_read_and_a_ledger_without_any_is_refused(folder: Path) -> None:
    (folder / "part-0000.csv").write_text(HEAD)
    assert [row.row for row in ledger_rows(folder)] == [20_000_002, 30_000_002, 30_000_003]
    for path in folder.glob("part-*.csv"):
        path.write_text(HEAD)
    with pytest.raises(InvalidArgumentError, match="has no rows below its column names"):
        preview(folder)


def test_a_file_with_too_many_rows_to_number_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pandapon_async.tables.files_table.SPAN", 3)
    with pytest.raises(InvalidArgumentError, match=r"part-0002\.csv has 3 rows or more"):
        ledger_rows(folder)
    monkeypatch.setattr(file_set, "MOST_FILES", 1)
    assert "has 2 files; one table can have at most 1" in refused(folder)


def test_the_digest_is_of_all_files_and_their_names(folder: Path) -> None:
    seen = {file_digest(folder)}
    (folder / "_SUCCESS").write_text("no part")
    assert file_digest(folder) in seen
    for change in (
        lambda: part(folder / "part-0002.csv", "TQ22", "TQ34"),
        lambda: part(folder / "part-0004.csv"),
        lambda: (folder / "part-0001.csv").rename(folder / "part-0005.csv"),
        lambda: (folder / "part-0004.csv").unlink(),
    ):
        change()
        seen.add(file_digest(folder))
    assert len(seen) == 5


def test_a_part_that_comes_while_the_ledger_is_read_ends_the_run(folder: Path, tmp_path: Path) -> None:
    @virtual_time
    async def run() -> None:
        async with sandbox(3) as server, client(server) as pandapon:
            ledger = open_ledger(folder).table.path
            assert ledger == folder
            with pytest.MonkeyPatch.context() as patch:
                from pandapon_async.reconcile import reading

                def later(path: Path, check: Callable[[], None]) -> str:
                    part(folder / "part-0009.csv", "TQ99")
                    return file_digest(path, check)

                patch.setattr(reading, "file_digest", later)
                with pytest.raises(InvalidArgumentError, match="ledger was changed while it was read"):
                    await reconcile(pandapon, folder, tmp_path / "out")

    run()


def _cut(ledger: Path, folder: Path, count: int) -> Path:
    head, *lines = ledger.read_text("utf-8").splitlines(keepends=True)
    folder.mkdir()
    for at in range(count):
        (folder / f"part-{at:03}.csv").write_text(
            head + "".join(lines[at * len(lines) // count : (at + 1) * len(lines) // count]), "utf-8"
        )
    return folder


def _results(out: Path) -> list[list[str]]:
    with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
        return [cells[:-VARYING] for cells in csv.reader(file)]


@virtual_time
async def test_a_ledger_in_files_is_judged_as_the_whole_and_in_parts(tmp_path: Path) -> None:
    async with sandbox(60) as server, client(server) as pandapon:
        one = write_ledger(tmp_path / "ledger.csv", server)
        with one.open("a", encoding="utf-8") as file:
            file.write(f"{one.read_text('utf-8').splitlines()[1]}\n")  # its refund is in the first file
        files = _cut(one, tmp_path / "files", 3)
        options = Options(as_of=AS_OF)
        alone = await reconcile(pandapon, one, tmp_path / "one", options=options)
        several = await reconcile(pandapon, files, tmp_path / "several", options=options)
        await split(files, tmp_path / "parts", 4, options=options, clock=FreshClock())
        for number in range(1, 5):
            await run_part(pandapon, tmp_path / "parts", number)
        merged = await merge(tmp_path / "parts", tmp_path / "merged", options=options, clock=FreshClock())
    assert _results(tmp_path / "merged") == _results(tmp_path / "several")
    assert several.verdicts == alone.verdicts == merged.verdicts
    assert several.ledger["files"] == ["part-000.csv", "part-001.csv", "part-002.csv"]
    rows = read_rows(tmp_path / "several")
    assert [(row["row"], row["file"]) for row in (rows[0], rows[-1])] == [
        ("10000002", "part-000.csv"),
        ("30000022", "part-002.csv"),
    ]
    assert rows[-1]["reason"] == "the same refund as row 10000002"
    with (tmp_path / "several" / "exceptions.csv").open(encoding="utf-8-sig", newline="") as listed:
        last = list(csv.DictReader(listed))[-1]
    assert (last["reason"], last["file"]) == ("the same refund as row 2 (part-000.csv)", "part-002.csv")
    assert rows_digest(tmp_path / "several" / "rows.csv") == several.rows_digest
    frame = parquet.read_table(tmp_path / "several" / "rows.parquet")
    assert frame.column("file").to_pylist() == [row["file"] for row in rows]


async def test_the_command_with_a_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, folder: Path
) -> None:
    shell = Shell(monkeypatch, capsys, tmp_path)
    part(folder / "part-0003.csv", "TQ44", "nonsense")
    async with Sandbox(refunds=5) as server:
        shell.use(server)
        looked = await shell.beside("reconcile", "ledger", "--dry-run", "--no-json")
        as_json = await shell.beside("reconcile", "ledger/*.csv", "--dry-run", "--json")
        inside = await shell.beside("reconcile", "ledger", "--out", "ledger")
    assert (looked.code, as_json.code) == (1, 1)
    assert "row 3 of part-0003.csv, column refund_id: " in looked.out
    found = json.loads(as_json.out)
    assert (found["rows"], found["files"][0]) == (5, "part-0001.csv")
    assert (inside.code, "ledger holds the files of the ledger" in inside.err) == (2, True)
