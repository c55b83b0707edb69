"""`pandapon refunds watch`: wait for refunds to come where they are wanted, and say each change."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from pandapon_async.cli.output import for_people, note, print_lines
from pandapon_async.cli.plan_options import (
    AllSheets,
    BaseUrl,
    Concurrency,
    HeaderRow,
    Map,
    Multiline,
    Quotes,
    Rate,
    Sheet,
    age,
    given,
    pairs,
)
from pandapon_async.cli.reconcile import CHECK_ACCESS
from pandapon_async.cli.reconcile_options import OnePlatform
from pandapon_async.client import Client
from pandapon_async.clock import time_limit
from pandapon_async.core.model import BEIJING
from pandapon_async.errors import AuthenticationError
from pandapon_async.follow import Change, ChangeKind, Following, Pace, Seen, follow
from pandapon_async.follow.given import refunds_of_table
from pandapon_async.reconcile.explain import money
from pandapon_async.reconcile.statuses import state_label
from pandapon_async.tables.cells import Platform
from pandapon_async.tables.open import ReadOptions

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
    of_table: dict[str, Platform] = {}
    if len(refunds) == 1 and Path(refunds[0]).is_file():
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
            return await _say_changes(client, follow(client, ids, where, **chosen), limit)

    try:
        following = asyncio.run(work())
    except AuthenticationError as error:
        print(f"error: {error}\n{CHECK_ACCESS}", file=sys.stderr)
        raise typer.Exit(4) from None
    except (KeyboardInterrupt, asyncio.CancelledError):
        note("stopped; " + _resume(state))
        raise typer.Exit(3) from None
    raise typer.Exit(_end(following, state))


def _age(text: str, option: str) -> timedelta:
    seconds = age(text, option)
    if not seconds:
        raise typer.BadParameter("must be above zero", param_hint=option)
    return timedelta(seconds=seconds)


async def _say_changes(client: Client, following: Following, limit: float | None) -> Following:
    task = asyncio.current_task()
    assert task is not None, "asyncio.run makes one"
    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows; not the main thread
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    async with following as changes:
        with contextlib.suppress(TimeoutError), time_limit(client.settings.clock, limit):
            async for change in changes:
                _say(change)
    return following


def _say(change: Change) -> None:
    if for_people():
        print(_line(change))
    else:
        print_lines([change.to_dict()])
    sys.stdout.flush()  # somebody may be waiting for this very line at the other end of a pipe


def _line(change: Change) -> str:
    """A change for people.

    >>> seen = Seen(status="refundsuccess", applied_fen=1200, refunded_fen=1200)
    >>> _line(Change(kind=ChangeKind.CHANGED, platform="1688", refund_id="TQ1", before=Seen(status="x"),
    ...     after=seen, seen_at="2026-01-31T00:00:00.000+00:00", since="2026-01-31T00:00:00.000+00:00"))
    '2026-01-31 08:00  TQ1  x -> refund success, ¥12.00'
    """
    moment = datetime.fromisoformat(change.seen_at).astimezone(BEIJING)
    parts = [f"{moment:%Y-%m-%d %H:%M}", change.refund_id]
    after = _words(change.platform, change.after)
    if change.kind is ChangeKind.STUCK:
        days = (datetime.fromisoformat(change.seen_at) - datetime.fromisoformat(change.since)).days
        parts.append(f"stuck: {after} for {days} days")
    elif change.before is None or change.before.status == change.after.status:
        parts.append(after)
    else:
        parts.append(f"{_words(change.platform, change.before)} -> {after}")
    amount = change.after.applied_fen if change.after.refunded_fen is None else change.after.refunded_fen
    if amount is not None:
        parts[-1] += f", {money(amount, change.after.currency or 'CNY')}"
    if change.pushed:
        parts[-1] += " (pushed)"
    return "  ".join(parts)


def _words(platform: Platform, seen: Seen) -> str:
    if seen.status is None:
        return "refund not found"
    return state_label(platform, seen.status, "en") or seen.status


def _end(following: Following, state: Path | None) -> int:
    for one in following.stuck():
        note(f"stuck: {one.refund_id}, goods sent back {one.days} days ago and not received")
    left, elsewhere = following.left(), following.ended_elsewhere
    if elsewhere:
        note(f"{elsewhere:,} ended in a state that was not waited for")
    if left:
        note(f"{left:,} still going on; {_resume(state)}")
        return 3
    return 1 if elsewhere else 0


def _resume(state: Path | None) -> str:
    if state is None:
        return "nothing is kept: --state FILE resumes where a run stopped"
    return "the same command resumes"
