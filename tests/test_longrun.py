"""The long run in small: it goes through all its faults, and what it writes says so."""

from __future__ import annotations

from pathlib import Path

from tests.longrun import long_run
from tests.support.endurance import Sample, grown, growth, page, plot


async def test_a_short_long_run(tmp_path: Path) -> None:
    samples, results, ending = await long_run(
        3.0, tmp_path, rate=600.0, every=0.4, change_every=0.5, settle_after=0.1
    )
    assert len(samples) >= 4
    assert {kind for kind, _ in results} >= {"read", "page", "upload", "application", "cancellation", "bulk"}
    assert results["read", "done"] > 10
    assert results["called off", "cancelled"] > 0
    assert max(sample.tasks for sample in samples) < 21 + 3 * 16 + 100
    assert samples[-1].descriptors < 100
    assert samples[-1].errors
    assert sum(ending.journal.values()) >= samples[-1].rows > 10
    assert ending.carried_out > 3
    assert (ending.twice, ending.denied, ending.claimed, ending.nonces_repeated) == (0, 0, 0, 0)
    assert sum(ending.faults.values()) > 10
    assert "cancelled" in page(samples, results, ending)
    assert plot(samples).count("<polyline") == 8
    assert len((tmp_path / "endurance.jsonl").read_text().splitlines()) == len(samples)


def test_growth_is_seen() -> None:
    grows = [Sample(60.0 * n, 5, 50.0 + n, 9, 100.0, 1.0, 1, 1, 0, 0, 60.0, 0, {}) for n in range(10)]
    assert round(growth(grows, "memory_mib").an_hour) == 60
    assert growth(grows, "tasks").an_hour == 0
    assert grown(grows) == ["memory (MiB)"]
    noisy = [Sample(60.0 * n, 5, 50.0 + n % 2, 9, 100.0, 1.0, 1, 1, 0, 0, 60.0, 0, {}) for n in range(60)]
    assert grown(noisy) == []
