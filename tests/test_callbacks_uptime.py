"""When a store was receiving, and from when on its silence means that nothing was pushed."""

from __future__ import annotations

import asyncio
import itertools
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandapon_async import Client, InvalidArgumentError
from pandapon_async.callbacks import CallbackSettings, MessageState, MessageStore, Receiver, dispatch
from pandapon_async.callbacks.push_log import PushLog
from pandapon_async.callbacks.store import CallbackStoreUnavailableError, Entry
from pandapon_async.callbacks.uptime import HEARTBEAT, LATE
from pandapon_async.follow import follow
from pandapon_async.reconcile import Options
from pandapon_async.sandbox.callbacks import message_frame, refund_body, signature_of
from pandapon_async.settings import Credentials
from tests.support.virtual import LoopClock, VirtualLoop, virtual_time

FORMATS = Path(__file__).parent / "data" / "formats"
CREDENTIALS = Credentials(access_key="key", access_secret="secret", user_id="1")
NUMBERS = itertools.count(1)


@pytest.fixture(autouse=True)
def _hours_pass_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """An hour has 3,600 looks for messages otherwise."""
    monkeypatch.setattr(dispatch, "POLL", 60.0)


def since(path: Path, now: float) -> float | None:
    with PushLog.reading(path) as log:
        return log.receiving_since(now)


def silence(path: Path, now: float, heard: float = 0.0) -> dict[tuple[str, str], float]:
    with PushLog.reading(path) as log:
        return log.silence(now, heard)


def push(
    now: float, platform: str = "taobao", refund_id: str | None = "110", **changes: object
) -> tuple[bytes, str]:
    message_type, body = refund_body(
        platform, refund_id=refund_id or "", order_id="900", status=100, time_sent=now
    )
    body |= {"n": next(NUMBERS), **changes}
    raw = message_frame(
        platform, message_type, {k: v for k, v in body.items() if v is not None}, round(now * 1000)
    )
    return raw, signature_of(CREDENTIALS, raw)


def receiver(path: Path, clock: LoopClock, **changes: object) -> Receiver:
    return Receiver(CREDENTIALS, CallbackSettings(**changes), store=path, clock=clock)  # type: ignore[arg-type]


@pytest.mark.nightly
@virtual_time
async def test_a_receiver_keeps_when_it_was_there(tmp_path: Path) -> None:
    path, clock = tmp_path / "callbacks.sqlite", LoopClock()
    begun = clock.wall()
    async with receiver(path, clock):
        for hours in (0.01, 1, 30):
            await asyncio.sleep(hours * 3600)
            found = await asyncio.to_thread(since, path, clock.wall())
            assert found is not None
            assert found == pytest.approx(begun, abs=1)
    await asyncio.sleep(LATE - 1)
    assert await asyncio.to_thread(since, path, clock.wall()) == pytest.approx(begun, abs=1)
    await asyncio.sleep(2)
    assert await asyncio.to_thread(since, path, clock.wall()) is None
    again = clock.wall()
    async with receiver(path, clock):
        await asyncio.sleep(60)
        assert await asyncio.to_thread(since, path, clock.wall()) == pytest.approx(again, abs=1)


@virtual_time
async def test_a_machine_that_slept_was_not_there(tmp_path: Path) -> None:
    path, clock = tmp_path / "callbacks.sqlite", LoopClock()
    async with receiver(path, clock):
        await asyncio.sleep(100)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.stall(8 * 3600)
        woke = clock.wall()
        await asyncio.sleep(100)
        found = await asyncio.to_thread(since, path, clock.wall())
    assert found == pytest.approx(woke, abs=HEARTBEAT)


@pytest.mark.parametrize("again", ["a", "b"], ids=["the same receiver", "started again"])
def test_what_came_before_a_clock_was_set_back_is_not_compared_with_what_came_after(
    tmp_path: Path, again: str
) -> None:
    """At 7,200 the clock is set back by an hour: a later push would look older than an earlier lookup."""
    path = tmp_path / "callbacks.sqlite"
    with closing(MessageStore(path)) as store:
        store.add(entry(100.0), 0.0)
        for now in range(0, 7_201, int(HEARTBEAT)):
            store.extend_receiving("a", now)
        assert silence(path, 7_200) == {("key", "taobao"): 0.0}
        assert silence(path, 3_700) == {("key", "taobao"): 7_200.0}, "nobody was there since"
        for now in range(3_610, 10_000, int(HEARTBEAT)):
            store.extend_receiving(again, now)
    assert silence(path, 10_000) == {("key", "taobao"): 7_200.0}


