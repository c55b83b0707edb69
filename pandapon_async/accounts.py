"""Several accounts in one process: a client for each, and one quota for those that share a key.

A back office has a hundred shops, each with its account, and one ledger for all of them. Each row is looked
up with the client of its account. Which requests share a limiter, its pause and its adaptive rate is decided
by `VendorProfile.quota_scope`: all that go to one vendor with one access key, or with one key and one user.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs

from pandapon_async.client import Client
from pandapon_async.config_file import ConfigFile, any_file
from pandapon_async.environment import ACCOUNT, WORKING_FOLDER
from pandapon_async.errors import ConfigurationError, InvalidArgumentError
from pandapon_async.settings import Credentials, Settings, SettingsArguments
from pandapon_async.settings.reading import meant
from pandapon_async.settings.sources import CREDENTIAL_NAMES, Sources
from pandapon_async.transport.foreign_limiter import limiter_of
from pandapon_async.transport.rate_limiter import Limiter

if TYPE_CHECKING:
    from typing import Unpack

__all__ = ["Accounts", "SharedCounts"]


class SharedCounts:
    """The running counts of several clients together."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._clients = clients

    def __getattr__(self, name: str) -> Any:
        return sum(getattr(client.statistics, name) for client in self._clients.values())

    @property
    def slowed_to(self) -> float | None:
        """Each account has its own rate: there is none of all."""
        return None


def _usable(file: ConfigFile) -> bool:
    return not file.foreign or all(map(file.brings_credentials, file.accounts))


class Accounts:
    """The accounts of a configuration file. Use it as `async with Accounts.from_config() as accounts:`."""

    def __init__(self, sources: Sources, settings: Mapping[str, Any]) -> None:
        assert sources.file is not None
        self._environment = sources
        self._sources = sources.for_accounts()
        self._settings = settings
        self._clients: dict[str, Client] = {}
        self._limiters: dict[str, tuple[str, Limiter]] = {}
        self.names: tuple[str, ...] = tuple(sources.file.accounts)
        """The names of the accounts."""
        self.shops: Mapping[str, str] = dict(sources.file.section("shops"))
        """The account of each shop that the section [shops] names."""
        for shop, account in self.shops.items():
            if account not in self.names:
                place = sources.file.place("shops", shop)
                raise ConfigurationError(
                    f"{place}: there is no account {account}{meant(account, self.names)}"
                )

    @classmethod
    def from_config(
        cls, config: str | os.PathLike[str] | None = None, **settings: Unpack[SettingsArguments]
    ) -> Self:
        """All accounts of pandapon.toml.

        Args:
            config: The file; else the one of PANDAPON_CONFIG, of the working folder, or of the user.
            settings: What is to hold for every account, whatever is said elsewhere.

        Raises:
            ConfigurationError: There is no file with accounts, or one of its names is wrong.
        """
        found = any_file() if config is None else ConfigFile.read(Path(config))
        first = next(iter(found.accounts), None) if found is not None else None
        sources = Sources.find(WORKING_FOLDER, first, config)
        if sources.file is None or not sources.file.accounts:
            raise ConfigurationError("there is no pandapon.toml with accounts; see --config")
        return cls(attrs.evolve(sources, account=None), settings)

    @classmethod
    def found(cls, **settings: Unpack[SettingsArguments]) -> Self | None:
        """The accounts of the file that would be used; None if there is none, or an account is named.

        A file of the working folder counts only if it brings the credentials of all its accounts.
        """
        file = any_file()
        if file is None or os.environ.get(ACCOUNT) or not file.accounts or not _usable(file):
            return None
        return cls.from_config(**settings)

    def account_of(self, account: str | None, shop: str | None) -> str:
        """The account of a row.

        Args:
            account: What its column says.
            shop: The shop that it names.

        Raises:
            InvalidArgumentError: There is no such account, or nothing says which one it is.
        """
        if account is not None:
            if account not in self.names:
                raise InvalidArgumentError(
                    f"there is no account {account[:40]!r} in the configuration{meant(account, self.names)}",
                    argument="account",
                )
            return account
        if shop is not None and shop in self.shops:
            return self.shops[shop]
        if shop is None or not self.shops:
            raise InvalidArgumentError("it names no account", argument="account")
        raise InvalidArgumentError("its shop has no account in [shops]", argument="account")

    def client(self, name: str) -> Client:
        """The client of an account; made when it is first asked for, and closed with all others."""
        if name not in self._clients:
            sources = attrs.evolve(self._sources, account=name)
            file = sources.file
            if file is not None and file.foreign and not file.brings_credentials(name):
                raise ConfigurationError(
                    f"account {name} of {file.path} takes its secret from elsewhere, and anybody may have "
                    f"put that file there. If it is yours, say --config {file.path.name}"
                )
            credentials, settings = self.credentials_of(name), self.settings_of(name)
            if settings.limiter is None and settings.shared is None:  # a database shares it by itself
                settings = attrs.evolve(settings, limiter=self._limiter(name, credentials, settings))
            self._clients[name] = Client(credentials, settings)
        return self._clients[name]

    def credentials_of(self, name: str) -> Credentials:
        """The credentials of an account."""
        return Credentials.of(attrs.evolve(self._sources, account=name))

    def named(self, access_key: str | None) -> str | None:
        """The accounts of an access key, with commas between them; None if it is of none."""
        return ", ".join(self._names_by_key.get(access_key or "", ())) or None

    @cached_property
    def _names_by_key(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(self.credentials_of(name).access_key, []).append(name)
        return found

    def settings_of(self, name: str) -> Settings:
        """What holds for an account."""
        return Settings.of(attrs.evolve(self._sources, account=name), **self._settings)

    def _limiter(self, name: str, credentials: Credentials, settings: Settings) -> Limiter:
        """The quota that the account belongs to."""
        from pandapon_async.transport.shared_limiter import quota_name  # only now: it knows databases

        whose = quota_name(credentials, settings)
        if whose not in self._limiters:
            limiter = limiter_of(settings)
            assert isinstance(limiter, Limiter)
            self._limiters[whose] = name, limiter
        first, limiter = self._limiters[whose]
        if limiter.configured != settings.rate:
            raise ConfigurationError(
                f"accounts {first} and {name} share the quota of one key, and say {limiter.configured} and "
                f"{settings.rate} calls a second; give both the same rate"
            )
        return limiter

    @property
    def settings(self) -> Settings:
        """What holds where no account says otherwise."""
        return Settings.of(self._environment, **self._settings)

    def only(self) -> Client:
        """The client for a table that names no account: that of the environment, or of the only account.

        Raises:
            InvalidArgumentError: There are several accounts, and the environment has none.
        """
        if len(self._environment.credentials()) == len(CREDENTIAL_NAMES):
            self._clients[""] = Client(Credentials.of(self._environment), self.settings)
            return self._clients[""]
        if len(self.names) == 1:
            return self.client(self.names[0])
        raise InvalidArgumentError(
            f"the table names no account, and there are {len(self.names)}: say --account NAME, or give it a "
            "column account, or name the account of each shop in the section [shops]",
            argument="account",
        )

    @property
    def statistics(self) -> SharedCounts:
        """Running counts of all accounts together."""
        return SharedCounts(self._clients)

    def clients(self, names: Iterable[str]) -> dict[str, Client]:
        """The clients of these accounts, all made before the first request."""
        self._environment.tell_unused()
        return {name: self.client(name) for name in names}

    async def aclose(self) -> None:
        """Close all clients. May be called twice."""
        for client in self._clients.values():
            await client.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
