"""The store under any sequence of events: nothing lost, nothing twice at once, no false word about order."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandapon_async.callbacks import MessageOrder, MessageState, MessageStore, Record
from pandapon_async.callbacks.store import IN_MEMORY, Entry
from pandapon_async.storage.damage import DamagedRowError
from tests.support.examples import examples
from tests.support.stores import MessagePlace

KEYS = (None, "1688:refund:TQ1", "1688:refund:TQ2")
MOST_ATTEMPTS = 3


def entry(number: int, key: str | None, moment: int, timed: bool, now: float) -> Entry:
    return Entry(
        id=f"{number:064d}",
        access_key="key",
        key=key,
        timed=timed,
        moment=moment,
        pushed=moment,
        received=now,
        due=now,
        updated=now,
        body=b"{}",
    )


EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(KEYS), st.integers(1, 6), st.booleans()),
        st.tuples(st.just("again"), st.integers(0, 30)),
        st.tuples(st.just("claim"), st.integers(1, 4)),
        st.tuples(st.just("done"), st.integers(0, 5)),
        st.tuples(st.just("fail"), st.integers(0, 5), st.integers(0, 3)),
        st.tuples(st.just("break off"), st.integers(0, 5)),
        st.tuples(st.just("kill")),
        st.tuples(st.just("wait"), st.integers(1, 5)),
    ),
    max_size=60,
)


@pytest.fixture(scope="module", params=["file", "database"])
def place(request: pytest.FixtureRequest) -> MessagePlace:
    """Where the messages are."""
    return MessagePlace(None if request.param == "file" else request.getfixturevalue("postgres").url)


@contextlib.contextmanager
def change(store: MessageStore) -> Iterator[MessageStore]:
    """A group of its own."""
    store.begin(durable=False)
    try:
        yield store
        store.commit()
    finally:
        store.rollback()


@attrs.define
class Model:
    """What must be true of the store, kept by hand beside it."""

    place: MessagePlace
    store: MessageStore = attrs.field(init=False)
    now: float = 0.0
    added: dict[str, Entry] = attrs.field(factory=dict)
    held: list[Record] = attrs.field(factory=list)
    done: list[str] = attrs.field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.store = self.place.empty()

    def do(self, event: tuple[Any, ...]) -> None:
        if event[0] == "kill":
            self.kill()
            return
        with change(self.store):
            getattr(self, event[0].replace(" ", "_"))(*event[1:])

    def counts(self) -> dict[MessageState, int]:
        with change(self.store):
            return self.store.counts()

    def add(self, key: str | None, moment: int, timed: bool) -> None:
        new = entry(len(self.added), key, moment, timed, self.now)
        assert self.store.add(new, 0.0)
        self.added[new.id] = new

    def again(self, number: int) -> None:
        known = list(self.added.values())
        if number < len(known):
            assert not self.store.add(known[number], 0.0)

    def claim(self, limit: int) -> None:
        records, due = self.store.claim(self.now, limit)
        assert len(records) <= limit
        for record in records:
            keys = [one.key for one in self.held if one.key is not None]
            assert record.key not in keys, "two of one key at once"
            assert record.id not in self.done
            self.check_order(record)
            self.held.append(record)
        assert due is None or due >= 0

    def check_order(self, record: Record) -> None:
        before = [self.added[one] for one in self.done if self.added[one].key == record.key]
        later = any(one.moment > record.moment for one in before)
        if record.key is None or not record.timed:
            assert record.order is MessageOrder.UNKNOWN
        else:
            assert (record.order is MessageOrder.LATE) == later

    def finish(self, at: int, state: MessageState, wait: float = 0.0) -> None:
        if at < len(self.held):
            record = self.held.pop(at)
            self.store.finish(record.seq, state, self.now, due=self.now + wait, finished=[], note=None)
            if state is MessageState.DONE:
                self.done.append(record.id)

    def fail(self, at: int, wait: int) -> None:
        self.finish(at, MessageState.PENDING, wait)

    def break_off(self, at: int) -> None:
        if at < len(self.held):
            record = self.held.pop(at)
            self.store.release([record.seq], self.now)

    def kill(self) -> None:
        self.held.clear()
        self.store = self.place.killed(self.store)
        with change(self.store):
            self.store.recover(10**6, self.now)

    def wait(self, seconds: int) -> None:
        self.now += seconds


# `done` is the list; the event of that name finishes one.
def apply(book: Model, event: tuple[Any, ...]) -> None:
    if event[0] == "done":
        with change(book.store):
            book.finish(event[1], MessageState.DONE)
    else:
        book.do(event)


@settings(max_examples=examples(20, 2000))
@given(EVENTS)
def test_whatever_happens_every_message_is_done_with_once(
    place: MessagePlace, events: list[tuple[Any, ...]]
) -> None:
    book = Model(place)
    for event in events:
        apply(book, event)
    book.kill()  # and the next process ends it
    for _ in range(len(book.added)):
        book.wait(10)
        apply(book, ("claim", 100))
        while book.held:
            apply(book, ("done", 0))
    assert sorted(book.done) == sorted(book.added)
    assert book.counts()[MessageState.DONE] == len(book.added)
    book.store.close()


def test_the_earliest_of_a_key_goes_first_even_if_it_came_last(place: MessagePlace) -> None:
    book = Model(place)
    for moment in (5, 3, 4):
        apply(book, ("add", KEYS[1], moment, True))
    moments = []
    while book.counts()[MessageState.PENDING]:
        apply(book, ("claim", 9))
        (record,) = book.held
        moments.append(record.moment)
        apply(book, ("done", 0))
    assert moments == [3, 4, 5]
    book.store.close()


def test_an_earlier_one_that_waits_for_its_retry_holds_the_later_ones(place: MessagePlace) -> None:
    book = Model(place)
    apply(book, ("add", KEYS[1], 1, True))
    apply(book, ("claim", 9))
    apply(book, ("add", KEYS[1], 2, True))
    apply(book, ("add", KEYS[2], 2, True))
    apply(book, ("fail", 0, 3))
    apply(book, ("claim", 9))
    assert [record.key for record in book.held] == [KEYS[2]]
    book.wait(3)
    apply(book, ("claim", 9))
    assert [(record.key, record.moment, record.attempts) for record in book.held[1:]] == [(KEYS[1], 1, 2)]
    book.store.close()


def test_what_ended_its_process_each_time_is_a_dead_letter(place: MessagePlace) -> None:
    book = Model(place)
    apply(book, ("add", None, 1, True))
    for _ in range(MOST_ATTEMPTS):
        apply(book, ("claim", 9))
        book.held.clear()
        book.store = place.killed(book.store)
        with change(book.store):
            assert book.store.recover(MOST_ATTEMPTS, book.now) == 1
    with change(book.store):
        (record,) = book.store.find(MessageState.DEAD)
        assert (record.attempts, record.note) == (3, "the process ended while it was handled")
        assert book.store.replay([record.id], book.now) == 1
        assert book.store.find()[0].attempts == 0
    book.store.close()


def test_what_is_forgotten_goes_in_parts_and_dead_letters_stay(place: MessagePlace) -> None:
    book = Model(place)
    for _ in range(5):
        apply(book, ("add", None, 1, True))
    apply(book, ("claim", 5))
    for _ in range(4):
        apply(book, ("done", 0))
    with change(book.store):
        book.store.finish(book.held[0].seq, MessageState.DEAD, 0.0, due=0.0, finished=[], note="X")
        assert [book.store.forget(1.0, limit=3) for _ in range(3)] == [3, 1, 0]
        assert book.store.counts()[MessageState.DEAD] == 1
    book.store.close()


def test_a_large_backlog_costs_no_more_to_take_from() -> None:
    store = MessageStore(IN_MEMORY)
    store.begin(durable=False)
    for number in range(3000):
        store.add(entry(number, f"k{number % 1000}", number, True, 0.0), 0.0)
    plan: list[str] = []
    store._connection.set_trace_callback(plan.append)
    records, _ = store.claim(1.0, 16)
    store._connection.set_trace_callback(None)
    assert len(records) == 16
    select = next(text for text in plan if "ORDER BY due" in text)
    steps = " ".join(row[3] for row in store._connection.execute(f"EXPLAIN QUERY PLAN {select}"))
    assert "USING INDEX by_due" in steps
    assert "TEMP B-TREE" not in steps
    assert "SCAN" not in steps
    store.commit()
    store.close()


@pytest.mark.parametrize(
    ("column", "value"),
    [("body", b"{} "), ("refund_id", "TQ2"), ("key", None), ("moment", 9), ("checksum", None)],
)
def test_a_message_that_was_changed_on_the_disk_is_told_and_handed_to_nobody(
    place: MessagePlace, column: str, value: Any
) -> None:
    store = place.empty()
    with change(store):
        for number in (1, 2):
            store.add(entry(number, "k" if number == 1 else None, 1, True, 0.0), 0.0)
        store._connection.execute(f"UPDATE messages SET {column} = ? WHERE seq = 1", (value,))
        records, _ = store.claim(1.0, 16)
        assert [record.seq for record in records] == [2]
        (given_up,) = store.find(MessageState.DEAD)
        assert (given_up.seq, given_up.damaged, given_up.note) == (1, True, "its row was changed on the disk")
        assert store.replay([given_up.id], 2.0) == 1
        assert store.claim(3.0, 16)[0] == []
        assert store.counts()[MessageState.DEAD] == 1
    store.close()


def test_a_state_that_nobody_wrote_is_damage(place: MessagePlace) -> None:
    store = place.empty()
    with change(store):
        store.add(entry(1, None, 1, True, 0.0), 0.0)
        store._connection.execute("UPDATE messages SET state = 'pendinx'")
        with pytest.raises(DamagedRowError):
            store.find()
        with pytest.raises(DamagedRowError):
            store.counts()
    store.close()


def test_a_message_is_what_it_was_when_it_came(place: MessagePlace) -> None:
    store = place.empty()
    came = attrs.evolve(entry(1, KEYS[1], 5, True, 0.123456789), body=bytes(range(256)), refund_id="TQ1")
    with change(store):
        assert store.add(came, 0.0)
        (record,) = store.get(came.id[:60])
        assert {field.name: getattr(record, field.name) for field in attrs.fields(Entry)} == attrs.asdict(
            came
        )
        assert not record.damaged
        store.claim(1.0, 1)
        store.finish(record.seq, MessageState.DONE, 1.0, due=1.0, finished=["b", "a"], unhandled=True)
        (record,) = store.find(MessageState.DONE, unhandled=True)
        assert (record.finished, record.unhandled, record.attempts) == (["a", "b"], True, 1)
        assert store.find(MessageState.DONE, limit=0) == []
    store.close()


@pytest.mark.parametrize("stamped", [True, False])
def test_what_was_done_with_long_ago_is_forgotten_and_what_tells_no_time_never(
    place: MessagePlace, stamped: bool
) -> None:
    store = place.empty()
    came = attrs.evolve(entry(1, None, 1, True, 0.0), stamped=stamped)
    with change(store):
        assert store.add(came, 0.0)
        assert not store.add(came, 0.0)
    with change(store):
        (record,), _ = store.claim(1.0, 1)
        assert record.copies == 1
        store.finish(record.seq, MessageState.DONE, 1.0, due=1.0, finished=[])
        assert not store.add(came, 1.0)
        assert store.add(came, 2.0) == stamped
        assert store.forget(9.0) == (0 if stamped else 1)
        assert not store.add(came, 9.0)
    store.close()
