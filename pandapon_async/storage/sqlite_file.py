"""The common base of the SQLite files: journal, callbacks, run state and plan.

All stores share the rules about the kind of a file, its version, locks and permissions. A store declares its
format once and derives from `SqliteStore`:

    FORMAT = FileFormat(
        name="journal", application_id=0x50506A6E, number=2, schema=_SCHEMA, first_table="intents",
        upgrades={1: _upgrade_1}, error=JournalUnavailableError,
    )

    class JournalStore(SqliteStore):
        def __init__(self, path: str) -> None:
            super().__init__(path, FORMAT, FORMAT.open(path))

A file is created completely under another name and then linked into place, readable by its owner only. So no
process sees half a file, and if several processes create it at once, one wins. It has an application id (its
kind) and a format number. One function per step upgrades an older format, all steps in one transaction; a
newer format is refused. `first_table` identifies files from before there were application ids. Every error is
raised as the format's own class, in our words.
"""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import shlex
import sqlite3
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from pandapon_async.core.database_url import is_database_address
from pandapon_async.storage import IN_MEMORY
from pandapon_async.storage.damage import (
    FILE_ERRORS,
    DamagedRowError,
    Examination,
    JournalModeError,
    checksum,
    damaged_rows,
    is_damage,
    reason_of,
)
from pandapon_async.storage.files import sync_folder

__all__ = [
    "PATIENCE",
    "FileFormat",
    "SqliteStore",
    "link_into_place",
    "set_journal_mode",
]

PATIENCE = 10.0
"""Seconds that a change waits for another process to finish its own."""
STALE_SECONDS = 86_400.0
"""Seconds; the draft of a killed process is removed when it is older."""


Upgrade = Callable[[sqlite3.Connection], object]


