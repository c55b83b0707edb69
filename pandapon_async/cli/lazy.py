"""Import commands only when they run: `--help` needs only their names and one line each.

All of them together load the client, the sandbox, tables and reports, which takes most of a second.
"""

from __future__ import annotations

import functools
import importlib
import re
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import typer

from pandapon_async.cli.parsing import Command, Group

__all__ = ["LazyGroup", "Place", "with_value"]


class Place(NamedTuple):
    """The place of a command: a function or a `typer.Typer` in a module."""

    module: str
    """Its module, below `pandapon_async.cli`."""
    attribute: str
    """Its name there."""
    summary: str
    """Its line in `--help`; a test compares it with the command's docstring."""
    own_help: bool = False
    """Whether it has its own `--help`."""
    optional_value: tuple[str, str, str] | None = None
    """An option that may have no value, the value that this means, and the form of other values."""


class LazyGroup(Group):
    """A group of commands that are loaded one by one; a subclass lists them."""

    places: ClassVar[Mapping[str, Place]] = {}
    """The commands by name, in the order in which they are listed."""
    _describing = False

    @property
    def commands(self) -> dict[str, Any]:
        """Load all of them."""
        return {name: _load(name, place) for name, place in self.places.items()}

    @commands.setter
    def commands(self, given: object) -> None:
        """The commands that typer knows: none."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        return list(self.places)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command; while help is written, only its help line."""
        place = self.places.get(cmd_name)
        if place is None:
            return None
        return Command(cmd_name, help=place.summary) if self._describing else _load(cmd_name, place)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name; its name may have two words."""
        both = " ".join(args[:2])
        if len(args) > 1 and both in self.places:
            return both, self.get_command(ctx, both), args[2:]
        place = self.places.get(args[0])
        if place is not None and place.optional_value is not None:
            args = with_value(args, *place.optional_value)
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help of the group."""
        self._describing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._describing = False

    def summaries(self, ctx: Any) -> Iterator[tuple[str, str]]:
        """List the commands and what each does."""
        return ((name, place.summary) for name, place in self.places.items())


def with_value(args: list[str], option: str, alone: str, form: str) -> list[str]:
    """Insert the value of an option without one, because the parser does not support optional values.

    >>> with_value(["--dask", "ledger.csv"], "--dask", "here", "[a-z]+://.+")
    ['--dask', 'here', 'ledger.csv']
    """
    if option not in args:
        return args
    at = args.index(option) + 1
    if at < len(args) and re.fullmatch(form, args[at]):
        return args
    return [*args[:at], alone, *args[at:]]


@functools.cache
def _load(name: str, place: Place) -> Any:
    """Add the common options to a command, once, because they are added in place."""
    from pandapon_async.cli.common import add_common_options

    made = getattr(importlib.import_module(f"pandapon_async.cli.{place.module}"), place.attribute)
    if isinstance(made, typer.Typer):
        add_common_options(made)
        made.rich_markup_mode = None  # like the root command
        made.info.cls = Group
        for command in made.registered_commands:
            command.cls = Command
        group = typer.main.get_group(made)
        group.name = name
        return group
    alone = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    alone.command(name, cls=Command, add_help_option=not place.own_help)(made)
    add_common_options(alone)
    return typer.main.get_command(alone)
