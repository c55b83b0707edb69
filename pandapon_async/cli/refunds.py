"""`pandapon refunds`: open refund forms in bulk: plan, check, apply."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer

from pandapon_async.cli.new_journal import NewJournal
from pandapon_async.cli.plan_commands import apply_command, show_command
from pandapon_async.cli.plan_options import (
    AllowSecond,
    AllSheets,
    BaseUrl,
    Concurrency,
    DryRun,
    Freight,
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
from pandapon_async.cli.refunds_watch import watch

__all__ = ["refunds_app"]

refunds_app: Final = typer.Typer(
    help="Open refund forms in bulk: plan a table, check it, apply it.",
    pretty_exceptions_enable=False,
)


@refunds_app.command()
def plan(
    table: Table,
    out: Out = None,
    map_: Map = None,
    set_: Set = None,
    amount_unit: Annotated[
        Literal["fen", "yuan"] | None, typer.Option(help="The unit of amounts, if no column states it.")
    ] = None,
    images: Images = None,
    sheet: Sheet = None,
    all_sheets: AllSheets = False,
    header_row: HeaderRow = None,
    quoting: Quotes = "auto",
    multiline: Multiline = None,
    offline: Offline = False,
    dry_run: DryRun = False,
    freight: Freight = None,
    allow_second: AllowSecond = False,
    journal: JournalFile = None,
    journal_none: JournalNone = False,
    new_journal: NewJournal = False,
    rate: Rate = None,
    concurrency: Concurrency = None,
    base_url: BaseUrl = None,
) -> None:
    """Check every row of a table of refund applications and write a plan; uploads and changes nothing.

    Columns: order_id, order_entry_ids, dispute_request, apply_payment, apply_carriage, reason_id (or reason),
    description, goods_status, vouchers, shop, currency. A row with freight is refused until --freight states
    whether it is added to apply_payment or included. Exit codes: 0 all rows planned, 1 some refused, 2 usage,
    3 some could not be checked, 4 authentication.
    """
    from pandapon_async.cli.plans import run_plan
    from pandapon_async.plans import PlanKind, PlanOptions

    options = PlanOptions(
        map=pairs(map_, "--map"),
        constants=pairs(set_, "--set"),
        amount_unit=amount_unit,
        images=images,
        sheet=sheet,
        all_sheets=all_sheets,
        header_row=header_row,
        quoting=quoting,
        multiline=multiline,
        offline=offline,
        allow_second=allow_second,
        bind=not journal_none,
        concurrency=concurrency,
    )
    settings = given(rate=rate, concurrency=concurrency, base_url=base_url, journal=journal, freight=freight)
    raise typer.Exit(run_plan(PlanKind.REFUNDS, table, out, dry_run, options, settings, new_journal))


refunds_app.command()(apply_command("refunds"))
refunds_app.command()(show_command("refunds"))
refunds_app.command()(watch)
