"""The place of a client's journal."""

from __future__ import annotations

import hashlib
import os
from datetime import UTC, datetime
from pathlib import Path

from pandapon_async.journal.adopt import AutomaticFiles, EarlierFiles
from pandapon_async.journal.identity import Writer
from pandapon_async.journal.journal import Journal
from pandapon_async.settings import AUTOMATIC, Credentials, Settings, is_loopback
from pandapon_async.storage.sqlite_file import IN_MEMORY

__all__ = ["forgets", "journal_of", "set_aside", "state_folder"]


def journal_of(credentials: Credentials, settings: Settings) -> Journal:
    """Return the journal that the settings name: one passed in, a file, or the automatic place.

    The automatic place is a file per vendor in the user's state directory. For a loopback base_url it is in
    memory, because a sandbox forgets as well. A gateway on this machine with a `vendor_id` is not a sandbox.
    """
    wanted = settings.journal
    if isinstance(wanted, Journal):
        return wanted
    if wanted != AUTOMATIC:
        return Journal(wanted, clock=settings.clock)
    if forgets(settings):
        return Journal(IN_MEMORY, clock=settings.clock)
    files = automatic_files(credentials, settings)
    return Journal(files.file, clock=settings.clock, earlier=files.earlier)


def automatic_files(credentials: Credentials, settings: Settings) -> AutomaticFiles:
    """The automatic place of a client's journal, and the files of earlier versions next to it."""
    writer = Writer.of(credentials, settings)
    digest = hashlib.sha256(writer.vendor.encode()).hexdigest()[:16]
    folder = state_folder()
    return AutomaticFiles(folder / f"writes-{digest}.sqlite", EarlierFiles(folder, writer))


def forgets(settings: Settings) -> bool:
    """Whether the journal is the automatic one in memory, which ends with the process."""
    automatic = not isinstance(settings.journal, Journal) and settings.journal == AUTOMATIC
    return automatic and is_loopback(settings.base_url) and settings.vendor_id is None


def set_aside(journal: str, now: float) -> Path:
    """Rename a damaged journal to make place for a new one; return its new name. Blocks."""
    path = Path(journal)
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    for end in ("-wal", "-shm", ""):
        part = path.with_name(path.name + end)
        if part.exists():
            part.rename(path.with_name(f"{path.name}.damaged-{stamp}{end}"))
    return path.with_name(f"{path.name}.damaged-{stamp}")


def state_folder() -> Path:
    """The folder of this user's journals."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return state / "pandapon-async"
