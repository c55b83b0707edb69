"""A long run of mixed traffic under rolling faults: does anything grow?

    python -m tests.longrun --minutes 30 --out docs

The sandbox serves from a process of its own and changes what goes wrong every half minute. This process
reads, pages, uploads, writes through a journal on disk, runs bulk jobs and cancels some of its calls, and
every few seconds notes tasks, memory, file descriptors, the journal, errors and how late the loop is. In
the end it compares what the journal says with what the sandbox carried out. It writes samples
(endurance.jsonl), a plot (images/endurance.svg) and the page (endurance.md).
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import attrs

from pandapon_async import Client, OutcomeUnknownError, PandaponError, Settings, bulk
from pandapon_async.journal.intent import IntentState
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.numbering import refund_id
from tests.support import plan_files
from tests.support.endurance import Ending, Sample, page, plot

REFUNDS = 1_000_000
WEATHER = (
    "",
    "reset_before:0.05,reset_after:0.05,truncated:0.03",
    "error_500:0.08,error_502_html:0.05,error_503:0.05",
    "latency:0.3:delay=0.3",
    "throttle_429:0.02,throttle_code:0.01",
    "chaos:0.2",
    "refuse:0.15",
)
"""What goes wrong, one after the other."""

PNG = b"\x89PNG\r\n\x1a\n"


# --- the sandbox's process


async def serve(change_every: float) -> None:
    """Serve until stdin ends, with other faults every so many seconds."""
    async with Sandbox(refunds=REFUNDS, log_limit=1000) as sandbox:
        print(sandbox.base_url, flush=True)
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        for faults in itertools.cycle(WEATHER):
            plan_files.misbehave(sandbox, faults)
            done, _ = await asyncio.wait([ended], timeout=change_every)
            if done:
                return


@contextlib.contextmanager
def served(change_every: float) -> Iterator[str]:
    """The base url of a sandbox in a process of its own."""
    command = [sys.executable, "-m", "tests.longrun", "--serve", str(change_every)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        yield process.stdout.readline().strip()
        process.stdin.close()


# --- the traffic


@attrs.define
class Traffic:
    """What goes on, and how it ended: `results` counts by kind of work and result, `errors` by class.

    `rest` is how many seconds at most go by between two pieces of work: bulk work gets only what the others
    leave of the rate, so they must not take all of it.
    """

    client: Client
    chance: random.Random
    rest: float
    patience: float = 1.0
    results: collections.Counter[tuple[str, str]] = attrs.field(factory=collections.Counter)
    errors: collections.Counter[str] = attrs.field(factory=collections.Counter)
    numbers: Iterator[int] = attrs.field(factory=itertools.count)

    def taobao(self, number: int | None = None) -> str:
        """The id of a Taobao refund: this one, or any."""
        return refund_id(2 * (self.chance.randrange(REFUNDS // 2) if number is None else number) + 1)

    async def read(self) -> None:
        await self.client.v1.taobao.refunds.get(refund_id=self.taobao())

    async def page(self) -> None:
        seen = 0
        async with contextlib.aclosing(self.pages()) as refunds:
            async for _ in refunds:
                seen += 1
                if seen == 70:
                    return

    async def pages(self) -> AsyncGenerator[Any, None]:
        async for refund in self.client.v1.taobao.refunds.pages(page_size=50):
            yield refund

    async def upload(self) -> None:
        image = PNG + self.chance.randbytes(100_000)
        await self.client.v2.alibaba.refunds.upload_voucher(image=image)

    async def apply_for_refund(self) -> None:
        order = 4_000_000_000_000_000_000 + 10 * next(self.numbers)
        await self.client.v1.alibaba.refunds.create(
            order_id=order,
            order_entry_ids=[order + 1],
            dispute_request="refund",
            apply_payment=100,
            apply_carriage=0,
            apply_reason_id=20022,
            description="endurance",
            goods_status="aftersaleBuyerReceived",
        )

    async def cancel_refund(self) -> None:
        await self.client.v1.taobao.refunds.cancel(refund_id=self.taobao(next(self.numbers)))

    async def look_up_many(self) -> None:
        ids = [self.taobao() for _ in range(100)]
        async for result in bulk.fetch_refunds(self.client, ids, platform="taobao", concurrency=16):
            if isinstance(result, bulk.Failed):
                self.errors[type(result.error).__name__] += 1
            self.results["bulk item", type(result).__name__.lower()] += 1

    async def change_ones_mind(self) -> None:
        """Start a read or a write and cancel it on its way, if it is not over before."""
        task = asyncio.ensure_future(self.chance.choice([self.read, self.cancel_refund])())
        await asyncio.wait([task], timeout=self.chance.random() * self.patience)
        task.cancel()
        await task

    async def once(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """One piece of work; of a write that may have landed, find out at once what can be found out."""
        try:
            await work()
            result = "done"
        except OutcomeUnknownError as unknown:
            self.errors["OutcomeUnknownError"] += 1
            with contextlib.suppress(PandaponError):
                await self.client.resolve(str(unknown.intent_id))
            result = "OutcomeUnknownError"
        except asyncio.CancelledError:
            result = "cancelled"
        except PandaponError as error:
            result = type(error).__name__
            self.errors[result] += 1
        self.results[name, result] += 1

    async def go_on(self, name: str, work: Callable[[], Awaitable[None]], until: float) -> None:
        while time.monotonic() < until:
            await self.once(name, work)
            if name != "bulk":
                await asyncio.sleep(self.chance.random() * self.rest)

    async def all(self, until: float) -> None:
        """Everything at once, until then."""
        work = {
            "read": self.read,
            "page": self.page,
            "upload": self.upload,
            "application": self.apply_for_refund,
            "cancellation": self.cancel_refund,
            "bulk": self.look_up_many,
            "called off": self.change_ones_mind,
        }
        async with asyncio.TaskGroup() as group:
            for name, kind in work.items():
                for _ in range(3):
                    group.create_task(self.go_on(name, kind, until))

    async def settle(self) -> None:
        """Look once more at every write of which nobody knows, now that its absence can be believed."""
        await asyncio.sleep(self.client.settings.settle_after)
        unknown = [intent.id async for intent in self.client.journal.all([IntentState.UNKNOWN])]
        async for _ in bulk.run(self.client.resolve, unknown, concurrency=16):
            pass


async def ending(client: Client, url: str) -> Ending:
    """What the journal says in the end, and what the sandbox has seen."""
    async with aiohttp.ClientSession(url) as session:
        async with session.get("/_sandbox/effects") as response:
            effects = [json.loads(line) for line in (await response.read()).splitlines()]
        async with session.get("/_sandbox/counters") as response:
            counters = await response.json()
    writes = collections.Counter(
        (effect["endpoint"], effect["key"].partition("/")[0])
        for effect in effects
        if effect["endpoint"] in ("alibaba.refunds.create", "taobao.refunds.cancel")
    )
    intents = collections.defaultdict(set)
    async for intent in client.journal.all():
        key = intent.natural_key
        intents[intent.operation, str(key.get("orderId") or key.get("refundId"))].add(intent.state)
    return Ending(
        journal={str(state): count for state, count in (await client.journal.counts()).items()},
        carried_out=writes.total(),
        twice=sum(count > 1 for count in writes.values()),
        denied=sum(not any(state.succeeded or state.open for state in intents[write]) for write in writes),
        claimed=sum(
            IntentState.CONFIRMED in states and write not in writes for write, states in intents.items()
        ),
        requests=counters["requests"],
        nonces_repeated=counters["nonces_repeated"],
        faults=counters["faults"],
    )


# --- what is noted


@attrs.define
class Ticker:
    """How late the loop is: the longest delay since it was last asked for."""

    longest: float = 0.0

    async def run(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.01)
            self.longest = max(self.longest, time.monotonic() - before - 0.01)

    def take(self) -> float:
        longest, self.longest = self.longest, 0.0
        return longest


async def _sample(traffic: Traffic, ticker: Ticker, journal: Path, begun: float) -> Sample:
    rows = sum((await traffic.client.journal.counts()).values())
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    files = [journal, *journal.parent.glob(f"{journal.name}-*")]
    statistics = traffic.client.statistics
    return Sample(
        seconds=round(time.monotonic() - begun, 1),
        tasks=len(asyncio.all_tasks()),
        memory_mib=round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 2),
        descriptors=len(list(Path("/proc/self/fd").iterdir())),
        journal_kib=round(sum(file.stat().st_size for file in files if file.exists()) / 1024, 1),
        late_ms=round(ticker.take() * 1000, 1),
        calls=statistics.calls,
        attempts=statistics.attempts,
        throttled=statistics.throttled,
        failed=statistics.failed,
        rate=traffic.client.limiter.rate,
        rows=rows,
        errors=dict(sorted(traffic.errors.items())),
    )


async def _watch(traffic: Traffic, journal: Path, begun: float, every: float, notes: Path) -> None:
    """Take a sample every so many seconds, into a file: what grew in here would be taken for a leak."""
    ticker = Ticker()
    ticking = asyncio.create_task(ticker.run())
    try:
        with notes.open("w") as file:
            while True:
                await asyncio.sleep(every)
                sample = await _sample(traffic, ticker, journal, begun)
                file.write(json.dumps(attrs.asdict(sample)) + "\n")
                file.flush()
                print(sample, file=sys.stderr)
    finally:
        ticking.cancel()


async def long_run(
    seconds: float,
    out: Path,
    *,
    rate: float = 60.0,
    every: float = 5.0,
    change_every: float = 30.0,
    settle_after: float = 5.0,
) -> tuple[list[Sample], collections.Counter[tuple[str, str]], Ending]:
    """Run for so long; gives the samples, how the work ended, and what is in the books then."""
    out.mkdir(parents=True, exist_ok=True)
    notes = out / "endurance.jsonl"
    with served(change_every) as url, tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal.sqlite"
        settings = Settings(base_url=url, rate=rate, journal=journal, settle_after=settle_after, timeout=10.0)
        async with Client(Sandbox().credentials, settings) as client:
            traffic = Traffic(client, random.Random(7), rest=60 / rate)
            begun = time.monotonic()
            watching = asyncio.create_task(_watch(traffic, journal, begun, every, notes))
            try:
                await traffic.all(begun + seconds)
            finally:
                watching.cancel()
            await traffic.settle()
            samples = [Sample(**json.loads(line)) for line in notes.read_text("utf-8").splitlines()]
            return samples, traffic.results, await ending(client, url)


def main() -> None:
    """Parse the arguments, run, write what was found."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=Path("docs"))
    parser.add_argument("--rate", type=float, default=60.0)
    parser.add_argument("--serve", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        asyncio.run(serve(given.serve))
        return
    found = asyncio.run(long_run(given.minutes * 60, given.out, rate=given.rate))
    images = given.out / "images"
    images.mkdir(exist_ok=True)
    (images / "endurance.svg").write_text(plot(found[0]), "utf-8")
    (given.out / "endurance.md").write_text(page(*found), "utf-8")


if __name__ == "__main__":
    main()
