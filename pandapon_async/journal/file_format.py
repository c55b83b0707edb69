"""What a journal's file looks like, and how the files of earlier versions are brought up to it.

An intent is *open* while its outcome can still be anything: `intended`, `sent`, `unknown`. The file itself
allows one open intent per natural key, so two processes cannot both file the same refund. Amounts, ids and
waybills are kept, as they are needed to find out what became of a write; free text and addresses are not,
only their digest.
"""

from __future__ import annotations

import re
import sqlite3
import uuid

import orjson

from pandapon_async.errors import ErrorKind, JournalUnavailableError
from pandapon_async.journal.intent import OPEN, IntentState, Resolution
from pandapon_async.storage.sqlite_file import FileFormat

__all__ = ["FILE_FORMAT", "OPEN_SQL"]


def _listed(states: tuple[IntentState, ...]) -> str:
    return ", ".join(f"'{state}'" for state in states)


OPEN_SQL = f"state IN ({_listed(OPEN)})"

# One index for both: an open intent per key (of ended ones the last column is null, and so no two are alike),
# and all intents of a key. Each index more costs a write a tenth.
_INDEXES = f"""
CREATE UNIQUE INDEX IF NOT EXISTS one_open_per_key ON intents
    (account, operation, natural_key, (CASE WHEN {OPEN_SQL} THEN 1 END));
CREATE INDEX IF NOT EXISTS open_by_session ON intents (session) WHERE {OPEN_SQL};
"""
_SCHEMA = f"""
CREATE TABLE identity (only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL) STRICT;
INSERT INTO identity VALUES (1, lower(hex(randomblob(16))));
CREATE TABLE intents (
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
    resolution TEXT,
    error_kind TEXT,
    remarks TEXT NOT NULL DEFAULT '[]'
) STRICT;
{_INDEXES}"""

_UPGRADE_1 = f"""
CREATE TABLE IF NOT EXISTS identity (only INTEGER PRIMARY KEY CHECK (only = 1), id TEXT NOT NULL) STRICT;
DROP INDEX IF EXISTS one_open_intent;
DROP INDEX IF EXISTS by_key;
DROP INDEX IF EXISTS by_state;
ALTER TABLE intents ADD COLUMN resolution TEXT;
ALTER TABLE intents ADD COLUMN error_kind TEXT;
ALTER TABLE intents ADD COLUMN remarks TEXT NOT NULL DEFAULT '[]';
UPDATE intents SET resolution = old_resolution(state, note), error_kind = old_error_kind(note),
    remarks = old_remarks(note);
ALTER TABLE intents DROP COLUMN note;
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
    """What ended a write, out of a note of format 1: the class of the error, and of its cause."""
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
    """Of the one note of format 1: what a look showed, what ended the call, and what is only for people."""
    connection.create_function("old_resolution", 2, _old_resolution, deterministic=True)
    connection.create_function("old_error_kind", 1, _old_error_kind, deterministic=True)
    connection.create_function("old_remarks", 1, _old_remarks, deterministic=True)
    for statement in _UPGRADE_1.split(";\n"):
        connection.execute(statement)
    connection.execute("INSERT OR IGNORE INTO identity VALUES (1, ?)", (uuid.uuid4().hex,))


FILE_FORMAT = FileFormat(
    name="journal",
    application_id=0x50506A6E,  # "PPjn"
    number=2,
    schema=_SCHEMA,
    first_table="intents",
    upgrades={1: _upgrade_1},
    error=JournalUnavailableError,
    page_size=2048,  # keys lie scattered, and half the page is half of what a commit writes
)
