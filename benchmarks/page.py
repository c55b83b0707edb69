"""The page of the documentation that says what this client costs: `python -m benchmarks.page` writes it.

It is made of the tables in benchmarks/results alone, each the outcome of one run, so that no figure on it is
copied by hand. A test compares the page with what would be written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import attrs

from benchmarks import report

__all__ = ["main", "page", "pictures"]

DOCS = Path(__file__).parent.parent / "docs"
OURS = "pandapon-async"
_TABLE = re.compile(r"(?:^\|.*\|$\n?)+", re.MULTILINE)
_NUMBER = re.compile(r"[0-9.,]+")


@attrs.frozen
class Table:
    """A table of a result, by the names of its rows and columns."""

    rows: Mapping[str, Mapping[str, str]]

    def cell(self, row: str, column: str) -> str:
        """What stands there."""
        return self.rows[row][column]

    def numbers(self, row: str, column: str) -> list[float]:
        """The median that stands there, before its quartiles."""
        found = [float(one.replace(",", "")) for one in _NUMBER.findall(self.cell(row, column))]
        return found[:1]

    def only(self, columns: Sequence[str]) -> str:
        """The table with these columns; the first one names the rows."""
        cells = [[name, *(row[column] for column in columns[1:])] for name, row in self.rows.items()]
        return report.table(columns, cells)


def table(result: str, heading: str = "") -> Table:
    """The table below a heading of a result; without a heading the first."""
    text = (report.RESULTS / f"{result}.md").read_text("utf-8")
    if heading:
        text = text[text.index(f"## {heading}") :]
    found = _TABLE.search(text)
    assert found is not None, f"{result}.md has no table below {heading or 'its title'}"
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()]
    return Table({row[0]: dict(zip(head[1:], row[1:], strict=True)) for row in rows})


def where() -> str:
    """What it was measured with."""
    return (report.RESULTS / "calls.md").read_text("utf-8").strip().splitlines()[-1]


PICTURES = {
    "benchmark-quota": ("% refused at 200 calls a second", "quota", "", "% refused", "200/s, "),
    "benchmark-shared": (
        "% of a quota that 4 processes send", "shared", "", "% of the quota sent", "200/s, "
    ),
    "benchmark-start": ("CPU ms until the process is ready", "bulk", "The start", "CPU ms", ""),
    "benchmark-journal": ("writes a second, no rate limit", "journal", "", "writes/s", ""),
}  # fmt: skip


def pictures() -> dict[str, str]:
    """The charts of the page, by file name."""
    found = {}
    for name, (title, result, heading, column, prefix) in PICTURES.items():
        shown = table(result, heading)
        values = {
            row.removeprefix(prefix): shown.numbers(row, column)
            for row in shown.rows
            if row.startswith(prefix)
        }
        ours = next((row for row in values if row.startswith((OURS, "one quota", "from pandapon"))), "")
        found[f"{name}.svg"] = report.bars(title, values, ours, lambda numbers: f"{numbers[0]:,g}")
    for answer in ("tiny", "refund", "list"):
        found[f"benchmark-{answer}.svg"] = (report.RESULTS / f"calls-{answer}.svg").read_text("utf-8")
    return found


def page() -> str:
    """The text of the page."""
    calls = {answer: table("calls", f"{answer} answer, concurrency 32, asyncio, http") for answer in ANSWERS}
    shown = "\n\n".join(
        f"![{title}](images/benchmark-{answer}.svg)\n\n"
        + calls[answer].only(["client", "CPU µs a call", "x CPU", "x throughput", "peak MB"])
        for answer, title in ANSWERS.items()
    )
    night = 8 * 3600
    used = table("quota").numbers(f"200/s, {OURS}", "% of the quota used")[0] / 100
    nights = [[f"{rate}/s", f"{int(rate * used * night):,}"] for rate in (10, 20, 50, 200)]
    return PAGE.format(
        calls=shown,
        quota=table("quota").only(["rate, limiter", "% of the quota used", "busiest second", "% refused"]),
        shared=table("shared").only(["rate, how", "% of the quota sent", "% refused", "busiest second"]),
        nights=report.table(["quota", "lookups in 8 hours"], nights),
        used=f"{100 * used:.0f}",
        memory=table("bulk", "An operation that does nothing").only(
            ["what", "CPU µs an item", "memory growth, MB"]
        ),
        ledger=table("bulk", "The nightly job").only(["what", "rows/s", "CPU µs a row", "memory growth, MB"]),
        start=table("bulk", "The start").only(["start of a process", "CPU ms", "x import aiohttp"]),
        journal=table("journal").only(["what is noted", "writes/s", "x of nothing noted", "CPU µs a write"]),
        where=where(),
    )


ANSWERS = {
    "tiny": "An answer of 160 bytes",
    "refund": "One refund: 1.6 KB, 42 fields in 8 objects",
    "list": "A list of 200 refunds: 300 KB, 8,400 fields",
}
PAGE = """\
# What it costs

Each table is the outcome of one run of its part of `make bench`, on one machine; ratios are taken round by
round. Medians, with quartiles in brackets. Absolute times differ by a factor of four between machines, so
compare ratios, within a table. How it is measured, and how to read it, stands in the project's
`benchmarks/README.md`.

## What does a call cost?

Beside bare aiohttp, which sends and reads bytes, and beside the recipe that people write by hand: aiohttp,
tenacity, aiolimiter and cattrs. With a list bare aiohttp only moves bytes; compare with the recipe there.

{calls}

## How much of the quota is used, and what is refused?

A strict server refuses what exceeds the rate in any second, however you place it.

![What a strict server refuses](images/benchmark-quota.svg)

{quota}

## And with four processes?

![Four processes, one quota](images/benchmark-shared.svg)

{shared}

## How many refunds does a night hold?

The quota decides, not this client: {used} % of it is used. What need not be looked up again
([lists, reuse and pushes](how-to/nightly-job.md)) comes on top: together some twentieth of the calls.

{nights}

## How much memory do a million items take?

{memory}

The nightly job, against a server that answers at once:

{ledger}

## How long does it take to start?

![The start of a process](images/benchmark-start.svg)

{start}

## What does the journal cost?

Each write is on disk before its first byte leaves. Without a rate limit and against a server that answers at
once, which is the worst case: a quota of 200 calls a second leaves the journal idle for most of the time.

![The journal](images/benchmark-journal.svg)

{journal}

Measured on {where}
"""


def main() -> None:
    """Write the page and its pictures."""
    (DOCS / "benchmarks.md").write_text(page(), "utf-8")
    for name, picture in pictures().items():
        (DOCS / "images" / name).write_text(picture, "utf-8")


if __name__ == "__main__":
    main()
