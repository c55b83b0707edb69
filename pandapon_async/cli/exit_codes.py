"""The exit codes of the command, and which one an error has."""

from __future__ import annotations

import asyncio
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

__all__ = ["ExitCode", "exit_code"]


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
    from pandapon_async.storage.damage import is_full

    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, PandaponError):
        return _of_ours(error)
    if isinstance(error, USAGE_ERRORS):
        return ExitCode.USAGE
    if isinstance(error, typer.Abort | KeyboardInterrupt | asyncio.CancelledError | OutputError):
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
