"""Where settings come from, and which source takes precedence.

The order is: argument or option, environment, the account's section of pandapon.toml, `[vendor]` and
`[defaults]`, built-in default. If an account is named, its key, secret, user id and base_url come from its
section alone. The same names in the environment may belong to another shop, and a request for one shop signed
with another's key is refused at best.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import attrs

from pandapon_async.config_file import CONFIG, ConfigFile, find_file, readable_by_others
from pandapon_async.environment import ACCOUNT, ENV_FILE, PREFIX, environment, tell
from pandapon_async.errors import ConfigurationError
from pandapon_async.plain_text import meant
from pandapon_async.settings.reading import Given, Unusable, hints_of, structure
from pandapon_async.settings.vendor import Override, VendorProfile

__all__ = [
    "BUILT_IN",
    "CREDENTIAL_NAMES",
    "OTHER_NAMES",
    "Said",
    "Sources",
    "environment_names",
    "profile_names",
]

T = TypeVar("T")
FieldPath = tuple[str, ...]

CREDENTIAL_NAMES: Final = ("access_key", "access_secret", "user_id")
OF_ONE_ACCOUNT: Final = tuple(f"{PREFIX}{name.upper()}" for name in (*CREDENTIAL_NAMES, "base_url"))
SECRET_BY: Final = ("access_secret_env", "access_secret_file")
OVERRIDES: Final = ("vendor", "overrides")
BUILT_IN: Final = "built in"
ARGUMENT: Final = "argument"
OTHER_NAMES: Final = {
    ACCOUNT: "the account of pandapon.toml to use; in the environment only",
    CONFIG: "the configuration file, instead of pandapon.toml; in the environment only",
    ENV_FILE: "the .env file; in the environment only",
    "PANDAPON_ACCESS_KEY": "the access key",
    "PANDAPON_ACCESS_SECRET": "the access secret, used literally",
    "PANDAPON_USER_ID": "the sub-account",
    "PANDAPON_CALLBACKS": "`--store` of the `callbacks` commands",
    "PANDAPON_OLD_ACCESS_SECRETS": "`callbacks serve`: the secrets before a rotation, separated by spaces",
    "PANDAPON_CALLBACK_BASE": "`callbacks serve`: `CallbackSettings.base`",
    "PANDAPON_CALLBACK_HEX_CASE": "`callbacks serve`: `CallbackSettings.hex_case`",
}
"""Environment variables that are not settings, and the purpose of each."""
_OF_A_CLUSTER = re.compile(r"PANDAPON_(\w+_)?(SERVICE_(HOST|PORT)\w*|PORT(_\w+)?)")
"""Variables that Kubernetes and Docker set in every container next to a service called pandapon."""


@attrs.frozen
class Said:
    """The value and the source of each field, by its path. A later value replaces an earlier one."""

    leaves: dict[FieldPath, tuple[Any, str]] = attrs.field(factory=dict, repr=False)

    def say(self, path: FieldPath, value: Any, place: str) -> None:
        """Set a value; every earlier value at, above or below its path is dropped."""
        for known in list(self.leaves):
            shorter = min(len(known), len(path))
            if known[:shorter] == path[:shorter]:
                del self.leaves[known]
        self.leaves[path] = value, place

    def say_all(self, tree: Mapping[str, Any], path: FieldPath, place: Any) -> None:
        """Set the leaves of a tree; `place` returns the source of a path."""
        for name, value in tree.items():
            here = (*path, name)
            if isinstance(value, dict) and value:
                self.say_all(value, here, place)
            else:
                self.say(here, value, place(here))

    def place_of(self, path: FieldPath) -> str:
        """The source of a field, of a part of it, or of the value that contains it."""
        for known, (_, place) in self.leaves.items():
            shorter = min(len(known), len(path))
            if known[:shorter] == path[:shorter]:
                return place
        return BUILT_IN

    def make(self, kind: type[T]) -> T:
        """Build the object; an error names the source of the wrong value."""
        tree: dict[str, Any] = {}
        for path, (value, _) in self.leaves.items():
            node = tree
            for name in path[:-1]:
                node = node.setdefault(name, {})
            node[path[-1]] = value
        try:
            return structure(tree, kind)
        except Unusable as wrong:
            place = self.place_of(wrong.path) if wrong.path else ""
            outside = place not in ("", BUILT_IN, ARGUMENT)
            name = "" if wrong.named or place.startswith(PREFIX) else f"{wrong.path[-1]}: "
            problem = f"{place if outside else ''}{': ' if outside else ''}{name}{wrong.reason}"
        raise ConfigurationError(problem)


@attrs.frozen
class Sources:
    """The environment, the configuration file and the account in use."""

    values: Mapping[str, str] = attrs.field(repr=False)
    file: ConfigFile | None
    account: str | None

    @classmethod
    def find(
        cls,
        env_file: str | os.PathLike[str] | None,
        account: str | None = None,
        config: str | os.PathLike[str] | None = None,
    ) -> Sources:
        """Find the sources; raises ConfigurationError for an unusable file or an unknown account."""
        values = environment(env_file)
        account = account or values.get(ACCOUNT) or None
        file = find_file(account, config)
        sources = cls(values, file, account)
        if account is not None:
            sources.entry()
        return sources

    def entry(self) -> Mapping[str, Any]:
        """The account's section; empty if no account is named."""
        if self.account is None:
            return {}
        known = self.file.accounts if self.file is not None else {}
        found = known.get(self.account)
        if not isinstance(found, dict):
            where = f"{self.file.path} has" if self.file else "no pandapon.toml is used, so there is"
            listed = f"; known: {', '.join(sorted(known)[:10])}" if known else ""
            raise ConfigurationError(
                f"{where} no account {self.account[:40]}{meant(self.account, known) or listed}"
            )
        return found

    def for_accounts(self) -> Sources:
        """The sources for every account, without the environment's account-specific values."""
        values = {name: value for name, value in self.values.items() if name not in OF_ONE_ACCOUNT}
        return Sources(values, self.file, None)

    def tell_unused(self) -> None:
        """Report once which variables of the environment the accounts do not use."""
        if unused := [name for name in OF_ONE_ACCOUNT if self.values.get(name)]:
            tell(f"not using {', '.join(unused)}: each account has its own")

    def credentials(self) -> dict[str, tuple[Any, str]]:
        """The key, secret and user id that are set, each with its source."""
        if self.account is None:
            names = {name: f"{PREFIX}{name.upper()}" for name in CREDENTIAL_NAMES}
            return {
                field: (self.values[name], name) for field, name in names.items() if self.values.get(name)
            }
        assert self.file is not None
        entry = self.entry()
        found = {
            name: (entry[name], self.file.place("accounts", self.account, name))
            for name in ("access_key", "user_id")
            if name in entry
        }
        if (secret := self._secret(self.file, entry)) is not None:
            found["access_secret"] = secret
        return found

    def _secret(self, file: ConfigFile, entry: Mapping[str, Any]) -> tuple[str, str] | None:
        ways = [name for name in ("access_secret", *SECRET_BY) if name in entry]
        assert self.account is not None
        place = file.place("accounts", self.account, *ways[:1])
        if len(ways) > 1:
            raise ConfigurationError(
                f"{place}: account {self.account} has {' and '.join(ways)}; keep only one of them"
            )
        if not ways:
            return None
        value = entry[ways[0]]
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{place}: {ways[0]} must be a text")
        if ways[0] == "access_secret_env":
            secret = os.environ.get(value)
            if not secret:
                raise ConfigurationError(
                    f"{place}: account {self.account} reads its secret from {value[:60]}, which is not "
                    "set; set it"
                )
            return secret, value
        if ways[0] == "access_secret_file":
            return _secret_of(file.path.parent / value, place), str(file.path.parent / value)
        return value, place

    def said(self, kind: type[Any], arguments: Mapping[str, Any]) -> Said:
        """Every value for the settings of this class; arguments are used unchanged."""
        said = Said()
        if self.file is not None:
            self._check_names(self.file, kind)
            for section in ("defaults", "vendor"):
                self._say(said, self.file, (section,), kind)
            if self.account is not None:
                self._say(said, self.file, ("accounts", self.account), kind)
        for name, value, path in self._names(kind):
            if self.account is not None and path == ("base_url",) and value:
                tell(f"ignoring {name}: account {self.account} has a base_url of its own")
            elif value.strip():
                said.say(path, value, name)
        if self.account is not None:
            unused = [name for one in CREDENTIAL_NAMES if self.values.get(name := f"{PREFIX}{one.upper()}")]
            if unused:
                tell(f"ignoring {', '.join(unused)}: account {self.account} has its own")
        for name, value in arguments.items():
            said.say(field_path(name, kind), Given(value), ARGUMENT)
        return said

    def _say(self, said: Said, file: ConfigFile, section: FieldPath, kind: type[Any]) -> None:
        entry: Any = file.tree
        for name in section:
            entry = entry.get(name, {}) if isinstance(entry, dict) else {}
        for name, value in entry.items():
            if section[0] == "accounts" and name in (*CREDENTIAL_NAMES, *SECRET_BY):
                continue
            path = ("vendor", name) if section == ("vendor",) else field_path(name, kind)

            def place(inner: FieldPath, given: FieldPath = path, name: str = name) -> str:
                where = file.place(*section, name, *inner[len(given) :])
                return f"{where}, [{'.'.join(section)}]"

            said.say_all({path[-1]: value}, path[:-1], place)

    def _check_names(self, file: ConfigFile, kind: type[Any]) -> None:
        """Refuse unknown names: a misspelt limit would be ignored silently."""
        sections = ("defaults", "vendor", "accounts", "shops")
        for name in file.tree:
            if name not in sections:
                if name in given_names(kind):
                    raise ConfigurationError(f"{file.place(name)}: put {name} below [defaults] or an account")
                hint = meant(name, sections) or f"; known: {', '.join(sections)}"
                raise ConfigurationError(f"{file.place(name)}: there is no section [{name}]{hint}")
        profile = profile_names()
        settings = [name for name in given_names(kind) if name not in profile]
        known = {"defaults": [*settings, *profile], "vendor": [*profile]}
        for section, names in known.items():
            _check(file, (section,), file.section(section), names)
        for account, entry in file.accounts.items():
            if not isinstance(entry, dict):
                raise ConfigurationError(
                    f"{file.place('accounts', account)}: write the account as a section [accounts.{account}]"
                )
            _check(file, ("accounts", account), entry, [*settings, *profile, *CREDENTIAL_NAMES, *SECRET_BY])

    def _names(self, kind: type[Any]) -> Iterator[tuple[str, str, FieldPath]]:
        """Add the settings of the environment; report unknown names."""
        known = environment_names(kind)
        for name, value in sorted(self.values.items()):
            if name in OTHER_NAMES or _OF_A_CLUSTER.fullmatch(name):
                continue
            first, *rest = name.removeprefix(PREFIX).lower().split("__")
            path = field_path(first, kind)
            of_a_call = path == OVERRIDES and len(rest) > 1
            if name in known or of_a_call or any(one.startswith(f"{name}__") for one in known):
                yield name, value, (*path, *_call_named(path, rest))
            elif first in hints_of(kind):
                tell(f"{name} is not used: {first} can be set in Python only")
            else:
                tell(f"{name} is not a setting{meant(name, [*known, *OTHER_NAMES])}")


