"""Several receivers and one database of messages: each is handled, one of a key at a time, whoever dies."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import itertools
import json
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import attrs
import pytest

from pandapon_async import Clock, ConfigurationError, RetryPolicy
from pandapon_async.callbacks import (
    CallbackSettings,
    CallbackStoreUnavailableError,
    Message,
    MessageOrder,
    MessageState,
    MessageStore,
    Receiver,
    ReceiverResponse,
)
from pandapon_async.callbacks import dispatch as dispatch_module
from pandapon_async.callbacks import shared_store as module
from pandapon_async.callbacks.push import NOT_STORED
from pandapon_async.callbacks.shared_store import RETURN_SECONDS, SharedMessageStore
from pandapon_async.callbacks.store import FREE
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.settings import Credentials
from pandapon_async.shared.database import Database
from pandapon_async.shared.upkeep import create
from tests.support.command import Shell
from tests.support.postgres import Postgres
from tests.support.stores import MessagePlace
from tests.test_callbacks_store import change, entry

GONE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pandapon'"
CREDENTIALS = Credentials("key", "secret", "1")


@pytest.fixture
async def fresh(postgres: Postgres) -> str:
    """The address of a database in which nothing was written yet."""
    return await postgres.empty()


@pytest.fixture
def place(fresh: str) -> MessagePlace:
    return MessagePlace(fresh)


@contextlib.contextmanager
def stores(place: MessagePlace, count: int) -> Iterator[list[SharedMessageStore]]:
    found = [place.another() for _ in range(count)]
    try:
        yield found
    finally:
        for store in found:
            store.rollback()
            store.close()


def put(store: MessageStore, *moments: int, key: str | None = "k") -> None:
    with change(store):
        for moment in moments:
            assert store.add(entry(moment, key, moment, True, 0.0), 0.0)


def taken(store: MessageStore, limit: int = 16) -> list[int]:
    """The moments of what a store claims, within the group that is open."""
    return [record.moment for record in store.claim(1.0, limit)[0]]


def test_a_receiver_takes_what_no_other_is_about_to_take(place: MessagePlace) -> None:
    with stores(place, 2) as (one, other):
        put(one, 1, 2, 3, key=None)
        one.begin(durable=False)
        other.begin(durable=False)
        assert taken(one, 2) == [1, 2]
        assert taken(other) == [3], "it did not wait"
        one.commit()
        other.commit()


def test_what_comes_earlier_while_a_later_one_is_being_taken_waits_for_it(place: MessagePlace) -> None:
    with stores(place, 3) as (one, other, third):
        put(third, 2)
        one.begin(durable=False)
        assert taken(one) == [2]
        put(third, 1)
        with change(other):
            assert taken(other) == [], "another of its key is about to be handled"
        one.commit()
        with change(other):
            assert taken(other) == [], "another of its key is being handled"
        with change(one):
            one.finish(1, MessageState.DONE, 1.0, due=1.0, finished=())
        with change(other):
            ((record,), _) = other.claim(1.0, 16)
            assert (record.moment, record.order) == (1, MessageOrder.LATE)


def test_a_key_that_was_taken_after_a_receiver_looked_is_left_alone(
    place: MessagePlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a receiver's two looks another one takes an earlier message of the key, and commits."""
    look_again = SharedMessageStore._look_again

    def meanwhile(store: SharedMessageStore, *found: Any) -> list[tuple[Any, ...]]:
        monkeypatch.setattr(SharedMessageStore, "_look_again", look_again)
        put(third, 1)
        with change(one):
            assert taken(one) == [1]
        return look_again(store, *found)

    with stores(place, 3) as (one, other, third):
        put(third, 2)
        monkeypatch.setattr(SharedMessageStore, "_look_again", meanwhile)
        with change(other):
            assert taken(other) == []


