"""What a night costs: plain, by list, with what is final used again, and with pushes as well.

`python -m benchmarks.nights --rows 100000` draws a ledger of which 60 % are Taobao's and 80 % have ended,
runs one night over it, lets a day pass, and runs the next night in each way from the same beginning. During
the day some open refunds change and are pushed, a few that had ended change and are pushed, and a few change
silently. Each way's verdicts are compared with the plain night's, row by row. The quota is the bound of a
night, so its time is the number of requests divided by the rate; they are made as fast as this machine can.
"""

from __future__ import annotations

import argparse
import asyncio
import csv
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs

from benchmarks import report
from pandapon_async import Client, Clock, ListFacts, Settings, VendorProfile
from pandapon_async.callbacks import Receiver, uptime
from pandapon_async.reconcile import Options, Summary, reconcile
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.callbacks import message_frame, refund_body, signature_of

__all__ = ["Way", "main", "nights"]

RATE = 200
DAY = 86_400.0
TAOBAO, ENDED = 0.6, 0.8


class DayClock(Clock):
    """A time that begins at the same moment in every run, so that the sample is the same, and skips days."""

    def __init__(self) -> None:
        self.ahead = 1_700_000_000.0 - time.time()

    def wall(self) -> float:
        return time.time() + self.ahead


@attrs.frozen
class Way:
    """One way of running the second night, and what came of it."""

    name: str
    calls: int
    taobao: int
    """Of the requests those to Taobao, lists included."""
    saved: str
    differs: list[str]
    """The refunds that got another verdict than in the plain night."""
    ended: list[str]


def draw(server: Sandbox, rows: int) -> tuple[list[dict[str, str]], list[int]]:
    """The rows of the ledger, and the numbers of their refunds."""
    wanted = {
        (platform, ended): round(rows * share * part)
        for platform, share in (("taobao", TAOBAO), ("1688", 1 - TAOBAO))
        for ended, part in ((True, ENDED), (False, 1 - ENDED))
    }
    chosen, numbers = [], []
    for number, row in enumerate(server.ledger_rows()):
        refund = server.refund(number)
        kind = (refund.platform, not refund.open)
        if wanted[kind]:
            wanted[kind] -= 1
            chosen.append(row)
            numbers.append(number)
    assert not any(wanted.values()), f"draw from more refunds: {wanted}"
    return chosen, numbers


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def singles(out: Path, platform: str) -> int:
    """How many rows of a platform were looked up singly."""
    with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
        return sum(row["platform"] == platform and row["source"] == "single" for row in csv.DictReader(file))


def judged(out: Path) -> Iterator[tuple[str, str]]:
    """Refund and verdict of every row."""
    with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield row["refund_id"], f"{row['verdict']} {row['upstream_amount_fen']} {row['upstream_status']}"