def _check(file: ConfigFile, section: FieldPath, entry: Mapping[str, Any], known: list[str]) -> None:
    for name in entry:
        if name not in known:
            place, where = file.place(*section, name), ".".join(section)
            raise ConfigurationError(f"{place}: there is no setting {name} in [{where}]{meant(name, known)}")


def _secret_of(path: Path, place: str) -> str:
    """Read the secret from a file of its own; the final newline is not part of it."""
    try:
        secret = path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except (OSError, UnicodeDecodeError):
        secret = None
    if secret is None:
        raise ConfigurationError(f"{place}: {path} cannot be read")
    if readable_by_others(path):
        tell(f"other users can read {path}; run chmod 600 {path}")
    return secret


def profile_names() -> frozenset[str]:
    """The fields of the vendor's profile, which can be set like settings."""
    return frozenset(hints_of(VendorProfile))


def given_names(kind: type[Any]) -> Mapping[str, FieldPath]:
    """The names that a file or the environment can set, with the path of each field."""
    top = {name: (name,) for name, hint in hints_of(kind).items() if hint is not Any}
    return {**top, **{name: ("vendor", name) for name in profile_names() if "vendor" in top}}


def field_path(name: str, kind: type[Any]) -> FieldPath:
    """The path of the field that a name sets."""
    return given_names(kind).get(name, (name,))


