"""The journal's rows: one per intended write, in one SQLite file (see `file_format`).

Each change is one statement; many of them share a transaction. Whether a write may be begun is decided in one
place, `JournalStore.add`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from pandapon_async.declare.endpoint import Scope
from pandapon_async.errors import ErrorKind, JournalUnavailableError
from pandapon_async.journal.file_format import COUNTS_SQL, FILE_FORMAT, OPEN_SQL
from pandapon_async.journal.identity import Writer, anything, declared
from pandapon_async.journal.intent import Intent, IntentState, Resolution
from pandapon_async.storage.sqlite_file import SqliteStore, reason_of

__all__ = ["Added", "JournalStore", "Reading"]

COLUMNS = tuple(field.name for field in attrs.fields(Intent))
_JSON = ("natural_key", "facts", "remarks")
_CODES: Final[Mapping[str, Callable[[str], Any]]] = {
    "state": IntentState,
    "resolution": Resolution,
    "error_kind": ErrorKind,
}
_SELECT = f"SELECT {', '.join(f'intents.{name}' for name in COLUMNS)} FROM intents"
# Values stand by the names of their columns: places by number (?1) take no sequence any more in Python 3.14.
_PLACES = ", ".join(f":{name}" for name in COLUMNS)
# A row whose writer is not known counts for everybody.
_SAME_KEY = "scope IN (:scope, '') AND operation = :operation AND natural_key = :natural_key"
# Said by what does not stand in the way: a row whose state cannot be read does.
_IN_THE_WAY = (
    f"{_SAME_KEY} AND state NOT IN ('rejected', 'not_sent', 'settled_absent')"
    f" AND (:once OR state NOT IN ('confirmed', 'settled_done'))"
)
_ADD = (
    f"INSERT OR IGNORE INTO intents ({', '.join(COLUMNS)})"
    f" SELECT {_PLACES} WHERE NOT EXISTS (SELECT 1 FROM intents WHERE {_IN_THE_WAY})"
)
_TAKE = (
    f"INSERT INTO intents ({', '.join(COLUMNS)}) SELECT {_PLACES.removesuffix(':extra')}"
    "(:extra OR EXISTS (SELECT 1 FROM intents AS other WHERE other.scope = :scope"
    f" AND other.operation = :operation AND other.natural_key = :natural_key AND other.{OPEN_SQL}"
    " AND NOT other.extra)) WHERE NOT EXISTS (SELECT 1 FROM intents WHERE id = :id)"
)
# The ended writes of a key, newest first; the index has them in this order.
_EARLIER = (
    f"operation = :operation AND natural_key = :natural_key AND {COUNTS_SQL} IS NULL AND state <> 'not_sent'"
    " ORDER BY rowid DESC"
)
_CLOCKS = "wrote = :wrote, boot = :boot, uptime = :uptime, served = :served"
_SENDING = (
    f"UPDATE intents SET state = 'sent', attempts = attempts + 1, updated = :wrote, {_CLOCKS}"
    " WHERE id = :id AND state IN ('intended', 'sent')"
)
# What was refused at the door, or found absent, may turn out to have been carried out; nothing else changes.
_MAY_TURN_OUT_DONE = (
    "state = 'settled_absent' OR (state = 'rejected' AND error_kind IN ('rate_limit', 'authentication'))"
)
_RESOLVE = (
    "UPDATE intents SET state = :state, updated = :wrote, request_id = coalesce(:request_id, request_id),"
    " result = coalesce(:result, result), resolution = coalesce(:resolution, resolution),"
    " error_kind = coalesce(:error_kind, error_kind),"
    " remarks = CASE WHEN :remark IS NULL THEN remarks ELSE json_insert(remarks, '$[#]', :remark) END,"
    " resolver = coalesce(:resolver, resolver)"
    f" WHERE id = :id AND ({OPEN_SQL} OR (:state = 'settled_done' AND ({_MAY_TURN_OUT_DONE})))"
)
_LOST = f"UPDATE intents SET {_CLOCKS} WHERE id = :id"
_CLOSE = (
    f"UPDATE intents SET state = :ended, updated = :wrote, error_kind = :error_kind, {_CLOCKS}"
    f" WHERE {OPEN_SQL} AND session = :session AND state = :state"
)


@attrs.frozen
class Reading:
    """What the clocks say: this machine's, the seconds since its boot, and the server's where it told it."""

    wall: float
    boot: str | None = None
    uptime: float | None = None
    served: float | None = None

    @property
    def values(self) -> dict[str, float | str | None]:
        """For a row."""
        return {"wrote": self.wall, "boot": self.boot, "uptime": self.uptime, "served": self.served}


@attrs.frozen
class Added:
    """What the journal knew when a write was to be written down."""

    blocking: Intent | None = None
    """The intent that stands in its way; nothing was written down then."""
    doubtful: Intent | None = None
    """An earlier write of the key that may have been carried out after all: to be looked at first. The new
    one is written down as `intended` then, and keeps others out meanwhile."""


class JournalStore(SqliteStore):
    """The file. All methods block; they are called from the journal's own thread.

    `session` is who writes; `on_close` is called after the file was closed.
    """

    def __init__(self, path: str, session: str = "", on_close: Callable[[], None] | None = None) -> None:
        super().__init__(path, FILE_FORMAT, FILE_FORMAT.open(path))
        self.session = session
        self._on_close = on_close
        self._raised = 0
        self.not_ours: list[Path] = []
        """Journals of earlier versions beside this one that nobody has said the writer of."""
        self.mark: int = self._connection.execute("SELECT mark FROM identity").fetchone()[0]
        """The mark as of the last commit of this store."""
        self._look_for_old_rows()

    def _look_for_old_rows(self) -> None:
        """What rows of earlier versions ask for: a writer, and care where they may be about anything."""
        found = self._connection.execute("SELECT DISTINCT account FROM intents WHERE scope = ''").fetchall()
        self._unassigned = {account for (account,) in found}
        rows = self._connection.execute(
            "SELECT DISTINCT operation, subject FROM subjects JOIN intents ON id = intent"
            f" WHERE subject LIKE '% *' AND {OPEN_SQL}"
        ).fetchall()
        self._unclear = {operation for operation, subject in rows if subject == anything(operation)}

    def unavailable(self, error: sqlite3.Error) -> JournalUnavailableError:
        """What to raise when the file cannot be used."""
        return JournalUnavailableError(
            f"the journal {self.path} cannot be written: {reason_of(error)}; nothing was sent"
        )

    def commit(self) -> None:
        """Make the group last, with the mark raised by one for each write that it begins or sends."""
        if self._raised:
            (mark,) = self._connection.execute(
                "UPDATE identity SET mark = mark + ? RETURNING mark", (self._raised,)
            ).fetchone()
            super().commit()
            self.mark, self._raised = mark, 0
        else:
            super().commit()

    def rollback(self) -> None:
        """Forget the group, if there is one."""
        super().rollback()
        self._raised = 0

    def identities(self) -> list[str]:
        """What tells this journal from every other; behind it those of the journals that went into it."""
        rows = self._connection.execute("SELECT id FROM identity UNION ALL SELECT identity FROM adopted")
        return [identity for (identity,) in rows.fetchall()]

    def read_mark(self) -> int:
        """The mark, also of what other processes wrote."""
        (mark,) = self._connection.execute("SELECT mark FROM identity").fetchone()
        return int(mark)

    def add(
        self, intent: Intent, once: bool, subjects: Sequence[str] = (), *, allow_second: bool = False
    ) -> Added:
        """Write an intent down for this session, unless another one stands in its way.

        An open intent of the same natural key does; with `once` also one that succeeded; and, unless
        `allow_second`, an open one about one of the same `subjects`.
        """
        if self.not_ours:
            raise JournalUnavailableError(
                f"{self.not_ours[0]} is a journal of an earlier version, and it is not known who wrote it. "
                f"Say it with: pandapon journal adopt {self.not_ours[0]} --user-id ID; nothing was sent"
            )
        if intent.account in self._unassigned:
            self.assign(Writer(intent.vendor, intent.user_id, intent.account))
        if (subjects or intent.operation in self._unclear) and not allow_second:
            for other in self.about(intent.scope, intent.operation, subjects):
                if other.state.open:
                    return Added(blocking=other)
        doubtful = self._doubtful(intent)
        state = IntentState.INTENDED if doubtful is not None else intent.state
        values = {**dict(zip(COLUMNS, self._row_of(intent, state), strict=True)), "once": once}
        if self._connection.execute(_ADD, values).rowcount != 1:
            rows = self._connection.execute(
                f"{_SELECT} WHERE {_IN_THE_WAY} ORDER BY {OPEN_SQL} DESC, created DESC LIMIT 1", values
            ).fetchall()
            if not rows:
                raise JournalUnavailableError(f"the journal {self.path} took no intent; nothing was sent")
            return Added(blocking=self._intent(rows[0]))
        self._raised += 1
        intent.state, intent.session = state, self.session
        if state is IntentState.INTENDED:
            intent.attempts = 0
        self._connection.executemany(
            "INSERT OR IGNORE INTO subjects VALUES (?, ?)", [(subject, intent.id) for subject in subjects]
        )
        return Added(doubtful=doubtful)

    def _doubtful(self, intent: Intent) -> Intent | None:
        """The newest earlier write of the key that may have been carried out although it was given up."""
        values = {
            "scope": intent.scope, "operation": intent.operation, "natural_key": _text(intent.natural_key),
        }  # fmt: skip
        scope = "scope IN (:scope, '')" if self._unassigned else "scope = :scope"
        for row in self._connection.execute(f"{_SELECT} WHERE {scope} AND {_EARLIER}", values):
            earlier = self._intent(row)
            if earlier.state.succeeded:
                return None
            if earlier.doubtful:
                return earlier
        return None

    def sending(self, intent_id: str, now: Reading) -> bool:
        """Note that the next thing that happens is sending. False if the intent is not open any more."""
        noted = self._connection.execute(_SENDING, {"id": intent_id, **now.values}).rowcount == 1
        self._raised += noted
        return noted

    def resolve(
        self,
        intent_id: str,
        state: IntentState,
        now: Reading,
        *,
        request_id: str | None = None,
        result: str | None = None,
        resolution: Resolution | None = None,
        error_kind: ErrorKind | None = None,
        remark: str | None = None,
        resolver: str | None = None,
    ) -> bool:
        """Note what became of a write. False if it has ended before, and this cannot change it."""
        # Codes as plain text: sqlite3 takes anything else on a long way round.
        values = {
            "id": intent_id, "state": state.value, "wrote": now.wall, "request_id": request_id,
            "result": result, "resolution": resolution and resolution.value,
            "error_kind": error_kind and error_kind.value, "remark": remark, "resolver": resolver,
        }  # fmt: skip
        noted = self._connection.execute(_RESOLVE, values).rowcount == 1
        if noted and state is IntentState.UNKNOWN:
            self._connection.execute(_LOST, {"id": intent_id, **now.values})
        return noted

    def with_key(self, scope: str, operation: str, natural_key: dict[str, Any]) -> list[Intent]:
        """All intents of this natural key, newest first."""
        return self._many(
            # By the order in which they were written: a clock that steps back makes none of them older.
            "WHERE scope IN (?, '') AND operation = ? AND natural_key = ? ORDER BY rowid DESC",
            (scope, operation, _text(natural_key)),
        )

    def about(self, scope: str, operation: str, subjects: Sequence[str]) -> list[Intent]:
        """All intents about one of these subjects, newest first, and those that may be about anything."""
        wanted = [*subjects, anything(operation)]
        return self._many(
            "WHERE id IN (SELECT intent FROM subjects WHERE subject IN"
            f" ({', '.join('?' * len(wanted))})) AND scope IN (?, '') ORDER BY created DESC, rowid DESC",
            (*wanted, scope),
        )

    def about_any(self, scope: str, operation: str, beginning: str) -> list[Intent]:
        """All intents about a subject that begins like this ("ORDER/"), newest first."""
        first = f"{operation} {beginning}"
        return self._many(
            "WHERE id IN (SELECT intent FROM subjects WHERE subject >= ? AND subject < ?)"
            " AND scope IN (?, '') ORDER BY rowid DESC",
            (first, first[:-1] + chr(ord(first[-1]) + 1), scope),
        )

    def newest_sent(self) -> str | None:
        """The id of the newest intent that was sent."""
        found = self._connection.execute(
            "SELECT id FROM intents WHERE attempts > 0 ORDER BY rowid DESC LIMIT 1"
        ).fetchone()
        return None if found is None else str(found[0])

    def claimed(self, intent: Intent, result: str) -> bool:
        """Whether another intent of the same operation ended with this result."""
        query = "SELECT 1 FROM intents WHERE operation = ? AND result = ? AND id <> ? AND scope IN (?, '')"
        values = (intent.operation, result, intent.id, intent.scope)
        return self._connection.execute(query, values).fetchone() is not None

    def assign(self, writer: Writer, account: str | None = None) -> int:
        """Give rows of an earlier version to their writer: those of the hash, or of `account`. How many."""
        rows = self._connection.execute(
            "SELECT id, operation, natural_key FROM intents WHERE scope = '' AND account = ?"
            " ORDER BY created DESC, rowid DESC",
            (writer.legacy if account is None else account,),
        ).fetchall()
        for intent_id, operation, key in rows:
            endpoint = declared(operation)
            # One that was known by its payload and has a key now is kept where it can stand in the way.
            scope = writer.scope(endpoint.scope if endpoint is not None else Scope.ACCOUNT)
            # Newest first: of open ones that become the same, the first counts.
            self._connection.execute(
                "UPDATE intents SET scope = :scope, vendor = :vendor, user_id = :user_id, extra = EXISTS"
                " (SELECT 1 FROM intents AS other WHERE other.scope = :scope AND other.operation = :operation"
                f" AND other.natural_key = :key AND other.{OPEN_SQL} AND NOT other.extra) WHERE id = :id",
                {
                    "scope": scope,
                    "vendor": writer.vendor,
                    "user_id": writer.user_id,
                    "id": intent_id,
                    "operation": operation,
                    "key": key,
                },
            )
        self._look_for_old_rows()
        return len(rows)

    def take(self, other: JournalStore) -> int:
        """Take over the rows of another file, its subjects, its identity and its mark; gives how many rows.

        An open row whose key has an open one here already stands beside that one.
        """
        rows = other._connection.execute(f"SELECT {', '.join(COLUMNS)} FROM intents ORDER BY rowid")
        taken = self._connection.executemany(
            _TAKE, (dict(zip(COLUMNS, row, strict=True)) for row in rows)
        ).rowcount
        subjects = other._connection.execute("SELECT subject, intent FROM subjects")
        self._connection.executemany("INSERT OR IGNORE INTO subjects VALUES (?, ?)", subjects)
        identities = [(identity,) for identity in other.identities()]
        if self._connection.executemany("INSERT OR IGNORE INTO adopted VALUES (?)", identities).rowcount:
            self._raised += other.read_mark()
        self._look_for_old_rows()
        return taken

    def assign_all(self, writer: Writer) -> int:
        """Give all rows whose writer is not known to this one; how many."""
        return sum(self.assign(writer, account) for account in self.unassigned())

    def unassigned(self) -> list[str]:
        """The hashes of writers of earlier versions that are not known."""
        return sorted(self._unassigned)

    def extra(self) -> list[Intent]:
        """Open intents that stand beside a newer one of the same key."""
        return self._many(f"WHERE extra AND {OPEN_SQL} ORDER BY created, rowid", ())

    def sessions(self) -> list[str]:
        """The sessions that have intents whose end was not noted."""
        rows = self._connection.execute(
            f"SELECT DISTINCT session FROM intents WHERE {OPEN_SQL} AND state <> 'unknown'"
        ).fetchall()
        return [session for (session,) in rows]

    def close_abandoned(self, session: str, now: Reading) -> int:
        """A session ended: what it sent is unknown now, what it only intended not sent. Gives the unknown."""
        values = {**now.values, "error_kind": ErrorKind.PROCESS_ENDED.value, "session": session}
        sent, intended = ({**values, "state": state} for state in ("sent", "intended"))
        unknown = self._connection.execute(_CLOSE, {**sent, "ended": "unknown"}).rowcount
        self._connection.execute(_CLOSE, {**intended, "ended": "not_sent"})
        return unknown

    def get(self, intent_id: str) -> Intent | None:
        """One intent by id, or by the beginning of its id if that is enough."""
        found = self._many("WHERE id = ?", (intent_id,)) or self._many(
            "WHERE substr(id, 1, ?) = ? LIMIT 2", (len(intent_id), intent_id)
        )
        return found[0] if len(found) == 1 else None

    def find(
        self, states: Iterable[IntentState] | None, limit: int | None, since: float | None = None
    ) -> list[Intent]:
        """Intents in these states (all if None), oldest first; none that was created before `since`."""
        where, values = _in_states(states, since)
        values.append(-1 if limit is None else limit)
        return self._many(f"WHERE {where} ORDER BY created, rowid LIMIT ?", values)

    def page(
        self, states: Iterable[IntentState] | None, after: int, limit: int, since: float | None = None
    ) -> tuple[list[Intent], int]:
        """Up to `limit` intents in the order in which they were written, and where the next page begins."""
        where, values = _in_states(states, since)
        rows = self._connection.execute(
            f"SELECT {', '.join(COLUMNS)}, rowid FROM intents WHERE {where} AND rowid > ? ORDER BY rowid"
            " LIMIT ?",
            (*values, after, limit),
        ).fetchall()
        return [self._intent(row[:-1]) for row in rows], rows[-1][-1] if rows else after

    def counts(self) -> dict[IntentState, int]:
        """How many intents stand in each state."""
        rows = self._connection.execute("SELECT state, count(*) FROM intents GROUP BY state").fetchall()
        with self._damaged():
            return {IntentState(state): count for state, count in rows}

    def close(self) -> None:
        """Close the file."""
        super().close()
        if self._on_close is not None:
            self._on_close()

    def _many(self, where: str, values: Any) -> list[Intent]:
        rows = self._connection.execute(f"{_SELECT} {where}", values).fetchall()
        return [self._intent(row) for row in rows]

    def _row_of(self, intent: Intent, state: IntentState) -> tuple[Any, ...]:
        """The row of a new intent, which belongs to this session."""
        resolution, kind = intent.resolution, intent.error_kind
        return (
            intent.id, intent.scope, intent.operation, _text(intent.natural_key), intent.digest,
            _text(intent.facts), state.value, self.session, intent.created, intent.updated,
            intent.attempts if state is intent.state else 0, intent.request_id, intent.result,
            resolution and resolution.value, kind and kind.value, _text(intent.remarks),
            intent.vendor, intent.user_id, intent.account, intent.wrote, intent.boot, intent.uptime,
            intent.served, intent.resolver, intent.extra,
        )  # fmt: skip

    def _intent(self, row: tuple[Any, ...]) -> Intent:
        with self._damaged():
            return _intent_of(row)

    @contextlib.contextmanager
    def _damaged(self) -> Iterator[None]:
        """A row that cannot be read is damage, and never an absent row."""
        try:
            yield
        except ValueError as error:
            raise JournalUnavailableError(
                f"the journal {self.path} is damaged: a row of it cannot be read; nothing was sent"
            ) from error


def _in_states(states: Iterable[IntentState] | None, since: float | None) -> tuple[str, list[Any]]:
    """The condition that an intent is in one of these states (in any, if None), and its values."""
    where = "1"
    values: list[Any] = []
    if states is not None:
        values = [state.value for state in states]
        where = f"state IN ({', '.join('?' * len(values))})"
        if all(IntentState(value).open for value in values):
            # Said once more in the index's own words: the open ones are few, and found without the rest.
            where = f"{OPEN_SQL} AND {where}"
    if since is not None:
        where, values = f"{where} AND created >= ?", [*values, since]
    return where, values


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _intent_of(row: tuple[Any, ...]) -> Intent:
    facts = dict(zip(COLUMNS, row, strict=True))
    for name in _JSON:
        facts[name] = orjson.loads(facts[name])
    for name, kind in _CODES.items():
        if facts[name] is not None:
            facts[name] = kind(facts[name])
    facts["extra"] = bool(facts["extra"])
    return Intent(**facts)
