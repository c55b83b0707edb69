"""The clients of a process that runs parts: from its own configuration, never from the sender of the parts.

A key or a secret in a task ends up in the memory of a scheduler, in its logs and in those of every worker. So
a task names an account, and the worker looks it up. A worker with another key for that name, or another
address, would look up the whole part and find nothing. So before the first part each worker proves that it
has the same account, by digests that are valid for one run only.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from pandapon_async import __version__
from pandapon_async.accounts import Accounts
from pandapon_async.client import Client
from pandapon_async.config_file import CONFIG, ConfigFile
from pandapon_async.environment import ACCOUNT, WORKING_FOLDER
from pandapon_async.errors import PandaponError
from pandapon_async.reconcile.parts import Split
from pandapon_async.settings import Credentials, Settings
from pandapon_async.settings.sources import Sources

__all__ = ["Access", "Proof", "differences"]


class _SharedOut(Accounts):
    """Accounts whose rates are divided among several processes."""

    shares: int = 1

    def settings_of(self, name: str) -> Settings:
        """The settings of an account, with this process's part of its rate."""
        return _divided(super().settings_of(name), self.shares)

    @property
    def settings(self) -> Settings:
        """The settings that apply unless an account overrides them."""
        return _divided(super().settings, self.shares)


def _divided(settings: Settings, shares: int) -> Settings:
    """Return the settings with a part of the rate; a shared database divides it by itself."""
    if shares == 1 or settings.rate is None or settings.shared is not None:
        return settings
    return attrs.evolve(settings, rate=settings.rate / shares)


@attrs.frozen(kw_only=True)
class Proof:
    """What a process knows about the accounts, without revealing a key."""

    version: str = __version__
    """The version of pandapon-async."""
    accounts: Mapping[str, str] = attrs.field(factory=dict)
    """A digest of key, secret and user id for each account; "" is the environment's."""
    base_urls: Mapping[str, str] = attrs.field(factory=dict)
    """The address of the calls of each account."""
    databases: Mapping[str, str | None] = attrs.field(factory=dict)
    """The database of each account's shared quota."""
    split_id: str | None = None
    """The split of a ledger that it sees in the folder of the parts."""
    problem: str | None = None
    """Why it cannot prove more."""


def _absolute(path: str | Path | None) -> str | None:
    return None if path is None else str(Path(path).absolute())


@attrs.frozen(kw_only=True)
class Access:
    """The account of a part and its configuration: names and paths, no secret."""

    account: str | None = None
    """The name of an account; None: PANDAPON_ACCOUNT, else all accounts of the file, else the environment."""
    config: str | None = attrs.field(default=None, converter=_absolute)
    """The configuration file, the same path on every machine; None: the one each finds by itself."""
    settings: Mapping[str, Any] = attrs.field(factory=dict)
    """Settings that override the configuration."""
    shares: int = 1
    """The number of processes that share the rate."""

    def open(self) -> Client | Accounts:
        """Create the clients of this process. Raises ConfigurationError for unusable configuration."""
        if (accounts := self.accounts()) is not None:
            return accounts
        credentials, settings = self._alone()
        return Client(credentials, settings)

    def own_settings(self) -> Settings:
        """Return the settings that apply unless an account overrides them, with the whole rate."""
        whole = attrs.evolve(self, shares=1)
        accounts = whole.accounts()
        return whole._alone()[1] if accounts is None else accounts.settings

    def quotas_are_apart(self) -> bool:
        """Whether each account has a quota of its own: no two share a key. Reads the configuration."""
        from pandapon_async.transport.shared_limiter import quota_name  # only now: it knows databases

        accounts = self.accounts()
        if accounts is None:
            return False
        names = {
            quota_name(accounts.credentials_of(name), accounts.settings_of(name)) for name in accounts.names
        }
        return len(names) == len(accounts.names)

    def proof(self, nonce: str, folder: str) -> Proof:
        """Return what this process knows about the accounts and the parts. Never raises."""
        try:
            known = dict(self._known())
            split_id = Split.of(Path(folder)).id
        except PandaponError as error:
            return Proof(problem=str(error))
        return Proof(
            accounts={name: _digest(nonce, credentials) for name, (credentials, _) in known.items()},
            base_urls={name: settings.base_url for name, (_, settings) in known.items()},
            databases={name: _database(settings) for name, (_, settings) in known.items()},
            split_id=split_id,
        )

    def accounts(self) -> Accounts | None:
        """Return the accounts of the file, if no account is named; None: there is only one account."""
        account = self.account or os.environ.get(ACCOUNT)
        config = self.config or os.environ.get(CONFIG)
        if account:
            return None
        if config:
            several = bool(ConfigFile.read(Path(config)).accounts) if Path(config).is_file() else False
            found = _SharedOut.from_config(config, **self.settings) if several else None
        else:
            found = _SharedOut.found(**self.settings)
        if found is not None:
            found.shares = self.shares
        return found

    def _alone(self) -> tuple[Credentials, Settings]:
        sources = Sources.find(WORKING_FOLDER, self.account, self.config)
        return Credentials.of(sources), _divided(Settings.of(sources, **self.settings), self.shares)

    def _known(self) -> Mapping[str, tuple[Credentials, Settings]]:
        accounts = self.accounts()
        if accounts is None:
            return {self.account or "": self._alone()}
        known = {name: (accounts.credentials_of(name), accounts.settings_of(name)) for name in accounts.names}
        with contextlib.suppress(PandaponError):  # the environment has no key of its own
            known[""] = self._alone()
        return known


def _digest(nonce: str, credentials: Credentials) -> str:
    parts = (credentials.access_key, credentials.access_secret, credentials.user_id)
    text = "\0".join(parts).encode()
    return hmac.new(nonce.encode(), text, hashlib.sha256).hexdigest()


def _database(settings: Settings) -> str | None:
    url = settings.shared
    return None if url is None else f"{url.host}:{url.port}/{url.database}"


def differences(ours: Proof, theirs: Proof) -> list[str]:
    """Return why a worker gets no part; "" if it may."""
    if ours.version != theirs.version:
        return [f"has pandapon-async {theirs.version}, not {ours.version}"]
    if theirs.problem is not None:
        return [theirs.problem]
    found = []
    for name, digest in ours.accounts.items():
        whose = f"account {name}" if name else "the account of the environment"
        if name not in theirs.accounts:
            found.append(f"does not know {whose}")
        elif not hmac.compare_digest(digest, theirs.accounts[name]):
            found.append(f"has another key for {whose}")
        elif ours.base_urls[name] != theirs.base_urls[name]:
            found.append(
                f"sends the calls of {whose} to {theirs.base_urls[name]}, not {ours.base_urls[name]}"
            )
        elif ours.databases[name] != theirs.databases[name]:
            found.append(
                f"shares the quota of {whose} in {theirs.databases[name] or 'no database'}, "
                f"not in {ours.databases[name] or 'none'}"
            )
    if ours.split_id != theirs.split_id:
        found.append("sees other parts in this folder")
    return found
