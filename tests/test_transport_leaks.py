"""Two thousand calls that nobody waited for: nothing is left of them."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Client, Safety
from pandapon_async.journal.journal import Journal
from tests.support import faults
from tests.support.clients import JPEG, at_rest, borrowing, client
from tests.support.network import descriptors, serving_tls, trusting_tls
from tests.support.server import Exchange, FaultServer
from tests.support.sweep import left_behind
from tests.support.virtual import LoopClock, outcome, virtual_time

CALLS = 2_000
SERVING, TRUSTING = serving_tls(), trusting_tls()


async def whimsical(exchange: Exchange) -> None:
    """Answers at once, late, in part, or never; or reads nothing."""
    await random.Random(exchange.connection).choice(
        [faults.half_open, faults.drip, faults.reset_after_head, faults.cut(faults.GOOD, 30), reads_nothing]
    )(exchange)


async def reads_nothing(exchange: Exchange) -> None:
    await exchange.gone() if exchange.connection % 2 else await asyncio.sleep(10_000)


def one(pandapon: Client, number: int) -> Any:
    """A read, a write, a large body, or an image; each with its own deadline."""
    made = pandapon.with_settings(timeout=0.5 + number % 7)
    match number % 4:
        case 0:
            return made.request("GET", f"/{number}", safety=Safety.READ)
        case 1:
            return made.request("POST", f"/{number}", json={"n": number})
        case 2:
            return made.request(
                "POST", f"/{number}", json={"n": number, "x": "x" * 300_000}, safety=Safety.READ
            )
        case _:
            return made.alibaba.refunds.upload_voucher(image=JPEG * 100)


async def ended(end: str, folder: Path, *, borrowed: bool, calls: int) -> None:
    """So many calls over one client, all ended in this way."""
    journal = Journal(folder / "journal.sqlite", clock=LoopClock())
    async with FaultServer(then=whimsical, tls=SERVING) as server, borrowing(borrowed) as session:
        pandapon = client(
            server.url, session, ssl_context=TRUSTING, rate=500, concurrency=48, timeout=60, journal=journal
        )
        tasks = [asyncio.ensure_future(outcome(one(pandapon, number))) for number in range(calls)]
        await asyncio.sleep(0)
        match end:
            case "deadline":
                await asyncio.wait(tasks)
            case "cancellation":
                chance = random.Random(7)
                for task in chance.sample(tasks, calls):
                    task.cancel()
                    if chance.random() < 0.05:
                        await asyncio.sleep(chance.choice([0, 0.01, 0.2]))
            case "closing":
                await asyncio.sleep(0.4)
                await pandapon.aclose()
        await asyncio.wait(tasks)
        at_rest(pandapon)
        await pandapon.aclose()
    await journal.aclose()
    with closing(sqlite3.connect(folder / "journal.sqlite", timeout=0)) as db:
        db.execute("BEGIN EXCLUSIVE")


@pytest.mark.nightly
@pytest.mark.may_block("looks at the journal's file, and at what is open")
@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize("end", ["deadline", "cancellation", "closing"])
@virtual_time
async def test_nothing_is_left_of_two_thousand_calls(end: str, borrowed: bool, tmp_path: Path) -> None:
    async def figures() -> tuple[int, int, int, int]:
        await asyncio.sleep(1)
        gc.collect()
        locks = sum(path.name.startswith("journal.sqlite.") for path in tmp_path.iterdir())
        return len(descriptors()), len(await left_behind()), locks, tracemalloc.get_traced_memory()[0]

    for part in range(2):  # what is made once, is made
        await ended(end, tmp_path, borrowed=borrowed, calls=100 + part)
    tracemalloc.start()
    try:
        await ended(end, tmp_path, borrowed=borrowed, calls=CALLS // 4)
        before = await figures()
        for _ in range(4):
            await ended(end, tmp_path, borrowed=borrowed, calls=CALLS // 4)
        after = await figures()
    finally:
        tracemalloc.stop()
    print(f"{end}, {'borrowed' if borrowed else 'own'}: descriptors, tasks, locks, bytes {before} -> {after}")
    assert after[:3] == before[:3]
    assert after[3] - before[3] < 200_000
