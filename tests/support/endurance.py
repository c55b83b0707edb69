"""What a long run noted, as a page with a plot: does anything grow?"""

from __future__ import annotations

import collections
import datetime
import math
import os
import platform
import statistics
from collections.abc import Mapping, Sequence

import attrs

__all__ = ["Ending", "Growth", "Sample", "growth", "page", "plot"]


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
    rows: int
    errors: Mapping[str, int]


@attrs.define(frozen=True)
class Ending:
    """The books at the end: rows of the journal by state, and what the sandbox saw and carried out.

    `carried_out` are the writes, `twice` how many of them were carried out more than once, `denied` how
    many of which the journal says that they were not, `claimed` those that it confirms and that were not.
    """

    journal: Mapping[str, int]
    carried_out: int
    twice: int
    denied: int
    claimed: int
    requests: int
    nonces_repeated: int
    faults: Mapping[str, int]


@attrs.define(frozen=True)
class Growth:
    """A line through samples: its slope an hour, and how far off that may be (two standard errors)."""

    an_hour: float
    give_or_take: float

    def seen(self, of: float) -> bool:
        """Whether it is more than chance, and more than a hundredth of `of` an hour."""
        return self.an_hour > self.give_or_take and self.an_hour > abs(of) / 100


PLOTTED = {
    "memory_mib": "memory (MiB)",
    "tasks": "asyncio tasks",
    "descriptors": "open file descriptors",
    "journal_kib": "journal with its write-ahead log (KiB)",
    "rows": "rows of the journal",
    "late_ms": "latest the loop was (ms)",
    "rate": "allowed rate (calls/s)",
    "failed": "calls failed, in sum",
}
MUST_NOT_GROW = ("memory_mib", "tasks", "descriptors", "late_ms")


def growth(samples: Sequence[Sample], name: str) -> Growth:
    """Growth over the second half, by least squares: in the first, caches and pools fill."""
    later = samples[len(samples) // 2 :]
    if len(later) < 3:
        return Growth(0.0, math.inf)
    times = [sample.seconds / 3600 for sample in later]
    values = [_value(sample, name) for sample in later]
    line = statistics.linear_regression(times, values)
    off = [value - line.intercept - line.slope * time for time, value in zip(times, values, strict=True)]
    middle = statistics.fmean(times)
    spread = math.fsum((time - middle) ** 2 for time in times)
    error = math.sqrt(math.fsum(one**2 for one in off) / (len(off) - 2) / spread)
    return Growth(line.slope, 2 * error)


def grown(samples: Sequence[Sample]) -> list[str]:
    """What grew and should not have."""
    return [PLOTTED[name] for name in MUST_NOT_GROW if growth(samples, name).seen(_middle(samples, name))]


def page(samples: Sequence[Sample], results: Mapping[tuple[str, str], int], ending: Ending) -> str:
    """The page: how it was run, what was found."""
    last = samples[-1]
    return "\n".join(
        [
            "# A long run",
            "",
            "Mixed traffic (reads, pages, uploads, applications for a refund, cancellations of refunds,",
            "bulk look-ups, calls that are called off on their way) against the sandbox in another process,",
            "whose faults change every half minute: resets before and after a request was carried out, cut",
            "answers, 5xx, latency, throttles, refused connections. Made by",
            "`python -m tests.longrun --minutes 30 --out docs`.",
            "",
            f"{last.seconds / 60:.0f} minutes, {last.calls:,} calls, {last.attempts:,} attempts, "
            f"{last.throttled:,} throttled, {last.failed:,} calls failed in the end. "
            f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {platform.python_implementation()} "
            f"{platform.python_version()}, {os.cpu_count()} cores.",
            "",
            "![What was noted](images/endurance.svg)",
            "",
            "## What grows",
            "",
            *_growths(samples),
            "",
            *_journal(samples),
            "",
            "## How the work ended",
            "",
            *_work(results),
            "",
            "*OutcomeUnknownError* are writes whose answer was lost: they are settled by reading the state,",
            "and never sent again. *cancelled* are calls that their caller cancelled on the way. *Rejected*",
            "are refunds that can no longer be cancelled. Bulk items that *failed* got no permit within 10",
            "seconds: bulk work gets what the others leave of the rate, and while throttles keep it down",
            "that is little or nothing.",
            "",
            "| error | times |",
            "| --- | ---: |",
            *(f"| {name} | {count:,} |" for name, count in last.errors.items()),
            "",
            "## What the books say",
            "",
            *_books(ending),
            "",
        ]
    )


def _growths(samples: Sequence[Sample]) -> list[str]:
    lines = [
        "| | first | median | most | last | growth an hour, second half | give or take |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name, label in PLOTTED.items():
        values, found = [_value(sample, name) for sample in samples], growth(samples, name)
        shown = [values[0], _middle(samples, name), max(values), values[-1]]
        cells = [label, *(f"{value:,.1f}" for value in shown), f"{found.an_hour:+,.2f}"]
        lines.append("| " + " | ".join([*cells, f"{found.give_or_take:,.2f}"]) + " |")
    names = ", ".join(grown(samples)) or "nothing"
    return [
        *lines,
        "",
        "The slopes are of a least-squares line, given or taken two standard errors.",
        f"Growing although it should not (by more than chance and 1 % an hour): {names}.",
    ]


def _journal(samples: Sequence[Sample]) -> list[str]:
    first, last = samples[0], samples[-1]
    each = 1024 * (last.journal_kib - first.journal_kib) / max(1, last.rows - first.rows)
    return [
        f"The journal grows with writes by nature, by {each:,.0f} bytes for each: {last.rows:,} rows",
        "in the end. Nothing clears it: what was carried out once is refused a second time only as long as",
        "its row is there.",
    ]


def _work(results: Mapping[tuple[str, str], int]) -> list[str]:
    by_kind: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for (kind, result), count in sorted(results.items()):
        by_kind[kind][result] = count
    return [
        "| work | how it ended |",
        "| --- | --- |",
        *(
            f"| {kind} | {', '.join(f'{count:,} {result}' for result, count in found.items())} |"
            for kind, found in by_kind.items()
        ),
    ]


def _books(ending: Ending) -> list[str]:
    faults = ", ".join(f"{count:,} {name}" for name, count in sorted(ending.faults.items()))
    return [
        "| journal | rows |",
        "| --- | ---: |",
        *(f"| {state} | {count:,} |" for state, count in sorted(ending.journal.items())),
        "",
        f"The sandbox saw {ending.requests:,} requests and did wrong by "
        f"{sum(ending.faults.values()):,} of them ({faults}).",
        "",
        "| | |",
        "| --- | ---: |",
        f"| requests with a nonce seen before | {ending.nonces_repeated:,} |",
        f"| writes carried out | {ending.carried_out:,} |",
        f"| ... more than once | {ending.twice:,} |",
        f"| ... of which the journal says that they were not | {ending.denied:,} |",
        f"| confirmed in the journal and not carried out | {ending.claimed:,} |",
    ]


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
    size = f"{2 * (width + left + 20)} {-(-len(PLOTTED) // 2) * (height + 56) + 10}"
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
