"""The most important refunds are looked up first, and a run that has to be over by a time is over by then."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from pathlib import Path

import pytest
import typer

from pandapon_async import InvalidArgumentError
from pandapon_async.cli.reconcile_options import stop_time
from pandapon_async.reconcile import Options, Verdict, reconcile
from pandapon_async.reconcile.looking_up import seconds_to_write
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, Outcome
from pandapon_async.sandbox import Sandbox
from tests.support.virtual import virtual_time
from tests.test_reconcile_job import (
    AS_OF,
    client,
    read_rows,
    refunds_asked,
    sandbox,
    write_ledger,
)

ROWS = 300


def money(server: Sandbox) -> dict[str, int]:
    """What each refund of the ledger comes to there, as far as it is looked up."""
    amounts: dict[str, int] = {}
    for row in server.ledger_rows():
        if row["amount_fen"].isdecimal():
            amounts.setdefault(row["refund_id"], int(row["amount_fen"]))
    return amounts


@virtual_time
async def test_the_most_money_is_looked_up_first_and_the_files_keep_the_order_of_the_ledger(
    tmp_path: Path,
) -> None:
    async with sandbox(ROWS) as server:
        ledger, amounts = write_ledger(tmp_path / "ledger.csv", server), money(server)
        async with client(server, concurrency=1) as pandapon:
            await reconcile(pandapon, ledger, tmp_path / "out", options=Options(accept_missing=True))
        asked = refunds_asked(server, amounts)
    assert len(asked) > 250
    assert [amounts[one] for one in asked] == sorted((amounts[one] for one in asked), reverse=True)
    assert [row["row"] for row in read_rows(tmp_path / "out")] == [str(row) for row in range(2, ROWS + 2)]


@virtual_time
async def test_a_deadline_that_an_earlier_run_saw_comes_before_money(tmp_path: Path) -> None:
    options = Options(accept_missing=True, as_of=AS_OF)
    async with sandbox(ROWS) as server:
        ledger, amounts = write_ledger(tmp_path / "ledger.csv", server), money(server)
        async with client(server, concurrency=1) as pandapon:
            first = await reconcile(pandapon, ledger, tmp_path / "out", options=options)
            seen = len(server.log)
            await reconcile(pandapon, ledger, tmp_path / "out", options=options)
        asked = refunds_asked(server, amounts, seen)
    overdue = {
        one.row.refund_id
        for one in first.results()
        if one.judgement.past_deadline and one.judgement.verdict is not Verdict.DUPLICATE_LOCAL
    }
    assert 2 <= len(overdue) < 50
    assert set(asked[: len(overdue)]) == overdue
    rest = [amounts[one] for one in asked[len(overdue) :]]
    assert rest == sorted(rest, reverse=True)


def test_the_order_is_there_for_each_account_and_for_what_failed(tmp_path: Path) -> None:
    state = RunStore.open(tmp_path / "state.sqlite")
    amounts = [5, -90, 40, 40, None, 7]
    state.add_rows(
        LedgerRow(row=row, platform="1688", refund_id=f"TQ{row}", amount_fen=fen, account="ab"[row % 2])
        for row, fen in enumerate(amounts, start=2)
    )
    assert [one.row for one in state.pending()] == [3, 4, 5, 7, 2, 6]
    assert [one.row for one in state.pending("a")] == [4, 2, 6]
    soon, late = "2024-06-02T00:00:00+08:00", "2024-06-09T00:00:00+08:00"
    for row, deadline, status in (
        (2, soon, "waitbuyersend"),
        (6, late, "waitbuyersend"),
        (7, soon, "refundclose"),
    ):
        found = Lookup(outcome=Outcome.FOUND, status=status, deadline=deadline)
        state.record(row, found)
    state.keep_deadlines()
    state.forget_all_lookups()
    state.arrange("2024-06-03T00:00:00+08:00")
    assert [one.row for one in state.pending()] == [2, 3, 4, 5, 7, 6], "a final refund has no deadline"
    for row in (4, 6, 3):
        state.record(row, Lookup(outcome=Outcome.FAILED, retryable=True))
    assert [one.row for one in state.failed_in_passing()] == [3, 4, 6]
    state.add_rows([LedgerRow(row=8, platform="1688", refund_id="TQ8", amount_fen=99)])
    assert [one.row for one in itertools.islice(state.pending(), 2)] == [8, 5], "another row joins the order"
    state.forget_rows()
    state.add_rows([LedgerRow(row=2, platform="1688", refund_id="TQ9", amount_fen=1)])
    assert [(one.row, one.refund_id) for one in state.pending()] == [(2, "TQ9")]
    state.close()


@virtual_time
async def test_a_run_is_over_in_time_and_the_next_one_does_the_rest(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with sandbox(ROWS) as server:
        ledger, amounts = write_ledger(tmp_path / "ledger.csv", server), money(server)
        async with client(server, rate=10) as pandapon:
            clock = pandapon.settings.clock
            expected = await reconcile(pandapon, ledger, tmp_path / "plain", options=Options(as_of=AS_OF))
            stop = datetime.fromtimestamp(clock.wall() + 20, UTC)
            seen = len(server.log)
            options = Options(as_of=AS_OF, stop_at=stop, accept_missing=True)
            stopped = await reconcile(pandapon, ledger, out, options=options)
            assert clock.wall() <= stop.timestamp() - 5
            asked = refunds_asked(server, amounts, seen)
            later = await reconcile(pandapon, ledger, out)
    assert stopped.exit_code == 3
    left = stopped.run["stopped"]
    assert stopped.totals.unverified == {"not looked up": left["left"]}
    assert left["left"] + stopped.run["lookups"] == expected.run["lookups"]
    unverified = [row for row in read_rows(tmp_path / "out") if row["verdict"] == "unverified"]
    assert unverified == [], "the second run looked up the rest"
    assert 130 <= len(asked) <= 160, "the quota was used until then"
    rest = sorted((fen for one, fen in amounts.items() if one not in asked), reverse=True)
    assert min(amounts[one] for one in asked) >= rest[0]
    assert (later.run["lookups_before"], later.rows_digest) == (stopped.run["lookups"], expected.rows_digest)
    assert "stopped" not in later.run


@virtual_time
async def test_a_time_that_is_too_near_looks_nothing_up_and_says_what_is_left(tmp_path: Path) -> None:
    async with sandbox(60) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server) as pandapon:
            stop = datetime.fromtimestamp(pandapon.settings.clock.wall() + seconds_to_write(60) / 2, UTC)
            summary = await reconcile(pandapon, ledger, tmp_path / "out", options=Options(stop_at=stop))
        assert not server.log
    stake = summary.run["stopped"]
    assert (summary.exit_code, stake["left"]) == (3, summary.verdicts[Verdict.UNVERIFIED])
    by_currency = {
        name: part[Verdict.UNVERIFIED].ledger_fen
        for name, part in summary.totals.by_currency()
        if Verdict.UNVERIFIED in part
    }
    assert stake["ledger_fen"] == by_currency


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("06:00", "2024-06-01T06:00:00+08:00"),
        ("05:00", "2024-06-02T05:00:00+08:00"),
        ("05:30", "2024-06-02T05:30:00+08:00"),
        ("22:00+00:00", "2024-05-31T22:00:00+00:00"),
        ("21:00+00:00", "2024-06-01T21:00:00+00:00"),
        ("2024-06-03T01:00", "2024-06-03T01:00:00+08:00"),
    ],
)
def test_a_time_of_day_is_the_next_one_in_beijing_unless_zoned(text: str, expected: str) -> None:
    now = moment("2024-06-01T05:30:00+08:00").timestamp()
    assert stop_time(text, now) == moment(expected)


@pytest.mark.parametrize("text", ["6", "noon", "25:00", "2024-05-01T00:00"])
def test_what_is_no_time_to_come_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write 06:00"):
        stop_time(text, moment("2024-06-01T05:30:00+08:00").timestamp())
    with pytest.raises(InvalidArgumentError, match="stop_at needs a time zone"):
        Options(stop_at=datetime(2024, 6, 1))
