"""What a write changes in the journal, and how a whole group of such changes is done in a few statements.

Every statement lets go of Python's lock and has to get it back from a busy event loop, which costs more
than the change itself. So changes of one kind go into one statement. Where one of them is refused, such a
statement cannot say which; then the group is undone and done anew, one change after the other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import attrs

from pandapon_async.journal.store import COLUMNS, Intent, IntentState, JournalStore
from pandapon_async.storage.batch_writer import one_by_one

__all__ = ["Add", "Sending", "Settle", "carry_out"]


@attrs.define(eq=False)
class Add:
    """Write an intent down, unless its key is open, or, with `once`, was carried out before.

    Gives the earlier intent that stands against it, None otherwise.
    """

    intent: Intent
    once: bool

    def __call__(self, store: JournalStore) -> Intent | None:
        """Do it by itself; a group of them is done together in `carry_out`."""
        return (self.once and store.succeeded_with_key(self.intent)) or store.add(self.intent)


@attrs.define(eq=False)
class Sending:
    """Note that the bytes leave now. Gives False if the intent is not open any more."""

    id: str
    now: float

    def __call__(self, store: JournalStore) -> bool:
        """Do it by itself."""
        return store.sending(self.id, self.now)


@attrs.define(eq=False)
class Settle:
    """Note what became of an intent. Gives False if it was settled before."""

    id: str
    state: IntentState
    now: float
    request_id: str | None
    result: str | None
    note: str | None

    def __call__(self, store: JournalStore) -> bool:
        """Do it by itself."""
        return store.settle(self.id, self.state, self.now, self.request_id, self.result, self.note)


class _Refused(Exception):
    """Of many changes in one statement, at least one was not made."""


def carry_out(store: JournalStore, changes: list[Callable[[JournalStore], Any]]) -> list[Any]:
    """A group of changes within the transaction that was begun; their results in order."""
    if len(changes) == 1:
        return one_by_one(store, changes)
    try:
        return _Group(store).carry_out(changes)
    except _Refused:
        store.again()
        return one_by_one(store, changes)


@attrs.define(eq=False)
class _Group:
    """Changes gathered by kind. No intent is in it twice: the second change would overtake the first."""

    store: JournalStore
    adds: list[Add] = attrs.field(factory=list)
    sendings: list[Sending] = attrs.field(factory=list)
    settles: list[Settle] = attrs.field(factory=list)
    intents: set[str] = attrs.field(factory=set)

    def carry_out(self, changes: list[Callable[[JournalStore], Any]]) -> list[Any]:
        results: list[Any] = []
        for change in changes:
            if isinstance(change, Add):
                self._one(change.intent.id)
                self.adds.append(change)
                results.append(None)
            elif isinstance(change, Sending):
                self._one(change.id)
                self.sendings.append(change)
                results.append(True)
            elif isinstance(change, Settle):
                self._one(change.id)
                self.settles.append(change)
                results.append(True)
            else:
                self._write()
                results += one_by_one(self.store, [change])
        self._write()
        return results

    def _one(self, intent_id: str) -> None:
        if intent_id in self.intents:
            self._write()
        self.intents.add(intent_id)

    def _write(self) -> None:
        """What ends comes first, as it may make room for what begins."""
        settles = [
            (one.id, one.state.value, one.now, one.request_id, one.result, one.note) for one in self.settles
        ]
        sendings = [(one.id, one.now) for one in self.sendings]
        adds = [(*self.store.values_of(one.intent), one.once) for one in self.adds]
        for statement, rows in ((_SETTLE, settles), (_SEND, sendings), (_ADD, adds)):
            if not self.store.write_rows(statement, rows):
                raise _Refused
        for gathered in (self.settles, self.sendings, self.adds, self.intents):
            gathered.clear()


_NEW = ", ".join(f"column{number + 1}" for number in range(len(COLUMNS)))
_ADD: Final = f"""INSERT INTO intents ({", ".join(COLUMNS)}) SELECT {_NEW} FROM (VALUES {{rows}})
WHERE NOT column{len(COLUMNS) + 1} OR NOT EXISTS (
    SELECT 1 FROM intents AS earlier
    WHERE earlier.account = column2 AND earlier.operation = column3 AND earlier.natural_key = column4
    AND earlier.state IN ('confirmed', 'settled_done'))
ON CONFLICT DO NOTHING
"""
_SEND: Final = """UPDATE intents SET state = 'sent', attempts = attempts + 1, updated = new.column2
FROM (VALUES {rows}) AS new WHERE intents.id = new.column1 AND +intents.state IN ('intended', 'sent')
"""
_SETTLE: Final = """UPDATE intents SET state = new.column2, updated = new.column3,
    request_id = coalesce(new.column4, intents.request_id), result = coalesce(new.column5, intents.result),
    note = coalesce(new.column6, intents.note)
FROM (VALUES {rows}) AS new
WHERE intents.id = new.column1 AND +intents.state IN ('intended', 'sent', 'unknown')
"""
