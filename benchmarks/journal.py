"""What it costs to have every write on disk before it is sent.

`python -m benchmarks.journal` sends the same writes four times over: with nothing noted (as reads), with the
journal in memory, with it in a file, synced before each write leaves, and with it in a PostgreSQL on this
machine. There is no rate limit and the server answers at once, which is the worst case for the journal.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import attrs

from benchmarks import report
from benchmarks.child import in_child
from benchmarks.contenders import CREDENTIALS
from benchmarks.measure import Stopwatch, run
from benchmarks.replies import REPLIES
from benchmarks.server import cores, serving
from pandapon_async import Client, Limiter, Safety, Settings, bulk
from tests.support.postgres import postgres_server

__all__ = ["main"]

CONCURRENCY = 64
NOTHING, MEMORY, FILE = "nothing noted", "journal in memory", "journal in a file"
POSTGRES = "journal in PostgreSQL"


def measure(how: str, url: str, place: str, count: int) -> dict[str, float]:
    """In a child: so many writes."""

    async def work() -> dict[str, float]:
        safety = Safety.READ if how == NOTHING else Safety.ONCE
        settings = Settings(base_url=url, rate=None, concurrency=CONCURRENCY)
        if how == POSTGRES:
            free = Limiter(1e6, adaptive=None)  # only the journal is to be shared
            settings = attrs.evolve(settings, rate=1e6, shared=place, limiter=free)
        else:
            settings = attrs.evolve(settings, journal=place if how == FILE else ":memory:")
        failed = 0
        async with Client(CREDENTIALS, settings) as pandapon:

            def write(number: int) -> Any:
                fields = {"refundId": f"TQ{number}", "freightBill": f"SF{number}"}
                return pandapon.request("POST", REPLIES["write"].path, json=fields, safety=safety)

            await write(0)
            with Stopwatch() as watch:
                async for result in bulk.run(write, range(1, count + 1), concurrency=CONCURRENCY):
                    failed += isinstance(result, bulk.Failed)
        if failed:
            raise SystemExit(f"{failed} of {count} writes failed")
        return {"rate": count / watch.wall, "cpu": watch.cpu / count}

    return run(work())


def sync_seconds(directory: Path, times: int = 20) -> float:
    """What one small write with fsync takes here."""
    with (directory / "probe").open("wb") as file:
        begun = time.perf_counter()
        for _ in range(times):
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    return (time.perf_counter() - begun) / times


def main() -> None:
    """Run them in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--count", type=int, default=5_000)
    parser.add_argument("--directory", type=Path, default=Path.cwd(), help="where the file is: a real disk")
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {how: [] for how in (NOTHING, MEMORY, FILE, POSTGRES)}
    with (
        serving(cores()[1]) as server,
        tempfile.TemporaryDirectory(prefix=".pandapon-bench-", dir=options.directory) as name,
        postgres_server() as postgres,
    ):
        sync = sync_seconds(Path(name))
        for number in range(options.rounds):
            for how, results in runs.items():
                place = str(Path(name) / f"journal-{number}.sqlite")
                if how == POSTGRES:
                    place = asyncio.run(postgres.empty())
                results.append(
                    in_child("journal", "measure", how=how, url=server.url, place=place, count=options.count)
                )
    base = runs[NOTHING]
    rows = [
        [
            how,
            f"{report.middle([one['rate'] for one in results]):,.0f}",
            report.spread([one["rate"] / other["rate"] for one, other in zip(results, base, strict=True)]),
            f"{1e6 * report.middle([one['cpu'] for one in results]):,.0f}",
        ]
        for how, results in runs.items()
    ]
    report.write(
        "journal",
        f"{options.count:,} writes at concurrency {CONCURRENCY}, no rate limit",
        report.table(["what is noted", "writes/s", "x of nothing noted", "CPU µs a write"], rows),
        f"A write of 4 KB with fsync takes {1e3 * sync:.2f} ms on this disk. CPU is that of the client; "
        "PostgreSQL runs on the core of the server.",
    )


if __name__ == "__main__":
    main()
