"""What was pushed is looked up first; what was not is used again, while somebody was there to hear it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async.callbacks import Receiver, dispatch, push_log, uptime
from pandapon_async.callbacks.push_log import Pushed
from pandapon_async.reconcile import LedgerRow, Options, Summary
from pandapon_async.reconcile.lookup_store import LookupStore
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.callbacks import message_frame, refund_body, signature_of
from tests.support.examples import examples
from tests.support.virtual import virtual_time
from tests.test_reconcile_job import FreshClock, read_rows, refunds_asked, sandbox, write_ledger
from tests.test_reconcile_reuse import SCOPE, finals, lookup, night, options, plain, sources, unlike

ROWS = examples(100, 200)


@pytest.fixture(autouse=True)
def _days_pass_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """A day has 86,400 looks for messages and 2,880 heartbeats."""
    monkeypatch.setattr(dispatch, "POLL", 3600.0)
    monkeypatch.setattr(uptime, "HEARTBEAT", 600.0)
    monkeypatch.setattr(uptime, "LATE", 1800.0)
    monkeypatch.setattr(push_log, "LATE", 1800.0)


def heard(tmp_path: Path, **changes: Any) -> Options:
    given = {"callbacks": tmp_path / "callbacks.sqlite", "reuse": timedelta(hours=36), "reuse_final": None}
    return options(**{**given, "lookups": tmp_path / "lookups.sqlite", **changes})


async def push(receiver: Receiver, server: Sandbox, numbers: Iterable[int]) -> list[str]:
    """Let the vendor say what these refunds are now; gives their ids."""
    ids = []
    for number in numbers:
        refund = server.refund(number)
        now = FreshClock().wall()
        message_type, body = refund_body(
            refund.platform, refund_id=refund.refund_id, order_id=refund.order_id, status=refund.status,
            time_sent=now,
        )  # fmt: skip
        raw = message_frame(refund.platform, message_type, body, round(now * 1000))
        assert (await receiver.receive(raw, signature_of(server.credentials, raw))).status == 200
        ids.append(refund.refund_id)
    return ids


@contextlib.asynccontextmanager
async def receiving(tmp_path: Path, server: Sandbox) -> AsyncIterator[Receiver]:
    """A receiver that hears of both platforms now and then."""
    path = tmp_path / "callbacks.sqlite"
    async with Receiver(server.credentials, store=path, clock=FreshClock()) as receiver:
        yield receiver


def waiting(server: Sandbox, platform: str) -> list[int]:
    """The numbers of open refunds whose ledger row is right."""
    truth = list(server.truth())
    return [
        number
        for number in range(ROWS)
        if server.refund(number).platform == platform
        and truth[number] == "matched"
        and server.refund(number).open
        and server.refund(number).deadline_ms
    ]


MOVES = {"waitselleragree": "refundclose", "waitbuyermodify": "refundclose", "waitbuyersend": "refundclose"}
MOVES |= {"waitsellerreceive": "refundclose"}


def move(server: Sandbox, number: int) -> None:
    status = server.refund(number).status
    server.advance(number, MOVES.get(str(status), -20 if status != -10 else 10))


async def quiet_day(tmp_path: Path, server: Sandbox, ledger: Path, receiver: Receiver) -> None:
    await asyncio.sleep(60)
    await push(receiver, server, [finals(server, "taobao")[0], finals(server, "1688")[0]])
    await asyncio.sleep(600)
    await night(server, ledger, tmp_path / "out", heard(tmp_path))


@virtual_time
async def test_silence_saves_the_lookups_of_open_refunds_and_a_push_comes_first(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with sandbox(ROWS) as server, receiving(tmp_path, server) as receiver:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        ids = [row["refund_id"] for row in server.ledger_rows()]
        await quiet_day(tmp_path, server, ledger, receiver)
        changed = [*waiting(server, "taobao")[:4], *waiting(server, "1688")[:4]]
        for number in changed:
            move(server, number)
        reopened = finals(server, "1688")[-1]
        server.reopen(reopened, unlike(server, reopened))
        pushed = await push(receiver, server, [*changed, reopened])
        seen = len(server.log)
        given = heard(tmp_path, recheck=0.001)
        summary = await night(server, ledger, out, given, concurrency=1)
        asked = refunds_asked(server, ids, seen)
        expected = await night(server, ledger, tmp_path / "plain", plain())
    assert summary.rows_digest == expected.rows_digest
    assert set(asked[: len(pushed)]) == set(pushed), "what was pushed comes first"
    assert summary.run["reuse"]["pushed"] == len(pushed)
    assert summary.run["reuse"]["ended"] == [], "a change that was pushed is no reason to mistrust the others"
    saved = summary.run["calls_saved"]
    assert saved["push"] == sources(out)["reused"] > ROWS * 0.6
    assert (saved["reuse"], saved["push"] + len(asked)) == (0, expected.run["calls"])
    overdue = [row for row in read_rows(out) if row["verdict"] == "timed_out"]
    assert overdue
    assert {row["source"] for row in overdue} == {"single"}, "a deadline may pass without a push"


async def both(tmp_path: Path, server: Sandbox, ledger: Path, **changes: Any) -> Summary:
    return await night(
        server, ledger, tmp_path / "out", heard(tmp_path, reuse_final=timedelta(days=30), **changes)
    )


@virtual_time
async def test_final_and_silent_together_leave_next_to_nothing(tmp_path: Path) -> None:
    async with sandbox(ROWS) as server, receiving(tmp_path, server) as receiver:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await quiet_day(tmp_path, server, ledger, receiver)
        summary = await both(tmp_path, server, ledger)
        expected = await night(server, ledger, tmp_path / "plain", plain())
    assert summary.rows_digest == expected.rows_digest
    assert summary.run["calls_saved"]["reuse"] > ROWS * 0.45
    assert summary.run["calls_saved"]["push"] > ROWS / 4
    assert summary.run["calls"] < expected.run["calls"] / 10


@pytest.mark.parametrize("how", ["closed now", "closed meanwhile", "nothing heard", "unclear", "refused"])
@virtual_time
async def test_silence_counts_only_while_somebody_was_there(tmp_path: Path, how: str) -> None:
    async with sandbox(ROWS) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with receiving(tmp_path, server) as receiver:
            if how == "nothing heard":
                await asyncio.sleep(60)
                await night(server, ledger, tmp_path / "out", heard(tmp_path))
            else:
                await quiet_day(tmp_path, server, ledger, receiver)
            raw = message_frame("taobao", "TAOBAO_REFUND", {"x": how}, round(FreshClock().wall() * 1000))
            if how in ("unclear", "refused"):
                await receiver.receive(
                    raw, signature_of(server.credentials, raw) if how == "unclear" else "0" * 64
                )
                await asyncio.sleep(60)
            if how not in ("closed now", "closed meanwhile"):
                summary = await night(server, ledger, tmp_path / "out", heard(tmp_path))
        if how == "closed now":
            await asyncio.sleep(3600)
            summary = await night(server, ledger, tmp_path / "out", heard(tmp_path))
        if how == "closed meanwhile":
            await asyncio.sleep(3600)
            async with receiving(tmp_path, server) as receiver:
                await asyncio.sleep(60)
                summary = await night(server, ledger, tmp_path / "out", heard(tmp_path))
        expected = await night(server, ledger, tmp_path / "plain", plain())
    assert summary.run["calls_saved"]["push"] == 0
    assert summary.run["lookups"] == expected.run["lookups"]
    assert summary.rows_digest == expected.rows_digest


@virtual_time
async def test_a_change_of_which_nothing_was_pushed_ends_reuse_when_the_sample_finds_it(
    tmp_path: Path,
) -> None:
    async with sandbox(ROWS) as server, receiving(tmp_path, server) as receiver:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await quiet_day(tmp_path, server, ledger, receiver)
        for number in waiting(server, "taobao"):
            move(server, number)
        summary = await night(server, ledger, tmp_path / "out", heard(tmp_path, recheck=20))
        expected = await night(server, ledger, tmp_path / "plain", plain())
    assert summary.run["reuse"]["ended"] == ["taobao"]
    assert summary.run["calls_saved"]["push"] > ROWS / 4, "1688 goes on"
    assert summary.rows_digest == expected.rows_digest


@virtual_time
async def test_a_refund_that_changes_during_the_run_is_no_reason_if_it_is_pushed(tmp_path: Path) -> None:
    """Every refund is looked up all the same; while that goes on, some change, and their pushes come."""
    async with sandbox(ROWS) as server, receiving(tmp_path, server) as receiver:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await quiet_day(tmp_path, server, ledger, receiver)

        async def meanwhile() -> None:
            await asyncio.sleep(1)
            chosen = waiting(server, "taobao")
            for number in chosen:
                move(server, number)
            await push(receiver, server, chosen)

        task = asyncio.create_task(meanwhile())
        given = heard(tmp_path, recheck=100)
        summary = await night(server, ledger, tmp_path / "out", given, rate=20)
        await task
    assert summary.run["reuse"]["rechecked"] > ROWS / 2
    assert summary.run["reuse"]["changed"] == []


@pytest.mark.nightly
@virtual_time
async def test_a_push_counts_though_many_nights_are_incomplete(tmp_path: Path) -> None:
    """A final refund changes and is pushed; no night is complete until the message has been deleted."""
    out = tmp_path / "out"
    async with sandbox(ROWS) as server, receiving(tmp_path, server) as receiver:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await quiet_day(tmp_path, server, ledger, receiver)
        number = finals(server, "taobao")[3]
        server.reopen(number, unlike(server, number))
        (refund_id,) = await push(receiver, server, [number])
        await asyncio.sleep(60)
        stop = attrs.evolve(heard(tmp_path), reuse_final=timedelta(days=30), recheck=0.001)
        for _ in range(9):
            at = datetime.fromtimestamp(FreshClock().wall() + 1, UTC)
            assert (await night(server, ledger, out, attrs.evolve(stop, stop_at=at))).exit_code == 3
        receiver._dispatcher._forget_at = 0.0
        await asyncio.sleep(3700)
        assert refund_id not in {one.refund_id for one in await receiver.find()}
        await both(tmp_path, server, ledger, recheck=0.001)
    (row,) = (row for row in read_rows(out) if row["refund_id"] == refund_id)
    assert (row["source"], row["verdict"]) == ("single", "status_drift")


FORMS = [
    ({"refund_id": "TQ5"}, {"TQ5"}),
    ({"refund_id": "5"}, {"TQ5"}),
    ({"refund_id": "TD5"}, {"TQ5"}),
    ({"refund_id": "6", "platform": "taobao"}, set[str]()),
    ({"refund_id": None, "order_id": "90"}, {"TQ5", "TQ7"}),
    ({"refund_id": None, "order_id": "91"}, {"TQ6", "TQ7"}),
]


@pytest.mark.parametrize(("facts", "expected"), FORMS)
def test_a_message_is_about_a_refund_in_any_spelling_or_about_those_of_its_order(
    tmp_path: Path, facts: dict[str, Any], expected: set[str]
) -> None:
    """TQ5 and TQ6 are of orders 90 and 91; of TQ7 the ledger names no order, so it may be of any."""
    with contextlib.closing(LookupStore.open(tmp_path / "lookups.sqlite")) as store:
        rows = [
            (LedgerRow(row=n, platform="1688", refund_id=f"TQ{n}", order_id=order), _at("2024-01-01T00:00"))
            for n, order in ((5, "90"), (6, "91"), (7, None))
        ]
        store.remember(rows, lambda _: SCOPE.digest, "", lambda: None)
        message = Pushed(
            **{"platform": "1688", "refund_id": None, "order_id": None, "received": 0.0, **facts}
        )
        store.mark_pushed("x", [(message, "2023-12-31T00:00:00.000+00:00")], 7.0)
        assert not [n for n in (5, 6, 7) if _pushed(store, n)], "a push before the lookup says nothing of it"
        store.mark_pushed("x", [(message, "2024-01-02T00:00:00.000+00:00")], 9.0)
        assert {f"TQ{n}" for n in (5, 6, 7) if _pushed(store, n)} == expected
        assert store.read_until("x") == 9.0
        store.remember(rows, lambda _: SCOPE.digest, "", lambda: None)
        assert store.read_until("x") == 9.0 or store.read_until("x") > 1e9


def _at(moment: str) -> Any:
    return lookup(looked_up_at=f"{moment}:00.000+00:00")


def _pushed(store: LookupStore, number: int) -> bool:
    known = store.find("scope", "1688", f"TQ{number}")
    return known is not None and known.pushed


def test_a_lookup_that_is_kept_late_is_compared_with_pushes_that_were_read_before(tmp_path: Path) -> None:
    """Two runs overlap: one reads a push, the other then keeps a lookup of before that push."""
    with contextlib.closing(LookupStore.open(tmp_path / "lookups.sqlite")) as store:
        store.mark_pushed("x", [], 1_704_100_000.0)
        row = LedgerRow(row=2, platform="1688", refund_id="TQ5")
        store.remember([(row, _at("2024-01-01T00:00"))], lambda _: SCOPE.digest, "", lambda: None)
        assert store.read_until("x") == 1_704_067_200.0
        assert store.read_until("y") == 0.0
