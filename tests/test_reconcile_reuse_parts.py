"""Earlier lookups in parts of a ledger, with several accounts, and by the command."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.reconcile import (
    IncompletePartsError,
    Options,
    PartResult,
    Summary,
    merge,
    run_part,
    split,
)
from pandapon_async.reconcile.lookup_store import LookupStore
from pandapon_async.reconcile.parts import ended_reuse
from pandapon_async.reconcile.reuse import Reuse, ReuseRule
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource, Outcome
from pandapon_async.sandbox import Sandbox
from tests.support.command import Shell
from tests.support.examples import examples
from tests.support.virtual import virtual_time
from tests.test_reconcile_job import FreshClock, client, read_rows, sandbox, write_ledger
from tests.test_reconcile_reuse import AS_OF, DAY, finals, night, options, plain, sources, unlike

PARTS = 3


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


async def run_parts(
    server: Sandbox, folder: Path, numbers: Any = range(1, PARTS + 1), **changes: Any
) -> list[PartResult]:
    results = []
    async with client(server) as pandapon:
        for number in numbers:
            given = Options(**{"reuse_final": options().reuse_final, "recheck": 0.001, **changes})
            results.append(await run_part(pandapon, folder, number, options=given))
    return results


async def parts_night(server: Sandbox, ledger: Path, folder: Path, **changes: Any) -> Summary:
    await split(ledger, folder, PARTS, options=Options(as_of=AS_OF), clock=FreshClock())
    await run_parts(server, folder, **changes)
    summary = await merge(folder, folder / "report", clock=FreshClock())
    await asyncio.sleep(DAY)
    return summary


@virtual_time
async def test_parts_use_again_what_the_merge_of_an_earlier_night_kept(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    async with sandbox(examples(100, 150)) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        first = await parts_night(server, ledger, folder)
        second = await parts_night(server, ledger, folder)
        expected = await night(server, ledger, tmp_path / "plain", plain())
        whole = await night(server, ledger, tmp_path / "whole", options(lookups=folder / "lookups.sqlite"))
    saved = second.run["calls_saved"]["reuse"]
    assert first.run["calls_saved"]["reuse"] == 0
    assert 0.5 < saved / first.run["lookups"] < 0.65
    assert second.run["lookups"] + saved == first.run["lookups"] == expected.run["lookups"]
    assert second.run["reuse"]["final"] == saved == sources(folder / "report")["reused"]
    assert second.rows_digest == expected.rows_digest == whole.rows_digest
    assert whole.run["calls_saved"]["reuse"] > 0, "a run of the whole ledger uses what parts left"


@virtual_time
async def test_a_part_that_is_run_again_uses_them_again(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    async with sandbox(examples(100, 150)) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await parts_night(server, ledger, folder)
        await split(ledger, folder, PARTS, options=Options(as_of=AS_OF), clock=FreshClock())
        one = await run_parts(server, folder)
        seen = len(server.log)
        two = await run_parts(server, folder)
        assert len(server.log) == seen
        assert [part.lookups for part in one] != [0, 0, 0] == [part.lookups for part in two]
        summary = await merge(folder, tmp_path / "out", clock=FreshClock())
        expected = await night(server, ledger, tmp_path / "plain", plain())
    assert summary.rows_digest == expected.rows_digest
    assert sources(tmp_path / "out")["reused"] > examples(30, 50)


@virtual_time
async def test_what_one_part_finds_out_ends_reuse_in_all(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    async with sandbox(examples(100, 150)) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await parts_night(server, ledger, folder)
        for number in finals(server, "taobao"):
            server.reopen(number, unlike(server, number), silently=True)
        made = await split(ledger, folder, PARTS, options=Options(as_of=AS_OF), clock=FreshClock())
        await run_parts(server, folder, [1])
        assert await asyncio.to_thread(ended_reuse, folder, made.id) == []
        await run_parts(server, folder, [2], recheck=100)
        assert await asyncio.to_thread(ended_reuse, folder, made.id) == ["taobao"]
        await run_parts(server, folder, [3])
        with pytest.raises(
            IncompletePartsError, match=r"part 1 reused earlier lookups of taobao .* part 1 --in"
        ):
            await merge(folder, tmp_path / "out", clock=FreshClock())
        assert not (tmp_path / "out" / "rows.csv").exists()
        await run_parts(server, folder, [1])
        summary = await merge(folder, tmp_path / "out", clock=FreshClock())
        expected = await night(server, ledger, tmp_path / "plain", plain())
        again = await split(ledger, folder, PARTS, options=Options(as_of=AS_OF), clock=FreshClock())
    assert summary.rows_digest == expected.rows_digest
    assert summary.run["reuse"]["ended"] == ["taobao"]
    reused = Counter(row["platform"] for row in read_rows(tmp_path / "out") if row["source"] == "reused")
    assert reused["taobao"] == 0 < reused["1688"]
    assert ended_reuse(folder, again.id) == []
    assert not list(folder.glob("reuse-ended*"))


async def test_the_command(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=60, seed=7) as server:
        shell.use(server)
        ledger = await asyncio.to_thread(write_ledger, tmp_path / "ledger.csv", server)
        given = ("--reuse-final", "30d", "--lookups", "kept.sqlite")
        first = await shell.beside("reconcile", "ledger.csv", "--out", "one", *given)
        second = await shell.beside("reconcile", "ledger.csv", "--out", "two", *given)
        wrong = [
            await shell.beside("reconcile", "ledger.csv", "--out", "three", *more)
            for more in (("--reuse-final", "month"), ("--recheck", "0", *given), ("--callbacks", "no.sqlite"))
        ]
    one, two = json.loads(first.out), json.loads(second.out)
    assert (first.code, second.code) == (1, 1)
    assert one["rows_digest"] == two["rows_digest"]
    assert two["run"]["calls_saved"]["reuse"] == one["run"]["calls"] - two["run"]["calls"] > 20
    assert "kept.sqlite has no lookups yet" in first.err
    assert f"reusing the lookups of {two['run']['reuse']['final']} final refunds" in second.err
    assert [run.code for run in wrong] == [2, 2, 2]
    assert "'month' is not an age" in wrong[0].err
    assert "recheck" in wrong[1].err
    assert "--callbacks" in wrong[2].err
    assert "does not exist" in wrong[2].err
    assert ledger.is_file()


RULE = ReuseRule(
    now=0.0,
    night="2024-05-01",
    reuse_final=timedelta(days=30),
    reuse_silent=None,
    recheck=5.0,
    silence={},
    urgent="",
)


def test_a_run_that_goes_on_knows_for_which_platform_reuse_has_ended(tmp_path: Path) -> None:
    with (
        closing(LookupStore.open(tmp_path / "lookups.sqlite")) as store,
        closing(RunStore.open(tmp_path / "state.sqlite")) as state,
    ):
        first = Reuse(store, {}, RULE, lambda: None, ended_elsewhere=lambda: ["taobao"])
        first.choose(state)
        assert [first.compare(state), first.compare(state)] == [["taobao"], []]
        resumed = Reuse(store, {}, RULE, lambda: None)
        resumed.choose(state)
        assert resumed.result.ended == ["taobao"]


def test_a_run_that_goes_on_chooses_anew_and_keeps_what_it_looked_up_itself(tmp_path: Path) -> None:
    with (
        closing(LookupStore.open(tmp_path / "lookups.sqlite")) as store,
        closing(RunStore.open(tmp_path / "state.sqlite")) as state,
    ):
        state.add_rows(LedgerRow(row=row, platform="taobao", refund_id=str(row)) for row in (2, 3))
        state.record(2, Lookup(outcome=Outcome.FOUND, source=LookupSource.REUSED))
        state.record(3, Lookup(outcome=Outcome.FOUND))
        Reuse(store, {}, RULE, lambda: None).choose(state)
        assert [one.source for one in state.lookups_of([2, 3])] == [LookupSource.SINGLE]
