"""A plan and its journal: another one, an older one, none; and what is read before anything is sent."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import ConfigurationError, plans
from pandapon_async.journal import Journal, Writer
from pandapon_async.plans import ApplyOptions, PlanFile, PlanOptions
from pandapon_async.plans.async_plan_file import AsyncPlanFile
from pandapon_async.plans.binding import MarkKeeper, binding_of, check_writer
from tests.support import plan_files
from tests.support.bench import Bench, bench
from tests.support.virtual import outcome, settle, virtual_time


def copied(made: Bench, folder: Path) -> Bench:
    """The same plan on another machine, which has no journal of it."""
    folder.mkdir()
    shutil.copy(made.plan, folder / "plan.db")
    return Bench(made.server, folder, made.kind)


def saved(made: Bench) -> dict[str, bytes]:
    """The journal as a backup has it."""
    return {path.name: path.read_bytes() for path in made.folder.glob("journal.sqlite*")}


def restore(made: Bench, backup: dict[str, bytes]) -> None:
    for path in made.folder.glob("journal.sqlite*"):
        path.unlink()
    for name, content in backup.items():
        (made.folder / name).write_bytes(content)


@virtual_time
async def _second_machine(folder: Path) -> None:
    async with bench(folder, "refunds", rows=4) as made:
        (folder / "a").mkdir()
        other = copied(made, folder / "b")
        assert (await made.apply()).exit_code == 0
        with pytest.raises(
            ConfigurationError, match=r"belongs to the journal .* does not exist. Nothing was sent"
        ):
            await other.apply()
        assert not list(other.folder.glob("journal.sqlite*")), "no journal is made where one is missed"
        result = await other.apply(adopt_journal=True)
        assert (result.exit_code, other.states) == (0, {"settled_done": 4})
        assert sorted(line["result"] for line in other.results) == sorted(
            line["result"] for line in made.results
        )
        assert list(made.succeeded.values()) == [1] * 4
        again = await other.apply()
        assert (again.exit_code, other.states) == (0, {"settled_done": 4}), "it has a journal of its own now"


def test_a_second_machine_is_stopped_and_reads_every_row_when_told_to_go_on(tmp_path: Path) -> None:
    _second_machine(tmp_path)


@virtual_time
async def _another_journal_beside(folder: Path) -> None:
    async with bench(folder, rows=3) as made:
        async with made.client(journal=folder / "other.sqlite") as client:
            await client.journal.open()
        with pytest.raises(ConfigurationError, match=r"the journal in use, .*other.sqlite, is another one"):
            await made.apply(settings={"journal": folder / "other.sqlite"})
        with pytest.raises(ConfigurationError, match="another one"):
            await made.apply(dry_run=True, settings={"journal": folder / "other.sqlite"})
        assert not made.succeeded


def test_another_journal_ends_apply_before_anything_is_sent(tmp_path: Path) -> None:
    _another_journal_beside(tmp_path)


@virtual_time
async def _restored(folder: Path) -> None:
    async with bench(folder, rows=6) as made:
        first = await made.apply(stop_after_failures=1, concurrency=1, max_total=10**9)
        assert first.exit_code == 0
        shutil.copy(made.plan, folder / "applied.db")
    async with bench(folder / "second", rows=6) as made:
        backup = saved(made)
        plan_files.misbehave(made.server, "reset_after:1.0:endpoint=*.return_goods:after=2")
        await made.apply(stop_after_failures=1, concurrency=1, wait=False)
        assert len(made.succeeded) == 3
        restore(made, backup)
        plan_files.misbehave(made.server, "")
        with pytest.raises(
            ConfigurationError, match=r"is an older copy: it ends at write 0, but .* up to write [1-9]"
        ):
            await made.apply()
        assert len(made.succeeded) == 3
        result = await made.apply(adopt_journal=True)
        assert result.exit_code == 0
        assert list(made.succeeded.values()) == [1] * 6


def test_a_journal_restored_from_a_backup_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    _restored(tmp_path)


@virtual_time
async def _both_restored(folder: Path) -> None:
    async with bench(folder, "refunds", rows=5) as made:
        backup = {**saved(made), "plan.db": made.plan.read_bytes()}
        await made.apply()
        for path in folder.glob("plan.db-*"):
            path.unlink()
        restore(made, backup)
        assert made.states == {"planned": 5}
        result = await made.apply(check_first=True)
        assert (result.exit_code, made.states) == (0, {"settled_done": 5})
        assert list(made.succeeded.values()) == [1] * 5


def test_after_a_restore_of_both_every_row_is_read_first(tmp_path: Path) -> None:
    _both_restored(tmp_path)


def show_no_forms(made: Bench) -> None:
    """From now on orders say nothing of their refund forms."""
    handlers = made.server._pipeline.handlers

    def bare(*args: Any) -> Any:
        order = handlers["alibaba.orders.get"](*args)
        for line in order["productItems"]:
            line.pop("refundId", None)
            line.pop("refundIdForAs", None)
            line.pop("refundStatus", None)
        return order

    made.server._pipeline.handlers = {**handlers, "alibaba.orders.get": bare}


@virtual_time
async def _begun_and_not_seen(folder: Path) -> None:
    """However long ago it was begun: what no read shows is not absent, and is not sent again."""
    async with bench(folder, "refunds", rows=2) as made:
        other = copied(made, folder / "b")
        show_no_forms(made)
        await made.apply()
        plan_files.edit(other.plan, "UPDATE rows SET state = 'applying' WHERE row = 2")
        for result in (await other.apply(adopt_journal=True), await other.apply(resend_absent=True)):
            assert (result.exit_code, other.states) == (3, {"unknown": 1, "not_sent": 1})
        assert list(made.succeeded.values()) == [1] * 2


def test_what_was_begun_elsewhere_and_no_read_shows_stays_unknown(tmp_path: Path) -> None:
    _begun_and_not_seen(tmp_path)


@virtual_time
async def _found_absent_late(folder: Path) -> None:
    """The read takes so long that its absence is believed before the rows are sent: not by this run."""
    async with bench(folder, rows=1) as made:
        plan_files.edit(made.plan, "UPDATE rows SET state = 'applying'")
        plan_files.misbehave(made.server, "latency:1.0:endpoint=*.refunds.get:delay=100:times=1")
        other = {"journal": folder / "other.sqlite"}
        settings = {**other, "timeout": 200.0}
        await made.apply(adopt_journal=True, resend_absent=True, settings=settings)
        assert (made.states, made.succeeded) == ({"settled_absent": 1}, {})
        assert (await made.apply(resend_absent=True, settings=other)).exit_code == 0
        assert list(made.succeeded.values()) == [1]


def test_the_run_that_finds_a_row_of_another_journal_absent_does_not_send_it(tmp_path: Path) -> None:
    _found_absent_late(tmp_path)


@virtual_time
async def _not_read(folder: Path) -> None:
    async with bench(folder, rows=1) as made:
        plan_files.misbehave(made.server, "error_500:1.0:endpoint=*.refunds.get:after=1")
        result = await made.apply(check_first=True)
        assert (result.exit_code, made.states) == (1, {"not_sent": 1})
        assert "it could not be read before sending" in (result.problems[0].reason or "")
        assert not made.succeeded
        plan_files.misbehave(made.server, "")
        assert ((await made.apply()).exit_code, made.states) == (0, {"confirmed": 1})


def test_a_row_that_cannot_be_read_before_it_is_sent_stays_unsent(tmp_path: Path) -> None:
    _not_read(tmp_path)


@virtual_time
async def _cannot_be_seen(folder: Path) -> None:
    async with bench(folder, "refunds", rows=2) as made:
        other = copied(made, folder / "b")
        show_no_forms(made)
        await made.apply()
        result = await other.apply(adopt_journal=True)
        assert (result.exit_code, other.states) == (1, {"not_sent": 2})
        assert "no read can show that" in (result.problems[0].reason or "")
        assert "--never-applied" in (result.problems[0].reason or "")
        assert (await other.apply()).exit_code == 1, "the doubt stays until it is removed"
        assert list(made.succeeded.values()) == [1] * 2
        await other.apply(never_applied=True)
        file = PlanFile.open(other.plan)
        assert file.get("never_applied_said") > 1_700_000_000
        assert all("the operator used --never-applied" in row.remarks[-1] for row in file.rows())
        file.close()


def test_what_no_read_can_show_needs_the_operators_word(tmp_path: Path) -> None:
    _cannot_be_seen(tmp_path)


@virtual_time
async def _lands_late(folder: Path) -> None:
    """The other machine's writes land while this one is already reading."""
    async with bench(folder, rows=3) as made:
        other = copied(made, folder / "b")
        plan_files.misbehave(made.server, "lands_late:1.0:endpoint=*.return_goods:delay=40")
        await made.apply(wait=False)
        plan_files.misbehave(made.server, "")
        quick = copied(made, folder / "c")
        shutil.copy(other.plan, quick.plan)
        hurried = await quick.apply(adopt_journal=True, wait=False)
        assert (hurried.exit_code, quick.states) == (1, {"not_sent": 3})
        assert "too soon" in (hurried.problems[0].reason or "")
        result = await other.apply(adopt_journal=True)
        assert (result.exit_code, other.states) == (0, {"settled_done": 3})
        assert list(made.succeeded.values()) == [1] * 3
        again = await quick.apply(wait=False)
        assert (again.exit_code, quick.states) == (0, {"settled_done": 3})


