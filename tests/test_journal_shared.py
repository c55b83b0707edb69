"""One journal for several machines, in a real PostgreSQL: a write happens once, whoever asks and dies."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import random
import signal
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Client, Clock, ConfigurationError, Outcome, RetryPolicy, Settings
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.errors import (
    DuplicateIntentError,
    JournalUnavailableError,
    NextStep,
    NotSentError,
)  # fmt: skip
from pandapon_async.journal import Intent, IntentState, Journal, WriteKey
from pandapon_async.journal import shared_store as module
from pandapon_async.journal.shared_store import LEASE_SECONDS, SharedJournal
from pandapon_async.journal.writes import before_sending
from pandapon_async.sandbox import Sandbox
from pandapon_async.shared.database import LOCK_CLASS, Database
from tests.support.clients import borrowing
from tests.support.clients import client as client_of
from tests.support.examples import examples
from tests.support.faults import close_before_answer
from tests.support.journals import noted
from tests.support.plan_files import returnable
from tests.support.postgres import Postgres
from tests.support.server import Exchange, FaultServer, ok
from tests.support.shared_writer import application

GONE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pandapon'"


@pytest.fixture
async def fresh(postgres: Postgres) -> str:
    """The address of a database in which nothing was written yet."""
    return await postgres.empty()


@asynccontextmanager
async def machines(address: str, count: int) -> AsyncIterator[list[Journal]]:
    journals: list[Journal] = [SharedJournal(DatabaseUrl(address)) for _ in range(count)]
    try:
        yield journals
    finally:
        for journal in journals:
            await journal.aclose()


async def ended(work: Awaitable[Any]) -> Any:
    try:
        return await work
    except Exception as error:
        return error


async def test_however_machines_meet_a_key_is_written_once(fresh: str) -> None:
    """Each is confirmed at once: the moment in which a ported statement lets the next one through."""
    keys, machine_count = 12, 4
    done: collections.Counter[int] = collections.Counter()
    async with machines(fresh, machine_count) as journals:

        async def write(journal: Journal, key: int) -> None:
            try:
                intent = await noted(journal, natural_key={"k": key}, once=True)
                await journal.sending(intent)
            except DuplicateIntentError:
                return
            done[key] += 1
            await journal.resolve(intent.id, IntentState.CONFIRMED)

        for _ in range(3):
            work = [(journal, key) for journal in journals for key in range(keys)]
            random.shuffle(work)
            await asyncio.gather(*(write(*one) for one in work))
        assert await journals[0].counts() == {IntentState.CONFIRMED: keys}
        assert await journals[0].mark() == 2 * keys
        assert len({await journal.identity() for journal in journals}) == 1
    assert set(done.values()) == {1}
    assert len(done) == keys


async def test_a_write_about_the_same_line_stands_in_the_way_on_every_machine(fresh: str) -> None:
    async with machines(fresh, 2) as (one, other):
        await noted(one, natural_key={"k": 1}, subjects=("o 1/1", "o 1/2"))
        with pytest.raises(DuplicateIntentError, match="about the same thing"):
            await noted(other, natural_key={"k": 2}, subjects=("o 1/2",))
        await noted(other, natural_key={"k": 3}, subjects=("o 2/1",))


async def test_what_a_dead_machine_left_is_unknown_and_what_a_living_one_has_is_its_own(fresh: str) -> None:
    async with machines(fresh, 3) as (dead, living, third):
        intents = [await noted(one, natural_key={"k": n}) for n, one in enumerate((dead, dead, living))]
        for intent, journal in ((intents[0], dead), (intents[2], living)):
            await journal.sending(intent)
        await dead.aclose()
        await third.open()
        states = [(await third.get(intent.id)) for intent in intents]
        assert [one and one.state for one in states] == ["unknown", "not_sent", "sent"]


async def test_a_machine_that_lost_its_connection_is_alive_again_and_sends_nothing_it_lost(
    postgres: Postgres, fresh: str
) -> None:
    """Its lock was free for a moment, so another machine ended its writes; it must not send them any more."""
    async with machines(fresh, 2) as (one, other):
        intended = await noted(one, natural_key={"k": 1})
        sent = await noted(one, natural_key={"k": 2})
        await one.sending(sent)
        await postgres.execute(GONE)
        await other.open()
        assert {one.state async for one in other.all()} == {IntentState.NOT_SENT, IntentState.UNKNOWN}
        with pytest.raises(
            JournalUnavailableError, match=r"another program settled intent .*; nothing was sent"
        ):
            await one.sending(intended)
        assert await one.resolve(sent.id, IntentState.CONFIRMED), "its answer is believed all the same"
        again = await noted(one, natural_key={"k": 3})
        await other.aclose()
        await other.open()
        found = await other.get(again.id)
        assert found is not None
        assert found.state is IntentState.INTENDED, "the session of the new connection is alive"


async def test_a_change_waits_until_the_group_of_another_machine_has_ended(fresh: str) -> None:
    def begun() -> module.SharedJournalStore:
        store = module.SharedJournalStore(DatabaseUrl(fresh), Clock())
        store.begin(durable=True)
        return store

    async with machines(fresh, 1) as (journal,):
        await noted(journal, natural_key={"k": 1})
        other = await asyncio.to_thread(begun)
        waiting = asyncio.ensure_future(noted(journal, natural_key={"k": 2}))
        assert not (await asyncio.wait((waiting,), timeout=0.3))[0]
        await asyncio.to_thread(other.commit)
        await waiting
        await asyncio.to_thread(other.close)


@pytest.mark.parametrize("noticed", [False, True])
async def test_a_group_whose_connection_breaks_is_done_as_a_whole_or_not_at_all(
    postgres: Postgres, fresh: str, monkeypatch: pytest.MonkeyPatch, noticed: bool
) -> None:
    commit = module.SharedJournalStore.commit

    def cut(store: Any) -> None:
        monkeypatch.setattr(module.SharedJournalStore, "commit", commit)
        asyncio.run(postgres.execute(GONE))
        if noticed:  # the connection knows that it is gone, so the next statement would go to another one
            store._connection._loop.run_until_complete(asyncio.sleep(0.1))
        commit(store)

    async with machines(fresh, 1) as (journal,):
        await noted(journal, natural_key={"k": 0})
        monkeypatch.setattr(module.SharedJournalStore, "commit", cut)
        found = await asyncio.gather(
            *(ended(noted(journal, natural_key={"k": number})) for number in range(1, 4))
        )
        assert {type(one) for one in found} == {JournalUnavailableError}
        assert "nothing was sent" in str(found[0])
        assert len(await journal.find()) == 1


async def test_a_database_that_is_away_sends_nothing_and_one_that_is_back_goes_on(
    postgres: Postgres, fresh: str
) -> None:
    shared: Any = fresh
    async with (
        FaultServer(then=ok({"success": True})) as vendor,
        client_of(vendor.url, shared=shared, rate=100.0, timeout=30.0, clock=Clock()) as pandapon,
    ):
        await pandapon.request("POST", "/thing", json={"n": 1})
        await asyncio.to_thread(postgres.kill)
        lost = await ended(pandapon.request("POST", "/thing", json={"n": 2}))
        assert type(lost) is JournalUnavailableError
        assert lost.outcome is Outcome.NOT_SENT
        assert len(vendor.requests) == 1
        await asyncio.to_thread(postgres.start)
        await pandapon.request("POST", "/thing", json={"n": 3})
        assert await pandapon.journal.counts() == {IntentState.CONFIRMED: 2}


class Jumping(Clock):
    """A clock that goes on while a process is stopped."""

    def __init__(self) -> None:
        self.monotonic = self.sleep = 0.0

    def now(self) -> float:
        return super().now() + self.monotonic

    def wall(self) -> float:
        return super().wall() + self.sleep


@pytest.mark.parametrize(
    ("borrowed", "body", "what"),
    [
        (False, {"n": 1}, "monotonic"),
        (False, None, "sleep"),
        (True, {"n": 1}, "sleep"),
        (True, None, "monotonic"),
        pytest.param(False, {"n": 1}, "sleep", marks=pytest.mark.nightly),
        pytest.param(False, None, "monotonic", marks=pytest.mark.nightly),
        pytest.param(True, {"n": 1}, "monotonic", marks=pytest.mark.nightly),
        pytest.param(True, None, "sleep", marks=pytest.mark.nightly),
    ],
)
async def test_no_first_byte_leaves_when_the_note_is_old(
    fresh: str, borrowed: bool, body: dict[str, int] | None, what: str
) -> None:
    """A process is stopped between note and byte, and continued after others have settled the write."""
    clock, shared = Jumping(), fresh
    jumps = iter([LEASE_SECONDS + 0.1])

    async def stopped(_mark: int, _intent: str) -> None:
        setattr(clock, what, getattr(clock, what) + next(jumps, 0.0))

    async with FaultServer(then=ok({"success": True})) as vendor, borrowing(borrowed) as session:
        changes: dict[str, Any] = {"shared": shared, "rate": 100.0, "timeout": 60.0, "clock": clock}
        pandapon = client_of(vendor.url, session, **changes, retry=RetryPolicy(attempts=1))
        token = before_sending.set(stopped)
        try:
            late = await ended(pandapon.request("POST", "/thing", json=body))
        finally:
            before_sending.reset(token)
        assert type(late) is NotSentError
        assert "more than 5 s passed between recording a write and its first byte" in str(late)
        assert vendor.requests == []
        assert await pandapon.journal.counts() == {IntentState.NOT_SENT: 1}
        await pandapon.request("POST", "/thing", json=body)
        assert len(vendor.requests) == 1
        await pandapon.aclose()


async def test_who_is_stopped_while_it_changes_the_journal_does_not_stop_the_others(fresh: str) -> None:
    stopped = Database(DatabaseUrl(fresh), Clock())
    async with machines(fresh, 1) as (journal,):
        await noted(journal, natural_key={"k": 1})
        await stopped.run(
            lambda connection: connection.execute(
                f"BEGIN; SELECT pg_advisory_xact_lock({LOCK_CLASS}, {module.CHANGE_LOCK})"
            ),
            seconds=5,
        )
        await noted(journal, natural_key={"k": 2})
        await stopped.aclose()


async def test_after_a_failover_each_write_is_looked_for_first(postgres: Postgres, fresh: str) -> None:
    """The newest rows may be missing on the server that took over; the vendor knows what was done."""
    shared: Any = fresh
    name = DatabaseUrl(fresh).database or ""
    async with Sandbox() as sandbox:
        refunds = returnable(sandbox, 2)
        given = {"logistics_company_no": "SF", "freight_bill": "SF100"}
        settings = Settings(base_url=sandbox.base_url, rate=50.0, shared=shared)
        async with Client(sandbox.credentials, settings) as pandapon:
            await pandapon.alibaba.refunds.return_goods(refund_id=refunds[0], **given)
        # What a replica shows that had not heard of the last write: another history, and no row of it.
        await postgres.execute("UPDATE pandapon.history SET timeline = timeline - 1", name)
        await postgres.execute("DELETE FROM pandapon.intents", name)
        effects = len(sandbox.effects)
        async with Client(sandbox.credentials, settings) as pandapon:
            done = await ended(pandapon.alibaba.refunds.return_goods(refund_id=refunds[0], **given))
            assert type(done) is DuplicateIntentError
            young = await ended(pandapon.alibaba.refunds.return_goods(refund_id=refunds[1], **given))
            assert type(young) is DuplicateIntentError
            assert young.next_step is NextStep.WAIT
        assert len(sandbox.effects) == effects
        await postgres.execute("UPDATE pandapon.history SET since = since - 601", name)
        async with Client(sandbox.credentials, settings) as pandapon:
            await pandapon.alibaba.refunds.return_goods(refund_id=refunds[1], **given)
        assert len(sandbox.effects) == effects + 1


async def fail_over(postgres: Postgres, address: str, *, seconds_ago: float) -> None:
    """As if this server had taken over; a client that opens the journal notices it."""
    name = DatabaseUrl(address).database or ""
    await postgres.execute("UPDATE pandapon.history SET timeline = timeline - 1", name)
    async with machines(address, 1) as (journal,):
        await journal.open()
    await postgres.execute(f"UPDATE pandapon.history SET since = since - {seconds_ago}", name)


async def test_a_key_with_rows_from_just_before_a_failover_is_looked_for_however_long_after(
    postgres: Postgres, fresh: str
) -> None:
    """What such a row says may be old: it was sent after that, and the server that knew it is gone."""
    name = DatabaseUrl(fresh).database or ""
    async with machines(fresh, 1) as (journal,):
        for key in ("old", "young", "done", "again"):
            await noted(journal, natural_key={"k": key})
        for intent in await journal.find():
            done = intent.natural_key["k"] == "done"
            await journal.resolve(intent.id, IntentState.CONFIRMED if done else IntentState.NOT_SENT)
    await postgres.execute("ALTER TABLE pandapon.intents DISABLE TRIGGER noted", name)
    await postgres.execute(
        "UPDATE pandapon.intents SET noted = noted - 601 WHERE natural_key LIKE '%old%'", name
    )
    await postgres.execute("ALTER TABLE pandapon.intents ENABLE TRIGGER noted", name)
    await fail_over(postgres, fresh, seconds_ago=86_400)
    async with machines(fresh, 2) as (journal, other):
        earlier = {}
        for key in ("old", "young", "done", "again", "new"):
            intent = journal.draft(WriteKey("vendor", "o", {"k": key}), facts={}, digest="d")
            earlier[key] = await journal.add(intent, once=False, sending=True)
            assert intent.state is (IntentState.SENT if earlier[key] is None else IntentState.INTENDED)
            await journal.sending(intent)
            await journal.resolve(
                intent.id, IntentState.NOT_SENT if key == "young" else IntentState.CONFIRMED
            )
        assert [key for key, found in earlier.items() if found is not None] == ["young", "done", "again"]
        found = earlier["young"]
        assert found is not None
        assert found.state is IntentState.UNKNOWN
        boot = Clock().boot()
        if boot is not None:
            assert found.uptime is not None
            assert boot[1] - found.uptime == pytest.approx(86_400, abs=60), "as old as the failover"
        # Behind that read it was sent: from now on its own row tells.
        intent = other.draft(WriteKey("vendor", "o", {"k": "again"}), facts={}, digest="d")
        assert await other.add(intent, once=False, sending=True) is None


async def test_a_copy_that_is_restored_long_after_doubts_its_own_newest_rows(
    postgres: Postgres, fresh: str
) -> None:
    name = DatabaseUrl(fresh).database or ""
    async with machines(fresh, 1) as (journal,):
        for key in ("older", "newest"):
            intent = await noted(journal, natural_key={"k": key})
            await journal.resolve(intent.id, IntentState.NOT_SENT)
    await postgres.execute("ALTER TABLE pandapon.intents DISABLE TRIGGER noted", name)
    await postgres.execute(
        "UPDATE pandapon.intents SET noted = noted - 86400 - 700 * (natural_key LIKE '%older%')::int", name
    )
    await postgres.execute("ALTER TABLE pandapon.intents ENABLE TRIGGER noted", name)
    await fail_over(postgres, fresh, seconds_ago=601)
    async with machines(fresh, 1) as (journal,):
        found = {}
        for key in ("older", "newest"):
            intent = journal.draft(WriteKey("vendor", "o", {"k": key}), facts={}, digest="d")
            found[key] = await journal.add(intent, once=True) is not None
        assert found == {"older": False, "newest": True}


async def test_a_server_that_loses_commits_is_refused(postgres: Postgres, fresh: str) -> None:
    async def set_to(value: str) -> None:
        await postgres.execute(f"ALTER SYSTEM SET fsync = {value}")
        await postgres.execute("SELECT pg_reload_conf()")
        for _ in range(100):
            if await postgres.fetchval("SHOW fsync") == value:
                return
            await asyncio.sleep(0.02)

    await set_to("off")
    try:
        async with machines(fresh, 1) as (journal,):
            with pytest.raises(ConfigurationError, match="with fsync=off a power cut loses it"):
                await noted(journal, natural_key={"k": 1})
    finally:
        await set_to("on")


async def test_the_file_of_this_machine_goes_into_the_database(fresh: str) -> None:
    """It knows of writes that no other machine does: forgotten, each of them could be sent once more."""
    shared: Any = fresh
    async with FaultServer(then=ok({"refundId": "TQ1"})) as vendor:
        own: dict[str, Any] = {"vendor_id": "a-gateway", "journal": "automatic", "clock": Clock()}
        async with client_of(vendor.url, **own, rate=100.0) as pandapon:
            await pandapon.alibaba.refunds.create(**application(1))
            file = Path(pandapon.journal.path)
        assert file.is_file()
        async with client_of(vendor.url, **own, rate=100.0, shared=shared) as pandapon:
            with pytest.raises(DuplicateIntentError, match="was carried out before"):
                await pandapon.alibaba.refunds.create(**application(1))
        assert not file.exists()
        assert file.with_name(f"{file.name}.adopted").is_file()
        assert len(vendor.requests) == 1


def test_absence_is_not_believed_before_three_leases() -> None:
    shared: Any = "postgresql://u@db.example/x"
    with pytest.raises(ConfigurationError, match="settle_after must be at least 15 s"):
        Settings(shared=shared, settle_after=10.0)
    assert Settings(shared=shared, settle_after=10.0, journal=":memory:").settle_after == 10


class Vendor(FaultServer):
    """Carries out what it is asked to; of some it loses the answer."""

    def __init__(self, lost: float = 0.0) -> None:
        super().__init__(then=self._do)
        self.effects: collections.Counter[str] = collections.Counter()
        self._lost = lost

    async def _do(self, exchange: Exchange) -> None:
        await asyncio.sleep(random.uniform(0, 0.1))
        if random.random() < self._lost:
            await close_before_answer(exchange)
        else:
            await ok({"refundId": "TQ1"})(exchange)
        assert exchange.seen is not None
        self.effects[str(json.loads(exchange.seen.body)["orderId"])] += 1


async def run_machines(
    vendor: Vendor, address: str, *, count: int, machine_count: int, during: Callable[[list[Process]], Any]
) -> list[dict[str, int]]:
    command = (sys.executable, "-m", "tests.support.shared_writer", vendor.url, address, str(count))
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            await asyncio.create_subprocess_exec(
                *command, stdout=PIPE, env={**os.environ, "XDG_STATE_HOME": f"{folder}/{number}"}
            )
            for number in range(machine_count)
        ]
        await during(processes)
        said = [(await process.communicate())[0] for process in processes]
    return [json.loads(text) for text in said if text]


async def truth(address: str) -> dict[str, Intent]:
    """The one intent that counts for each key, as a machine sees it that starts afterwards."""
    async with machines(address, 1) as (journal,):
        found: dict[str, Intent] = {}
        async for one in journal.all():
            if one.state is not IntentState.NOT_SENT:
                key = str(one.natural_key["orderId"])
                assert key not in found, "two intents of one key that may have been carried out"
                found[key] = one
        return found


async def nothing(_: list[Process]) -> None:
    pass


async def test_two_machines_with_the_same_writes_make_each_once(fresh: str) -> None:
    count = examples(20, 40)
    async with Vendor(lost=0.1) as vendor:
        said = await run_machines(vendor, fresh, count=count, machine_count=2, during=nothing)
    assert set(vendor.effects.values()) == {1}
    assert len(vendor.effects) == count
    assert sum(one.get("done", 0) for one in said) <= count
    intents = await truth(fresh)
    assert {one.state for one in intents.values()} <= {IntentState.CONFIRMED, IntentState.UNKNOWN}
    assert len(intents) == count


def midway(vendor: Vendor, what: Callable[[list[Process]], Any]) -> Callable[[list[Process]], Any]:
    async def step(processes: list[Process]) -> None:
        while len(vendor.effects) < 50:  # noqa: ASYNC110 (what happens in other processes has no event)
            await asyncio.sleep(0.01)
        await asyncio.to_thread(what, processes)

    return step


@pytest.mark.nightly
@pytest.mark.parametrize("scene", ["all goes well", "lost answers", "a kill", "a restart", "a stop"])
async def test_four_machines_with_the_same_150_writes(postgres: Postgres, fresh: str, scene: str) -> None:

    def restart(_: list[Process]) -> None:
        postgres.kill()
        postgres.start()

    def stop(processes: list[Process]) -> None:
        processes[0].send_signal(signal.SIGSTOP)
        asyncio.run(postgres.execute(GONE))
        asyncio.run(asyncio.sleep(LEASE_SECONDS + 3))
        processes[0].send_signal(signal.SIGCONT)

    happens = {"a kill": lambda processes: processes[0].kill(), "a restart": restart, "a stop": stop}
    async with Vendor(lost=0.0 if scene == "all goes well" else 0.1) as vendor:
        during = midway(vendor, happens[scene]) if scene in happens else nothing
        said = await run_machines(vendor, fresh, count=150, machine_count=4, during=during)
    intents = await truth(fresh)
    states = collections.Counter(str(one.state) for one in intents.values())
    print(f"{scene}: {sum(vendor.effects.values())} effects, {dict(states)}; machines: {said}")
    assert set(vendor.effects.values()) == {1}
    for order_id in vendor.effects:
        assert intents[order_id].state in (IntentState.CONFIRMED, IntentState.UNKNOWN)
    for order_id, intent in intents.items():
        assert intent.state is not IntentState.CONFIRMED or vendor.effects[order_id] == 1
    if scene not in ("a kill", "a restart"):  # then a note may be all that was left of a write
        assert len(vendor.effects) == 150