@attrs.define
class _Nights:
    folder: Path
    server: Sandbox
    clock: DayClock
    ledger: Path
    numbers: list[int]
    receiver: Receiver

    async def run(self, name: str, **given: Any) -> Summary:
        """A night with a folder of its own."""
        profile = VendorProfile(list=ListFacts(current=True))
        settings = Settings(base_url=self.server.base_url, rate=None, clock=self.clock, vendor=profile)
        async with Client(self.server.credentials, settings) as client:
            return await reconcile(client, self.ledger, self.folder / name, options=Options(**given))

    async def push(self, number: int) -> None:
        refund = self.server.refund(number)
        now = self.clock.wall()
        kind, body = refund_body(
            refund.platform,
            refund_id=refund.refund_id,
            order_id=refund.order_id,
            status=refund.status,
            time_sent=now,
        )
        raw = message_frame(refund.platform, kind, body, round(now * 1000))
        answer = await self.receiver.receive(raw, signature_of(self.server.credentials, raw))
        assert answer.status == 200, answer

    async def day(self, silent: int) -> tuple[list[str], list[str]]:
        """What happens between the nights; gives the refunds that changed after they had ended.

        First those of which it was pushed, then the others.
        """
        waiting = [number for number in self.numbers if self.server.refund(number).open]
        ended = [number for number in self.numbers if not self.server.refund(number).open]
        for number in waiting[::20]:
            refund = self.server.refund(number)
            if refund.status in (0, 10, 20, 30, "waitselleragree", "waitbuyersend", "waitsellerreceive"):
                self.server.advance(number, -20 if refund.platform == "taobao" else "refundclose")
                await self.push(number)
        pushed = ended[7 :: max(1, len(ended) // 20)]
        for number in pushed:
            self.server.reopen(number, _unlike(self.server, number))
            await self.push(number)
        changed = ended[3 :: max(1, len(ended) // silent)][:silent]
        for number in changed:
            self.server.reopen(number, _unlike(self.server, number), silently=True)
        told, untold = (
            [self.server.refund(number).refund_id for number in numbers] for numbers in (pushed, changed)
        )
        return told, untold


def _unlike(server: Sandbox, number: int) -> Any:
    refund = server.refund(number)
    if refund.platform == "taobao":
        return 100 if refund.status == -20 else -20
    return "refundsuccess" if refund.status == "refundclose" else "refundclose"


async def nights(rows: int, silent: int, folder: Path) -> tuple[list[Way], tuple[list[str], list[str]]]:
    """Run them; gives the ways, and the refunds that changed after they had ended, as `_Nights.day` does."""
    clock = DayClock()
    async with (
        Sandbox(refunds=round(rows * 1.8) + 40, seed=7, clock=clock, log_limit=rows * 2) as server,
        Receiver(server.credentials, store=folder / "callbacks.sqlite", clock=clock) as receiver,
    ):
        chosen, numbers = draw(server, rows)
        ledger = write(folder / "ledger.csv", chosen)
        one = _Nights(folder, server, clock, ledger, numbers, receiver)
        for platform in ("taobao", "1688"):  # both are heard of, or their silence means nothing
            await one.push(next(number for number in numbers if server.refund(number).platform == platform))
        clock.ahead += 3600
        kept = folder / "lookups.sqlite"
        heard = {"callbacks": folder / "callbacks.sqlite", "reuse": timedelta(hours=36)}
        final = {"reuse_final": timedelta(days=30)}
        await one.run("first", **final, lookups=kept)
        clock.ahead += DAY
        await asyncio.sleep(uptime.HEARTBEAT + 1)
        changed = await one.day(silent)
        ways = []
        plain: dict[str, str] = {}
        given: dict[str, dict[str, Any]] = {
            "plain": {},
            "by list": {"by_list": True},
            "final used again": {**final},
            "both": {**final, "by_list": True},
            "both, and pushes": {**final, **heard, "by_list": True},
        }
        for name, more in given.items():
            if "reuse_final" in more:
                more["lookups"] = Path(shutil.copy(kept, folder / f"{name}.sqlite"))
            summary = await one.run(name, **more)
            verdicts = dict(judged(folder / name))
            plain = plain or verdicts
            ways.append(
                Way(
                    name,
                    summary.run["calls"],
                    summary.run["calls"] - singles(folder / name, "1688"),
                    str(summary.calls_saved),
                    [refund for refund, verdict in verdicts.items() if plain[refund] != verdict],
                    summary.run.get("reuse", {}).get("ended", []),
                )
            )
        return ways, changed


def told(rows: int, ways: list[Way], changed: tuple[list[str], list[str]]) -> str:
    """The table, and what got another verdict."""
    plain, (pushed, silent) = ways[0].calls, changed
    lines = [
        f"{rows:,} rows, {TAOBAO:.0%} Taobao, {ENDED:.0%} ended. Of those {len(pushed)} changed since and it "
        f"was pushed, {len(silent)} changed silently.",
        "",
        f"| night | requests | of plain | to Taobao | at {RATE}/s | saved | other verdicts | reuse ended |",
        "| --- | ---: | ---: | ---: | ---: | --- | ---: | --- |",
    ]
    lines += [
        f"| {way.name} | {way.calls:,} | 1/{plain / way.calls:.1f} | {way.taobao:,} "
        f"| {way.calls / RATE:,.0f} s | {way.saved or '-'} | {len(way.differs)} "
        f"| {', '.join(way.ended) or '-'} |"
        for way in ways
    ]
    for way in ways:
        known = {*silent} if "pushes" in way.name else {*silent, *pushed}
        strange = sorted(set(way.differs) - known)
        assert not strange, f"{way.name}: another verdict on refunds that did not change: {strange[:5]}"
        if way.differs:
            lines += ["", f"{way.name}, other verdicts on: {', '.join(way.differs)}"]
    return "\n".join(lines)


def main() -> None:
    """Run it from the shell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000)
    parser.add_argument("--silent", type=int, default=4, help="refunds that change silently after they ended")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pandapon-nights-") as folder:
        ways, changed = asyncio.run(nights(given.rows, given.silent, Path(folder)))
    report.write("nights", "What a night costs", told(given.rows, ways, changed))


if __name__ == "__main__":
    main()
