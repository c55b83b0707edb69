"""The options that every command has, added in one place; and how values are named in the help of all."""

from __future__ import annotations

import functools
import inspect
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from pathlib import Path
from typing import Annotated, Any, Final, get_args, get_origin

import typer
from typer.models import CommandInfo, OptionInfo

from pandapon_async.cli.output import as_json, note, quiet
from pandapon_async.cli.usage import value_of
from pandapon_async.config_file import CONFIG, any_file
from pandapon_async.environment import ACCOUNT, ENV_FILE, by_option, told
from pandapon_async.errors import ConfigurationError
from pandapon_async.plain_text import LOGGER

__all__ = ["add_common_options"]


def add_common_options(app: typer.Typer) -> None:
    """Give every command `--json`, `--quiet`, `--verbose`, `--env-file`, `--config` and `--account`.

    Those that take settings have `--shared` as well.
    """
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
    for parameter in signature.parameters.values():
        _name_value(parameter.annotation)
    takes_settings = _OF_SETTINGS & signature.parameters.keys()
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=False if get_args(annotation)[0] is bool else None,
            annotation=annotation,
        )
        for name, annotation in _COMMON.items()
        if name != SHARED or takes_settings
    ]
    command.__signature__ = signature.replace(  # type: ignore[attr-defined]  # what inspect looks for
        parameters=[*signature.parameters.values(), *options]
    )
    return command


def _name_value(annotation: Any) -> None:
    """Say in the help what an option takes, in a word that fits any terminal."""
    if get_origin(annotation) is not Annotated:
        return
    kind, *metadata = get_args(annotation)
    for info in metadata:
        if not isinstance(info, OptionInfo) or info.metavar is not None:
            continue
        single, choices = value_of(kind)
        if len("|".join(choices)) > WIDEST:
            info.metavar = "NAME"
            info.help = f"{info.help} One of: {', '.join(choices)}."
        elif choices:
            info.metavar = "|".join(choices)
        elif single is not bool:
            info.metavar = _METAVARS.get(single, "TEXT")


def _chosen_output(context: typer.Context, value: bool | None) -> bool | None:
    _set(context, as_json, value)
    return value


def _be_quiet(context: typer.Context, value: bool) -> bool:
    _set(context, quiet, value)
    return value


def _be_verbose(context: typer.Context, value: bool) -> bool:
    """Log what the library does, on stderr, while the command lasts."""
    if value:
        logger = logging.getLogger(LOGGER)
        handler, level = logging.StreamHandler(), logger.level
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        context.call_on_close(lambda: logger.removeHandler(handler))
        context.call_on_close(lambda: logger.setLevel(level))
    return value


def _set(context: typer.Context, variable: ContextVar[Any], value: Any) -> None:
    before = variable.set(value)
    context.call_on_close(lambda: variable.reset(before))


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


def _shares(context: typer.Context, value: str | None) -> str | None:
    """Also towards this machine, where the environment's is ignored."""
    if value is not None:
        _set(context, by_option, {"shared": value})
    return value


SHARED = "shared_database"
_OF_SETTINGS: Final = frozenset({"base_url", "store"})
"""Parameters of commands whose clients or stores can be in the shared database."""
WIDEST = 32  # columns that a list of choices may take; a longer one stands in the text
_METAVARS: Final[Mapping[Any, str]] = {int: "N", float: "N", Path: "PATH"}
_COMMON: Final[Mapping[str, Any]] = {
    "output_as_json": Annotated[
        bool | None,
        typer.Option(
            "--json/--no-json",
            is_eager=True,
            callback=_chosen_output,
            help="Print JSON, or for people; default: for people on a terminal, else JSON.",
            show_default=False,
        ),
    ],
    "output_quiet": Annotated[
        bool,
        typer.Option("--quiet", "-q", is_eager=True, callback=_be_quiet, help="No notes, no progress."),
    ],
    "output_verbose": Annotated[
        bool,
        typer.Option(
            "--verbose", "-v", is_eager=True, callback=_be_verbose, help="Log on stderr what the client does."
        ),
    ],
    "env_file": Annotated[
        Path | None,
        typer.Option(
            "--env-file",
            metavar="FILE",
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
            metavar="FILE",
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
    SHARED: Annotated[
        str | None,
        typer.Option(
            "--shared",
            metavar="URL",
            is_eager=True,
            callback=_shares,
            help="Database that processes share; default: PANDAPON_SHARED, but not towards this machine. "
            "Keep the password in PGPASSWORD or PostgreSQL's password file.",
            show_default=False,
        ),
    ],
}
