"""pandapon.toml: where it is, what stands in it and on which line, and whether it may be believed.

The file of the working folder configures whoever works there, and a working folder may be anybody's. So it is
used only for an account whose key and secret stand in it, or beside it: then it can lead its own requests
astray and nobody else's. A file that is named, or lies in the user's own folder of configuration, is trusted.
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
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
"""What decides where requests go and where things are kept."""
LARGEST_FILE: Final = 1024 * 1024  # bytes
_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?")
_KEY = re.compile(r"\s*([^=#\[\]{}]+?)\s*=")


@attrs.frozen
class ConfigFile:
    """One file, read. `foreign` says that it was found in the working folder and nobody named it."""

    path: Path
    tree: Mapping[str, Any] = attrs.field(repr=False)
    lines: Mapping[tuple[str, ...], int] = attrs.field(repr=False)
    foreign: bool = False

    @classmethod
    def read(cls, path: Path, *, foreign: bool = False) -> ConfigFile:
        """The file as it stands; raises ConfigurationError, without any of its text, if it cannot be read."""
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
        if problem:  # raised out here: the decoder's error carries the whole text along
            raise ConfigurationError(problem)
        return cls(path, tree, _lines(text), foreign)

    @property
    def accounts(self) -> Mapping[str, Any]:
        """The accounts by name, as they stand."""
        return self.section("accounts")

    def section(self, name: str) -> Mapping[str, Any]:
        """A section, empty if it is not there; raises ConfigurationError if it is not a table."""
        found = self.tree.get(name, {})
        if not isinstance(found, dict):
            raise ConfigurationError(f"{self.place(name)}: {name} must be a section [{name}]")
        return found

    def place(self, *names: str) -> str:
        """The file, and the line where this stands as far as it is known."""
        while names:
            if (line := self.lines.get(names)) is not None:
                return f"{self.path}, line {line}"
            names = names[:-1]
        return str(self.path)

    def brings_credentials(self, account: str) -> bool:
        """Whether key and secret of an account come with the file: in it, or in a file below its folder."""
        entry = self.accounts.get(account)
        if not isinstance(entry, dict) or "access_key" not in entry or "access_secret_env" in entry:
            return False
        if "access_secret_file" in entry:
            folder = self.path.parent.resolve()
            return (folder / str(entry["access_secret_file"])).resolve().is_relative_to(folder)
        return "access_secret" in entry


def any_file() -> ConfigFile | None:
    """The file that an operator means when he looks at it: named, of the working folder, or the user's."""
    named = os.environ.get(CONFIG)
    for path in (Path(named),) if named else (Path(NAME), users_file()):
        if path.is_file():
            here = not named and path == Path(NAME) and path.resolve() != users_file().resolve()
            return ConfigFile.read(path.absolute(), foreign=here)
    return None


def find_file(account: str | None, named: str | os.PathLike[str] | None = None) -> ConfigFile | None:
    """The file that holds: a named one, else that of the working folder if it may be used, else the user's.

    Args:
        account: The account whose settings are wanted; None if the credentials come from the environment.
        named: The file that is meant; else PANDAPON_CONFIG may name it.

    Raises: ConfigurationError for a file that cannot be read, and for one of the working folder that says
        where requests go without bringing the credentials for them.
    """
    if named := named or os.environ.get(CONFIG):
        if not Path(named).is_file():
            raise ConfigurationError(f"there is no file {named}; see --config and {CONFIG}")
        return ConfigFile.read(Path(named).absolute())
    own, here = users_file(), Path(NAME).absolute()
    users = ConfigFile.read(own) if own.is_file() else None
    if not here.is_file() or here.resolve() == own.resolve():
        return users
    found = ConfigFile.read(here, foreign=True)
    if account is not None and found.brings_credentials(account):
        if users is not None and account in users.accounts:
            raise ConfigurationError(
                f"account {account} stands in {here} and in {own}; say which file you mean with --config"
            )
        tell(f"using account {account} of {here}")
        return found
    _refuse(found, account, known=users is not None and account in users.accounts)
    return users


def _refuse(found: ConfigFile, account: str | None, *, known: bool) -> None:
    """Say why the file of the working folder is not used; raise if it tries to decide where things go."""
    trust = f"If it is yours, say --config {NAME}, or {CONFIG}={NAME} in the environment"
    if account is not None and account in found.accounts and not known:
        raise ConfigurationError(
            f"account {account} of {found.path} takes its secret from elsewhere, and anybody may have put "
            f"that file there. {trust}"
        )
    entries = {"defaults": found.section("defaults")}
    if account is not None and isinstance(found.accounts.get(account), dict):
        entries[f"accounts.{account}"] = found.accounts[account]
    bad = [
        f"{name} in [{section}]" for section, entry in entries.items() for name in DANGEROUS if name in entry
    ]
    if bad:
        raise ConfigurationError(
            f"{found.path} says {', '.join(bad)}, but the credentials do not come from it: anybody may have "
            f"put it there. {trust}"
        )
    tell(f"not using {found.path}, as the credentials do not come from it; --config {NAME} uses it")


def users_file() -> Path:
    """Where the user's own file is looked for."""
    import platformdirs

    return Path(platformdirs.user_config_dir("pandapon-async", appauthor=False)) / NAME


def readable_by_others(path: Path) -> bool:
    """Whether others on this machine may read a file; never on Windows, which says it otherwise."""
    return os.name == "posix" and bool(path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH))


def _line_of(error: tomllib.TOMLDecodeError) -> str:
    """Where the file is wrong; before Python 3.14 only the message of the error says it."""
    found = re.search(r"\bline (\d{1,6})\b", str(error))
    if not found:
        return ": its end is missing"
    return f": look at line {found[1]} (texts, and names of other letters than a-z, stand in quotation marks)"


def _lines(text: str) -> dict[tuple[str, ...], int]:
    """Where sections and names stand. Only for messages: a text of several lines may fool it."""
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
    """`a."b c".d` as a, b c, d; nothing if it is none."""
    try:
        tree: Any = tomllib.loads(f"{dotted} = 0")
    except tomllib.TOMLDecodeError:
        return
    while isinstance(tree, dict):
        ((name, tree),) = tree.items()
        yield name
