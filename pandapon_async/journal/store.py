"""The journal's book: one SQLite file, one row per intended write.

An intent is *open* while its outcome can still be anything: `intended`, `sent`, `unknown`. The file
itself allows one open intent per natural key, so two processes cannot both file the same refund.
Amounts, ids and waybills are kept, as they are needed to find out what became of a write; free text
and addresses are not, only their digest.
"""

from __future__ import annotations

import enum
import functools
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import attrs
import orjson

from pandapon_async.errors import JournalUnavailableError

__all__ = ["COLUMNS", "Intent", "IntentState", "JournalStore"]

FORMAT = 1
BUSY_SECONDS = 10.0
"""How long a change waits for another process to finish its own."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS identity (only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS intents (
    id TEXT PRIMARY KEY,
    account TEXT NOT NULL,
    operation TEXT NOT NULL,
    natural_key TEXT NOT NULL,
    digest TEXT NOT NULL,
    facts TEXT NOT NULL,
    state TEXT NOT NULL,
    session TEXT NOT NULL,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    request_id TEXT,
    result TEXT,
    note TEXT
) STRICT;
-- One index for both: an open intent per key (of closed ones the last column is null, and so no two are
-- alike), and all intents of a key. Each index more costs a write a tenth.
CREATE UNIQUE INDEX IF NOT EXISTS one_open_per_key ON intents
    (account, operation, natural_key, (CASE WHEN state IN ('intended', 'sent', 'unknown') THEN 1 END));
CREATE INDEX IF NOT EXISTS open_by_session ON intents (session)
    WHERE state IN ('intended', 'sent', 'unknown');
DROP INDEX IF EXISTS one_open_intent;
DROP INDEX IF EXISTS by_key;
DROP INDEX IF EXISTS by_state;
"""
_OPEN = "state IN ('intended', 'sent', 'unknown')"


class IntentState(enum.StrEnum):
    """Where a write stands. The first three are open, the others final."""

    INTENDED = "intended"  # on disk, not yet sent
    SENT = "sent"  # may be on the wire
    UNKNOWN = "unknown"  # sent, and nobody knows what became of it
    CONFIRMED = "confirmed"  # the vendor said yes
    REJECTED = "rejected"  # the vendor said no
    NOT_SENT = "not_sent"  # surely never reached the vendor
    SETTLED_DONE = "settled_done"  # was unknown; the state, read afterwards, shows that it landed
    SETTLED_ABSENT = "settled_absent"  # was unknown; it did not land

    @property
    def open(self) -> bool:
        """Whether the outcome can still be anything."""
        return self in (IntentState.INTENDED, IntentState.SENT, IntentState.UNKNOWN)

    @property
    def succeeded(self) -> bool:
        """Whether the operation surely was carried out."""
        return self in (IntentState.CONFIRMED, IntentState.SETTLED_DONE)


@attrs.define(kw_only=True)
class Intent:
    """One row of the journal.

    `operation` is the call's name without its generation ("alibaba.refunds.create"), `natural_key` what
    makes two writes the same one, `facts` what is needed to find out what became of it, `digest` the
    SHA-256 of the whole payload, `result` the id the vendor gave, `note` why it stands where it stands.
    Times are seconds since 1970.
    """

    id: str
    account: str
    operation: str
    natural_key: dict[str, Any]
    digest: str
    facts: dict[str, Any]
    state: IntentState
    session: str
    created: float
    updated: float
    attempts: int = 0
    request_id: str | None = None
    result: str | None = None
    note: str | None = None


COLUMNS = tuple(field.name for field in attrs.fields(Intent))
_SAME_KEY = " WHERE account = ? AND operation = ? AND natural_key = ?"
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM intents"
AT_ONCE = 64  # rows of the longest statement


