"""A damaged journal: the advice, and the option that starts another one in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pandapon_async.cli.output import note
from pandapon_async.errors import ConfigurationError, JournalUnavailableError
from pandapon_async.storage.damage import is_damage

__all__ = ["ADVICE", "NewJournal", "begin_new_journal", "is_damaged_journal"]

NewJournal = Annotated[
    bool,
    typer.Option("--new-journal", help="Rename a damaged journal and start another in its place."),
]
ADVICE = (
    "Restore the newest copy of the journal, with its -wal. If there is none, --new-journal (of plan, "
    "apply and call) renames it and starts another, and `pandapon journal salvage` copies the sound rows "
    "to that. Other rows may be lost: then apply plans with --check-first, and older plans with "
    "--adopt-journal; both read each row before it is sent."
)


def is_damaged_journal(error: BaseException) -> bool:
    """Whether an error means that the journal's file is damaged."""
    return isinstance(error, JournalUnavailableError) and is_damage(error)


def begin_new_journal(settings: Mapping[str, Any]) -> None:
    """Rename the damaged journal of these settings. Raises ConfigurationError if it is sound."""
    from pandapon_async.client import Client
    from pandapon_async.journal.place import set_aside

    async def work() -> Path:
        async with Client.from_env(**settings) as client:
            journal = client.journal
            try:
                await journal.check()
            except JournalUnavailableError as error:
                if not is_damage(error):
                    raise
                return await asyncio.to_thread(set_aside, journal.path, client.settings.clock.wall())
            raise ConfigurationError(
                f"the journal {journal.path} is sound: --new-journal is for a damaged one"
            )

    note(f"renamed to {asyncio.run(work())}")
