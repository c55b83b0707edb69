"""`pandapon reconcile split`, `part` and `merge`: run a ledger in parts with any scheduler."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import attrs
import typer

from pandapon_async import reconcile as job
from pandapon_async.cli.metrics import Metrics, end_in
from pandapon_async.cli.output import note, print_lines, progress
from pandapon_async.cli.plan_options import (
    AllSheets,
    Freight,
    GroupReadable,
    HeaderRow,
    Multiline,
    OnePlatform,
    Quotes,
    Sheet,
    given,
    pairs,
)
from pandapon_async.cli.reconcile import tell_summary
from pandapon_async.cli.reconcile_options import (
    AcceptMissing,
    AsOf,
    BaseUrl,
    Basis,
    ByAccount,
    Callbacks,
    Concurrency,
    Ledger,
    Lookups,
    MapColumn,
    Negative,
    Rate,
    Recheck,
    ReportLanguage,
    ReportRows,
    Reuse,
    ReuseFinal,
    SecondPass,
    StatusMap,
    StopAt,
    Tolerance,
    Unit,
    span,
    status_words,
    stop_time,
    time_of,
)
from pandapon_async.clock import Clock

__all__ = ["merge", "part", "split"]

T = TypeVar("T")

Parts = Annotated[Path, typer.Option("--in", help="The folder that `split` wrote.")]


def split(
    ledger: Ledger,
    parts: Annotated[int, typer.Option(min=1, help="The number of parts.")],
    out: Annotated[Path, typer.Option(help="Folder for the parts, visible to all machines.")],
    by_account: ByAccount = False,
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
) -> None:
    """Split a ledger into parts by refund id, so that duplicates stay together; makes no request.

    Then run `pandapon reconcile part K` for each part, anywhere, and `pandapon reconcile merge`. (Write a
    ledger file named split, part or merge as ./split.)
    """
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
    )

    async def work() -> job.Split:
        from pandapon_async.accounts import Accounts

        accounts = Accounts.found()
        async with accounts or contextlib.nullcontext():
            return await job.split(
                ledger, out, parts, options=options, accounts=accounts, by_account=by_account
            )

    made = _run(work())
    for text in (*made.inferred, *made.notes):
        note(text)
    note(f"next, for each part: pandapon reconcile part 1 --in {out}")
    note(f"finally: pandapon reconcile merge --in {out} --out report")
    print_lines([{"parts": made.parts, "rows": made.rows, "to_look_up": made.to_look_up}])


def part(
    number: Annotated[int, typer.Argument(metavar="K", min=1, help="The number of the part, from 1.")],
    folder: Parts,
    second_pass: SecondPass = True,
    reuse: Reuse = None,
    stop_at: StopAt = None,
    reuse_final: ReuseFinal = None,
    recheck: Recheck = 1.0,
    callbacks: Callbacks = None,
    lookups: Lookups = None,
    accept_missing: AcceptMissing = False,
    rate: Rate = None,
    concurrency: Concurrency = None,
    base_url: BaseUrl = None,
) -> None:
    """Look up the refunds of one part; a second run repeats no lookup of the same night.

    Exit codes: 0 all looked up, 2 usage, 3 lookups failed or are missing, or none found, 4 authentication.
    """
    options = job.Options(
        second_pass=second_pass,
        concurrency=concurrency,
        reuse=span(reuse, "--reuse"),
        stop_at=stop_time(stop_at, Clock().wall()),
        reuse_final=span(reuse_final, "--reuse-final"),
        recheck=recheck,
        callbacks=callbacks,
        lookups=lookups,
        accept_missing=accept_missing,
    )
    settings = given(rate=rate, concurrency=concurrency, base_url=base_url)

    async def work() -> job.PartResult:
        from pandapon_async.accounts import Accounts
        from pandapon_async.client import Client

        async with Accounts.found(**settings) or Client.from_env(**settings) as client:
            return await job.run_part(client, folder, number, options=options, progress=progress())

    result = _run(work())
    print_lines([attrs.asdict(result)])
    raise typer.Exit(3 if result.failed or result.left else 0)


def merge(
    folder: Parts,
    out: Annotated[Path, typer.Option(help="Folder for the reports, as of `pandapon reconcile`.")],
    freight: Freight = None,
    lookups: Lookups = None,
    accept_missing: AcceptMissing = False,
    report_rows: ReportRows = 20_000,
    language: ReportLanguage = None,
    group_readable: GroupReadable = False,
    metrics: Metrics = None,
) -> None:
    """Judge the rows of all parts together and write the same files as one run of the whole ledger.

    Exit codes: those of `pandapon reconcile`; 3 also if a part is missing or incomplete.
    """
    from pandapon_async.settings import Settings

    with end_in(metrics) as told:
        options = job.Options(
            lookups=lookups,
            accept_missing=accept_missing,
            report_rows=report_rows,
            language=language,
            group_readable=group_readable,
        )
        reading = freight or Settings.from_env().vendor.freight
        summary = _run(job.merge(folder, out, options=options, freight=reading))
        told(summary)
        tell_summary(summary, out)
        raise typer.Exit(summary.exit_code)


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run it to its end. Finished lookups are kept, whatever ends it early."""

    async def stoppable() -> T:
        task = asyncio.current_task()
        assert task is not None
        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # as for reconcile
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work

    try:
        return asyncio.run(stoppable())
    except (job.IncompletePartsError, job.NothingFoundError) as error:
        _say(f"error: {error}")
        raise typer.Exit(3) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say("stopped; finished lookups are kept. The same command resumes where it stopped.")
        raise typer.Exit(3) from None


def _say(text: str) -> None:
    print(text, file=sys.stderr)
