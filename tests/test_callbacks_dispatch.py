"""Handlers: called at least once, again when they fail, in order where there is one, and not for ever."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import itertools
import json
import logging
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import RetryPolicy
from pandapon_async.callbacks import (
    CallbackSettings,
    CallbackType,
    Message,
    MessageState,
    MessageStore,
    Receiver,
    ReceiverResponse,
    dispatch,
)
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import Credentials
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.virtual import LoopClock, virtual_time

CREDENTIALS = Credentials("key", "secret", "1")
DAY = 86_400.0


class Calendar(LoopClock):
    """The loop's time, on a calendar whose leaves can be torn off: days without the hours in between."""

    ahead = 0.0

    def wall(self) -> float:
        return super().wall() + self.ahead


CLOCK = Calendar(jitter=1.0)
CANARY = "13800001111"


def now_ms() -> int:
    return round(CLOCK.wall() * 1000)


def raw(number: int = 1, *, name: str = "1688_X_REFUND", refund: Any = None, at: int | None = None) -> bytes:
    """A message pushed `at` epoch milliseconds (now, if None)."""
    body = {"refundId": f"TQ{number}" if refund is None else refund, "phone": CANARY, "number": number}
    stamp = str(now_ms() if at is None else at)
    return json.dumps(
        {"messageType": name, "messagePlatform": 1, "timestamp": stamp, "messageBody": body}
    ).encode()


async def push(receiver: Receiver, body: bytes) -> ReceiverResponse:
    signature = hmac.new(b"secret", b"key" + body, hashlib.sha256).hexdigest()
    return await receiver.receive(body, signature)


def receiver_of(path: Path, **changes: Any) -> Receiver:
    return Receiver(CREDENTIALS, CallbackSettings(**changes), store=path / "cb.sqlite", clock=CLOCK)


@asynccontextmanager
async def running(path: Path, **changes: Any) -> AsyncIterator[Receiver]:
    async with receiver_of(path, **changes) as receiver:
        yield receiver


async def rest(receiver: Receiver) -> dict[MessageState, int]:
    """Wait until nothing is pending; in virtual time."""
    while True:
        counts = await receiver.counts()
        if not counts[MessageState.PENDING] and not counts[MessageState.HANDLING]:
            return counts
        await asyncio.sleep(0.5)


@virtual_time
async def test_handlers_get_what_they_asked_for(tmp_path: Path) -> None:
    seen: dict[str, list[str]] = {name: [] for name in ("refunds", "everything", "taobao", "exact")}
    async with running(tmp_path) as receiver:

        @receiver.on("1688", "refund")
        async def refunds(message: Message) -> None:
            seen["refunds"].append(message.type)

        @receiver.on()
        def everything(message: Message) -> None:  # a plain function: it runs in a thread
            seen["everything"].append(message.type)

        @receiver.on("taobao")
        async def taobao(message: Message) -> None:
            seen["taobao"].append(message.type)

        @receiver.on("1688", "1688_BRAND_NEW")
        @receiver.on("*", CallbackType.OTHER)
        async def exact(message: Message) -> None:
            seen["exact"].append(message.type)

        for name in ("1688_X_REFUND", "1688_BRAND_NEW"):
            assert await push(receiver, raw(name=name)) == ReceiverResponse(200, "ok")
        await rest(receiver)
    assert seen["refunds"] == ["1688_X_REFUND"]
    assert sorted(seen["everything"]) == ["1688_BRAND_NEW", "1688_X_REFUND"]
    assert seen["taobao"] == []
    assert seen["exact"] == ["1688_BRAND_NEW"]  # registered twice, called once


@virtual_time
async def test_what_nobody_wants_is_kept_and_listed(tmp_path: Path) -> None:
    async with running(tmp_path) as receiver:
        receiver.on("taobao")(lambda message: None)
        await push(receiver, raw())
        assert (await rest(receiver))[MessageState.DONE] == 1
        assert (receiver.statistics.handled, receiver.statistics.unhandled) == (1, 1)
    store = await asyncio.to_thread(MessageStore, tmp_path / "cb.sqlite")
    (record,) = await asyncio.to_thread(lambda: store.find(unhandled=True))
    assert (record.note, record.state) == ("no handler", MessageState.DONE)
    await asyncio.to_thread(store.close)


