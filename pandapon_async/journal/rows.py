"""Convert intents to rows of the journal's file and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import attrs
import orjson

from pandapon_async.errors import ErrorKind
from pandapon_async.journal.intent import OPEN, Intent, IntentState, Resolution

__all__ = [
    "COLUMNS",
    "OPEN_SQL",
    "SELECT",
    "SELECT_WITH_ROWID",
    "in_states",
    "intent_of",
    "row_of",
    "text_of",
]

COLUMNS: Final = tuple(field.name for field in attrs.fields(Intent))
_JSON = ("natural_key", "facts", "remarks")
_CODES: Final[Mapping[str, Callable[[str], Any]]] = {
    "state": IntentState,
    "resolution": Resolution,
    "error_kind": ErrorKind,
}

# Not IN (...): for each IN in an index SQLite builds a temporary table whenever a row changes.
OPEN_SQL: Final = f"({' OR '.join(f'state = {state.value!r}' for state in OPEN)})"
_VALUES = f"SELECT {', '.join(COLUMNS)}, checksum"
SELECT: Final = f"{_VALUES} FROM intents"
SELECT_WITH_ROWID: Final = f"{_VALUES}, rowid FROM intents"


def text_of(value: Any) -> str:
    """Write a value as JSON; equal values have the same text."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def row_of(intent: Intent) -> tuple[Any, ...]:
    """Return the values of an intent's row; codes as plain text, because sqlite3 is fastest with it."""
    resolution, kind = intent.resolution, intent.error_kind
    return (
        intent.id, intent.scope, intent.operation, text_of(intent.natural_key), intent.digest,
        text_of(intent.facts), intent.state.value, intent.session, intent.created, intent.updated,
        intent.attempts, intent.request_id, intent.result, resolution and resolution.value,
        kind and kind.value, text_of(intent.remarks), intent.vendor, intent.user_id, intent.account,
        intent.wrote, intent.boot, intent.uptime, intent.served, intent.resolver, int(intent.extra),
    )  # fmt: skip


def intent_of(values: Sequence[Any]) -> Intent:
    """Convert a row to an intent. Raises ValueError for a row that no version wrote."""
    facts = dict(zip(COLUMNS, values, strict=True))
    for name in _JSON:
        facts[name] = orjson.loads(facts[name])
    for name, kind in _CODES.items():
        if facts[name] is not None:
            facts[name] = kind(facts[name])
    facts["extra"] = bool(facts["extra"])
    return Intent(**facts)


def in_states(states: Iterable[IntentState] | None, since: float | None) -> tuple[str, list[Any]]:
    """Return the condition for intents in these states (None: all), and its values."""
    where = "true"
    values: list[Any] = []
    if states is not None:
        values = [state.value for state in states]
        where = f"state IN ({', '.join('?' * len(values))})"
        if all(IntentState(value).open for value in values):
            # Repeated in the words of the index, so that the few open rows are found without a scan.
            where = f"{OPEN_SQL} AND {where}"
    if since is not None:
        where, values = f"{where} AND created >= ?", [*values, since]
    return where, values
