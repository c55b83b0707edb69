"""The journal's rows: one per intended write, in one SQLite file (see `file_format`).

A row is read and compared with its checksum before anything is decided by it, and written back whole; many
changes share a transaction. Whether a write may be begun is decided in one place, `JournalStore.add`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs
import orjson

from pandapon_async.declare.endpoint import Scope
from pandapon_async.errors import ErrorKind, JournalUnavailableError
from pandapon_async.journal.file_format import COUNTS_SQL, FILE_FORMAT
from pandapon_async.journal.identity import Writer, anything, declared
from pandapon_async.journal.intent import Intent, IntentState, Resolution
from pandapon_async.journal.rows import (
    COLUMNS,
    OPEN_SQL,
    SELECT,
    SELECT_WITH_ROWID,
    in_states,
    intent_of,
    row_of,
    text_of,
)
from pandapon_async.storage.sqlite_file import (
    IN_MEMORY,
    DamagedRowError,
    SqliteStore,
    is_damage,
    reason_of,
    with_checksum,
)

__all__ = ["Added", "JournalStore", "Reading"]

THOROUGH_ROWS = 20_000
"""Up to so many rows every opening checks indexes and checksums; that takes a fifth of a second."""
QUICK_ROWS = 100_000
"""Up to so many rows every opening checks the pages, above it only after a process was killed."""

_PLACES = ", ".join("?" * len(COLUMNS))
_INSERT: Final = f"INSERT OR IGNORE INTO intents ({', '.join(COLUMNS)}, checksum) VALUES ({_PLACES}, ?)"
_SUBJECT: Final = "INSERT OR IGNORE INTO subjects (subject, intent, checksum) VALUES (?, ?, ?)"
# In the order of the index: the open one that counts, then the others, newest first.
_SAME_KEY: Final = (
    f"WHERE scope = ? AND operation = ? AND natural_key = ? ORDER BY {COUNTS_SQL} DESC, rowid DESC"
)
_AT = {name: number for number, name in enumerate(COLUMNS)}
_ENDED_AS: Final[Mapping[str, IntentState]] = {
    IntentState.SENT.value: IntentState.UNKNOWN,
    IntentState.INTENDED.value: IntentState.NOT_SENT,
}
"""What a write was that its process did not finish."""


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

    `session` is who writes; `on_close` is called after the file was closed; `after_crash` says that a process
    was killed while it had the file open.
    """

    def __init__(
        self,
        path: str,
        session: str = "",
        on_close: Callable[[], None] | None = None,
        *,
        after_crash: bool = False,
    ) -> None:
        super().__init__(path, FILE_FORMAT, FILE_FORMAT.open(path))
        self.session = session
        self._on_close = on_close
        self._raised = 0
        self.not_ours: list[Path] = []
        """Journals of earlier versions beside this one that nobody has said the writer of."""
        try:
            with FILE_FORMAT.failing(path, "opened"):
                self._check_at_opening(after_crash)
                self.mark = self.read_mark()
                """The mark as of the last commit of this store."""
                self._look_for_old_rows()
        except BaseException:
            super().close()
            raise

    def _check_at_opening(self, after_crash: bool) -> None:
        """Look whether the file is sound, as far as its size allows."""
        if self.path == IN_MEMORY:
            return
        # By the ends of the table: counting reads every page.
        (rows,) = self._connection.execute(
            "SELECT coalesce((SELECT max(rowid) FROM intents) - (SELECT min(rowid) FROM intents), 0)"
        ).fetchone()
        if rows < QUICK_ROWS or after_crash:
            self.check(thorough=rows < THOROUGH_ROWS)

    def _look_for_old_rows(self) -> None:
        """What rows of earlier versions ask for: a writer, and care where they may be about anything."""
        found = self._connection.execute("SELECT DISTINCT account FROM intents WHERE scope = ''").fetchall()
        self._unassigned = {account for (account,) in found}
        about = self._many(
            "WHERE id IN (SELECT intent FROM subjects WHERE subject >= ? AND subject < ?)",
            (anything(""), anything("\U0010ffff")),
        )
        self._unclear = {one.operation for one in about if one.state.open}
        self._has_extra = bool(self.extra())

    def unavailable(self, error: sqlite3.Error) -> JournalUnavailableError:
        """What to raise when the file cannot be used."""
        reason = f"{reason_of(error)}; nothing was sent"
        failure = FILE_FORMAT.unusable(self.path, "used", reason, damaged=is_damage(error))
        assert isinstance(failure, JournalUnavailableError)
        return failure

    def commit(self) -> None:
        """Make the group last, with the mark raised by one for each write that it begins or sends."""
        if self._raised:
            identity, mark = self._identity()
            values = with_checksum((identity, mark + self._raised))
            self._connection.execute("UPDATE identity SET id = ?, mark = ?, checksum = ?", values)
            super().commit()
            self.mark, self._raised = mark + self._raised, 0
        else:
            super().commit()

    def rollback(self) -> None:
        """Forget the group, if there is one."""
        super().rollback()
        self._raised = 0

    def _identity(self) -> tuple[str, int]:
        found = self._connection.execute("SELECT id, mark, checksum FROM identity").fetchone()
        if found is None:
            raise DamagedRowError("identity")
        identity, mark = self.checked(found)
        return identity, mark

    def identities(self) -> list[str]:
        """What tells this journal from every other; behind it those of the journals that went into it."""
        adopted = self._connection.execute("SELECT identity, checksum FROM adopted").fetchall()
        return [self._identity()[0], *(self.checked(values)[0] for values in adopted)]

    def read_mark(self) -> int:
        """The mark, also of what other processes wrote."""
        return self._identity()[1]

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
        found = self._earlier(intent, once)
        if found.blocking is not None:
            return found
        if found.doubtful is not None:
            intent.state, intent.attempts = IntentState.INTENDED, 0
        intent.session = self.session
        if self._connection.execute(_INSERT, with_checksum(row_of(intent))).rowcount != 1:
            # The index knows of a row that a look by the same index has not found.
            raise sqlite3.DatabaseError("the index is damaged")
        self._raised += 1
        self._add_subjects((subject, intent.id) for subject in subjects)
        return found

    def _earlier(self, intent: Intent, once: bool) -> Added:
        """What earlier writes of the key mean for a new one: the newest that decides it does."""
        blocking = doubtful = None
        decided = False
        for other in self._same_key(intent.scope, intent.operation, text_of(intent.natural_key)):
            if other.state.open:
                return Added(blocking=other)
            if other.state.succeeded:
                blocking = blocking or (other if once else None)
            elif other.doubtful and not decided:
                doubtful = other
            decided = decided or other.state.succeeded or other.doubtful
            if ((decided and not once) or blocking) and not (self._has_extra or self._unassigned):
                break
        return Added(blocking=blocking, doubtful=None if blocking else doubtful)

    def _same_key(self, scope: str, operation: str, natural_key: str) -> Iterator[Intent]:
        """The intents of a key, newest first, and before them the open one; as they are needed.

        A row whose writer is not known counts for everybody.
        """
        for one in (scope, "") if self._unassigned else (scope,):
            for row in self._connection.execute(f"{SELECT} {_SAME_KEY}", (one, operation, natural_key)):
                yield self._intent(row)

    def _add_subjects(self, rows: Iterable[tuple[str, str]]) -> None:
        self._connection.executemany(_SUBJECT, map(with_checksum, rows))

    def sending(self, intent_id: str, now: Reading) -> bool:
        """Note that the next thing that happens is sending. False if the intent is not open any more."""
        row = self._row(intent_id)
        if row is None or row[_AT["state"]] not in _ENDED_AS:
            return False
        attempts = row[_AT["attempts"]] + 1
        self._change(
            row, {"state": IntentState.SENT.value, "attempts": attempts, "updated": now.wall, **now.values}
        )
        self._raised += 1
        return True

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
        row = self._row(intent_id)
        if row is None or not self._decoded(row).may_become(state):
            return False
        changes: dict[str, Any] = {"state": state.value, "updated": now.wall}
        facts = {
            "request_id": request_id, "result": result, "resolution": resolution and resolution.value,
            "error_kind": error_kind and error_kind.value, "resolver": resolver,
        }  # fmt: skip
        changes |= {name: value for name, value in facts.items() if value is not None}
        if remark is not None:
            changes["remarks"] = text_of([*orjson.loads(row[_AT["remarks"]]), remark])
        if state is IntentState.UNKNOWN:
            changes |= now.values
        self._change(row, changes)
        return True

    def _row(self, intent_id: str) -> tuple[Any, ...] | None:
        found = self._connection.execute(f"{SELECT} WHERE id = ?", (intent_id,)).fetchone()
        return None if found is None else self.checked(found)

    def _change(self, row: Sequence[Any], changes: Mapping[str, Any]) -> None:
        """Write some columns of a row that was read in this transaction, and its new checksum."""
        values = tuple([changes.get(name, value) for name, value in zip(COLUMNS, row, strict=True)])
        *stored, checksum = with_checksum(values)
        self._connection.execute(
            f"UPDATE intents SET {', '.join(f'{name} = ?' for name in changes)}, checksum = ? WHERE id = ?",
            (*(stored[_AT[name]] for name in changes), checksum, row[0]),
        )

    def with_key(self, scope: str, operation: str, natural_key: dict[str, Any]) -> list[Intent]:
        """All intents of this natural key, newest first."""
        return self._many(
            # By the order in which they were written: a clock that steps back makes none of them older.
            "WHERE scope IN (?, '') AND operation = ? AND natural_key = ? ORDER BY rowid DESC",
            (scope, operation, text_of(natural_key)),
        )

    def about(self, scope: str, operation: str, subjects: Sequence[str]) -> list[Intent]:
        """All intents about one of these subjects, newest first, and those that may be about anything."""
        wanted = [*subjects, anything(operation)]
        return self._about(f"subject IN ({', '.join('?' * len(wanted))})", wanted, scope)

    def about_any(self, scope: str, operation: str, beginning: str) -> list[Intent]:
        """All intents about a subject that begins like this ("ORDER/"), newest first."""
        first = f"{operation} {beginning}"
        last = first[:-1] + chr(ord(first[-1]) + 1)
        return self._about("subject >= ? AND subject < ?", (first, last), scope)

    def _about(self, condition: str, values: Sequence[str], scope: str) -> list[Intent]:
        query = f"SELECT subject, intent, checksum FROM subjects WHERE {condition}"
        ids = {self.checked(row)[1] for row in self._connection.execute(query, values).fetchall()}
        if not ids:
            return []
        # The plus keeps SQLite from going through all rows of the scope.
        return self._many(
            f"WHERE id IN ({', '.join('?' * len(ids))}) AND +scope IN (?, '') ORDER BY rowid DESC",
            (*ids, scope),
        )

    def newest_sent(self) -> str | None:
        """The id of the newest intent that was sent."""
        found = self._many("WHERE attempts > 0 ORDER BY rowid DESC LIMIT 1", ())
        return found[0].id if found else None

    def claimed(self, intent: Intent, result: str) -> bool:
        """Whether another intent of the same operation ended with this result."""
        return bool(
            self._many(
                "WHERE operation = ? AND result = ? AND id <> ? AND +scope IN (?, '') LIMIT 1",
                (intent.operation, result, intent.id, intent.scope),
            )
        )

    def assign(self, writer: Writer, account: str | None = None) -> int:
        """Give rows of an earlier version to their writer: those of the hash, or of `account`. How many."""
        # Newest first: of open ones that become the same, the first counts.
        rows = self._connection.execute(
            f"{SELECT} WHERE scope = '' AND account = ? ORDER BY created DESC, rowid DESC",
            (writer.legacy if account is None else account,),
        ).fetchall()
        for values in rows:
            row = self.checked(values)
            operation, key = row[_AT["operation"]], row[_AT["natural_key"]]
            endpoint = declared(operation)
            # One that was known by its payload and has a key now is kept where it can stand in the way.
            scope = writer.scope(endpoint.scope if endpoint is not None else Scope.ACCOUNT)
            extra = self._has_open(scope, operation, key)
            self._change(
                row,
                {"scope": scope, "vendor": writer.vendor, "user_id": writer.user_id, "extra": extra},
            )
        self._look_for_old_rows()
        return len(rows)

    def _has_open(self, scope: str, operation: str, natural_key: str) -> bool:
        """Whether a key has an open intent that counts."""
        query = f"{SELECT} WHERE scope = ? AND operation = ? AND natural_key = ? AND {COUNTS_SQL} = 1"
        found = self._connection.execute(query, (scope, operation, natural_key)).fetchone()
        return found is not None and bool(self.checked(found))

    def take(self, other: JournalStore) -> int:
        """Take over the rows of another file, its subjects, its identity and its mark; gives how many rows.

        An open row whose key has an open one here already stands beside that one.
        """
        taken = 0
        for found in other._connection.execute(f"{SELECT} ORDER BY rowid"):
            row = list(other.checked(found))
            scope, operation, key = (row[_AT[name]] for name in ("scope", "operation", "natural_key"))
            row[_AT["extra"]] = row[_AT["extra"]] or self._has_open(scope, operation, key)
            taken += self._connection.execute(_INSERT, with_checksum(tuple(row))).rowcount
        subjects = other._connection.execute("SELECT subject, intent, checksum FROM subjects")
        self._add_subjects(other.checked(row) for row in subjects)
        identities = [with_checksum((identity,)) for identity in other.identities()]
        if self._connection.executemany("INSERT OR IGNORE INTO adopted VALUES (?, ?)", identities).rowcount:
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
        found = self._connection.execute(f"{SELECT} WHERE {OPEN_SQL} AND session = ?", (session,)).fetchall()
        unknown = 0
        for row in map(self.checked, found):
            ended = _ENDED_AS.get(row[_AT["state"]])
            if ended is not None:
                kind = ErrorKind.PROCESS_ENDED.value
                changes = {"state": ended.value, "updated": now.wall, "error_kind": kind, **now.values}
                self._change(row, changes)
                unknown += ended is IntentState.UNKNOWN
        return unknown

    def get(self, intent_id: str) -> Intent | None:
        """One intent by id, or by the beginning of its id if that is enough."""
        found = self._many("WHERE id = ?", (intent_id,)) or self._many(
            "WHERE id >= ? AND id < ? LIMIT 2", (intent_id, f"{intent_id}\U0010ffff")
        )
        return found[0] if len(found) == 1 else None

    def find(
        self, states: Iterable[IntentState] | None, limit: int | None, since: float | None = None
    ) -> list[Intent]:
        """Intents in these states (all if None) as they were written; none created before `since`."""
        where, values = in_states(states, since)
        values.append(-1 if limit is None else limit)
        return self._many(f"WHERE {where} ORDER BY rowid LIMIT ?", values)

    def page(
        self, states: Iterable[IntentState] | None, after: int, limit: int, since: float | None = None
    ) -> tuple[list[Intent], int]:
        """Up to `limit` intents in the order in which they were written, and where the next page begins."""
        where, values = in_states(states, since)
        rows = self._connection.execute(
            f"{SELECT_WITH_ROWID} WHERE {where} AND rowid > ? ORDER BY rowid LIMIT ?", (*values, after, limit)
        ).fetchall()
        return [self._intent(row[:-1]) for row in rows], rows[-1][-1] if rows else after

    def counts(self, *, open_only: bool = False) -> dict[IntentState, int]:
        """How many intents stand in each state; those that are open have an index of their own."""
        where = f"WHERE {OPEN_SQL}" if open_only else ""
        query = f"SELECT state, count(*) FROM intents {where} GROUP BY state"
        rows = self._connection.execute(query).fetchall()
        try:
            return {IntentState(state): count for state, count in rows}
        except ValueError:
            raise DamagedRowError("state") from None

    def close(self) -> None:
        """Close the file."""
        super().close()
        if self._on_close is not None:
            self._on_close()

    def _many(self, where: str, values: Any) -> list[Intent]:
        rows = self._connection.execute(f"{SELECT} {where}", values).fetchall()
        return [self._intent(row) for row in rows]

    def _intent(self, row: tuple[Any, ...]) -> Intent:
        return self._decoded(self.checked(row))

    def _decoded(self, values: tuple[Any, ...]) -> Intent:
        """The intent of a row. One that cannot be read is damage, and never an absent row."""
        try:
            return intent_of(values)
        except ValueError:
            raise DamagedRowError(f"{self.path}: {values[0]}") from None
