"""`pandapon demo`: the whole nightly job on this machine, without an account.

A sandbox with faults, a ledger with planted differences, and one reconcile run through the same client as in
production; at the end the verdicts are compared with the planted ones.
"""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import sys
from collections import Counter, deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import attrs
import typer

from pandapon_async.cli.output import progress
from pandapon_async.clock import Clock
from pandapon_async.errors import Attempt, ConfigurationError
from pandapon_async.storage.files import Mark, whole_file

if TYPE_CHECKING:
    from pandapon_async.sandbox import Sandbox

__all__ = ["demo"]

LEDGER = "ledger.csv"
REPORT = "report"
MARKER = ".pandapon-demo.json"
"""The file that lists the demo's ledgers by their digests: nothing else is replaced."""
MARK = Mark('{"made_by": "pandapon demo"', "an earlier demo")


def demo(
    out: Annotated[
        Path, typer.Option(help="Folder for the ledger and the report; new, or from an earlier demo.")
    ] = Path("demo"),
    refunds: Annotated[int, typer.Option(min=1, help="How many refunds the sandbox has.")] = 2_000,
    rate: Annotated[
        float, typer.Option(min=1, help="Calls per second; the client keeps to it, the sandbox enforces it.")
    ] = 200.0,
    faults: Annotated[float, typer.Option(min=0, max=0.3, help="Fraction of requests that fail.")] = 0.05,
    seed: Annotated[int, typer.Option(help="The seed of the planted differences.")] = 7,
) -> None:
    """Run the nightly job on an embedded sandbox, with faults and throttling."""
    raise typer.Exit(asyncio.run(_demo(out, refunds, rate, faults, seed)))


@attrs.define
class _QuotaObserver:
    """Measures the client's own times: how evenly and how fully it used the quota."""

    clock: Clock
    sent: list[float] = attrs.field(factory=list)

    def __call__(self, endpoint: str, attempt: Attempt) -> None:
        self.sent.append(self.clock.now() - attempt.seconds)

    def busiest_second(self) -> int:
        """The most permits in any one second."""
        window: deque[float] = deque()
        busiest = 0
        for moment in sorted(self.sent):
            window.append(moment)
            while window[0] <= moment - 1.0:
                window.popleft()
            busiest = max(busiest, len(window))
        return busiest

    def quota_used(self, rate: float, paused: float) -> float:
        """The used fraction of the quota, excluding the pauses that the server asked for."""
        seconds = max(self.sent) - min(self.sent) + 1 / rate - paused
        return len(self.sent) / (rate * seconds)


async def _demo(out: Path, refunds: int, rate: float, faults: float, seed: int) -> int:
    from pandapon_async.client import Client
    from pandapon_async.reconcile import Options, reconcile
    from pandapon_async.sandbox import LEDGER_AS_OF, Sandbox, chaos
    from pandapon_async.settings import Settings

    clock = Clock()
    quota = _QuotaObserver(clock)
    async with Sandbox(refunds=refunds, seed=seed, rate=rate, faults=chaos(faults), log_limit=0) as sandbox:
        truth = await asyncio.to_thread(_prepare, sandbox, out)
        print(
            f"sandbox: {sandbox.base_url}, {refunds:,} refunds, at most {rate:g} calls in any second, "
            f"{faults:.0%} of all requests fail\n"
            f"ledger:  {out / LEDGER} ({len(truth):,} rows, differences planted)",
            file=sys.stderr,
        )
        # Its throttles are random and not caused by the rate, so they do not lower the rate.
        settings = Settings(
            base_url=sandbox.base_url, rate=rate, adaptive_rate=None, observer=quota, clock=clock
        )
        async with Client(sandbox.credentials, settings) as client:
            summary = await reconcile(
                client,
                out / LEDGER,
                out / REPORT,
                options=Options(as_of=LEDGER_AS_OF, fresh=True),
                progress=progress(),
            )
            paused, retried = client.limiter.paused_seconds, client.statistics.retried
        counters = sandbox.counters
    wrong = await asyncio.to_thread(_differences, out, truth)
    planted = Counter(truth)
    print(f"\n{'verdict':18}{'rows':>8}{'planted':>9}")
    for verdict, count in summary.verdicts.items():
        if count or planted[verdict]:
            print(f"{verdict:18}{count:>8,}{planted[verdict]:>9,}")
    print(f"{'in all':18}{summary.rows:>8,}{len(truth):>9,}\n")
    print("every row has the planted verdict" if not wrong else f"{wrong} rows differ from what was planted")
    print(
        f"faults:  {sum(counters.faults.values())} met, {retried} retries\nquota:   "
        f"{quota.quota_used(rate, paused):.1%} used, excluding {paused:.1f} s of requested pauses; "
        f"busiest second {quota.busiest_second()} of {rate:g}; {counters.rate_refused} refused for the "
        f"rate\nreport:  {out / REPORT / 'report.html'}"
    )
    return 0 if not wrong else 1


def _prepare(sandbox: Sandbox, out: Path) -> list[str]:
    """Create the folder with the ledger; return the expected verdict of each row."""
    made = _made_before(out)
    rows = list(sandbox.ledger_rows())
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, rows[0].keys())
    writer.writeheader()
    writer.writerows(rows)
    ledger = text.getvalue()
    out.mkdir(parents=True, exist_ok=True)
    with whole_file(
        out / MARKER, MARK
    ) as file:  # first: a ledger without the marker counts as the user's own
        digest = hashlib.sha256(ledger.encode()).hexdigest()
        json.dump({"made_by": "pandapon demo", "ledgers": sorted({*made, digest})}, file)
    with whole_file(out / LEDGER, Mark(",".join(rows[0]), MARK.made_by)) as file:
        file.write(ledger)
    return list(sandbox.truth())


def _made_before(out: Path) -> list[str]:
    """Return the digests of earlier demos' ledgers; refuse a folder with other content."""
    if out.exists() and not out.is_dir():
        raise ConfigurationError(f"{out} is a file; --out must be a folder")
    if not out.exists() or not any(out.iterdir()):
        return []
    marker, ledger = out / MARKER, out / LEDGER
    MARK.check(marker)
    if not marker.is_file():
        raise ConfigurationError(f"{out} is not empty and not from an earlier demo; choose another --out")
    try:
        made: list[str] = json.loads(marker.read_text(encoding="utf-8"))["ledgers"]
    except (ValueError, KeyError):
        raise ConfigurationError(f"{marker} is damaged; choose another --out") from None
    if ledger.exists() and hashlib.sha256(ledger.read_bytes()).hexdigest() not in made:
        raise ConfigurationError(f"{ledger} was changed since the demo made it; choose another --out")
    return made


def _differences(out: Path, truth: list[str]) -> int:
    """Count the rows with another verdict than the planted one."""
    with (out / REPORT / "rows.csv").open(encoding="utf-8-sig", newline="") as file:
        found = [row["verdict"] for row in csv.DictReader(file)]
    return sum(one != other for one, other in zip(found, truth, strict=True))
