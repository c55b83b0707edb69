"""The journal's rows: one per intended write, in one SQLite file (see `file_format`).

Each change is one statement; many of them share a transaction. Whether a write may be begun is decided in one
place, `JournalStore.add`.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

import attrs
import orjson

from pandapon_async.errors import ErrorKind, JournalUnavailableError
from pandapon_async.journal.file_format import FILE_FORMAT, OPEN_SQL
from pandapon_async.journal.intent import Intent, IntentState, Resolution
from pandapon_async.storage.sqlite_file import SqliteStore, reason_of

__all__ = ["JournalStore"]

COLUMNS = tuple(field.name for field in attrs.fields(Intent))
_JSON = ("natural_key", "facts", "remarks")
_CODES: Final[Mapping[str, Callable[[str], Any]]] = {
    "state": IntentState,
    "resolution": Resolution,
    "error_kind": ErrorKind,
}
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM intents"
_SAME_KEY = "account = ?2 AND operation = ?3 AND natural_key = ?4"  # by the columns' own numbers
_ONCE = len(COLUMNS) + 1
# Said by what does not stand in the way: a row whose state cannot be read does.
_IN_THE_WAY = (
    f"{_SAME_KEY} AND state NOT IN ('rejected', 'not_sent', 'settled_absent')"
    f" AND (?{_ONCE} OR state NOT IN ('confirmed', 'settled_done'))"
)
_ADD = (
    f"INSERT OR IGNORE INTO intents ({', '.join(COLUMNS)})"
    f" SELECT {', '.join(f'?{number}' for number in range(1, _ONCE))}"
    f" WHERE NOT EXISTS (SELECT 1 FROM intents WHERE {_IN_THE_WAY})"
)
_SENDING = (
    "UPDATE intents SET state = 'sent', attempts = attempts + 1, updated = ?"
    " WHERE id = ? AND state IN ('intended', 'sent')"
)
_RESOLVE = (
    "UPDATE intents SET state = ?2, updated = ?3, request_id = coalesce(?4, request_id),"
    " result = coalesce(?5, result), resolution = coalesce(?6, resolution),"
    " error_kind = coalesce(?7, error_kind),"
    " remarks = CASE WHEN ?8 IS NULL THEN remarks ELSE json_insert(remarks, '$[#]', ?8) END"
    f" WHERE id = ?1 AND {OPEN_SQL}"
)
_CLOSE = (
    f"UPDATE intents SET state = ?, updated = ?, error_kind = ? WHERE {OPEN_SQL}"
    " AND session = ? AND state = ?"
)


class JournalStore(SqliteStore):
    """The file. All methods block; they are called from the journal's own thread.

    `session` is who writes; `on_close` is called after the file was closed.
    """

    def __init__(self, path: str, session: str = "", on_close: Callable[[], None] | None = None) -> None:
        super().__init__(path, FILE_FORMAT, FILE_FORMAT.open(path))
        self.session = session
        self._on_close = on_close

    def unavailable(self, error: sqlite3.Error) -> JournalUnavailableError:
        """What to raise when the file cannot be used."""
        return JournalUnavailableError(
            f"the journal {self.path} cannot be written: {reason_of(error)}; nothing was sent"
        )

    def identity(self) -> str:
        """What tells this journal from every other, also from one made anew in its place."""
        (found,) = self._connection.execute("SELECT id FROM identity").fetchone()
        return str(found)

    def add(self, intent: Intent, once: bool) -> Intent | None:
        """Write an intent down for this session, unless another one stands in its way: gives that one then.

        An open intent of the same natural key does; with `once` also one that succeeded.
        """
        values = (*self._row_of(intent), once)
        if self._connection.execute(_ADD, values).rowcount == 1:
            return None
        rows = self._connection.execute(
            f"{_SELECT} WHERE {_IN_THE_WAY} ORDER BY {OPEN_SQL} DESC, created DESC LIMIT 1", values
        )
        earlier = [self._intent(row) for row in rows]
        if not earlier:
            raise JournalUnavailableError(
                f"the journal {self.path} did not take the intent; nothing was sent"
            )
        return earlier[0]

    def sending(self, intent_id: str, now: float) -> bool:
        """Note that the next thing that happens is sending. False if the intent is not open any more."""
        return self._connection.execute(_SENDING, (now, intent_id)).rowcount == 1

    def resolve(
        self,
        intent_id: str,
        state: IntentState,
        now: float,
        *,
        request_id: str | None = None,
        result: str | None = None,
        resolution: Resolution | None = None,
        error_kind: ErrorKind | None = None,
        remark: str | None = None,
    ) -> bool:
        """Note what became of a write. A final state is never changed again: False then."""
        # Codes as plain text: sqlite3 takes anything else on a long way round.
        values = (
            intent_id, state.value, now, request_id, result, resolution and resolution.value,
            error_kind and error_kind.value, remark,
        )  # fmt: skip
        return self._connection.execute(_RESOLVE, values).rowcount == 1

    def with_key(self, account: str, operation: str, natural_key: dict[str, Any]) -> list[Intent]:
        """All intents of this natural key, newest first."""
        return self._many(
            "WHERE account = ? AND operation = ? AND natural_key = ? ORDER BY created DESC, rowid DESC",
            (account, operation, _text(natural_key)),
        )

    def claimed(self, intent: Intent, result: str) -> bool:
        """Whether another intent of the same operation ended with this result."""
        query = "SELECT 1 FROM intents WHERE account = ? AND operation = ? AND result = ? AND id <> ?"
        values = (intent.account, intent.operation, result, intent.id)
        return self._connection.execute(query, values).fetchone() is not None

    def sessions(self) -> list[str]:
        """The sessions that have intents whose end was not noted."""
        rows = self._connection.execute(
            f"SELECT DISTINCT session FROM intents WHERE {OPEN_SQL} AND state <> 'unknown'"
        ).fetchall()
        return [session for (session,) in rows]

    def close_abandoned(self, session: str, now: float) -> int:
        """A session ended: what it sent is unknown now, what it only intended not sent. Gives the unknown."""
        ended = ErrorKind.PROCESS_ENDED.value
        unknown = self._connection.execute(_CLOSE, ("unknown", now, ended, session, "sent")).rowcount
        self._connection.execute(_CLOSE, ("not_sent", now, ended, session, "intended"))
        return unknown

    def get(self, intent_id: str) -> Intent | None:
        """One intent by id, or by the beginning of its id if that is enough."""
        found = self._many("WHERE id = ?", (intent_id,)) or self._many(
            "WHERE substr(id, 1, ?) = ? LIMIT 2", (len(intent_id), intent_id)
        )
        return found[0] if len(found) == 1 else None

    def find(self, states: Iterable[IntentState] | None, limit: int | None) -> list[Intent]:
        """Intents in these states (all if None), oldest first."""
        where, values = _in_states(states)
        values.append(-1 if limit is None else limit)
        return self._many(f"WHERE {where} ORDER BY created, rowid LIMIT ?", values)

    def page(self, states: Iterable[IntentState] | None, after: int, limit: int) -> tuple[list[Intent], int]:
        """Up to `limit` intents in the order in which they were written, and where the next page begins."""
        where, values = _in_states(states)
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
        return [
            self._intent(row) for row in self._connection.execute(f"{_SELECT} {where}", values).fetchall()
        ]

    def _row_of(self, intent: Intent) -> tuple[Any, ...]:
        """The row of a new intent, which belongs to this session."""
        resolution, kind = intent.resolution, intent.error_kind
        return (
            intent.id, intent.account, intent.operation, _text(intent.natural_key), intent.digest,
            _text(intent.facts), intent.state.value, self.session, intent.created, intent.updated,
            intent.attempts, intent.request_id, intent.result, resolution and resolution.value,
            kind and kind.value, _text(intent.remarks),
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


def _in_states(states: Iterable[IntentState] | None) -> tuple[str, list[Any]]:
    """The condition that an intent is in one of these states (in any, if None), and its values."""
    if states is None:
        return "1", []
    values = [state.value for state in states]
    where = f"state IN ({', '.join('?' * len(values))})"
    # Said once more in the index's own words: the open ones are few, and found without reading the rest.
    return f"{OPEN_SQL} AND {where}" if all(IntentState(value).open for value in values) else where, values


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _intent_of(row: tuple[Any, ...]) -> Intent:
    facts = dict(zip(COLUMNS, row, strict=True))
    for name in _JSON:
        facts[name] = orjson.loads(facts[name])
    for name, kind in _CODES.items():
        if facts[name] is not None:
            facts[name] = kind(facts[name])
    return Intent(**facts)
