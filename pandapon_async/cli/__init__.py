"""The `pandapon` command.

Machines read stdout (JSON lines if it is not a terminal), people read stderr. Exit codes of jobs: 0 all
matched or done, 1 differences or some failed, 2 usage error or unusable file, 3 incomplete, 4 authentication;
70 is an unforeseen error.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Annotated, Final

import typer

from pandapon_async import __version__
from pandapon_async.cli.exit_codes import ExitCode, exit_code
from pandapon_async.cli.lazy import LazyGroup, Place
from pandapon_async.cli.output import OutputError, note, plain_output
from pandapon_async.cli.parsing import ADDRESS, HERE
from pandapon_async.cli.usage import USAGE_ERRORS, explain_usage
from pandapon_async.errors import ApiError, PandaponError, RejectedError
from pandapon_async.plain_text import one_line

__all__ = ["ExitCode", "app", "main"]


PACKAGE: Final = Path(__file__).parent.parent


class _Root(LazyGroup):
    """`pandapon`: the list of commands, and the module of each."""

    places = {  # noqa: RUF012
        "calibrate": Place(
            "calibrate",
            "calibrate",
            "Find out with at most 20 reads how this vendor signs, where arguments go, and what its "
            "codes mean.",
        ),
        "clean": Place(
            "clean",
            "clean",
            "Delete old reports and states of `pandapon reconcile`; keep journals, plans and your own files.",
        ),
        "demo": Place(
            "demo", "demo", "Run the nightly job on an embedded sandbox, with faults and throttling."
        ),
        "doctor": Place(
            "doctor",
            "doctor",
            "Check clock, network, TLS, key, quota, journal, disk and versions; suggest what to do.",
        ),
        "endpoints": Place(
            "endpoints", "endpoints", "List the calls: a table on a terminal, JSON lines when piped."
        ),
        "openapi": Place(
            "openapi",
            "openapi",
            "Write the OpenAPI 3.1 document: schemas, examples, the signature, the envelope.",
        ),
        "reconcile": Place(
            "reconcile",
            "reconcile",
            "Compare a ledger of refunds with the platforms, row by row; resumes where it was interrupted.",
            optional_value=("--dask", HERE, ADDRESS),
        ),
        "reconcile split": Place(
            "reconcile_parts",
            "split",
            "Split a ledger into parts by refund id, so that duplicates stay together; makes no request.",
        ),
        "reconcile part": Place(
            "reconcile_parts",
            "part",
            "Look up the refunds of one part; a second run repeats no lookup of the same night.",
        ),
        "reconcile merge": Place(
            "reconcile_parts",
            "merge",
            "Judge the rows of all parts together and write the same files as one run of the whole ledger.",
        ),
        "record": Place(
            "record",
            "record",
            "Make one read and save its answer with replaced content, as a file to share.",
        ),
        "sandbox": Place("sandbox", "sandbox", "Run a local PandaPon sandbox until Ctrl-C."),
        "call": Place("call", "call", "Make one call; NAME --help shows its arguments.", own_help=True),
        "callbacks": Place(
            "callbacks", "callbacks_app", "Receive the vendor's pushes, list them, replay failed ones."
        ),
        "config": Place("config", "config_app", "Show and check the configuration."),
        "journal": Place(
            "journal", "journal_app", "Show the journal of writes, and resolve unknown outcomes."
        ),
        "refunds": Place(
            "refunds", "refunds_app", "Open refund forms in bulk: plan a table, check it, apply it."
        ),
        "returns": Place(
            "returns", "returns_app", "Send goods back in bulk: plan a table, check it, apply it."
        ),
        "shared": Place("shared", "shared_app", "The database that processes and machines share."),
        "vouchers": Place("vouchers", "vouchers_app", "Upload proof images."),
    }


app: Final = typer.Typer(
    name="pandapon",
    cls=_Root,
    # Plain help: rich's boxes truncate option names on a narrow terminal.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    pretty_exceptions_enable=False,  # its tracebacks print local variables, and one of them is the secret
)


def _tell_version(said: bool) -> None:
    if said:
        print(f"pandapon-async {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version and exit."),
    ] = False,
) -> None:
    """PandaPon OpenAPI from the shell: reconcile after-sales, run a sandbox, make single calls."""


def explain(error: PandaponError) -> str:
    """Print an error for an operator: what happened, the vendor's message, what to do."""
    from pandapon_async.cli.new_journal import ADVICE, is_damaged_journal

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
    """Run the command line; every failure becomes one message and an exit code."""
    with plain_output():
        if sys.flags.optimize > 1 and (len(sys.argv) == 1 or "--help" in sys.argv):
            note("python -OO removes the descriptions of commands and calls; run without it to read them")
        raise SystemExit(_run())


def _run() -> int:
    try:
        code = int(app(standalone_mode=False, prog_name="pandapon") or 0)
        sys.stdout.flush()
        return code
    except PandaponError as error:
        _say(explain(error))
        return exit_code(error)
    except USAGE_ERRORS as error:
        _say(explain_usage(error))
        return exit_code(error)
    except (typer.Abort, KeyboardInterrupt) as error:
        _say("stopped.")
        return exit_code(error)
    except OutputError as error:
        if error.reason is not None:
            _say(f"error: the output is incomplete: {error.reason}")
        return exit_code(error)
    except OSError as error:
        _say("\n".join([_of_system(error), *getattr(error, "__notes__", ())]))
        return exit_code(error)
    except Exception as error:  # an unforeseen error has an exit code of its own
        _say(unforeseen(error))
        return exit_code(error)


def _of_system(error: OSError) -> str:
    """Return the message for an error of a file or the system."""
    from pandapon_async.storage.damage import is_full

    reason = error.strerror or type(error).__name__
    if is_full(error):
        where = f"{error.filename}: " if error.filename else ""
        return f"error: {where}{reason}; free space and run the command again"
    if error.filename is None:
        return unforeseen(error)
    return f"error: {error.filename} cannot be used: {reason}"


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def unforeseen(error: Exception) -> str:
    """Return one line about an unforeseen error: what and where, without its text or any value."""
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
