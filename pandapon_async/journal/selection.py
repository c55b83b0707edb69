"""Select the journal of a client by its settings; also for commands that only read it and need no client.

It stands above `place`, which the shared journal imports.
"""

from __future__ import annotations

from pandapon_async.environment import tell
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.place import journal_of
from pandapon_async.settings import AUTOMATIC, Credentials, Settings

__all__ = ["select_journal"]


def select_journal(credentials: Credentials, settings: Settings) -> Journal:
    """Return the journal that the settings name: one passed in, the shared database's, or the default one."""
    if settings.shared is None:
        return journal_of(credentials, settings)
    if settings.journal != AUTOMATIC:
        tell(f"the journal passed in is used, not the one in {settings.shared}")
        return journal_of(credentials, settings)
    from pandapon_async.journal.shared_store import shared_journal_of

    return shared_journal_of(credentials, settings)