@virtual_time
async def test_a_duplicate_is_dropped_for_seven_days(tmp_path: Path) -> None:
    calls: list[str] = []
    async with running(tmp_path) as receiver:
        receiver.on()(lambda message: calls.append(message.id))
        body = raw(at=now_ms() + 3_000_000)
        for _ in range(3):
            assert (await push(receiver, body)).status == 200
        await rest(receiver)
        CLOCK.ahead += 20 * 3600
        assert (await push(receiver, body)).status == 200
        await asyncio.sleep(2)
        assert (receiver.statistics.stored, receiver.statistics.duplicates, len(calls)) == (1, 3, 1)
        CLOCK.ahead += 8 * DAY
        await asyncio.sleep(2)
        assert (await receiver.counts())[
            MessageState.DONE
        ] == 0  # forgotten by now; too old to be taken again
        assert await push(receiver, body) == ReceiverResponse(400, "outside_window")
    assert len(calls) == 1


@virtual_time
@pytest.mark.parametrize("stamp", ["", ', "timestamp": "yesterday"', ', "timestamp": null'])
async def test_a_message_without_a_readable_time_is_never_handled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stamp: str
) -> None:
    """Whoever recorded it could play it back for ever: its signature stays right, it never gets old."""
    monkeypatch.setattr(dispatch, "POLL", 60.0)  # of which two hours have 7,200 otherwise
    calls: list[int] = []
    async with running(tmp_path, remember=100.0, older=50.0, newer=50.0) as receiver:
        receiver.on()(lambda message: calls.append(1))
        body = f'{{"messageType": "1688_X", "messageBody": {{}}{stamp}}}'.encode()
        for seconds in (101, 7300, 101):  # the second time what is old has been cleared away
            await push(receiver, body)
            await rest(receiver)
            await asyncio.sleep(seconds)
        assert (await receiver.counts())[MessageState.DONE] == 0
        await push(receiver, body)
        await rest(receiver)
    assert len(calls) == 1


@virtual_time
async def test_retries_that_are_stamped_afresh_are_recognised_on_request(tmp_path: Path) -> None:
    calls: list[Message] = []
    async with running(tmp_path, duplicates="content") as receiver:
        receiver.on()(calls.append)
        await push(receiver, raw())
        await rest(receiver)
        await asyncio.sleep(1800)
        await push(receiver, raw())
        await push(receiver, raw(2))
        await rest(receiver)
    assert [message.body["number"] for message in calls] == [1, 2]


