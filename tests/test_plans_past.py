"""Rows whose past is not certain: a journal that forgot, a plan of no journal, the operator's word."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import ConfigurationError, plans
from pandapon_async.plans import PlanFile, PlanOptions
from pandapon_async.sandbox.envelope import Refusal
from tests.support import plan_files
from tests.support.bench import Bench, bench
from tests.support.journals import noted
from tests.support.virtual import virtual_time

SLOW = "latency:1.0:endpoint=*.return_goods:delay=5"


def journal_of(folder: Path) -> dict[str, bytes]:
    """The journal as a backup has it."""
    return {path.name: path.read_bytes() for path in folder.glob("journal.sqlite*")}


def put_back(folder: Path, backup: dict[str, bytes]) -> None:
    for path in folder.glob("journal.sqlite*"):
        path.unlink()
    for name, content in backup.items():
        (folder / name).write_bytes(content)


async def cut_off(made: Bench, **how: Any) -> None:
    """Apply, and be cut off while every row is on its way."""
    plan_files.misbehave(made.server, SLOW)
    running = asyncio.create_task(made.apply(**how))
    await asyncio.sleep(1)
    running.cancel()
    await asyncio.wait([running])
    plan_files.misbehave(made.server, "")


async def send_others(made: Bench, count: int, **changes: Any) -> None:
    """Other writes with the same journal, which raise its mark."""
    async with made.client(**changes) as client:
        for number in range(count):
            refund_id = made.server.refund(2 * number + 1).refund_id
            await client.taobao.refunds.post_message(refund_id=refund_id, refund_message="hello")


@virtual_time
async def _grown_since(folder: Path) -> None:
    """Restored from a backup, the journal has come further than the plan's mark by other writes."""
    async with bench(folder, rows=4) as made:
        backup = journal_of(folder)
        await cut_off(made)
        assert (made.states, len(made.succeeded)) == ({"applying": 4}, 4)
        put_back(folder, backup)
        await send_others(made, 10)
        with pytest.raises(ConfigurationError, match=r"is an older copy.*--adopt-journal"):
            await made.apply()
        assert (await made.apply(adopt_journal=True)).exit_code == 0
        assert list(made.succeeded.values()) == [1] * 4


def test_a_restored_journal_that_has_grown_since_is_noticed(tmp_path: Path) -> None:
    _grown_since(tmp_path)


@virtual_time
async def _forgotten_before_the_plan(folder: Path) -> None:
    """What the journal knew when the plan was made is gone from it: an earlier plan of the same rows."""
    async with bench(folder, "refunds", rows=3) as made:
        backup = journal_of(folder)
        later = folder / "later.db"
        await made.apply()
        async with made.client() as client:
            await plans.create(
                client, "refunds", folder / "table.csv", later, options=PlanOptions(offline=True)
            )
        put_back(folder, backup)
        await send_others(made, 10)
        async with made.client() as client:
            with pytest.raises(ConfigurationError, match="is an older copy"):
                await plans.apply(client, later)
        assert list(made.succeeded.values()) == [1] * 3


def test_a_journal_that_forgot_what_it_knew_at_planning_is_noticed(tmp_path: Path) -> None:
    _forgotten_before_the_plan(tmp_path)


@virtual_time
async def _copied_before_it_was_sent(folder: Path) -> None:
    """The copy was made when the plan's newest write was written down, and not yet sent."""
    async with bench(folder, rows=1) as made:
        async with made.client() as client:
            intent = await noted(client.journal, natural_key={"refundId": "TQ1"}, writer=client.writer)
        with contextlib.closing(PlanFile.open(made.plan)) as file:
            file.set({"journal_newest": intent.id})
        with pytest.raises(ConfigurationError, match=r"is an older copy: .* knows a write \(intent "):
            await made.apply()
        assert not made.succeeded


def test_a_copy_from_before_the_newest_write_was_sent_is_noticed(tmp_path: Path) -> None:
    _copied_before_it_was_sent(tmp_path)


@virtual_time
async def _adopted_copy(folder: Path) -> None:
    """An older copy of the plan's journal goes into another one."""
    async with bench(folder, rows=4) as made:
        (folder / "old").mkdir()
        put_back(folder / "old", journal_of(folder))
        await cut_off(made)
        async with made.client(journal=folder / "other.sqlite") as client:
            await client.journal.adopt(folder / "old" / "journal.sqlite", client.writer)
        with pytest.raises(ConfigurationError, match="is an older copy"):
            await made.apply(settings={"journal": folder / "other.sqlite"})
        assert list(made.succeeded.values()) == [1] * 4


