"""Several receivers on one database under any sequence of claims, deaths and cut connections.

Their groups of changes are open at the same time, so each looks at a moment of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st

from pandapon_async.callbacks import MessageState, Record
from pandapon_async.callbacks.shared_store import RETURN_SECONDS, SharedMessageStore
from pandapon_async.storage.damage import StoreLostError
from tests.support.postgres import Postgres
from tests.support.stores import MessagePlace
from tests.test_callbacks_store import change, entry

KEYS = (None, "1688:refund:TQ1", "1688:refund:TQ2")
RECEIVERS = 3
who = st.integers(0, RECEIVERS - 1)
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), who, st.sampled_from(KEYS), st.integers(1, 6)),
        st.tuples(st.just("claim"), who, st.integers(1, 4)),
        st.tuples(st.just("claim"), who, st.integers(1, 4)),
        st.tuples(st.just("commit"), who),
        st.tuples(st.just("done"), who),
        st.tuples(st.just("fail"), who),
        st.tuples(st.just("kill"), who),
        st.tuples(st.just("cut"), who),
        st.tuples(st.just("recover"), who),
        st.tuples(st.just("wait")),
    ),
    max_size=40,
)


@attrs.define
class Receiving:
    """One receiver: what it has in hand, and what it has claimed in a group that is still open."""

    store: SharedMessageStore
    is_open: bool = False
    process: int = 0
    held: list[Record] = attrs.field(factory=list)
    claimed: list[Record] = attrs.field(factory=list)

    def begin(self) -> None:
        if not self.is_open:
            self.store.begin(durable=False)
            self.is_open = True
            (self.process,) = self.store._connection.execute("SELECT pg_backend_pid()").fetchone()
            rows = "SELECT seq FROM messages WHERE state = 'handling' AND session = ?"
            ours = {seq for (seq,) in self.store._connection.execute(rows, (self.store.session,))}
            self.held = [record for record in self.held if record.seq in ours]

    def lost(self) -> None:
        with contextlib.suppress(StoreLostError):  # what is rolled back may be gone already
            self.store.rollback()
        self.is_open, self.claimed = False, []

    def commit(self) -> None:
        if self.is_open:
            self.store.commit()
            self.held += self.claimed
            self.is_open, self.claimed = False, []


@attrs.define
class House:
    """The receivers, and what must be true of them together."""

    place: MessagePlace
    postgres: Postgres
    receivers: list[Receiving] = attrs.field(factory=list)
    added: list[str] = attrs.field(factory=list)
    done: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.place.empty().close()
        self.receivers = [Receiving(self.place.another()) for _ in range(RECEIVERS)]

    def do(self, event: tuple[Any, ...]) -> None:
        what, *more = event
        if what == "wait":
            self.place.clock.ahead += RETURN_SECONDS
            return
        receiver = self.receivers[more[0]]
        try:
            getattr(self, f"do_{what}")(receiver, *more[1:])
        except StoreLostError:
            receiver.lost()

    def do_add(self, receiver: Receiving, key: str | None, moment: int) -> None:
        receiver.commit()
        new = entry(len(self.added), key, moment, True, 0.0)
        receiver.begin()
        assert receiver.store.add(new, 0.0)
        receiver.commit()
        self.added.append(new.id)

    def do_claim(self, receiver: Receiving, limit: int) -> None:
        receiver.begin()
        for record in receiver.store.claim(1.0, limit)[0]:
            for other in self.receivers:
                in_hand = [*other.held, *other.claimed]
                assert record.id not in [one.id for one in in_hand], "one message in two hands"
                assert record.key is None or record.key not in [one.key for one in in_hand], "two of a key"
            assert record.id not in self.done
            receiver.claimed.append(record)

    def do_commit(self, receiver: Receiving) -> None:
        receiver.commit()

    def do_done(self, receiver: Receiving, state: MessageState = MessageState.DONE) -> None:
        receiver.commit()
        receiver.begin()
        if receiver.held:
            record = receiver.held[0]
            receiver.store.finish(record.seq, state, 1.0, due=1.0, finished=())
            receiver.commit()
            receiver.held.remove(record)
            self.done += [record.id] if state is MessageState.DONE else []
        receiver.commit()

    def do_fail(self, receiver: Receiving) -> None:
        self.do_done(receiver, MessageState.PENDING)

    def do_kill(self, receiver: Receiving) -> None:
        receiver.lost()
        receiver.store.close()
        receiver.held, receiver.store = [], self.place.another()

    def do_cut(self, receiver: Receiving) -> None:
        if receiver.process:
            asyncio.run(self.postgres.execute(f"SELECT pg_terminate_backend({receiver.process})"))

    def do_recover(self, receiver: Receiving) -> None:
        receiver.commit()
        receiver.begin()
        if receiver.store.recover(10**6, 1.0):
            rows = "SELECT seq FROM messages WHERE state = 'handling'"
            handled = {seq for (seq,) in receiver.store._connection.execute(rows)}
            for other in self.receivers:
                other.held = [record for record in other.held if record.seq in handled]
        receiver.commit()

    def drain(self) -> None:
        """Whatever happened, the next receiver ends it."""
        for receiver in self.receivers:
            receiver.lost()
            receiver.store.close()
        self.receivers = [Receiving(self.place.another())]
        for _ in range(2):
            self.do_recover(self.receivers[0])
            self.place.clock.ahead += RETURN_SECONDS
        for _ in range(len(self.added) + 1):
            self.do_claim(self.receivers[0], 100)
            self.receivers[0].commit()
            while self.receivers[0].held:
                self.do_done(self.receivers[0])
        with change(self.receivers[0].store) as store:
            assert store.counts()[MessageState.DONE] == len(self.added)
        self.receivers[0].store.close()


@given(EVENTS)
@settings(max_examples=20)
def test_whatever_dies_a_message_is_in_one_hand_and_of_a_key_only_one(
    postgres: Postgres, events: list[tuple[Any, ...]]
) -> None:
    house = House(MessagePlace(postgres.url), postgres)
    try:
        for event in events:
            house.do(event)
    finally:
        house.drain()
    assert sorted(house.done) == sorted(house.added)
