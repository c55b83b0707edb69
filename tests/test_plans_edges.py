"""What tests of plans do not meet on their way: full memories, files that vanish, a stop before a pause."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from pathlib import Path

import pytest

from pandapon_async import ConfigurationError, InvalidArgumentError, plans
from pandapon_async.plans import PlanKind, PlanOptions, voucher_files
from pandapon_async.plans.async_plan_file import AsyncPlanFile, finished
from pandapon_async.plans.checks import _Shared
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.stop import Stop
from pandapon_async.plans.voucher_files import Pictures
from tests.support import plan_files
from tests.support.bench import bench
from tests.support.virtual import LoopClock, outcome, settle, virtual_time


@virtual_time
async def test_who_is_in_a_hurry_waits_for_nothing() -> None:
    stop, clock = Stop(), LoopClock()
    waiting = asyncio.create_task(stop.pause(60, clock))
    await settle()
    stop.request("interrupted")
    await settle()
    assert not waiting.done(), "a stop without hurry lets what was begun end"
    stop.request("again", hurry=True)
    await waiting
    await stop.pause(60, clock)
    assert asyncio.get_running_loop().time() == 1000.0
    assert stop.reason == "interrupted"


def test_images_are_looked_at_again_when_the_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voucher_files, "REMEMBERED", 2)
    names = plan_files.write_images(tmp_path, 3)
    looked = Pictures(tmp_path)
    first = [looked.of_cell(name)[0].digest for name in names]
    assert len(looked._seen) == 2
    assert [looked.of_cell(name)[0].digest for name in names] == first
    assert len(set(first)) == 3


def test_an_image_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    plan_files.write_images(tmp_path, 1)
    looked = Pictures(tmp_path)

    class Broken:
        def encode(self, _: object) -> object:
            raise PermissionError(13, "Permission denied")

    looked._rule = Broken()  # type: ignore[assignment]
    assert looked._look("proof-0.jpg") == "cannot be read (Permission denied)"


@virtual_time
async def test_a_shared_lookup_is_made_once_and_no_failure_is_kept() -> None:
    asked: list[int] = []

    async def look_up(key: int) -> int:
        asked.append(key)
        await asyncio.sleep(1)
        if len(asked) == 1:
            raise ConfigurationError("not now")
        return key * 2

    shared = _Shared(look_up)
    failed = await asyncio.gather(shared.get(4), shared.get(4), return_exceptions=True)
    assert [type(error) for error in failed] == [ConfigurationError] * 2
    assert asked == [4]
    assert list(await asyncio.gather(shared.get(4), shared.get(4))) == [8, 8]
    assert asked == [4, 4]
    under_way = asyncio.create_task(shared.get(5))
    await settle()
    shared.close()
    await asyncio.wait([under_way])
    assert under_way.cancelled()


def test_a_book_that_cannot_be_made_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pandapon_async.plans.plan_file._SCHEMA", "CREATE NONSENSE")
    with pytest.raises(ConfigurationError, match="cannot be used as a plan"):
        PlanFile.create(tmp_path / "plan.db")
    monkeypatch.undo()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        PlanFile.create(tmp_path / "plan.db")


@virtual_time
async def _opening_is_cancelled(path: Path) -> None:
    books: list[PlanFile] = []

    def opening() -> PlanFile:
        books.append(PlanFile.create(path))
        return books[0]

    async def use() -> None:
        async with AsyncPlanFile(opening):
            raise AssertionError("it was cancelled before")

    task = asyncio.create_task(use())
    await settle(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    if books:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            books[0].get("kind")


def test_a_desk_that_is_cancelled_while_it_opens_closes_its_book(tmp_path: Path) -> None:
    _opening_is_cancelled(tmp_path / "plan.db")


@virtual_time
async def test_what_failed_in_a_thread_while_its_caller_was_cancelled_is_not_complained_about() -> None:
    def fails() -> None:
        raise OSError("gone")

    async def use() -> None:
        await finished(asyncio.get_running_loop().run_in_executor(None, fails))

    task = asyncio.create_task(use())
    await settle(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()


@virtual_time
async def _the_table_changes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with bench(folder, rows=2, offline=True) as made:
        async with made.client() as client:
            add = PlanFile.add

            def changing(book: PlanFile, rows: list[object]) -> int:
                with (folder / "table.csv").open("a") as file:
                    file.write("\n")
                return add(book, rows=rows)  # type: ignore[arg-type]

            monkeypatch.setattr(PlanFile, "add", changing)
            error = await outcome(
                plans.plan(
                    client,
                    "returns",
                    folder / "table.csv",
                    folder / "second.db",
                    options=PlanOptions(offline=True),
                )
            )
        assert isinstance(error, InvalidArgumentError)
        assert "was changed while it was read" in str(error)
        assert not (folder / "second.db").exists()


def test_a_table_that_changes_while_it_is_read_makes_no_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _the_table_changes(tmp_path, monkeypatch)


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_system_without_hard_links(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pandapon_async.plans import create

    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "link", refuse)
    draft, out = tmp_path / ".draft", tmp_path / "plan.db"
    draft.write_text("new")
    if exists:
        out.write_text("old")
        with pytest.raises(ConfigurationError, match="never overwritten"):
            create._publish(draft, out)
        assert out.read_text() == "old"
    else:
        create._publish(draft, out)
        assert out.read_text() == "new"
        assert not draft.exists()


def test_one_column_named_twice_is_refused() -> None:
    from pandapon_async.plans.columns import resolve_columns
    from pandapon_async.plans.plan_types import plan_type_of

    with pytest.raises(InvalidArgumentError, match="twice"):
        resolve_columns(
            plan_type_of(PlanKind.REFUNDS),
            ["a", "b"],
            mapping={"apply_payment_fen": "a", "apply_payment_yuan": "b"},
            constants={},
            amount_unit=None,
        )
