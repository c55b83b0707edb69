"""The options that every command has, added in one place."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.models import CommandInfo

from pandapon_async.cli.output import note
from pandapon_async.config_file import CONFIG, any_file
from pandapon_async.environment import ACCOUNT, ENV_FILE, told
from pandapon_async.errors import ConfigurationError

__all__ = ["add_common_options"]


def add_common_options(app: typer.Typer) -> None:
    """Give every command `--env-file`, `--config`, `--account`, and a voice that says which file is used."""
    for command in _commands(app):
        assert command.callback is not None
        command.callback = _with_common_options(command.callback)


def _commands(app: typer.Typer) -> Iterator[CommandInfo]:
    yield from app.registered_commands
    for group in app.registered_groups:
        if group.typer_instance is not None:
            yield from _commands(group.typer_instance)


def _with_common_options(callback: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(callback)
    def command(*args: Any, **named: Any) -> Any:
        return callback(*args, **{name: value for name, value in named.items() if name not in _COMMON})

    signature = inspect.signature(callback, eval_str=True)
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
        for name, annotation in _COMMON.items()
    ]
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what inspect looks for
        parameters=[*signature.parameters.values(), *options]
    )
    return command


def _listen(context: typer.Context) -> None:
    """Tell each thing once, however often it comes up."""
    said: set[str] = set()

    def tell(text: str) -> None:
        if text not in said:
            said.add(text)
            note(text)

    before = told.set(tell)
    context.call_on_close(lambda: told.reset(before))


def _sets(variable: str) -> Callable[[typer.Context, Any], Any]:
    """Before all other options are read, as their defaults may be in the file: the option is the variable."""

    def choose(context: typer.Context, value: Any) -> Any:
        if variable == ENV_FILE:  # the first of them
            _listen(context)
        if value is not None:
            earlier = os.environ.get(variable)
            os.environ[variable] = str(value)
            context.call_on_close(lambda: _restore(variable, earlier))
        return value

    return choose


def _restore(variable: str, earlier: str | None) -> None:
    if earlier is None:
        del os.environ[variable]
    else:
        os.environ[variable] = earlier


def _accounts(incomplete: str) -> list[str]:
    """The names of accounts, for the shell's completion; nothing where no file can be used."""
    try:
        file = any_file()
        return [name for name in (file.accounts if file else ()) if name.startswith(incomplete)]
    except ConfigurationError:
        return []


_COMMON: Final[Mapping[str, Any]] = {
    "env_file": Annotated[
        Path | None,
        typer.Option(
            "--env-file",
            exists=True,
            dir_okay=False,
            is_eager=True,
            callback=_sets(ENV_FILE),
            help="File of PANDAPON_ settings; default: .env, if it holds the credentials as well.",
            show_default=False,
        ),
    ],
    "config": Annotated[
        Path | None,
        typer.Option(
            "--config",
            exists=True,
            dir_okay=False,
            is_eager=True,
            callback=_sets(CONFIG),
            help="Configuration file; default: pandapon.toml of this folder, if it holds the credentials, "
            "or the user's.",
            show_default=False,
        ),
    ],
    "account": Annotated[
        str | None,
        typer.Option(
            "--account",
            metavar="NAME",
            is_eager=True,
            callback=_sets(ACCOUNT),
            autocompletion=_accounts,
            help="An account of the configuration file; default: PANDAPON_ACCOUNT, or the environment's key.",
            show_default=False,
        ),
    ],
}
