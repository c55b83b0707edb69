"""A ledger in parts: the same rows and verdicts as whole, no lookup twice, nothing merged that is missing."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pandapon_async import ConfigurationError, InvalidArgumentError
from pandapon_async.reconcile import (
    IncompletePartsError,
    NothingFoundError,
    Options,
    Summary,
    Verdict,
    merge,
    reconcile,
    run_part,
    split,
)
from pandapon_async.reconcile.outputs import VARYING
from pandapon_async.sandbox import Sandbox
from pandapon_async.storage.record_file import RecordFile, read_records
from tests.support.command import Shell
from tests.support.virtual import LoopClock, virtual_time
from tests.test_reconcile_job import (
    AS_OF,
    FreshClock,
    Stopper,
    client,
    read_rows,
    refunds_asked,
    sandbox,
    write_ledger,
)

OPTIONS = Options(as_of=AS_OF)
MISSING = attrs.evolve(OPTIONS, accept_missing=True)  # a few rows may all be missing


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def lasting(out: Path) -> list[list[str]]:
    """rows.csv without what differs from run to run."""
    with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
        return [cells[:-VARYING] for cells in csv.reader(file)]


async def in_parts(
    server: Sandbox, ledger: Path, folder: Path, count: int, options: Options = OPTIONS
) -> Summary:
    await split(ledger, folder, count, options=options, clock=FreshClock())
    async with client(server) as pandapon:
        for part in range(1, count + 1):
            await run_part(pandapon, folder, part)
    return await merge(folder, folder / "out", options=options, clock=FreshClock())


@given(count=st.integers(1, 16), rows=st.integers(1, 80), seed=st.integers(0, 50))
@settings(max_examples=6, phases=[Phase.generate])
def test_any_number_of_parts_comes_to_what_the_whole_comes_to(
    tmp_path_factory: pytest.TempPathFactory, count: int, rows: int, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("parts")

    @virtual_time
    async def both() -> None:
        async with Sandbox(refunds=80, seed=seed, clock=LoopClock(), sleep=asyncio.sleep) as server:
            ledger = write_ledger(folder / "ledger.csv", server, rows)
            with ledger.open("a", encoding="utf-8") as file:  # duplicates far from their first, and a bad row
                lines = ledger.read_text("utf-8").splitlines()
                file.write(f"{lines[1]}\n{lines[1].replace(',', ';')}\n{lines[-1]}\n")
            async with client(server) as pandapon:
                whole = await reconcile(pandapon, ledger, folder / "whole", options=MISSING)
            merged = await in_parts(server, ledger, folder / "parts", count, MISSING)
        assert lasting(folder / "parts" / "out") == lasting(folder / "whole")
        assert (merged.verdicts, merged.rows_digest) == (whole.verdicts, whole.rows_digest)
        assert merged.totals == whole.totals
        assert (merged.ledger, merged.notes) == (whole.ledger, whole.notes)

    both()


@pytest.mark.nightly
@pytest.mark.parametrize("count", range(1, 17))
@virtual_time
async def test_3060_rows_with_72_duplicates_come_to_the_same_in_any_number_of_parts(
    tmp_path: Path, count: int
) -> None:
    async with Sandbox(refunds=2_988, seed=3, clock=LoopClock(), sleep=asyncio.sleep) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        lines = ledger.read_text("utf-8").splitlines()
        with ledger.open("a", encoding="utf-8") as file:
            file.writelines(f"{line}\n" for line in lines[1 : 72 * 41 : 41])
        async with client(server) as pandapon:
            whole = await reconcile(pandapon, ledger, tmp_path / "whole", options=OPTIONS)
        merged = await in_parts(server, ledger, tmp_path / "parts", count)
    assert whole.rows == 3_060
    assert whole.verdicts[Verdict.DUPLICATE_LOCAL] >= 72  # the sandbox plants some of its own
    assert lasting(tmp_path / "parts" / "out") == lasting(tmp_path / "whole")
    assert (merged.verdicts, merged.rows_digest) == (whole.verdicts, whole.rows_digest)


@virtual_time
async def test_a_part_that_is_stopped_and_run_again_repeats_no_lookup(tmp_path: Path) -> None:
    async with sandbox(120) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        made = await split(ledger, tmp_path / "parts", 2, options=OPTIONS, clock=FreshClock())
        async with client(server) as pandapon:
            for after in (5, 20):
                with contextlib.suppress(asyncio.CancelledError):
                    task = asyncio.ensure_future(
                        run_part(pandapon, tmp_path / "parts", 1, progress=Stopper(after))
                    )
                    await task
            first = await run_part(pandapon, tmp_path / "parts", 1)
            again = await run_part(pandapon, tmp_path / "parts", 1)
            await run_part(pandapon, tmp_path / "parts", 2)
        asked = refunds_asked(server, [*server.refund_ids("1688"), *server.refund_ids("taobao")])
        known = [one for one in asked if one is not None]
        assert first.lookups_before > 0
        assert (again.lookups_before, again.lookups) == (made.to_look_up[0], 0)
        under_way = 2 * 16  # what was on its way when it was stopped is asked again
        assert len(known) - len(set(known)) <= under_way
        summary = await merge(tmp_path / "parts", tmp_path / "out", clock=FreshClock())
    assert summary.rows == 120
    assert summary.run["lookups"] == made.to_look_up[1]  # the last run of part 1 made none
    assert summary.run["lookups_before"] == made.to_look_up[0]


@virtual_time
async def test_a_part_never_mixes_in_lookups_of_another_vendor(tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    async with sandbox(60) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await split(ledger, folder, 2, options=MISSING, clock=FreshClock())
        async with client(server) as pandapon:
            await run_part(pandapon, folder, 1, options=MISSING)
        asked = len(server.log)
        async with client(server, vendor_id="api.example") as pandapon:
            with pytest.raises(ConfigurationError, match="lookups from localhost, but this run asks api"):
                await run_part(pandapon, folder, 1, options=MISSING)
        assert len(server.log) == asked
        async with client(server) as pandapon:
            again = await run_part(pandapon, folder, 1, options=MISSING)
        assert (again.lookups, again.lookups_before > 0) == (0, True)


@virtual_time
async def test_a_missing_part_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    async with sandbox(60) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        made = await split(ledger, tmp_path / "parts", 3, options=OPTIONS, clock=FreshClock())
        async with client(server) as pandapon:
            await run_part(pandapon, tmp_path / "parts", 1)
            stopping = run_part(pandapon, tmp_path / "parts", 3, progress=Stopper(4))
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.ensure_future(stopping)
        with pytest.raises(IncompletePartsError) as caught:
            await merge(tmp_path / "parts", tmp_path / "out", clock=FreshClock())
    text = str(caught.value)
    assert f"part 2 (0 of {made.to_look_up[1]} looked up)" in text
    assert "part 3 (" in text
    assert "part 1" not in text.replace("parts", "")
    assert "pandapon reconcile part 2 --in" in text
    assert not (tmp_path / "out").exists()


@virtual_time
async def test_lookups_of_last_night_are_repeated_unless_they_are_allowed(tmp_path: Path) -> None:
    clock = FreshClock()
    async with sandbox(40) as server, client(server, clock=clock) as pandapon:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        made = await split(ledger, tmp_path / "parts", 1, options=OPTIONS, clock=clock)
        await run_part(pandapon, tmp_path / "parts", 1)
        await asyncio.sleep(13 * 3600)
        allowed = await run_part(
            pandapon, tmp_path / "parts", 1, options=attrs.evolve(OPTIONS, reuse=timedelta(hours=20))
        )
        assert (allowed.lookups_before, allowed.lookups) == (made.to_look_up[0], 0)
        anew = await run_part(pandapon, tmp_path / "parts", 1)
        assert (anew.lookups_before, anew.lookups) == (0, made.to_look_up[0])
        summary = await merge(tmp_path / "parts", tmp_path / "out", clock=clock)
    assert all(int(row["lookup_age_s"] or 0) < 3600 for row in read_rows(tmp_path / "out"))
    assert summary.run["lookups"] == made.to_look_up[0]


@virtual_time
async def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    async with sandbox(20) as server, client(server) as pandapon:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await split(ledger, tmp_path / "one", 1, options=OPTIONS, clock=FreshClock())
        await split(ledger, tmp_path / "two", 1, options=OPTIONS, clock=FreshClock())
        await run_part(pandapon, tmp_path / "one", 1)
        (tmp_path / "two" / "part-0001.lookups").write_bytes(
            (tmp_path / "one" / "part-0001.lookups").read_bytes()
        )
        with pytest.raises(ConfigurationError, match="belongs to another split"):
            await run_part(pandapon, tmp_path / "two", 1)
        with pytest.raises(ConfigurationError, match="belongs to another split"):
            await merge(tmp_path / "two", tmp_path / "out")
        with pytest.raises(InvalidArgumentError, match="there is no part 2; the parts are 1 to 1"):
            await run_part(pandapon, tmp_path / "one", 2)
        rows = tmp_path / "one" / "part-0001.rows"
        rows.write_bytes(rows.read_bytes()[:-40])
        with pytest.raises(ConfigurationError, match="of 20 rows"):
            await merge(tmp_path / "one", tmp_path / "out")
        with pytest.raises(ConfigurationError, match="has no parts"):
            await merge(tmp_path / "none", tmp_path / "out")
        (tmp_path / "two" / "split.json").write_text(json.dumps({"rows": 3}))
        with pytest.raises(ConfigurationError, match="damaged or of another version"):
            await merge(tmp_path / "two", tmp_path / "out")


async def test_a_split_replaces_only_a_split(tmp_path: Path) -> None:
    server = Sandbox(refunds=20)
    ledger = await asyncio.to_thread(write_ledger, tmp_path / "ledger.csv", server)
    made: list[Any] = [await split(ledger, tmp_path / "parts", count) for count in (4, 2)]
    assert sorted(path.name for path in (tmp_path / "parts").glob("part-*.rows")) == [
        "part-0001.rows",
        "part-0002.rows",
    ]
    assert (sum(made[0].rows), sum(made[1].rows)) == (20, 20)
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "part-of-my-life.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="was not written by a split"):
        await split(ledger, tmp_path / "foreign", 2)
    for wrong in (0, 1_001):
        with pytest.raises(InvalidArgumentError, match=f"{wrong} parts"):
            await split(ledger, tmp_path / "parts", wrong)
    with pytest.raises(InvalidArgumentError, match="--by-account"):
        await split(ledger, tmp_path / "parts", 2, by_account=True)


@virtual_time
async def test_a_ledger_of_which_nothing_is_found_is_not_judged(tmp_path: Path) -> None:
    """Each part is too small to tell; together they are not."""
    async with sandbox(40) as server, client(server) as pandapon:
        rows = [f"TQ99999{number:05},1,CNY" for number in range(12)]
        ledger = tmp_path / "ledger.csv"
        await asyncio.to_thread(ledger.write_text, "\n".join(["refund_id,amount_fen,currency", *rows]))
        await split(ledger, tmp_path / "parts", 4, options=OPTIONS, clock=FreshClock())
        for part in range(1, 5):
            await run_part(pandapon, tmp_path / "parts", part)
        with pytest.raises(NothingFoundError, match="of the 12 refunds"):
            await merge(tmp_path / "parts", tmp_path / "out", clock=FreshClock())
        summary = await merge(tmp_path / "parts", tmp_path / "out", options=MISSING, clock=FreshClock())
    assert summary.verdicts[Verdict.MISSING_UPSTREAM] == 12


@virtual_time
async def test_a_refund_that_two_accounts_have_is_judged_as_in_the_whole(tmp_path: Path) -> None:
    """Its rows are in two parts then, and the second part must not take its row for the first."""
    async with sandbox(40) as server, client(server) as pandapon:
        rows = [row for row in server.ledger_rows() if row["refund_id"].startswith("TQ")][:6]
        lines = [f"TQ{row['refund_id'][2:]},{row['amount_fen']}" for row in rows]
        ledger = tmp_path / "ledger.csv"
        text = "\n".join(
            ["refund_id,amount_fen,account", *(f"{line},a{at % 3}" for at, line in enumerate(lines))]
        )
        await asyncio.to_thread(ledger.write_text, f"{text}\n{lines[0]},a1\n{lines[1]},a0\n")
        missing = attrs.evolve(MISSING, map={})
        whole = await reconcile(pandapon, ledger, tmp_path / "whole", options=missing)
        made = await split(ledger, tmp_path / "parts", 4, options=missing, clock=FreshClock())
        await asyncio.to_thread(_by_account, tmp_path / "parts", made.parts)
        for part in range(1, 5):
            await run_part(pandapon, tmp_path / "parts", part, options=MISSING)
        merged = await merge(tmp_path / "parts", tmp_path / "out", options=missing, clock=FreshClock())
    assert lasting(tmp_path / "out") == lasting(tmp_path / "whole")
    assert merged.verdicts == whole.verdicts
    assert merged.verdicts[Verdict.DUPLICATE_LOCAL] == 2
    assert merged.run["lookups"] == whole.run["lookups"]


def _by_account(folder: Path, parts: int) -> None:
    """Move each row that repeats a refund into the next part, as if its account were there."""
    files = [folder / f"part-{number:04}.rows" for number in range(1, parts + 1)]
    rows = [list(read_records(path)) for path in files]
    moved: list[list[Any]] = [[] for _ in files]
    for at, part in enumerate(rows):
        for row in part:
            moved[(at + (row["duplicate_of"] is not None)) % parts].append(row)
    split_file = folder / "split.json"
    said = json.loads(split_file.read_text("utf-8"))
    said["rows"] = [len(part) for part in moved]
    split_file.write_text(json.dumps(said), "utf-8")
    for path, part in zip(files, moved, strict=True):
        path.unlink()
        with RecordFile.open(path) as file:
            for row in sorted(part, key=lambda row: int(row["row"])):
                file.append(row)


async def test_the_command_in_parts(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=40, seed=7) as server:
        shell.use(server)
        await asyncio.to_thread(write_ledger, tmp_path / "ledger.csv", server)
        made = await shell.beside("reconcile", "split", "ledger.csv", "--parts", "2", "--out", "parts")
        merge = ("reconcile", "merge", "--in", "parts", "--out", "report", "--metrics", "night.prom")
        early = await shell.beside(*merge)
        metrics = [(tmp_path / "night.prom").read_text("utf-8")]
        runs = [await shell.beside("reconcile", "part", str(part), "--in", "parts") for part in (1, 2, 2)]
        wrong = await shell.beside("reconcile", "part", "3", "--in", "parts")
        merged = await shell.beside(*merge)
        metrics.append((tmp_path / "night.prom").read_text("utf-8"))
        whole = await shell.beside("reconcile", "ledger.csv", "--out", "whole")
    asked = json.loads(made.out)["to_look_up"]
    assert (made.code, sum(json.loads(made.out)["rows"])) == (0, 40)
    assert (early.code, early.out) == (3, "")
    assert f"part 1 (0 of {asked[0]} looked up)" in early.err
    assert [run.code for run in runs] == [0, 0, 0]
    assert [json.loads(run.out)["lookups"] for run in runs] == [*asked, 0]
    assert (wrong.code, "there is no part 3; the parts are 1 to 2" in wrong.err) == (2, True)
    assert merged.code == whole.code == 1
    for code, text in zip((3, 1), metrics, strict=True):
        assert f'pandapon_reconcile_exit_code{{name="night"}} {code}\n' in text
    assert ["pandapon_reconcile_rows{" in text for text in metrics] == [False, True]
    assert json.loads(merged.out)["rows_digest"] == json.loads(whole.out)["rows_digest"]