Span = tuple[int, int, int]


def overlapping(spans: list[Span], now: int) -> float | None:
    """The definition: go back from now for as long as somebody was there."""
    there = {moment for begin, end, _ in spans for moment in range(begin, end + 1)}
    moment = max((end for begin, end, _ in spans if begin <= now), default=-1000)
    if moment < now - LATE:
        return None
    while moment - 1 in there and any(begin <= moment - 1 < moment <= end for begin, end, _ in spans):
        moment -= 1
    return float(moment)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 120)), max_size=6), st.integers(300, 450))
def test_an_hour_counts_if_one_of_several_receivers_was_there(
    tmp_path: Path, given: list[tuple[int, int]], now: int
) -> None:
    path = tmp_path / f"{next(NUMBERS)}.sqlite"
    spans = [(begin, min(begin + length, now), number) for number, (begin, length) in enumerate(given)]
    with closing(MessageStore(path)) as store:
        for begin, end, number in spans:
            store.extend_receiving(str(number), begin)
            store.extend_receiving(str(number), end)
            store.extend_receiving(str(number), begin)  # a clock that was set back shortens nothing
    assert since(path, now) == overlapping(spans, now)


@virtual_time
async def test_silence_counts_for_a_platform_that_was_heard(tmp_path: Path) -> None:
    path, clock = tmp_path / "callbacks.sqlite", LoopClock()
    begun = clock.wall()
    async with receiver(path, clock) as one:
        await asyncio.sleep(3600)
        assert await asyncio.to_thread(silence, path, clock.wall()) == {}
        body, signature = push(clock.wall())
        assert (await one.receive(body, signature)).status == 200
        await asyncio.sleep(10)
        assert await asyncio.to_thread(silence, path, clock.wall()) == {
            ("key", "taobao"): pytest.approx(begun, abs=1)
        }
        assert await asyncio.to_thread(silence, path, clock.wall(), clock.wall() - 5) == {}
    await asyncio.sleep(3600)
    assert await asyncio.to_thread(silence, path, clock.wall()) == {}


REFUSED = ["signature", "late", "broken", "unsigned"]


@pytest.mark.parametrize("how", REFUSED)
@virtual_time
async def test_a_push_that_was_not_taken_breaks_the_silence(tmp_path: Path, how: str) -> None:
    path, clock = tmp_path / "callbacks.sqlite", LoopClock()
    begun = clock.wall()
    async with receiver(path, clock) as one:
        body, signature = push(clock.wall())
        await one.receive(body, signature)
        await asyncio.sleep(3600)
        refused = clock.wall()
        body, signature = push(refused - (100_000 if how == "late" else 0))
        if how == "broken":
            body = b"[]"
            signature = signature_of(CREDENTIALS, body)
        if how == "signature":
            signature = "0" * 64
        response = await one.receive(body, None if how == "unsigned" else signature)
        assert response.status in (400, 401)
        await asyncio.sleep(600)
        found = (await asyncio.to_thread(silence, path, clock.wall()))[("key", "taobao")]
    if how == "unsigned":  # anybody can send that
        assert found == pytest.approx(begun, abs=1)
    else:
        assert refused <= found <= refused + 2


