"""The commands `show` and `apply` of `pandapon returns` and `pandapon refunds`.

The code that carries them out stands in `plans`, which loads the client, and is imported when they run.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from pandapon_async.cli.new_journal import NewJournal
from pandapon_async.cli.plan_options import (
    AllowSecond,
    AnyAccount,
    BaseUrl,
    Concurrency,
    DryRun,
    GroupReadable,
    JournalFile,
    Plan,
    Rate,
    ResendThrottled,
    SettleAfter,
    Yes,
    fen,
    given,
)

__all__ = ["apply_command", "show_command"]


def show_command(kind: str) -> Callable[[Path], None]:
    """Return the command that shows a plan again."""

    def show(plan: Plan) -> None:
        """Show the summary and the state of a plan; makes no request, changes nothing."""
        from pandapon_async.cli.plans import run_show

        run_show(kind, plan)

    return show


def apply_command(kind: str) -> Callable[..., None]:
    """Return the command that carries out a plan."""

    def apply(
        plan: Plan,
        yes: Yes = False,
        dry_run: DryRun = False,
        out: Annotated[
            Path | None,
            typer.Option(help="One line of JSON per row; default: PLAN.results.jsonl."),
        ] = None,
        max_total: Annotated[
            str | None,
            typer.Option(
                metavar="FEN", help="Send nothing if the sum of all rows is larger: 500000, or 5000yuan."
            ),
        ] = None,
        max_each: Annotated[
            str | None, typer.Option(metavar="FEN", help="Send nothing if the amount of one row is larger.")
        ] = None,
        stop_after_failures: Annotated[
            int | None, typer.Option(min=1, help="Send no more rows after this many failures.")
        ] = None,
        resend_absent: Annotated[
            bool,
            typer.Option(
                "--resend-absent",
                help="Send rows again that an earlier run did not find, if one more read does not find "
                "them either.",
            ),
        ] = False,
        resend_throttled: ResendThrottled = False,
        check_first: Annotated[
            bool,
            typer.Option("--check-first", help="Read every row before it is sent; use it after any restore."),
        ] = False,
        adopt_journal: Annotated[
            bool,
            typer.Option(
                "--adopt-journal", help="Continue with another journal; every row is read before it is sent."
            ),
        ] = False,
        new_journal: NewJournal = False,
        never_applied: Annotated[
            bool,
            typer.Option(
                "--never-applied", help="Nobody else applied this plan: also send rows that no read can show."
            ),
        ] = False,
        allow_second: AllowSecond = False,
        any_account: AnyAccount = False,
        allow_repeat: Annotated[
            bool, typer.Option("--allow-repeat", help="Send rows again that the journal has as done.")
        ] = False,
        wait: Annotated[
            bool, typer.Option(help="Wait at the end until unknown outcomes can be looked up.")
        ] = True,
        words: Annotated[
            bool,
            typer.Option(
                "--words", help="Keep the platform's messages about refusals, which may name people."
            ),
        ] = False,
        group_readable: GroupReadable = False,
        journal: JournalFile = None,
        settle_after: SettleAfter = None,
        rate: Rate = None,
        concurrency: Concurrency = None,
        base_url: BaseUrl = None,
    ) -> None:
        """Carry out a plan. An interrupted one resumes where it stopped; nothing is sent twice.

        A folder of plans is carried out with all its accounts after you type the total.

        Exit codes: 0 all done, 1 some failed or were refused, 2 usage, 3 incomplete (something not sent, or
        an unknown outcome), 4 authentication.
        """
        from pandapon_async.cli.plans import run_apply
        from pandapon_async.plans import ApplyOptions

        options = ApplyOptions(
            max_total=fen(max_total, "--max-total"),
            max_each=fen(max_each, "--max-each"),
            stop_after_failures=stop_after_failures,
            resend_absent=resend_absent,
            allow_repeat=allow_repeat,
            wait=wait,
            vendor_message=words,
            group_readable=group_readable,
            dry_run=dry_run,
            resend_throttled=resend_throttled,
            check_first=check_first,
            adopt_journal=adopt_journal,
            never_applied=never_applied,
            allow_second=allow_second,
            any_account=any_account,
            concurrency=concurrency,
        )
        settings = given(
            rate=rate,
            concurrency=concurrency,
            base_url=base_url,
            journal=journal,
            settle_after=settle_after,
        )
        raise typer.Exit(run_apply(kind, plan, out, options, settings, yes=yes, new_journal=new_journal))

    return apply
