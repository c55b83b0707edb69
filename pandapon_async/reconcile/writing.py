"""Judging all rows and writing all files, in one pass over the state."""

from __future__ import annotations

import functools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from pandapon_async.reconcile.outputs import FILES, RowsWriter, write_json
from pandapon_async.reconcile.report import ReportRow, report_pieces
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.summary import Summary, Totals
from pandapon_async.reconcile.verdict import Verdict, VerdictRule, judge
from pandapon_async.storage.files import mode_of, whole_file

__all__ = ["write_outputs"]

CHECK_EVERY = 1_000


def write_outputs(
    out: Path,
    state: RunStore,
    rule: VerdictRule,
    *,
    run: dict[str, Any],
    ended: datetime,
    report_rows: int,
    group_readable: bool = False,
    check: Callable[[], None],
) -> Summary:
    """Judge every row under one rule and write the four files; `check` may raise to stop.

    `ended` is when the last lookup was made: ages count from it.

    Gives the summary that summary.json holds. Needs no more memory for more rows.
    """
    totals = Totals()
    listed: list[ReportRow] = []
    written = {
        name: functools.partial(whole_file, out / name, mark, mode=mode_of(group_readable))
        for name, mark in FILES.items()
    }
    with written["rows.csv"]() as rows, written["exceptions.csv"]() as exceptions:
        writer = RowsWriter(rows, exceptions, ended)
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
        notes=tuple(state.get("notes") or ()),
        totals=totals,
        rows_digest=writer.digest(),
        run=run,
    )
    with written["report.html"]() as report:
        report.writelines(report_pieces(summary, listed))
    with written["summary.json"]() as file:
        write_json(file, summary.to_dict())
    return summary
