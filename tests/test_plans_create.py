"""Making a plan: what ends it early, and what is left then."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Client, ConfigurationError, InvalidArgumentError, Settings, plans
from pandapon_async.plans import PlanFile
from pandapon_async.plans.create import _publish
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files


async def test_a_table_that_changes_while_it_is_read_makes_no_plan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = plan_files.write_table(tmp_path / "table.csv", plan_files.refund_rows(3))
    add = PlanFile.add

    def meanwhile(book: PlanFile, rows: Any) -> int:
        with table.open("a") as file:
            file.write("\n")
        return add(book, rows)

    monkeypatch.setattr(PlanFile, "add", meanwhile)
    async with Sandbox(refunds=1) as server:
        settings = Settings(base_url=server.base_url, rate=None)
        async with Client(server.credentials, settings) as client:
            with pytest.raises(InvalidArgumentError, match="was changed while it was read"):
                await plans.create(client, "refunds", table, tmp_path / "plan.db")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


async def test_two_runs_that_plan_into_one_file_leave_one_plan(tmp_path: Path) -> None:
    table = plan_files.write_table(tmp_path / "table.csv", plan_files.refund_rows(3))
    async with Sandbox(refunds=1, faults="latency:1.0:delay=0.05") as server:
        settings = Settings(base_url=server.base_url, rate=None)
        async with Client(server.credentials, settings) as client:
            made = [asyncio.create_task(plans.create(client, "refunds", table, tmp_path / "p.db"))]
            await asyncio.sleep(0.02)
            (tmp_path / "p.db").write_text("somebody else was faster")
            with pytest.raises(ConfigurationError, match="never overwritten"):
                await made[0]
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv", "p.db"}
    assert (tmp_path / "p.db").read_text() == "somebody else was faster"


async def test_a_cancelled_plan_leaves_nothing(tmp_path: Path) -> None:
    table = plan_files.write_table(tmp_path / "table.csv", plan_files.refund_rows(30))
    async with Sandbox(refunds=1, faults="latency:1.0:delay=0.2") as server:
        settings = Settings(base_url=server.base_url, rate=None)
        async with Client(server.credentials, settings) as client:
            planning = asyncio.create_task(plans.create(client, "refunds", table, tmp_path / "p.db"))
            while not server.log:  # noqa: ASYNC110 (no event tells of it)
                await asyncio.sleep(0.005)
            planning.cancel()
            with pytest.raises(asyncio.CancelledError):
                await planning
    assert {path.name for path in tmp_path.iterdir()} == {"table.csv"}


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_system_without_hard_links(
    exists: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(95, "not supported")

    monkeypatch.setattr(os, "link", refuse)
    draft, out = tmp_path / ".draft", tmp_path / "plan.db"
    draft.write_text("new")
    if exists:
        out.write_text("old")
        with pytest.raises(ConfigurationError, match="never overwritten"):
            _publish(draft, out)
        assert out.read_text() == "old"
    else:
        _publish(draft, out)
        assert out.read_text() == "new"
        assert not draft.exists()
