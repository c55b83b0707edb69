"""The `pandapon` command: what an operator types.

Machines read stdout (JSON lines when it is no terminal), people read stderr. Exit codes of jobs: 0
all matched or done, 1 differences or some failed, 2 usage or a file that cannot be used, 3 incomplete, 4
authentication; 70 is an error that nobody foresaw.
"""

from __future__ import annotations

import sys
import traceback
from enum import IntEnum
from pathlib import Path
from typing import Final

import typer

from pandapon_async import __version__
from pandapon_async.cli import (
    calibrate,
    call,
    callbacks,
    clean,
    config,
    demo,
    doctor,
    endpoints,
    journal,
    openapi,
    reconcile,
    record,
    refunds,
    returns,
    sandbox,
    shared,
    vouchers,
)
from pandapon_async.cli.common import add_common_options
from pandapon_async.cli.new_journal import ADVICE, is_damaged_journal
from pandapon_async.cli.output import note, plain_output
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
    Outcome,
    PandaponError,
    RejectedError,
)
from pandapon_async.plain_text import one_line

__all__ = ["ExitCode", "app", "main"]


PACKAGE: Final = Path(__file__).parent.parent


class ExitCode(IntEnum):
    """What the process says when it ends."""

    OK = 0
    DIFFERENCES = 1
    USAGE = 2
    INCOMPLETE = 3
    AUTHENTICATION = 4
    UNFORESEEN = 70


app: Final = typer.Typer(
    name="pandapon",
    help="PandaPon OpenAPI from the shell: reconcile after-sales, run a sandbox, make single calls.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, and one of them is the secret
)
for _command in (
    calibrate.calibrate,
    clean.clean,
    demo.demo,
    doctor.doctor,
    endpoints.endpoints,
    openapi.openapi,
    reconcile.reconcile,
    record.record,
    sandbox.sandbox,
):
    app.command()(_command)
app.command(add_help_option=False)(call.call)  # its --help after a name is that call's own
for _name, _group in (
    ("callbacks", callbacks.callbacks_app),
    ("config", config.config_app),
    ("journal", journal.journal_app),
    ("refunds", refunds.refunds_app),
    ("returns", returns.returns_app),
    ("shared", shared.shared_app),
    ("vouchers", vouchers.vouchers_app),
):
    app.add_typer(_group, name=_name)
add_common_options(app)


def explain(error: PandaponError) -> str:
    """An error as an operator wants it: what happened, the vendor's own words, what to do."""
    lines = [f"error: {error}"]
    if isinstance(error, RejectedError) and error.error_info:
        lines.append(f"the platform says: {one_line(error.error_info)}")
    elif isinstance(error, ApiError) and error.msg:
        lines.append(f"the vendor says: {one_line(error.msg)}")
    if error.__cause__ is not None and isinstance(error.__cause__, PandaponError):
        lines.append(f"because: {error.__cause__}")
    if is_damaged_journal(error):
        lines.append(ADVICE)
    lines += getattr(error, "__notes__", ())
    return "\n".join(lines)


def main() -> None:
    """Run the command line; errors of ours become one message and an exit code."""
    with plain_output():
        if sys.flags.optimize > 1 and (len(sys.argv) == 1 or "--help" in sys.argv):
            note("python -OO leaves the descriptions of commands and calls out; run without it to read them")
        try:
            app()
        except PandaponError as error:
            print(explain(error), file=sys.stderr)
            raise SystemExit(exit_code(error)) from None
        except Exception as error:  # whatever it is, it is none of the ends that exit codes stand for
            print(unforeseen(error), file=sys.stderr)
            raise SystemExit(ExitCode.UNFORESEEN) from None


def unforeseen(error: Exception) -> str:
    """One line to report of an error that nobody foresaw: what and where, without any value or text of it."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(PACKAGE)]
    frame = (ours or frames)[-1]
    file = Path(frame.filename)
    where = f"{file.relative_to(PACKAGE.parent) if ours else file.name}:{frame.lineno}"
    python = f"Python {sys.version_info.major}.{sys.version_info.minor} on {sys.platform}"
    return (
        f"error: unforeseen {type(error).__name__} in {frame.name}, {where} (pandapon-async "
        f"{__version__}, {python}); please report this line and the command"
    )


def exit_code(error: PandaponError) -> int:
    """The exit code that an error ends the process with."""
    if isinstance(error, AuthenticationError):
        return ExitCode.AUTHENTICATION
    if isinstance(error, ConfigurationError | InvalidArgumentError) or is_damaged_journal(error):
        return ExitCode.USAGE
    if isinstance(error, ApiError) and error.outcome is Outcome.ANSWERED:
        return ExitCode.DIFFERENCES
    return ExitCode.INCOMPLETE
