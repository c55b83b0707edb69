"""The format of a plan's file, and the upgrades from earlier formats."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Final

import attrs
import orjson

from pandapon_async.core.vendor import vendor_id
from pandapon_async.errors import ConfigurationError, ErrorKind
from pandapon_async.journal import Resolution
from pandapon_async.plans.rows import PlanRow
from pandapon_async.storage.sqlite_file import FileFormat

__all__ = ["COLUMNS", "FORMAT", "JSON_COLUMNS"]

COLUMNS: Final = tuple(field.name for field in attrs.fields(PlanRow))
JSON_COLUMNS: Final = frozenset(field.name for field in attrs.fields(PlanRow) if field.metadata.get("json"))

_ROWS_INDEXES = """
CREATE UNIQUE INDEX one_row_per_key ON rows (key) WHERE key IS NOT NULL AND state <> 'refused';
CREATE INDEX by_state ON rows (state, row);
"""
_SCHEMA = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE rows (row INTEGER PRIMARY KEY, {", ".join(COLUMNS[1:])}, checksum INTEGER);
{_ROWS_INDEXES.strip()}
CREATE TABLE touched (name TEXT PRIMARY KEY, row INTEGER NOT NULL, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE pictures (digest TEXT PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL, url TEXT,
                       error TEXT, checksum INTEGER) WITHOUT ROWID;
CREATE TABLE used (row INTEGER NOT NULL, digest TEXT NOT NULL, checksum INTEGER,
                   PRIMARY KEY (digest, row)) WITHOUT ROWID;
"""
_COLUMNS_2 = COLUMNS
"""The columns of format 2; never change this list when you add a column."""


def _upgrade_1(connection: sqlite3.Connection) -> None:
    """Upgrade from format 1, which kept remarks and reads in `note`, and kind and code in `error`."""
    connection.execute("UPDATE facts SET name = 'applied_by' WHERE name = 'holder'")
    (base_url,) = connection.execute("SELECT value FROM facts WHERE name = 'base_url'").fetchone()
    vendor = orjson.dumps(vendor_id(orjson.loads(base_url))).decode()
    connection.execute("INSERT INTO facts VALUES ('vendor', ?)", (vendor,))
    connection.execute("ALTER TABLE rows RENAME TO rows_1")
    connection.execute("DROP INDEX one_row_per_key")
    connection.execute("DROP INDEX by_state")
    connection.execute(f"CREATE TABLE rows (row INTEGER PRIMARY KEY, {', '.join(_COLUMNS_2[1:])})")
    for statement in _ROWS_INDEXES.strip().split(";\n"):
        connection.execute(statement)
    kept = ", ".join(name for name in _COLUMNS_2 if name not in _NEW_IN_2)
    connection.execute(
        f"INSERT INTO rows ({kept}, vendor_message, remarks, uncertain)"
        f" SELECT {kept}, words, '[]', 0 FROM rows_1"
    )
    found = connection.execute("SELECT row, note, error FROM rows_1 WHERE coalesce(note, error) IS NOT NULL")
    for row, note, error in found.fetchall():
        connection.execute(
            "UPDATE rows SET remarks = ?, resolution = ?, resolution_note = ?, error_kind = ?, error_code = ?"
            " WHERE row = ?",
            (*_split_note(note or ""), *_split_error(error or ""), row),
        )
    connection.execute("DROP TABLE rows_1")


_NEW_IN_2 = frozenset(
    {"remarks", "resolution", "resolution_note", "error_kind", "error_code", "vendor_message", "uncertain"}
)
_LOOKS_1: Mapping[str, Resolution] = {
    "landed": Resolution.SUCCEEDED,
    "absent": Resolution.ABSENT,
    "undecided": Resolution.UNDECIDED,
}
_ERRORS_1: Mapping[str, ErrorKind] = {
    "NotSent": ErrorKind.NOT_SENT,
    "ConnectionLost": ErrorKind.CONNECTION_LOST,
    "OutcomeUnknown": ErrorKind.OUTCOME_UNKNOWN,
    "DuplicateIntent": ErrorKind.DUPLICATE_INTENT,
    "JournalUnavailable": ErrorKind.JOURNAL_UNAVAILABLE,
    "DeadlineExceeded": ErrorKind.DEADLINE,
    "MalformedResponse": ErrorKind.MALFORMED_RESPONSE,
    "ResponseTooLarge": ErrorKind.RESPONSE_TOO_LARGE,
    "DecodeError": ErrorKind.DECODE,
    "AuthenticationFailed": ErrorKind.AUTHENTICATION,
    "NotFound": ErrorKind.NOT_FOUND,
    "Throttled": ErrorKind.RATE_LIMIT,
    "Rejected": ErrorKind.REJECTED,
    "ApiError": ErrorKind.API,
    "InvalidArgument": ErrorKind.INVALID_ARGUMENT,
    "ConfigurationError": ErrorKind.CONFIGURATION,
    "cancelled": ErrorKind.CANCELLED,
    "the": ErrorKind.PROCESS_ENDED,
}
"""The first word of `error` in format 1: the name of a class of that time, or the begin of a sentence."""


def _split_note(note: str) -> tuple[str, str | None, str | None]:
    """Return the remarks as JSON, the resolution and its note."""
    look, colon, rest = note.partition(": ")
    if colon and look in _LOOKS_1:
        return "[]", _LOOKS_1[look].value, rest
    if look == "could not be found out":
        return "[]", None, f"could not be looked up ({_ERRORS_1.get(rest, ErrorKind.OTHER)})"
    return orjson.dumps([part for part in note.split("; ") if part]).decode(), None, None


def _split_error(error: str) -> tuple[str | None, str | None]:
    """Return the kind of the error and the vendor's code."""
    name, _, rest = error.partition(" ")
    kind = _ERRORS_1.get(name)
    if kind is None:  # nothing, or a read's result, which `note` has too
        return None, None
    if kind is ErrorKind.OUTCOME_UNKNOWN and rest:
        return _ERRORS_1.get(rest.strip("()"), kind).value, None
    return kind.value, rest if rest and name[0].isupper() else None


def _upgrade_2(connection: sqlite3.Connection) -> None:
    """Upgrade to format 3, which checks each row on reading."""
    FORMAT.add_checksums(connection)


FORMAT: Final = FileFormat(
    name="plan",
    application_id=0x5050706C,  # "PPpl"
    number=3,
    schema=_SCHEMA,
    upgrades={1: _upgrade_1, 2: _upgrade_2},
    error=ConfigurationError,
    empty_is_damage=True,
    checked={
        "facts": ("name", "value"),
        "rows": COLUMNS,
        "touched": ("name", "row"),
        "pictures": ("digest", "path", "size", "url", "error"),
        "used": ("row", "digest"),
    },
    if_damaged="it is not used. Create the plan again from its table: the journal knows what was sent",
)
