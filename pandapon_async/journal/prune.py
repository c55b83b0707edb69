"""Taking old writes out of a journal, which would otherwise grow for ever.

Only what ended goes, and only after it stands in a file beside the journal, on the disk. What was found
absent, or was refused at the door, may turn out to have been carried out, and is looked at again: it stays
for 45 days after the write, however young the age that is asked for. The journal's identity and its mark
stay, so that the plans that belong to it go on. But what is gone cannot stand in the way any more: the same
write would be taken for a new one.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import orjson

from pandapon_async.journal.intent import Intent
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.resolve import LOOKED_AT_AGAIN
from pandapon_async.journal.store import JournalStore
from pandapon_async.storage.files import append_to, sync_folder

__all__ = ["Pruned", "prunable", "prune"]

BATCH = 2_000
"""How many go in one transaction: other processes wait as long to write."""


@attrs.frozen
class Pruned:
    """What was taken out of a journal."""

    intents: int
    """How many."""
    file: Path | None
    """Where they stand now, a line of JSON each; None if there were none."""


async def prunable(journal: Journal, before: float, now: float) -> int:
    """How many intents `prune` would take out. Changes nothing."""

    total, after, last = 0, -1, None
    while after != last:
        last = after
        rows, after = await journal.alone(functools.partial(_old, before, now, last))
        total += len(rows)
    return total


async def prune(journal: Journal, before: float, now: float, out: Path) -> Pruned:
    """Take out the intents that ended, and changed last, before a moment; they are exported first.

    Args:
        journal: the journal, which must be a file.
        before: seconds since 1970.
        now: the present time, in seconds since 1970.
        out: the file that gets a line of JSON for each of them, with all that was known.

    Raises: JournalUnavailableError, or ConfigurationError for `out`; what was taken out until then is in it.
    """
    total, after, last = 0, -1, None
    while after != last:
        last = after
        count, after = await journal.alone(functools.partial(_step, before, now, last, out))
        total += count
    return Pruned(total, out if total else None)


def _step(before: float, now: float, after: int, out: Path, store: JournalStore) -> tuple[int, int]:
    """Export and take out some, in one transaction; gives how many, and the last row looked at."""
    store.begin(durable=True)
    try:
        rows, reached = _old(before, now, after, store)
        if rows:
            _export([intent for _, intent in rows], out)
            store.drop(rows)
        if reached == after:
            store.forget_subjects()
        store.commit()
    finally:
        store.rollback()
    return len(rows), reached


def _old(before: float, now: float, after: int, store: JournalStore) -> tuple[list[tuple[int, Intent]], int]:
    return store.old(before, min(before, now - LOOKED_AT_AGAIN), after, BATCH)


def _export(intents: Iterable[Intent], out: Path) -> None:
    """Add them to the file, and flush it to the disk."""
    lines = b"".join(orjson.dumps(_plain(intent), option=orjson.OPT_APPEND_NEWLINE) for intent in intents)
    with append_to(out) as descriptor:
        view = memoryview(lines)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    sync_folder(out.parent)


def _plain(intent: Intent) -> dict[str, Any]:
    return attrs.asdict(intent, recurse=False)
