"""Both places that a journal can be in, for tests of what must hold in each: a file, and a database."""

from __future__ import annotations

import attrs

from pandapon_async import Clock
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.journal import Journal
from pandapon_async.journal.shared_store import SharedJournal, SharedJournalStore
from pandapon_async.journal.store import JournalStore

__all__ = ["Place"]


@attrs.define
class Place:
    """Makes stores and journals in which nothing was written yet: in memory, or at this address."""

    address: str | None

    def store(self) -> JournalStore:
        """A store, to be used without a thread."""
        if self.address is None:
            return JournalStore(":memory:", "s")
        store = SharedJournalStore(DatabaseUrl(self.address), Clock())
        store.begin(durable=True)
        store._connection.execute("TRUNCATE intents, subjects")
        store.commit()
        return store

    def journal(self) -> Journal:
        """A journal; of a database the caller has to see that it is empty."""
        return Journal() if self.address is None else SharedJournal(DatabaseUrl(self.address))
