"""A plan applied by a process that is killed with -9 again and again, against a vendor that loses answers."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from pandapon_async import Clock, plans
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.bench import Bench

FAULTS = "reset_after:0.10,reset_before:0.05,error_500:0.03,error_502_html:0.02"
MOST_RUNS = 8


async def plan(server: Sandbox, kind: str, table: Path) -> Path:
    made = Bench(server, table.parent, kind)
    async with made.client(clock=Clock(), concurrency=32) as client:
        await plans.create(client, kind, table, made.plan)
    return made.plan


async def apply_killed(server: Sandbox, kind: str, plan: Path, kills: int, between: range) -> None:
    """Apply, killing it `kills` times in the middle, and then as often as it takes, in this process."""
    chance = random.Random(11)
    command = (kind, "apply", plan, "--yes", "--settle-after", "0.5", "--concurrency", 16)
    killed = 0
    for _ in range(kills):
        process = await plan_files.start(server, *command, fresh=True)
        await plan_files.seen(server, len(server.log) + chance.choice(between), process)
        killed += process.returncode is None
        if process.returncode is None:
            process.kill()
        await plan_files.finish(process)
    assert killed == kills, "the run was over before it could be killed"
    made = Bench(server, plan.parent, kind)
    for _ in range(MOST_RUNS):
        applied = await made.apply(settings={"clock": Clock(), "settle_after": 0.5, "concurrency": 16})
        if applied.exit_code != 3:
            return
    raise AssertionError(applied)


def check(server: Sandbox, plan: Path, rows: int, kind: str) -> Counter[str]:
    """No write landed twice, every row is at its end, and says what really happened."""
    states = plan_files.states_of(plan)
    assert sum(states.values()) == rows
    assert set(states) <= plan_files.ENDED, states
    effects = plan_files.effects_per_key(server, kind)
    assert [key for key, count in effects.items() if count > 1] == []
    assert sum(effects.values()) == states["confirmed"] + states["settled_done"]
    results = plan_files.results_of(plan.with_name(f"{plan.name}.results.jsonl"))
    assert [line["row"] for line in results] == list(range(2, rows + 2))
    assert Counter(line["state"] for line in results) == states
    return states


async def returns(tmp_path: Path, rows: int, kills: int, between: range) -> Counter[str]:
    async with Sandbox(refunds=30 * rows, seed=5) as server:
        ids = plan_files.returnable(server, rows)
        images = plan_files.write_images(tmp_path, 7)
        table = plan_files.write_table(tmp_path / "returns.csv", plan_files.return_rows(ids, images))
        out = await plan(server, "returns", table)
        plan_files.misbehave(server, FAULTS)
        await apply_killed(server, "returns", out, kills, between)
        states = check(server, out, rows, "return_goods")
        succeeded = plan_files.effects_per_key(server, "return_goods")
        for line in plan_files.results_of(tmp_path / "plan.db.results.jsonl"):
            assert (line["refund_id"] in succeeded) == (line["state"] in ("confirmed", "settled_done"))
        return states


async def refunds(tmp_path: Path, rows: int, kills: int, between: range) -> Counter[str]:
    async with Sandbox(refunds=1000, seed=5) as server:
        images = plan_files.write_images(tmp_path, 9)
        table = plan_files.write_table(tmp_path / "refunds.csv", plan_files.refund_rows(rows, images))
        out = await plan(server, "refunds", table)
        plan_files.misbehave(server, FAULTS)
        await apply_killed(server, "refunds", out, kills, between)
        states = check(server, out, rows, "create")
        made = {effect.refund_id for effect in server.effects if effect.kind == "create"}
        results = plan_files.results_of(tmp_path / "plan.db.results.jsonl")
        assert {line["result"] for line in results if line["result"]} == made
        assert len(plan_files.effects_per_key(server, "voucher")) == 9
        return states


async def test_returns_killed_twice(tmp_path: Path) -> None:
    states = await returns(tmp_path, 80, 2, range(25, 50))
    assert states["confirmed"] + states["settled_done"] > 45


async def test_refunds_killed_twice(tmp_path: Path) -> None:
    states = await refunds(tmp_path, 40, 2, range(15, 30))
    assert states["confirmed"] + states["settled_done"] > 25


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_returns_killed_ten_times(tmp_path: Path) -> None:
    print(await returns(tmp_path, 3_000, 10, range(100, 300)))


@pytest.mark.nightly
@pytest.mark.timeout(600)
async def test_refunds_killed_ten_times(tmp_path: Path) -> None:
    print(await refunds(tmp_path, 500, 10, range(50, 90)))