def test_an_absence_is_believed_only_after_a_while(tmp_path: Path) -> None:
    _lands_late(tmp_path)


@virtual_time
async def _unbound(folder: Path) -> None:
    async with bench(folder, rows=2) as made:
        second = folder / "second.db"
        table = folder / "table.csv"
        async with made.client() as client:
            await plans.create(client, "returns", table, second, options=PlanOptions(bind=False))
        file = PlanFile.open(second)
        assert binding_of(file) is None
        file.close()
        async with made.client(journal=folder / "first.sqlite") as client:
            await plans.apply(client, second)
        async with made.client() as client:
            with pytest.raises(ConfigurationError, match=r"belongs to the journal .*first.sqlite"):
                await plans.apply(client, second)
            with pytest.raises(ConfigurationError, match=r"first.sqlite"):
                await plans.check_journal(client, second)
        assert list(made.succeeded.values()) == [1] * 2


def test_a_plan_without_a_journal_is_bound_by_its_first_apply(tmp_path: Path) -> None:
    _unbound(tmp_path)


@virtual_time
async def _interrupted(folder: Path, adopt: bool) -> None:
    async with bench(folder, rows=1) as made:
        plan_files.misbehave(made.server, "latency:1.0:endpoint=*.return_goods:delay=5")
        backup = saved(made)
        running = asyncio.create_task(made.apply())
        await asyncio.sleep(1)
        running.cancel()
        await asyncio.wait([running])
        assert (made.states, len(made.succeeded)) == ({"applying": 1}, 1)
        plan_files.misbehave(made.server, "")
        if adopt:
            restore(made, backup)
        result = await made.apply(adopt_journal=adopt)
        assert (result.exit_code, made.states) == (0, {"settled_done": 1})
        assert list(made.succeeded.values()) == [1]


