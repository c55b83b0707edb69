"""A night on which 100,000 rows need attention: what the reports hold and leave out, how large they get."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from pyarrow import parquet

from pandapon_async.reconcile.report import HTML_ROWS
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, Outcome, VerdictRule
from pandapon_async.reconcile.writing import write_outputs

pytestmark = pytest.mark.may_block("files of a run are written and read")

ENDED = datetime(2024, 5, 31, 4, tzinfo=UTC)
WORKBOOK_ROWS = 20_000
PLANTED, BEST_ID = 99_803_711, 2_542_285_634_920_880_794


def fill(state: RunStore, count: int) -> None:
    """So many rows of another amount than the platform's; the last one differs most."""
    found: dict[str, Any] = {
        "status": "refundsuccess",
        "currency": "CNY",
        "refunded_fen": 50,
        "applied_fen": 50,
    }
    found |= {"looked_up_at": "2024-05-31T03:00:00.000+00:00", "applied_at": "2024-05-01T00:00:00+08:00"}
    state.add_rows(
        LedgerRow(
            row=at + 2, platform="1688", shop=f"义乌优品店 {at % 40}", refund_id=f"TQ{BEST_ID + at}",
            order_id=str(BEST_ID + at), amount_fen=100 + at * 7 % 99_991 if at < count - 1 else PLANTED,
            currency="CNY", status="refundsuccess", status_word="退款成功",
        )
        for at in range(count)
    )  # fmt: skip
    with state.transaction():
        for at in range(count):
            state.record(at + 2, Lookup(outcome=Outcome.FOUND, request_id=f"r-{at}", **found))
    ledger = {
        "name": "ledger.csv", "sha256": "s", "format": "csv", "columns": {}, "rows": count,
        "amount_unit": "fen", "encoding": "utf-8", "blank_lines": 0,
    }  # fmt: skip
    options = {"amount_basis": "actual", "tolerance_fen": 0}
    facts = {"as_of": "2024-05-31T12:00:00+08:00", "inferred": [], "notes": [], "options": options}
    state.set({"ledger": ledger, **facts})


@pytest.mark.parametrize(
    "count", [pytest.param(2_500, id="2500"), pytest.param(100_000, id="100000", marks=pytest.mark.nightly)]
)
def test_nothing_is_left_out_in_silence(tmp_path: Path, count: int) -> None:
    state, out = RunStore.open(tmp_path / "state.sqlite"), tmp_path / "out"
    out.mkdir()
    fill(state, count)
    run = {
        "finished_at": "2024-05-31T04:00:00+00:00", "seconds": 1.0, "calls": 1, "attempts": 1, "retried": 0,
        "throttled": 0, "failed": 0, "lookups": 1, "lookups_before": 0, "second_pass": 0,
    }  # fmt: skip
    write_outputs(
        out,
        state,
        VerdictRule(as_of=ENDED),
        run=run,
        ended=ENDED,
        report_rows=WORKBOOK_ROWS,
        check=lambda: None,
    )
    state.close()
    for file in sorted(out.iterdir()):
        print(f"{file.name}: {file.stat().st_size:,} bytes")
    assert (out / "report.html").stat().st_size < 2_000_000
    assert (out / "report.xlsx").stat().st_size < 4_000_000

    summary = json.loads((out / "summary.json").read_text("utf-8"))
    left = summary["reports"]["report.xlsx"]["left_out"]
    book = openpyxl.load_workbook(out / "report.xlsx", read_only=True)
    listed: Any = book.worksheets[1]
    _, first, *rest = listed.iter_rows(max_col=10, values_only=True)
    book.close()
    assert (first[1], first[9]) == ((PLANTED - 50) / 100, str(BEST_ID + count - 1))
    assert 1 + len(rest) == min(count, WORKBOOK_ROWS) == count - left["rows"]
    shown = sum(round(row[1] * 100) for row in (first, *rest))
    assert shown + left["at_stake_fen"].get("CNY", 0) == sum(summary["at_stake_fen"].values())
    assert summary["reports"]["report.html"]["left_out"]["rows"] == count - min(count, HTML_ROWS)

    frame = parquet.read_table(out / "rows.parquet")
    assert frame.num_rows == count
    assert frame["order_id"][count - 1].as_py() == str(BEST_ID + count - 1)
    assert str(frame["ledger_amount"][count - 1].as_py()) == "998037.11"
