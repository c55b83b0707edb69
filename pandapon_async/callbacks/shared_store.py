"""The messages in the shared database: receivers on several machines claim them from one queue.

With a file only the process with the file's lock claims messages. Here all receivers do. Each claims rows
that no other has locked, so a stopped receiver blocks no one. That alone does not keep the order of a key: if
one receiver checks before an earlier message arrives and another one after, they claim both messages. So each
key is locked until the claim is committed, and checked again under that lock.

As in the journal, the lock of its session shows that a receiver is alive. A session that is gone may belong
to a receiver that lost its connection and still works: it has a few seconds to reconnect and keep its
messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import attrs

from pandapon_async.callbacks.store import (
    FILE_FORMAT,
    FREE,
    GIVE_BACK,
    INSERT,
    INTERRUPTED,
    PLACE,
    READ,
    SEQ,
    CallbackStoreUnavailableError,
    Entry,
    MessageState,
    MessageStore,
    Record,
    row_of,
)
from pandapon_async.callbacks.timing import Alarm
from pandapon_async.callbacks.uptime import mark
from pandapon_async.clock import Clock
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.errors import PandaponError
from pandapon_async.plain_text import LOGGER
from pandapon_async.shared.blocking import BlockingConnection, durable_level, session_key
from pandapon_async.shared.database import KEY_CLASS, Connection, Database
from pandapon_async.shared.schema import MESSAGES
from pandapon_async.storage.damage import FILE_ERRORS, StoreLostError

__all__ = ["RETURN_SECONDS", "Hearing", "SharedMessageStore"]

RETURN_SECONDS: Final = 5.0
"""How long a receiver may be without its connection until what it was handling is handed to another one."""
CHECK_SECONDS: Final = 10.0
"""How often the connection that hears of messages is looked at, as a lost one tells nothing."""
INSERT_NEW: Final = f"{INSERT} WHERE NOT EXISTS (SELECT 1 FROM messages WHERE id = ?)"
"""Without the condition it would wait for whoever is changing the message that is there."""
PLANNING: Final = "SET enable_sort = off; SET enable_seqscan = off"
"""A table that has just filled has no statistics: the server would sort the whole backlog for each claim."""

log: Final = logging.getLogger(LOGGER)


class SharedMessageStore(MessageStore):
    """The database as a store of messages. All methods block; they are called from the receiver's thread."""

    several: bool = True

    def __init__(self, url: DatabaseUrl, clock: Clock) -> None:
        self.path: str = str(url)
        self.session: str = ""
        self._format = FILE_FORMAT
        self._clock = clock
        self._level = "on"
        self._is_news = False
        self._gone: dict[str, float] = {}
        self._in_hand: set[int] = set()
        """The messages that this receiver has claimed and not finished, as of the last commit."""
        self._claimed: list[int] = []
        self._ended: list[int] = []
        self._copied: list[str] = []
        self._connection: Any = BlockingConnection(url, clock)

    def open(self) -> None:
        """Connect. Raises CallbackStoreUnavailableError or ConfigurationError on failure."""
        with self.failing():
            self.begin(durable=False)
            self.rollback()

    @contextlib.contextmanager
    def failing(self) -> Iterator[None]:
        """Convert errors that make the database unusable to ours."""
        try:
            yield
        except FILE_ERRORS as error:
            raise self.unavailable(error) from None

    def begin(self, *, durable: bool) -> None:
        """Start a group of changes. With `durable` its commit survives a power cut of the server."""
        level = self._level if durable else "off"
        self._connection.begin(
            f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = '{level}'", self._opened
        )
        self._is_news = False
        self._claimed, self._ended, self._copied = [], [], []

    def commit(self) -> None:
        """Commit the group, and notify all receivers of new messages."""
        for copied in self._copied:  # last: a group that still waits for another must not hold these rows
            self._connection.execute(
                "UPDATE messages SET copies = copies + 1 WHERE seq IN"
                " (SELECT seq FROM messages WHERE id = ? FOR UPDATE SKIP LOCKED)",
                (copied,),
            )
        if self._is_news:
            self._connection.execute(f"NOTIFY {MESSAGES}")
        super().commit()
        self._in_hand.update(self._claimed)
        self._in_hand.difference_update(self._ended)

    def add(self, entry: Entry, forget_before: float) -> bool:
        """As in a file. A duplicate of a message that another receiver changes may not be counted.

        Call it before the other changes of a group and in the order of the ids: only so no two receivers wait
        for each other.
        """
        entry = _storable(entry)
        known = "SELECT 1 FROM forgotten WHERE id = ?"
        if not entry.stamped and self._connection.execute(known, (entry.id,)).fetchone():
            return False
        if not self._insert(entry):
            self._connection.execute(
                "DELETE FROM messages WHERE id = ? AND state = 'done' AND updated < ? AND stamped = 1",
                (entry.id, forget_before),
            )
            if not self._insert(entry):
                self._copied.append(entry.id)
                return False
        self._is_news = True
        return True

    def lead(self) -> bool:
        """True: every receiver claims messages."""
        return True

    def recover(self, most_attempts: int, now: float) -> int:
        """Return messages of receivers that are gone for a while; return their number."""
        query = "SELECT DISTINCT session FROM messages WHERE state = 'handling' AND session <> ?"
        holders = [session for (session,) in self._connection.execute(query, (self.session,))]
        first_seen, self._gone = self._gone, {}
        given_back = 0
        for session in holders:
            is_free = "SELECT pg_try_advisory_xact_lock(?::bigint)"
            if not self._connection.execute(is_free, (session_key(session),)).fetchone()[0]:
                continue
            gone_since = first_seen.get(session, self._clock.now())
            if self._clock.now() - gone_since < RETURN_SECONDS:
                self._gone[session] = gone_since
                continue
            given_back += self._connection.execute(
                f"{GIVE_BACK}, session = NULL WHERE seq IN (SELECT seq FROM messages"
                " WHERE state = 'handling' AND session = ? FOR UPDATE SKIP LOCKED)",
                (now, now, INTERRUPTED, most_attempts, session),
            ).rowcount
        return given_back

    def claim(self, now: float, limit: int) -> tuple[list[Record], float | None]:
        """As in a file, for messages that no other receiver is claiming."""
        found = self._connection.execute(
            f"SELECT seq, key FROM messages WHERE state = 'pending' AND due <= ? AND {FREE}"
            " ORDER BY due, seq LIMIT ? FOR UPDATE SKIP LOCKED",
            (now, limit),
        ).fetchall()
        rows = self._look_again([seq for seq, _ in found], [key for _, key in found]) if found else []
        seqs = [row[SEQ] for row in rows]
        if seqs:
            self._claimed += seqs
            self._connection.execute(
                "UPDATE messages SET state = 'handling', attempts = attempts + 1, updated = ?, session = ?"
                " WHERE seq = ANY(?::bigint[])",
                (now, self.session, seqs),
            )
        (due,) = self._connection.execute("SELECT min(due) FROM messages WHERE state = 'pending'").fetchone()
        return self._sound(rows, now), due

    def _look_again(self, seqs: list[int], keys: list[str | None]) -> list[tuple[Any, ...]]:
        """Return the rows whose turn it still is, with their keys locked until the commit."""
        ours = self._connection.execute(
            "SELECT seq FROM unnest(?::bigint[], ?::text[]) AS found (seq, key)"
            f" WHERE key IS NULL OR pg_try_advisory_xact_lock({KEY_CLASS}, hashtext(key))",
            (seqs, keys),
        ).fetchall()
        return self._connection.execute(  # type: ignore[no-any-return]
            f"SELECT {READ}, checksum, {PLACE} FROM messages WHERE seq = ANY(?::bigint[])"
            f" AND state = 'pending' AND {FREE} ORDER BY due, seq",
            ([seq for (seq,) in ours],),
        ).fetchall()

    def finish(
        self,
        seq: int,
        state: MessageState,
        now: float,
        *,
        due: float,
        finished: Iterable[str],
        note: str | None = None,
        unhandled: bool = False,
    ) -> None:
        """As in a file, unless the message was given to another receiver meanwhile."""
        self._ended.append(seq)
        changed = self._connection.execute(
            "UPDATE messages SET state = ?, updated = ?, due = ?, finished = ?, note = ?, unhandled = ?,"
            " session = NULL WHERE seq = ? AND state = 'handling' AND session = ?",
            (
                *(state.value, now, due, json.dumps(sorted(finished)), note, int(unhandled)),
                *(seq, self.session),
            ),
        )
        if changed.rowcount != 1:
            log.warning("callbacks: message number %d was given to another receiver meanwhile", seq)

    def release(self, seqs: Iterable[int], now: float) -> None:
        """Return messages whose attempts were interrupted, as if the attempts had not been made."""
        seqs = list(seqs)
        self._ended += seqs
        self._connection.execute(
            "UPDATE messages SET state = 'pending', attempts = attempts - 1, updated = ?, session = NULL"
            " WHERE seq = ANY(?::bigint[]) AND state = 'handling' AND session = ?",
            (now, seqs, self.session),
        )
        self._is_news = True

    def replay(self, ids: Iterable[str] | None, now: float) -> int:
        """As in a file; all receivers are notified."""
        self._is_news = True
        return super().replay(ids, now)

    def forget(self, before: float, limit: int = 1000) -> int:
        """As in a file."""
        found = self._connection.execute(
            "SELECT seq, received FROM messages WHERE state = 'done' AND updated < ? ORDER BY seq LIMIT ?"
            " FOR UPDATE SKIP LOCKED",
            (before, limit),
        ).fetchall()
        if not found:
            return 0
        seqs = [seq for seq, _ in found]
        self._mark("forgotten", max(received for _, received in found))
        self._connection.execute(
            "INSERT OR IGNORE INTO forgotten SELECT id FROM messages"
            " WHERE stamped = 0 AND seq = ANY(?::bigint[])",
            (seqs,),
        )
        self._connection.execute("DELETE FROM messages WHERE seq = ANY(?::bigint[])", (seqs,))
        return len(seqs)

    def _mark(self, name: str, moment: float) -> None:
        """Set this session's own mark (a shared one could deadlock); the latest of all counts."""
        own = f"{name} {self.session}"
        mark(self._connection, own, moment)
        self._connection.execute(
            "DELETE FROM marks WHERE name IN"
            " (SELECT name FROM marks WHERE name <> ? AND moment <= ? FOR UPDATE SKIP LOCKED)",
            (own, moment),
        )

    def close(self) -> None:
        """Release the connection, and with it the lock that shows that this receiver is alive."""
        self._connection.close()

    def unavailable(self, error: sqlite3.Error | UnicodeDecodeError) -> CallbackStoreUnavailableError:
        """Return the error to raise when the database cannot be used."""
        if isinstance(error, StoreLostError):
            return CallbackStoreUnavailableError(f"the callbacks store cannot be used: {error}")
        return CallbackStoreUnavailableError(
            f"a row of the callbacks store in {self.path} was changed by another program"
        )

    def check(self, *, thorough: bool) -> None:
        """Compare the checksums of all rows, if `thorough`."""
        if thorough:
            for _, values in self.all_checked():
                self.checked(values)

    def _insert(self, entry: Entry) -> bool:
        return bool(self._connection.execute(INSERT_NEW, (*row_of(entry), entry.id)).rowcount == 1)

    async def _opened(self, connection: Connection) -> None:
        """Prepare a new connection: a new session that takes over the messages of the lost one.

        What nobody has in hand any more is given back: its end was lost with the server, or its claim with
        the connection.
        """
        session = uuid.uuid4().hex
        self._level = await durable_level(connection, "callbacks", self.path)
        await connection.execute(f"{PLANNING}; SELECT pg_advisory_lock({session_key(session)})")
        if self.session:
            await connection.execute(
                "UPDATE messages SET session = CASE WHEN seq = ANY($3::bigint[]) THEN $1 END,"
                " state = CASE WHEN seq = ANY($3::bigint[]) THEN state ELSE 'pending' END"
                " WHERE session = $2 AND state = 'handling'",
                *(session, self.session, list(self._in_hand)),
            )
        self.session = session


