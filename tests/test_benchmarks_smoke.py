"""Every part of the benchmarks runs and counts what it says, with numbers too small to mean anything.

What a part needs and a machine may lack (a C compiler, valgrind, a rival) is named where a test is skipped.
"""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import __main__ as everything
from benchmarks import (
    bulk,
    calls,
    instructions,
    journal,
    limiter,
    nights,
    page,
    quota,
    report,
    rivals,
    structuring,
    uploads,
)
from benchmarks.child import in_child
from benchmarks.contenders import Place, contender
from benchmarks.measure import Ticker
from benchmarks.replies import REFUND_ID, REFUND_ID_1688, refund
from benchmarks.server import HERE, Server, ceiling, serving
from pandapon_async.callbacks import uptime

needs_compiler = pytest.mark.skipif(
    not any(map(shutil.which, ("cc", "gcc", "clang"))), reason="the benchmarks' server needs a C compiler"
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(None) as running:
        yield running


@pytest.fixture(scope="module")
def tls_server() -> Iterator[Server]:
    with serving(None, tls=True) as running:
        yield running


CLIENTS_AND_ANSWERS = {
    (name, conditions.reply) for conditions, names in calls.full_matrix().items() for name in names
}


def _need(package: str) -> None:
    if not rivals.is_installed(package):
        pytest.skip(f"{package} is not installed (the extra `bench`)")


def _plain(answer: Any) -> bytes:
    """What a client gave, as bytes to look into: a body, plain values, objects, or slack_sdk's response."""
    return answer if isinstance(answer, bytes) else repr(getattr(answer, "data", answer)).encode()


@needs_compiler
class TestCalls:
    @pytest.mark.parametrize(("name", "reply"), sorted(CLIENTS_AND_ANSWERS))
    async def test_every_client_gets_the_answer(self, server: Server, name: str, reply: str) -> None:
        _need(calls.NEEDS.get(name, "aiohttp"))
        async with contender(name, Place(server.url, reply, 1)) as call:
            answer = _plain(await call())
        assert (REFUND_ID_1688 if reply == "tiny" else REFUND_ID).encode() in answer

    @pytest.mark.parametrize("name", ["aiohttp", "by hand", "pandapon-async", "httpx", "slack_sdk", "openai"])
    async def test_over_tls_as_well(self, tls_server: Server, name: str) -> None:
        _need(calls.NEEDS.get(name, "aiohttp"))
        place = Place(tls_server.url, "tiny", 1, tls_server.authority)
        async with contender(name, place) as call:
            assert REFUND_ID_1688.encode() in _plain(await call())

    def test_measures_and_draws_a_table(self, server: Server) -> None:
        conditions = calls.Conditions("tiny", 2)
        place = {"url": server.url, "reply": "tiny", "concurrency": 2}
        runs = {
            name: [calls.measure(name, place, False, 0.01, server.process_id)]
            for name in ("aiohttp", "pandapon-async")
        }
        text = calls.block(conditions, runs)
        assert "| pandapon-async |" in text
        assert "1.00" in next(line for line in text.splitlines() if line.startswith("| aiohttp |"))

    def test_says_what_it_leaves_out(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(rivals, "is_installed", lambda name: name not in ("httpx", "uvloop"))
        matrix, without = calls.available(calls.usual_matrix())
        assert without == [
            "skipped: httpx, as httpx is not installed",
            "skipped: all with uvloop, as it is not installed",
        ]
        assert not any(conditions.uvloop or "httpx" in names for conditions, names in matrix.items())

    def test_the_server_is_faster_than_any_client(self, server: Server) -> None:
        assert ceiling(server, "POST /alibaba/refund/info", None, 0.05) > 1_000


@needs_compiler
class TestInstructions:
    @pytest.mark.nightly
    def test_counts(self, server: Server) -> None:
        if reason := instructions.why_not():
            pytest.skip(reason)
        names = ["aiohttp", "pandapon-async"]
        counted = instructions.count_instructions(names, server, {"tiny": 4})
        assert min(counted[name]["tiny"] for name in names) > 10_000

    def test_above_a_bar(self) -> None:
        bars = tomllib.loads((HERE / "bars.toml").read_text("utf-8"))["instructions"]
        within = {
            "aiohttp": {"tiny": 100.0, "refund": 100.0},
            "pandapon-async": {reply: 101.0 * bars[reply] for reply in ("tiny", "refund")},
        }
        assert instructions.above_the_bar(within) == []
        within["pandapon-async"]["refund"] = 100_000.0
        (wrong,) = instructions.above_the_bar(within)
        assert wrong.startswith("refund: 1000.000 x bare aiohttp is above the bar")

    def test_says_that_valgrind_is_missing(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(shutil, "which", lambda name: None)
        monkeypatch.setattr(sys, "argv", ["instructions", "--check"])
        instructions.main()
        assert "not counted, valgrind is not installed" in capsys.readouterr().out


@needs_compiler
class TestUploads:
    @pytest.mark.parametrize("how", [uploads.PREPARED, uploads.OURS, uploads.OURS_BODY, uploads.JSON])
    def test_one_by_one(self, server: Server, tmp_path: Path, how: str) -> None:
        file = tmp_path / "1.jpg"
        file.write_bytes(b"\xff\xd8\xff" + bytes(3_000))
        assert uploads.one_by_one(how, server.url, str(file), 0.01)["rate"] > 0
        assert uploads.all_at_once(how, server.url, str(file), 4)["stall"] >= 0

    def test_sends_little_more_than_the_images(self, server: Server) -> None:
        assert 0 < uploads.by_the_thousand(server.url, 3, 2)["overhead"] < 0.002


@needs_compiler
class TestJournal:
    @pytest.mark.parametrize("how", [journal.NOTHING, journal.MEMORY, journal.FILE])
    def test_all_writes_get_through(self, server: Server, tmp_path: Path, how: str) -> None:
        assert journal.measure(how, server.url, str(tmp_path / "journal.sqlite"), 20)["rate"] > 0
        assert (tmp_path / "journal.sqlite").exists() == (how == journal.FILE)

    def test_knows_the_disk(self, tmp_path: Path) -> None:
        assert journal.sync_seconds(tmp_path, 1) > 0


class TestLimiters:
    @pytest.mark.parametrize("name", limiter.LIMITERS)
    def test_permits_are_given(self, name: str) -> None:
        _need(limiter.LIMITERS[name][0])
        assert limiter.free(name, 10) > 0

    def test_permits_are_given_in_line(self) -> None:
        assert limiter.in_line("pandapon-async", 4, 10) > 0

    def test_a_strict_server_refuses_a_second_burst(self) -> None:
        burst = [0.0] * 10
        assert quota.judge(burst + [0.5] * 10, 10, 2).refused == 0.5
        kept = quota.judge(burst + [1.1] * 10, 10, 2)
        assert (kept.used, kept.busiest, kept.refused, kept.refused_with_jitter) == (1.0, 10, 0, 0)

    @pytest.mark.parametrize("name", quota.LIMITERS)
    def test_quota(self, name: str) -> None:
        _need(quota.LIMITERS[name][0])
        assert quota.measure(name, 500, 0.05)["used"] > 0


class TestStructuring:
    @pytest.mark.parametrize("name", structuring.WAYS)
    def test_all_see_the_same_refund(self, name: str) -> None:
        _need(structuring.WAYS[name][0])
        from_values, _ = structuring.ways_of(name)
        assert "110000235001" in repr(from_values(refund()))
        assert all(seconds > 0 for seconds in structuring.measure(name, 2))


class TestBulk:
    @pytest.mark.parametrize("how", [bulk.OURS, bulk.GATHER])
    def test_items(self, how: str) -> None:
        assert bulk.items(how, 200)["cpu"] >= 0

    @needs_compiler
    def test_every_row_is_verified(self) -> None:
        assert "reconcile, 20 rows" in bulk._ledger_table(20, 1)

    def test_a_start_takes_time(self, tmp_path: Path) -> None:
        assert bulk.start_seconds(["-c", "import colorsys"], str(tmp_path)) > 0
        assert [file.name.partition(".")[0] for file in tmp_path.rglob("colorsys*.pyc")] == ["colorsys"]


class TestPage:
    def test_the_page_is_made_of_the_results(self) -> None:
        assert (page.DOCS / "benchmarks.md").read_text("utf-8") == page.page()
        for name, picture in page.pictures().items():
            assert (page.DOCS / "images" / name).read_text("utf-8") == picture


class TestReport:
    def test_keeps_what_is_to_be_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        monkeypatch.setattr(report, "RESULTS", tmp_path)
        report.write("part", "what it is", report.table(["a", "b"], [["x", "1"]]))
        assert list(tmp_path.iterdir()) == []
        monkeypatch.setenv(report.SAVE, "1")
        report.write("part", "what it is", report.table(["a", "b"], [["x", "1"]]))
        report.chart("bars", "Bars", {"one": [1.0, 2.0, 3.0], "two": [4.0]}, highlight="one")
        assert "| x | 1 |" in (tmp_path / "part.md").read_text()
        assert "2.00 (1.50-2.50)" in (tmp_path / "bars.svg").read_text()
        assert "| x | 1 |" in capsys.readouterr().out

    def test_every_part_is_a_module(self) -> None:
        for part in everything.PARTS:
            assert (Path(everything.__file__).parent / f"{part}.py").is_file()

    def test_a_child_gives_figures_to_its_parent(self) -> None:
        assert in_child("structuring", "measure", name="pandapon-async", count=2)[0] > 0

    def test_refuses_a_part_that_is_not_there(self) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks", "nothing"],
            capture_output=True,
            text=True,
            check=False,
            cwd=Path(everything.__file__).parent.parent,
        )
        assert done.returncode == 1
        assert "no such part: nothing" in done.stderr


async def test_the_ticker_notices_who_holds_the_loop() -> None:
    ticker = Ticker()
    async with ticker:
        await asyncio.sleep(0.01)
        sum(range(3_000_000))
    assert ticker.worst > 0.005


async def test_a_night_costs_what_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second night in every way: the verdicts of the plain one, but for changes nobody heard of."""
    monkeypatch.setattr(uptime, "HEARTBEAT", 0.1)
    ways, changed = await nights.nights(600, 4, tmp_path)
    plain, by_list, final, both, everything_together = ways
    assert "600 rows" in nights.told(600, ways, changed), "and no verdict is another without a reason"
    assert plain.calls > 580
    assert max(by_list.taobao, final.taobao) < plain.taobao / 3
    assert both.calls <= final.calls < plain.calls / 3
    assert everything_together.calls < plain.calls / 10
