"""`pandapon returns`: send goods back in bulk: plan, check, apply."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from pandapon_async.cli.new_journal import NewJournal
from pandapon_async.cli.plan_commands import apply_command, show_command
from pandapon_async.cli.plan_options import (
    AllSheets,
    BaseUrl,
    Concurrency,
    DryRun,
    HeaderRow,
    Images,
    JournalFile,
    JournalNone,
    Map,
    Multiline,
    Offline,
    Out,
    Quotes,
    Rate,
    Set,
    Sheet,
    Table,
    given,
    pairs,
)

__all__ = ["returns_app"]

returns_app: Final = typer.Typer(
    help="Send goods back in bulk: plan a table, check it, apply it.",
    pretty_exceptions_enable=False,
)


@returns_app.command()
def plan(
    table: Table,
    out: Out = None,
    map_: Map = None,
    set_: Set = None,
    images: Images = None,
    sheet: Sheet = None,
    all_sheets: AllSheets = False,
    header_row: HeaderRow = None,
    quoting: Quotes = "auto",
    multiline: Multiline = None,
    carriers: Annotated[
        Path | None, typer.Option(help="File with the known carrier codes, one per line.")
    ] = None,
    any_carrier: Annotated[
        bool, typer.Option("--any-carrier", help="Do not report unknown carrier codes.")
    ] = False,
    offline: Offline = False,
    dry_run: DryRun = False,
    journal: JournalFile = None,
    journal_none: JournalNone = False,
    new_journal: NewJournal = False,
    rate: Rate = None,
    concurrency: Concurrency = None,
    base_url: BaseUrl = None,
) -> None:
    """Check every row of a table of returns and write a plan; uploads nothing, changes nothing.

    Columns: refund_id, logistics_company_no, freight_bill, description, vouchers, shop. Exit codes: 0 all
    rows planned, 1 some refused, 2 usage, 3 some could not be checked, 4 authentication.
    """
    from pandapon_async.cli.plans import run_plan
    from pandapon_async.plans import PlanKind, PlanOptions

    options = PlanOptions(
        map=pairs(map_, "--map"),
        constants=pairs(set_, "--set"),
        images=images,
        sheet=sheet,
        all_sheets=all_sheets,
        header_row=header_row,
        quoting=quoting,
        multiline=multiline,
        carriers=carriers,
        any_carrier=any_carrier,
        offline=offline,
        bind=not journal_none,
        concurrency=concurrency,
    )
    settings = given(rate=rate, concurrency=concurrency, base_url=base_url, journal=journal)
    raise typer.Exit(run_plan(PlanKind.RETURNS, table, out, dry_run, options, settings, new_journal))


returns_app.command()(apply_command("returns"))
returns_app.command()(show_command("returns"))
