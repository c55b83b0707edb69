"""What a typed, signed, paced call costs beside bare aiohttp, the recipe written by hand, and other SDKs.

`python -m benchmarks.calls` starts a cheap server on one core and lets the clients take turns on the
other, each in a fresh process, round by round. Every ratio is taken within a round, against bare aiohttp
under the same conditions; given are the median and the quartiles. `--full` runs every combination.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import attrs

from benchmarks import report, rivals
from benchmarks.child import in_child
from benchmarks.contenders import CONTENDERS, Place, contender
from benchmarks.measure import MIB, Stopwatch, drive, drive_for, peak_rss, run
from benchmarks.server import Server, ceiling, cores, server_cpu_seconds, serving

__all__ = ["Conditions", "main", "measure"]

BASE, OURS, BY_HAND = "aiohttp", "pandapon-async", "by hand"
NEEDS = {"by hand": "aiolimiter", "slack_sdk": "slack_sdk", "openai": "openai", "httpx": "httpx"}
HEAD = ["client", "CPU µs a call", "x CPU", "calls/s", "x throughput", "peak MB"]
LARGEST_LIST_CONCURRENCY = 32  # 256 lists of 200 at once measure the memory bus


@attrs.define(frozen=True)
class Conditions:
    """What is the same for all clients of one table."""

    reply: str
    concurrency: int
    uvloop: bool = False
    tls: bool = False

    def __str__(self) -> str:
        loop, protocol = ("uvloop" if self.uvloop else "asyncio"), ("https" if self.tls else "http")
        return f"{self.reply} answer, concurrency {self.concurrency}, {loop}, {protocol}"


def usual_matrix() -> dict[Conditions, list[str]]:
    """What a run of a few minutes looks at."""
    three = [BASE, BY_HAND, OURS]
    return {
        Conditions("tiny", 32): list(CONTENDERS),
        Conditions("refund", 32): [BASE, "aiohttp + json", BY_HAND, OURS],
        Conditions("list", 32): [BASE, "aiohttp + json", BY_HAND, OURS],
        Conditions("tiny", 1): three,
        Conditions("tiny", 256): three,
        Conditions("tiny", 32, uvloop=True): three,
        Conditions("tiny", 32, tls=True): three,
        Conditions("tiny", 32, uvloop=True, tls=True): three,
    }


def full_matrix() -> dict[Conditions, list[str]]:
    """Every combination."""
    found = {}
    for reply, concurrency, uvloop, tls in itertools.product(
        ("tiny", "refund", "list"), (1, 32, 256), (False, True), (False, True)
    ):
        if reply != "list" or concurrency <= LARGEST_LIST_CONCURRENCY:
            names = [name for name in CONTENDERS if reply == "tiny" or name != "slack_sdk"]
            found[Conditions(reply, concurrency, uvloop, tls)] = names
    return found


def measure(
    name: str, place: dict[str, Any], uvloop: bool, seconds: float, server_process: int
) -> dict[str, float]:
    """In a child: one client for so many seconds, after a warm-up."""
    where = Place(**place)

    async def work() -> dict[str, float]:
        async with contender(name, where) as call:
            await drive(call, 4 * where.concurrency, where.concurrency)
            before = server_cpu_seconds(server_process)
            with Stopwatch() as watch:
                count = await drive_for(call, seconds, where.concurrency)
            busy = (server_cpu_seconds(server_process) - before) / watch.wall
        return {"cpu": watch.cpu / count, "rate": count / watch.wall, "server": busy}

    return {**run(work(), uvloop=uvloop), "peak": peak_rss()}


Runs = dict[Conditions, dict[str, list[dict[str, float]]]]


def run_matrix(matrix: dict[Conditions, list[str]], servers: dict[bool, Server], options: Any) -> Runs:
    """All rounds, the clients of one table right after one another."""
    runs: Runs = {conditions: defaultdict(list) for conditions in matrix}
    for _, (conditions, names) in itertools.product(range(options.rounds), matrix.items()):
        server = servers[conditions.tls]
        place = Place(server.url, conditions.reply, conditions.concurrency, server.authority)
        for name in names:
            runs[conditions][name].append(
                in_child(
                    "calls",
                    "measure",
                    name=name,
                    place=attrs.asdict(place),
                    uvloop=conditions.uvloop,
                    seconds=options.seconds,
                    server_process=server.process_id,
                )
            )
    return runs


def block(conditions: Conditions, runs: dict[str, list[dict[str, float]]]) -> str:
    """One table with its heading."""
    base = runs[BASE]
    rows = [
        [
            name,
            f"{1e6 * report.middle([one['cpu'] for one in results]):,.0f}",
            report.spread([one["cpu"] / other["cpu"] for one, other in zip(results, base, strict=True)]),
            f"{report.middle([one['rate'] for one in results]):,.0f}",
            report.spread([one["rate"] / other["rate"] for one, other in zip(results, base, strict=True)]),
            f"{max(one['peak'] for one in results) / MIB:.0f}",
        ]
        for name, results in runs.items()
    ]
    busiest = max(one["server"] for results in runs.values() for one in results)
    return f"## {conditions}\n\n{report.table(HEAD, rows)}\n\nServer busy: {min(busiest, 1):.0%} at most."


def available(matrix: dict[Conditions, list[str]]) -> tuple[dict[Conditions, list[str]], list[str]]:
    """What of it can run here, and a line for each that cannot."""
    missing = {name for name, package in NEEDS.items() if not rivals.is_installed(package)}
    without = [f"skipped: {name}, as {NEEDS[name]} is not installed" for name in sorted(missing)]
    if not rivals.is_installed("uvloop"):
        matrix = {conditions: names for conditions, names in matrix.items() if not conditions.uvloop}
        without.append("skipped: all with uvloop, as it is not installed")
    return {key: [name for name in names if name not in missing] for key, names in matrix.items()}, without


@contextlib.contextmanager
def serving_both(tls: bool) -> Iterator[dict[bool, Server]]:
    """The plain server, and the one with TLS if it is wanted."""
    with contextlib.ExitStack() as stack:
        core = cores()[1]
        servers = {False: stack.enter_context(serving(core))}
        if tls:
            servers[True] = stack.enter_context(serving(core, tls=True))
        yield servers


def charts(runs: Runs) -> None:
    """The same as pictures: CPU per call beside bare aiohttp."""
    for conditions, clients in runs.items():
        if conditions.concurrency == 32 and not conditions.uvloop and not conditions.tls:
            base = clients[BASE]
            report.chart(
                f"calls-{conditions.reply}",
                f"CPU per call, {conditions.reply} answer (bare aiohttp = 1)",
                {
                    name: [one["cpu"] / other["cpu"] for one, other in zip(results, base, strict=True)]
                    for name, results in clients.items()
                },
                highlight=OURS,
            )


def main() -> None:
    """Run the clients interleaved and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.4, help="per client, conditions and round")
    parser.add_argument("--full", action="store_true", help="every combination (an hour)")
    parser.add_argument("--only", choices=["tiny", "refund", "list"], help="this answer only")
    options = parser.parse_args()
    matrix, skipped = available(full_matrix() if options.full else usual_matrix())
    matrix = {key: names for key, names in matrix.items() if options.only in (None, key.reply)}
    with serving_both(any(conditions.tls for conditions in matrix)) as servers:
        alone = ceiling(servers[False], "POST /alibaba/refund/info", cores()[0], 1.0)
        runs = run_matrix(matrix, servers, options)
    intro = (
        f"{options.rounds} rounds of {options.seconds:g} s each; medians and quartiles. CPU is that of the "
        "client's process, ratios are to bare aiohttp in the same round. The plain server by itself answers "
        f"{alone:,.0f} tiny requests a second."
    )
    blocks = [block(conditions, clients) for conditions, clients in runs.items()]
    report.write("calls", "calls beside other clients", intro, *blocks, *skipped)
    charts(runs)


if __name__ == "__main__":
    main()
