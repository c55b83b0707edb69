"""The message for a wrong command line: the option, its value, what it accepts, and the help to read.

The parsing library has its own messages, which differ between versions and quote another library. So this
module reports its refusals by the type of the option. Refusals by a command itself have the command's own
message.
"""

from __future__ import annotations

import enum
import inspect
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo

from pandapon_async.plain_text import meant

__all__ = ["USAGE_ERRORS", "argument_name", "cannot_listen", "explain_usage", "value_of"]

USAGE_ERRORS: Final[Any] = typer.BadParameter.__mro__[2]
"""The base class of all parser errors: two steps above `typer.BadParameter`."""
_OURS = Path(__file__).parent
LONGEST = 40


def value_of(kind: Any) -> tuple[Any, list[str]]:
    """Return what an option accepts: the type of one value, and the choices if they are limited.

    >>> value_of(list[int] | None), value_of(Literal["a", "b"] | None)[1]
    ((<class 'int'>, []), ['a', 'b'])
    """
    if get_origin(kind) is Literal:
        return str, [*map(str, get_args(kind))]
    inner = [one for one in get_args(kind) if one is not type(None)]
    if inner and not isinstance(kind, type):
        return value_of(inner[0])
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind, [str(member.value) for member in kind]
    return kind, []


def cannot_listen(host: str, port: int, error: OSError) -> str:
    """Say why a server cannot listen, and which option helps; asyncio's own text repeats the address."""
    reason = os.strerror(error.errno) if error.errno else "the system refuses it"
    helps = f"--port {port + 1} takes another port, --port 0 a free one"
    return f"cannot listen on {host}:{port}: {reason}; {helps}"


def explain_usage(error: Any) -> str:
    """Return the message of a usage error, with the help to read."""
    context = getattr(error, "ctx", None)
    path = ["pandapon"]
    while context is not None and context.parent is not None:
        path.insert(1, context.info_name)
        context = context.parent
    return f"error: {_problem(error)}\nsee `{' '.join(path)} --help`"


def _problem(error: Any) -> str:
    parameter, refused = getattr(error, "param", None), getattr(error, "option_name", None)
    option = getattr(error, "param_hint", None) or (parameter and _option(parameter))
    if _is_ours(error):
        return f"{_named(option)}: {error.message}" if option else str(error.message)
    if refused is not None:
        return _of_option(error, str(refused))
    if parameter is None:
        return "no command was named"
    wanted = _wanted(error, parameter)
    if hasattr(error, "param_type"):  # it is missing from the command line
        return f"{option} is missing"
    typed = _typed(parameter)
    return f"{option}{'' if typed is None else f' {typed!r}'} {wanted or 'cannot be used'}"


def _of_option(error: Any, typed: str) -> str:
    """Describe an unknown option, or one with a missing or unexpected value."""
    known = {name: one for one in error.ctx.command.get_params(error.ctx) for name in _names(one)}
    parameter = known.get(typed)
    if parameter is None:
        return f"unknown option {typed}{meant(typed, known)}"
    if getattr(parameter, "is_flag", False):
        return f"{typed} takes no value"
    wanted = _wanted(error, parameter)
    return f"{typed} needs a value{f': it {wanted}' if wanted else ''}"


def _names(parameter: Any) -> list[str]:
    return [one for one in (*parameter.opts, *parameter.secondary_opts) if one.startswith("-")]


def _is_ours(error: BaseException) -> bool:
    """Whether one of our commands raised it, not the library."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(_OURS)


def _named(hint: Any) -> str:
    return hint if isinstance(hint, str) else " ".join(hint)


def _option(parameter: Any) -> str:
    return max(_names(parameter), key=len, default=f"the argument {argument_name(parameter)}")


def argument_name(argument: Any) -> str:
    """Return an argument's name in help and messages: LEDGER, PATHS..."""
    return str(argument.metavar or f"{argument.name.upper()}{'' if argument.nargs == 1 else '...'}")


def _typed(parameter: Any) -> str | None:
    """Return the last value typed for an option; None without one, and for an argument."""
    typed = None
    for name in _names(parameter):
        for argument, following in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
            if argument == name:
                typed = following
            elif argument.startswith(f"{name}="):
                typed = argument.partition("=")[2]
    return typed if typed is None or len(typed) <= LONGEST else f"{typed[: LONGEST - 1]}…"


def _wanted(error: Any, parameter: Any) -> str:
    """Describe what it accepts, from the signature of the command."""
    callback = getattr(getattr(getattr(error, "ctx", None), "command", None), "callback", None)
    declared = None if callback is None else inspect.signature(callback).parameters.get(parameter.name)
    if declared is None or get_origin(declared.annotation) is not Annotated:
        return ""
    kind, *metadata = get_args(declared.annotation)
    info = next((one for one in metadata if isinstance(one, OptionInfo | ArgumentInfo)), None)
    single, choices = value_of(kind)
    if choices:
        return f"must be one of {', '.join(choices)}"
    if single in (int, float):
        least, most = getattr(info, "min", None), getattr(info, "max", None)
        bounds = ("" if least is None else f" from {least:g}") + ("" if most is None else f" to {most:,}")
        return f"must be {'a whole number' if single is int else 'a number'}{bounds}"
    if single is Path and info is not None and info.exists:
        return "must be a file that can be read" if not info.dir_okay else "must exist"
    return ""
