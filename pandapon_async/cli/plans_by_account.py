"""Plan and apply for several accounts: a summary of each, and one confirmation of the whole sum."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pandapon_async import plans
from pandapon_async.accounts import Accounts
from pandapon_async.cli.output import ask, progress
from pandapon_async.cli.plan_show import amount, what_it_does
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.money import Fen
from pandapon_async.plans import ApplyOptions, ApplyResult, PlanKind, PlanOptions, PlanSummary, RowState, Stop

__all__ = ["agreed_to_all", "apply_all", "exit_code_of", "plan_all", "show_all"]


async def plan_all(
    accounts: Accounts,
    kind: PlanKind,
    table: Path,
    out: Path | None,
    options: PlanOptions,
) -> dict[str, PlanSummary] | None:
    """Create the plans of all accounts in a table; None if it names none."""
    names = await asyncio.to_thread(plans.accounts_of_table, accounts, kind, table, options)
    if names is None:
        return None
    return await plans.plan_by_account(
        accounts, names, kind, table, out, options=options, progress=progress()
    )


def show_all(summaries: Mapping[str, PlanSummary], say: Callable[[str], None]) -> None:
    """Print count and yuan of each account, and of all, on stderr."""
    for name, summary in summaries.items():
        money = ", ".join(amount(one.amount_fen, one.currency) for one in summary.to_send) or "no amount"
        refused = summary.states[RowState.REFUSED]
        more = f"; {refused:,} refused" if refused else ""
        say(f"{name}: {what_it_does(summary.kind, summary.sendable)}, {money}{more}")
    say(f"all {len(summaries)} accounts: {total_of(summaries)}")


def total_of(summaries: Mapping[str, PlanSummary]) -> str:
    """Return rows and money of all accounts."""
    sums: dict[str, int] = {}
    for summary in summaries.values():
        for one in summary.to_send:
            sums[one.currency] = sums.get(one.currency, 0) + one.amount_fen
    kind = next(iter(summaries.values())).kind
    rows = sum(summary.sendable for summary in summaries.values())
    money = ", ".join(amount(fen, currency) for currency, fen in sums.items()) or "no amount"
    return f"{what_it_does(kind, rows)}, {money}"


def agreed_to_all(summaries: Mapping[str, PlanSummary]) -> bool:
    """Ask for the total: in yuan if money moves, otherwise the number of rows."""
    rows = sum(summary.sendable for summary in summaries.values())
    if not rows and not any(
        state.open and n for one in summaries.values() for state, n in one.states.items()
    ):
        return True  # nothing would be sent
    if not sys.stdin.isatty():
        raise InvalidArgumentError("no terminal to ask on; add --yes to confirm", argument="yes")
    fen = sum(money.amount_fen for summary in summaries.values() for money in summary.to_send)
    wanted = f"{Fen(fen).yuan:.2f}" if fen else str(rows)
    what = "the total in yuan" if fen else "the number of rows"
    return ask(f"To send {total_of(summaries)}, type {what}").replace(",", "") == wanted


async def apply_all(
    accounts: Accounts,
    paths: dict[str, Path],
    summaries: dict[str, PlanSummary],
    options: ApplyOptions,
    stop: Stop,
) -> dict[str, ApplyResult]:
    """Carry out the plans of all accounts in parallel."""
    return await plans.apply_by_account(
        accounts, paths, summaries, options=options, progress=progress(), stop=stop
    )


def exit_code_of(results: Mapping[str, ApplyResult]) -> int:
    """Return the worst exit code: incomplete before failed before done."""
    codes = {result.exit_code for result in results.values()}
    return next(code for code in (3, 1, 0) if code in codes)