@pytest.mark.parametrize("adopt", [False, True])
def test_a_row_that_was_begun_is_found_with_and_without_its_journal(tmp_path: Path, adopt: bool) -> None:
    _interrupted(tmp_path, adopt)


@virtual_time
async def _never_left(folder: Path, adopt: bool) -> None:
    """Killed between the plan's note and the journal's: the plan's own journal proves that nothing left."""
    async with bench(folder, rows=1) as made:
        plan_files.edit(made.plan, "UPDATE rows SET state = 'applying'")
        settings = {"journal": folder / "other.sqlite"} if adopt else {}
        plan_files.misbehave(made.server, "error_500:1.0:endpoint=*.refunds.get:after=0")
        result = await made.apply(adopt_journal=adopt, wait=False, settings=settings)
        assert made.states == ({"unknown": 1} if adopt else {"not_sent": 1})
        assert result.exit_code == (3 if adopt else 1)
        plan_files.misbehave(made.server, "")
        await made.apply(settings=settings, resend_absent=True)
        assert len(made.succeeded) == (0 if adopt else 1), "not by the run that finds it absent"
        again = await made.apply(settings=settings, resend_absent=True)
        assert (again.exit_code, made.states) == (0, {"confirmed": 1})
        assert list(made.succeeded.values()) == [1]


@pytest.mark.parametrize("adopt", [False, True])
def test_a_row_that_was_begun_and_has_no_intent(tmp_path: Path, adopt: bool) -> None:
    _never_left(tmp_path, adopt)


@virtual_time
async def _keeper(path: Path) -> None:
    commits: list[int] = []

    class Slow(PlanFile):
        def raise_mark(self, mark: int, newest: str) -> None:
            commits.append(mark)
            super().raise_mark(mark, newest)

    async with AsyncPlanFile(lambda: Slow.create(path)) as plan_file:
        keeper = MarkKeeper(plan_file, 3)
        await keeper(2, "b")
        assert commits == [], "it is kept already"
        waiting = [asyncio.create_task(keeper(mark, f"intent {mark}")) for mark in (4, 9, 7)]
        await settle(1)
        waiting[1].cancel()
        await asyncio.wait(waiting)
        assert waiting[1].cancelled()
        assert len(commits) == 1
        assert commits[0] >= 7, "one commit serves all that wait"
        await keeper.aclose()
        assert await plan_file.do(lambda file: file.get("journal_mark")) == commits[-1]
        assert await plan_file.do(lambda file: file.get("journal_newest")) == f"intent {commits[-1]}"


def test_one_commit_keeps_the_mark_for_all_that_wait(tmp_path: Path) -> None:
    _keeper(tmp_path / "plan.db")


