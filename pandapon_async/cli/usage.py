"""What is said of a command that is typed wrongly: the option, the value, what it takes, where to read more.

The library that reads the command line has texts of its own, which differ from version to version and quote
those of a third one. What it refuses is told here by the type of the option. What a command refuses itself,
it says in its own words.
"""

from __future__ import annotations

import enum
import inspect
import sys
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args, get_origin

import typer
from typer.models import ArgumentInfo, OptionInfo

__all__ = ["USAGE_ERRORS", "explain_usage", "value_of"]

USAGE_ERRORS: Final[Any] = typer.BadParameter.__mro__[2]
"""Everything that the reader of the command line raises: two steps above `typer.BadParameter`."""
_OURS = Path(__file__).parent
LONGEST = 40


def value_of(kind: Any) -> tuple[Any, list[str]]:
    """What an option takes: the type of one value, and the choices if only some are allowed.

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


def explain_usage(error: Any) -> str:
    """The message of a usage error, and which help to read."""
    context = getattr(error, "ctx", None)
    path = ["pandapon"]
    while context is not None and context.parent is not None:
        path.insert(1, context.info_name)
        context = context.parent
    return f"error: {_problem(error)}\nsee `{' '.join(path)} --help`"


def _problem(error: Any) -> str:
    parameter, message = getattr(error, "param", None), str(error.message)
    option = getattr(error, "param_hint", None) or (parameter and _option(parameter))
    if _is_ours(error):
        return f"{_named(option)}: {message}" if option else message
    if parameter is None:
        return message[:1].lower() + message[1:].rstrip(".")
    wanted, value = _wanted(error, parameter), _typed(parameter)
    if value is None:
        return f"{option} is missing"
    return f"{option} {value!r} {wanted or 'cannot be used'}"


def _is_ours(error: BaseException) -> bool:
    """Whether a command of ours raised it, and not the library."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and Path(trace.tb_frame.f_code.co_filename).is_relative_to(_OURS)


def _named(hint: Any) -> str:
    return hint if isinstance(hint, str) else " ".join(hint)


def _option(parameter: Any) -> str:
    longest = max(getattr(parameter, "opts", ()), key=len, default=parameter.name)
    return str(longest) if str(longest).startswith("-") else f"the argument {str(longest).upper()}"


def _typed(parameter: Any) -> str | None:
    """What was typed for it, the last time; None if nothing was, or it is an argument."""
    typed = None
    for name in (one for one in getattr(parameter, "opts", ()) if one.startswith("-")):
        for argument, following in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
            if argument == name:
                typed = following
            elif argument.startswith(f"{name}="):
                typed = argument.partition("=")[2]
    return typed if typed is None or len(typed) <= LONGEST else f"{typed[: LONGEST - 1]}…"


def _wanted(error: Any, parameter: Any) -> str:
    """What it takes, from the signature of the command."""
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
        return "is not a file that can be read" if not info.dir_okay else "does not exist"
    return ""
