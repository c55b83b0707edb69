"""The places of a journal and of messages, for tests of what must hold in each: a file, and a database."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import attrs
import pytest

from pandapon_async import Clock, Credentials, Settings
from pandapon_async.callbacks import MessageStore
from pandapon_async.callbacks.shared_store import RETURN_SECONDS, SharedMessageStore
from pandapon_async.callbacks.store import IN_MEMORY
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.journal import Journal, selection
from pandapon_async.journal.shared_store import SharedJournal, SharedJournalStore
from pandapon_async.journal.store import JournalStore

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

__all__ = ["MessagePlace", "NewJournal", "Place", "new_journal"]

NewJournal = Callable[[], Journal]
"""Makes a journal in which nothing was written yet; of a database each is one more machine's."""


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


class _OfRealTime(SharedJournal):
    """A shared journal for tests in virtual time: the database has none of that."""

    def _open_store(self) -> JournalStore:
        clock, self._clock = self._clock, Clock()
        try:
            return super()._open_store()
        finally:
            self._clock = clock


def _emptied(postgres: Postgres) -> str:
    with ThreadPoolExecutor(1) as thread:  # the test may have a loop already
        return thread.submit(lambda: asyncio.run(postgres.empty())).result()


@pytest.fixture
def new_journal(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> NewJournal:
    """Journals in both places: those that tests make, and those that clients make by themselves."""
    if request.param == "file":  # see `pytest_generate_tests`
        return Journal
    postgres: Postgres = request.getfixturevalue("postgres")
    url, of_settings = DatabaseUrl(_emptied(postgres)), selection.select_journal
    files: set[object] = set()

    def journal_of(credentials: Credentials, settings: Settings) -> Journal:
        if isinstance(settings.journal, Journal) or settings.shared is not None:
            return of_settings(credentials, settings)
        if files and settings.journal not in files:
            _emptied(postgres)  # what is not the file of before has nothing in it
        files.add(settings.journal)
        return _OfRealTime(url, clock=settings.clock)

    monkeypatch.setattr(selection, "select_journal", journal_of)
    return lambda: _OfRealTime(url)


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
