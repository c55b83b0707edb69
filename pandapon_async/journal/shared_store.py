"""The journal's rows in PostgreSQL: the rules of the file, for all machines of a company.

In a file the rules hold because a change excludes all others while it decides. PostgreSQL does not do that by
itself: in READ COMMITTED a statement sees the rows that were committed when it began, but a unique index
checks the present rows. A write that changes from `sent` to `confirmed` in between is seen by neither, and
would be sent twice. So each group of changes first takes one lock of the database, and what it reads
afterwards is true until it commits. That costs one round trip per group, and still allows far more writes
than any quota.

A lock also shows which processes are alive: each connection has its own session and holds the session's lock
as long as it lasts.
"""

from __future__ import annotations

import logging
import math
import sqlite3
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from pandapon_async.clock import Clock
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.errors import JournalUnavailableError
from pandapon_async.journal.file_format import FILE_FORMAT
from pandapon_async.journal.intent import Intent, IntentState
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.place import AutomaticFiles, automatic_files, forgets
from pandapon_async.journal.rows import text_of
from pandapon_async.journal.store import Added, JournalStore, Reading
from pandapon_async.settings import Credentials, Settings
from pandapon_async.shared.blocking import BlockingConnection, durable_level, session_key
from pandapon_async.shared.database import LOCK_CLASS, Connection
from pandapon_async.storage.damage import StoreLostError, with_checksum

__all__ = ["LEASE_SECONDS", "SharedJournal", "SharedJournalStore", "shared_journal_of"]

LEASE_SECONDS: Final = 5.0
"""Seconds between recording a write and sending it; later it may count as absent already."""
CHANGE_LOCK: Final = 2
"""The lock of every change to the journal."""
CAREFUL_SECONDS: Final = 600.0
"""Seconds before a failover in which rows may be missing or outdated."""

log: Final = logging.getLogger("pandapon_async")


