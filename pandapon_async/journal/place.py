"""The place of a client's journal."""

from __future__ import annotations

import hashlib
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from pandapon_async.journal.identity import Writer
from pandapon_async.journal.journal import Journal
from pandapon_async.settings import AUTOMATIC, Credentials, Settings, is_loopback
from pandapon_async.storage import IN_MEMORY

if TYPE_CHECKING:
    from pandapon_async.journal.intent import Reading
    from pandapon_async.journal.store import JournalStore

__all__ = [
    "AutomaticFiles",
    "EarlierFiles",
    "automatic_files",
    "forgets",
    "journal_of",
    "set_aside",
    "state_folder",
]

_NAME = re.compile(r"journal-([0-9a-f]{16})\.sqlite")


@attrs.frozen
class EarlierFiles:
    """The automatic journals of earlier versions in a folder, from the view of one writer."""

    folder: Path
    writer: Writer

    def files(self) -> list[Path]:
        """List the existing files. Blocks."""
        return [file for file in sorted(self.folder.glob("journal-*.sqlite")) if _NAME.fullmatch(file.name)]

    def adopt(self, store: JournalStore, now: Reading) -> list[Path]:
        """Adopt the writer's own file; return the other files. Blocks."""
        from pandapon_async.journal.adopt import adopt_file

        others = self.files()
        for file in others[:]:
            if file.name == f"journal-{self.writer.legacy}.sqlite":
                adopt_file(store, file, self.writer, now)
                others.remove(file)
        return others


@attrs.frozen
class AutomaticFiles:
    """The automatic journal of this machine, and those of earlier versions next to it."""

    file: Path
    earlier: EarlierFiles

    def adopt(self, store: JournalStore, now: Reading) -> list[Path]:
        """Adopt them into another journal; return those with an unknown writer. Blocks."""
        from pandapon_async.journal.adopt import adopt_file

        if self.file.is_file():
            adopt_file(store, self.file, self.earlier.writer, now)
        return self.earlier.adopt(store, now)


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
