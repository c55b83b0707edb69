"""Journals of earlier versions: one per access key then, one per vendor now.

An earlier version named the automatic file, and the writer of each row, by a hash of host, key and
sub-account. If that is the hash of the present client, its file goes into the present journal by itself. Of
any other file nobody can say whose it is, and an application in it may be open for an order line of today. So
it stops the first write, until somebody has said who wrote it.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
from filelock import FileLock, Timeout

from pandapon_async.errors import JournalUnavailableError
from pandapon_async.journal.file_format import FILE_FORMAT
from pandapon_async.journal.identity import Writer
from pandapon_async.journal.store import JournalStore, Reading
from pandapon_async.storage.damage import FILE_ERRORS

__all__ = ["AutomaticFiles", "EarlierFiles", "adopt_file", "salvage_file"]

_NAME = re.compile(r"journal-([0-9a-f]{16})\.sqlite")


@attrs.frozen
class EarlierFiles:
    """The automatic journals of earlier versions in a folder, as one writer sees them."""

    folder: Path
    writer: Writer

    def files(self) -> list[Path]:
        """The files that are there. Blocks."""
        return [file for file in sorted(self.folder.glob("journal-*.sqlite")) if _NAME.fullmatch(file.name)]

    def adopt(self, store: JournalStore, now: Reading) -> list[Path]:
        """Take the writer's own file into the journal; gives the files of others. Blocks."""
        others = self.files()
        for file in others[:]:
            if file.name == f"journal-{self.writer.legacy}.sqlite":
                adopt_file(store, file, self.writer, now)
                others.remove(file)
        return others


@attrs.frozen
class AutomaticFiles:
    """The automatic journal of this machine, and those of earlier versions beside it."""

    file: Path
    earlier: EarlierFiles

    def adopt(self, store: JournalStore, now: Reading) -> list[Path]:
        """Take them into another journal; gives those of which nobody knows the writer. Blocks."""
        if self.file.is_file():
            adopt_file(store, self.file, self.earlier.writer, now)
        return self.earlier.adopt(store, now)


def adopt_file(store: JournalStore, file: Path, writer: Writer, now: Reading) -> int:
    """Take the rows of another journal's file into this one, as those of a writer; gives how many. Blocks.

    Rows whose writer the file knows stay theirs. The file is renamed, so that it is taken once. If that is
    interrupted it is taken once more, and rows that are there already stay as they are.
    """
    with _unused(file):
        other = JournalStore(str(file))
        try:
            other.begin(durable=True)
            for session in other.sessions():
                other.close_abandoned(session, now)
            other.assign_all(writer)
            other.commit()
            store.begin(durable=True)
            taken = store.take(other)
            store.commit()
        except FILE_ERRORS as error:
            raise other.unavailable(error) from error
        finally:
            other.rollback()
            store.rollback()
            other.close()
        file.rename(file.with_name(f"{file.name}.adopted"))
    return taken


def salvage_file(store: JournalStore, file: Path) -> tuple[int, bool]:
    """Take over the sound rows of a damaged journal; gives how many, and whether there was more. Blocks.

    The file stays as it is. Rows that are there already stay, too.
    """
    with _unused(file), FILE_FORMAT.reading(file) as (damaged, number):
        if number != FILE_FORMAT.number:
            raise JournalUnavailableError(
                f"{file} has format {number}, whose rows have no checksums: none of them can be believed"
            )
        store.begin(durable=True)
        try:
            taken, more = store.salvage(damaged)
            store.commit()
        finally:
            store.rollback()
        return taken, more or damaged.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",)


@contextlib.contextmanager
def _unused(file: Path) -> Iterator[None]:
    """Hold the locks that programs hold while they have the file open, or raise."""
    with contextlib.ExitStack() as held:
        for name in sorted(file.parent.glob(f"{file.name}.*.lock")):
            lock = FileLock(name)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                raise JournalUnavailableError(
                    f"the journal {file} is in use by a program of an earlier version: end that first; "
                    "nothing was sent"
                ) from None
            held.callback(_release, lock)
        yield


def _release(lock: FileLock) -> None:
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