def test_an_older_copy_that_was_adopted_is_noticed(tmp_path: Path) -> None:
    _adopted_copy(tmp_path)


def elsewhere(made: Bench, name: str) -> Bench:
    """Another machine with a copy of the plan and no journal."""
    (made.folder / name).mkdir()
    shutil.copy(made.plan, made.folder / name / "plan.db")
    return Bench(made.server, made.folder / name, made.kind)


@virtual_time
async def _unbound_twice(folder: Path, kind: str) -> None:
    async with bench(folder, kind, rows=3) as made:
        made.plan.unlink()
        async with made.client() as client:
            table = folder / "table.csv"
            await plans.create(client, kind, table, made.plan, options=PlanOptions(bind=False))
        first, second = elsewhere(made, "a"), elsewhere(made, "b")
        assert (await first.apply()).exit_code == 0
        assert first.states == {"confirmed": 3}
        assert (await second.apply()).exit_code == 0
        assert second.states == {"settled_done": 3}
        assert list(made.succeeded.values()) == [1] * 3


@pytest.mark.parametrize("kind", ["returns", "refunds"])
def test_a_plan_of_no_journal_on_two_machines(tmp_path: Path, kind: str) -> None:
    """A copy knows nothing of what the other did, and nobody says which was first: rows are read."""
    _unbound_twice(tmp_path, kind)


@virtual_time
async def _unbound_and_never_applied(folder: Path) -> None:
    async with bench(folder, rows=3) as made:
        made.plan.unlink()
        async with made.client() as client:
            options = PlanOptions(bind=False, offline=True)
            await plans.create(client, "returns", folder / "table.csv", made.plan, options=options)
        began, before = asyncio.get_running_loop().time(), len(made.server.log)
        assert (await made.apply(never_applied=True)).exit_code == 0
        assert made.states == {"confirmed": 3}
        assert asyncio.get_running_loop().time() - began < 10, "nothing is waited for"
        assert len(made.server.log) - before == 1 + 3, "a read before the first write, and the writes"


def test_a_plan_of_no_journal_that_nobody_applied_needs_no_reads(tmp_path: Path) -> None:
    _unbound_and_never_applied(tmp_path)


@virtual_time
async def _in_memory(folder: Path, faults: str) -> None:
    """The journal is gone with its process: what it knew of begun rows is read."""
    async with bench(folder, rows=3) as made:
        made.plan.unlink()
        memory = {"journal": ":memory:"}
        async with made.client(**memory) as client:
            await plans.create(client, "returns", folder / "table.csv", made.plan)
        if faults:
            plan_files.misbehave(made.server, faults)
            await made.apply(settings=memory, wait=False)
            plan_files.misbehave(made.server, "")
        else:
            await cut_off(made, settings=memory)
        assert len(made.succeeded) == 3
        assert not set(made.states) & {"confirmed", "settled_done"}, made.states
        for _ in range(3):
            await made.apply(settings=memory, resend_absent=True)
        assert made.states == {"settled_done": 3}
        sent = sum((record.endpoint or "").endswith("return_goods") for record in made.server.log)
        assert sent == 3, "no write is sent where a read can tell"


@pytest.mark.parametrize("faults", ["", "refusal_after:1.0:endpoint=*.return_goods:status=429:body=html"])
def test_rows_that_were_begun_with_a_journal_in_memory_are_read(tmp_path: Path, faults: str) -> None:
    _in_memory(tmp_path, faults)


@virtual_time
async def _stepped_back(folder: Path) -> None:
    """The wall clock steps back between two writes of a row: the newer one counts, not the later hour."""
    async with bench(folder, rows=2) as made:
        plan_files.misbehave(made.server, "reset_before:1.0:endpoint=*.return_goods:times=2")
        await made.apply()
        assert made.states == {"settled_absent": 2}

        class Behind(type(made.client().settings.clock)):  # type: ignore[misc]
            def wall(self) -> float:
                return float(super().wall()) - 7_200.0

        result = await made.apply(resend_absent=True, settings={"clock": Behind()})
        assert (result.exit_code, made.states) == (0, {"confirmed": 2})


