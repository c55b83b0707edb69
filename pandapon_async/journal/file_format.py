"""The format of a journal's file, and the upgrades from earlier formats.

An intent is *open* while its outcome can still be anything: `intended`, `sent`, `unknown`. An index of the
file allows only one open intent per natural key, so two processes cannot both apply for the same refund.
Amounts, ids and waybills are stored, because resolving a write needs them; free text and addresses are not,
only their digest.
"""

from __future__ import annotations

import re
import sqlite3
from typing import Any

import orjson

from pandapon_async.errors import ErrorKind, JournalUnavailableError
from pandapon_async.journal.identity import PAYLOAD, anything, declared, subjects_of
from pandapon_async.journal.intent import OPEN, IntentState, Resolution
from pandapon_async.journal.rows import COLUMNS, OPEN_SQL
from pandapon_async.storage.sqlite_file import FileFormat

__all__ = ["COUNTS_SQL", "FILE_FORMAT"]


_OPEN = ", ".join(repr(state.value) for state in OPEN)
# Open intents that became the same write, except the newest. Each must be settled by itself.
_EXTRA_SQL = f"""
UPDATE intents SET extra = 1 WHERE NOT extra AND {OPEN_SQL} AND EXISTS (
    SELECT 1 FROM intents AS newer WHERE (newer.scope, newer.operation, newer.natural_key)
    = (intents.scope, intents.operation, intents.natural_key) AND newer.state IN ({_OPEN}) AND NOT newer.extra
    AND (newer.created, newer.rowid) > (intents.created, intents.rowid));
"""
# 1 for the one open intent of a key that counts, null for all others, which a unique index never treats as
# equal.
COUNTS_SQL = f"(CASE WHEN {OPEN_SQL} AND NOT extra THEN 1 END)"

# One index for two purposes: one open intent per key, and all intents of a key. Each further index makes a
# write a tenth slower.
_INDEXES = f"""
CREATE UNIQUE INDEX one_open_per_key ON intents (scope, operation, natural_key, {COUNTS_SQL});
CREATE INDEX open_by_session ON intents (session) WHERE {OPEN_SQL};
CREATE INDEX by_result ON intents (operation, result) WHERE result IS NOT NULL;
"""
# Sent writes that were pruned: a plan may know the last write that it sent only by its id.
_PRUNED = """
CREATE TABLE pruned (id TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
"""
_SCHEMA = f"""
CREATE TABLE identity (
    only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL, mark INTEGER NOT NULL, checksum INTEGER
) STRICT;
INSERT INTO identity VALUES (1, lower(hex(randomblob(16))), 0, NULL);
UPDATE identity SET checksum = checksum(id, mark);
CREATE TABLE intents (
    id TEXT PRIMARY KEY,
    scope TEXT NOT NULL,
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
    resolution TEXT,
    error_kind TEXT,
    remarks TEXT NOT NULL DEFAULT '[]',
    vendor TEXT NOT NULL DEFAULT '',
    user_id TEXT NOT NULL DEFAULT '',
    account TEXT NOT NULL DEFAULT '',
    wrote REAL NOT NULL DEFAULT 0,
    boot TEXT,
    uptime REAL,
    served REAL,
    resolver TEXT,
    extra INTEGER NOT NULL DEFAULT 0,
    checksum INTEGER
) STRICT;
CREATE TABLE subjects (
    subject TEXT NOT NULL, intent TEXT NOT NULL, checksum INTEGER, PRIMARY KEY (subject, intent)
) STRICT, WITHOUT ROWID;
CREATE TABLE adopted (identity TEXT PRIMARY KEY, checksum INTEGER) STRICT, WITHOUT ROWID;
{_PRUNED}{_INDEXES}"""

_UPGRADE_1 = f"""
CREATE TABLE IF NOT EXISTS identity (only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL) STRICT;
INSERT OR IGNORE INTO identity VALUES (1, lower(hex(randomblob(16))));
ALTER TABLE identity ADD COLUMN mark INTEGER NOT NULL DEFAULT 0;
UPDATE identity SET mark = (SELECT count(*) FROM intents);
DROP INDEX IF EXISTS one_open_intent;
DROP INDEX IF EXISTS one_open_per_key;
DROP INDEX IF EXISTS open_by_session;
DROP INDEX IF EXISTS by_key;
DROP INDEX IF EXISTS by_state;
ALTER TABLE intents ADD COLUMN scope TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN resolution TEXT;
ALTER TABLE intents ADD COLUMN error_kind TEXT;
ALTER TABLE intents ADD COLUMN remarks TEXT NOT NULL DEFAULT '[]';
ALTER TABLE intents ADD COLUMN vendor TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE intents ADD COLUMN wrote REAL NOT NULL DEFAULT 0;
ALTER TABLE intents ADD COLUMN boot TEXT;
ALTER TABLE intents ADD COLUMN uptime REAL;
ALTER TABLE intents ADD COLUMN served REAL;
ALTER TABLE intents ADD COLUMN resolver TEXT;
ALTER TABLE intents ADD COLUMN extra INTEGER NOT NULL DEFAULT 0;
UPDATE intents SET resolution = old_resolution(state, note), error_kind = old_error_kind(note),
    remarks = old_remarks(note), wrote = updated;
ALTER TABLE intents DROP COLUMN note;
{_EXTRA_SQL}CREATE TABLE subjects (subject TEXT NOT NULL, intent TEXT NOT NULL, PRIMARY KEY (subject, intent))
    STRICT, WITHOUT ROWID;
CREATE TABLE adopted (identity TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
{_INDEXES}"""

