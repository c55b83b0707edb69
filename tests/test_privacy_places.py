"""Canaries in everything that is left behind or shown: nothing is found where it must not be.

With `-s` each place prints what was planted and searched; `python -m tests.hardening` writes the table.
"""

from __future__ import annotations

import base64
from pathlib import Path

import pyarrow as arrow
import pytest
import xlsxwriter  # type: ignore[import-untyped]
from pyarrow import parquet

from tests.support.canaries import KINDS, Evidence, forms
from tests.support.canary_scenes import SCENES, search


@pytest.mark.may_block("a scene reads the files that it searches")
@pytest.mark.parametrize("name", SCENES)
async def test_nothing_is_found(name: str, tmp_path: Path) -> None:
    evidence = await search(name, tmp_path)
    kinds = len(evidence.planted) + len(evidence.signatures)
    print(f"\n{name}: {kinds} planted, {len(evidence.pieces)} places, {evidence.size:,} bytes", end="")
    assert evidence.size > 100
    assert evidence.found() == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_canary_is_found_in_any_form(kind: str) -> None:
    canary = KINDS[kind]
    shown = [
        f"x{canary}y".encode(),
        repr(f"x{canary}y".encode()).encode(),
        f"x{canary}y".encode("gb18030"),
        f"x{canary}y".encode().hex().encode(),
        *(base64.b64encode(b"x" * before + canary.encode() + b"yz") for before in range(5)),
    ]
    for data in shown:
        evidence = Evidence()
        evidence.add("place", data)
        assert ("place", kind) in evidence.found(), data


@pytest.mark.may_block("two small files")
@pytest.mark.parametrize("kind", KINDS)
def test_a_canary_is_found_in_a_workbook_and_in_a_frame(kind: str, tmp_path: Path) -> None:
    with xlsxwriter.Workbook(tmp_path / "report.xlsx") as book:
        book.add_worksheet().write_string(0, 0, f"x{KINDS[kind]}y")
    table = arrow.table({"shop": [f"x{KINDS[kind]}y"] * 1_000})
    parquet.write_table(table, tmp_path / "rows.parquet", compression="zstd")
    evidence = Evidence()
    evidence.add_files(tmp_path, "*")
    assert {("report.xlsx", kind), ("rows.parquet", kind)} <= set(evidence.found())


def test_forms_are_long_enough_not_to_be_found_by_chance() -> None:
    assert min(len(form) for canary in KINDS.values() for form in forms(canary)) >= 6
