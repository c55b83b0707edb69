"""The plan's file: made once, opened from the event loop, brought up from an earlier format."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
from collections import Counter
from pathlib import Path
from typing import Any, Self, cast

import attrs
import pytest

from pandapon_async import ConfigurationError, plans
from pandapon_async.plans import RowState
from pandapon_async.plans.async_plan_file import AsyncPlanFile, finished
from pandapon_async.plans.plan_file import PlanFile
from tests.support import plan_files
from tests.support.bench import Bench, bench
from tests.support.virtual import VirtualLoop, settle, virtual_time


def test_a_plan_is_never_overwritten(tmp_path: Path) -> None:
    PlanFile.create(tmp_path / "plan.db").close()
    with pytest.raises(ConfigurationError, match="never overwritten"):
        PlanFile.create(tmp_path / "plan.db")


@virtual_time
async def _opening_is_cancelled(path: Path) -> None:
    files: list[PlanFile] = []

    def opening() -> PlanFile:
        files.append(PlanFile.create(path))
        return files[0]

    async def use() -> None:
        async with AsyncPlanFile(opening):
            raise AssertionError("it was cancelled before")

    task = asyncio.create_task(use())
    await settle(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    if files:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            files[0].get("kind")


def test_a_plan_file_that_is_cancelled_while_it_opens_closes_its_file(tmp_path: Path) -> None:
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


# Written by the version before formats had upgrades, against its sandbox, in virtual time: rows were sent one
# after another under planted faults (reset_before, reset_after, refusals, a 401, a 429), then some were cut
# off. So every state is there, and every kind of note and error. The journals beside them are of that run.
OLD = Path(__file__).parent / "data" / "formats"


@attrs.define
class Old:
    """A plan of format 1 with its journal, made to belong to a sandbox of today."""

    made: Bench
    kind: str

    @classmethod
    async def bring(cls, made: Bench, kind: str) -> Self:
        folder = made.folder
        shutil.copy(OLD / f"plan-1-{kind}.db", made.plan)
        shutil.copy(OLD / f"plan-1-{kind}-journal.sqlite", folder / "journal.sqlite")
        async with made.client(journal=":memory:") as client:
            account = client.writer.legacy
        execute(made.plan, "UPDATE facts SET value = json_quote(?) WHERE name = 'account'", account)
        base_url = made.server.base_url
        execute(made.plan, "UPDATE facts SET value = json_quote(?) WHERE name = 'base_url'", base_url)
        execute(made.plan, "UPDATE pictures SET path = ?", str(folder / "proof-0.jpg"))
        execute(folder / "journal.sqlite", "UPDATE intents SET account = ?", account)
        plan_files.write_images(folder, 1)
        return cls(made, kind)

    async def carry_out(self, *rows: int) -> None:
        """Let the vendor have carried out these rows."""
        arguments = {row["row"]: json.loads(row["arguments"]) for row in plan_files.rows_of(self.made.plan)}
        async with self.made.client(journal=":memory:") as client:
            refunds = client.v1.alibaba.refunds
            call = refunds.return_goods if self.kind == "returns" else refunds.create
            for row in rows:
                await call(**arguments[row])
        self.made.server._pipeline.upstream.effects.clear()


def execute(path: Path, statement: str, *values: str) -> None:
    db = sqlite3.connect(path)
    with db:
        db.execute(statement, values)
    db.close()


NOTHING: tuple[Any, ...] = ([], None, None, None, None)
AT_ONCE = "the form still stands at waitbuyersend, without a waybill"
NO_FORM = "the order's lines name no refund form"
UPGRADED: dict[str, dict[int, tuple[Any, ...]]] = {
    "returns": {
        2: ("settled_done", [], "succeeded", "the form carries our waybill", None, None),
        3: ("settled_absent", [], "absent", AT_ONCE, None, None),
        4: ("confirmed", *NOTHING),
        5: ("rejected", [], None, None, "rejected", "4007"),
        6: (
            "unknown",
            [],
            "undecided",
            "the form has moved on and shows no waybill",
            "connection_lost",
            None,
        ),
        7: ("unknown", [], "absent", AT_ONCE, "connection_lost", None),
        8: ("unknown", [], None, "could not be looked up (api)", "connection_lost", None),
        9: ("applying", *NOTHING),
        10: ("not_sent", *NOTHING),
        11: ("not_sent", [], None, None, "authentication", "401"),
        12: ("planned", *NOTHING),
        13: ("refused", *NOTHING),
    },
    "refunds": {
        2: ("confirmed", *NOTHING),
        3: (
            "unknown",
            [],
            "undecided",
            "the order names TQ281734309518500441, which is not ours as it seems",
            "connection_lost",
            None,
        ),
        4: ("settled_done", [], "succeeded", "the order names a form with our amounts", None, None),
        5: ("settled_absent", [], "absent", NO_FORM, None, None),
        6: ("rejected", [], None, None, "api", "5011"),
        7: ("unknown", [], "absent", NO_FORM, "connection_lost", None),
        8: ("applying", *NOTHING),
        9: ("not_sent", [], None, None, "rate_limit", "429"),
        10: ("applying", *NOTHING),
        11: ("planned", *NOTHING),
        12: ("planned", ["row 5 is about the same order line"], None, None, None, None),
        13: ("refused", *NOTHING),
    },
}


@pytest.mark.parametrize("kind", ["returns", "refunds"])
def test_a_plan_of_format_1_is_brought_up(tmp_path: Path, kind: str) -> None:
    plan = Path(shutil.copy(OLD / f"plan-1-{kind}.db", tmp_path / "plan.db"))
    before = {row["row"]: row for row in plan_files.rows_of(plan)}
    file = PlanFile.open(plan)
    rows = list(file.rows())
    assert file.get("applied_by")["host"] == "office"
    if kind == "refunds":
        assert rows[4].vendor_message == "planted"
    file.close()
    assert {
        row.row: (
            row.state.value, row.remarks, row.resolution, row.resolution_note, row.error_kind, row.error_code
        )
        for row in rows
    } == UPGRADED[kind]  # fmt: skip
    after = {row["row"]: row for row in plan_files.rows_of(plan)}
    new = {
        "remarks",
        "resolution",
        "resolution_note",
        "error_kind",
        "error_code",
        "vendor_message",
        "uncertain",
        "checksum",
    }
    assert [{name: row[name] for name in row.keys() - new} for row in after.values()] == [
        {name: row[name] for name in row.keys() - {"note", "error", "words"}} for row in before.values()
    ], "everything else is as it was"
    content = plan.read_bytes()
    PlanFile.open(plan).close()
    assert plan.read_bytes() == content, "it is brought up once"


@pytest.mark.parametrize("kind", ["returns", "refunds"])
def test_a_plan_of_format_2_is_brought_up(tmp_path: Path, kind: str) -> None:
    """It had no checksums."""
    plan = Path(shutil.copy(OLD / f"plan-2-{kind}.db", tmp_path / "plan.db"))
    before = plan_files.rows_of(plan)
    states = plans.summarize(plan).states
    after = [{name: row[name] for name in row.keys() - {"checksum"}} for row in plan_files.rows_of(plan)]
    assert after == before
    assert +Counter(states) == Counter(RowState(row["state"]) for row in before)


@virtual_time
async def _old_returns(folder: Path) -> None:
    async with bench(folder) as made:
        cast(VirtualLoop, asyncio.get_running_loop()).stall(10_000)
        old = await Old.bring(made, "returns")
        moved_on = json.loads(plan_files.rows_of(made.plan)[4]["arguments"])["refund_id"]
        numbers = {made.server.refund(number).refund_id: number for number in range(0, 600, 2)}
        made.server.advance(numbers[moved_on], "refundclose")
        await old.carry_out(9)
        result = await made.apply()
        assert result.exit_code == 3
        assert {row["row"]: row["state"] for row in plan_files.rows_of(made.plan)} == {
            2: "settled_done", 3: "settled_absent", 4: "confirmed", 5: "rejected", 6: "unknown",
            7: "settled_absent", 8: "settled_absent", 9: "settled_done", 10: "confirmed", 11: "confirmed",
            12: "confirmed", 13: "refused",
        }  # fmt: skip
        assert list(made.succeeded.values()) == [1] * 3, "rows 10, 11 and 12, each once"


def test_apply_goes_on_with_returns_of_format_1(tmp_path: Path) -> None:
    _old_returns(tmp_path)


@virtual_time
async def _old_refunds(folder: Path) -> None:
    async with bench(folder, "refunds") as made:
        cast(VirtualLoop, asyncio.get_running_loop()).stall(10_000)
        old = await Old.bring(made, "refunds")
        await old.carry_out(2, 4, 8)
        result = await made.apply()
        assert result.exit_code == 3
        assert {row["row"]: row["state"] for row in plan_files.rows_of(made.plan)} == {
            2: "confirmed", 3: "unknown", 4: "settled_done", 5: "settled_absent", 6: "rejected",
            7: "settled_absent", 8: "settled_done", 9: "confirmed", 10: "confirmed", 11: "confirmed",
            12: "confirmed", 13: "refused",
        }  # fmt: skip
        assert list(made.succeeded.values()) == [1] * 4, "rows 9 to 12, each once"


def test_apply_goes_on_with_refunds_of_format_1(tmp_path: Path) -> None:
    _old_refunds(tmp_path)
