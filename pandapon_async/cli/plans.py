"""Plan and apply from the shell, shared by returns and refunds.

Progress and questions go to stderr. stdout gets tables on a terminal and otherwise one line of JSON.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import attrs
import typer

from pandapon_async import plans
from pandapon_async.cli.console import Console
from pandapon_async.cli.exit_codes import CHECK_ACCESS
from pandapon_async.cli.new_journal import begin_new_journal
from pandapon_async.cli.output import confirmed, for_people, progress
from pandapon_async.cli.plan_options import accounts_beside, beside_the_plan
from pandapon_async.cli.plan_show import amount, rows, show_result, show_summary, what_it_does
from pandapon_async.cli.plans_by_account import agreed_to_all, apply_all, exit_code_of, plan_all, show_all
from pandapon_async.client import Client
from pandapon_async.environment import ACCOUNT
from pandapon_async.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
    JournalUnavailableError,
)
from pandapon_async.plans import ApplyOptions, ApplyResult, PlanKind, PlanOptions, PlanSummary, RowState, Stop
from pandapon_async.storage.damage import is_damage, is_misplaced

__all__ = ["run_apply", "run_plan", "run_show"]


def run_plan(
    kind: PlanKind,
    table: Path,
    out: Path | None,
    dry_run: bool,
    options: PlanOptions,
    settings: dict[str, Any],
    new_journal: bool = False,
) -> int:
    """Create a plan and print its summary; return the exit code."""
    if out is None and not dry_run:
        raise typer.BadParameter("name the plan with --out FILE, or use --dry-run", param_hint="--out")

    target = None if dry_run else out
    if target is not None:
        settings = beside_the_plan(target, settings)
    if new_journal:
        begin_new_journal(settings)

    async def work() -> PlanSummary | dict[str, PlanSummary]:
        accounts = accounts_beside(target, settings)
        if accounts is not None:
            async with accounts:
                of_all = await plan_all(accounts, kind, table, target, options)
                return of_all or await plan_with(accounts.only())
        async with Client.from_env(**settings) as client:
            return await plan_with(client)

    async def plan_with(client: Client) -> PlanSummary:
        mine = attrs.evolve(options, account=os.environ.get(ACCOUNT))
        return await plans.create(client, kind, table, target, options=mine, progress=progress())

    try:
        summary = asyncio.run(work())
    except AuthenticationError as error:
        _say(f"error: {error}\n{CHECK_ACCESS}\nNo plan was written.")
        return 4
    except KeyboardInterrupt:
        _say("stopped; no plan was written.")
        return 3
    except OSError as error:
        error.add_note("no plan was written.")
        raise
    if isinstance(summary, dict):
        return _told_of_all(kind, summary, target)
    if for_people():
        show_summary(Console(), summary)
    else:
        _write_json({"plan": None if dry_run else str(out), **summary.to_dict()})
    if not summary.sendable:
        _say("no row can be sent; correct the table and create the plan again.")
        return 3 if summary.unchecked and not summary.offline else 1
    if out is not None and not dry_run:
        command = shlex.join(["pandapon", kind.value, "apply", str(out)])
        _say(f"planned, nothing was sent. To carry it out:\n  {command}")
    if summary.unchecked and not summary.offline:
        return 3
    return 1 if summary.states[RowState.REFUSED] else 0


def _told_of_all(kind: PlanKind, summaries: dict[str, PlanSummary], out: Path | None) -> int:
    """Print the summaries of all accounts' plans; return the exit code."""
    show_all(summaries, _say)
    _write_json(
        {"plan": out and str(out), "accounts": {name: one.to_dict() for name, one in summaries.items()}}
    )
    if out is not None:
        command = shlex.join(["pandapon", kind.value, "apply", str(out)])
        _say(f"planned, nothing was sent. To carry all of them out:\n  {command}")
    if any(one.unchecked and not one.offline for one in summaries.values()):
        return 3
    return 1 if any(one.states[RowState.REFUSED] for one in summaries.values()) else 0


def _apply_folder(
    kind: str, folder: Path, options: ApplyOptions, settings: dict[str, Any], *, yes: bool
) -> int:
    """Carry out the plans of several accounts after one confirmation; return the exit code."""
    paths = plans.plans_in(folder)
    summaries = plans.summarize_by_account(paths, options)
    for name, summary in summaries.items():
        _check_plan_type(kind, summary, paths[name])
        plans.check_limits(paths[name], options)
    show_all(summaries, _say)
    if not options.dry_run and not yes and not agreed_to_all(summaries):
        _say("that is not the total; nothing was sent.")
        return 3

    async def work() -> dict[str, ApplyResult]:
        accounts = accounts_beside(folder, settings)
        if accounts is None:
            raise ConfigurationError("the plans belong to several accounts; configure these in pandapon.toml")
        async with accounts:
            return await apply_all(accounts, paths, summaries, options, _stop_at_signals())

    try:
        results = asyncio.run(work())
    except AuthenticationError as error:
        _say(f"error: {error}\n{CHECK_ACCESS}\n{_go_on()}")
        return 4
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say(f"interrupted; writes in flight have an unknown outcome until they are looked up. {_go_on()}")
        return 3
    _write_json({"plan": str(folder), "accounts": {name: one.to_dict() for name, one in results.items()}})
    for name, result in results.items():
        if result.left or result.done != result.rows:
            _say(f"{name}: {result.done:,} of {rows(result.rows)} done, {result.left:,} left")
    return exit_code_of(results)


