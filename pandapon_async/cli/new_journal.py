"""A damaged journal: what to do about it, and the option that begins another one in its place."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from pandapon_async.cli.output import note
from pandapon_async.client import Client
from pandapon_async.errors import ConfigurationError, JournalUnavailableError
from pandapon_async.journal.place import set_aside
from pandapon_async.storage.damage import is_damage

__all__ = ["ADVICE", "NewJournal", "begin_new_journal", "is_damaged_journal"]

NewJournal = Annotated[
    bool,
    typer.Option("--new-journal", help="Set a damaged journal aside and begin another in its place."),
]
ADVICE = (
    "Bring back the newest copy of the journal, with its -wal. If there is none, --new-journal (of plan, "
    "apply and call) sets it aside and begins another, and `pandapon journal salvage` brings the sound rows "
    "into that. It may lack others: apply plans with --check-first then, and those made before with "
    "--adopt-journal; both read each row before it is sent."
)


def is_damaged_journal(error: BaseException) -> bool:
    """Whether an error says that the journal's file is damaged."""
    return isinstance(error, JournalUnavailableError) and is_damage(error)


def begin_new_journal(settings: Mapping[str, Any]) -> None:
    """Set the journal aside that these settings lead to. Raises ConfigurationError if it can be read."""

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

    note(f"set aside: {asyncio.run(work())}")
