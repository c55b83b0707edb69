"""What a long run noted, as a page with a plot: does anything grow?"""

from __future__ import annotations

import collections
import datetime
import os
import platform
import statistics
from collections.abc import Mapping, Sequence

import attrs

__all__ = ["Sample", "page", "plot", "slope"]


@attrs.define(frozen=True)
class Sample:
    """One look at the process; counts are running sums."""

    seconds: float
    tasks: int
    memory_mib: float
    descriptors: int
    journal_kib: float
    late_ms: float
    calls: int
    attempts: int
    throttled: int
    failed: int
    rate: float | None
    writes: int


PLOTTED = {
    "memory_mib": "memory (MiB)",
    "tasks": "asyncio tasks",
    "descriptors": "open file descriptors",
    "journal_kib": "journal (KiB)",
    "late_ms": "latest the loop was (ms)",
    "rate": "allowed rate (calls/s)",
}


def slope(samples: Sequence[Sample], name: str) -> float:
    """Growth an hour over the second half, by least squares."""
    later = samples[len(samples) // 2 :]
    if len(later) < 2:
        return 0.0
    times = [sample.seconds / 3600 for sample in later]
    return statistics.linear_regression(times, [_value(sample, name) for sample in later]).slope


def page(samples: Sequence[Sample], results: Mapping[tuple[str, str], int]) -> str:
    """The page: how it was run, what was found."""
    last = samples[-1]
    by_kind: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for (kind, result), count in sorted(results.items()):
        by_kind[kind][result] = count
    kinds = [
        f"| {kind} | {', '.join(f'{count:,} {result}' for result, count in found.items())} |"
        for kind, found in by_kind.items()
    ]
    growth = [
        f"| {label} | {_value(samples[0], name):,.1f} | {_middle(samples, name):,.1f} "
        f"| {_value(last, name):,.1f} | {slope(samples, name):+,.2f} |"
        for name, label in PLOTTED.items()
    ]
    per_write = 1024 * (last.journal_kib - samples[0].journal_kib) / max(1, last.writes - samples[0].writes)
    return "\n".join(
        [
            "# A long run",
            "",
            "Mixed traffic against the sandbox in another process, whose faults change every half minute:",
            "resets before and after a request was carried out, truncated answers, 5xx, latency, throttles,",
            "refused connections. Made by `python -m tests.longrun --minutes 30 --out docs`.",
            "",
            f"{last.seconds / 60:.0f} minutes, {last.calls:,} calls, {last.attempts:,} attempts, "
            f"{last.throttled:,} throttled, {last.failed:,} calls failed in the end. "
            f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {platform.python_implementation()} "
            f"{platform.python_version()}, {os.cpu_count()} cores.",
            "",
            "![What was noted](images/endurance.svg)",
            "",
            "| | first | median | last | growth an hour, second half |",
            "| --- | ---: | ---: | ---: | ---: |",
            *growth,
            "",
            f"The journal grows with writes by nature, by {per_write:,.0f} bytes for each.",
            "",
            "| work | how it ended |",
            "| --- | --- |",
            *kinds,
            "",
            "*unknown* are writes whose answer was lost: they are settled by reading the state, and never",
            "sent again. *cancelled* are calls that their caller cancelled on the way.",
            "",
        ]
    )


def plot(samples: Sequence[Sample]) -> str:
    """One panel for each of the things noted, over time."""
    width, height, left = 420, 110, 64
    panels = []
    for place, (name, label) in enumerate(PLOTTED.items()):
        x, y = (place % 2) * (width + left + 20) + left, (place // 2) * (height + 56) + 34
        values = [_value(sample, name) for sample in samples]
        top, end = max(values) * 1.1 or 1.0, samples[-1].seconds
        points = " ".join(
            f"{x + width * sample.seconds / end:.1f},{y + height * (1 - value / top):.1f}"
            for sample, value in zip(samples, values, strict=True)
        )
        panels.append(
            f'<text x="{x}" y="{y - 8}">{label}</text>'
            f'<path d="M{x} {y}v{height}h{width}" fill="none" stroke="#94a3b8"/>'
            f'<text x="{x - 6}" y="{y + 10}" text-anchor="end" font-size="11">{top:,.4g}</text>'
            f'<text x="{x - 6}" y="{y + height}" text-anchor="end" font-size="11">0</text>'
            f'<text x="{x + width}" y="{y + height + 14}" text-anchor="end" font-size="11">'
            f"{end / 60:,.3g} min</text>"
            f'<polyline points="{points}" fill="none" stroke="#c2410c" stroke-width="1.2"/>'
        )
    size = f"{2 * (width + left + 20)} {3 * (height + 56) + 10}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" '
        'font-family="sans-serif" font-size="13">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(panels)}</svg>\n'
    )


def _value(sample: Sample, name: str) -> float:
    value = getattr(sample, name)
    return 0.0 if value is None else float(value)


def _middle(samples: Sequence[Sample], name: str) -> float:
    return statistics.median(_value(sample, name) for sample in samples)
