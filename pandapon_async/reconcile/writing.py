"""Judging all rows and writing all files, in one pass over the state."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from pandapon_async.reconcile.outputs import RowsWriter, complete_file, write_json, write_text
from pandapon_async.reconcile.report import ReportRow, report_pieces
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.summary import Summary, Totals
from pandapon_async.reconcile.verdict import Verdict, VerdictRule, judge

__all__ = ["write_outputs"]

CHECK_EVERY = 1_000


def write_outputs(
    out: Path,
    state: RunStore,
    rule: VerdictRule,
    *,
    run: dict[str, Any],
    report_rows: int,
    check: Callable[[], None],
) -> Summary:
    """Judge every row under one rule and write the four files; `check` may raise to stop.

    Gives the summary that summary.json holds. Needs no more memory for more rows.
    """
    totals = Totals()
    listed: list[ReportRow] = []
    with complete_file(out / "rows.csv") as rows, complete_file(out / "exceptions.csv") as exceptions:
        writer = RowsWriter(rows, exceptions)
        for row, lookup in state.joined():
            judgement = judge(row, lookup, rule)
            totals.add(row, lookup, judgement)
            writer.write(row, lookup, judgement)
            if judgement.verdict is not Verdict.MATCHED and len(listed) < report_rows:
                listed.append(ReportRow.of(row, lookup, judgement))
            if totals.rows % CHECK_EVERY == 0:
                check()
        check()
        ledger = state.get("ledger")
        totals.check(ledger["rows"])
    summary = Summary(
        ledger=ledger,
        as_of=state.get("as_of"),
        options=state.get("options"),
        inferred=tuple(state.get("inferred")),
        totals=totals,
        rows_digest=writer.digest(),
        run=run,
    )
    write_text(out / "report.html", report_pieces(summary, listed))
    write_json(out / "summary.json", summary.to_json())
    return summary
