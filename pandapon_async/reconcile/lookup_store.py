"""The lookups of complete runs: a file that one night leaves to the next.

The state of a run belongs to one ledger, and every night has another ledger. This file is organised by
refund. Only a complete run adds to it, in one transaction after its files are written; lookups that are known
to be outdated are marked or removed at once. `reuse` decides whether a lookup is reused.

A lookup counts for one scope: the vendor, the account, and all settings of how the vendor reads and answers.
Another key may see other refunds, and with another correction of a call the same refund may look different.
Each lookup is stored with what the ledger said then.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Self

import attrs

from pandapon_async.accounts import Accounts
from pandapon_async.callbacks.push_log import Pushed
from pandapon_async.client import Client
from pandapon_async.core.vendor import vendor_of
from pandapon_async.errors import ConfigurationError
from pandapon_async.reconcile.list_store import lookup_of
from pandapon_async.reconcile.lookup import bare_id
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource, Outcome
from pandapon_async.storage.damage import DamagedRowError, with_checksum
from pandapon_async.storage.sqlite_file import FileFormat, SqliteStore, set_journal_mode
from pandapon_async.tables.cells import Platform

__all__ = ["LOOKUPS", "Known", "LookupStore", "LookupsUnusableError", "Scope", "scopes_of"]

READING = 1
"""Raised when lookups take other facts from the same answer: earlier lookups are then not used."""
CHECK_EVERY = 1_000
LOOKUPS = "lookups.sqlite"
"""The default name of the file."""


class LookupsUnusableError(ConfigurationError):
    """The file of lookups cannot be used."""


_FIELDS = tuple(field.name for field in attrs.fields(Lookup))
_KEY = ("scope", "platform", "refund_id")
_LEDGER = ("ledger_fen", "ledger_currency", "ledger_status")
_KEPT = (*_KEY, *_LEDGER, *_FIELDS)
_SCHEMA = f"""
CREATE TABLE lookups ({", ".join(_KEY)}, bare_id, order_id, pushed INTEGER NOT NULL DEFAULT 0,
                      {", ".join((*_LEDGER, *_FIELDS))}, checksum INTEGER,
                      PRIMARY KEY ({", ".join(_KEY)})) WITHOUT ROWID;
