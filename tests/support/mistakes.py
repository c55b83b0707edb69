"""Every mistake that can be typed: for each command and each of its arguments and options, and what is told.

They are made from the commands themselves, so a new option is in the table of docs/exit-codes.md at once.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import attrs
import typer
from typer.models import ArgumentInfo, OptionInfo

from pandapon_async import cli
from pandapon_async.cli.common import _COMMON
from pandapon_async.cli.usage import value_of

__all__ = ["COMMANDS", "Mistake", "common_mistakes", "groups", "mistakes"]


@attrs.frozen
class Mistake:
    """Something that is typed wrongly."""

    command: str
    """Such as "journal list"."""
    typed: tuple[str, ...]
    """What stands behind the command's name."""
    told: str
    """The whole first line, without "error: "."""
    common: bool = False
    """Whether it is the same for every command."""
    shown: bool = True
    """Whether the table has it: that options need a value, and flags take none, it says once."""

    @property
    def line(self) -> str:
        """As it is typed."""
        return " ".join(("pandapon", self.command, *self.typed))


def _tree(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    command = command or typer.main.get_command(cli.app)
    yield " ".join(path), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from _tree(inner, (*path, name))


_ALL = dict(_tree())
COMMANDS = {name: one for name, one in _ALL.items() if not hasattr(one, "commands")}
"""The commands by name, without the groups."""


def groups() -> list[str]:
    """The groups: alone they show their help."""
    return [name for name, one in _ALL.items() if hasattr(one, "commands")]


def common_mistakes() -> list[Mistake]:
    """What is the same for every command, with one of them."""
    return [one for one in _of("endpoints") if one.common]


def mistakes(command: str) -> list[Mistake]:
    """What is a command's own."""
    return [one for one in _of(command) if not one.common]


def _of(name: str) -> Iterator[Mistake]:
    command = COMMANDS[name]
    yield Mistake(name, ("--zzz",), "unknown option --zzz", common=True)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    if missing := next((one for one in command.params if one.required), None):
        yield Mistake(name, (), f"{_name(missing)} is missing")
    if all(one.nargs == 1 for one in arguments):
        needed = [one for one in command.params if one.required and one.param_type_name == "option"]
        typed = [*("1" for _ in arguments), *(text for one in needed for text in (_name(one), "1"))]
        yield Mistake(name, (*typed, "extra"), "unexpected argument 'extra'")
    for one in command.params:
        taken = Taken.by(command, one)
        if one.param_type_name == "option":
            yield from _of_option(name, one, taken)
        elif taken.wanted:
            yield Mistake(name, ("abc",), f"{_name(one)} {taken.wanted}")


def _of_option(name: str, one: Any, taken: Taken) -> Iterator[Mistake]:
    option, wanted, common = _name(one), taken.wanted, one.name in _COMMON
    if one.is_flag:
        for spelling in (*one.opts, *one.secondary_opts):
            if spelling.startswith("--"):
                told = f"{spelling} takes no value"
                yield Mistake(name, (f"{spelling}=x",), told, common=common, shown=common)
        return
    place = cli._Root.places.get(name)
    if place is None or place.optional_value is None or place.optional_value[0] != option:
        told = f"{option} needs a value{f': it {wanted}' if wanted else ''}"
        yield Mistake(name, (option,), told, common=common, shown=common)
    for value in ("abc", *taken.outside) if wanted else ():
        yield Mistake(name, (option, value), f"{option} '{value}' {wanted}", common=common)


def _name(one: Any) -> str:
    if one.param_type_name == "argument":
        several = "..." if one.nargs != 1 and not one.metavar else ""
        return f"the argument {one.metavar or one.name.upper()}{several}"
    return str(max((name for name in one.opts if name.startswith("-")), key=len))


@attrs.frozen
class Taken:
    """What an argument or an option takes, from the signature of the command."""

    wanted: str = ""
    """As messages say it; empty where every text will do."""
    outside: tuple[str, ...] = ()
    """Numbers below and above what it takes."""

    @classmethod
    def by(cls, command: Any, one: Any) -> Taken:
        """What this one takes."""
        declared = inspect.signature(command.callback).parameters.get(one.name)
        if declared is None or get_origin(declared.annotation) is not Annotated:
            return cls()  # of the library: help and completion
        kind, *metadata = get_args(declared.annotation)
        info = next(found for found in metadata if isinstance(found, OptionInfo | ArgumentInfo))
        single, choices = value_of(kind)
        if choices:
            return cls(f"must be one of {', '.join(choices)}")
        if single is Path and info.exists:
            return cls("must be a file that can be read")
        if single not in (int, float):
            return cls()
        low, high = info.min, info.max
        bounds = ("" if low is None else f" from {low:g}") + ("" if high is None else f" to {high:,}")
        outside = [] if low is None else ["0" if low > 0 else "-1"]
        outside += [] if high is None else [str(int(high) + 1)]
        return cls(f"must be a {'whole ' if single is int else ''}number{bounds}", tuple(outside))
