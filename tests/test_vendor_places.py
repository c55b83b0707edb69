"""An id that the vendor looks for in the other place: found by a trial, never a night of missing refunds."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
from pathlib import Path

import pytest

from pandapon_async import NotFoundError, Override
from pandapon_async.progress import NullProgress
from pandapon_async.reconcile import NothingFoundError, Options, Verdict, reconcile, state_path
from pandapon_async.reconcile.probe import SAMPLE, samples
from pandapon_async.reconcile.run_store import Pending, RunStore
from tests.support import faults
from tests.support.clients import client
from tests.support.server import Exchange, FaultServer, envelope, http, ok
from tests.support.virtual import virtual_time

FORM = {"status": "refundsuccess", "applyPayment": 100, "refundPayment": 100}


async def looks_in(exchange: Exchange, place: str, nothing: bytes) -> None:
    """A vendor that sees the id only in this place, and otherwise answers so."""
    seen = await exchange.request()
    where = "query" if "refundId=" in seen.target else "body"
    refund_id = seen.target.partition("refundId=")[2] or json.loads(seen.body or b"{}").get("refundId")
    found = envelope({**FORM, "refundId": refund_id})
    await exchange.send(http(found if where == place else nothing))


NOTHING = {"null": envelope(None), "empty": envelope({}), "code": envelope(None, code=404)}


def vendor(place: str, nothing: str = "null") -> FaultServer:
    return FaultServer(then=functools.partial(looks_in, place=place, nothing=NOTHING[nothing]))


@pytest.mark.parametrize("nothing", ["null", "empty"])
@virtual_time
async def test_a_read_that_finds_nothing_tries_the_other_place_once(nothing: str) -> None:
    async with vendor("query", nothing) as server, client(server.url) as pandapon:
        got = await asyncio.gather(*(pandapon.alibaba.refunds.get(refund_id=f"TQ{n}") for n in range(5)))
        assert [refund.refund_id for refund in got] == [f"TQ{n}" for n in range(5)]
        copy = pandapon.with_settings(timeout=5.0)
        sent = len(server.requests)
        assert (await copy.alibaba.refunds.get(refund_id="TQ9")).refund_id == "TQ9"
        assert len(server.requests) == sent + 1  # a copy knows, too


@virtual_time
async def test_where_the_other_place_shows_nothing_either_it_is_not_tried_again() -> None:
    async with vendor("nowhere") as server, client(server.url) as pandapon:
        for _ in range(3):
            with pytest.raises(NotFoundError) as caught:
                await pandapon.alibaba.refunds.get(refund_id="TQ1")
            assert caught.value.empty
    assert ["refundId=" in seen.target for seen in server.requests] == [False, True, False, False]


@virtual_time
async def test_what_is_known_or_said_is_not_tried() -> None:
    said = {"alibaba.refunds.get": Override(arguments="body")}
    for overrides, place in (({}, "body"), (said, "query")):
        async with vendor(place) as server, client(server.url, overrides=overrides) as pandapon:
            for _ in range(2):
                try:
                    await pandapon.alibaba.refunds.get(refund_id="TQ1")
                except NotFoundError:
                    assert overrides
            assert len(server.requests) == 2
    async with FaultServer(then=ok({"success": True})) as server, client(server.url) as pandapon:
        await pandapon.taobao.refunds.get(refund_id="1")
        assert len(server.requests) == 1


def ledger_of(folder: Path, rows: int) -> Path:
    path = folder / "ledger.csv"
    lines = "".join(f"TQ{number},1.00,CNY,refundsuccess\n" for number in range(rows))
    path.write_text(f"refund_id,amount_yuan,currency,status\n{lines}", encoding="utf-8")
    return path


class Advanced(NullProgress):
    """Counts what it is told."""

    total = 0

    def advance(self, *, failed: bool) -> None:
        self.total += 1


@pytest.mark.parametrize("nothing", NOTHING)
@pytest.mark.parametrize("place", ["body", "query"])
@virtual_time
async def test_a_night_finds_the_place_by_itself(tmp_path: Path, place: str, nothing: str) -> None:
    ledger = ledger_of(tmp_path, 40)
    async with vendor(place, nothing) as server, client(server.url) as pandapon:
        progress = Advanced()
        options = Options(concurrency=4)
        summary = await reconcile(pandapon, ledger, tmp_path / "out", options=options, progress=progress)
        assert summary.verdicts[Verdict.MATCHED] == 40
        assert (summary.run["lookups"], progress.total) == (40, 40)
        assert len(server.requests) <= 40 + 2 * SAMPLE


@pytest.mark.parametrize("cut", [1, 4, 9, 10, 11, 13, 16, 19, 20, 21, 30])
@virtual_time
async def test_a_night_that_is_cut_off_while_it_tries_believes_none_of_it(tmp_path: Path, cut: int) -> None:
    """What was not found in the wrong place is not missing."""
    ledger, count = ledger_of(tmp_path, 40), 0

    async def serve(exchange: Exchange) -> None:
        nonlocal count
        count += 1
        if count == cut:
            run.cancel()
        await looks_in(exchange, "query", NOTHING["code"])

    async with FaultServer(then=serve) as server, client(server.url) as pandapon:
        work = functools.partial(
            reconcile, pandapon, ledger, tmp_path / "out", options=Options(concurrency=2)
        )
        run = asyncio.create_task(work())
        with pytest.raises(asyncio.CancelledError):
            await run
        summary = await work()
    assert summary.verdicts[Verdict.MATCHED] == 40


def lookups_of(path: Path) -> int:
    with contextlib.closing(RunStore.open(path)) as state:
        return state.looked_up()


@pytest.mark.parametrize("nothing", NOTHING)
@virtual_time
async def test_a_night_that_finds_nothing_stops_and_says_what_to_try(tmp_path: Path, nothing: str) -> None:
    ledger, out = ledger_of(tmp_path, 40), tmp_path / "out"
    async with vendor("nowhere", nothing) as server, client(server.url) as pandapon:
        for _ in range(2):  # the second run does not believe the first one's lookups either
            asked = len(server.requests)
            with pytest.raises(NothingFoundError, match="none of the 10 refunds looked up first"):
                await reconcile(pandapon, ledger, out, options=Options(concurrency=4))
            assert SAMPLE <= len(server.requests) - asked <= 2 * SAMPLE + 1
            assert not (out / "rows.csv").exists()
            assert await asyncio.to_thread(lookups_of, state_path(ledger, out)) == 0
        summary = await reconcile(pandapon, ledger, out, options=Options(concurrency=4, accept_missing=True))
    missing = nothing == "code"
    assert summary.verdicts[Verdict.MISSING_UPSTREAM if missing else Verdict.UNVERIFIED] == 40
    assert summary.exit_code == (1 if missing else 3)


@virtual_time
async def test_lookups_that_fail_for_another_reason_stop_nothing(tmp_path: Path) -> None:
    ledger = ledger_of(tmp_path, 3)
    async with FaultServer(then=faults.close_before_answer) as server, client(server.url) as pandapon:
        summary = await reconcile(pandapon, ledger, tmp_path / "out")
    assert summary.verdicts[Verdict.UNVERIFIED] == 3


def test_the_sample_is_spread_and_the_same_every_time() -> None:
    pending = [Pending(row, "1688" if row % 2 else "taobao", f"{row:06}") for row in range(1000)]
    chosen = samples(iter(pending), set())
    assert chosen == samples(iter(pending), set())
    assert {platform: len(rows) for platform, rows in chosen.items()} == {"1688": SAMPLE, "taobao": SAMPLE}
    rows = [row.row for row in chosen["1688"]]
    assert rows == sorted(rows)
    assert rows[-1] - rows[0] > 500
    assert set(samples(iter(pending), {"taobao"})) == {"1688"}
    assert len(samples(iter(pending[:5]), set())["1688"]) == 2
