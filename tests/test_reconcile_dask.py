"""Real Dask clusters: workers that are killed and stopped, Ctrl-C, and what their logs hold."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from pandapon_async.sandbox import Sandbox
from tests.support.dask_cluster import Command, cluster, environment, kept, start, until
from tests.test_reconcile_job import write_ledger
from tests.test_reconcile_parts import lasting

pytest.importorskip("distributed")
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(170)]

ROWS = 3_000
SECRET = "dask-canary-secret-90b1c7"
AS_OF = ("--as-of", "2026-01-01T00:00:00+08:00")


async def whole(server: Sandbox, folder: Path) -> dict[str, Any]:
    """The run that is not divided."""
    command = await start(server, folder, "reconcile", "ledger.csv", "--out", "whole", *AS_OF)
    code, out, err = await command.end()
    assert code == 1, err
    found: dict[str, Any] = json.loads(out)
    return found


async def disturb(command: Command, out: Path, rows: int) -> None:
    """Kill two workers with -9, and stop one for a while."""
    await until(out, rows // 10, command)
    first, second, *_ = command.workers()
    first.send_signal(signal.SIGKILL)
    await until(out, rows // 4, command)
    second.send_signal(signal.SIGSTOP)
    await until(out, rows * 4 // 10, command)
    second.send_signal(signal.SIGCONT)
    await until(out, rows // 2, command)
    command.workers()[-1].send_signal(signal.SIGKILL)


async def killed_and_stopped(folder: Path, rows: int, rate: int) -> dict[str, Any]:
    """8 parts on 3 workers that are killed and stopped: what came of it, beside the whole run."""
    async with Sandbox(refunds=rows, seed=7, log_limit=10 * rows) as server:
        await asyncio.to_thread(write_ledger, folder / "ledger.csv", server)
        alone = await whole(server, folder)
        asked = server.counters.requests
        command = await start(
            server, folder, "reconcile", "ledger.csv", "--out", "out", *AS_OF, "--dask",
            "--workers", "3", "--parts", "8", "--rate", str(rate),
        )  # fmt: skip
        disturbing = asyncio.ensure_future(disturb(command, folder / "out", rows))
        code, out, err = await command.end()
        await disturbing
        assert code == 1, err
        requests = server.counters.requests - asked
    summary, lookups = json.loads(out), await asyncio.to_thread(kept, folder / "out")
    assert lasting(folder / "out") == lasting(folder / "whole")
    assert summary["rows_digest"] == alone["rows_digest"]
    return {
        "rows": rows,
        "lookups": len(lookups),
        "finished lookups repeated": sum(lookups.values()) - len(lookups),
        "requests beyond one a lookup": requests - len(lookups),
        "rows.csv without what varies": hashlib.sha256(repr(lasting(folder / "out")).encode()).hexdigest()[
            :16
        ],
        "told": [line for line in err.splitlines() if "gone" in line or "again" in line],
    }


async def test_workers_that_are_killed_and_stopped(tmp_path: Path) -> None:
    found = await killed_and_stopped(tmp_path, ROWS, 400)
    print(found)
    assert found["finished lookups repeated"] == 0
    assert found["requests beyond one a lookup"] <= 3 * 64  # what was on its way when a worker was killed
    assert sum("is gone" in line for line in found["told"]) == 2


async def test_ctrl_c_stops_all_workers_and_the_same_command_resumes(tmp_path: Path) -> None:
    async with Sandbox(refunds=ROWS, seed=7) as server:
        await asyncio.to_thread(write_ledger, tmp_path / "ledger.csv", server)
        alone = await whole(server, tmp_path)
        arguments = ("reconcile", "ledger.csv", "--out", "out", *AS_OF, "--dask", "--workers", "2")
        command = await start(server, tmp_path, *arguments, "--rate", "400")
        await until(tmp_path / "out", 600, command)
        workers = command.workers()
        os.killpg(command.process.pid, signal.SIGINT)  # as a terminal does: to all of them
        code, out, err = await command.end()
        assert (code, out) == (3, "")
        assert f"Resume with:\n  pandapon {' '.join(arguments)} --rate 400" in err
        assert not [one for one in workers if psutil.pid_exists(one.pid) and one.status() != "zombie"]
        before, seen = await asyncio.to_thread(kept, tmp_path / "out"), server.counters.requests
        code, out, err = await (await start(server, tmp_path, *arguments, "--rate", "4000")).end()
        assert code == 1, err
        assert "resuming 8 parts" in err
        after = await asyncio.to_thread(kept, tmp_path / "out")
    assert json.loads(out)["rows_digest"] == alone["rows_digest"]
    assert set(after.values()) == {1}
    assert server.counters.requests - seen == len(after) - len(before)


async def test_no_log_of_scheduler_or_workers_has_a_secret(tmp_path: Path) -> None:
    """Also where a worker knows another key, and where the vendor refuses it."""
    async with Sandbox(refunds=300, seed=7, access_secret=SECRET) as server:
        await asyncio.to_thread(write_ledger, tmp_path / "ledger.csv", server)
        right = environment(server)
        other = environment(server, PANDAPON_ACCESS_SECRET=f"{SECRET}-of-another")
        address = environment(server, PANDAPON_BASE_URL="https://elsewhere.example")
        workers = {"right": right, "also-right": right, "other-key": other, "other-address": address}
        async with cluster(tmp_path / "cluster", workers) as made:
            await asyncio.sleep(8)  # until all four are there
            arguments = ("reconcile", "ledger.csv", "--out", "out", *AS_OF, "--dask", str(made.file))
            code, _, err = await (await start(server, tmp_path, *arguments)).end()
            assert code == 1, err
            server.revoke(server.credentials.access_key)
            refused, _, told = await (await start(server, tmp_path, *arguments, "--fresh")).end()
        logs = {path.name: path.read_bytes() for path in (tmp_path / "cluster").glob("*.log")}
    assert len(re.findall(r"worker tcp://\S+ gets no part: it has another key for the account", err)) == 1
    assert "gets no part: it sends the calls of the account of the environment to https://elsewhere" in err
    assert "2 workers with equal parts of the rate" in err
    assert (refused, "AuthenticationError" in told) == (4, True), told
    assert sorted(logs) == [
        "also-right.log",
        "other-address.log",
        "other-key.log",
        "right.log",
        "scheduler.log",
    ]
    assert b"prove" in logs["right.log"]  # the logs are whole: they name what was run
    for name, content in {**logs, "stderr": err.encode(), "refused": told.encode()}.items():
        for canary in (SECRET, server.credentials.access_key, server.credentials.user_id):
            assert canary.encode() not in content, name
    print({name: len(content) for name, content in logs.items()})
    with contextlib.suppress(FileNotFoundError):
        assert SECRET not in (tmp_path / "out" / "summary.json").read_text("utf-8")