@attrs.frozen(kw_only=True)
class FileFormat:
    """The format of a store's files: how they are created, opened and upgraded."""

    name: str
    """The name of the file in messages, such as "journal"."""
    application_id: int
    number: int
    """The number of the format that this version writes."""
    schema: str
    """The statements that create an empty file, separated by semicolons at the end of a line."""
    error: Callable[[str], Exception]
    """Makes the error to raise from a message."""
    first_table: str | None = None
    """A table that identifies files without an application id."""
    upgrades: Mapping[int, Upgrade] = attrs.field(factory=dict)
    """For each older format, the function that upgrades to the next one, within a transaction."""
    page_size: int | None = None
    empty_is_damage: bool = False
    """Whether a file of 0 bytes is refused. Otherwise it becomes a new file."""
    checked: Mapping[str, Sequence[str]] = attrs.field(factory=dict)
    """The tables whose rows end with the checksum of these columns."""
    if_damaged: str = ""
    """The advice for a damaged file; {path} stands for its name."""

    def open(
        self,
        path: str | os.PathLike[str],
        *,
        patience: float | None = None,
        exclusive: bool = False,
        write_ahead: bool = True,
        must_exist: bool = False,
    ) -> sqlite3.Connection:
        """Open a file of this format, upgrade it if necessary, and create it if it is missing.

        Args:
            path: The file, or ":memory:".
            patience: Seconds to wait while another process has locked it; default 10.
            exclusive: Whether to keep other processes out until the connection is closed.
            write_ahead: Whether to use the write-ahead log, so that a commit is one append.
            must_exist: Whether to raise instead of creating it.

        Raises the format's `error`, with the path and the reason.
        """
        patience = PATIENCE if patience is None else patience
        with self.failing(path, "opened"):
            if str(path) != IN_MEMORY:
                self._find_or_make(Path(path), must_exist)
            connection = _connect(path, patience)
            try:
                if exclusive:
                    connection.execute("PRAGMA locking_mode = EXCLUSIVE")
                version = self._version(connection, path)
                if write_ahead:
                    _write_ahead(connection, patience)
                if exclusive or version != self.number:
                    self._bring_up(connection, path, "EXCLUSIVE" if exclusive else "IMMEDIATE")
            except BaseException:
                connection.close()
                raise
            return connection

    def made(self, path: Path) -> bool:
        """Whether a file has the application id of this format."""
        with contextlib.suppress(OSError), path.open("rb") as file:
            return file.read(72)[68:] == self.application_id.to_bytes(4, "big")
        return False

    @contextlib.contextmanager
    def reading(self, path: str | os.PathLike[str]) -> Iterator[tuple[sqlite3.Connection, int]]:
        """Open a file without changing, checking or upgrading it; return it with its format number.

        Raises the format's `error` for a file that is not of this format or cannot be read at all.
        """
        with self.failing(path, "read"):
            self._find_or_make(Path(path), must_exist=True)
            where = f"{Path(path).absolute().as_uri()}?mode=ro"
            connection = sqlite3.connect(where, uri=True, timeout=PATIENCE, check_same_thread=False)
            with contextlib.closing(connection):
                yield connection, self._version(connection, path)

    def examine(self, path: str | os.PathLike[str]) -> Examination:
        """Check a whole file without changing it, even one that is too damaged to open.

        Raises the same errors as `reading`.
        """
        with self.reading(path) as (connection, number):
            answers = connection.execute("PRAGMA integrity_check(100)").fetchall()
            tables = self.checked if number == self.number else {}
            damaged = {table: damaged_rows(connection, table, tables[table]) for table in tables}
        faults = 0 if answers == [("ok",)] else len(answers)
        return Examination(number, faults, {table: rows for table, rows in damaged.items() if rows})

    def create(self, path: str | os.PathLike[str]) -> sqlite3.Connection:
        """Create a new file for one process to fill fast, before it is linked into place.

        Its content does not survive a crash until the caller sets `journal_mode` and `synchronous`.
        """
        with self.failing(path, "made"):
            _make_private(Path(path))
            connection = _connect(path, PATIENCE)
            try:
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                self._fill(connection)
            except BaseException:
                connection.close()
                raise
            return connection

    def add_checksums(self, connection: sqlite3.Connection, tables: Collection[str] | None = None) -> None:
        """For an upgrade: give the rows of checked tables their checksum; of all, or of those that exist."""
        _add_function(connection)
        for table in self.checked if tables is None else tables:
            columns = self.checked[table]
            connection.execute(f"ALTER TABLE {table} ADD COLUMN checksum INTEGER")
            connection.execute(f"UPDATE {table} SET checksum = checksum({', '.join(columns)})")

    def unusable(
        self, path: str | os.PathLike[str], doing: str, reason: str, *, damaged: bool = False
    ) -> Exception:
        """Return the error: what failed, why, and what helps if the file is damaged."""
        text = f"the {self.name} {path} cannot be {doing}: {reason}"
        if damaged and self.if_damaged:
            text += f"; {self.if_damaged.format(path=shlex.quote(str(path)))}"
        return self.error(text)

    @contextlib.contextmanager
    def failing(self, path: str | os.PathLike[str], doing: str) -> Iterator[None]:
        """Convert failures with the file to this format's error. `doing` is a participle: "read"."""
        try:
            yield
        except FILE_ERRORS as error:
            raise self.unusable(path, doing, reason_of(error), damaged=is_damage(error)) from error
        except OSError as error:
            raise self.unusable(path, doing, error.strerror or type(error).__name__) from error

    def _find_or_make(self, path: Path, must_exist: bool) -> None:
        if is_database_address(path):
            raise self.error(
                f"the {self.name} must be a file here, not the address of a database; --shared or "
                "PANDAPON_SHARED names the shared database"
            )
        if path.is_file():
            if self.empty_is_damage and path.stat().st_size == 0:
                empty = sqlite3.DatabaseError("empty")  # makes `is_damage` recognise it
                why = "the file is damaged: it is empty"
                raise self.unusable(path, "opened", why, damaged=True) from empty
            return
        if path.is_symlink():
            why = "it is a link to a file that does not exist; remove the link"
            raise self.unusable(path, "opened", why) from _not_there(path)
        if must_exist:
            raise self.unusable(path, "opened", "the file does not exist") from _not_there(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._make(path)

    def _make(self, path: Path) -> None:
        """Create the complete file under another name and link it, unless another process was faster."""
        _clear_away(path)
        draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.new")
        try:
            _make_private(draft)
            connection = _connect(draft, PATIENCE)
            try:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("BEGIN")
                self._fill(connection)
                connection.execute("COMMIT")
                set_journal_mode(connection, "WAL")
            finally:
                connection.close()
            with contextlib.suppress(FileExistsError):
                link_into_place(draft, path)
        finally:
            draft.unlink(missing_ok=True)

    def _fill(self, connection: sqlite3.Connection) -> None:
        _add_function(connection)
        if self.page_size is not None:
            connection.execute(f"PRAGMA page_size = {self.page_size}")
        for statement in self.schema.split(";\n"):
            connection.execute(statement)
        self._mark(connection)

    def _mark(self, connection: sqlite3.Connection) -> None:
        connection.execute(f"PRAGMA application_id = {self.application_id}")
        connection.execute(f"PRAGMA user_version = {self.number}")

    def _version(self, connection: sqlite3.Connection, path: str | os.PathLike[str]) -> int:
        """Return the format of the file; 0 if it is empty. Raises for a file that is not ours."""
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        rows = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        tables = {name for (name,) in rows}
        if owner == 0 and not tables:
            return 0
        if owner != self.application_id and (owner != 0 or self.first_table not in tables):
            raise self.error(f"{path} is not a {self.name} but another kind of database; choose another file")
        if version > self.number:
            raise self.error(
                f"the {self.name} {path} has format {version}; this version of pandapon-async reads up to "
                f"format {self.number}: update pandapon-async, or choose another file"
            )
        if any(step not in self.upgrades for step in range(version, self.number)):
            raise self.error(
                f"the {self.name} {path} has format {version}, which this version of pandapon-async no "
                "longer reads; finish it with the version that wrote it, or choose another file"
            )
        return int(version)

    def _bring_up(self, connection: sqlite3.Connection, path: str | os.PathLike[str], lock: str) -> None:
        """Fill an empty file or upgrade an older one; another process may have been faster."""
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"BEGIN {lock}")
        try:
            version = self._version(connection, path)
            if version == 0:
                self._fill(connection)
            elif version != self.number:
                for step in range(version, self.number):
                    self.upgrades[step](connection)
                self._mark(connection)
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")