@virtual_time
async def test_a_store_that_is_full_was_not_receiving(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, clock = tmp_path / "callbacks.sqlite", LoopClock()
    async with receiver(path, clock) as one:
        body, signature = push(clock.wall())
        await one.receive(body, signature)
        await asyncio.sleep(3600)
        with monkeypatch.context() as patch:
            full = CallbackStoreUnavailableError("the disk is full")

            def fail(*_: object) -> None:
                raise full

            patch.setattr(MessageStore, "begin", fail)
            assert (await one.receive(*push(clock.wall()))).status == 503
            await asyncio.sleep(300)
        back = clock.wall()
        await asyncio.sleep(300)
        found = await asyncio.to_thread(since, path, clock.wall())
    assert found is not None
    assert back <= found <= back + 2 * HEARTBEAT


def entry(received: float, **changes: object) -> Entry:
    facts = {
        "id": f"{next(NUMBERS):064x}", "access_key": "key", "platform": "taobao", "type": "T",
        "kind": "refund", "refund_id": "110", "order_id": None, "key": None, "timed": True, "stamped": True,
        "moment": 0, "pushed": 0, "received": received, "due": 0.0, "updated": received, "body": b"{}",
    }  # fmt: skip
    return Entry(**{**facts, **changes})  # type: ignore[arg-type]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MessageStore]:
    with closing(MessageStore(tmp_path / "callbacks.sqlite")) as opened:
        opened.extend_receiving("a", 1000.0)
        opened.extend_receiving("a", 5000.0)
        opened.add(entry(1500.0, state=MessageState.DONE), 0.0)
        yield opened


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1000.0),
        ({"refund_id": None, "order_id": "900"}, 1000.0),
        ({"refund_id": None}, 3000.0),
        ({"platform": "7"}, 3000.0),
        ({"platform": "", "type": "", "kind": "", "refund_id": None, "state": MessageState.DEAD}, 3000.0),
        ({"kind": "price", "refund_id": None}, 1000.0),
    ],
)
def test_a_message_that_may_be_about_any_refund_breaks_the_silence(
    store: MessageStore, changes: dict[str, object], expected: float
) -> None:
    store.add(entry(3000.0, **changes), 0.0)
    assert silence(Path(store.path), 5000.0)["key", "taobao"] == expected


def test_what_was_deleted_for_its_age_breaks_the_silence(store: MessageStore) -> None:
    store.add(entry(2000.0, state=MessageState.DONE), 0.0)
    store.add(entry(4000.0), 0.0)
    assert store.forget(before=1600.0) == 1
    assert silence(Path(store.path), 5000.0) == {("key", "taobao"): 1500.0}
    assert store.forget(before=1600.0) == 0
    assert store.forget(before=9000.0) == 1
    assert silence(Path(store.path), 5000.0) == {("key", "taobao"): 2000.0}


def test_reading_changes_nothing_and_holds_nobody_up(store: MessageStore) -> None:
    with PushLog.reading(store.path) as log:
        before = list(log.refund_messages(0.0))
        store.begin(durable=True)
        store.add(entry(4000.0, refund_id="111"), 0.0)
        store.commit()
        assert [one.refund_id for one in log.refund_messages(1500.0)] == ["111"]
        with pytest.raises(Exception, match="readonly"):
            log._connection.execute("DELETE FROM messages")
    assert [one.refund_id for one in before] == ["110"]


def test_a_store_of_format_4_is_brought_up_and_was_not_receiving(tmp_path: Path) -> None:
    path = Path(shutil.copy(FORMATS / "callbacks-4.sqlite", tmp_path / "callbacks.sqlite"))
    content = path.read_bytes()
    with (
        pytest.raises(CallbackStoreUnavailableError, match=r"has format 4 .* start its receiver"),
        PushLog.reading(path),
    ):
        pass
    assert path.read_bytes() == content
    with closing(MessageStore(path)) as store:
        assert [one.refund_id for one in store.find()] == [None, "TQ3", "TQ2", "TQ1"]
        assert not any(one.damaged for one in store.find())
        store.extend_receiving("a", 1.0)
    assert since(path, 1.0) == 1.0


@pytest.mark.parametrize("name", ["nowhere.sqlite", "other.sqlite"])
def test_a_file_that_is_no_store_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "other.sqlite").write_bytes(b"something else" * 100)
    with pytest.raises(CallbackStoreUnavailableError, match=name), PushLog.reading(tmp_path / name):
        pass
    assert not (tmp_path / "nowhere.sqlite").exists()


@pytest.mark.parametrize(
    "address", ["postgresql://u:word@db.example/x", Path("postgres://u:word@db.example/x")]
)
def test_the_address_of_a_database_is_refused_at_once(address: str | Path) -> None:
    client = Client(Credentials("key", "secret", "1"))
    for begin in (
        lambda: Options(callbacks=address),
        lambda: follow(client, ["110000235001"], callbacks=address),
    ):
        with pytest.raises(
            InvalidArgumentError, match="messages in a shared database are not read"
        ) as caught:
            begin()
        assert "word" not in str(caught.value)
