"""Delete old reports and states of runs, recognised by their mark; other files are never touched."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from pandapon_async.reconcile.lookup_store import FORMAT as LOOKUPS_FORMAT
from pandapon_async.reconcile.outputs import FILES
from pandapon_async.reconcile.run_store import FORMAT
from pandapon_async.storage.files import only_writer

__all__ = ["old_files", "remove"]

_SET_ASIDE = re.compile(r"state-[0-9a-f]{12}\.sqlite\.damaged-[0-9a-f]{8}")
_BESIDE = ("-wal", "-shm")


def old_files(folder: Path, before: float) -> list[Path]:
    """Find the files of runs in a folder and its subfolders that last changed before a time. Follows no link.

    Args:
        folder: The folder to search.
        before: Seconds since 1970.

    Returns: The files of reconciliations: rows.csv, summary.json, reports, states, lookups and so on.
    """
    return sorted(path for path in _files(folder) if path.lstat().st_mtime < before and _is_ours(path))


def _files(folder: Path) -> Iterator[Path]:
    for place, _, names in os.walk(folder):  # do not follow links to folders
        for name in names:
            path = Path(place, name)
            if stat.S_ISREG(path.lstat().st_mode):
                yield path


def _is_ours(path: Path) -> bool:
    mark = FILES.get(path.name)
    if mark is not None:
        return mark.stands_in(path)
    # A renamed state is damaged, so only its name identifies it.
    return FORMAT.made(path) or LOOKUPS_FORMAT.made(path) or _SET_ASIDE.fullmatch(path.name) is not None


def remove(paths: Iterable[Path]) -> None:
    """Delete files of runs, with SQLite's files next to a state.

    Raises ConfigurationError if a run is writing into one of their folders; earlier files are deleted.
    """
    for path in paths:
        with only_writer(path.parent):
            if path.is_file() and _is_ours(path):  # still
                for end in ("", *_BESIDE):
                    path.with_name(f"{path.name}{end}").unlink(missing_ok=True)
