"""Remove old writes from a journal, which would otherwise grow forever.

Only ended writes are removed, and only after they are on disk in an export file. A write that was found
absent, or that a throttle or login refused, may prove to have been carried out and is checked again: it stays
for 45 days after the write, whatever age the user asks for. The journal keeps its identity and its mark, so
its plans continue to work. But a removed write no longer blocks a repeat: the same write counts as a new one.
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
"""Writes per transaction; other processes wait for one transaction at most."""


@attrs.frozen
class Pruned:
    """The result of pruning a journal."""

    intents: int
    """How many writes were removed."""
    file: Path | None
    """The export file, one line of JSON for each; None if there were none."""


async def prunable(journal: Journal, before: float, now: float) -> int:
    """Count the intents that `prune` would remove. Changes nothing."""

    total, after, last = 0, -1, None
    while after != last:
        last = after
        rows, after = await journal.alone(functools.partial(_old, before, now, last))
        total += len(rows)
    return total


async def prune(journal: Journal, before: float, now: float, out: Path) -> Pruned:
    """Export and remove ended intents that last changed before a certain time.

    Args:
        journal: The journal, which must be a file.
        before: Seconds since 1970; later intents stay.
        now: The current time in seconds since 1970.
        out: The export file; it gets one line of JSON with the whole intent for each.

    Raises JournalUnavailableError, or ConfigurationError for `out`; the intents removed until then are in it.
    """
    total, after, last = 0, -1, None
    while after != last:
        last = after
        count, after = await journal.alone(functools.partial(_step, before, now, last, out))
        total += count
    return Pruned(total, out if total else None)


def _step(before: float, now: float, after: int, out: Path, store: JournalStore) -> tuple[int, int]:
    """Export and remove some in one transaction; return their number and the last row seen."""
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
    """Append them to the file and flush it to disk."""
    lines = b"".join(orjson.dumps(_plain(intent), option=orjson.OPT_APPEND_NEWLINE) for intent in intents)
    with append_to(out) as descriptor:
        view = memoryview(lines)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fsync(descriptor)
    sync_folder(out.parent)


def _plain(intent: Intent) -> dict[str, Any]:
    return attrs.asdict(intent, recurse=False)
