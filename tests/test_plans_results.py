"""Rows of a plan and what became of them: the iterator gives what the file of results has."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest

from pandapon_async import ConfigurationError, plans
from pandapon_async.plans import RowState
from tests.support import plan_files
from tests.support.bench import bench


@pytest.mark.parametrize("kind", ["returns", "refunds"])
async def test_the_iterator_gives_what_the_file_has(tmp_path: Path, kind: str) -> None:
    async with bench(tmp_path, kind=kind, rows=3) as made:
        before = list(plans.results(made.plan))
        assert [row.state for row in before] == [RowState.PLANNED] * 3
        await made.apply()
        rows = list(plans.results(made.plan))
        lines = plan_files.results_of(tmp_path / "plan.db.results.jsonl")
    assert [row.row for row in rows] == [2, 3, 4]
    assert all(row.state.done and row.intent_id for row in rows)
    for row, line in zip(rows, lines, strict=True):
        told = row.to_dict()
        assert {name: told[name] for name in line if name != "plan"} == {
            name: value for name, value in line.items() if name != "plan"
        }
        left_out = {name for name, value in told.items() if name not in line}
        assert all(told[name] is None for name in left_out)
        assert json.loads(row.to_json()) == told
    if kind == "returns":
        assert all(row.refund_id and row.order_id is None for row in rows)
    else:
        assert all(row.order_id and row.order_entry_ids and row.amount_fen for row in rows)


async def test_rows_that_the_plan_refused_are_there_with_their_reason(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=2) as made:
        plan = tmp_path / "second.db"
        rows = plan_files.read_table(tmp_path / "table.csv")
        table = plan_files.write_table(tmp_path / "second.csv", [*rows, {**rows[0], "refund_id": "no id"}])
        async with made.client() as client:
            await plans.create(client, "returns", table, plan)
        last = list(plans.results(plan))[-1]
    assert (last.row, last.state, last.column) == (4, RowState.REFUSED, "refund_id")
    assert last.reason


async def test_it_reads_as_it_is_asked_and_lets_go_of_the_file(tmp_path: Path) -> None:
    async with bench(tmp_path, rows=3) as made:
        found = plans.results(made.plan)
        assert [row.row for row in itertools.islice(found, 2)] == [2, 3]
        found.close()  # type: ignore[attr-defined]
        assert (await made.apply()).done == 3


def test_what_is_no_plan_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"the plan .* does not exist"):
        next(plans.results(tmp_path / "none.db"))