def _storable(entry: Entry) -> Entry:
    """PostgreSQL accepts neither NUL nor lone surrogates in text; bodies are bytes and stay unchanged."""
    changes: dict[str, Any] = {
        field.name: changed
        for field in attrs.fields(Entry)
        if isinstance(value := getattr(entry, field.name), str)
        and (changed := value.encode(errors="replace").decode().replace("\0", "\ufffd")) != value
    }
    return attrs.evolve(entry, **changes) if changes else entry


class Hearing:
    """Calls `heard` when a message arrives in the database at any receiver, until it is closed."""

    def __init__(self, url: DatabaseUrl, clock: Clock, heard: Callable[[], None]) -> None:
        self._database = Database(url, clock)
        self._clock = clock
        self._task: asyncio.Task[None] | None = None
        self._heard = heard
        self._database.listen(MESSAGES, lambda _: heard())

    def start(self) -> None:
        """Begin; may be called twice."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_open(), name="pandapon-callbacks-hearing")

    async def _keep_open(self) -> None:
        while True:
            try:
                await self._database.run(
                    lambda connection: connection.execute("SELECT 1"), seconds=CHECK_SECONDS
                )
                self._heard()  # for messages that came without a listener
            except PandaponError as error:
                log.debug("callbacks: no notices from other receivers: %s", error)
            await Alarm(self._clock).wait(CHECK_SECONDS)

    async def aclose(self) -> None:
        """Stop listening. May be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._database.aclose()