class SharedJournalStore(JournalStore):
    """The database as a journal. All methods block; the journal's own thread calls them."""

    def __init__(self, url: DatabaseUrl, clock: Clock) -> None:
        self.path: str = str(url)
        self.session: str = ""
        self.not_ours: list[Path] = []
        self.mark: int = 0
        self._raised = 0
        self._on_close = None
        self._unassigned, self._unclear = set(), set()
        self._has_extra = True
        self._failover_at = -math.inf
        self._lost_id = ""
        self._level = "on"
        self._is_new = True
        self._format = FILE_FORMAT
        self._clock = clock
        self._connection: Any = BlockingConnection(url, clock)

    def begin(self, *, durable: bool) -> None:
        """Begin a group of changes, always durable (a server may be killed), and lock out all others."""
        self._connection.begin(
            f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = '{self._level}';"
            f" SET LOCAL lock_timeout = '8s'; SELECT pg_advisory_xact_lock({LOCK_CLASS}, {CHANGE_LOCK})",
            self._opened,
        )
        if self._is_new:
            self._look_at_history()

    def commit(self) -> None:
        """Commit the group."""
        super().commit()
        self._is_new = False

    def add(
        self, intent: Intent, once: bool, subjects: Sequence[str] = (), *, allow_second: bool = False
    ) -> Added:
        """As in a file; after a failover each write must be checked first."""
        added = super().add(intent, once, subjects, allow_second=allow_second)
        if added.blocking is not None or not (self._is_careful() or self._is_doubted(intent)):
            return added
        if added.doubtful is not None:
            return Added(doubtful=attrs.evolve(added.doubtful, **self._age_of_failover()))
        self._change(self._row(intent.id) or (), {"state": IntentState.INTENDED.value, "attempts": 0})
        intent.state, intent.attempts = IntentState.INTENDED, 0
        # A server that is gone may have recorded it, and its row may be lost.
        lost = {"id": self._lost_id, "state": IntentState.UNKNOWN, **self._age_of_failover()}
        return Added(doubtful=attrs.evolve(intent, **lost))

    def _is_careful(self) -> bool:
        return self._since_failover() <= CAREFUL_SECONDS

    def _since_failover(self) -> float:
        """Seconds since another server, or another history of this one, was first seen."""
        return self._clock.now() - self._failover_at

    def _is_doubted(self, intent: Intent) -> bool:
        """Whether a failover may have lost a row of this key, and nothing was sent of it since."""
        newest = self._connection.execute(
            "SELECT doubted FROM intents WHERE scope = ? AND operation = ? AND natural_key = ? AND id <> ?"
            " AND (doubted OR attempts > 0) ORDER BY rowid DESC LIMIT 1",
            (intent.scope, intent.operation, text_of(intent.natural_key), intent.id),
        ).fetchone()
        return newest is not None and bool(newest[0])

    def _age_of_failover(self) -> dict[str, Any]:
        """The clock reading of a write that may have been recorded right before the failover."""
        boot, uptime = self._clock.boot() or (None, None)
        then = None if uptime is None else uptime - self._since_failover()
        return {"boot": boot, "uptime": then, "served": None}

    def _look_at_history(self) -> None:
        """Record whether this server wrote the newest rows or replaced the one that did.

        The history comes from the log's current file, because the control file lags behind for a moment.
        """
        facts = self._connection.execute(
            "SELECT system_identifier, ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int,"
            " extract(epoch FROM clock_timestamp())::float8 FROM pg_control_system()"
        ).fetchone()
        system, timeline, now = facts
        known = self._connection.execute("SELECT system, timeline, since FROM history").fetchone()
        since = 0.0
        if known is None:
            self._connection.execute(
                "INSERT INTO history (system, timeline, since) VALUES (?, ?, 0)", (system, timeline)
            )
        elif known[:2] != (system, timeline):
            since = now
            log.warning("the shared journal has another server or was restored: writes are checked first")
            self._connection.execute(
                "UPDATE history SET system = ?, timeline = ?, since = ?", (system, timeline, now)
            )
            # Relative to the newest row, because a copy may be restored long after it was made.
            self._connection.execute(
                "UPDATE intents SET doubted = true WHERE noted >="
                " least(?::float8, (SELECT max(noted) FROM intents)) - ?::float8",
                (now, CAREFUL_SECONDS),
            )
        else:
            since = known[2]
        self._failover_at = self._clock.now() + since - now
        self._lost_id = f"history-{timeline}-{since:.0f}"

    def close_ended(self, now: Reading) -> None:
        """Settle the writes of ended processes; a living process holds its session's lock."""
        self.begin(durable=True)
        try:
            for session in self.sessions():
                key = session_key(session)
                free = self._connection.execute("SELECT pg_try_advisory_xact_lock(?::bigint)", (key,))
                if session == self.session or not free.fetchone()[0]:
                    continue
                if unknown := self.close_abandoned(session, now):
                    log.warning("journal: %d writes of an ended process are of unknown outcome", unknown)
            self.commit()
        finally:
            self.rollback()

    async def _opened(self, connection: Connection) -> None:
        """Prepare a new connection: it is a session of its own with its own locks."""
        self.session = uuid.uuid4().hex
        self._level = await durable_level(connection, "a journal", self.path)
        await connection.execute(f"SELECT pg_advisory_lock({session_key(self.session)})")
        values = with_checksum((uuid.uuid4().hex, 0))
        await connection.execute(
            "INSERT INTO identity (id, mark, checksum) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING", *values
        )
        self._is_new = True

    def _look_for_old_rows(self) -> None:
        super()._look_for_old_rows()
        self._has_extra = True  # another machine may adopt a file that has some

    def unavailable(self, error: sqlite3.Error | UnicodeDecodeError) -> JournalUnavailableError:
        """Return the error to raise when the database cannot be used."""
        if isinstance(error, StoreLostError):
            return JournalUnavailableError(f"the journal cannot be used: {error}; nothing was sent")
        return JournalUnavailableError(
            f"a row of the journal in {self.path} was changed by another program; nothing was sent"
        )

    def check(self, *, thorough: bool) -> None:
        """Compare the checksums of all rows, if `thorough`."""
        if thorough:
            for _, values in self.all_checked():
                self.checked(values)


class SharedJournal(Journal):
    """A journal in a PostgreSQL database for all processes and machines of a company.

    `files` are the automatic journals of this machine from before the database was shared. The first opening
    adopts them, because only they have these writes.
    """

    lease: float | None = LEASE_SECONDS

    def __init__(
        self, url: DatabaseUrl, *, clock: Clock | None = None, files: AutomaticFiles | None = None
    ) -> None:
        super().__init__(str(url), clock=clock, earlier=files.earlier if files else None)
        self._url = url
        self._files = files

    @property
    def in_file(self) -> bool:
        """False: the journal is in a database."""
        return False

    async def exists(self) -> bool:
        """True: the database creates a journal on first use."""
        return True

    async def place(self) -> str:
        """The address of the database, without the password."""
        return self.path

    def _open_store(self) -> JournalStore:
        """Open the store. Runs on the journal's thread."""
        store = SharedJournalStore(self._url, self._clock)
        try:
            store.close_ended(self._opened_at)
            if self._files is not None:
                store.not_ours = self._files.adopt(store, self._opened_at)
        except BaseException as error:
            store.close()
            if isinstance(error, sqlite3.Error):
                raise store.unavailable(error) from error
            raise
        return store


def shared_journal_of(credentials: Credentials, settings: Settings) -> SharedJournal:
    """Return the journal in `Settings.shared`; for a loopback base_url no file is adopted."""
    assert settings.shared is not None
    files = None if forgets(settings) else automatic_files(credentials, settings)
    return SharedJournal(settings.shared, clock=settings.clock, files=files)