def test_who_lost_its_connection_for_a_moment_keeps_what_it_was_handling(
    postgres: Postgres, place: MessagePlace
) -> None:
    with stores(place, 2) as (one, other):
        put(one, 1, 2)
        with change(one):
            assert taken(one) == [1]
        asyncio.run(postgres.execute(GONE))
        with change(other):
            assert other.recover(16, 1.0) == 0
        place.clock.ahead += RETURN_SECONDS - 1
        with change(other):
            assert other.recover(16, 1.0) == 0
        with change(one):
            pass
        place.clock.ahead += RETURN_SECONDS
        with change(other):
            assert other.recover(16, 1.0) == 0
            assert taken(other) == []
        with change(one):
            one.finish(1, MessageState.DONE, 1.0, due=1.0, finished=())
        with change(other):
            assert taken(other) == [2]


def test_an_end_that_the_server_forgot_is_handled_again(postgres: Postgres, place: MessagePlace) -> None:
    """It crashed, or a replica took over; the receiver lives, and nobody else would give the message back."""
    with stores(place, 1) as (one,):
        put(one, 1, 2)
        with change(one):
            assert taken(one) == [1]
        with change(one):
            one.finish(1, MessageState.DONE, 1.0, due=1.0, finished=())
            assert taken(one) == [2]
        forgotten = (
            f"UPDATE pandapon.messages SET state = 'handling', session = '{one.session}' WHERE seq = 1"
        )
        asyncio.run(postgres.execute(f"DROP INDEX pandapon.one_handled_per_key; {forgotten}", "empty"))
        asyncio.run(postgres.execute(GONE))
        with change(one):
            assert [record.seq for record in one.find(MessageState.HANDLING)] == [2]
            assert [record.seq for record in one.find(MessageState.PENDING)] == [1]


def test_a_claim_that_was_committed_and_not_heard_of_is_given_back(
    postgres: Postgres, place: MessagePlace
) -> None:
    with stores(place, 1) as (one,):
        put(one, 1)
        one.begin(durable=False)
        assert taken(one) == [1]
        one._connection.execute("COMMIT")  # and the answer to it is lost
        asyncio.run(postgres.execute(GONE))
        with change(one):
            assert taken(one) == [1]


def test_who_is_gone_for_longer_loses_what_it_was_handling(
    postgres: Postgres, place: MessagePlace, caplog: pytest.LogCaptureFixture
) -> None:
    with stores(place, 2) as (one, other):
        put(one, 1, 2)
        with change(one):
            assert taken(one) == [1]
        asyncio.run(postgres.execute(GONE))
        with change(other):
            assert other.recover(16, 1.0) == 0
        place.clock.ahead += RETURN_SECONDS
        with change(other):
            assert other.recover(16, 1.0) == 1
            assert taken(other) == [1]
        with caplog.at_level(logging.WARNING), change(one):
            one.finish(1, MessageState.DONE, 1.0, due=1.0, finished=())
            one.release([1], 1.0)
        assert "message number 1 was given to another receiver meanwhile" in caplog.text
        with change(other):
            (record,) = other.find(MessageState.HANDLING)
            assert record.attempts == 2
            assert taken(other) == []


def test_what_ended_its_receiver_each_time_is_a_dead_letter(place: MessagePlace) -> None:
    with stores(place, 1) as (one,):
        put(one, 1)
    for attempt in range(1, 4):
        with stores(place, 1) as (dying,), change(dying):
            assert taken(dying) == [1], attempt
        with stores(place, 1) as (living,):
            with change(living):
                living.recover(3, 1.0)
            place.clock.ahead += RETURN_SECONDS
            with change(living):
                assert living.recover(3, 1.0) == 1
    with stores(place, 1) as (one,), change(one):
        assert one.counts()[MessageState.DEAD] == 1


def test_texts_that_the_database_cannot_hold_are_stored_all_the_same(place: MessagePlace) -> None:
    with stores(place, 1) as (store,):
        odd = attrs.evolve(entry(1, "k\0", 1, True, 0.0), type="\ud800", order_id="\0", body=b"\0\xff")
        with change(store):
            assert store.add(odd, 0.0)
            assert not store.add(odd, 0.0)
        with change(store):
            ((record,), _) = store.claim(1.0, 1)
        assert (record.type, record.order_id, record.body) == ("?", "\ufffd", b"\0\xff")
        assert record.copies == 1


