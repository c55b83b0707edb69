"""`pandapon refunds watch`: wait for refunds to come where they are wanted, and say each change."""

from __future__ import annotations

import asyncio
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pandapon_async.cli.exit_codes import CHECK_ACCESS
from pandapon_async.cli.output import note
from pandapon_async.cli.plan_options import (
    AllSheets,
    BaseUrl,
    Concurrency,
    HeaderRow,
    Map,
    Multiline,
    OnePlatform,
    Quotes,
    Rate,
    Sheet,
    age,
    given,
    pairs,
)
from pandapon_async.errors import AuthenticationError

if TYPE_CHECKING:
    from pandapon_async.follow import Following
    from pandapon_async.tables.cells import Platform

__all__ = ["watch"]


def watch(
    refunds: Annotated[
        list[str],
        typer.Argument(metavar="ID...|FILE", help="Refund ids, or one table of them."),
    ],
    wanted: Annotated[
        list[str] | None,
        typer.Option(
            "--for",
            metavar="STATE",
            help="Wait for this state, such as 退款成功. Repeatable.",
        ),
    ] = None,
    platform: OnePlatform = None,
    state: Annotated[
        Path | None, typer.Option(help="File that remembers what was seen; the next run resumes there.")
    ] = None,
    callbacks: Annotated[
        Path | None,
        typer.Option(help="Store of `pandapon callbacks serve`: what is pushed is looked up at once."),
    ] = None,
    every: Annotated[str, typer.Option(metavar="AGE", help="Time between two looks.")] = "6h",
    near: Annotated[str, typer.Option(metavar="AGE", help="The same within a day of a deadline.")] = "15m",
    stuck_after: Annotated[
        str,
        typer.Option(metavar="AGE", help="Report goods that were sent back and not received for this time."),
    ] = "7d",
    stop_after: Annotated[
        str | None, typer.Option(metavar="AGE", help="End after this time, even if refunds are left.")
    ] = None,
    map_: Map = None,
    sheet: Sheet = None,
    all_sheets: AllSheets = False,
    header_row: HeaderRow = None,
    quoting: Quotes = "auto",
    multiline: Multiline = None,
    rate: Rate = None,
    concurrency: Concurrency = None,
    base_url: BaseUrl = None,
) -> None:
    """Follow refunds until each has reached a wanted state or a final one; says each change once.

    Looks rarely, more often near a deadline, and at once on a push; all of it behind every other call.

    Exit codes: 0 all have come where they were wanted (without --for: have ended), 1 some have ended
    elsewhere, 2 usage, 3 stopped before that, 4 authentication.
    """
    from pandapon_async.cli.refunds_changes import end, how_to_resume, say_changes
    from pandapon_async.client import Client
    from pandapon_async.follow import Pace, follow

    of_table: dict[str, Platform] = {}
    if len(refunds) == 1 and Path(refunds[0]).is_file():
        from pandapon_async.follow.given import refunds_of_table
        from pandapon_async.tables.open import ReadOptions

        reading = ReadOptions(
            sheets=tuple(sheet or ()),
            all_sheets=all_sheets,
            header_row=header_row,
            quoting=quoting,
            multiline=tuple(multiline or ()),
        )
        of_table, notes = refunds_of_table(Path(refunds[0]), platform, pairs(map_, "--map"), reading)
        for one in notes:
            note(one)
        ids = list(of_table)
    else:
        ids = refunds
    chosen: dict[str, Any] = {
        "wanted": wanted or (),
        "state": state,
        "pace": Pace(usual=_age(every, "--every"), near=_age(near, "--near")),
        "callbacks": callbacks,
        "stuck_after": _age(stuck_after, "--stuck-after"),
        "concurrency": concurrency or 8,
    }
    limit = None if stop_after is None else age(stop_after, "--stop-after")
    settings = given(rate=rate, base_url=base_url)

    async def work() -> Following:
        async with Client.from_env(**settings) as client:
            where = of_table.__getitem__ if of_table else platform
            return await say_changes(client, follow(client, ids, where, **chosen), limit)

    try:
        following = asyncio.run(work())
    except AuthenticationError as error:
        print(f"error: {error}\n{CHECK_ACCESS}", file=sys.stderr)
        raise typer.Exit(4) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        note("stopped; " + how_to_resume(state))
        raise typer.Exit(3) from None
    raise typer.Exit(end(following, state))


def _age(text: str, option: str) -> timedelta:
    seconds = age(text, option)
    if not seconds:
        raise typer.BadParameter("must be above zero", param_hint=option)
    return timedelta(seconds=seconds)
