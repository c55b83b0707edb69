"""The environment and a .env file as sources of settings.

A .env file in the working folder configures whoever works there, but anyone may have put it there: someone
downloads and unpacks a ledger, and the .env beside it sends every signed request of the night elsewhere. So
the .env of the working folder is used only together with its own credentials. A file that is named, by an
argument, by --env-file or by PANDAPON_ENV_FILE, is used like the environment, which takes precedence over it.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from pandapon_async.errors import ConfigurationError
from pandapon_async.plain_text import LOGGER, one_line

__all__ = ["ACCOUNT", "ENV_FILE", "PREFIX", "WORKING_FOLDER", "by_option", "environment", "tell", "told"]

WORKING_FOLDER: Final = Path(".env")
"""The default of `env_file`. Compared by identity: the same path, passed explicitly, is trusted."""
ENV_FILE = "PANDAPON_ENV_FILE"
ACCOUNT = "PANDAPON_ACCOUNT"
PREFIX = "PANDAPON_"
_NEVER_THERE = frozenset({"PANDAPON_CONFIG", ACCOUNT, ENV_FILE})
"""Names that the .env of the working folder cannot set, because they would make other files trusted."""
_KEY_PAIR = ("PANDAPON_ACCESS_KEY", "PANDAPON_ACCESS_SECRET")
_REFUSED = frozenset(
    {
        "PANDAPON_ALLOW_PLAIN_HTTP",
        "PANDAPON_BASE_URL",
        "PANDAPON_CALLBACKS",
        "PANDAPON_JOURNAL",
        "PANDAPON_OLD_ACCESS_SECRETS",
        "PANDAPON_PROXY",
        "PANDAPON_SHARED",
    }
)
"""The names that decide where requests go, what is trusted, and where data is stored."""

told: ContextVar[Callable[[str], None] | None] = ContextVar("told", default=None)
"""Callbacks that report which file is used; without one it is logged."""

log: Final = logging.getLogger(LOGGER)


def environment(env_file: str | os.PathLike[str] | None = WORKING_FOLDER) -> Mapping[str, str]:
    """Read the PANDAPON_ names of the environment and of a .env file; the environment takes precedence.

    Args:
        env_file: The path; None: no file. By default the file that PANDAPON_ENV_FILE names, else the .env of
            the working folder, if it may be used. Values are literal: ${...} in a secret is part of it.

    Raises:
        ConfigurationError: The file cannot be read, or it lies in the working folder and sets where requests
            go without holding the credentials for them.
    """
    ours = {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}
    named = ours.get(ENV_FILE)
    if env_file is WORKING_FOLDER and named:
        if not Path(named).is_file():
            raise ConfigurationError(f"the file {named} does not exist; check --env-file and {ENV_FILE}")
        return {**_values(Path(named)), **ours}
    if env_file is None or not Path(env_file).is_file():
        return ours
    found = _values(Path(env_file))
    if env_file is WORKING_FOLDER and (vain := sorted(_NEVER_THERE & found.keys() - ours.keys())):
        found = {name: value for name, value in found.items() if name not in vain}
        tell(f"not using {', '.join(vain)} of {WORKING_FOLDER.absolute()}: set it in the environment")
    new = sorted(found.keys() - ours.keys())
    if new and env_file is WORKING_FOLDER and not _gives_the_key_pair(found, ours):
        _refuse(found, new)
        return ours
    if new:
        tell(f"using {', '.join(new)} of {Path(env_file).absolute()}")
    return {**found, **ours}


def _values(path: Path) -> dict[str, str]:
    from dotenv import dotenv_values

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError):
        text = None  # raised below: the decoder's error holds the whole file
    if text is None:
        raise ConfigurationError(f"{path} cannot be read as UTF-8 text")
    found = dotenv_values(stream=io.StringIO(text), interpolate=False)
    return {name: value for name, value in found.items() if value is not None and name.startswith(PREFIX)}


def _gives_the_key_pair(found: Mapping[str, str], ours: Mapping[str, str]) -> bool:
    """Whether the credentials in use are the file's own; the file may already be loaded."""
    return all(name in found and ours.get(name, found[name]) == found[name] for name in _KEY_PAIR)


def _refuse(found: Mapping[str, str], new: list[str]) -> None:
    path = WORKING_FOLDER.absolute()
    why = "the credentials do not come from it"
    if refused := [name for name in new if name in _REFUSED]:
        shown = ", ".join(_shown(name, found[name]) for name in refused)
        raise ConfigurationError(
            f"{path} sets {shown}, but {why}, and the file may not be yours. If you trust it, use "
            f"--env-file .env, or set {ENV_FILE}=.env in the environment"
        )
    tell(f"not using {', '.join(new)} of {path}, because {why}; --env-file .env uses it")


def _shown(name: str, value: str) -> str:
    """The name, with scheme, host and port of an address: the rest may hold a password."""
    if name != "PANDAPON_BASE_URL":
        return name
    try:
        parts = urlsplit(value)
        port = f":{parts.port}" if parts.port else ""
        return f"{name} {parts.scheme}://{parts.hostname}{port}"
    except ValueError:
        return name


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
by_option: Final[ContextVar[Mapping[str, Any]]] = ContextVar("by_option", default=_NOTHING)
"""Settings that an option of a command says, for whatever client the command makes."""


def tell(text: str) -> None:
    """Report which file or name is used or not; without a listener it is logged."""
    (told.get() or log.info)(one_line(text))
