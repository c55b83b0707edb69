"""Sessions: each opening of a journal's file holds the lock of its own session file.

The lock of an ended process is free, however it ended. Its `sent` writes then become `unknown`.
"""

from __future__ import annotations

import glob
import logging
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from filelock import FileLock, Timeout

from pandapon_async.errors import JournalUnavailableError
from pandapon_async.journal.intent import Reading
from pandapon_async.journal.store import JournalStore
from pandapon_async.storage import IN_MEMORY
from pandapon_async.storage.damage import FILE_ERRORS
from pandapon_async.storage.files import make_private_folder
from pandapon_async.storage.sqlite_file import PATIENCE

if TYPE_CHECKING:
    from pandapon_async.journal.place import EarlierFiles

__all__ = ["STALE_SECONDS", "close_ended", "lock_path", "open_store", "release", "was_killed"]

STALE_SECONDS = 10.0
"""Seconds; an older lock file of an ended process is removed. A younger process may be starting."""

log: Final = logging.getLogger("pandapon_async")


def open_store(path: str, session: str, now: Reading, earlier: EarlierFiles | None) -> JournalStore:
    """Open a journal's file as this session and close what ended processes left open. Blocks.

    `earlier` is given for the automatic place: files of earlier versions there are adopted.

    Raises:
        JournalUnavailableError: The file cannot be used.
    """
    if path == IN_MEMORY:
        return JournalStore(path, session)
    alive = FileLock(lock_path(path, session), thread_local=False)
    store: JournalStore | None = None
    try:
        _make_folder(Path(path).parent, private=earlier is not None)
        after_crash = was_killed(Path(path))
        alive.acquire(timeout=PATIENCE)  # who opens it too checks whether this process lives
        store = JournalStore(path, session, lambda: release(alive), after_crash=after_crash)
        close_ended(store, now)
        if earlier is not None:
            store.not_ours = earlier.adopt(store, now)
    except BaseException as error:
        if store is not None:
            store.close()
        elif alive.is_locked:
            release(alive)
        if isinstance(error, FILE_ERRORS) and store is not None:
            raise store.unavailable(error) from error
        if isinstance(error, OSError):
            reason = error.strerror or type(error).__name__
            raise JournalUnavailableError(f"the journal {path} cannot be opened: {reason}") from error
        raise
    return store


def _make_folder(folder: Path, *, private: bool) -> None:
    if private:
        make_private_folder(folder)
    else:
        folder.mkdir(parents=True, exist_ok=True)


def lock_path(journal: str, session: str) -> str:
    """The lock file of a session."""
    return f"{journal}.{session}.lock"


def close_ended(store: JournalStore, now: Reading) -> None:
    """Settle the writes of ended processes; a living process holds its session's lock. Blocks."""
    store.begin(durable=True)
    try:
        for session in store.sessions():
            lock = FileLock(lock_path(store.path, session))
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            if unknown := store.close_abandoned(session, now):
                log.warning("journal: %d writes of an ended process have an unknown outcome", unknown)
            release(lock)
        store.commit()
    finally:
        store.rollback()


def was_killed(path: Path) -> bool:
    """Whether a process was killed with the file open: its lock file or the log remains. Blocks.

    A process that ends normally removes its lock file, and the last one the log. Removes old lock files.
    """
    killed = others = False
    for file in path.parent.glob(f"{glob.escape(path.name)}.*.lock"):
        try:
            changed = file.stat().st_mtime  # the earlier time: older filelock versions change it by locking
            with FileLock(file).acquire(blocking=False):
                killed = True
                if changed < time.time() - STALE_SECONDS:
                    file.unlink()
        except Timeout:
            others = True
        except OSError:  # belongs to another user, or is gone meanwhile
            continue
    log_file = path.with_name(f"{path.name}-wal")
    return killed or (not others and log_file.exists() and log_file.stat().st_size > 0)


def release(lock: FileLock) -> None:
    """Release a session's lock and remove its file."""
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
