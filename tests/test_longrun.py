"""The long run in small: it goes through all its faults, and what it writes says so."""

from __future__ import annotations

from pathlib import Path

from tests.longrun import long_run
from tests.support.endurance import Sample, page, plot, slope


async def test_a_short_long_run(tmp_path: Path) -> None:
    samples, results = await long_run(3.0, tmp_path, rate=600.0, every=0.4, change_every=0.4)
    assert len(samples) >= 4
    assert {kind for kind, _ in results} >= {"read", "page", "upload", "application", "cancellation", "bulk"}
    assert results["read", "done"] > 10
    assert max(sample.tasks for sample in samples) < 21 + 3 * 16 + 100
    assert samples[-1].descriptors < 100
    assert "cancelled" in page(samples, results)
    assert plot(samples).count("<polyline") == 6
    assert len((tmp_path / "endurance.jsonl").read_text().splitlines()) == len(samples)


def test_growth_is_seen() -> None:
    grows = [Sample(60.0 * n, 5, 50.0 + n, 9, 100.0, 1.0, 1, 1, 0, 0, 60.0, 0) for n in range(10)]
    assert round(slope(grows, "memory_mib")) == 60
    assert slope(grows, "tasks") == 0
