"""Several accounts in one process: one client for each, and one quota for accounts that share a key.

A back office may have a hundred shops, each with its own account, and one ledger for all of them. Each row is
looked up with the client of its account. `VendorProfile.quota_scope` decides which requests share a limiter,
its pause and its adaptive rate: those with the same vendor and access key, or those with the same vendor, key
and user.
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
from pandapon_async.plain_text import meant
from pandapon_async.settings import Credentials, Settings, SettingsArguments
from pandapon_async.settings.sources import CREDENTIAL_NAMES, Sources
from pandapon_async.transport.foreign_limiter import limiter_of
from pandapon_async.transport.rate_limiter import Limiter

if TYPE_CHECKING:
    from typing import Unpack

__all__ = ["Accounts", "SharedCounts"]


class SharedCounts:
    """The running counters of several clients together."""

    def __init__(self, clients: Mapping[str, Client]) -> None:
        self._clients = clients

    def __getattr__(self, name: str) -> Any:
        return sum(getattr(client.statistics, name) for client in self._clients.values())

    @property
    def slowed_to(self) -> float | None:
        """Each account has its own rate, so there is no common one."""
        return None


def _usable(file: ConfigFile) -> bool:
    return not file.foreign or all(map(file.brings_credentials, file.accounts))


class Accounts:
    """The accounts of a configuration file. Use them as `async with Accounts.from_config() as accounts:`."""

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
        """The account of each shop, from the section [shops]."""
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
        """Read all accounts of pandapon.toml.

        Args:
            config: The path of the file; by default the one that PANDAPON_CONFIG names, pandapon.toml of the
                working folder, or the user's.
            settings: Settings of every account that override every other source.

        Raises:
            ConfigurationError: No file with accounts exists, or one of its names is wrong.
        """
        found = any_file() if config is None else ConfigFile.read(Path(config))
        first = next(iter(found.accounts), None) if found is not None else None
        sources = Sources.find(WORKING_FOLDER, first, config)
        if sources.file is None or not sources.file.accounts:
            raise ConfigurationError("no pandapon.toml with accounts was found; name one with --config FILE")
        return cls(attrs.evolve(sources, account=None), settings)

    @classmethod
    def found(cls, **settings: Unpack[SettingsArguments]) -> Self | None:
        """The accounts of the file that applies; None without such a file, or if an account is named.

        A file of the working folder applies only if it holds the credentials of all its accounts.
        """
        file = any_file()
        if file is None or os.environ.get(ACCOUNT) or not file.accounts or not _usable(file):
            return None
        return cls.from_config(**settings)

    def account_of(self, account: str | None, shop: str | None) -> str:
        """The account of a row.

        Args:
            account: The value of the row's account column.
            shop: The value of the row's shop column.

        Raises:
            InvalidArgumentError: The account does not exist, or the row does not say which one to use.
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
            raise InvalidArgumentError("the row has no account", argument="account")
        raise InvalidArgumentError("its shop has no account in the section [shops]", argument="account")

    def client(self, name: str) -> Client:
        """The client of an account; created on first use and closed with all others."""
        if name not in self._clients:
            sources = attrs.evolve(self._sources, account=name)
            file = sources.file
            if file is not None and file.foreign and not file.brings_credentials(name):
                raise ConfigurationError(
                    f"account {name} of {file.path} takes its secret from elsewhere, and the file may "
                    f"not be yours. If you trust it, use --config {file.path.name}"
                )
            credentials, settings = self.credentials_of(name), self.settings_of(name)
            if settings.limiter is None and settings.shared is None:  # the database shares it already
                settings = attrs.evolve(settings, limiter=self._limiter(name, credentials, settings))
            self._clients[name] = Client(credentials, settings)
        return self._clients[name]

    def credentials_of(self, name: str) -> Credentials:
        """The credentials of an account."""
        return Credentials.of(attrs.evolve(self._sources, account=name))

    def named(self, access_key: str | None) -> str | None:
        """The accounts of an access key, separated by commas; None if no account has it."""
        return ", ".join(self._names_by_key.get(access_key or "", ())) or None

    @cached_property
    def _names_by_key(self) -> Mapping[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(self.credentials_of(name).access_key, []).append(name)
        return found

    def settings_of(self, name: str) -> Settings:
        """The settings of an account."""
        return Settings.of(attrs.evolve(self._sources, account=name), **self._settings)

    def _limiter(self, name: str, credentials: Credentials, settings: Settings) -> Limiter:
        """The limiter of the quota that the account belongs to."""
        from pandapon_async.transport.shared_limiter import (
            quota_name,
        )  # imported late: it imports the database driver

        whose = quota_name(credentials, settings)
        if whose not in self._limiters:
            limiter = limiter_of(settings)
            assert isinstance(limiter, Limiter)
            self._limiters[whose] = name, limiter
        first, limiter = self._limiters[whose]
        if limiter.configured != settings.rate:
            raise ConfigurationError(
                f"accounts {first} and {name} share the quota of one key, but their rates are "
                f"{limiter.configured} and {settings.rate} calls a second; give both the same rate"
            )
        return limiter

    @property
    def settings(self) -> Settings:
        """The settings that apply unless an account overrides them."""
        return Settings.of(self._environment, **self._settings)

    def only(self) -> Client:
        """The client for a table without an account column: the environment's, or the only account's.

        Raises:
            InvalidArgumentError: There are several accounts, and the environment names none.
        """
        if len(self._environment.credentials()) == len(CREDENTIAL_NAMES):
            self._clients[""] = Client(Credentials.of(self._environment), self.settings)
            return self._clients[""]
        if len(self.names) == 1:
            return self.client(self.names[0])
        raise InvalidArgumentError(
            f"the table has no account column, and {len(self.names)} accounts are configured; use "
            "--account NAME, add a column account, or list the account of each shop in the section "
            "[shops]",
            argument="account",
        )

    @property
    def statistics(self) -> SharedCounts:
        """The running counters of all accounts together."""
        return SharedCounts(self._clients)

    def clients(self, names: Iterable[str]) -> dict[str, Client]:
        """The clients of these accounts, all created before the first request."""
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
