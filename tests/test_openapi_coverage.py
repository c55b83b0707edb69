"""docs/coverage.md is what `pandapon endpoints --coverage` prints, and its sums are right."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from pandapon_async.api.registry import endpoints
from pandapon_async.declare.endpoint import Evidence
from pandapon_async.openapi import coverage
from pandapon_async.openapi.catalogue import undocumented
from tests.support.command import Shell

PAGE = Path(__file__).parent.parent / "docs" / "coverage.md"


def test_the_committed_page_is_fresh() -> None:
    assert PAGE.read_text(encoding="utf-8") == coverage(), (
        "stale: run `pandapon endpoints --coverage > docs/coverage.md`"
    )


def test_the_command_prints_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    ended = Shell(monkeypatch, capsys, tmp_path)("endpoints", "--coverage")
    assert (ended.code, ended.out) == (0, coverage())


def test_every_call_is_in_it_once() -> None:
    text = coverage()
    for endpoint in endpoints().values():
        pattern = rf"^\| `{re.escape(endpoint.name)}` \| \**{endpoint.generation}\** \|.*$"
        (row,) = re.findall(pattern, text, re.MULTILINE)
        for fact in (endpoint.method, endpoint.path, endpoint.safety, endpoint.stage, endpoint.evidence):
            assert fact in row
    for missing in undocumented():
        assert missing.title in text


def test_the_sums_are_right() -> None:
    (row,) = re.findall(r"^\| all \|.*$", coverage(), re.MULTILINE)
    found = Counter(one.evidence for one in endpoints().values())
    sums = [int(cell) for cell in row.split("|") if cell.strip().isdigit()]
    assert sums == [*(found[evidence] for evidence in Evidence), len(undocumented())]
    assert sum(sums[:-1]) == len(endpoints())