async def test_a_large_backlog_costs_no_more_to_take_from(postgres: Postgres, place: MessagePlace) -> None:
    """Without statistics, as right after a flood, and with them."""

    def fill() -> None:
        with stores(place, 1) as (store,), change(store):
            put_one = (
                "INSERT INTO messages (id, access_key, platform, type, kind, key, timed, moment, pushed,"
            )
            store._connection.execute(
                f"{put_one} received, due, updated, state, body)"
                " SELECT n::text, '', '', '', '', 'k' || n % 1000, 1, n, n, 0, 0, 0,"
                " CASE WHEN n <= 20000 THEN 'done' ELSE 'pending' END, '' FROM generate_series(1, 40000) AS n"
            )

    async def look_at_plan() -> None:
        query = (
            f"SELECT seq, key FROM messages WHERE state = 'pending' AND due <= $1 AND {FREE}"
            " ORDER BY due, seq LIMIT $2 FOR UPDATE SKIP LOCKED"
        )
        connection = await asyncpg.connect(place.address, server_settings={"search_path": "pandapon"})
        await connection.execute(module.PLANNING)
        plan = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {query}", 1.0, 16)
        await connection.close()
        assert "by_due" in plan
        assert "Sort" not in plan
        assert "Seq Scan" not in plan

    await asyncio.to_thread(fill)
    await look_at_plan()
    await postgres.execute("ANALYZE pandapon.messages", "empty")
    await look_at_plan()


def push_of(number: int, refund: int | None = None, **more: Any) -> tuple[bytes, str]:
    """A signed message about a refund, the later ones of higher numbers."""
    now = round(time.time() * 1000) + number
    body = {"refundId": f"TQ{number if refund is None else refund}", "number": number, **more}
    raw = json.dumps(
        {"messageType": "1688_X_REFUND", "messagePlatform": 1, "timestamp": str(now), "messageBody": body}
    ).encode()
    return raw, hmac.new(b"secret", b"key" + raw, hashlib.sha256).hexdigest()


async def push(receiver: Receiver, *what: Any) -> ReceiverResponse:
    return await receiver.receive(*push_of(*what))


def receiver_of(address: str, **changes: Any) -> Receiver:
    return Receiver(CREDENTIALS, CallbackSettings(**changes), shared=address)


