"""Planning and applying from the shell, the same for returns and refunds.

Progress and questions go to stderr. stdout gets tables on a terminal and otherwise one line of JSON.
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

from pandapon_async import plans
from pandapon_async.cli.output import Console
from pandapon_async.cli.plan_options import (
    BaseUrl,
    Concurrency,
    DryRun,
    JournalFile,
    Plan,
    Rate,
    SettleAfter,
    Yes,
    beside_the_plan,
    fen,
    given,
)
from pandapon_async.cli.plan_show import amount, rows, show_applied, show_overview, what_it_does
from pandapon_async.cli.reconcile import CHECK_ACCESS
from pandapon_async.client import Client
from pandapon_async.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
    JournalUnavailableError,
)
from pandapon_async.plans import ApplyOptions, ApplyResult, PlanKind, PlanOptions, PlanSummary, RowState, Stop
from pandapon_async.reconcile import ConsoleProgress

__all__ = ["apply_command", "run_plan", "show_command"]


def run_plan(
    kind: PlanKind,
    table: Path,
    out: Path | None,
    dry_run: bool,
    options: PlanOptions,
    settings: dict[str, Any],
) -> int:
    """Make a plan and tell what it comes to; gives the exit code."""
    if out is None and not dry_run:
        raise typer.BadParameter("say where the plan goes, or --dry-run", param_hint="--out")

    async def work() -> PlanSummary:
        async with Client.from_env(**settings) as client:
            target = None if dry_run else out
            return await plans.plan(
                client, kind, table, target, options=options, progress=ConsoleProgress(sys.stderr)
            )

    try:
        overview = asyncio.run(work())
    except AuthenticationError as error:
        _say(f"error: {error}\n{CHECK_ACCESS}\nNo plan was written.")
        return 4
    except KeyboardInterrupt:
        _say("stopped; no plan was written.")
        return 3
    except (OSError, sqlite3.Error) as error:
        _say(f"error: {error}; no plan was written.")
        return 3
    if sys.stdout.isatty():
        show_overview(Console(), overview)
    else:
        _write_json({"plan": None if dry_run else str(out), **overview.to_json()})
    if not overview.sendable:
        _say("no row can be sent: mend the table and plan again.")
        return 3 if overview.unchecked and not overview.offline else 1
    if out is not None and not dry_run:
        command = shlex.join(["pandapon", kind.value, "apply", str(out)])
        _say(f"planned, nothing was sent. To carry it out:\n  {command}")
    if overview.unchecked and not overview.offline:
        return 3
    return 1 if overview.states[RowState.REFUSED] else 0


def show_command(kind: PlanKind) -> Callable[[Path], None]:
    """The command that shows a plan again."""

    def show(plan: Plan) -> None:
        """Show what a plan comes to and where it stands; asks nobody, changes nothing."""
        overview = plans.summarize(plan)
        _check_kind(kind, overview, plan)
        if sys.stdout.isatty():
            show_overview(Console(), overview)
        else:
            _write_json({"plan": str(plan), **overview.to_json()})

    return show


def apply_command(kind: PlanKind) -> Callable[..., None]:
    """The command that carries a plan out."""

    def apply(
        plan: Plan,
        yes: Yes = False,
        dry_run: DryRun = False,
        out: Annotated[
            Path | None,
            typer.Option(help="One line of JSON per row; default: results.jsonl beside the plan."),
        ] = None,
        max_total: Annotated[
            str | None,
            typer.Option(metavar="FEN", help="Do not begin if all rows come to more: 500000, or 5000yuan."),
        ] = None,
        max_each: Annotated[
            str | None, typer.Option(metavar="FEN", help="Do not begin if one row is about more than this.")
        ] = None,
        stop_after_failures: Annotated[
            int | None, typer.Option(min=1, help="Start nothing new after so many failed rows.")
        ] = None,
        resend_absent: Annotated[
            bool, typer.Option("--resend-absent", help="Send again what was sent before and did not land.")
        ] = False,
        allow_repeat: Annotated[
            bool, typer.Option("--allow-repeat", help="Do again what the journal says was done before.")
        ] = False,
        wait: Annotated[
            bool, typer.Option(help="Wait at the end until unknown outcomes can be found out.")
        ] = True,
        words: Annotated[
            bool, typer.Option("--words", help="Keep what the platform says of refusals; it may name people.")
        ] = False,
        journal: JournalFile = None,
        settle_after: SettleAfter = None,
        rate: Rate = None,
        concurrency: Concurrency = None,
        base_url: BaseUrl = None,
    ) -> None:
        """Carry a plan out; goes on where it was interrupted, and does nothing twice.

        Exit codes: 0 all done, 1 some failed or were refused, 2 usage, 3 incomplete (something not sent or of
        unknown outcome), 4 authentication.
        """
        overview = plans.summarize(plan, resend_absent=resend_absent)
        _check_kind(kind, overview, plan)
        options = ApplyOptions(
            max_total=fen(max_total, "--max-total"),
            max_each=fen(max_each, "--max-each"),
            stop_after_failures=stop_after_failures,
            resend_absent=resend_absent,
            allow_repeat=allow_repeat,
            wait=wait,
            vendor_message=words,
            dry_run=dry_run,
            concurrency=concurrency,
            expected=(overview.sendable, sum(money.amount_fen for money in overview.to_send)),
        )
        settings = given(
            rate=rate,
            concurrency=concurrency,
            base_url=base_url,
            journal=journal,
            settle_after=settle_after,
        )
        show_overview(Console(stderr=True), overview)
        plans.check_limits(plan, options)  # before anybody is asked
        if not dry_run and not yes and not _agreed(overview):
            _say("nothing was sent.")
            raise typer.Exit(3)
        raise typer.Exit(_run_apply(kind, plan, out, options, beside_the_plan(plan, settings)))

    return apply


def _check_kind(kind: PlanKind, overview: PlanSummary, plan: Path) -> None:
    if overview.kind != kind:
        raise ConfigurationError(f"{plan} is a plan of {overview.kind}: use `pandapon {overview.kind}`")


def _agreed(overview: PlanSummary) -> bool:
    """Ask, where there is somebody to ask."""
    open_rows = sum(count for state, count in overview.states.items() if state.open)
    if not overview.sendable and not open_rows:
        return True  # nothing would be sent
    if not sys.stdin.isatty():
        raise InvalidArgumentError("there is no terminal to ask on: say --yes", argument="yes")
    money = ", ".join(amount(money.amount_fen, money.currency) for money in overview.to_send)
    earlier = f" and find out about {open_rows:,} that an earlier run left open" if open_rows else ""
    question = f"Send {what_it_does(overview.kind, overview.sendable)} ({money or 'no amount'}){earlier}?"
    return typer.confirm(question, err=True)


def _run_apply(
    kind: PlanKind, plan: Path, out: Path | None, options: ApplyOptions, settings: dict[str, Any]
) -> int:
    try:
        applied = asyncio.run(_apply(plan, out, options, settings))
    except AuthenticationError as error:
        _say(f"error: {error}\n{CHECK_ACCESS}\n{_go_on()}")
        return 4
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say(f"cut off; what was on its way is of unknown outcome until it is asked about. {_go_on()}")
        return 3
    except (JournalUnavailableError, OSError, sqlite3.Error) as error:
        _say(f"error: {error}. Nothing more was sent. {_go_on()}")
        return 3
    if sys.stdout.isatty():
        show_applied(Console(), applied)
    else:
        _write_json({"plan": str(plan), **applied.to_json()})
    if not applied.dry_run:
        _advise(kind, applied)
    return applied.exit_code


async def _apply(
    plan: Path, out: Path | None, options: ApplyOptions, settings: dict[str, Any]
) -> ApplyResult:
    stop = Stop()
    task = asyncio.current_task()
    assert task is not None

    def interrupt() -> None:
        if stop.hurried:
            task.cancel()
            return
        stop.request("interrupted", hurry=True)
        _say("stopping: nothing new is sent, what is on its way ends first (once more cuts it off)")

    with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows; not the main thread
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupt)
    async with Client.from_env(**settings) as client:
        return await plans.apply(
            client, plan, options=options, results=out, progress=ConsoleProgress(sys.stderr), stop=stop
        )


def _advise(kind: PlanKind, applied: ApplyResult) -> None:
    """What is left to do, and how."""
    if applied.stopped:
        _say(f"stopped early: {applied.stopped}.")
    unknown = applied.states[RowState.UNKNOWN] + applied.states[RowState.APPLYING]
    if unknown:
        _say(
            f"{rows(unknown)} of unknown outcome, which will not be sent again. Apply the plan once more "
            "to ask about them, or look into the vendor's console and say what you saw:\n"
            f"  pandapon journal resolve INTENT --as done|absent --note '...' --journal {applied.journal}"
        )
    if absent := applied.states[RowState.SETTLED_ABSENT]:
        _say(f"{rows(absent)} did not land. To send again what did not land, add --resend-absent.")
    if applied.left or applied.states[RowState.NOT_SENT]:
        _say(_go_on())


def _go_on() -> str:
    return f"Go on with:\n  {shlex.join(['pandapon', *sys.argv[1:]])}"


def _write_json(facts: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(facts, ensure_ascii=False, separators=(",", ":")) + "\n")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
