"""The options that every command has, added in one place."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.models import CommandInfo

from pandapon_async.cli.output import note
from pandapon_async.environment import ENV_FILE, told

__all__ = ["add_common_options"]


def add_common_options(app: typer.Typer) -> None:
    """Give every command of an application `--env-file`, and a voice that says which file is used."""
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
    def command(*args: Any, env_file: Path | None = None, **named: Any) -> Any:
        return callback(*args, **named)

    signature = inspect.signature(callback, eval_str=True)
    option = inspect.Parameter("env_file", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_EnvFile)
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what inspect looks for
        parameters=[*signature.parameters.values(), option]
    )
    return command


def _choose(context: typer.Context, env_file: Path | None) -> Path | None:
    """Before all other options are read: their defaults may be in the file."""
    said: set[str] = set()

    def tell(text: str) -> None:
        if text not in said:
            said.add(text)
            note(text)

    before = told.set(tell)
    context.call_on_close(lambda: told.reset(before))
    if env_file is not None:
        earlier = os.environ.get(ENV_FILE)
        os.environ[ENV_FILE] = str(env_file)
        context.call_on_close(lambda: _restore(earlier))
    return env_file


def _restore(earlier: str | None) -> None:
    if earlier is None:
        del os.environ[ENV_FILE]
    else:
        os.environ[ENV_FILE] = earlier


_EnvFile = Annotated[
    Path | None,
    typer.Option(
        "--env-file",
        exists=True,
        dir_okay=False,
        is_eager=True,
        callback=_choose,
        help="File of PANDAPON_ settings; default: .env, if it holds the credentials as well.",
        show_default=False,
    ),
]
