"""Adopt journals of earlier versions, which had one per access key instead of one per vendor.

An earlier version named the automatic file and the writer of each row by a hash of host, key and sub-account.
A file with this client's hash is adopted automatically. The writer of any other file is not known, and it may
have an open application for an order line of today. So such a file blocks the first write until an operator
names its writer.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from pandapon_async.errors import JournalUnavailableError
from pandapon_async.journal.file_format import FILE_FORMAT
from pandapon_async.journal.identity import Writer
from pandapon_async.journal.store import JournalStore, Reading
from pandapon_async.storage.damage import FILE_ERRORS

__all__ = ["adopt_file", "salvage_file"]


def adopt_file(store: JournalStore, file: Path, writer: Writer, now: Reading) -> int:
    """Copy the rows of another journal into this one for a writer; return their number. Blocks.

    Rows with a known writer keep it. The file is then renamed, so it is adopted only once. After an
    interruption it is adopted again, and rows that are already present stay unchanged.
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
    """Copy the sound rows of a damaged journal; return their number and whether rows were lost. Blocks.

    The file stays unchanged. Rows that are already present stay, too.
    """
    with _unused(file), FILE_FORMAT.reading(file) as (damaged, number):
        if number != FILE_FORMAT.number:
            raise JournalUnavailableError(
                f"{file} has format {number}, whose rows have no checksums, so none of them can be trusted"
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
    """Take the locks that programs hold while the file is open, or raise."""
    with contextlib.ExitStack() as held:
        for name in sorted(file.parent.glob(f"{file.name}.*.lock")):
            lock = FileLock(name)
            try:
                lock.acquire(blocking=False)
            except Timeout:
                raise JournalUnavailableError(
                    f"the journal {file} is in use by a program with an earlier version: end that "
                    "program first; nothing was sent"
                ) from None
            held.callback(_release, lock)
        yield


def _release(lock: FileLock) -> None:
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
