"""Plans of several accounts from one table: one plan for each, in one folder, applied in parallel.

Each plan belongs to its account's sub-account and journal, like a plan of one account, and can be shown and
applied alone. The sum, the limits and the operator's consent apply to all together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import quote

import attrs

from pandapon_async.accounts import Accounts
from pandapon_async.errors import AuthenticationError, ConfigurationError, InvalidArgumentError
from pandapon_async.money import Fen
from pandapon_async.plans.apply import apply
from pandapon_async.plans.apply_result import ApplyResult
from pandapon_async.plans.columns import resolver
from pandapon_async.plans.create import create
from pandapon_async.plans.limits import counted_amounts
from pandapon_async.plans.options import ApplyOptions, PlanOptions
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import PlanKind, plan_type_of
from pandapon_async.plans.row_parser import whose_row
from pandapon_async.plans.stop import Stop
from pandapon_async.plans.summary import PlanSummary, summarize
from pandapon_async.progress import NullProgress, Progress
from pandapon_async.tables.open import open_table

__all__ = ["accounts_of_table", "apply_by_account", "plan_by_account", "plans_in", "summarize_by_account"]

T = TypeVar("T")

AT_ONCE: Final = 16
"""How many accounts are processed in parallel."""


def accounts_of_table(
    accounts: Accounts, kind: PlanKind | str, table: Path, options: PlanOptions
) -> tuple[str, ...] | None:
    """Return the accounts of a table's rows, in order; None if it names none. Blocks.

    Raises InvalidArgumentError for the first row whose account cannot be determined.
    """
    plan_type = plan_type_of(kind)
    opened = open_table(table, resolver(plan_type, options), options.reading)
    positions = opened.columns.positions
    if "account" not in positions and not ("shop" in positions and accounts.shops):
        return None
    fields, found = list(positions), dict[str, None]()
    for record in opened.records():
        where = f"row {record.row} of {table.name}"
        if record.problem is not None:
            why = f"cannot be read, so its account is not known: {record.problem}"
            raise InvalidArgumentError(f"{where} {why}", argument="table")
        try:
            whose = whose_row(plan_type, dict(zip(fields, record.cells, strict=False)), accounts.account_of)
        except InvalidArgumentError as error:
            raise InvalidArgumentError(f"{where}: {error}", argument="table") from None
        found[whose] = None
    return tuple(found)


async def plan_by_account(
    accounts: Accounts,
    names: tuple[str, ...],
    kind: PlanKind | str,
    table: Path,
    out: Path | None,
    *,
    options: PlanOptions,
    progress: Progress | None = None,
) -> dict[str, PlanSummary]:
    """Create a plan for each of these accounts; return the summary of each.

    Args:
        accounts: The accounts whose clients check the rows.
        names: The result of `accounts_of_table`.
        kind: "returns" or "refunds".
        table: The table with the rows of all accounts.
        out: The folder for the plans, which must not exist; None: only check.
        options: How to read the table; the same for all.
        progress: Receives the progress.

    Raises:
        ConfigurationError: The folder exists.
        AuthenticationError: The vendor refused an account. The plans of the other accounts are written.
    """
    if out is not None:
        if await asyncio.to_thread(out.exists):
            raise ConfigurationError(f"{out} exists, and plans are never overwritten; choose another --out")
        await asyncio.to_thread(out.mkdir, 0o700, parents=True)

    async def one(name: str) -> PlanSummary:
        mine = attrs.evolve(options, account=name, route=accounts.account_of)
        target = None if out is None else out / f"{quote(name, safe='')}.db"
        return await create(accounts.client(name), kind, table, target, options=mine)

    return await _side_by_side(accounts, names, one, progress or NullProgress())


def plans_in(folder: Path) -> dict[str, Path]:
    """Return the plans of a folder by account. Raises ConfigurationError for a plan without an account."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.db")):
        with PlanFile.reading(path) as file:
            name = file.get("account_name")
        if name is None or name in found:
            raise ConfigurationError(f"{path} is a plan without an account; apply it separately")
        found[name] = path
    if not found:
        raise ConfigurationError(f"{folder} has no plans")
    return found


def summarize_by_account(paths: dict[str, Path], options: ApplyOptions) -> dict[str, PlanSummary]:
    """Return the summary of each plan. Raises ConfigurationError if their sum exceeds `max_total`. Blocks."""
    if options.max_total is not None:
        total = 0
        for path in paths.values():
            with PlanFile.reading(path) as file:
                total += counted_amounts(file, options)[0]
        if total > options.max_total:
            raise ConfigurationError(
                f"the sum of the plans is {total} fen ({Fen(total).yuan} yuan), but --max-total is "
                f"{int(options.max_total)} fen; nothing was sent"
            )
    return {name: summarize(path, options=options) for name, path in paths.items()}


async def apply_by_account(
    accounts: Accounts,
    paths: dict[str, Path],
    agreed: dict[str, PlanSummary],
    *,
    options: ApplyOptions,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> dict[str, ApplyResult]:
    """Carry out or resume the plan of each account with its client; return the result of each.

    Args:
        accounts: The accounts whose clients send the rows.
        paths: The plans by account.
        agreed: The summaries that the operator approved; a plan that changed since is not begun.
        options: Limits and permissions; the same for all.
        progress: Receives the progress.
        stop: Ends all runs gracefully from elsewhere.

    Raises:
        AuthenticationError: The vendor refused an account. The plans of the other accounts are carried out.
    """

    async def one(name: str) -> ApplyResult:
        summary = agreed[name]
        expected = summary.sendable, sum(money.amount_fen for money in summary.to_send)
        mine = attrs.evolve(options, expected=expected)
        return await apply(accounts.client(name), paths[name], options=mine, stop=stop)

    return await _side_by_side(accounts, tuple(paths), one, progress or NullProgress())


async def _side_by_side(
    accounts: Accounts, names: tuple[str, ...], work: Callable[[str], Awaitable[T]], progress: Progress
) -> dict[str, T]:
    """Run a function for every account. A refused account keeps its rows; the others continue."""
    accounts.clients(names)  # an unusable account is reported before the first request
    places, refused = asyncio.Semaphore(AT_ONCE), list[AuthenticationError]()
    done: dict[str, T] = {}

    async def one(name: str) -> None:
        async with places:
            try:
                done[name] = await work(name)
            except AuthenticationError as error:
                progress.note(
                    f"account {name}: the vendor refused it; its rows were not sent, the other accounts "
                    "continue"
                )
                refused.append(error)
            else:
                progress.note(f"account {name}: done ({len(done)} of {len(names)})")

    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(one(name))
    if refused:
        raise refused[0]
    return {name: done[name] for name in names}
