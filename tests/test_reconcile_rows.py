"""Rows that a program gives are read by the rules of files, and results come as an iterator."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars
import pyarrow
import pytest

from pandapon_async import Client, ConfigurationError, InvalidArgumentError, Settings, plans
from pandapon_async.reconcile import Options, Verdict, preview, reconcile
from pandapon_async.sandbox import Sandbox
from pandapon_async.tables.given import table_file
from tests.support.command import Shell

AS_OF = datetime(2023, 8, 16, tzinfo=UTC)


def ledger(sandbox: Sandbox) -> Iterator[dict[str, Any]]:
    return iter(sandbox.ledger_rows())


def frame(sandbox: Sandbox) -> polars.DataFrame:
    return polars.DataFrame(list(sandbox.ledger_rows()))


def table(sandbox: Sandbox) -> pyarrow.Table:
    return pyarrow.Table.from_pylist(list(sandbox.ledger_rows()))


@pytest.mark.parametrize("rows", [ledger, frame, table])
async def test_rows_of_a_program_give_the_verdicts_that_were_planted(tmp_path: Path, rows: Any) -> None:
    async with Sandbox(refunds=60, seed=7) as sandbox:
        settings = Settings(base_url=sandbox.base_url, rate=None)
        async with Client(sandbox.credentials, settings) as client:
            summary = await reconcile(client, rows(sandbox), tmp_path, options=Options(as_of=AS_OF))
        truth = list(sandbox.truth())
    found: list[Any] = await asyncio.to_thread(list, summary.results())
    assert [str(one.judgement.verdict) for one in found] == truth
    assert len({one.row.row for one in found}) == 60
    assert all(one.lookup is not None for one in found if one.judgement.verdict is Verdict.MATCHED)
    assert summary.ledger["name"].startswith("rows.")


async def test_results_of_a_run_whose_state_is_gone(tmp_path: Path) -> None:
    async with Sandbox(refunds=3, seed=7) as sandbox:
        client = Client(sandbox.credentials, Settings(base_url=sandbox.base_url, rate=None))
        async with client:
            summary = await reconcile(client, ledger(sandbox), tmp_path)
    assert summary.state is not None
    await asyncio.to_thread(summary.state.unlink)
    with pytest.raises(ConfigurationError, match="run the reconciliation again"):
        await asyncio.to_thread(list, summary.results())


def test_a_frame_with_float_ids_is_refused_as_a_file_is() -> None:
    facts = {"amount_fen": [5], "platform": ["taobao"]}
    found = preview(polars.DataFrame({"refund_id": ["110842842426"], **facts}))
    assert (found.lookups, found.ledger_fen) == (1, {"CNY": 5})
    wide = preview(polars.DataFrame({"refund_id": [2542285634920880794.0], **facts}))
    assert (wide.lookups, wide.unreadable) == (0, 1)
    narrow = polars.DataFrame(
        {"refund_id": [110842842426.0], **facts}, schema_overrides={"refund_id": polars.Float32}
    )
    with pytest.raises(InvalidArgumentError, match="float32"):
        preview(narrow)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"refund_id": 2.5e18, "amount_fen": 5},
            "row 2, column refund_id: 2.5e+18 is a float; pass ids as text",
        ),
        ({"refund_id": "1", "amount_fen": True}, "row 2, column amount_fen: True is a bool"),
        ({"refund_id": "1", "amount_fen": [1]}, "row 2, column amount_fen: a list is not a value of a table"),
        ({"refund_id": "1", "new": 1}, "row 2 has the column new, which row 1 does not have"),
    ],
)
def test_what_is_not_a_row(row: dict[str, Any], message: str) -> None:
    rows = [{"refund_id": "1", "amount_fen": 1}, row]
    with pytest.raises(InvalidArgumentError) as caught, table_file(rows):
        raise AssertionError
    assert message in str(caught.value)


def test_values_of_a_row_are_written_as_they_are(tmp_path: Path) -> None:
    moment = datetime(2024, 5, 1, tzinfo=UTC)
    row = {"a": "=1\nb", "b": 2542285634920880794, "c": Decimal("1E+2"), "d": None, "e": moment}
    with table_file([row]) as path:
        text = path.read_bytes().decode()
    assert text == "a,b,c,d,e\r\n=1 b,2542285634920880794,100,,2024-05-01T00:00:00+00:00\r\n"
    assert not path.exists()
    with table_file(tmp_path / "x.csv") as same:
        assert same == tmp_path / "x.csv"


async def test_a_plan_is_made_of_mappings(tmp_path: Path) -> None:
    async with Sandbox(refunds=5, seed=7) as sandbox:
        settings = Settings(base_url=sandbox.base_url, rate=None, journal=tmp_path / "j.sqlite")
        async with Client(sandbox.credentials, settings) as client:
            rows = [
                {
                    "refund_id": "TQ200000001442695041",
                    "logistics_company_no": "YTO",
                    "freight_bill": "YT123456789012",
                }
            ]
            made = await plans.create(client, "returns", rows, None)
    assert made.rows == 1


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def test_a_dry_run_reads_and_counts_and_needs_no_credentials(shell: Shell) -> None:
    lines = ["platform,refund_id,amount_fen", "taobao,1101,5", "taobao,1101,5", "taobao,1102,x", "1688,TQ1,7"]
    (shell.folder / "ledger.csv").write_text("\n".join(lines), encoding="utf-8")
    ended = shell("reconcile", "ledger.csv", "--dry-run", "--no-json")
    assert ended.code == 1
    assert "ledger.csv: 4 rows, amounts in fen" in ended.out
    assert "to look up: 2 (taobao 1, 1688 1); worth ¥0.12" in ended.out
    assert "duplicates: 1; unreadable: 1" in ended.out
    assert "row 4, column amount_fen: 'x' is not" in ended.out
    assert sorted(path.name for path in shell.folder.iterdir()) == ["ledger.csv"]
    assert '"lookups": 2' in shell("reconcile", "ledger.csv", "--dry-run").out
    assert shell("reconcile", "ledger.csv").err == (
        "error: --out: name a folder for the results with --out, or use --dry-run\n"
        "see `pandapon reconcile --help`\n"
    )


async def test_a_folder_that_cannot_be_made_is_told_with_2(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shell.folder / "ledger.csv").write_text("platform,refund_id,amount_fen\ntaobao,1101,5", encoding="utf-8")

    def refuse(path: Path, **_: Any) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    async with Sandbox(refunds=1) as sandbox:
        shell.use(sandbox)
        monkeypatch.setattr(Path, "mkdir", refuse)
        ended = await shell.beside("reconcile", "ledger.csv", "--out", "out")
    assert (ended.code, ended.err) == (
        2,
        "error: out cannot be created: Permission denied; choose another --out\n",
    )