def test_a_clock_that_steps_back_hides_no_write(tmp_path: Path) -> None:
    _stepped_back(tmp_path)


def refusing(made: Bench, code: int) -> Callable[[], None]:
    """Let the vendor refuse every application with this code; gives what ends it."""
    handlers = made.server._pipeline.handlers

    def refuse(*args: Any) -> Any:
        raise Refusal(code, "no")

    made.server._pipeline.handlers = {**handlers, "alibaba.refunds.create": refuse}
    return lambda: setattr(made.server._pipeline, "handlers", handlers)


@virtual_time
async def _open_says_the_vendor(folder: Path) -> None:
    async with bench(folder, "refunds", rows=1) as made:
        end = refusing(made, 5010)
        result = await made.apply()
        assert (result.exit_code, made.states) == (1, {"held": 1})
        reason = result.problems[0].reason or ""
        assert "5010" in reason
        assert "held back" in reason
        again = await made.apply()
        assert (again.exit_code, made.states) == (1, {"held": 1})
        end()
        assert ((await made.apply()).exit_code, made.states) == (0, {"confirmed": 1})


def test_a_line_that_the_vendor_says_is_taken_is_held_back(tmp_path: Path) -> None:
    _open_says_the_vendor(tmp_path)


@virtual_time
async def _ours_is_there(folder: Path) -> None:
    """Plan and journal were put back together, nobody said --check-first, and the vendor refuses a second."""
    async with bench(folder, "refunds", rows=2) as made:
        backup = {**journal_of(folder), "plan.db": made.plan.read_bytes()}
        await made.apply()
        first = [line["result"] for line in made.results]
        for path in folder.glob("plan.db-*"):
            path.unlink()
        put_back(folder, backup)
        refusing(made, 5010)
        result = await made.apply()
        assert (result.exit_code, made.states) == (0, {"settled_done": 2})
        assert [line["result"] for line in made.results] == first


def test_a_second_application_that_is_refused_finds_the_first(tmp_path: Path) -> None:
    _ours_is_there(tmp_path)


@virtual_time
async def _word_and_another_form(folder: Path) -> None:
    """--never-applied says that nobody applied this plan; a form that is open is there all the same."""
    async with bench(folder, "refunds", rows=1) as made:
        other = elsewhere(made, "b")
        arguments = json.loads(plan_files.rows_of(made.plan)[0]["arguments"])
        async with made.client() as client:
            await client.alibaba.refunds.create(**{**arguments, "apply_payment": 450})
        result = await other.apply(adopt_journal=True, never_applied=True)
        assert other.states == {"held": 1}, result.problems
        assert "a refund form of this order line is open already" in (result.problems[0].reason or "")
        assert sum(made.succeeded.values()) == 1


def test_the_operators_word_sends_no_second_form_beside_an_open_one(tmp_path: Path) -> None:
    _word_and_another_form(tmp_path)


@virtual_time
async def _word_about_a_lost_one(folder: Path) -> None:
    """The journal lost the row of a write, an operator says that it is not there, and then it lands."""
    async with bench(folder, "refunds", rows=2) as made:
        plan_files.misbehave(made.server, "lands_late:1.0:endpoint=*.create:delay=300:times=1")
        await made.apply(wait=False, concurrency=1)
        plan_files.misbehave(made.server, "")
        lost = plan_files.rows_of(made.plan)[0]["intent_id"]
        with contextlib.closing(sqlite3.connect(folder / "journal.sqlite")) as db, db:
            db.execute("DELETE FROM subjects WHERE intent = ?", (lost,))
            db.execute("DELETE FROM intents WHERE id = ?", (lost,))
        async with made.client() as client:
            await client.journal.settle_lost(lost, client.writer, done=False, note="not in the console")
        assert ((await made.apply()).exit_code, made.states) == (1, {"settled_absent": 1, "confirmed": 1})
        await asyncio.sleep(400)
        result = await made.apply(resend_absent=True)
        assert (result.exit_code, made.states) == (0, {"settled_done": 1, "confirmed": 1})
        assert list(made.succeeded.values()) == [1] * 2


def test_a_word_about_a_lost_write_does_not_replace_the_read(tmp_path: Path) -> None:
    _word_about_a_lost_one(tmp_path)