async def until(is_so: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not is_so():  # noqa: ASYNC110 (what happens in a database has no event)
            await asyncio.sleep(0.01)


async def all_done(receiver: Receiver, count: int) -> None:
    async with asyncio.timeout(30):
        while (await receiver.counts())[MessageState.DONE] < count:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_two_receivers_share_the_work_and_keep_the_order_of_each_key(fresh: str) -> None:
    handled: list[tuple[int, int, int]] = []
    at_work: set[str] = set()
    async with receiver_of(fresh, concurrency=4) as one, receiver_of(fresh, concurrency=4) as other:
        for name, receiver in enumerate((one, other)):

            @receiver.on()
            async def handle(message: Message, name: int = name) -> None:
                assert message.key is not None
                assert message.key not in at_work, "two of one key at once"
                at_work.add(message.key)
                await asyncio.sleep(0.002)
                at_work.remove(message.key)
                handled.append((int(str(message.refund_id)[2:]), message.body["number"], name))

        both = itertools.cycle((one, other))
        for number in range(0, 120, 12):
            answers = await asyncio.gather(
                *(push(next(both), number + more, (number + more) % 6) for more in range(12))
            )
            assert {answer.status for answer in answers} == {200}
        await all_done(one, 120)
    assert {name for _, _, name in handled} == {0, 1}
    assert len({number for _, number, _ in handled}) == 120


async def test_who_is_busy_is_helped_at_once(fresh: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A notice wakes the other: without one it would look in a minute."""
    monkeypatch.setattr(dispatch_module, "POLL", 60.0)
    busy, helped = asyncio.Event(), asyncio.Event()
    async with receiver_of(fresh, concurrency=1) as one, receiver_of(fresh) as other:
        free = asyncio.Event()

        @one.on()
        async def wait(_: Message) -> None:
            busy.set()
            await free.wait()

        @other.on()
        async def help_out(_: Message) -> None:
            busy.set()
            helped.set()

        while not busy.is_set():
            await push(one, 1)
            await asyncio.wait([asyncio.ensure_future(busy.wait())], timeout=5)
        await asyncio.gather(*(push(one, number) for number in range(2, 6)))
        async with asyncio.timeout(10):
            await helped.wait()
        free.set()


async def test_a_duplicate_at_the_other_receiver_is_dropped(fresh: str) -> None:
    handled: list[str] = []
    async with receiver_of(fresh) as one, receiver_of(fresh) as other:
        for receiver in (one, other):
            receiver.on()(lambda message: handled.append(message.id))
        message = push_of(1)
        answers = await asyncio.gather(one.receive(*message), other.receive(*message))
        assert [answer.status for answer in answers] == [200, 200]
        await until(lambda: handled)
        assert (await other.receive(*message)).status == 200
        assert sorted((one.statistics.stored, other.statistics.stored)) == [0, 1]
        assert one.statistics.duplicates + other.statistics.duplicates == 2
    assert len(handled) == 1


def test_a_duplicate_waits_for_no_other_receiver(place: MessagePlace) -> None:
    with stores(place, 2) as (one, other):
        put(one, 1)
        with change(one):
            assert taken(one) == [1]
        one.begin(durable=False)
        one.finish(1, MessageState.DONE, 1.0, due=1.0, finished=())
        with change(other):
            assert not other.add(entry(1, "k", 1, True, 0.0), 0.0)
        one.commit()


def test_a_duplicate_keeps_no_other_receiver_waiting(place: MessagePlace) -> None:
    with stores(place, 2) as (one, other):
        put(one, 1)
        with change(one):
            assert taken(one) == [1]
        other.begin(durable=False)
        for _ in range(2):
            assert not other.add(entry(1, "k", 1, True, 0.0), 0.0)
        with change(one):
            one.finish(1, MessageState.DONE, 1.0, due=1.0, finished=())
        other.commit()
        with change(one):
            (record,) = one.find()
            assert (record.state, record.copies) == (MessageState.DONE, 2)


async def test_the_same_messages_in_opposite_order_are_stored_by_both(
    fresh: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each receiver has stored the first of its two before either goes on, if the database lets it."""
    add, met, meeting = SharedMessageStore.add, set[int](), threading.Barrier(2)

    def meet(store: SharedMessageStore, *what: Any) -> bool:
        is_new = add(store, *what)
        if id(store) not in met:
            met.add(id(store))
            with contextlib.suppress(threading.BrokenBarrierError):
                meeting.wait(0.3)
        return is_new

    monkeypatch.setattr(SharedMessageStore, "add", meet)
    first, second = push_of(1), push_of(2)
    async with (
        receiver_of(fresh, answer_within=8.0) as one,
        receiver_of(fresh, answer_within=8.0) as other,
    ):
        answers = await asyncio.gather(
            *(one.receive(*message) for message in (first, second)),
            *(other.receive(*message) for message in (second, first)),
        )
        assert [answer.status for answer in answers] == [200] * 4
        await all_done(one, 2)
        assert one.statistics.stored + other.statistics.stored == 2
    assert len(met) == 2


async def test_a_database_that_is_away_sends_messages_back_and_one_that_is_back_goes_on(
    postgres: Postgres, fresh: str
) -> None:
    handled: list[int] = []
    async with receiver_of(fresh) as one:
        one.on()(lambda message: handled.append(message.body["number"]))
        assert (await push(one, 1)).status == 200
        await asyncio.to_thread(postgres.kill)
        answer = await push(one, 2)
        assert (answer.status, answer.text) == (NOT_STORED.status, NOT_STORED.text)
        await asyncio.to_thread(postgres.start)
        async with asyncio.timeout(30):
            while (await push(one, 2)).status != 200:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        await all_done(one, 2)
        assert sorted(set(handled)) == [1, 2]


async def test_a_receiver_closes_while_the_database_is_away(postgres: Postgres, fresh: str) -> None:
    busy = asyncio.Event()
    one = receiver_of(fresh, grace=0.1)

    @one.on()
    async def wait(_: Message) -> None:
        busy.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(30), one:
        assert (await push(one, 1)).status == 200
        await busy.wait()
        await asyncio.to_thread(postgres.kill)
    assert not one._writer.is_open
    await asyncio.to_thread(postgres.start)
    handled: list[str] = []
    async with receiver_of(fresh) as other:
        other.on()(lambda message: handled.append(message.id))
        async with asyncio.timeout(30):
            await all_done(other, 1)
    assert len(handled) == 1


async def test_a_given_store_holds_and_is_told(
    fresh: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        receiver = Receiver(CREDENTIALS, store=tmp_path / "own.sqlite", shared=fresh)
    assert receiver.path == str(tmp_path / "own.sqlite")
    assert f"the callbacks store passed in is used, not the one in {DatabaseUrl(fresh)}" in caplog.text
    assert receiver_of(fresh).path == str(DatabaseUrl(fresh))


async def test_a_receiver_with_the_least_rights_does_all_of_it(postgres: Postgres, fresh: str) -> None:
    await postgres.execute("DROP ROLE IF EXISTS receiving; CREATE ROLE receiving LOGIN", "empty")
    await create(Database(DatabaseUrl(fresh), Clock()), "receiving")
    address = postgres.address(user="receiving", database="empty")
    handled: list[str] = []
    async with receiver_of(address) as one:
        one.on()(lambda message: handled.append(message.id))
        assert (await push(one, 1)).status == 200
        assert (await one.receive(*push_of(1))).status == 200
        await all_done(one, 2)
        assert await one.replay(handled[:1]) == 1
        await until(lambda: len(handled) == 3)
        await all_done(one, 2)
        assert await one._writer.run(lambda store: store.forget(time.time() + 60)) == 2


async def test_a_database_that_cannot_be_used_is_told_when_it_starts(postgres: Postgres, fresh: str) -> None:
    await postgres.execute("CREATE SCHEMA pandapon; CREATE TABLE pandapon.format (version int)", "empty")
    await postgres.execute("INSERT INTO pandapon.format VALUES (99)", "empty")
    with pytest.raises(ConfigurationError, match="a newer pandapon-async made its schema"):
        async with receiver_of(fresh):
            raise AssertionError
    away = receiver_of("postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(CallbackStoreUnavailableError, match="nothing listens at that address"):
        await away.start()
    await away.aclose()


async def test_the_commands_work_on_the_database(
    fresh: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shell = Shell(monkeypatch, capsys, tmp_path)
    async with receiver_of(fresh, retry=RetryPolicy(attempts=1)) as one:

        @one.on()
        async def fail(_: Message) -> None:
            raise ValueError

        await push(one, 1)
        async with asyncio.timeout(30):
            while not (await one.counts())[MessageState.DEAD]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    listed = await asyncio.to_thread(shell, "callbacks", "list", "--shared", fresh)
    assert listed.code == 0, listed.err
    (row,) = map(json.loads, listed.out.splitlines())
    assert (row["state"], row["refund_id"], row["note"][:10]) == ("dead", "TQ1", "ValueError")
    monkeypatch.setenv("PANDAPON_SHARED", fresh)
    replayed = await asyncio.to_thread(shell, "callbacks", "replay", row["id"][:10])
    assert "1 messages will be handled again" in replayed.err
    monkeypatch.setenv("PANDAPON_BASE_URL", "http://127.0.0.1:1")
    ignored = await asyncio.to_thread(shell, "callbacks", "list", "--counts")
    assert ignored.code == 2
    assert "callbacks.sqlite" in ignored.err
    counts = await asyncio.to_thread(shell, "callbacks", "list", "--counts", "--shared", fresh)
    assert json.loads(counts.out)["pending"] == 1
    as_file = await asyncio.to_thread(shell, "callbacks", "list", "--store", "postgresql://u:word@h/x")
    assert as_file.code == 2
    assert "must be a file" in as_file.err
    assert "word" not in as_file.err
    away = await asyncio.to_thread(shell, "callbacks", "list", "--shared", "postgresql://u@127.0.0.1:1/x")
    assert away.code == 3
    assert "nothing listens at that address" in away.err