@virtual_time
async def test_a_handler_that_fails_is_called_again_after_a_while(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    attempts: list[tuple[int, float]] = []
    caplog.set_level(logging.INFO)
    async with running(tmp_path, retry=RetryPolicy(attempts=5, base=1.0, maximum=100.0)) as receiver:

        @receiver.on()
        async def stumble(message: Message) -> None:
            attempts.append((message.attempt, CLOCK.now()))
            if message.attempt < 4:
                raise ValueError(f"cannot read {CANARY}")

        await push(receiver, raw())
        counts = await rest(receiver)
        assert (counts[MessageState.DONE], receiver.statistics.failed, receiver.statistics.dead) == (1, 3, 0)
    assert [attempt for attempt, _ in attempts] == [1, 2, 3, 4]
    waits = [later - earlier for (_, earlier), (_, later) in itertools.pairwise(attempts)]
    assert waits == pytest.approx([1, 2, 4], abs=0.1)  # the jitter of the test's clock is the whole
    assert "ValueError" in caplog.text
    assert CANARY not in caplog.text


@virtual_time
async def test_only_handlers_that_failed_are_called_again(tmp_path: Path) -> None:
    calls: list[str] = []
    async with running(tmp_path, retry=RetryPolicy(attempts=3, base=1.0)) as receiver:

        @receiver.on()
        async def first(message: Message) -> None:
            calls.append("first")
            if message.attempt == 1:
                raise RuntimeError

        @receiver.on()
        async def second(message: Message) -> None:
            calls.append("second")

        await push(receiver, raw())
        await rest(receiver)
    assert calls == ["first", "second", "first"]


@virtual_time
async def test_two_handlers_of_one_name_are_two(tmp_path: Path) -> None:
    calls: list[int] = []
    async with running(tmp_path) as receiver:
        for number in (1, 2):
            receiver.on()(lambda message, number=number: calls.append(number))
        await push(receiver, raw())
        await rest(receiver)
    assert calls == [1, 2]


@virtual_time
async def test_a_dead_letter_is_kept_and_can_be_replayed(tmp_path: Path) -> None:
    mended = False
    async with running(tmp_path, retry=RetryPolicy(attempts=2, base=1.0)) as receiver:

        @receiver.on()
        async def broken(message: Message) -> None:
            if not mended:
                raise KeyError(CANARY)

        body = raw()
        await push(receiver, body)
        assert (await rest(receiver))[MessageState.DEAD] == 1
        assert receiver.statistics.dead == 1
        await push(receiver, body)  # the vendor's retry of what is a dead letter is still a duplicate
        CLOCK.ahead += 30 * DAY
        await asyncio.sleep(2)
        assert (await receiver.counts())[MessageState.DEAD] == 1
        mended = True
        assert await receiver.replay() == 1
        assert (await rest(receiver))[MessageState.DONE] == 1
        assert await receiver.replay() == 0
    other = await asyncio.to_thread(MessageStore, tmp_path / "cb.sqlite")
    (record,) = await asyncio.to_thread(other.find)
    assert (record.state, record.note, record.copies) == (MessageState.DONE, None, 1)
    await asyncio.to_thread(other.close)


@virtual_time
async def test_a_note_has_the_error_and_the_handler_and_nothing_else(tmp_path: Path) -> None:
    async with running(tmp_path, retry=RetryPolicy(attempts=1)) as receiver:

        def broken(message: Message) -> None:
            raise KeyError(CANARY)

        receiver.on()(broken)
        await push(receiver, raw())
        await rest(receiver)
    store = await asyncio.to_thread(MessageStore, tmp_path / "cb.sqlite")
    (record,) = await asyncio.to_thread(lambda: store.find(MessageState.DEAD))
    await asyncio.to_thread(store.close)
    assert record.note is not None
    assert record.note.startswith("KeyError in tests.test_callbacks_dispatch.")
    assert CANARY not in record.note
    assert CANARY not in repr(record)


@virtual_time
async def test_a_handler_that_takes_too_long_is_broken_off(tmp_path: Path) -> None:
    ends: list[str] = []
    settings = {"handler_timeout": 5.0, "retry": RetryPolicy(attempts=2, base=1.0)}
    async with running(tmp_path, **settings) as receiver:

        @receiver.on()
        async def slow(message: Message) -> None:
            try:
                await asyncio.sleep(1000 if message.attempt == 1 else 1)
                ends.append("done")
            except asyncio.CancelledError:
                ends.append("broken off")
                raise

        before = CLOCK.now()
        await push(receiver, raw())
        assert (await rest(receiver))[MessageState.DONE] == 1
        assert CLOCK.now() - before < 10
    assert ends == ["broken off", "done"]


@virtual_time
async def test_a_handlers_own_cancellation_is_a_failure_like_any(tmp_path: Path) -> None:
    async with running(tmp_path, retry=RetryPolicy(attempts=1)) as receiver:

        @receiver.on()
        async def cancelled(message: Message) -> None:
            raise asyncio.CancelledError

        await push(receiver, raw())
        assert (await rest(receiver))[MessageState.DEAD] == 1


@virtual_time
async def test_what_is_not_finished_when_it_closes_is_handled_by_the_next(tmp_path: Path) -> None:
    seen: list[tuple[str, int]] = []
    async with running(tmp_path, grace=2.0) as receiver:

        @receiver.on()
        async def slow(message: Message) -> None:
            await asyncio.sleep(1.0 if message.body["number"] == 1 else 50.0)
            seen.append(("first", message.body["number"]))

        for number in (1, 2):
            await push(receiver, raw(number))
        await asyncio.sleep(0.1)
        before = CLOCK.now()
    assert CLOCK.now() - before == pytest.approx(2.0, abs=0.2)
    assert seen == [("first", 1)]  # within the grace
    async with running(tmp_path) as receiver:
        receiver.on()(lambda message: seen.append(("second", message.attempt)))
        await rest(receiver)
    assert seen[1:] == [("second", 1)]  # being closed is no failed attempt


@virtual_time
async def test_what_a_killed_process_was_handling_is_handled_again_but_not_for_ever(tmp_path: Path) -> None:
    path = tmp_path / "cb.sqlite"
    seen: list[int] = []
    async with running(tmp_path) as receiver:
        for number in (1, 2):
            await push(receiver, raw(number, at=now_ms() + number))
        await rest(receiver)

    def as_if_killed() -> None:
        store = MessageStore(path)
        store._connection.execute("UPDATE messages SET state = 'handling', attempts = 1")
        store._connection.execute("UPDATE messages SET attempts = 3 WHERE refund_id = 'TQ2'")
        store.close()

    await asyncio.to_thread(as_if_killed)
    async with running(tmp_path, retry=RetryPolicy(attempts=3, base=1.0)) as receiver:
        receiver.on()(lambda message: seen.append(message.attempt))
        counts = await rest(receiver)
    assert seen == [2]
    assert (counts[MessageState.DONE], counts[MessageState.DEAD]) == (1, 1)


@virtual_time
async def test_only_one_of_two_receivers_on_one_file_handles(tmp_path: Path) -> None:
    seen: list[str] = []
    async with receiver_of(tmp_path) as first:
        first.on()(lambda message: seen.append("first"))
        await push(first, raw(1))
        await rest(first)
        async with receiver_of(tmp_path) as second:
            second.on()(lambda message: seen.append("second"))
            await push(second, raw(2))
            await rest(second)
            assert seen == ["first", "first"]
            await first.aclose()
            await push(second, raw(3))
            await rest(second)
    assert seen == ["first", "first", "second"]


@virtual_time
async def test_no_more_are_handled_at_once_than_allowed(tmp_path: Path) -> None:
    now: set[int] = set()
    most = 0
    async with running(tmp_path, concurrency=3) as receiver:

        @receiver.on()
        async def handle(message: Message) -> None:
            nonlocal most
            now.add(message.body["number"])
            most = max(most, len(now))
            await asyncio.sleep(1.0)
            now.discard(message.body["number"])

        await asyncio.gather(*(push(receiver, raw(number)) for number in range(20)))
        before = CLOCK.now()
        await rest(receiver)
        assert CLOCK.now() - before == pytest.approx(7.0, abs=1.0)
    assert most == 3


@virtual_time
async def test_a_message_knows_its_circumstances(tmp_path: Path) -> None:
    seen: list[Message] = []
    async with running(tmp_path) as receiver:
        receiver.on()(seen.append)
        body = raw()
        await push(receiver, body)
        await rest(receiver)
    (message,) = seen
    assert message.id == hashlib.sha256(body).hexdigest()
    assert (message.access_key, message.attempt, message.raw) == ("key", 1, body)
    assert message.received is not None
    assert abs(message.received - datetime.fromtimestamp(CLOCK.wall(), UTC)) < timedelta(seconds=5)


@pytest.mark.parametrize(
    ("platform", "kind"), [("16888", "*"), ("1688", "refunds"), ("1688", ""), (1688, "*"), ("1688", None)]
)
def test_a_wrong_registration_is_said_at_once(tmp_path: Path, platform: Any, kind: Any) -> None:
    with pytest.raises(ConfigurationError):
        receiver_of(tmp_path).on(platform, kind)


@virtual_time
async def test_a_file_that_fails_for_a_while_loses_nothing_and_repeats_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    calls: list[int] = []
    async with running(tmp_path) as receiver:
        store = receiver._writer._store
        assert store is not None
        whole = store.commit
        failing = 0

        def full() -> None:
            nonlocal failing
            if failing:
                failing -= 1
                raise sqlite3.OperationalError("database or disk is full")
            whole()

        store.commit = full  # type: ignore[method-assign]

        @receiver.on()
        async def handle(message: Message) -> None:
            nonlocal failing
            calls.append(message.attempt)
            failing = 3  # what follows, noting that it is done, fails three times

        await push(receiver, raw())
        await asyncio.sleep(10)
        assert (await rest(receiver))[MessageState.DONE] == 1
    assert calls == [1]
    assert "cannot be recorded as done (CallbackStoreUnavailableError)" in caplog.text


@virtual_time
async def test_a_plain_function_may_give_back_something_to_await(tmp_path: Path) -> None:
    seen: list[int] = []

    async def later(message: Message, number: int) -> None:
        await asyncio.sleep(1)
        seen.append(number)

    class Handler:
        async def __call__(self, message: Message) -> None:
            seen.append(2)

    async with running(tmp_path) as receiver:
        receiver.on()(lambda message: later(message, 1))
        receiver.on()(Handler())
        receiver.on()(functools.partial(later, number=3))
        await push(receiver, raw())
        await rest(receiver)
    assert seen == [1, 2, 3]
