"""Damaged files: SQLite's errors in our words, and checksums that find what SQLite does not check.

SQLite checks the structure of its pages, not their content: it reads a changed amount or state like the
original. So each row ends with a checksum of its values.
"""

from __future__ import annotations

import errno
import sqlite3
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import msgspec

__all__ = [
    "FILE_ERRORS",
    "DamagedRowError",
    "Examination",
    "JournalModeError",
    "StoreLostError",
    "checksum",
    "damaged_rows",
    "is_damage",
    "is_full",
    "is_misplaced",
    "reason_of",
    "with_checksum",
]

FILE_ERRORS: Final = (sqlite3.Error, UnicodeDecodeError)
"""The errors of `sqlite3` about a file. Decoding an error text that quotes the damage may fail as well."""

_REASONS: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_BUSY: "another process has locked it",
    sqlite3.SQLITE_LOCKED: "another process has locked it",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_ERROR: "the file is damaged, or was changed by another program",
    sqlite3.SQLITE_READONLY: "no permission to write it",
    sqlite3.SQLITE_PERM: "no permission to use it",
    sqlite3.SQLITE_CANTOPEN: "no permission, or the folder does not exist",
    sqlite3.SQLITE_IOERR: "the disk reported an error",
}


def reason_of(error: sqlite3.Error | UnicodeDecodeError) -> str:
    """Return the reason of an SQLite error in our words."""
    if isinstance(error, DamagedRowError):
        return "the file is damaged: a row of it was changed"
    if isinstance(error, StoreLostError):
        return str(error)
    if isinstance(error, JournalModeError):
        return "its file system does not support SQLite's write-ahead log; put the file on a local disk"
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        damaged = isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError)
        return "the file is damaged" if damaged else type(error).__name__
    return _REASONS.get(code & 0xFF) or f"SQLite reports error {code}"


def is_damage(error: BaseException | None) -> bool:
    """Whether the content of a file is the cause of an error: SQLite's, or ours raised from it."""
    if isinstance(error, JournalModeError):
        return False
    if isinstance(error, UnicodeDecodeError):
        return True
    if not isinstance(error, sqlite3.DatabaseError):
        return error is not None and error.__cause__ is not None and is_damage(error.__cause__)
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT)
    return code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def is_full(error: OSError) -> bool:
    """Whether the disk, the quota, or what a file may hold, is used up."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_misplaced(error: BaseException | None) -> bool:
    """Whether a path is to blame for an error, or for what it was raised for: no such folder, a link, no
    permission. Nothing of a disk that is full or broken, or of a file that is damaged or in use."""
    if isinstance(error, OSError):
        return error.filename is not None and not is_full(error) and error.errno != errno.EIO
    if not isinstance(error, sqlite3.DatabaseError):
        return error is not None and is_misplaced(error.__cause__)
    places = (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY)
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in places


def _plain(value: Any) -> Any:
    """Convert a value of our own types for SQLite: amounts become numbers."""
    return int(value) if isinstance(value, int) else str(value)


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_plain).encode


def checksum(values: Sequence[Any]) -> int:
    """Return the checksum of a row's values, stored in the row and compared at each read.

    MessagePack has a distinct form for each value: 1 is not "1", None is not "".
    """
    return zlib.crc32(_encode(values))


def with_checksum(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Append the checksum to a row's values, as `SqliteStore.checked` expects it."""
    if bool in map(type, values):  # SQLite has none: they come back as 0 and 1
        values = tuple([int(value) if value.__class__ is bool else value for value in values])
    return (*values, checksum(values))


class DamagedRowError(sqlite3.DatabaseError):
    """A row was changed after it was written."""


class StoreLostError(sqlite3.InterfaceError):
    """The server or file of a store cannot be reached; the text says why, in our words."""


class JournalModeError(sqlite3.NotSupportedError):
    """The file system does not support what a file needs."""


@attrs.frozen
class Examination:
    """The result of checking a whole file."""

    number: int
    """The format of the file; rows of an earlier format have no checksums."""
    faults: int
    """Errors in pages and indexes, at most 100."""
    damaged: Mapping[str, list[str]]
    """The changed rows of each table, by their first value; "..." if the rest cannot be read."""

    @property
    def sound(self) -> bool:
        """Whether the check found nothing."""
        return not self.faults and not self.damaged


def damaged_rows(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> list[str]:
    """Return the changed rows of a table by their first value; "..." if the rest cannot be read."""
    found: list[str] = []
    try:
        for *values, kept in connection.execute(f"SELECT {', '.join(columns)}, checksum FROM {table}"):
            if checksum(values) != kept:
                found.append(str(values[0]))
    except FILE_ERRORS:
        found.append("...")
    return found
