"""Following refunds: each change once, in time, across restarts, and nothing said that was not seen."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import ClientSession, TCPConnector
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import AuthenticationError, Client, ConfigurationError, InvalidArgumentError, Settings
from pandapon_async.callbacks import CallbackStoreUnavailableError, MessageStore, read
from pandapon_async.callbacks.store import Entry
from pandapon_async.follow import Change, ChangeKind, Following, Pace, Seen, follow
from pandapon_async.follow.store import FORMAT, FollowStore
from pandapon_async.sandbox import Fault, FaultKind, Sandbox
from pandapon_async.sandbox.states import MOVES
from tests.support import virtual
from tests.support.virtual import LoopClock, virtual_time

HOUR = 3600.0
DAY = 24 * HOUR
QUICK = Pace(usual=timedelta(seconds=60), near=timedelta(seconds=5))
OPEN: dict[str, str | int] = {"1688": "waitselleragree", "taobao": 10}


class FreshClock(LoopClock):
    """Nonces that no second client repeats."""

    nonces = iter(range(10**9))

    def nonce(self) -> str:
        return f"{next(self.nonces):032d}"


def sandbox(refunds: int = 400, **settings: Any) -> Sandbox:
    return Sandbox(refunds=refunds, seed=7, clock=LoopClock(), sleep=asyncio.sleep, **settings)


def client(server: Sandbox, **changes: Any) -> Client:
    credentials = changes.pop("credentials", server.credentials)
    return Client(
        credentials, Settings(**{"base_url": server.base_url, "rate": None, "clock": FreshClock(), **changes})
    )


@asynccontextmanager
async def passing(server: Sandbox) -> AsyncIterator[Client]:
    """A client for long times: no connection is kept, whose upkeep would wake the loop every minute."""
    connector = TCPConnector(force_close=True)
    settings = Settings(base_url=server.base_url, rate=None, clock=FreshClock())
    async with (
        ClientSession(connector=connector) as session,
        Client(server.credentials, settings, session=session) as pandapon,
    ):
        yield pandapon


def open_refunds(server: Sandbox, count: int) -> list[Any]:
    """Refunds that can still change, of both platforms in turn."""
    return [
        server.find(("1688", "taobao")[n % 2], OPEN[("1688", "taobao")[n % 2]], n // 2) for n in range(count)
    ]


def ids(refunds: Iterable[Any]) -> list[str]:
    return [one.refund_id for one in refunds]


async def taken(following: Following, count: int) -> list[Change]:
    """The next changes; each is taken but the last, which is in hand."""
    return [await anext(following) for _ in range(count)]


async def later(seconds: float) -> None:
    await asyncio.sleep(seconds)


@attrs.define
class World:
    """What really happens to refunds, and when each change of it was seen."""

    server: Sandbox
    refunds: list[Any]
    happened: dict[tuple[str, str], float] = attrs.field(factory=dict)
    seen: dict[tuple[str, str], float] = attrs.field(factory=dict)
    twice: list[Change] = attrs.field(factory=list)

    def see(self, change: Change, now: float) -> None:
        if change.kind is ChangeKind.STUCK:
            return
        key = change.refund_id, str(change.after.status)
        if key in self.seen:
            self.twice.append(change)
        self.seen[key] = now

    async def live(self, draw: random.Random, following: Following, pushed: set[str], days: float) -> None:
        """Every refund goes its way to the end, a step at a time, each in a state of its own."""
        moves = sorted(
            (draw.uniform(step + 0.4, step + 0.9) * days * DAY / 4, one.number)
            for one in self.refunds
            for step in range(4)
        )
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for moment, number in moves:
            await later(begun + moment - loop.time())
            now = self.server.refund(number)
            been = {status for refund_id, status in self.happened if refund_id == now.refund_id}
            ways = [way for way in MOVES[now.platform].get(now.status, ()) if str(way) not in been]
            ways = [way for way in ways if str(way) != str(OPEN[now.platform])]
            if not ways:
                continue
            way = draw.choice(ways)
            self.server.advance(number, way)
            self.happened[now.refund_id, str(way)] = loop.time()
            if now.refund_id in pushed:
                assert following.pushed(now.refund_id)


async def months(count: int, days: float) -> tuple[World, int]:
    """Follow refunds while they live; gives what happened, and the number of calls."""
    draw = random.Random(5)
    async with sandbox(16 * count) as server:
        refunds = open_refunds(server, count)
        world = World(server, refunds)
        pushed = {one.refund_id for one in refunds if draw.random() < 0.5}
        async with passing(server) as pandapon, follow(pandapon, ids(refunds)) as changes:
            life = asyncio.ensure_future(world.live(draw, changes, pushed, days))
            loop = asyncio.get_running_loop()
            end = loop.time() + (days + 1) * DAY
            try:
                async with asyncio.timeout_at(end):
                    async for change in changes:
                        world.see(change, loop.time())
            except TimeoutError:
                pass
            await life
        for key, moment in world.happened.items():
            assert key in world.seen, f"{key} was missed"
            allowed = 1.0 if key[0] in pushed else 6 * HOUR + 1
            assert world.seen[key] - moment <= allowed, (key, world.seen[key] - moment)
        assert world.twice == []
        return world, server.counters.requests


@virtual_time
async def test_no_change_is_missed_and_none_is_seen_twice() -> None:
    world, calls = await months(12, days=8)
    assert len(world.happened) > 15
    assert len(world.seen) == len(world.happened) + 12  # the first look at each
    assert calls < 12 * 9 * 5


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_of_a_thousand_refunds_over_a_month_no_change_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "PATIENCE", 0.0005)  # half as long, as this takes long enough
    virtual.run(a_month_of_a_thousand())


async def a_month_of_a_thousand() -> None:
    world, calls = await months(1000, days=30)
    delays = sorted(world.seen[key] - moment for key, moment in world.happened.items())
    print(
        f"changes {len(delays)}, calls {calls}, delay median {delays[len(delays) // 2]:.0f} s, "
        f"longest {delays[-1]:.0f} s"
    )


@virtual_time
async def test_the_first_look_says_where_each_stands_and_what_ended_is_left_alone() -> None:
    async with sandbox() as server:
        ended = server.find("1688", "refundsuccess")
        waiting = server.find("1688", "waitselleragree")
        async with client(server) as pandapon, follow(pandapon, ids([ended, waiting]), pace=QUICK) as changes:
            modified = (await pandapon.alibaba.refunds.get(refund_id=ended.refund_id)).gmt_modified
            first = {change.refund_id: change for change in await taken(changes, 2)}
            assert {change.kind for change in first.values()} == {ChangeKind.FIRST}
            assert first[ended.refund_id].done
            assert modified is not None
            assert datetime.fromisoformat(first[ended.refund_id].since) == modified
            assert first[ended.refund_id].after.refunded_fen == ended.refund_payment
            assert not first[waiting.refund_id].done
            server.advance(waiting.number, "refundclose")
            rest = [change async for change in changes]
        assert [
            (change.kind, change.before and change.before.status, change.after.status) for change in rest
        ] == [(ChangeKind.CHANGED, "waitselleragree", "refundclose")]
        assert rest[0].since == rest[0].seen_at > first[waiting.refund_id].seen_at
        assert changes.left() == 0
        assert [record.endpoint for record in server.log].count("alibaba.refunds.get") == len(server.log)


@virtual_time
async def test_what_was_taken_is_not_said_again_and_what_was_in_hand_is(tmp_path: Path) -> None:
    state = tmp_path / "follow.sqlite"
    async with sandbox() as server, client(server) as pandapon:
        refunds = open_refunds(server, 6)
        killed = follow(pandapon, ids(refunds), state=state, pace=QUICK, concurrency=2)
        first = await taken(killed, 3)
        await killed.aclose()  # as if the process ended here: two are taken, one is in hand
        async with follow(pandapon, ids(refunds), state=state, pace=QUICK) as changes:
            again = await taken(changes, 4)
        assert {change.refund_id for change in first[:2]}.isdisjoint(change.refund_id for change in again)
        assert first[2].id in {change.id for change in again}
        server.advance(refunds[0].number, "refundsuccess")
        async with follow(pandapon, ids(refunds), state=state, pace=QUICK) as changes:
            (change,) = await taken(changes, 1)
        assert (change.refund_id, change.after.status) == (refunds[0].refund_id, "refundsuccess")


@virtual_time
async def test_an_error_in_the_loop_gives_the_change_back(tmp_path: Path) -> None:
    state = tmp_path / "follow.sqlite"
    async with sandbox() as server, client(server) as pandapon:
        (one,) = ids(open_refunds(server, 1))

        async def fails() -> None:
            async with follow(pandapon, [one], state=state) as changes:
                async for _ in changes:
                    raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fails()
        async with follow(pandapon, [one], state=state) as changes:
            (change,) = await taken(changes, 1)
            assert change.refund_id == one


@virtual_time
async def test_a_timeout_while_waiting_loses_nothing() -> None:
    async with sandbox() as server, client(server) as pandapon:
        (one,) = open_refunds(server, 1)
        async with follow(pandapon, [one.refund_id], pace=QUICK) as changes:
            await taken(changes, 1)
            for _ in range(3):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(100):
                        await anext(changes)
            server.advance(one.number, "refundclose")
            (change,) = await taken(changes, 1)
            assert change.after.status == "refundclose"


@virtual_time
async def test_a_push_is_looked_up_at_once_and_again_soon_if_nothing_shows_yet() -> None:
    async with sandbox() as server, client(server) as pandapon:
        (one,) = open_refunds(server, 1)
        pace = Pace(usual=timedelta(hours=6), near=timedelta(minutes=10))
        async with follow(pandapon, [one.refund_id], pace=pace) as changes:
            await taken(changes, 1)
            begun = asyncio.get_running_loop().time()
            waiting = asyncio.ensure_future(anext(changes))
            await later(60)
            body = b'{"messageType":"X","messagePlatform":1,"messageBody":{"refundId":"%s"}}'
            assert changes.pushed(read(body % one.refund_id.encode()))  # too early: nothing to see
            assert not changes.pushed(read(body % b"TQ1"))
            await later(60)
            server.advance(one.number, "refundclose")
            change = await waiting
            assert change.after.status == "refundclose"
            assert asyncio.get_running_loop().time() - begun < 700


@virtual_time
async def test_a_push_during_a_look_leads_to_another_look() -> None:
    faults = [Fault(FaultKind.LATENCY, endpoint="*.refunds.get", times=1, delay=5)]
    async with sandbox(faults=faults) as server, client(server) as pandapon:
        (one,) = open_refunds(server, 1)
        async with follow(pandapon, [one.refund_id]) as changes:
            waiting = asyncio.ensure_future(anext(changes))
            await later(1)
            assert changes.pushed(one.refund_id)
            first = await waiting
            assert first.kind is ChangeKind.FIRST
            waiting = asyncio.ensure_future(anext(changes))
            await later(1)
            assert changes.looks == 2
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


@virtual_time
async def test_goods_that_are_not_received_are_reported_once_and_listed() -> None:
    async with sandbox() as server, passing(server) as pandapon:
        back = server.find("taobao", 30)
        async with follow(pandapon, [back.refund_id], stuck_after=timedelta(days=3)) as changes:
            (first,) = await taken(changes, 1)
            assert changes.stuck() == []
            (stuck,) = await taken(changes, 1)
            assert (stuck.kind, stuck.after, stuck.since) == (ChangeKind.STUCK, first.after, first.since)
            assert [one.refund_id for one in changes.stuck()] == [back.refund_id]
            assert changes.stuck()[0].days == 3
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(DAY):
                    await anext(changes)
        assert [one.to_dict()["days"] for one in changes.stuck()] == [4]


@virtual_time
async def test_a_failed_look_says_nothing_and_is_repeated() -> None:
    faults = [Fault(FaultKind.ERROR_500, endpoint="*.refunds.get", times=30)]
    async with sandbox(faults=faults) as server, client(server) as pandapon:
        (one,) = open_refunds(server, 1)
        async with follow(pandapon, [one.refund_id]) as changes:
            (change,) = await taken(changes, 1)
            assert change.kind is ChangeKind.FIRST
            assert changes.failed > 0
            assert changes.looks == changes.failed + 1


@virtual_time
async def test_what_the_platform_does_not_have_is_missing_until_it_appears() -> None:
    nowhere = "TQ999999999999999999"
    async with (
        sandbox() as server,
        client(server) as pandapon,
        follow(pandapon, [nowhere], pace=QUICK) as changes,
    ):
        (change,) = await taken(changes, 1)
        assert (change.kind, change.after, change.done) == (ChangeKind.MISSING, Seen(), False)
        assert change.to_dict()["state"] is None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(600):
                await anext(changes)


@virtual_time
async def test_a_refused_key_ends_the_loop(tmp_path: Path) -> None:
    async with sandbox() as server:
        refunds = ids(open_refunds(server, 3))
        wrong = attrs.evolve(server.credentials, access_secret="no")
        async with client(server, credentials=wrong) as pandapon:
            changes = follow(pandapon, refunds, state=tmp_path / "f")
            with pytest.raises(AuthenticationError):
                await anext(changes)
            assert changes.left() == 3


@virtual_time
async def test_a_wanted_state_ends_it_and_another_end_is_counted(tmp_path: Path) -> None:
    state = tmp_path / "f.sqlite"
    async with sandbox() as server, client(server) as pandapon:
        sent = server.find("1688", "waitsellerreceive")
        closed = server.find("1688", "refundclose")
        both = ids([sent, closed])
        async with follow(pandapon, both, wanted=["等待卖家收货"], state=state) as changes:
            found = {change.refund_id: change async for change in changes}
        assert found[sent.refund_id].wanted
        assert not found[closed.refund_id].wanted
        assert found[closed.refund_id].done
        assert (changes.left(), changes.ended_elsewhere) == (0, 1)
        server.advance(sent.number, "refundsuccess")
        async with follow(pandapon, both, wanted=["refundsuccess"], state=state) as changes:
            assert changes.left() == 1  # waited for again, as another state is wanted now
            assert [change.wanted async for change in changes] == [True]
        assert changes.ended_elsewhere == 1


@virtual_time
async def test_what_cannot_work_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with sandbox() as server, client(server) as pandapon:
        with pytest.raises(InvalidArgumentError, match="'abc' is not a refund id"):
            follow(pandapon, ["abc"])
        with pytest.raises(InvalidArgumentError, match="no refund ids"):
            follow(pandapon, [])
        with pytest.raises(InvalidArgumentError, match="'gone' is not a state"):
            follow(pandapon, ["TQ1"], wanted=["gone"])
        with pytest.raises(InvalidArgumentError, match="no state of taobao"):
            follow(pandapon, ["TQ1", "123"], wanted=["refundsuccess"])
        with pytest.raises(InvalidArgumentError, match="stuck_after"):
            follow(pandapon, ["TQ1"], stuck_after=timedelta(0))
        with pytest.raises(ConfigurationError, match="usual"):
            Pace(usual=timedelta(0))
        state = tmp_path / "f.sqlite"
        async with follow(pandapon, ["TQ1"], state=state):
            with pytest.raises(ConfigurationError, match="another process"):
                await anext(follow(pandapon, ["TQ1"], state=state))
        other = attrs.evolve(server.credentials, user_id="88")
        async with client(server, credentials=other) as another:
            with pytest.raises(ConfigurationError, match="another vendor or sub-account"):
                await anext(follow(another, ["TQ1"], state=state))
        assert len(server.log) == 0


@virtual_time
async def test_looks_wait_behind_bulk_work() -> None:
    from pandapon_async.bulk import fetch_refunds

    async with sandbox() as server, client(server, rate=5) as pandapon:
        refunds = ids(open_refunds(server, 40))
        async with follow(pandapon, refunds[:20]) as changes:
            waiting = asyncio.ensure_future(taken(changes, 20))
            await later(0.5)
            done = 0
            async with aclosing(
                fetch_refunds(pandapon, refunds[20:], lambda one: "1688" if one[0] == "T" else "taobao")
            ) as results:
                async for _ in results:
                    done += 1
            assert done == 20
            assert not waiting.done()
            assert len(await waiting) == 20


@pytest.mark.parametrize("seed", range(10))
def test_deaths_lose_no_change_and_repeat_only_the_one_in_hand(seed: int, tmp_path: Path) -> None:
    virtual.run(a_life_with_deaths(random.Random(seed), tmp_path / "follow.sqlite"))


async def a_life_with_deaths(draw: random.Random, state: Path) -> None:
    """Steps of refunds, changes taken and deaths in any order; at the end all is seen."""
    taken_ids: list[str] = []
    async with sandbox() as server, client(server) as pandapon:
        refunds = open_refunds(server, 5)
        following = follow(pandapon, ids(refunds), state=state, pace=QUICK, concurrency=3)
        in_hand: Change | None = None
        for _ in range(40):
            match draw.choice(("step", "take", "take", "take", "die")):
                case "step":
                    one = server.refund(draw.choice(refunds).number)
                    if ways := MOVES[one.platform].get(one.status, ()):
                        server.advance(one.number, draw.choice(ways))
                        following.pushed(one.refund_id)
                case "die":
                    in_hand = None
                    await following.aclose()
                    following = follow(pandapon, ids(refunds), state=state, pace=QUICK, concurrency=3)
                case _:
                    try:
                        async with asyncio.timeout(0.5):
                            change = await anext(following)
                    except (TimeoutError, StopAsyncIteration):
                        change = None
                    if in_hand is not None:
                        taken_ids.append(in_hand.id)
                    in_hand = change
        for refund in refunds:
            now = server.refund(refund.number)
            if now.open:
                server.advance(now.number, "refundclose" if now.platform == "1688" else -20)
        async with following:
            async for change in following:
                if in_hand is not None:
                    taken_ids.append(in_hand.id)
                in_hand = change
    if in_hand is not None:
        taken_ids.append(in_hand.id)
    assert len(taken_ids) == len(set(taken_ids))
    with FORMAT.reading(state) as (connection, _):
        last = dict(connection.execute("SELECT refund_id, status FROM refunds").fetchall())
    assert last == {one.refund_id: str(server.refund(one.number).status) for one in refunds}


@virtual_time
async def test_what_a_receiver_stored_is_looked_up_and_nothing_of_it_is_lost(tmp_path: Path) -> None:
    pushes, state = tmp_path / "callbacks.sqlite", tmp_path / "follow.sqlite"
    async with sandbox() as server, client(server) as pandapon:
        one, two = open_refunds(server, 2)
        with pytest.raises(CallbackStoreUnavailableError, match="does not exist"):
            await anext(follow(pandapon, [one.refund_id], callbacks=pushes))
        with closing(MessageStore(pushes)) as store:
            store_push(store, one, "old")
            async with follow(pandapon, ids([one, two]), state=state, callbacks=pushes) as changes:
                await taken(changes, 2)
                server.advance(one.number, "refundclose")
                store_push(store, one, "new")
                begun = asyncio.get_running_loop().time()
                (change,) = await taken(changes, 1)
                assert (change.refund_id, change.pushed) == (one.refund_id, True)
                assert asyncio.get_running_loop().time() - begun < 6
                looks = changes.looks
            assert looks == 3  # what was there before the first look hurried nothing
            server.advance(two.number, -20)
            store.begin(durable=False)
            for number in range(1_100):  # more than are read at once, about a refund that nobody follows
                store_push(store, attrs.evolve(two, refund_id="99"), f"other {number}")
            store_push(store, two, "while nobody followed")
            store.commit()
            async with follow(pandapon, ids([one, two]), state=state, callbacks=pushes) as changes:
                (change,) = await taken(changes, 1)
                assert (change.refund_id, change.pushed) == (two.refund_id, True)


@virtual_time
async def test_a_damaged_file_is_named_and_nothing_of_it_is_believed(tmp_path: Path) -> None:
    state = tmp_path / "follow.sqlite"
    async with sandbox() as server, client(server) as pandapon:
        refunds = ids(open_refunds(server, 3))
        async with follow(pandapon, refunds, state=state) as changes:
            await taken(changes, 3)
        with closing(sqlite3.connect(state)) as connection, connection:
            connection.execute("UPDATE refunds SET applied_fen = 1 WHERE refund_id = ?", (refunds[1],))
        with pytest.raises(ConfigurationError, match="damaged"):
            await anext(follow(pandapon, refunds, state=state))
        async with follow(pandapon, [refunds[0]], state=tmp_path / "other", pace=QUICK) as changes:
            await taken(changes, 1)
            with closing(sqlite3.connect(":memory:")) as broken:
                changes._store, whole = FollowStore("other", FORMAT, broken), changes._store
                with pytest.raises(ConfigurationError, match="cannot be used"):
                    changes.pushed(refunds[0])
                with pytest.raises(ConfigurationError, match="cannot be used"):
                    await anext(changes)
            assert whole is not None
            whole.close()
        assert changes.left() == 1


def store_push(store: MessageStore, refund: Any, name: str) -> None:
    when: dict[str, Any] = {"moment": 1, "pushed": 1, "received": 1.0, "due": 1.0, "updated": 1.0}
    what = {"platform": refund.platform, "refund_id": refund.refund_id, "body": b"{}"}
    store.add(Entry(id=name, access_key="k", **when, **what), forget_before=0)


MOMENTS = st.integers(0, 400 * 86_400).map(float)


@given(now=MOMENTS, deadline=st.none() | MOMENTS, soon=st.booleans(), name=st.text(max_size=5))
def test_the_next_look_is_later_and_not_later_than_the_usual_time(
    now: float, deadline: float | None, soon: bool, name: str
) -> None:
    pace = Pace()
    said = None if deadline is None else datetime.fromtimestamp(deadline, UTC).isoformat()
    found = pace.next_look(name, now, Seen(status="waitbuyersend", deadline=said), soon=soon)
    assert now < found <= now + 6 * HOUR
    if soon or (deadline is not None and abs(deadline - now) < DAY):
        assert found <= now + 900
    if deadline is not None and now < deadline - DAY:
        assert found <= deadline - DAY
