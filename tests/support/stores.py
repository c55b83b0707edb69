"""The places of a journal and of messages, for tests of what must hold in each: a file, and a database."""

from __future__ import annotations

import attrs

from pandapon_async import Clock
from pandapon_async.callbacks import MessageStore
from pandapon_async.callbacks.shared_store import RETURN_SECONDS, SharedMessageStore
from pandapon_async.callbacks.store import IN_MEMORY
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.journal import Journal
from pandapon_async.journal.shared_store import SharedJournal, SharedJournalStore
from pandapon_async.journal.store import JournalStore

__all__ = ["MessagePlace", "Place"]


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


class _Ahead(Clock):
    """A clock that can be put forward."""

    ahead = 0.0

    def now(self) -> float:
        return super().now() + self.ahead


@attrs.define
class MessagePlace:
    """Makes stores of messages: in memory, or at this address."""

    address: str | None
    clock: _Ahead = attrs.field(factory=_Ahead)

    def empty(self) -> MessageStore:
        """A store in which nothing was written yet, to be used without a thread."""
        if self.address is None:
            return MessageStore(IN_MEMORY)
        store = self.another()
        store.begin(durable=True)
        store._connection.execute("TRUNCATE messages, forgotten RESTART IDENTITY")
        store.commit()
        return store

    def another(self) -> SharedMessageStore:
        """One more receiver of the database."""
        assert self.address is not None
        return SharedMessageStore(DatabaseUrl(self.address), self.clock)

    def killed(self, store: MessageStore) -> MessageStore:
        """The store of the next process: the one that used this store has ended."""
        if self.address is None:
            return store  # what is in memory has no other process
        store.close()
        store = self.another()
        store.begin(durable=False)
        store.recover(1, 0.0)  # has a look at who is gone
        store.commit()
        self.clock.ahead += RETURN_SECONDS
        return store
