"""The journal's rows: one per write, in one SQLite file (see `file_format`).

A row is compared with its checksum before it decides anything, and is written back whole; many changes share
a transaction. One method, `JournalStore.add`, decides whether a write may begin.
"""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import orjson

from pandapon_async.declare.endpoint import Scope
from pandapon_async.errors import ErrorKind, JournalUnavailableError
from pandapon_async.journal.file_format import COUNTS_SQL, FILE_FORMAT
from pandapon_async.journal.identity import Writer, anything, declared
from pandapon_async.journal.intent import OPEN, Intent, IntentState, Reading, Resolution
from pandapon_async.journal.queries import AT, JournalQueries
from pandapon_async.journal.rows import (
    COLUMNS,
    OPEN_SQL,
    SELECT,
    row_of,
    text_of,
)
from pandapon_async.storage import IN_MEMORY
from pandapon_async.storage.damage import FILE_ERRORS, DamagedRowError, is_damage, reason_of, with_checksum

__all__ = ["Added", "JournalStore", "Reading"]

THOROUGH_ROWS = 20_000
"""Up to this many rows every opening checks indexes and checksums; that takes a fifth of a second."""
QUICK_ROWS = 100_000
"""Up to this many rows every opening checks the pages; with more, only after a process was killed."""

_SUBJECT: Final = "INSERT OR IGNORE INTO subjects (subject, intent, checksum) VALUES (?, ?, ?)"
# In the order of the index: the open intent that counts, then the others, newest first.
_SAME_KEY: Final = (
    f"WHERE scope = ? AND operation = ? AND natural_key = ? ORDER BY {COUNTS_SQL} DESC NULLS LAST, rowid DESC"
)
_OPEN: Final = frozenset(state.value for state in OPEN)
_ENDED_AS: Final[Mapping[str, IntentState]] = {
    IntentState.SENT.value: IntentState.UNKNOWN,
    IntentState.INTENDED.value: IntentState.NOT_SENT,
}
"""The state of a write whose process ended before it finished."""


class Added(NamedTuple):
    """The result of recording a write."""

    blocking: Intent | None = None
    """The intent that blocks it; then nothing was recorded."""
    doubtful: Intent | None = None
    """An earlier write of the key that may have been carried out and must be checked first.

    The new one is then recorded as `intended` and blocks others meanwhile.
    """


@functools.cache
def _insert(names: tuple[str, ...]) -> str:
    """The statement that writes a row of some columns; the others are null."""
    return f"INSERT OR IGNORE INTO intents ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"


@functools.cache
def _update(names: tuple[str, ...]) -> str:
    """Return the statement that writes some columns of a row."""
    return f"UPDATE intents SET {', '.join(f'{name} = ?' for name in names)}, checksum = ? WHERE id = ?"


