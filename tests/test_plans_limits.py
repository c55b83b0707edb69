"""What is refused before anything is sent: other accounts, other journals, too much money, other files."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import (
    ConfigurationError,
    Credentials,
    Fen,
    InvalidArgumentError,
)
from pandapon_async.plans import ApplyOptions, Stop
from tests.support import plan_files
from tests.support.bench import bench
from tests.support.virtual import LoopClock, settle, virtual_time

ONCE = "reset_after:1.0:endpoint=*.return_goods:times=1"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_total": 2_509},
            "the sum of the plan is 2510 fen (25.10 yuan), but --max-total is 2509 fen (25.09",
        ),
        (
            {"max_each": Fen(503)},
            "a row has 504 fen (5.04 yuan), but --max-each is 503 fen (5.03 yuan); nothing",
        ),
        ({"expected": (5, 2_509)}, "has changed since you were asked"),
        ({"expected": (4, 2_510)}, "has changed since you were asked"),
    ],
)
async def test_a_plan_over_its_limits_is_not_begun(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    async with bench(tmp_path, "refunds") as made:
        with pytest.raises(ConfigurationError, match=re.escape(message)):
            await made.apply(**options)
        assert (list(made.server.effects), made.states) == ([], {"planned": 5})
        fits = await made.apply(max_total=2_510, max_each=504, expected=(5, 2_510))
        assert fits.exit_code == 0


async def test_a_limit_needs_to_know_the_amounts(tmp_path: Path) -> None:
    async with bench(tmp_path, offline=True) as made:
        with pytest.raises(ConfigurationError, match="5 rows have an unknown amount"):
            await made.apply(max_total=10**9)
        assert (await made.apply()).exit_code == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_total": 12.5}, "whole fen"),
        ({"max_each": -1}, "whole fen"),
        ({"stop_after_failures": 0}, "above 0"),
    ],
)
def test_limits_that_make_no_sense_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        ApplyOptions(**options)


async def test_a_plan_is_for_one_account(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        real = made.server.credentials
        other = Credentials(real.access_key, real.access_secret, "77")
        with pytest.raises(ConfigurationError, match=r"made for the user id .* PANDAPON_USER_ID="):
            await made.apply(settings={"credentials": other})
        with pytest.raises(ConfigurationError, match="this client talks to localhost:9"):
            await made.apply(settings={"base_url": "http://127.0.0.1:9"})
        assert made.states == {"planned": 5}


@virtual_time
async def another_journal(folder: Path) -> None:
    async with bench(folder) as made:
        plan_files.misbehave(made.server, ONCE)
        await made.apply(wait=False, concurrency=1, stop_after_failures=1)
        assert made.states == {"planned": 4, "settled_done": 1}
        plan_files.edit(made.plan, "UPDATE rows SET state = 'unknown' WHERE state = 'settled_done'")
        with pytest.raises(ConfigurationError, match="belongs to the journal"):
            await made.apply(settings={"journal": folder / "other.sqlite"})
        assert len(made.succeeded) == 1
        await made.apply(wait=False)
        assert made.states == {"confirmed": 4, "settled_done": 1}
        assert list(made.succeeded.values()) == [1] * 5


def test_open_rows_belong_to_the_journal_they_were_begun_with(tmp_path: Path) -> None:
    another_journal(tmp_path)


@virtual_time
async def stops_after_failures(folder: Path) -> None:
    async with bench(folder, rows=30) as made:
        plan_files.misbehave(made.server, "reset_before:1.0:endpoint=*.return_goods")
        result = await made.apply(stop_after_failures=3, concurrency=2)
        assert result.stopped == "3 rows failed; the limit is 3"
        assert result.exit_code == 3
        assert 24 <= made.states["planned"] <= 27
        assert set(made.states) == {"planned", "settled_absent"}


def test_nothing_new_is_started_after_so_many_failures(tmp_path: Path) -> None:
    stops_after_failures(tmp_path)


async def test_a_dry_run_sends_nothing_and_keeps_nothing(tmp_path: Path) -> None:
    async with bench(tmp_path, images=1) as made:
        before, seen = made.plan.read_bytes(), len(made.server.log)
        result = await made.apply(dry_run=True)
        assert (result.exit_code, result.dry_run, result.left) == (0, True, 5)
        assert len(made.server.log) == seen
        assert made.plan.read_bytes() == before
        assert {path.name for path in tmp_path.iterdir()} <= {
            "plan.db", "plan.db.lock", "table.csv", "proof-0.jpg",
            *(f"journal.sqlite{end}" for end in ("", "-wal", "-shm")),
        }  # fmt: skip
        with pytest.raises(ConfigurationError, match="--max-total"):
            await made.apply(dry_run=True, max_total=1)


async def test_results_of_something_else_are_not_overwritten(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        (tmp_path / "plan.db.results.jsonl").write_text('{"plan":"another","row":2}\n')
        with pytest.raises(ConfigurationError, match="was not written by this plan"):
            await made.apply()
        assert list(made.server.effects) == []


@pytest.mark.parametrize("content", [None, b"", b"no database", b"SQLite format 3\0" + bytes(5000)])
async def test_what_is_no_plan_is_refused(tmp_path: Path, content: bytes | None) -> None:
    async with bench(tmp_path) as made:
        made.plan.unlink()
        if content is not None:
            made.plan.write_bytes(content)
        with pytest.raises(
            ConfigurationError,
            match=r"the plan .* does not exist|damaged: it is empty|is not a SQLite database",
        ):
            await made.apply()


async def test_a_plan_of_another_version_is_refused(tmp_path: Path) -> None:
    async with bench(tmp_path) as made:
        await asyncio.to_thread(plan_files.edit, made.plan, "PRAGMA user_version = 99")
        with pytest.raises(ConfigurationError, match="format 99"):
            await made.apply()


async def test_a_plan_in_use_names_who_has_it(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=3) as made:
        plan_files.misbehave(made.server, "latency:1.0:endpoint=*.return_goods:delay=0.3")
        running = asyncio.create_task(made.apply())
        while not made.succeeded:  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(0.005)
        with pytest.raises(ConfigurationError, match=r"process \d+ on .+ since .+ is applying .+; nothing"):
            await made.apply()
        assert (await running).exit_code == 0
        assert list(made.succeeded.values()) == [1] * 3


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