@virtual_time
async def _mark_before_bytes(folder: Path) -> None:
    """When a request arrives, the plan on the disk knows the mark of its write."""
    async with bench(folder, rows=4) as made:
        handlers = made.server._pipeline.handlers
        call = "alibaba.refunds.return_goods"
        seen: list[int] = []

        def arrived(*args: Any) -> Any:
            db = sqlite3.connect(made.plan)
            (mark,) = db.execute("SELECT value FROM facts WHERE name = 'journal_mark'").fetchone()
            db.close()
            seen.append(int(mark))
            return handlers[call](*args)

        made.server._pipeline.handlers = {**handlers, call: arrived}
        await made.apply(concurrency=1)
        async with made.client() as client:
            assert seen[-1] == await client.journal.mark()
        assert len(set(seen)) == 4
        assert seen == sorted(seen)


def test_the_mark_is_kept_before_the_bytes_leave(tmp_path: Path) -> None:
    _mark_before_bytes(tmp_path)


@virtual_time
async def _a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(folder, rows=3) as made:

        def full(file: PlanFile, mark: int, newest: str) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        with monkeypatch.context() as patch:
            patch.setattr(PlanFile, "raise_mark", full)
            error = await outcome(made.apply(concurrency=1))
        assert error is not None
        assert "nothing was sent" in str(error)
        assert not made.succeeded
        assert (await made.apply()).exit_code == 0
        assert list(made.succeeded.values()) == [1] * 3


def test_a_mark_that_cannot_be_kept_stops_the_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _a_full_disk(tmp_path, monkeypatch)


@pytest.mark.parametrize(
    ("facts", "writer", "said"),
    [
        ({"vendor": "v", "user_id": "1"}, Writer("v", "1"), None),
        ({"vendor": "v", "user_id": "1"}, Writer("w", "1"), "made for v; this client talks to w"),
        ({"vendor": "v", "user_id": "1"}, Writer("v", "2"), "set PANDAPON_USER_ID=1"),
        # A plan of format 1 knows its user id only together with the key.
        ({"vendor": "v", "account": "hash"}, Writer("v", "1", "hash"), None),
        ({"vendor": "v", "account": "hash"}, Writer("v", "1", "other"), "another access key or user id"),
    ],
)
def test_whose_plan_it_is(tmp_path: Path, facts: dict[str, str], writer: Writer, said: str | None) -> None:
    with contextlib.closing(PlanFile.create(tmp_path / "plan.db")) as file:
        file.set(facts)
        if said is None:
            check_writer(file, tmp_path / "plan.db", writer)
            return
        with pytest.raises(ConfigurationError, match=said):
            check_writer(file, tmp_path / "plan.db", writer)


async def test_a_journal_in_memory_binds_to_no_file(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=2) as made:
        second = tmp_path / "second.db"
        journal = Journal()
        async with made.client(journal=journal) as client:
            await plans.create(client, "returns", tmp_path / "table.csv", second)
            assert (await plans.apply(client, second, options=ApplyOptions())).exit_code == 0
        await journal.aclose()
        file = PlanFile.open(second)
        bound = binding_of(file)
        assert bound is not None
        assert bound.path == ":memory:"
        file.close()
        async with made.client() as client:
            await plans.check_journal(client, second)


@pytest.mark.parametrize("repeat", [False, True])
async def test_where_the_journal_does_not_refuse_a_second_the_plans_rows_survive_a_power_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repeat: bool
) -> None:
    """A row that was sent and lost its state with the machine is sent again with --allow-repeat."""
    levels: set[int] = set()
    change = PlanFile.change

    def watched(file: PlanFile, row: int, **facts: Any) -> None:
        levels.add(file.select("PRAGMA synchronous")[0][0])
        change(file, row, **facts)

    async with bench(tmp_path, rows=2) as made:
        monkeypatch.setattr(PlanFile, "change", watched)
        assert (await made.apply(allow_repeat=repeat)).exit_code == 0
    assert levels == {2 if repeat else 1}


def test_the_mark_survives_a_power_cut_and_rows_need_not(tmp_path: Path) -> None:
    """SQLite flushes a commit only at the level FULL (2); at NORMAL (1) it may be lost."""
    file = PlanFile.create(tmp_path / "plan.db")
    file.write_ahead(durable=False)
    levels: dict[str, int] = {}

    def statement(text: str) -> None:
        if text.startswith("INSERT OR REPLACE INTO facts"):
            levels["mark"] = file.select("PRAGMA synchronous")[0][0]

    file._connection.set_trace_callback(statement)
    file.raise_mark(7, "intent")
    file._connection.set_trace_callback(None)
    assert (levels["mark"], file.get("journal_mark")) == (2, 7)
    assert file.select("PRAGMA synchronous")[0][0] == 1
    file.close()
