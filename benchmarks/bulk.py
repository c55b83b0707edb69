"""What many calls at once cost beside the calls: bulk work, the nightly job, and the import.

`python -m benchmarks.bulk` runs an operation that does nothing through `bulk.run` and through the
`gather` with a semaphore that one would write by hand, reconciles a ledger against a server that answers
at once, and takes the CPU time of `import pandapon_async` beside that of `import aiohttp`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import attrs

from benchmarks import report
from benchmarks.child import in_child
from benchmarks.contenders import CREDENTIALS
from benchmarks.measure import MIB, Stopwatch, current_rss, forget_peak, peak_rss, run
from benchmarks.replies import REPLIES, refund
from benchmarks.server import cores, serving
from pandapon_async import Client, Settings, bulk
from pandapon_async.reconcile import Verdict, reconcile

__all__ = ["main"]

CONCURRENCY = 32
OURS, GATHER = "bulk.run", "gather and a semaphore"
LARGEST_GATHER = 100_000  # a million tasks at once would take 1.5 GB


async def _nothing(item: int) -> int:
    await asyncio.sleep(0)
    return item


async def _bulk(items: range) -> None:
    async for _ in bulk.run(_nothing, items, concurrency=CONCURRENCY):
        pass


async def _gather(items: range) -> None:
    semaphore = asyncio.Semaphore(CONCURRENCY)

    async def one(item: int) -> int:
        async with semaphore:
            return await _nothing(item)

    await asyncio.gather(*(one(item) for item in items))


def items(how: str, count: int) -> dict[str, float]:
    """In a child: so many items."""

    async def work() -> dict[str, float]:
        operation = _bulk if how == OURS else _gather
        await operation(range(100))
        forget_peak()
        before = current_rss()
        with Stopwatch() as watch:
            await operation(range(count))
        return {"cpu": watch.cpu / count, "memory": peak_rss() - before}

    return run(work())


def rows_of_a_ledger(url: str, count: int) -> dict[str, float]:
    """In a child: a nightly job over so many rows."""

    async def work() -> dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="pandapon-bench-") as name:
            ledger = Path(name) / "ledger.csv"
            _write_ledger(ledger, count)
            async with Client(CREDENTIALS, Settings(base_url=url, rate=None)) as pandapon:
                forget_peak()
                before = current_rss()
                with Stopwatch() as watch:
                    summary = await reconcile(pandapon, ledger, Path(name) / "out")
        if summary.rows != count or summary.verdicts[Verdict.UNVERIFIED]:
            raise SystemExit(
                f"{summary.verdicts[Verdict.UNVERIFIED]} of {summary.rows} rows were not verified"
            )
        return {"rate": count / watch.wall, "cpu": watch.cpu / count, "memory": peak_rss() - before}

    return run(work())


def _write_ledger(file: Path, count: int) -> None:
    head = "platform,shop,refund_id,order_id,amount_fen,currency,status,applied_at\n"
    lines = (
        f"taobao,shop,{10**11 + number},{10**12 + number},100,CNY,100,2024-05-01T10:00:00+08:00\n"
        for number in range(count)
    )
    file.write_text(head + "".join(lines), "utf-8")


def _anonymous_refund() -> dict[str, Any]:
    """A refund that does not say which it is, so that it fits every row."""
    data = refund()
    del data["refundOrderAggregate"]["refundOrder"]["refundId"]
    return data


def start_seconds(arguments: list[str], compiled: str) -> float:
    """CPU time of a new interpreter with these arguments; `compiled` is a folder for compiled files.

    Installed packages come with theirs. A checkout has none where PYTHONDONTWRITEBYTECODE is set.
    """
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["PYTHONPYCACHEPREFIX"] = compiled
    command = [sys.executable, *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _items_table(counts: list[int], rounds: int) -> str:
    rows = []
    for count in counts:
        for how in (OURS, GATHER):
            if how == OURS or count <= LARGEST_GATHER:
                runs = [in_child("bulk", "items", how=how, count=count) for _ in range(rounds)]
                rows.append(
                    [
                        f"{how}, {count:,} items",
                        report.spread([1e6 * one["cpu"] for one in runs], ".1f"),
                        f"{max(one['memory'] for one in runs) / MIB:.1f}",
                    ]
                )
    return report.table(["what", "CPU µs an item", "memory growth, MB"], rows)


def _ledger_table(count: int, rounds: int) -> str:
    with serving(
        cores()[1],
        {
            "refund": attrs.evolve(
                REPLIES["refund"], path="/v2/taobao/order/refund/query", data=_anonymous_refund()
            )
        },
    ) as server:
        runs = [in_child("bulk", "rows_of_a_ledger", url=server.url, count=count) for _ in range(rounds)]
    row = [
        f"reconcile, {count:,} rows",
        report.spread([one["rate"] for one in runs], ",.0f"),
        f"{1e6 * report.middle([one['cpu'] for one in runs]):,.0f}",
        f"{max(one['memory'] for one in runs) / MIB:.0f}",
    ]
    return report.table(["what", "rows/s", "CPU µs a row", "memory growth, MB"], [row])


STARTS = {
    "nothing": ["-c", "pass"],
    "import aiohttp": ["-c", "import aiohttp"],
    "import pandapon_async": ["-c", "import pandapon_async"],
    "from pandapon_async import Client": ["-c", "from pandapon_async import Client"],
    "pandapon --help": ["-m", "pandapon_async", "--help"],
}


def _start_table(rounds: int) -> str:
    runs: dict[str, list[float]] = {name: [] for name in STARTS}
    with tempfile.TemporaryDirectory(prefix="pandapon-bench-") as compiled:
        for arguments in STARTS.values():
            start_seconds(arguments, compiled)  # once for the compiled files
        for _ in range(rounds):
            for name, arguments in STARTS.items():
                runs[name].append(1e3 * start_seconds(arguments, compiled))
    base = runs["import aiohttp"]
    rows = [
        [
            name,
            report.spread(times, ".0f"),
            report.spread([one / other for one, other in zip(times, base, strict=True)]),
        ]
        for name, times in runs.items()
    ]
    return report.table(["start of a process", "CPU ms", "x import aiohttp"], rows)


def main() -> None:
    """Run the three parts and print their tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--counts", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--rows", type=int, default=10_000, help="of the ledger")
    options = parser.parse_args()
    report.write(
        "bulk",
        f"many calls at once, concurrency {CONCURRENCY}",
        f"## An operation that does nothing\n\n{_items_table(options.counts, options.rounds)}",
        f"## The nightly job, against a server that answers at once\n\n"
        f"{_ledger_table(options.rows, options.rounds)}",
        f"## The start\n\n{_start_table(3 * options.rounds)}",
    )


if __name__ == "__main__":
    main()
