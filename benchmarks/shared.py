"""How four processes keep one quota: by the shared limiter, and each with the whole rate for itself.

`python -m benchmarks.shared` lets four processes, one with most of the callers, use a quota in a PostgreSQL
on this machine against a strict server in a process of its own, which refuses what exceeds the rate in any
second.
"""

from __future__ import annotations

import argparse

from benchmarks import report
from tests.support.postgres import postgres_server
from tests.support.quota_load import run_load

__all__ = ["main"]

PROCESSES = 4
CALLERS = (24, 8, 8, 8)
HOW = {"shared": "one quota in PostgreSQL", "whole": "each the whole rate"}


def main() -> None:
    """Run both at each rate and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rates", type=int, nargs="+", default=[20, 200, 1000])
    options = parser.parse_args()
    rows = []
    with postgres_server() as postgres:
        for rate in options.rates:
            for kind, how in HOW.items():
                counted, workers = run_load(
                    [kind] * PROCESSES, rate, postgres.url, seconds=options.seconds, callers=CALLERS
                )
                rows.append(
                    [
                        f"{rate}/s, {how}",
                        f"{100 * counted.used(rate):.1f}",
                        f"{100 * counted.refused / counted.requests:.1f}",
                        f"{counted.busiest:,}",
                        f"{max(worker['cpu_us'] for worker in workers):,.0f}",
                    ]
                )
    report.write(
        "shared",
        f"one quota for {PROCESSES} processes",
        f"{options.seconds:g} s each; {', '.join(map(str, CALLERS))} callers that always want a permit.",
        report.table(
            ["rate, how", "% of the quota sent", "% refused", "busiest second", "CPU µs a permit"], rows
        ),
    )


if __name__ == "__main__":
    main()
