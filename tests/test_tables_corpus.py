"""Tables as people have them: from each file what is expected, no row more or less, or help."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.plans.columns import resolver
from pandapon_async.plans.options import PlanOptions
from pandapon_async.plans.plan_types import plan_type_of
from pandapon_async.plans.row_parser import RowParser
from pandapon_async.plans.voucher_files import Pictures
from pandapon_async.tables.open import open_table
from tests.support.tables import open_ledger

FOLDER = Path(__file__).parent / "data" / "tables"
CASES = {path.name.removesuffix(".json"): path for path in sorted(FOLDER.glob("*.json"))}

Rows = list[tuple[str | None, int | None, str | None]]


def read(path: Path, expected: dict[str, Any]) -> tuple[Rows, list[str]]:
    """Refund id or order id, fen and problem of every row, and the notes."""
    options = expected.get("options", {})
    if "plan" in expected:
        plan_type = plan_type_of(expected["plan"])
        chosen = PlanOptions(**options)
        table = open_table(path, resolver(plan_type, chosen), chosen.reading)
        parser = RowParser(plan_type, table, table.columns, Pictures(FOLDER))
        planned = [row for row, _ in parser.rows()]
        key = plan_type.identified_by[0]
        return [(row.arguments.get(key), row.amount_fen, row.reason) for row in planned], table.notes()
    ledger = open_ledger(path, **options)
    if ledger.table.is_empty():
        raise InvalidArgumentError("no rows below its column names")
    rows = list(ledger.rows())
    return [(row.refund_id, row.amount_fen, row.problem) for row in rows], ledger.notes()


@pytest.mark.parametrize("name", CASES)
def test_what_is_in_the_file(name: str) -> None:
    expected = json.loads(CASES[name].read_text(encoding="utf-8"))
    if "refused" in expected:
        with pytest.raises(InvalidArgumentError, match=expected["refused"]):
            read(FOLDER / name, expected)
        return
    rows, notes = read(FOLDER / name, expected)
    assert [row[:2] for row in rows] == [tuple(row[:2]) for row in expected["rows"]]
    for (_, _, problem), (_, _, wanted) in zip(rows, expected["rows"], strict=True):
        assert (problem is None) == (wanted is None), problem
        assert wanted is None or re.search(wanted, problem or "")
    for note in expected.get("notes", ()):
        assert any(re.search(note, one) for one in notes), notes


def test_there_is_a_corpus() -> None:
    assert len(CASES) > 90
    assert {path.name for path in FOLDER.iterdir()} == {*CASES, *(path.name for path in CASES.values())}