class JournalStore(JournalQueries):
    """The journal's file. All methods block; the journal's own thread calls them.

    `session` is the writing session; `on_close` is called after the file was closed; `after_crash` says that
    a process was killed with the file open.
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
        """Journals of earlier versions next to this one with an unknown writer."""
        try:
            with FILE_FORMAT.failing(path, "opened"):
                self._check_at_opening(after_crash)
                self.mark: int = self.read_mark()
                """The mark at the last commit of this store."""
                self._look_for_old_rows()
        except BaseException:
            super().close()
            raise

    def _check_at_opening(self, after_crash: bool) -> None:
        """Check the file as thoroughly as its size allows."""
        if self.path == IN_MEMORY:
            return
        # From the ends of the table, because counting reads every page.
        (rows,) = self._connection.execute(
            "SELECT coalesce((SELECT max(rowid) FROM intents) - (SELECT min(rowid) FROM intents), 0)"
        ).fetchone()
        if rows < QUICK_ROWS or after_crash:
            self.check(thorough=rows < THOROUGH_ROWS)

    def _look_for_old_rows(self) -> None:
        """Read which rows of earlier versions have no writer or may be about anything."""
        found = self._connection.execute("SELECT DISTINCT account FROM intents WHERE scope = ''").fetchall()
        self._unassigned = {account for (account,) in found}
        about = self._many(
            "WHERE id IN (SELECT intent FROM subjects WHERE subject >= ? AND subject < ?)",
            (anything(""), anything("\U0010ffff")),
        )
        self._unclear = {one.operation for one in about if one.state.open}
        self._has_extra = bool(self.extra())

    def unavailable(self, error: sqlite3.Error | UnicodeDecodeError) -> JournalUnavailableError:
        """Return the error to raise when the file cannot be used."""
        reason = f"{reason_of(error)}; nothing was sent"
        failure = FILE_FORMAT.unusable(self.path, "used", reason, damaged=is_damage(error))
        assert isinstance(failure, JournalUnavailableError)
        return failure

    def commit(self) -> None:
        """Commit the group; raise the mark by one for each write that it begins or sends."""
        if self._raised:
            identity, mark = self._identity()
            values = with_checksum((identity, mark + self._raised))
            self._connection.execute("UPDATE identity SET id = ?, mark = ?, checksum = ?", values)
            super().commit()
            self.mark += self._raised
            self._raised = 0
        else:
            super().commit()

    def rollback(self) -> None:
        """Roll back the group, if there is one."""
        super().rollback()
        self._raised = 0

    def add(
        self, intent: Intent, once: bool, subjects: Sequence[str] = (), *, allow_second: bool = False
    ) -> Added:
        """Record an intent for this session, unless another one blocks it.

        An open intent with the same natural key blocks it; with `once` also one that succeeded; and, without
        `allow_second`, an open one about one of the same `subjects`.
        """
        if self.not_ours:
            raise JournalUnavailableError(
                f"{self.not_ours[0]} is a journal of an earlier version with an unknown writer. Name the "
                f"writer with: pandapon journal adopt {self.not_ours[0]} --user-id ID; nothing was sent"
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
        if not self._insert(row_of(intent)):
            # The index has a row that a query by the same index did not find.
            raise sqlite3.DatabaseError("the index is damaged")
        self._raised += 1
        self._add_subjects((subject, intent.id) for subject in subjects)
        return found

    def _insert(self, row: tuple[Any, ...]) -> bool:
        """Write a row down; False if it is there already, or one that it may not stand beside."""
        named = zip((*COLUMNS, "checksum"), with_checksum(row), strict=True)
        # Null is left out: of all plain values only that one goes the long way round in sqlite3.
        values = {name: value for name, value in named if value is not None}
        return self._connection.execute(_insert(tuple(values)), tuple(values.values())).rowcount == 1

    def _earlier(self, intent: Intent, once: bool) -> Added:
        """Return what earlier writes of the key mean for a new one; the newest decisive one counts."""
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
        """Iterate over the intents of a key: the open one, then the others, newest first.

        A row with an unknown writer counts for every writer.
        """
        for one in (scope, "") if self._unassigned else (scope,):
            for row in self._connection.execute(f"{SELECT} {_SAME_KEY}", (one, operation, natural_key)):
                yield self._intent(row)

    def _add_subjects(self, rows: Iterable[tuple[str, str]]) -> None:
        self._connection.executemany(_SUBJECT, map(with_checksum, rows))

    def sending(self, intent_id: str, now: Reading) -> bool:
        """Record that the write is sent next. Returns False if the intent is not open any more."""
        row = self._row(intent_id)
        if row is None or row[AT["state"]] not in _ENDED_AS:
            return False
        attempts = row[AT["attempts"]] + 1
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
        """Record the result of a write. Returns False if its final state cannot change to this."""
        row = self._row(intent_id)
        # An open intent may change to any state; decoding it would cost as much as reading it.
        if row is None or not (row[AT["state"]] in _OPEN or self._decoded(row).may_become(state)):
            return False
        changes: dict[str, Any] = {"state": state.value, "updated": now.wall}
        facts = {
            "request_id": request_id, "result": result, "resolution": resolution and resolution.value,
            "error_kind": error_kind and error_kind.value, "resolver": resolver,
        }  # fmt: skip
        changes |= {name: value for name, value in facts.items() if value is not None}
        if remark is not None:
            changes["remarks"] = text_of([*orjson.loads(row[AT["remarks"]]), remark])
        if state is IntentState.UNKNOWN:
            changes |= now.values
        self._change(row, changes)
        return True

    def _change(self, row: Sequence[Any], changes: Mapping[str, Any]) -> None:
        """Write some columns and the new checksum of a row that was read in this transaction."""
        values = list(row)
        for name, value in changes.items():
            values[AT[name]] = value
        stored = with_checksum(tuple(values))
        places = [AT[name] for name in changes]
        self._connection.execute(
            _update(tuple(changes)), (*(stored[place] for place in places), stored[-1], row[0])
        )

    def assign(self, writer: Writer, account: str | None = None) -> int:
        """Assign rows of an earlier version to a writer, by hash or `account`; return their number."""
        # Newest first: of open intents that become the same write, the first counts.
        rows = self._connection.execute(
            f"{SELECT} WHERE scope = '' AND account = ? ORDER BY created DESC, rowid DESC",
            (writer.legacy if account is None else account,),
        ).fetchall()
        for values in rows:
            row = self.checked(values)
            operation, key = row[AT["operation"]], row[AT["natural_key"]]
            endpoint = declared(operation)
            # An intent whose payload was its key stays where it can block new writes.
            scope = writer.scope(endpoint.scope if endpoint is not None else Scope.ACCOUNT)
            extra = self._has_open(scope, operation, key)
            self._change(
                row,
                {"scope": scope, "vendor": writer.vendor, "user_id": writer.user_id, "extra": extra},
            )
        self._look_for_old_rows()
        return len(rows)

    def _has_open(self, scope: str, operation: str, natural_key: str) -> bool:
        """Whether the key has an open intent that counts."""
        query = f"{SELECT} WHERE scope = ? AND operation = ? AND natural_key = ? AND {COUNTS_SQL} = 1"
        found = self._connection.execute(query, (scope, operation, natural_key)).fetchone()
        return found is not None and bool(self.checked(found))

    def take(self, other: JournalStore) -> int:
        """Copy the rows, subjects, identity and mark of another file; return the number of rows.

        An open row whose key has an open one here already becomes an extra one.
        """
        rows = other._connection.execute(f"{SELECT} ORDER BY rowid")
        taken = sum(self._take_row(other.checked(row)) for row in rows)
        subjects = other._connection.execute("SELECT subject, intent, checksum FROM subjects")
        self._add_subjects(other.checked(row) for row in subjects)
        identities = [with_checksum((identity,)) for identity in other.identities()]
        if self._connection.executemany("INSERT OR IGNORE INTO adopted VALUES (?, ?)", identities).rowcount:
            self._raised += other.read_mark()
        self._look_for_old_rows()
        return taken

    def _take_row(self, values: Sequence[Any]) -> bool:
        """Take a row over, unless it is here already; whether it was taken."""
        row = list(values)
        scope, operation, key = (row[AT[name]] for name in ("scope", "operation", "natural_key"))
        row[AT["extra"]] = row[AT["extra"]] or self._has_open(scope, operation, key)
        return self._insert(tuple(row))

    def salvage(self, damaged: sqlite3.Connection) -> tuple[int, bool]:
        """Copy the sound rows of a damaged file; return their number and whether rows were lost.

        Its identity is not copied: missing writes may have been sent, so no plan may rely on the rest.
        """
        rows, rest = self._sound(damaged, f"{SELECT} ORDER BY rowid")
        taken = sum(map(self._take_row, rows))
        subjects, more = self._sound(damaged, "SELECT subject, intent, checksum FROM subjects")
        self._add_subjects(subjects)
        self._look_for_old_rows()
        return taken, rest or more

    def _sound(self, damaged: sqlite3.Connection, query: str) -> tuple[list[tuple[Any, ...]], bool]:
        """Return the unchanged rows of a query as far as they can be read, and whether there are more."""
        found: list[tuple[Any, ...]] = []
        rest = False
        try:
            for row in damaged.execute(query):
                try:
                    found.append(self.checked(row))
                except DamagedRowError:
                    rest = True
        except FILE_ERRORS:
            rest = True
        return found, rest

    def assign_all(self, writer: Writer) -> int:
        """Assign all rows with an unknown writer to this one; return their number."""
        return sum(self.assign(writer, account) for account in self.unassigned())

    def unassigned(self) -> list[str]:
        """Return the hashes of unknown writers in rows of earlier versions."""
        return sorted(self._unassigned)

    def close_abandoned(self, session: str, now: Reading) -> int:
        """End a session: `sent` writes become unknown, `intended` ones not sent. Returns the former."""
        found = self._connection.execute(f"{SELECT} WHERE {OPEN_SQL} AND session = ?", (session,)).fetchall()
        unknown = 0
        for row in map(self.checked, found):
            ended = _ENDED_AS.get(row[AT["state"]])
            if ended is not None:
                kind = ErrorKind.PROCESS_ENDED.value
                changes = {"state": ended.value, "updated": now.wall, "error_kind": kind, **now.values}
                self._change(row, changes)
                unknown += ended is IntentState.UNKNOWN
        return unknown

    def drop(self, rows: Sequence[tuple[int, Intent]]) -> None:
        """Remove rows; remember that they were sent."""
        self._connection.executemany("DELETE FROM intents WHERE rowid = ?", [(number,) for number, _ in rows])
        self._connection.executemany(
            "INSERT OR IGNORE INTO pruned VALUES (?)", [(one.id,) for _, one in rows if one.attempts]
        )

    def forget_subjects(self) -> None:
        """Remove the subjects of removed intents."""
        self._connection.execute("DELETE FROM subjects WHERE intent NOT IN (SELECT id FROM intents)")

    def close(self) -> None:
        """Close the file."""
        super().close()
        if self._on_close is not None:
            self._on_close()
