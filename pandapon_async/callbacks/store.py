"""The received messages in one SQLite file: every message answered with 200 is in it.

The file is the queue. Several processes may store messages; only the holder of the file's lock claims them,
so two processes never handle one message, and the messages of a killed process are known to be free. Bodies
can hold personal data, so only the owner can read the file.
"""

from __future__ import annotations

import contextlib
import enum
import json
import logging
import os
import sqlite3
from collections.abc import Iterable
from typing import Any, Final

import attrs
from filelock import FileLock, Timeout

from pandapon_async.callbacks.messages import MessageOrder
from pandapon_async.callbacks.uptime import SCHEMA, extend, mark
from pandapon_async.core.json_values import Result
from pandapon_async.errors import PandaponError
from pandapon_async.plain_text import LOGGER
from pandapon_async.storage import IN_MEMORY
from pandapon_async.storage.damage import DamagedRowError, checksum, with_checksum
from pandapon_async.storage.sqlite_file import FileFormat, SqliteStore

__all__ = [
    "IN_MEMORY", "Backlog", "CallbackStoreUnavailableError", "Entry", "MessageState", "MessageStore",
    "Record",
]  # fmt: skip

log: Final = logging.getLogger(LOGGER)
FORMAT = 5

NO_HANDLER = "no handler"
"""The note for people about a message without a handler."""
INTERRUPTED = "the process ended while it was handled"
DAMAGED = "its row was changed on the disk"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    access_key TEXT NOT NULL,
    platform TEXT NOT NULL,
    type TEXT NOT NULL,
    kind TEXT NOT NULL,
    order_id TEXT,
    refund_id TEXT,
    key TEXT,
    timed INTEGER NOT NULL,
    moment INTEGER NOT NULL,
    pushed INTEGER NOT NULL,
    received REAL NOT NULL,
    due REAL NOT NULL,
    updated REAL NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    copies INTEGER NOT NULL DEFAULT 0,
    finished TEXT NOT NULL DEFAULT '[]',
    note TEXT,
    body BLOB NOT NULL,
    unhandled INTEGER NOT NULL DEFAULT 0,
    stamped INTEGER NOT NULL DEFAULT 0,
    checksum INTEGER
) STRICT;
CREATE TABLE IF NOT EXISTS forgotten (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_due ON messages (due, seq) WHERE state = 'pending';
CREATE INDEX IF NOT EXISTS by_key ON messages (key, moment, pushed) WHERE key IS NOT NULL;
CREATE INDEX IF NOT EXISTS open_by_key ON messages (key, moment, pushed, seq)
    WHERE state IN ('pending', 'handling');
CREATE INDEX IF NOT EXISTS by_state ON messages (state, updated);
"""
_SCHEMA += SCHEMA.lstrip()

_UPGRADE_1 = f"""
ALTER TABLE messages ADD COLUMN unhandled INTEGER NOT NULL DEFAULT 0;
UPDATE messages SET unhandled = 1 WHERE state = 'done' AND note = '{NO_HANDLER}';
"""

_UPGRADE_2 = """
ALTER TABLE messages ADD COLUMN stamped INTEGER NOT NULL DEFAULT 0;
UPDATE messages SET stamped = abs(pushed - received * 1000) > 1;
CREATE TABLE forgotten (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""

# Not NOT EXISTS: PostgreSQL would turn that into a join and sort the whole backlog.
FREE = """
    (SELECT 1 FROM messages AS other WHERE other.key = messages.key AND other.seq <> messages.seq
        AND other.state IN ('pending', 'handling') AND (other.state = 'handling'
        OR (other.moment, other.pushed, other.seq) < (messages.moment, messages.pushed, messages.seq))
        LIMIT 1) IS NULL
"""
"""A message is next: no earlier one with its key waits, and none with its key is being handled."""
PLACE = f"""
    CASE WHEN key IS NULL OR timed = 0 THEN '{MessageOrder.UNKNOWN}'
    WHEN EXISTS (SELECT 1 FROM messages AS other WHERE other.key = messages.key AND other.state = 'done'
        AND (other.moment, other.pushed) > (messages.moment, messages.pushed)) THEN '{MessageOrder.LATE}'
    WHEN EXISTS (SELECT 1 FROM messages AS other WHERE other.key = messages.key AND other.seq <> messages.seq
        AND (other.moment, other.pushed) = (messages.moment, messages.pushed)) THEN '{MessageOrder.UNKNOWN}'
    ELSE '{MessageOrder.RESTORED}' END
"""
"""The order of a message among those with its key."""
GIVE_BACK = (
    "UPDATE messages SET updated = ?, due = ?, note = ?,"
    " state = CASE WHEN attempts >= ? THEN 'dead' ELSE 'pending' END"
)
"""A message whose process ended is handled again, unless that happened too often."""


class CallbackStoreUnavailableError(PandaponError):
    """The file of messages cannot be used (disk full, locked, no permission)."""


class MessageState(enum.StrEnum):
    """The state of a message."""

    PENDING = "pending"
    """Waiting for its turn or its next attempt."""
    HANDLING = "handling"
    """A handler is running."""
    DONE = "done"
    """Handled, or without a handler."""
    DEAD = "dead"
    """Given up, or signed but unreadable; kept until it is replayed."""


@attrs.frozen(kw_only=True)
class Backlog:
    """How many messages are not done with, by state."""

    pending: int
    handling: int
    dead: int
    oldest: float | None
    """When the oldest pending or handled one came, in seconds since 1970."""


@attrs.define(kw_only=True)
class Entry:
    """A message to be stored. Times are seconds since 1970, but `moment` and `pushed` milliseconds.

    `timed` says whether the message has a time of its own; without one both are when it came. `stamped` says
    whether it tells when it was pushed: one that does not is known by its id alone, for ever.
    """

    id: str
    access_key: str = attrs.field(metadata={"personal": True})
    platform: str = ""
    type: str = ""
    kind: str = ""
    order_id: str | None = None
    refund_id: str | None = None
    key: str | None = None
    timed: bool = False
    stamped: bool = False
    moment: int
    pushed: int
    received: float
    due: float
    updated: float
    state: MessageState = MessageState.PENDING
    note: str | None = None
    body: bytes = attrs.field(repr=False, metadata={"personal": True})


@attrs.define(kw_only=True)
class Record(Result, Entry):
    """A stored message. Its `note` says what went wrong: the class of an error, never its text."""

    seq: int
    """Its number in the store, in order of arrival."""
    attempts: int
    """How often handlers were called."""
    copies: int
    """How many duplicates were dropped."""
    finished: list[str]
    """The names of the handlers that have finished it."""
    unhandled: bool
    """Whether no handler wanted it."""
    order: MessageOrder = MessageOrder.UNKNOWN
    """Its order among the messages of the same refund or order."""
    damaged: bool = False
    """Whether its row was changed on disk since it came."""


_WRITTEN = tuple(field.name for field in attrs.fields(Entry))
_CAME = tuple(name for name in _WRITTEN if name not in ("due", "updated", "state", "note"))
"""What a message is, which never changes: the checksum is about these."""
INSERT = (
    f"INSERT OR IGNORE INTO messages ({', '.join(_WRITTEN)}, checksum)"
    f" SELECT {', '.join('?' * len(_WRITTEN))}, ?"
)
_READ = tuple(field.name for field in attrs.fields(Record) if field.name not in ("order", "damaged"))
READ = ", ".join(_READ)
"""The columns of a record, in its order; its checksum follows them."""
SEQ = _READ.index("seq")
"""Where among them its number is."""


def _upgrade_1(connection: sqlite3.Connection) -> None:
    """That no handler wanted a message was told by its note alone."""
    for statement in _UPGRADE_1.split(";\n"):
        connection.execute(statement)


def _upgrade_2(connection: sqlite3.Connection) -> None:
    """A message without a readable time of its push had its arrival as that time."""
    for statement in _UPGRADE_2.split(";\n"):
        connection.execute(statement)


def _upgrade_3(connection: sqlite3.Connection) -> None:
    """Format 4 checks each message when it is read."""
    FILE_FORMAT.add_checksums(connection)


def _upgrade_4(connection: sqlite3.Connection) -> None:
    """Format 5 keeps when the store was receiving."""
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)


FILE_FORMAT = FileFormat(
    name="callbacks store",
    application_id=0x50506362,  # "PPcb"
    number=FORMAT,
    schema=_SCHEMA,
    first_table="messages",
    upgrades={1: _upgrade_1, 2: _upgrade_2, 3: _upgrade_3, 4: _upgrade_4},
    error=CallbackStoreUnavailableError,
    checked={"messages": _CAME},
    if_damaged="move it away with its -wal, and a new one is created; its messages are then not handled, and "
    "`pandapon reconcile` finds what changed",
)


class MessageStore(SqliteStore):
    """The file. All methods block."""

    several: bool = False
    """Whether several processes claim messages at once and check for those of an ended one."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(path, FILE_FORMAT, FILE_FORMAT.open(path))
        self._lock = FileLock(f"{self.path}.lock", thread_local=False)

    def add(self, entry: Entry, forget_before: float) -> bool:
        """Store a message; False if it is there already (then it only counts as a copy).

        What was done with before `forget_before` is not remembered, as its own time keeps it out then. A
        message without one could be recorded and played back: its id is kept.
        """
        self._connection.execute(
            "DELETE FROM messages WHERE id = ? AND state = 'done' AND updated < ? AND stamped = 1",
            (entry.id, forget_before),
        )
        known = "SELECT 1 FROM forgotten WHERE id = ?"
        if not entry.stamped and self._connection.execute(known, (entry.id,)).fetchone():
            return False
        if self._connection.execute(INSERT, row_of(entry)).rowcount == 1:
            return True
        self._connection.execute("UPDATE messages SET copies = copies + 1 WHERE id = ?", (entry.id,))
        return False

    def lead(self) -> bool:
        """Try to become the process that claims messages; True also if this store is it already."""
        if self.path == IN_MEMORY or self._lock.is_locked:
            return True
        with contextlib.suppress(Timeout):
            self._lock.acquire(blocking=False)
        return self._lock.is_locked

    def recover(self, most_attempts: int, now: float) -> int:
        """Give back what a process that ended was handling, unless it ended so each time; how many."""
        query = f"{GIVE_BACK} WHERE state = 'handling'"
        return self._connection.execute(query, (now, now, INTERRUPTED, most_attempts)).rowcount

    def claim(self, now: float, limit: int) -> tuple[list[Record], float | None]:
        """Take up to `limit` messages whose turn it is; and when the next one is due, if any waits.

        Of one key only one is handled at a time, the earliest that is there. A message that was changed on
        the disk is given up, and handed to nobody.
        """
        rows = self._connection.execute(
            # By the index that has them in this order: SQLite would rather sort the whole backlog each time.
            f"SELECT {READ}, checksum, {PLACE} FROM messages INDEXED BY by_due"
            f" WHERE state = 'pending' AND due <= ? AND {FREE} ORDER BY due, seq LIMIT ?",
            (now, limit),
        ).fetchall()
        self._connection.executemany(
            "UPDATE messages SET state = 'handling', attempts = attempts + 1, updated = ? WHERE seq = ?",
            [(now, row[SEQ]) for row in rows],
        )
        (due,) = self._connection.execute(
            "SELECT min(due) FROM messages INDEXED BY by_due WHERE state = 'pending'"
        ).fetchone()
        return self._sound(rows, now), due

    def _sound(self, rows: Iterable[tuple[Any, ...]], now: float) -> list[Record]:
        """The records of claimed rows as they were before that; those that are damaged are given up."""
        records = []
        for row in rows:
            record = _record(row[:-1], MessageOrder(row[-1]))
            if record.damaged:
                log.error("callback message %s is not handled: %s", record.id, DAMAGED)
                self.finish(record.seq, MessageState.DEAD, now, due=now, finished=(), note=DAMAGED)
                continue
            record.state, record.attempts = MessageState.HANDLING, record.attempts + 1
            records.append(record)
        return records

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
        """Record the result of an attempt. `unhandled`: no handler wanted the message."""
        self._connection.execute(
            "UPDATE messages SET state = ?, updated = ?, due = ?, finished = ?, note = ?, unhandled = ?"
            " WHERE seq = ?",
            (state.value, now, due, json.dumps(sorted(finished)), note, int(unhandled), seq),
        )

    def release(self, seqs: Iterable[int], now: float) -> None:
        """Give messages back whose attempts were broken off, as if they had not been made."""
        self._connection.executemany(
            "UPDATE messages SET state = 'pending', attempts = attempts - 1, updated = ?"
            " WHERE seq = ? AND state = 'handling'",
            [(now, seq) for seq in seqs],
        )

    def replay(self, ids: Iterable[str] | None, now: float) -> int:
        """Handle messages again with all handlers; None: all dead ones. Returns their number."""
        again = (
            "UPDATE messages SET state = 'pending', attempts = 0, finished = '[]', unhandled = 0,"
            " due = ?, updated = ?"
        )
        if ids is None:
            return self._connection.execute(f"{again} WHERE state = 'dead'", (now, now)).rowcount
        return sum(
            self._connection.execute(
                f"{again} WHERE id = ? AND state IN ('done', 'dead')", (now, now, one)
            ).rowcount
            for one in ids
        )

    def forget(self, before: float, limit: int = 1000) -> int:
        """Delete some of what was done with before this time; dead letters stay. How many that were."""
        old = "(SELECT seq FROM messages WHERE state = 'done' AND updated < ? ORDER BY seq LIMIT ?)"
        last = f"SELECT max(received) FROM messages WHERE seq IN {old}"
        (received,) = self._connection.execute(last, (before, limit)).fetchone()
        if received is not None:
            self._mark("forgotten", received)
        self._connection.execute(
            f"INSERT OR IGNORE INTO forgotten SELECT id FROM messages WHERE NOT stamped AND seq IN {old}",
            (before, limit),
        )
        return self._connection.execute(f"DELETE FROM messages WHERE seq IN {old}", (before, limit)).rowcount

    def extend_receiving(self, interval: str, now: float) -> None:
        """Note that a receiver is taking messages in, up to now; `interval` is a name of its own choice."""
        set_back = extend(self._connection, interval, now)
        if set_back is not None:
            self._mark("clock", set_back)

    def mark_refused(self, moment: float) -> None:
        """Note that a push was not taken, so that silence up to this moment means nothing."""
        self._mark("refused", moment)

    def _mark(self, name: str, moment: float) -> None:
        mark(self._connection, name, moment)

    def get(self, beginning: str) -> list[Record]:
        """The messages whose id begins so; at most two, as one is wanted."""
        return self._many("substr(id, 1, ?) = ? LIMIT 2", (len(beginning), beginning))

    def find(
        self, state: MessageState | None = None, *, unhandled: bool = False, limit: int = -1
    ) -> list[Record]:
        """Messages in this state (any, if None), newest first; `unhandled`: those that no handler wanted."""
        condition, values = ("true", ()) if state is None else ("state = ?", (state.value,))
        if unhandled:
            condition += " AND unhandled = 1"
        return self._many(f"{condition} ORDER BY seq DESC LIMIT ?", (*values, limit))

    def counts(self) -> dict[MessageState, int]:
        """Count the messages in each state."""
        rows = self._connection.execute("SELECT state, count(*) FROM messages GROUP BY state").fetchall()
        found = dict(rows)
        if found.keys() - set(MessageState):
            raise DamagedRowError("state")
        return {state: found.get(state.value, 0) for state in MessageState}

    def backlog(self) -> Backlog:
        """Count the messages that are not done with; quick however many are done."""
        counted = self._connection.execute(
            "SELECT state, count(*), min(seq) FROM messages"
            f" WHERE state IN ('{MessageState.PENDING}', '{MessageState.HANDLING}', '{MessageState.DEAD}')"
            " GROUP BY state"
        ).fetchall()
        waiting = [seq for state, _, seq in counted if state != MessageState.DEAD]
        received = None
        if waiting:
            query = "SELECT min(received) FROM messages WHERE seq = ?"
            (received,) = self._connection.execute(query, (min(waiting),)).fetchone()
        found = {state: count for state, count, _ in counted}
        return Backlog(
            pending=found.get(MessageState.PENDING, 0),
            handling=found.get(MessageState.HANDLING, 0),
            dead=found.get(MessageState.DEAD, 0),
            oldest=received,
        )

    def close(self) -> None:
        """Close the file, and let another process claim the messages."""
        super().close()
        if self._lock.is_locked:
            self._lock.release()

    def _many(self, condition: str, values: tuple[Any, ...]) -> list[Record]:
        query = f"SELECT {READ}, checksum FROM messages WHERE {condition}"
        return [_record(row) for row in self._connection.execute(query, values).fetchall()]


def row_of(entry: Entry) -> tuple[Any, ...]:
    """What `INSERT` wants: the values and their checksum."""
    *_, checksum = with_checksum(tuple(getattr(entry, name) for name in _CAME))
    values = attrs.astuple(entry, recurse=False)
    return (*(int(value) if isinstance(value, bool) else value for value in values), checksum)


def _record(row: tuple[Any, ...], order: MessageOrder = MessageOrder.UNKNOWN) -> Record:
    facts = dict(zip(_READ, row[:-1], strict=True))
    damaged = checksum([facts[name] for name in _CAME]) != row[-1]
    for name in ("timed", "stamped", "unhandled"):
        facts[name] = bool(facts[name])
    try:
        facts["state"], facts["finished"] = MessageState(facts["state"]), json.loads(facts["finished"])
    except ValueError:
        raise DamagedRowError(f"message {row[0]}") from None
    if damaged:
        facts["note"] = DAMAGED
    return Record(**facts, order=order, damaged=damaged)