CREATE INDEX by_refund ON lookups (platform, bare_id);
CREATE INDEX by_order ON lookups (platform, order_id);
CREATE INDEX by_time ON lookups (looked_up_at);
CREATE TABLE facts (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID
"""
FORMAT = FileFormat(
    name="lookups file",
    application_id=0x50506C6B,  # "PPlk"
    number=1,
    schema=_SCHEMA,
    error=LookupsUnusableError,
    checked={"lookups": _KEPT},
    if_damaged="remove it, or choose another file with --lookups; a run without it looks up everything",
)
_COLUMNS = (*_KEPT[: len(_KEY)], "bare_id", "order_id", "pushed", *_KEPT[len(_KEY) :], "checksum")
_INSERT = (  # an earlier run that took longer must not overwrite a later lookup
    f"INSERT INTO lookups ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))}) "
    f"ON CONFLICT DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _COLUMNS[3:])} "
    "WHERE excluded.looked_up_at > lookups.looked_up_at"
)
_FIND = (
    f"SELECT pushed, {', '.join(_KEPT)}, checksum FROM lookups "
    "WHERE scope = ? AND platform = ? AND refund_id = ?"
)


@attrs.frozen
class Scope:
    """The scope of lookups: a digest of vendor, account and profile, and the key that signs pushes."""

    digest: str
    access_key: str = attrs.field(repr=False)

    @classmethod
    def of(cls, client: Client) -> Scope:
        """Return the scope of a client."""
        settings, credentials = client.settings, client.credentials
        facts = [
            READING,
            vendor_of(settings.vendor_id, settings.base_url),
            credentials.access_key,
            credentials.user_id,
            _plain(settings.vendor),
        ]
        text = json.dumps(facts, ensure_ascii=True, sort_keys=True)
        return cls(hashlib.sha256(text.encode()).hexdigest()[:16], credentials.access_key)


def scopes_of(client: Client, accounts: Accounts | None, names: Iterable[str]) -> dict[str | None, Scope]:
    """Return the scopes of a run by account; None for all rows of a single client."""
    if accounts is None:
        return {None: Scope.of(client)}
    return {name: Scope.of(accounts.client(name)) for name in names}


def _plain(value: Any) -> Any:
    """Convert settings for JSON; a function becomes its name."""
    if attrs.has(type(value)):
        return {field.name: _plain(getattr(value, field.name)) for field in attrs.fields(type(value))}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, tuple | list | set | frozenset):
        return sorted((_plain(one) for one in value), key=repr)
    if value is None or isinstance(value, str | int | float):
        return value
    return f"{getattr(value, '__module__', '')}.{getattr(value, '__qualname__', type(value).__qualname__)}"


@attrs.frozen
class Known:
    """A lookup of a complete run, with what the ledger said then."""

    pushed: bool
    """Whether a message about the refund was pushed since."""
    ledger_fen: int | None
    ledger_currency: str | None
    ledger_status: str | None
    lookup: Lookup

    def same_ledger(self, row: LedgerRow) -> bool:
        """Whether the ledger says the same about the refund as then."""
        then = (self.ledger_fen, self.ledger_currency, self.ledger_status)
        return then == (row.amount_fen, row.currency, row.status)


class LookupStore(SqliteStore):
    """The file of lookups. Several runs may have it open; each change is one transaction."""

    @classmethod
    def open(cls, path: Path, *, must_exist: bool = False) -> Self:
        """Open or create the file. Raises ConfigurationError if it cannot be used."""
        connection = FORMAT.open(path, write_ahead=False, must_exist=must_exist)
        try:
            with FORMAT.failing(path, "opened"):
                # Parts of a ledger may read it over a network, which a write-ahead log does not support.
                set_journal_mode(connection, "DELETE")
        except BaseException:
            connection.close()
            raise
        store = cls(path, FORMAT, connection)
        try:
            with FORMAT.failing(path, "opened"):
                store.check(thorough=False)
        except BaseException:
            store.close()
            raise
        return store

    def is_empty(self) -> bool:
        """Whether the file has no lookup."""
        return self._connection.execute("SELECT 1 FROM lookups LIMIT 1").fetchone() is None

    def read_until(self, name: str) -> float:
        """Return the time up to which the messages of a store were read, in seconds since 1970."""
        found = self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return 0.0 if found is None else float(found[0])

    def find(self, scope: str, platform: Platform, refund_id: str) -> Known | None:
        """Return what is known about a refund; None without a lookup, or if it was changed on disk."""
        with FORMAT.failing(self.path, "read"):
            found = self._connection.execute(_FIND, (scope, platform, refund_id)).fetchone()
        if found is None:
            return None
        try:
            values = self.checked(found[1:])
        except DamagedRowError:
            return None
        start = len(_KEY) + len(_LEDGER)
        lookup = lookup_of(values[start:])
        amount_fen, currency, status = values[len(_KEY) : start]
        return Known(bool(found[0]), amount_fen, currency, status, lookup)

    def mark_pushed(self, name: str, messages: Iterable[tuple[Pushed, str]], read_until: float) -> None:
        """Mark the lookups of refunds with a later push.

        Args:
            name: The store of the messages.
            messages: The messages, each with the time up to which it concerns lookups.
            read_until: The time up to which they are read now, in seconds since 1970.
        """
        with FORMAT.failing(self.path, "written"), self.transaction():
            for message, moment in messages:
                about, values = "bare_id = ?", (message.refund_id and bare_id(message.refund_id),)
                if message.refund_id is None:  # then it may be about any refund with an unknown order
                    about, values = "(order_id = ? OR order_id IS NULL)", (message.order_id,)
                self._connection.execute(
                    f"UPDATE lookups SET pushed = 1 WHERE platform = ? AND {about} AND looked_up_at < ?",
                    (message.platform, *values, moment),
                )
            self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, read_until))

    def forget(self, keys: Iterable[tuple[str, Platform, str]]) -> None:
        """Delete the lookups of refunds, by scope, platform and id."""
        with FORMAT.failing(self.path, "written"), self.transaction():
            self._connection.executemany(
                "DELETE FROM lookups WHERE scope = ? AND platform = ? AND refund_id = ?", keys
            )

    def remember(
        self,
        rows: Iterable[tuple[LedgerRow, Lookup | None]],
        scope_of: Callable[[LedgerRow], str | None],
        oldest: str,
        check: Callable[[], None],
        newest: str = "9",
    ) -> None:
        """Store the lookups of a complete run, all or none; reused ones are there already.

        Args:
            rows: Every row of the run with its lookup.
            scope_of: Returns the digest of a row's scope; None: do not store the row.
            oldest: Lookups before this time are dropped.
            check: May raise to stop.
            newest: Lookups after this time are dropped: they are from a clock that was ahead.
        """
        first = None
        with FORMAT.failing(self.path, "written"), self.transaction():
            old = "DELETE FROM lookups WHERE looked_up_at < ? OR looked_up_at > ?"
            self._connection.execute(old, (oldest, newest))
            for number, (row, lookup) in enumerate(rows):
                if number % CHECK_EVERY == 0:
                    check()
                scope = scope_of(row)
                if scope is None or lookup is None or lookup.source is LookupSource.REUSED:
                    continue
                self._keep((scope, row.platform, row.refund_id), row, lookup)
                first = min(first or "9", lookup.looked_up_at or "9")
            if first is not None:  # later pushes are read once more
                moment = datetime.fromisoformat(first).timestamp() if first != "9" else 0.0
                self._connection.execute("UPDATE facts SET value = min(value, ?)", (moment,))

    def _keep(self, key: tuple[Any, ...], row: LedgerRow, lookup: Lookup) -> None:
        if lookup.outcome is Outcome.FOUND and lookup.problems is None:
            self._connection.execute(_INSERT, _values(key, row, lookup))
            return
        gone = "DELETE FROM lookups WHERE scope = ? AND platform = ? AND refund_id = ? AND looked_up_at < ?"
        self._connection.execute(gone, (*key, lookup.looked_up_at))

    def known(self) -> Iterator[tuple[str, str, str]]:
        """Iterate over every scope, platform and refund id; for tests and inspection."""
        yield from self._connection.execute(f"SELECT {', '.join(_KEY)} FROM lookups")


def _values(key: tuple[Any, ...], row: LedgerRow, lookup: Lookup) -> tuple[Any, ...]:
    kept = (row.amount_fen, row.currency, row.status, *(getattr(lookup, name) for name in _FIELDS))
    *_, checksum = with_checksum((*key, *kept))
    return (*key, bare_id(row.refund_id or ""), row.order_id, 0, *kept, checksum)
