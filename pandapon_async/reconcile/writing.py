"""Judging all rows and writing all files, in one pass over the state."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import IO, Any

from pandapon_async.reconcile.attention import AttentionList, AttentionRow, Origins
from pandapon_async.reconcile.find_missing import MissingRange, begin_summary, lacking_of
from pandapon_async.reconcile.missing_report import MissingRows, MissingWriter
from pandapon_async.reconcile.options import Language
from pandapon_async.reconcile.outputs import FILES, ExceptionsWriter, RowsWriter, write_json
from pandapon_async.reconcile.parquet_rows import can_write_parquet, parquet_rows
from pandapon_async.reconcile.report import Report
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.summary import Summary, Totals
from pandapon_async.reconcile.verdict import Verdict, VerdictRule, judge
from pandapon_async.reconcile.words import words_of
from pandapon_async.reconcile.workbook import write_workbook
from pandapon_async.storage.files import mode_of, whole_binary_file, whole_file

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
    language: Language = "en",
    group_readable: bool = False,
    check: Callable[[], None],
) -> Summary:
    """Judge every row under one rule and write all files.

    Args:
        out: the folder.
        state: the run's memory.
        rule: what is judged by.
        run: what the run took.
        ended: when the last lookup was made; ages count from it.
        report_rows: how many rows the workbook lists at most, and so the page.
        language: of page and workbook.
        group_readable: lets the group read the files.
        check: may raise to stop.

    Returns: the summary that summary.json holds. More rows need no more memory, but for those listed.
    """
    totals, listed, mode = Totals(), AttentionList(report_rows), mode_of(group_readable)
    ledger = state.get("ledger")
    origins = Origins(tuple(ledger.get("files", ())), accounts=len(state.accounts()) > 1)
    with contextlib.ExitStack() as files:
        rows = RowsWriter(files.enter_context(_text(out, "rows.csv", mode)), ended, origins)
        exceptions = ExceptionsWriter(
            files.enter_context(_text(out, "exceptions.csv", mode, "utf-8-sig")), ended, origins
        )
        frame = None
        if can_write_parquet():
            file = files.enter_context(_binary(out, "rows.parquet", mode))
            frame = files.enter_context(parquet_rows(file, ended, FILES["rows.parquet"].words, origins))
        for row, lookup in state.joined():
            judgement = judge(row, lookup, rule)
            totals.add(row, lookup, judgement)
            rows.write(row, lookup, judgement)
            if frame is not None:
                frame.write(row, lookup, judgement)
            if judgement.verdict is not Verdict.MATCHED:
                one = AttentionRow.of(row, lookup, judgement, rule.as_of, origins)
                exceptions.write(one)
                listed.add(one)
            if totals.rows % CHECK_EVERY == 0:
                check()
        check()
        totals.check(ledger["rows"])
    missing = _write_missing(out, state, report_rows, mode)
    if frame is None:  # one of an earlier run would belong to other rows
        FILES["rows.parquet"].remove(out / "rows.parquet")
    summary = Summary(
        ledger=ledger,
        as_of=state.get("as_of"),
        options=state.get("options"),
        inferred=tuple(state.get("inferred")),
        notes=tuple(state.get("notes") or ()),
        totals=totals,
        rows_digest=rows.digest(),
        run=run,
        missing=None if missing is None else missing.summary,
        state=Path(state.path),
        rule=rule,
    )
    _write_reports(out, summary, listed, language, mode, origins, missing)
    with _text(out, "summary.json", mode) as text:
        write_json(text, summary.to_dict())
    return summary


def _write_missing(out: Path, state: RunStore, most: int, mode: int) -> MissingRows | None:
    """What the ledger lacks, in missing.csv; None, and no such file, if nobody searched."""
    days = state.get("missing_range")
    if days is None:
        FILES["missing.csv"].remove(out / "missing.csv")
        return None
    asked = MissingRange(*map(date.fromisoformat, days))
    with _text(out, "missing.csv", mode, "utf-8-sig") as file:
        return MissingRows.of(
            begin_summary(state, asked), lacking_of(state, asked), most, MissingWriter(file)
        )


def _write_reports(
    out: Path,
    summary: Summary,
    listed: AttentionList,
    language: Language,
    mode: int,
    origins: Origins,
    missing: MissingRows | None,
) -> None:
    words = words_of(language)
    report = Report(summary, listed, words, missing)
    with _text(out, "report.html", mode) as page:
        page.writelines(report.pieces())
    with _binary(out, "report.xlsx", mode) as book:
        write_workbook(book, summary, listed, words, FILES["report.xlsx"].words, origins, missing)
    summary.reports = {
        "report.html": {"rows": report.rows, "left_out": report.left_out.to_dict()},
        "report.xlsx": {"rows": len(listed), "left_out": listed.left_out.to_dict()},
    }


def _text(
    out: Path, name: str, mode: int, encoding: str = "utf-8"
) -> contextlib.AbstractContextManager[IO[str]]:
    return whole_file(out / name, FILES[name], mode=mode, encoding=encoding)


def _binary(out: Path, name: str, mode: int) -> contextlib.AbstractContextManager[IO[bytes]]:
    return whole_binary_file(out / name, FILES[name], mode=mode)
