"""Fuzzing of what comes from outside: answers, pushes, ledgers. A small share always, the rest in a night.

`pytest --nightly -m nightly -s tests/test_fuzz.py` plays more than 100,000 cases and prints how many and
how long. What was found once stands in FOUND and is played every time.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings

from tests.support.fuzz_ledgers import PARTS, SHEET, sheet, workbook
from tests.support.fuzz_targets import TARGETS

SHARE = 30
PIECE = 2_000


def play(name: str, cases: int, part: int = 0) -> int:
    """Play so many cases, others for each part; gives how many there were (there may be fewer to find)."""
    target, count = TARGETS[name], 0

    @seed(part)
    @settings(max_examples=cases, deadline=None, suppress_health_check=list(HealthCheck))
    @given(target.cases)
    def check(case: Any) -> None:
        nonlocal count
        count += 1
        target.check(case)

    check()
    return count


@pytest.mark.parametrize("name", TARGETS)
def test_a_share(name: str) -> None:
    assert play(name, SHARE) >= SHARE / 2


def test_a_night_is_long_enough() -> None:
    assert sum(target.nightly for target in TARGETS.values()) >= 100_000


def parts() -> list[tuple[str, int]]:
    """The work of a night in pieces, for as many processes as there are."""
    return [(name, part) for name, target in TARGETS.items() for part in range(-(-target.nightly // PIECE))]


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("name", "part"), parts())
def test_a_night(name: str, part: int) -> None:
    begun = time.perf_counter()
    count = play(name, PIECE, part)
    print(f"\n{name}, part {part}: {count:,} cases in {time.perf_counter() - begun:.1f} s")
    assert count >= PIECE * 0.8


@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None,
    reason="atheris, which leads a fuzzer by coverage, is not installed: pip install atheris",
)
@pytest.mark.parametrize("name", [name for name, target in TARGETS.items() if target.seed])
def test_a_night_led_by_coverage(name: str, tmp_path: Path) -> None:
    runs = TARGETS[name].runs
    command = [sys.executable, "-m", "tests.fuzz_atheris", name, str(runs)]
    root = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    begun = time.perf_counter()
    ended = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr[-5_000:]
    done = re.search(r"stat::number_of_executed_units: (\d+)", ended.stderr)
    assert done is not None, ended.stderr[-1_000:]
    assert int(done[1]) >= runs
    print(f"\n{name}, led by coverage: {int(done[1]):,} cases in {time.perf_counter() - begun:.0f} s")


def packed(**fields: int) -> bytes:
    """A workbook whose list of parts says something else of the first one."""
    data = bytearray(workbook({**PARTS, SHEET: sheet([[("inlineStr", "a"), ("inlineStr", "b")]])}))
    at = data.index(b"PK\x01\x02")
    places = {"version": (6, 2), "flags": (8, 2), "method": (10, 2), "offset": (42, 4), "name": (46, 1)}
    for name, value in fields.items():
        place, width = places[name]
        data[at + place : at + place + width] = value.to_bytes(width, "little")
    return bytes(data)


HEADER: list[tuple[str | None, str]] = [("inlineStr", "a")]
FOUND: list[tuple[str, Any]] = [
    ("cells", Decimal("1e-999999999")),  # was an amount of 0
    ("cells", Decimal("0e-999999999")),
    ("workbooks, as written", [HEADER, [("s", "-1")]]),
    ("workbooks, as written", [HEADER, [("s", "-2")]]),  # was the last text but one
    ("workbooks, as written", [HEADER, [("s", "+1")]]),  # was read as 1
    ("workbooks, as written", [HEADER, [("s", "1_0")]]),
    ("workbooks", packed(version=99)),  # errors that are not ours, from zipfile, zlib, bz2 and lzma
    ("workbooks", packed(flags=1)),
    ("workbooks", packed(flags=0x800, name=0xFF)),
    ("workbooks", packed(method=99)),
    ("workbooks", packed(method=12)),
    ("workbooks", packed(method=14)),
    ("workbooks", packed(offset=2**32 - 2)),
    ("workbooks", b"".join(packed().partition(b"PK\x01\x02")[1:])),  # begins before the file does
    ("workbooks", packed()[200:]),
    ("workbooks", packed()[:4] + packed()[200:]),
]


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_what_was_found_once(number: int) -> None:
    name, case = FOUND[number]
    TARGETS[name].check(case)
