"""The exit codes of the command, and which one an error has."""

from __future__ import annotations

from enum import IntEnum

import typer

from pandapon_async.cli.output import OutputError
from pandapon_async.cli.usage import USAGE_ERRORS
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
    Outcome,
    PandaponError,
)

__all__ = ["CHECK_ACCESS", "ExitCode", "exit_code"]

CHECK_ACCESS = """\
The vendor refused the credentials, so nothing more was asked. Check, in this order:
  PANDAPON_ACCESS_KEY, PANDAPON_ACCESS_SECRET and PANDAPON_USER_ID (environment or .env);
  that the key is enabled in the vendor's console, for the account of this user id;
  the clock of this machine: the vendor accepts 600 seconds of difference;
  the unit of the timestamp: `pandapon calibrate` tries both, with at most 20 reads;
  PANDAPON_BASE_URL, if you set it."""
"""The advice that comes with the code of AUTHENTICATION."""


class ExitCode(IntEnum):
    """The exit codes of the process."""

    OK = 0
    DIFFERENCES = 1
    USAGE = 2
    INCOMPLETE = 3
    AUTHENTICATION = 4
    UNFORESEEN = 70


def exit_code(error: BaseException) -> int:
    """Return the exit code for an error that ends the command."""
    from asyncio import CancelledError

    from pandapon_async.storage.damage import is_full

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, PandaponError):
        return _of_ours(error)
    if isinstance(error, USAGE_ERRORS):
        return ExitCode.USAGE
    if isinstance(error, typer.Abort | KeyboardInterrupt | CancelledError | OutputError):
        return ExitCode.INCOMPLETE
    if isinstance(error, OSError) and is_full(error):
        return ExitCode.INCOMPLETE
    if isinstance(error, OSError) and error.filename is not None:
        return ExitCode.USAGE
    return ExitCode.UNFORESEEN


def _of_ours(error: PandaponError) -> int:
    from pandapon_async.storage.damage import is_damage, is_misplaced

    if isinstance(error, AuthenticationError):
        return ExitCode.AUTHENTICATION
    usage = isinstance(error, ConfigurationError | InvalidArgumentError)
    if usage or is_damage(error) or is_misplaced(error):
        return ExitCode.USAGE
    if isinstance(error, ApiError) and error.outcome is Outcome.ANSWERED:
        return ExitCode.DIFFERENCES
    return ExitCode.INCOMPLETE
