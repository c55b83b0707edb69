"""`pandapon reconcile`: run the nightly job from the shell or from cron.

Progress goes to stderr. stdout gets a table on a terminal and otherwise one line of JSON, the summary.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pandapon_async import reconcile as job
from pandapon_async.cli.exit_codes import CHECK_ACCESS
from pandapon_async.cli.metrics import Metrics, end_in
from pandapon_async.cli.output import for_people, print_lines, progress
from pandapon_async.cli.parsing import HERE
from pandapon_async.cli.plan_options import (
    AllSheets,
    Freight,
    GroupReadable,
    HeaderRow,
    Multiline,
    OnePlatform,
    Quotes,
    Sheet,
    pairs,
)
from pandapon_async.cli.reconcile_dask import DaskOptions, reconcile_on_dask
from pandapon_async.cli.reconcile_options import (
    AcceptMissing,
    AsOf,
    BaseUrl,
    Basis,
    ByAccount,
    ByList,
    Callbacks,
    Concurrency,
    DaskParts,
    DaskWorkers,
    FindMissing,
    Ledger,
    Lookups,
    MapColumn,
    Negative,
    OnDask,
    Rate,
    Recheck,
    ReportLanguage,
    ReportRows,
    Reuse,
    ReuseFinal,
    SecondPass,
    Since,
    StatusMap,
    StopAt,
    Tolerance,
    Unit,
    Until,
    WholeAccount,
    day_of,
    span,
    status_words,
    stop_time,
    time_of,
)
from pandapon_async.clock import Clock, duration
from pandapon_async.errors import AuthenticationError, ErrorKind
from pandapon_async.storage.damage import is_misplaced, reason_of

__all__ = ["reconcile", "tell_summary"]


def reconcile(
    ledger: Ledger,
    out: Annotated[
        Path | None, typer.Option(help="Folder for the reports, rows.csv, exceptions.csv and summary.json.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="File that stores finished lookups; default: in --out.")
    ] = None,
    map_: MapColumn = None,
    platform: OnePlatform = None,
    amount_unit: Unit = None,
    amount_basis: Basis = job.AmountBasis.ACTUAL,
    tolerance: Tolerance = 0,
    status_map: StatusMap = None,
    negative: Negative = False,
    sheet: Sheet = None,
    all_sheets: AllSheets = False,
    header_row: HeaderRow = None,
    quoting: Quotes = "auto",
    multiline: Multiline = None,
    as_of: AsOf = None,
    second_pass: SecondPass = True,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Read the ledger, map its columns and count; make no request."),
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Ignore the lookups of an earlier run.")] = False,
    reuse: Reuse = None,
    stop_at: StopAt = None,
    reuse_final: ReuseFinal = None,
    recheck: Recheck = 1.0,
    callbacks: Callbacks = None,
    lookups: Lookups = None,
    freight: Freight = None,
    by_list: ByList = False,
    find_missing: FindMissing = False,
    whole_account: WholeAccount = False,
    since: Since = None,
    until: Until = None,
    accept_missing: AcceptMissing = False,
    report_rows: ReportRows = 20_000,
    language: ReportLanguage = None,
    group_readable: GroupReadable = False,
    metrics: Metrics = None,
    rate: Rate = None,
    concurrency: Concurrency = None,
    base_url: BaseUrl = None,
    dask: OnDask = None,
    parts: DaskParts = None,
    workers: DaskWorkers = None,
    by_account: ByAccount = False,
) -> None:
    """Compare a ledger of refunds with the platforms, row by row; resumes where it was interrupted.

    Credentials come from PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET and PANDAPON_USER_ID, in the environment
    or a .env file; or from an account of the configuration file.

    Exit codes: 0 all matched, 1 differences, 2 usage, 3 incomplete (something unverified, or stopped),
    4 authentication. A dry run ends with 1 if a row cannot be read.
    """
    with end_in(None if dry_run else metrics) as told:
        options = job.Options(
            map=pairs(map_, "--map"),
            platform=platform,
            amount_unit=amount_unit,
            amount_basis=amount_basis,
            tolerance_fen=tolerance,
            status_map=status_words(status_map),
            negative=negative,
            sheet=sheet,
            all_sheets=all_sheets,
            header_row=header_row,
            quoting=quoting,
            multiline=multiline,
            as_of=time_of(as_of),
            second_pass=second_pass,
            concurrency=concurrency,
            fresh=fresh,
            reuse=span(reuse, "--reuse"),
            stop_at=stop_time(stop_at, Clock().wall()),
            by_list=by_list,
            reuse_final=span(reuse_final, "--reuse-final"),
            recheck=recheck,
            callbacks=callbacks,
            lookups=lookups,
            find_missing=find_missing,
            whole_account=whole_account,
            since=day_of(since, "--since"),
            until=day_of(until, "--until"),
            accept_missing=accept_missing,
            report_rows=report_rows,
            language=language,
            group_readable=group_readable,
        )
        if dry_run:
            raise typer.Exit(_tell_preview(job.preview(ledger, options)))
        if out is None:
            raise typer.BadParameter(
                "name a folder for the results with --out, or use --dry-run", param_hint="--out"
            )
        on_dask = _on_dask(dask, parts, workers, by_account, state)
        settings = {"rate": rate, "concurrency": concurrency, "base_url": base_url, "freight": freight}
        given = {name: value for name, value in settings.items() if value is not None}
        raise typer.Exit(_run_and_tell(ledger, out, state, options, given, on_dask, told))


def _on_dask(
    address: str | None, parts: int | None, workers: int | None, by_account: bool, state: Path | None
) -> DaskOptions | None:
    said = {"--parts": parts, "--workers": workers, "--by-account": by_account or None}
    if address is None:
        if alone := next((name for name, value in said.items() if value is not None), None):
            raise typer.BadParameter("is an option of --dask, or of `reconcile split`", param_hint=alone)
        return None
    if state is not None:
        raise typer.BadParameter(
            "cannot be combined with --dask, whose parts are in --out", param_hint="--state"
        )
    if workers is not None and address != HERE:
        raise typer.BadParameter("cannot be combined with the address of a cluster", param_hint="--workers")
    return DaskOptions(address=address, parts=parts, workers=workers, by_account=by_account)


def _tell_preview(found: job.LedgerPreview) -> int:
    if not for_people():
        print_lines([found.to_dict()])
        return found.exit_code
    from pandapon_async.cli.console import Console
    from pandapon_async.reconcile.explain import moneys

    console = Console()
    console.print(f"{found.name}: {found.rows:,} rows, amounts in {found.amount_unit}", markup=False)
    for field, column in found.columns.items():
        console.print(f"  {field} = {column}", markup=False, highlight=False)
    per_platform = ", ".join(f"{name} {count:,}" for name, count in found.platforms.items()) or "none"
    console.print(f"to look up: {found.lookups:,} ({per_platform}); worth {moneys(found.ledger_fen)}")
    console.print(f"duplicates: {found.duplicates:,}; unreadable: {found.unreadable:,}")
    for row, column, reason in found.problems:
        where = f", column {column}" if column else ""
        console.print(f"  {found.place(row)}{where}: {reason}", markup=False, highlight=False)
    for text in (*found.inferred, *found.notes):
        console.print(f"note: {text}", markup=False)
    console.print("no request was made, and nothing was written")
    return found.exit_code


def _run_and_tell(
    ledger: Path,
    out: Path,
    state: Path | None,
    options: job.Options,
    settings: dict[str, Any],
    dask: DaskOptions | None,
    told: Callable[[job.Summary], None],
) -> int:
    try:
        summary = asyncio.run(_run(ledger, out, state, options, settings, dask))
        told(summary)
    except AuthenticationError as error:
        said = f"the vendor says: {error.msg}\n" if error.msg else ""
        _say(f"error: {error}\n{said}{CHECK_ACCESS}\n{_resume()}")
        return 4
    except job.NothingFoundError as error:
        _say(f"error: {error}")
        return 3
    except job.PartsFailedError as error:
        codes = {failure.code for failure in error.failures}
        advice = f"\n{CHECK_ACCESS}" if ErrorKind.AUTHENTICATION in codes else ""
        _say(f"error: {error}; finished lookups are kept.{advice}\n{_resume()}")
        return 4 if advice else 3
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say(f"stopped; finished lookups are kept. {_resume()}")
        return 3
    except (OSError, sqlite3.Error) as error:
        if isinstance(error, OSError) and is_misplaced(error):
            error.add_note(f"finished lookups are kept. {_resume()}")
            raise
        reason = reason_of(error) if isinstance(error, sqlite3.Error) else error.strerror or error
        _say(f"error: {reason}; finished lookups are kept. {_resume()}")
        return 3
    tell_summary(summary, out, resumable=True)
    return summary.exit_code


def tell_summary(summary: job.Summary, out: Path, *, resumable: bool = False) -> None:
    """Print the result of a run: for people on a terminal, as a line of JSON elsewhere."""
    from pandapon_async.reconcile.explain import moneys
    from pandapon_async.reconcile.missing_report import missing_sentences
    from pandapon_async.reconcile.words import words_of

    if (stopped := summary.run.get("stopped")) is not None:
        _say(
            f"stopped in time for --stop-at: {stopped['left']:,} refunds were not looked up, "
            f"worth {moneys(stopped['ledger_fen'])}"
        )
    for reason, count in summary.totals.unverified.most_common(3):
        _say(f"{count:,} rows unverified: {reason}")
    for worth_knowing in (*summary.freight_advice, *summary.odd_fields[:3]):
        _say(f"note: {worth_knowing}")
    if summary.missing is not None:
        for text in missing_sentences(summary.missing, words_of("en")):
            _say(text)
    if summary.totals.unverified and resumable:
        _say(f"The same command repeats only those lookups. {_resume()}")
    if for_people():
        _show(summary, out)
    else:
        sys.stdout.write(json.dumps(summary.to_dict(), ensure_ascii=False, separators=(",", ":")) + "\n")


async def _run(
    ledger: Path,
    out: Path,
    state: Path | None,
    options: job.Options,
    settings: dict[str, Any],
    dask: DaskOptions | None,
) -> job.Summary:
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows; not the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    if dask is not None:
        return await reconcile_on_dask(ledger, out, dask, options, settings)
    from pandapon_async.accounts import Accounts
    from pandapon_async.client import Client

    async with Accounts.found(**settings) or Client.from_env(**settings) as client:
        return await job.reconcile(client, ledger, out, options=options, state=state, progress=progress())


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _resume() -> str:
    arguments = [argument for argument in sys.argv[1:] if argument != "--fresh"]
    return f"Resume with:\n  {shlex.join(['pandapon', *arguments])}"


def _show(summary: job.Summary, out: Path) -> None:
    """Print the verdicts and their money as a table, and the calls and time of the run."""
    from rich.table import Table
    from rich.text import Text

    from pandapon_async.cli.console import Console
    from pandapon_async.reconcile.explain import money, moneys

    title = Text(f"{summary.ledger['name']}: {summary.rows:,} rows")  # a file name may look like markup
    table = Table(title=title, title_justify="left")
    table.add_column("verdict")
    table.add_column("rows", justify="right")
    table.add_column("at stake", justify="right")
    for verdict, count in summary.verdicts.items():
        style = "dim" if not count else "green" if verdict is job.Verdict.MATCHED else "yellow"
        stakes = summary.totals.at_stake_fen(verdict).items()
        shown = "\n".join(money(fen, currency) for currency, fen in stakes if fen)
        table.add_row(str(verdict), f"{count:,}", Text(shown), style=style)
    console = Console()
    console.print(table)
    for note in (*summary.inferred, *summary.notes):
        console.print(f"note: {note}", markup=False)
    run = summary.run
    saved = f" ({summary.calls_saved} saved)" if str(summary.calls_saved) else ""
    took = (
        f"took {duration(run['seconds'])}: {run['calls']:,} calls{saved}, {run['retried']:,} retried, "
        f"{run['throttled']:,} throttled"
    )
    console.print(f"at stake: {moneys(summary.totals.at_stake_fen())}", markup=False)
    console.print(took, markup=False)
    for name, report in summary.reports.items():
        left, rest = report["left_out"], ""
        if left["rows"]:
            rest = f"; omitted: {left['rows']:,}, {moneys(left['at_stake_fen'])} at stake"
        console.print(f"{out / name}: {report['rows']:,} rows{rest}", markup=False, soft_wrap=True)