def _not_there(path: Path) -> OSError:
    """What `is_misplaced` knows it by."""
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


class SqliteStore:
    """An open file with the methods that all stores share. All block; one thread at a time may use it."""

    def __init__(
        self, path: str | os.PathLike[str], file_format: FileFormat, connection: sqlite3.Connection
    ) -> None:
        self.path: str = str(path)
        self._format = file_format
        self._connection = connection
        self._durable: bool | None = None

    def begin(self, *, durable: bool) -> None:
        """Begin a group of changes. With `durable` its commit survives a power cut, not only a kill."""
        # The level is set per transaction: a write that is sent must be flushed, one that is not need not be.
        if durable is not self._durable:
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._durable = durable
        self._connection.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit the group."""
        self._connection.execute("COMMIT")

    def rollback(self) -> None:
        """Roll back the group, if there is one."""
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """Run all statements inside, or none."""
        self._connection.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    def check(self, *, thorough: bool) -> None:
        """Check the file page by page; with `thorough` also indexes and checksums.

        Raises sqlite3.DatabaseError if it is damaged.
        """
        kind = "integrity_check" if thorough else "quick_check"
        (found,) = self._connection.execute(f"PRAGMA {kind}(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(found)
        if thorough:
            for _, values in self.all_checked():
                self.checked(values)

    def all_checked(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Iterate over all rows of the checked tables, each with its table's name and its checksum."""
        for table, columns in self._format.checked.items():
            query = f"SELECT {', '.join(columns)}, checksum FROM {table}"
            for values in self._connection.execute(query):
                yield table, values

    def checked(self, values: tuple[Any, ...]) -> tuple[Any, ...]:
        """Check a row and return it without its checksum. Raises DamagedRowError if it was changed."""
        if checksum(values[:-1]) != values[-1]:
            raise DamagedRowError(f"{self.path}: {values[0]}")
        return values[:-1]

    def unavailable(self, error: sqlite3.Error | UnicodeDecodeError) -> Exception:
        """Return the error to raise when the file cannot be used."""
        return self._format.unusable(self.path, "used", reason_of(error), damaged=is_damage(error))

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._connection.close()


def link_into_place(draft: Path, path: Path) -> None:
    """Give a complete file its name, also on disk. Raises FileExistsError if the name is taken."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except (
        OSError
    ):  # a file system without hard links: claim the name first, because a rename would replace a file
        _make_private(path)
        draft.replace(path)
    sync_folder(path.parent)


def _add_function(connection: sqlite3.Connection) -> None:
    connection.create_function("checksum", -1, lambda *values: checksum(values), deterministic=True)


def _connect(path: str | os.PathLike[str], patience: float) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=patience, check_same_thread=False)


def set_journal_mode(connection: sqlite3.Connection, mode: str) -> None:
    """Change how commits reach the disk. If SQLite cannot, it does not fail but returns the old mode."""
    (answer,) = connection.execute(f"PRAGMA journal_mode = {mode}").fetchone()
    if answer not in (mode.lower(), "memory"):
        raise JournalModeError(answer)


def _write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Switch to the write-ahead log; retry, because SQLite fails if several processes switch at once."""
    end = time.monotonic() + patience
    while True:
        try:
            set_journal_mode(connection, "WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() >= end:
                raise
            time.sleep(0.005)


def _make_private(path: Path) -> None:
    """Create the file for its owner only, before SQLite does; SQLite's other files copy its mode."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))


def _clear_away(path: Path) -> None:
    """Remove the drafts of processes that were killed while creating the file."""
    for draft in path.parent.glob(f".{glob.escape(path.name)}.*.new*"):
        with contextlib.suppress(OSError):
            if draft.stat().st_mtime < time.time() - STALE_SECONDS:
                draft.unlink()
