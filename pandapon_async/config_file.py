"""pandapon.toml: where it is, what it says on which line, and whether it is trusted.

A file in the working folder configures whoever works there, but anyone may have put it there. So it is used
only for an account whose key and secret are in it or beside it: then it can misdirect its own requests only.
A file that the user names, or that lies in the user's configuration folder, is trusted.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import attrs

from pandapon_async.environment import tell
from pandapon_async.errors import ConfigurationError

__all__ = ["CONFIG", "ConfigFile", "any_file", "find_file", "readable_by_others", "users_file"]

CONFIG: Final = "PANDAPON_CONFIG"
NAME: Final = "pandapon.toml"
DANGEROUS: Final = ("allow_plain_http", "base_url", "journal", "proxy", "shared")
"""The settings that decide where requests go and where data is stored."""
LARGEST_FILE: Final = 1024 * 1024  # bytes
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")
_KEY = re.compile(r"\s*([^=#\[\]{}]+?)\s*=")


@attrs.frozen
class ConfigFile:
    """The contents of one file. `foreign`: it was found in the working folder, and nobody named it."""

    path: Path
    tree: Mapping[str, Any] = attrs.field(repr=False)
    lines: Mapping[tuple[str, ...], int] = attrs.field(repr=False)
    foreign: bool = False

    @classmethod
    def read(cls, path: Path, *, foreign: bool = False) -> ConfigFile:
        """Read the file; raises ConfigurationError, without any of its text, if that fails."""
        import tomllib

        problem = ""
        text, tree = "", {}
        try:
            with path.open("rb") as file:
                data = file.read(LARGEST_FILE + 1)
            text = data.decode("utf-8-sig")
            tree = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            problem = f"{path} is not TOML{_line_of(error)}"
        except (OSError, UnicodeDecodeError):
            problem = f"{path} cannot be read as UTF-8 text"
        if problem:  # raised outside the except block: the decoder's error holds the whole text
            raise ConfigurationError(problem)
        return cls(path, tree, _lines(text), foreign)

    @property
    def accounts(self) -> Mapping[str, Any]:
        """The sections of the accounts, by name."""
        return self.section("accounts")

    def section(self, name: str) -> Mapping[str, Any]:
        """A section, empty if it is missing; raises ConfigurationError if it is not a table."""
        found = self.tree.get(name, {})
        if not isinstance(found, dict):
            raise ConfigurationError(f"{self.place(name)}: write {name} as a section [{name}]")
        return found

    def place(self, *names: str) -> str:
        """The file and, if it is known, the line of this key."""
        while names:
            if (line := self.lines.get(names)) is not None:
                return f"{self.path}, line {line}"
            names = names[:-1]
        return str(self.path)

    def brings_credentials(self, account: str) -> bool:
        """Whether an account's key and secret are in the file or in a file below its folder."""
        entry = self.accounts.get(account)
        if not isinstance(entry, dict) or "access_key" not in entry or "access_secret_env" in entry:
            return False
        if "access_secret_file" in entry:
            folder = self.path.parent.resolve()
            return (folder / str(entry["access_secret_file"])).resolve().is_relative_to(folder)
        return "access_secret" in entry


def any_file() -> ConfigFile | None:
    """The file to display: the named one, the working folder's, or the user's."""
    named = os.environ.get(CONFIG)
    for path in (Path(named),) if named else (Path(NAME), users_file()):
        if path.is_file():
            here = not named and path == Path(NAME) and path.resolve() != users_file().resolve()
            return ConfigFile.read(path.absolute(), foreign=here)
    return None


def find_file(account: str | None, named: str | os.PathLike[str] | None = None) -> ConfigFile | None:
    """Find the file to use: a named one, else the working folder's if it may be used, else the user's.

    Args:
        account: The name of the account; None if the credentials come from the environment.
        named: The path of the file; None: PANDAPON_CONFIG may name it.

    Raises:
        ConfigurationError: The file cannot be read, or it lies in the working folder and sets where requests
            go without holding the credentials for them.
    """
    if named := named or os.environ.get(CONFIG):
        if not Path(named).is_file():
            raise ConfigurationError(f"the file {named} does not exist; check --config and {CONFIG}")
        return ConfigFile.read(Path(named).absolute())
    own, here = users_file(), Path(NAME).absolute()
    users = ConfigFile.read(own) if own.is_file() else None
    if not here.is_file() or here.resolve() == own.resolve():
        return users
    found = ConfigFile.read(here, foreign=True)
    if account is not None and found.brings_credentials(account):
        if users is not None and account in users.accounts:
            raise ConfigurationError(
                f"account {account} is in both {here} and {own}; choose one with --config FILE"
            )
        tell(f"using account {account} of {here}")
        return found
    _refuse(found, account, known=users is not None and account in users.accounts)
    return users


def _refuse(found: ConfigFile, account: str | None, *, known: bool) -> None:
    """Report why the working folder's file is not used; raise if it sets where requests or data go."""
    trust = f"If you trust it, use --config {NAME}, or set {CONFIG}={NAME} in the environment"
    if account is not None and account in found.accounts and not known:
        raise ConfigurationError(
            f"account {account} of {found.path} takes its secret from elsewhere, and the file may not be "
            f"yours. {trust}"
        )
    entries = {"defaults": found.section("defaults")}
    if account is not None and isinstance(found.accounts.get(account), dict):
        entries[f"accounts.{account}"] = found.accounts[account]
    bad = [
        f"{name} in [{section}]" for section, entry in entries.items() for name in DANGEROUS if name in entry
    ]
    if bad:
        raise ConfigurationError(
            f"{found.path} sets {', '.join(bad)}, but the credentials do not come from it, and the file "
            f"may not be yours. {trust}"
        )
    tell(f"not using {found.path}, because the credentials do not come from it; --config {NAME} uses it")


def users_file() -> Path:
    """The path of the user's own file."""
    import platformdirs

    return Path(platformdirs.user_config_dir("pandapon-async", appauthor=False)) / NAME


def readable_by_others(path: Path) -> bool:
    """Whether other users of this machine can read a file; always False on Windows."""
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _line_of(error: ValueError) -> str:
    """The line of a syntax error; before Python 3.14 only the error's message has it."""
    found = re.search(r"\bline (\d{1,6})\b", str(error))
    if not found:
        return ": the end of the file comes too early"
    return f": see line {found[1]} (put texts, and names with other letters than a-z, in quotation marks)"


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """The lines of sections and keys. For messages only: a text of several lines may mislead it."""
    found: dict[tuple[str, ...], int] = {}
    section: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.fullmatch(line):
            section = tuple(_names(header[1]))
            for end in range(1, len(section) + 1):
                found.setdefault(section[:end], number)
        elif key := _KEY.match(line):
            path = section
            for name in _names(key[1]):
                path = (*path, name)
                found.setdefault(path, number)
    return found


def _names(dotted: str) -> Iterator[str]:
    """Split a dotted key: `a."b c".d` gives a, b c, d. Empty if it is not a key."""
    import tomllib

    try:
        tree: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return
    while isinstance(tree, dict):
        ((name, tree),) = tree.items()
        yield name
