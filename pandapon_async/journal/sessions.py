"""Who is alive: each opening of a journal's file is a session, and holds the lock of a file of its own.

The lock of a process that ended is free, however it ended. What it left as `sent` is unknown then.
"""

from __future__ import annotations

import glob
import logging
import time
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from pandapon_async.journal.store import JournalStore, Reading

__all__ = ["STALE_SECONDS", "close_ended", "lock_path", "release", "was_killed"]

STALE_SECONDS = 10.0
"""How old the lock file of an ended process must be to be cleared away: a young one may be starting."""

log: Final = logging.getLogger("pandapon_async")


def lock_path(journal: str, session: str) -> str:
    """The file whose lock a session holds."""
    return f"{journal}.{session}.lock"


def close_ended(store: JournalStore, now: Reading) -> None:
    """Settle what ended processes left; a living one holds the lock of its session. Blocks."""
    store.begin(durable=True)
    try:
        for session in store.sessions():
            lock = FileLock(lock_path(store.path, session))
            try:
                lock.acquire(blocking=False)
            except Timeout:
                continue
            if unknown := store.close_abandoned(session, now):
                log.warning("journal: %d writes of an ended process are of unknown outcome", unknown)
            release(lock)
        store.commit()
    finally:
        store.rollback()


def was_killed(path: Path) -> bool:
    """Whether a process was killed with the file open: its lock file is still there, or the log is. Blocks.

    Whoever ends in good order removes the first, and the last one the second. Old lock files are removed.
    """
    killed = others = False
    for file in path.parent.glob(f"{glob.escape(path.name)}.*.lock"):
        try:
            changed = file.stat().st_mtime  # of before: locking it is a change in older filelocks
            with FileLock(file).acquire(blocking=False):
                killed = True
                if changed < time.time() - STALE_SECONDS:
                    file.unlink()
        except Timeout:
            others = True
        except OSError:  # of another user, or gone meanwhile
            continue
    log_file = path.with_name(f"{path.name}-wal")
    return killed or (not others and log_file.exists() and log_file.stat().st_size > 0)


def release(lock: FileLock) -> None:
    """Give a session's lock back; its file goes with it."""
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