def environment_names(kind: type[Any]) -> dict[str, FieldPath]:
    """Every variable of the environment that is a setting, with the path of its field."""
    found: dict[str, FieldPath] = {}

    def walk(kind: type[Any], name: str, path: FieldPath) -> None:
        for field, hint in hints_of(kind).items():
            inner = [arm for arm in (hint, *getattr(hint, "__args__", ())) if attrs.has(arm)]
            if hint is Any:
                continue
            here = f"{name}{field.upper()}"
            if inner and inner[0] is VendorProfile:
                walk(VendorProfile, name, (*path, field))
            elif inner and inner[0] is not Override:
                walk(inner[0], f"{here}__", (*path, field))
                if hint is not inner[0]:  # the whole object may be none
                    found[here] = (*path, field)
            else:
                found[here] = (*path, field)

    walk(kind, PREFIX, ())
    return found


def _call_named(path: FieldPath, rest: list[str]) -> list[str]:
    """A variable's name cannot contain dots: ALIBABA_REFUNDS_GET is alibaba.refunds.get."""
    if path != OVERRIDES:
        return rest
    from pandapon_async.api.registry import endpoints, operations

    for name in (*operations(), *endpoints()):
        if name.replace(".", "_") == rest[0]:
            return [name, *rest[1:]]
    return rest