_ERRORS_OF_1 = {
    "ConfigurationError": ErrorKind.CONFIGURATION,
    "InvalidArgument": ErrorKind.INVALID_ARGUMENT,
    "NotSent": ErrorKind.NOT_SENT,
    "ConnectionLost": ErrorKind.CONNECTION_LOST,
    "OutcomeUnknown": ErrorKind.OUTCOME_UNKNOWN,
    "DuplicateIntent": ErrorKind.DUPLICATE_INTENT,
    "JournalUnavailable": ErrorKind.JOURNAL_UNAVAILABLE,
    "DeadlineExceeded": ErrorKind.DEADLINE,
    "MalformedResponse": ErrorKind.MALFORMED_RESPONSE,
    "ResponseTooLarge": ErrorKind.RESPONSE_TOO_LARGE,
    "DecodeError": ErrorKind.DECODE,
    "ApiError": ErrorKind.API,
    "AuthenticationFailed": ErrorKind.AUTHENTICATION,
    "NotFound": ErrorKind.NOT_FOUND,
    "Throttled": ErrorKind.RATE_LIMIT,
    "Rejected": ErrorKind.REJECTED,
}
_CODES_OF_1 = {
    "cancelled before it was sent": ErrorKind.CANCELLED,
    "cancelled by the caller": ErrorKind.CANCELLED,
    "the process ended before the answer was noted": ErrorKind.PROCESS_ENDED,
    "the process ended before it was sent": ErrorKind.PROCESS_ENDED,
}
_FINDINGS_OF_1 = {
    "landed": Resolution.SUCCEEDED,
    "absent": Resolution.ABSENT,
    "undecided": Resolution.UNDECIDED,
}
_FORM_OF_1 = re.compile(r"(\w+)(?: \((\w+)\))?")


def _old_error_kind(note: str | None) -> str | None:
    """Extract what ended a write from a note of format 1: the class of the error, and of its cause."""
    if note in _CODES_OF_1:
        return _CODES_OF_1[note]
    found = _FORM_OF_1.fullmatch(note or "")
    if found is None or found[1] not in _ERRORS_OF_1:
        return None
    cause = _ERRORS_OF_1.get(found[2]) if found[1] == "OutcomeUnknown" else None
    return cause or _ERRORS_OF_1[found[1]]


def _old_resolution(state: str, note: str | None) -> str | None:
    said = _FINDINGS_OF_1.get((note or "").partition(":")[0])
    if state == IntentState.SETTLED_DONE:
        return Resolution.SUCCEEDED
    return Resolution.ABSENT if state == IntentState.SETTLED_ABSENT else said


def _old_remarks(note: str | None) -> str:
    if note is None or _old_error_kind(note) is not None:
        return "[]"
    said, _, why = note.partition(": ")
    return orjson.dumps([why if said in _FINDINGS_OF_1 else note]).decode()


def _upgrade_1(connection: sqlite3.Connection) -> None:
    """Split the note of format 1: what a read showed, what ended the call, and what is for people only."""
    connection.create_function("old_resolution", 2, _old_resolution, deterministic=True)
    connection.create_function("old_error_kind", 1, _old_error_kind, deterministic=True)
    connection.create_function("old_remarks", 1, _old_remarks, deterministic=True)
    for statement in _UPGRADE_1.split(";\n"):
        connection.execute(statement)
    rows = connection.execute(f"SELECT id, operation, natural_key, {OPEN_SQL} FROM intents").fetchall()
    for intent_id, operation, key, is_open in rows:
        for subject in old_subjects(operation, orjson.loads(key), is_open):
            connection.execute("INSERT OR IGNORE INTO subjects VALUES (?, ?)", (subject, intent_id))


def old_subjects(operation: str, key: dict[str, Any], is_open: bool) -> tuple[str, ...]:
    """Add the subjects of a row of format 1.

    Some calls with a key had their payload as key then: while such a write is open it may be about anything,
    so it blocks all writes of its kind.
    """
    endpoint = declared(operation)
    if endpoint is None:
        return ()
    if key.keys() == {PAYLOAD} and endpoint.key:
        return (anything(operation),) if is_open else ()
    return subjects_of(endpoint, key)


def _upgrade_2(connection: sqlite3.Connection) -> None:
    """Upgrade to format 3: each row is checked on reading; writes about anything sort together."""
    connection.execute(
        "UPDATE subjects SET subject = '* ' || substr(subject, 1, length(subject) - 2)"
        " WHERE subject LIKE '% *'"
    )
    connection.execute(_PRUNED)
    FILE_FORMAT.add_checksums(connection)


def _upgrade_3(connection: sqlite3.Connection) -> None:
    """Upgrade to format 4, whose index uses the same condition for open intents as the queries."""
    for index in ("one_open_per_key", "open_by_session", "by_result"):
        connection.execute(f"DROP INDEX {index}")
    for statement in _INDEXES.strip().split(";\n"):
        connection.execute(statement)


FILE_FORMAT = FileFormat(
    name="journal",
    application_id=0x50506A6E,  # "PPjn"
    number=4,
    schema=_SCHEMA,
    first_table="intents",
    upgrades={1: _upgrade_1, 2: _upgrade_2, 3: _upgrade_3},
    error=JournalUnavailableError,
    empty_is_damage=True,  # a journal is created completely, so only damage leaves an empty one
    checked={
        "intents": COLUMNS,
        "identity": ("id", "mark"),
        "subjects": ("subject", "intent"),
        "adopted": ("identity",),
    },
    if_damaged="run `pandapon journal check {path}` to see what can be done",
    page_size=2048,  # keys are scattered, so half the page size halves what a commit writes
)