def run_show(kind: str, plan: Path) -> None:
    """Print what a plan would do."""
    if plan.is_dir():
        summaries = plans.summarize_by_account(plans.plans_in(plan), ApplyOptions())
        show_all(summaries, _say)
        _write_json({name: one.to_dict() for name, one in summaries.items()})
        return
    summary = plans.summarize(plan)
    _check_plan_type(kind, summary, plan)
    if for_people():
        show_summary(Console(), summary)
    else:
        _write_json({"plan": str(plan), **summary.to_dict()})


def run_apply(
    kind: str,
    plan: Path,
    out: Path | None,
    options: ApplyOptions,
    settings: dict[str, Any],
    *,
    yes: bool,
    new_journal: bool,
) -> int:
    """Carry out a plan after a confirmation; return the exit code."""
    if plan.is_dir():
        if out is not None or new_journal:
            raise typer.BadParameter("has several plans; name one of them", param_hint="PLAN")
        of_all = {name: value for name, value in settings.items() if name != "base_url"}
        return _apply_folder(kind, plan, options, of_all, yes=yes)
    summary = plans.summarize(plan, options=options)
    _check_plan_type(kind, summary, plan)
    agreed = (summary.sendable, sum(money.amount_fen for money in summary.to_send))
    options = attrs.evolve(options, expected=agreed)
    settings = beside_the_plan(plan, settings)
    show_summary(Console(stderr=True), summary)
    # Reasons against the run are reported before the question.
    plans.check_limits(plan, options)
    if new_journal:
        begin_new_journal(settings)
    if not options.adopt_journal:
        _check_journal(plan, settings)
    if not options.dry_run and not yes and not _agreed(summary):
        _say("nothing was sent.")
        return 3
    return _run_apply(kind, plan, out, options, settings)


def _check_journal(plan: Path, settings: dict[str, Any]) -> None:
    async def check() -> None:
        async with Client.from_env(**settings) as client:
            await plans.check_journal(client, plan)

    asyncio.run(check())


def _check_plan_type(kind: str, summary: PlanSummary, plan: Path) -> None:
    if summary.kind != kind:
        raise ConfigurationError(f"{plan} is a plan of {summary.kind}: use `pandapon {summary.kind}`")


def _agreed(summary: PlanSummary) -> bool:
    """Ask for confirmation if there is a terminal."""
    open_rows = sum(count for state, count in summary.states.items() if state.open)
    if not summary.sendable and not open_rows:
        return True  # nothing would be sent
    if not sys.stdin.isatty():
        raise InvalidArgumentError("no terminal to ask on; add --yes to confirm", argument="yes")
    money = ", ".join(amount(money.amount_fen, money.currency) for money in summary.to_send)
    earlier = f" and look up {open_rows:,} that an earlier run left open" if open_rows else ""
    question = f"Send {what_it_does(summary.kind, summary.sendable)} ({money or 'no amount'}){earlier}?"
    return confirmed(question)


def _run_apply(
    kind: str, plan: Path, out: Path | None, options: ApplyOptions, settings: dict[str, Any]
) -> int:
    try:
        result = asyncio.run(_apply(plan, out, options, settings))
    except AuthenticationError as error:
        _say(f"error: {error}\n{CHECK_ACCESS}\n{_go_on()}")
        return 4
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say(f"interrupted; writes in flight have an unknown outcome until they are looked up. {_go_on()}")
        return 3
    except (JournalUnavailableError, ConfigurationError, OSError) as error:
        if isinstance(error, ConfigurationError) and (error.__cause__ is None or is_damage(error)):
            raise  # a second run would end the same way
        if isinstance(error, OSError) and is_misplaced(error):
            error.add_note(f"Nothing more was sent. {_go_on()}")
            raise
        reason = error.strerror if isinstance(error, OSError) else error
        _say(f"error: {reason}. Nothing more was sent. {_go_on()}")
        return 3
    if for_people():
        show_result(Console(), result)
    else:
        _write_json({"plan": str(plan), **result.to_dict()})
    if not result.dry_run:
        _advise(kind, result)
    return result.exit_code


async def _apply(
    plan: Path, out: Path | None, options: ApplyOptions, settings: dict[str, Any]
) -> ApplyResult:
    stop = _stop_at_signals()
    async with Client.from_env(**settings) as client:
        return await plans.apply(client, plan, options=options, results=out, progress=progress(), stop=stop)


def _stop_at_signals() -> Stop:
    """Stop the run gracefully at the first signal, and interrupt it at the second."""
    stop = Stop()
    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        if stop.hurried:
            task.cancel()
            return
        stop.request("interrupted", hurry=True)
        _say(
            "stopping: no new rows are sent, and rows in flight finish first (press Ctrl-C again to "
            "interrupt them)"
        )

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows; not the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
    return stop


def _advise(kind: str, result: ApplyResult) -> None:
    """Print what is left to do, and how."""
    if result.stopped:
        _say(f"stopped early: {result.stopped}.")
    unknown = result.states[RowState.UNKNOWN] + result.states[RowState.APPLYING]
    if unknown:
        _say(
            f"{rows(unknown)} with an unknown outcome, which will not be sent again. Apply the plan once "
            "more to look them up, or check the vendor's console and settle each by hand:\n  pandapon "
            f"journal resolve INTENT --as done|absent --note '...' --journal {result.journal}"
        )
    if absent := result.states[RowState.SETTLED_ABSENT]:
        _say(f"{rows(absent)} not found after the write. To send them again, add --resend-absent.")
    if result.left or result.states[RowState.NOT_SENT]:
        _say(_go_on())


def _go_on() -> str:
    return f"Continue with:\n  {shlex.join(['pandapon', *sys.argv[1:]])}"


def _write_json(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