class JournalStore:
    """The file. All methods block; they are called from the journal's own thread.

    `session` is who writes; `on_close` is called after the file was closed.
    """

    def __init__(self, path: str, session: str = "", on_close: Callable[[], None] | None = None) -> None:
        self.path = path
        self.session = session
        self._on_close = on_close
        self._durable: bool | None = None
        try:
            self._connection = sqlite3.connect(
                path, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
            )
            try:
                # Of a new file: keys lie scattered, and half the page is half of what a commit writes.
                self._connection.execute("PRAGMA page_size = 2048")
                self._prepare()
            except BaseException:
                self._connection.close()
                raise
        except sqlite3.Error as error:
            raise JournalUnavailableError(f"the journal {path} cannot be opened: {error}") from error

    def unavailable(self, error: sqlite3.Error) -> JournalUnavailableError:
        """What to raise when the file cannot be used."""
        return JournalUnavailableError(
            f"the journal {self.path} cannot be written ({error}); nothing was sent"
        )

    def _prepare(self) -> None:
        self._check_whose()
        self._write_ahead()
        self.begin(durable=True)
        try:
            for statement in _SCHEMA.split(";\n"):
                self._connection.execute(statement)
            self._connection.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", (uuid.uuid4().hex,))
            self._connection.execute(f"PRAGMA user_version = {FORMAT}")
            self.commit()
        finally:
            self.rollback()

    def _check_whose(self) -> None:
        tables = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        if tables and ("intents",) not in tables:
            raise JournalUnavailableError(
                f"{self.path} is a database of something else; choose another journal"
            )
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version not in (0, FORMAT):
            raise JournalUnavailableError(
                f"the journal {self.path} has format {version}; this version reads format {FORMAT}"
            )

    def _write_ahead(self) -> None:
        """Switch to the write-ahead log. Of processes that do so at once, SQLite lets one wait in vain."""
        patience = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > patience:
                    raise
                time.sleep(0.005)

    def identity(self) -> str:
        """What tells this journal from every other, also from one made anew in its place."""
        (found,) = self._connection.execute("SELECT id FROM identity").fetchone()
        return str(found)

    def begin(self, *, durable: bool) -> None:
        """Start a group of changes; `durable` means that its commit survives a power cut."""
        # The level holds per transaction: what was never sent need not be flushed, what is sent must.
        if durable is not self._durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Make the group last."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Forget the group, if there is one."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def again(self) -> None:
        """Forget the group that was begun, and begin it anew."""
        self.rollback()
        self.begin(durable=bool(self._durable))

    def write_rows(self, statement: str, rows: Sequence[tuple[Any, ...]]) -> bool:
        """Run a statement on all `{rows}`; whether it changed as many.

        In pieces of a power of two: so there are few texts, and each is prepared once.
        """
        begin = 0
        while left := len(rows) - begin:
            count = min(1 << (left.bit_length() - 1), AT_ONCE)
            piece = rows[begin : begin + count]
            values = [value for row in piece for value in row]
            if self._connection.execute(_text_for(statement, count, len(piece[0])), values).rowcount != count:
                return False
            begin += count
        return True

    def add(self, intent: Intent) -> Intent | None:
        """Write an intent down. Gives the open intent that already has its key, and writes nothing then."""
        try:
            self._connection.execute(
                f"INSERT INTO intents ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})",
                self.values_of(intent),
            )
        except sqlite3.IntegrityError:
            earlier = self.open_with_key(intent)
            if earlier is None:
                raise  # not for its key: without a row nothing may be sent
            return earlier
        return None

    def open_with_key(self, intent: Intent) -> Intent | None:
        """The open intent with the same natural key."""
        return self._with_key(intent, (IntentState.INTENDED, IntentState.SENT, IntentState.UNKNOWN))

    def succeeded_with_key(self, intent: Intent) -> Intent | None:
        """The newest intent of the same natural key that was surely carried out."""
        return self._with_key(intent, (IntentState.CONFIRMED, IntentState.SETTLED_DONE))

    def _with_key(self, intent: Intent, states: tuple[IntentState, ...]) -> Intent | None:
        found = self._many(
            f"{_SAME_KEY} AND state IN ({', '.join('?' * len(states))}) ORDER BY created DESC LIMIT 1",
            (intent.account, intent.operation, _text(intent.natural_key), *states),
        )
        return found[0] if found else None

    def with_key(self, account: str, operation: str, natural_key: dict[str, Any]) -> list[Intent]:
        """All intents of this natural key, newest first."""
        return self._many(
            f"{_SAME_KEY} ORDER BY created DESC, rowid DESC", (account, operation, _text(natural_key))
        )

    def claimed(self, intent: Intent, result: str) -> bool:
        """Whether another intent of the same operation ended with this result."""
        query = "SELECT 1 FROM intents WHERE account = ? AND operation = ? AND result = ? AND id <> ?"
        values = (intent.account, intent.operation, result, intent.id)
        return self._connection.execute(query, values).fetchone() is not None

    def sending(self, intent_id: str, now: float) -> bool:
        """Note that the next thing that happens is sending. False if the intent is not open any more."""
        cursor = self._connection.execute(
            "UPDATE intents SET state = 'sent', attempts = attempts + 1, updated = ?"
            " WHERE id = ? AND state IN ('intended', 'sent')",
            (now, intent_id),
        )
        return cursor.rowcount == 1

    def settle(
        self,
        intent_id: str,
        state: IntentState,
        now: float,
        request_id: str | None,
        result: str | None,
        note: str | None,
    ) -> bool:
        """Note what became of it. A final state is never changed again: False then."""
        cursor = self._connection.execute(
            "UPDATE intents SET state = ?, updated = ?, request_id = coalesce(?, request_id),"
            " result = coalesce(?, result), note = coalesce(?, note)"
            " WHERE id = ? AND state IN ('intended', 'sent', 'unknown')",
            (state.value, now, request_id, result, note, intent_id),
        )
        return cursor.rowcount == 1

    def sessions(self) -> list[str]:
        """The sessions that have intents which are not settled."""
        rows = self._connection.execute(
            f"SELECT DISTINCT session FROM intents WHERE {_OPEN} AND state <> 'unknown'"
        ).fetchall()
        return [session for (session,) in rows]

    def close_abandoned(self, session: str, now: float) -> int:
        """A session ended without settling: what it sent is unknown, what it only intended was not sent."""
        move = (
            f"UPDATE intents SET state = ?, updated = ?, note = ? WHERE {_OPEN} AND session = ? AND state = ?"
        )
        ended = "the process ended before the answer was noted"
        unknown = self._connection.execute(move, ("unknown", now, ended, session, "sent")).rowcount
        never = "the process ended before it was sent"
        self._connection.execute(move, ("not_sent", now, never, session, "intended"))
        return unknown

    def get(self, intent_id: str) -> Intent | None:
        """One intent by id, or by the beginning of its id if that is enough."""
        found = self._many(" WHERE id = ?", (intent_id,)) or self._many(
            " WHERE substr(id, 1, ?) = ? LIMIT 2", (len(intent_id), intent_id)
        )
        return found[0] if len(found) == 1 else None

    def find(self, states: Iterable[IntentState] | None, limit: int | None) -> list[Intent]:
        """Intents in these states (all if None), oldest first."""
        where, values = _in_states(states)
        return self._many(
            f" WHERE {where} ORDER BY created, rowid LIMIT ?", (*values, -1 if limit is None else limit)
        )

    def page(self, states: Iterable[IntentState] | None, after: int, limit: int) -> tuple[list[Intent], int]:
        """Up to `limit` intents in the order in which they were written, and where the next page begins."""
        where, values = _in_states(states)
        rows = self._connection.execute(
            f"SELECT {', '.join(COLUMNS)}, rowid FROM intents WHERE {where} AND rowid > ? ORDER BY rowid"
            " LIMIT ?",
            (*values, after, limit),
        ).fetchall()
        return [_intent(row[:-1]) for row in rows], rows[-1][-1] if rows else after

    def counts(self) -> dict[IntentState, int]:
        """How many intents stand in each state."""
        rows = self._connection.execute("SELECT state, count(*) FROM intents GROUP BY state").fetchall()
        return {IntentState(state): count for state, count in rows}

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        if self._on_close is not None:
            self._on_close()

    def values_of(self, intent: Intent) -> tuple[Any, ...]:
        """The row of a new intent: it belongs to this session."""
        return (
            intent.id, intent.account, intent.operation, _text(intent.natural_key), intent.digest,
            _text(intent.facts), intent.state.value, self.session, intent.created, intent.updated,
            intent.attempts, intent.request_id, intent.result, intent.note,
        )  # fmt: skip

    def _many(self, where: str, values: tuple[Any, ...]) -> list[Intent]:
        return [_intent(row) for row in self._connection.execute(_SELECT + where, values).fetchall()]


@functools.cache
def _text_for(statement: str, count: int, width: int) -> str:
    row = f"({', '.join('?' * width)})"
    return statement.replace("{rows}", ", ".join([row] * count))


def _in_states(states: Iterable[IntentState] | None) -> tuple[str, list[str]]:
    """The condition that an intent is in one of these states (in any, if None), and its values."""
    if states is None:
        return "1", []
    values = [state.value for state in states]
    where = f"state IN ({', '.join('?' * len(values))})"
    # Said once more in the index's own words: the open ones are few, and found without reading the rest.
    return f"{_OPEN} AND {where}" if all(IntentState(value).open for value in values) else where, values


def _text(value: dict[str, Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _intent(row: tuple[Any, ...]) -> Intent:
    facts = dict(zip(COLUMNS, row, strict=True))
    facts["natural_key"] = orjson.loads(facts["natural_key"])
    facts["facts"] = orjson.loads(facts["facts"])
    facts["state"] = IntentState(facts["state"])
    return Intent(**facts)
