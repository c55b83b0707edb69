"""Typer's commands and groups with error messages of our own and complete lists.

The library's own messages differ between versions, truncate the list of a group, and quote another library.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from pandapon_async.cli.usage import USAGE_ERRORS, argument_name
from pandapon_async.plain_text import meant

__all__ = ["ADDRESS", "HERE", "Command", "Group"]

HERE: Final = "here"
"""The value of `--dask` without an address: a cluster on this machine for this run."""
ADDRESS: Final = r"[a-z]+://\S+|\S+:[0-9]{1,5}|\S+\.json|here"
"""The pattern of its address: tcp://host:8786, host:8786, a scheduler's file."""


class Command(TyperCommand):
    """A command."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        ctx.allow_extra_args = True  # extra arguments are refused here
        with _placed(ctx):
            rest = super().parse_args(ctx, args)
        if rest and not ctx.resilient_parsing:
            raise typer.BadParameter(f"unexpected argument {rest[0]!r}", ctx=ctx)
        return rest

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the usage pieces after the name of the command."""
        arguments = [one for one in self.get_params(ctx) if one.param_type_name == "argument"]
        return [self.options_metavar or "", *map(_in_usage, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments and the options."""
        described = [(one, one.get_help_record(ctx)) for one in self.get_params(ctx)]
        told = [(one, record) for one, record in described if record is not None]
        for kind in ("argument", "option"):
            lines = [
                (argument_name(one) if kind == "argument" else record[0], record[1])
                for one, record in told
                if one.param_type_name == kind
            ]
            if lines:
                with formatter.section(f"{kind.title()}s"):
                    formatter.write_dl(lines)


class Group(TyperGroup):
    """A group of commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments; show the help if no command is named."""
        if not args and not ctx.resilient_parsing:
            print(ctx.get_help(), file=sys.stderr)
            raise typer.Exit(2)
        with _placed(ctx):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command. Ctrl-C is ours to tell: the library has an exit code of its own for it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command at the begin of the arguments."""
        command = self.get_command(ctx, args[0])
        if command is None and not ctx.resilient_parsing:
            known = self.list_commands(ctx)
            raise typer.BadParameter(f"unknown command {args[0]!r}{meant(args[0], known)}", ctx=ctx)
        return args[0] if command else None, command, args[1:]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write what each command does, without truncation."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.summaries(ctx)))

    def summaries(self, ctx: Any) -> Iterator[tuple[str, str]]:
        """The commands, and what each does."""
        for name in self.list_commands(ctx):
            help_ = getattr(self.get_command(ctx, name), "help", None) or ""
            yield name, " ".join(help_.partition("\n\n")[0].split())


def _in_usage(argument: Any) -> str:
    name = argument_name(argument)
    return name if argument.required or name.startswith("[") else f"[{name}]"


@contextlib.contextmanager
def _placed(ctx: Any) -> Iterator[None]:
    """Attach errors inside the block to this command, because the library does not always do so."""
    try:
        yield
    except USAGE_ERRORS as error:
        error.ctx = error.ctx or ctx
        raise
