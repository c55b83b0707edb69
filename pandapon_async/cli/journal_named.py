"""The journal that the settings of a command name; reading it needs no client and makes no call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pandapon_async.environment import WORKING_FOLDER
from pandapon_async.errors import ConfigurationError
from pandapon_async.journal.identity import Writer
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.selection import select_journal
from pandapon_async.settings import Credentials, Settings
from pandapon_async.settings.sources import Sources
from pandapon_async.storage import IN_MEMORY

__all__ = ["named_journal", "refuse_memory", "writer_of"]


def named_journal(settings: Mapping[str, Any]) -> Journal:
    """Return the journal. Raises ConfigurationError if it is in memory, where it would be empty."""
    credentials, chosen = _found(settings)
    journal = select_journal(credentials, chosen)
    refuse_memory(journal)
    return journal


def refuse_memory(journal: Journal) -> None:
    """Raise ConfigurationError for a journal in memory."""
    if journal.path == IN_MEMORY:
        raise ConfigurationError(
            "for a sandbox on this machine the journal is in memory; name a file with --journal FILE"
        )


def writer_of(settings: Mapping[str, Any]) -> Writer:
    """Return the vendor and the sub-account of the settings."""
    return Writer.of(*_found(settings))


def _found(settings: Mapping[str, Any]) -> tuple[Credentials, Settings]:
    sources = Sources.find(WORKING_FOLDER)
    return Credentials.of(sources), Settings.of(sources, **settings)
