"""The queries of the journal's file. Each row is compared with its checksum before use."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pandapon_async.journal.identity import anything
from pandapon_async.journal.intent import OPEN, Intent, IntentState
from pandapon_async.journal.rows import (
    COLUMNS,
    OPEN_SQL,
    SELECT,
    SELECT_WITH_ROWID,
    in_states,
    intent_of,
    text_of,
)
from pandapon_async.storage.damage import DamagedRowError
from pandapon_async.storage.sqlite_file import SqliteStore

__all__ = ["AT", "JournalQueries"]

AT = {name: number for number, name in enumerate(COLUMNS)}
"""The positions of a row's columns."""


class JournalQueries(SqliteStore):
    """The reading part of the journal's store. All methods block."""

    def _identity(self) -> tuple[str, int]:
        found = self._connection.execute("SELECT id, mark, checksum FROM identity").fetchone()
        if found is None:
            raise DamagedRowError("identity")
        identity, mark = self.checked(found)
        return identity, mark

    def identities(self) -> list[str]:
        """Return the id of this journal, then the ids of the journals that it adopted."""
        adopted = self._connection.execute("SELECT identity, checksum FROM adopted").fetchall()
        return [self._identity()[0], *(self.checked(values)[0] for values in adopted)]

    def read_mark(self) -> int:
        """Return the mark, including the writes of other processes."""
        return self._identity()[1]

    def get(self, intent_id: str) -> Intent | None:
        """Return an intent by its id or an unambiguous beginning of the id."""
        found = self._many("WHERE id = ?", (intent_id,)) or self._many(
            "WHERE id >= ? AND id < ? LIMIT 2", (intent_id, f"{intent_id}\U0010ffff")
        )
        return found[0] if len(found) == 1 else None

    def find(
        self, states: Iterable[IntentState] | None, limit: int | None, since: float | None = None
    ) -> list[Intent]:
        """Iterate over intents in these states (None: all) created since then, in the order of writing."""
        where, values = in_states(states, since)
        values.append(-1 if limit is None else limit)
        return self._many(f"WHERE {where} ORDER BY rowid LIMIT ?", values)

    def page(
        self, states: Iterable[IntentState] | None, after: int, limit: int, since: float | None = None
    ) -> tuple[list[Intent], int]:
        """Return up to `limit` intents in the order of writing, and the start of the next page."""
        wanted = None if states is None else list(states)
        where, values = in_states(wanted, since)
        # The open ones are few and have their own index, but SQLite would prefer to scan all rows.
        row = "+rowid" if wanted is not None and all(state.open for state in wanted) else "rowid"
        rows = self._connection.execute(
            f"{SELECT_WITH_ROWID} WHERE {where} AND {row} > ? ORDER BY {row} LIMIT ?", (*values, after, limit)
        ).fetchall()
        return [self._intent(row[:-1]) for row in rows], rows[-1][-1] if rows else after

    def latest(self, states: Iterable[IntentState] | None, limit: int) -> list[Intent]:
        """Return the open intents in these states and the newest `limit` others, in the order of writing."""
        wanted = tuple(IntentState) if states is None else tuple(states)
        rows: list[tuple[Any, ...]] = []
        for some, most in (([one for one in wanted if one.open], -1), ([*set(wanted) - set(OPEN)], limit)):
            where, values = in_states(some, None)
            order = "" if most < 0 else "ORDER BY rowid DESC"
            query = f"{SELECT_WITH_ROWID} WHERE {where} {order} LIMIT ?"
            rows += self._connection.execute(query, (*values, most)).fetchall()
        return [self._intent(row[:-1]) for row in sorted(rows, key=lambda row: int(row[-1]))]

    def old(
        self, before: float, doubtful_before: float, after: int, limit: int
    ) -> tuple[list[tuple[int, Intent]], int]:
        """Return ended intents among the next `limit` after a row, with their rows, and the last row seen.

        An intent that may still prove to be carried out is judged by the time of its write.
        """
        found = self._connection.execute(
            f"{SELECT_WITH_ROWID} WHERE NOT {OPEN_SQL} AND max(created, updated, wrote) < ? AND rowid > ?"
            " ORDER BY rowid LIMIT ?",
            (before, after, limit),
        ).fetchall()
        rows = [(row[-1], self._intent(row[:-1])) for row in found]
        old = [
            (number, intent)
            for number, intent in rows
            if not intent.doubtful or max(intent.created, intent.wrote) < doubtful_before
        ]
        return old, found[-1][-1] if found else after

    def with_key(self, scope: str, operation: str, natural_key: dict[str, Any]) -> list[Intent]:
        """All intents of this natural key, newest first."""
        return self._many(
            # By the order of writing, which a clock that steps back does not change.
            "WHERE scope IN (?, '') AND operation = ? AND natural_key = ? ORDER BY rowid DESC",
            (scope, operation, text_of(natural_key)),
        )

    def about(self, scope: str, operation: str, subjects: Sequence[str]) -> list[Intent]:
        """Return the intents about one of these subjects, or about anything, newest first."""
        wanted = [*subjects, anything(operation)]
        return self._about(f"subject IN ({', '.join('?' * len(wanted))})", wanted, scope)

    def about_any(self, scope: str, operation: str, beginning: str) -> list[Intent]:
        """Return all intents whose subject begins like this ("ORDER/"), newest first."""
        first = f"{operation} {beginning}"
        last = first[:-1] + chr(ord(first[-1]) + 1)
        return self._about("subject >= ? AND subject < ?", (first, last), scope)

    def _about(self, condition: str, values: Sequence[str], scope: str) -> list[Intent]:
        query = f"SELECT subject, intent, checksum FROM subjects WHERE {condition}"
        ids = {self.checked(row)[1] for row in self._connection.execute(query, values).fetchall()}
        if not ids:
            return []
        # The plus keeps SQLite from scanning all rows of the scope.
        return self._many(
            f"WHERE id IN ({', '.join('?' * len(ids))}) AND +scope IN (?, '') ORDER BY rowid DESC",
            (*ids, scope),
        )

    def newest_sent(self) -> str | None:
        """Return the id of the newest sent intent."""
        found = self._many("WHERE attempts > 0 ORDER BY rowid DESC LIMIT 1", ())
        return found[0].id if found else None

    def was_sent(self, intent_id: str) -> bool:
        """Whether this journal sent a write, even if it was pruned since."""
        row = self._row(intent_id)
        if row is not None:
            return bool(row[AT["attempts"]])
        query = "SELECT 1 FROM pruned WHERE id = ?"
        return self._connection.execute(query, (intent_id,)).fetchone() is not None

    def claimed(self, intent: Intent, result: str) -> bool:
        """Whether another intent of the same operation ended with this result."""
        return bool(
            self._many(
                "WHERE operation = ? AND result = ? AND id <> ? AND +scope IN (?, '') LIMIT 1",
                (intent.operation, result, intent.id, intent.scope),
            )
        )

    def extra(self) -> list[Intent]:
        """Return open intents with a newer one of the same key."""
        return self._many(f"WHERE extra AND {OPEN_SQL} ORDER BY created, rowid", ())

    def sessions(self) -> list[str]:
        """Return the sessions with intents whose end was not recorded."""
        rows = self._connection.execute(
            f"SELECT DISTINCT session FROM intents WHERE {OPEN_SQL} AND state <> 'unknown'"
        ).fetchall()
        return [session for (session,) in rows]

    def counts(self, *, open_only: bool = False) -> dict[IntentState, int]:
        """Count the intents in each state; the open ones have their own index."""
        where = f"WHERE {OPEN_SQL}" if open_only else ""
        query = f"SELECT state, count(*) FROM intents {where} GROUP BY state"
        rows = self._connection.execute(query).fetchall()
        try:
            return {IntentState(state): count for state, count in rows}
        except ValueError:
            raise DamagedRowError("state") from None

    def _row(self, intent_id: str) -> tuple[Any, ...] | None:
        found = self._connection.execute(f"{SELECT} WHERE id = ?", (intent_id,)).fetchone()
        return None if found is None else self.checked(found)

    def _many(self, where: str, values: Any) -> list[Intent]:
        rows = self._connection.execute(f"{SELECT} {where}", values).fetchall()
        return [self._intent(row) for row in rows]

    def _intent(self, row: tuple[Any, ...]) -> Intent:
        return self._decoded(self.checked(row))

    def _decoded(self, values: tuple[Any, ...]) -> Intent:
        """Convert a row to an intent. An unreadable row is damage, never an absent row."""
        try:
            return intent_of(values)
        except ValueError:
            raise DamagedRowError(f"{self.path}: {values[0]}") from None
