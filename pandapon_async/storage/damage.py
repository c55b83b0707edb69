"""Damage: what SQLite says of it in our words, and the checksums that find what SQLite does not see.

SQLite checks the shape of its pages, and not what stands in them: a changed amount or state is read as if it
had always been there. So each row ends with a checksum of its values.
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
"""What `sqlite3` raises about a file. It decodes what SQLite says, which may quote the damage."""

_REASONS: Final[Mapping[int, str]] = {
    sqlite3.SQLITE_BUSY: "another process has it locked",
    sqlite3.SQLITE_LOCKED: "another process has it locked",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_NOTADB: "it is not a SQLite database",
    sqlite3.SQLITE_CORRUPT: "the file is damaged",
    sqlite3.SQLITE_ERROR: "the file is damaged, or was changed by another program",
    sqlite3.SQLITE_READONLY: "there is no permission to write it",
    sqlite3.SQLITE_PERM: "there is no permission to use it",
    sqlite3.SQLITE_CANTOPEN: "there is no permission, or no such folder",
    sqlite3.SQLITE_IOERR: "the disk reports an error",
}


def reason_of(error: sqlite3.Error | UnicodeDecodeError) -> str:
    """Why SQLite could not do it, in our words."""
    if isinstance(error, DamagedRowError):
        return "the file is damaged: a row of it was changed"
    if isinstance(error, StoreLostError):
        return str(error)
    if isinstance(error, JournalModeError):
        return "its file system does not take SQLite's write-ahead log; put it on a local disk"
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        damaged = isinstance(error, sqlite3.DatabaseError | UnicodeDecodeError)
        return "the file is damaged" if damaged else type(error).__name__
    return _REASONS.get(code & 0xFF) or f"SQLite reports error {code}"


def is_damage(error: BaseException | None) -> bool:
    """Whether a file's content is to blame: for an error of SQLite, or one of ours that was raised for it."""
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
    """What SQLite makes of an instance of our own types: amounts are numbers."""
    return int(value) if isinstance(value, int) else str(value)


_encode: Final = msgspec.msgpack.Encoder(enc_hook=_plain).encode


def checksum(values: Sequence[Any]) -> int:
    """What a row's values come to, to be kept in the row and compared at each reading.

    MessagePack has one form for each value: 1 is not "1", nothing is not "".
    """
    return zlib.crc32(_encode(values))


def with_checksum(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A row's values with their checksum behind them, as `SqliteStore.checked` wants them back."""
    if bool in map(type, values):  # SQLite has none: they come back as 0 and 1
        values = tuple([int(value) if value.__class__ is bool else value for value in values])
    return (*values, checksum(values))


class DamagedRowError(sqlite3.DatabaseError):
    """A row is not as it was written."""


class StoreLostError(sqlite3.InterfaceError):
    """What a store stands on cannot be reached; the text says why, in our words."""


class JournalModeError(sqlite3.NotSupportedError):
    """The file system cannot keep a file as it has to be kept."""


@attrs.frozen
class Examination:
    """What a look through a whole file found."""

    number: int
    """The file's format; rows of an earlier one than the present have no checksums."""
    faults: int
    """Faults of pages and indexes, up to 100."""
    damaged: Mapping[str, list[str]]
    """For each table the rows that were changed, by their first value; "..." where it cannot be read on."""

    @property
    def sound(self) -> bool:
        """Whether nothing was found."""
        return not self.faults and not self.damaged


def damaged_rows(connection: sqlite3.Connection, table: str, columns: Sequence[str]) -> list[str]:
    """The rows of a table that were changed, by their first value; "..." where it cannot be read on."""
    found: list[str] = []
    try:
        for *values, kept in connection.execute(f"SELECT {', '.join(columns)}, checksum FROM {table}"):
            if checksum(values) != kept:
                found.append(str(values[0]))
    except FILE_ERRORS:
        found.append("...")
    return found
