"""Freight on top of a refund's amount, or part of it: nothing rests on a reading that nobody has told."""

from __future__ import annotations

import contextlib
import csv
import json
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import ApiError, ConfigurationError, plans
from pandapon_async.core.freight import FREIGHT_READINGS, FreightReading, total_fen, totals_fen
from pandapon_async.core.model import BEIJING
from pandapon_async.plans import ApplyOptions, PlanOptions, RowState
from pandapon_async.plans.limits import check_limits
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.reconcile import Options, Verdict, judge, reconcile
from pandapon_async.reconcile.options import AmountBasis
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, Outcome, VerdictRule
from tests.support import plan_files
from tests.support.clients import client
from tests.support.virtual import virtual_time
from tests.test_plans_checks import ORDER, REASONS, REFUND, checked, outcome
from tests.test_reconcile_job import client as of_sandbox
from tests.test_reconcile_job import sandbox

AS_OF = datetime(2024, 5, 31, 12, tzinfo=BEIJING)
FEN = st.integers(0, 10**6)


@given(FEN, st.none() | FEN, st.sampled_from(FREIGHT_READINGS))
def test_the_totals(amount: int, freight: int | None, reading: FreightReading) -> None:
    totals = totals_fen(amount, freight, reading)
    assert set(totals.values()) <= {amount, amount + (freight or 0)}
    assert len(totals) == (2 if reading == "ask" and freight else 1)
    assert total_fen(amount, freight, reading) == max(totals.values())
    assert total_fen(amount, freight, "included") == amount


def judged(amount: int, reading: FreightReading, **facts: Any) -> tuple[str, str, str | None]:
    row = LedgerRow(row=2, platform="1688", refund_id="TQ1", amount_fen=amount, currency="CNY")
    lookup = Lookup(outcome=Outcome.FOUND, status="waitselleragree", currency="CNY", **facts)
    found = judge(row, lookup, VerdictRule(as_of=AS_OF, freight=reading, tolerance_fen=1))
    return str(found.verdict), found.reason, found.equal_if


APPLIED: dict[str, Any] = {"applied_fen": 1230, "applied_freight_fen": 200}


@pytest.mark.parametrize(
    ("amount", "reading", "facts", "verdict", "reason", "equal_if"),
    [
        (1430, "ask", APPLIED, "amount_mismatch", "equal if freight is added", "added"),
        (1230, "ask", APPLIED, "amount_mismatch", "equal if freight is included", "included"),
        (1231, "ask", APPLIED, "amount_mismatch", "equal if freight is included", "included"),
        (
            1300, "ask", APPLIED, "amount_mismatch",
            "upstream differs by -70 fen or +130 fen with freight added", None,
        ),
        (1430, "added", APPLIED, "matched", "", None),
        (1230, "added", APPLIED, "amount_mismatch", "upstream differs by +200 fen", None),
        (1230, "included", APPLIED, "matched", "", None),
        (1430, "included", APPLIED, "amount_mismatch", "upstream differs by -200 fen", None),
        (1230, "ask", {"applied_fen": 1230, "applied_freight_fen": 1}, "matched", "", None),  # within 1 fen
        (1230, "ask", {"applied_fen": 1230, "applied_freight_fen": 0}, "matched", "", None),
        (1230, "ask", {"applied_fen": 1230}, "matched", "", None),
        (1230, "ask", {"applied_freight_fen": 200}, "amount_mismatch", "the platform named no amount", None),
    ],
)  # fmt: skip
def test_where_both_readings_agree_a_row_is_judged(
    amount: int, reading: FreightReading, facts: Any, verdict: str, reason: str, equal_if: str | None
) -> None:
    assert judged(amount, reading, **facts) == (verdict, reason, equal_if)


def test_of_a_refund_that_succeeded_the_freight_that_was_paid_back_counts() -> None:
    row = LedgerRow(row=2, platform="1688", refund_id="TQ1", amount_fen=1100, currency="CNY")
    lookup = Lookup(
        outcome=Outcome.FOUND, status="refundsuccess", currency="CNY", **APPLIED, refunded_fen=1000,
        refunded_freight_fen=100,
    )  # fmt: skip
    for basis, verdict in ((AmountBasis.ACTUAL, "matched"), (AmountBasis.APPLIED, "amount_mismatch")):
        rule = VerdictRule(as_of=AS_OF, freight="added", basis=basis)
        assert judge(row, lookup, rule).verdict == verdict


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "rows.csv").open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("played", ["added", "included"])
def test_a_night_counts_what_hangs_on_freight_and_the_option_settles_it(
    tmp_path: Path, played: Literal["added", "included"]
) -> None:
    @virtual_time
    async def check() -> None:
        async with sandbox(120, freight=played) as server:
            ledger = tmp_path / "ledger.csv"
            plan_files.write_table(ledger, list(server.ledger_rows()))
            async with of_sandbox(server) as pandapon:
                asked = await reconcile(pandapon, ledger, tmp_path / "ask")
                told = pandapon.with_settings(freight=played)
                settled = await reconcile(told, ledger, tmp_path / "told")
            truth = list(server.truth())
        assert [row["verdict"] for row in rows_of(tmp_path / "told")] == truth
        assert (settled.totals.freight, settled.freight_advice) == ({}, [])
        hanging = asked.totals.freight[played]
        assert hanging > 20
        assert asked.totals.freight == {played: hanging}
        advice = f"{hanging} rows are equal if freight is {played}; to set it, use --freight {played}"
        assert asked.freight_advice == [advice]
        assert json.loads((tmp_path / "ask" / "summary.json").read_text())["equal_if_freight_is"] == {
            played: hanging
        }
        doubted = sum(f"equal if freight is {played}" in row["reason"] for row in rows_of(tmp_path / "ask"))
        assert doubted == hanging

    check()


@pytest.mark.parametrize("sign", ["", "-"])
def test_a_column_of_freight_is_added_to_the_amount(tmp_path: Path, sign: str) -> None:
    @virtual_time
    async def check() -> None:
        async with sandbox(40) as server:
            refunds = [refund for refund in map(server.refund, range(40)) if refund.platform == "1688"]
            rows = [
                {
                    "refund_id": one.refund_id,
                    "amount_yuan": f"{sign}{(one.amount - 30) / 100:.2f}",
                    "freight": f"{sign}0.30",
                }
                for one in refunds
            ]
            rows.append({"refund_id": "TQ1", "amount_yuan": "5.00", "freight": "much"})
            ledger = plan_files.write_table(tmp_path / "ledger.csv", rows)
            async with of_sandbox(server) as pandapon:
                options = Options(negative=bool(sign))
                summary = await reconcile(pandapon, ledger, tmp_path / "out", options=options)
        assert summary.verdicts[Verdict.AMOUNT_MISMATCH] == 0
        assert summary.verdicts[Verdict.UNREADABLE] == 1
        told = [note for note in summary.inferred if "freight" in note]
        assert told == ["column freight is added to the amount: it is the refund's freight"]

    check()


BOTH = "comes to 500 fen if freight is included, or 600 fen if freight is added"


@pytest.mark.parametrize("offline", [True, False])
def test_a_plan_refuses_freight_until_somebody_says_what_it_is(tmp_path: Path, offline: bool) -> None:
    @virtual_time
    async def check() -> None:
        await checked("refunds", tmp_path, [REFUND], freight="ask", offline=offline)

    check()
    row = outcome(tmp_path)
    assert (row["state"], row["column"]) == ("refused", "apply_carriage_fen")
    assert BOTH in row["reason"]
    assert row["amount_fen"] == 600  # the larger one
    assert "--freight added or --freight included" in row["reason"]


@pytest.mark.parametrize(
    ("reading", "changed", "amount", "said"),
    [
        ("included", {}, 500, None),
        ("included", {"apply_payment_fen": "800"}, 800, None),
        ("included", {"apply_payment_fen": "801"}, 801, "is 801 fen, but at most 800 can be refunded"),
        ("added", {}, 600, None),
        ("added", {"apply_payment_fen": "700"}, 800, None),
        ("added", {"apply_payment_fen": "701"}, 801, "is 701 fen of goods, but at most 700 can be refunded"),
        ("added", {"apply_payment_fen": "50"}, 150, None),
        ("added", {"apply_carriage_fen": "101"}, 601, "is 101 fen of freight, but only 100 were paid"),
        ("added", {"goods_status": "refundWaitSellerSend", "apply_payment_fen": "700"}, 800, None),
        (
            "added", {"goods_status": "refundWaitSellerSend", "apply_payment_fen": "699"}, 799,
            "unshipped goods are refunded in full: write 700 fen of goods",
        ),
    ],
)  # fmt: skip
def test_what_can_be_asked_for_under_each_reading(
    tmp_path: Path, reading: str, changed: dict[str, str], amount: int, said: str | None
) -> None:
    @virtual_time
    async def check() -> None:
        await checked("refunds", tmp_path, [{**REFUND, **changed}], REASONS, ORDER, freight=reading)

    check()
    row = outcome(tmp_path)
    assert (row["state"], row["reason"]) == ("planned" if said is None else "refused", said)
    assert row["amount_fen"] == amount


@virtual_time
async def test_caps_count_the_larger_reading_where_the_plan_does_not_know(tmp_path: Path) -> None:
    table = plan_files.write_table(tmp_path / "table.csv", [REFUND])
    async with client("http://127.0.0.1:1", freight="included") as pandapon:
        options = PlanOptions(offline=True)
        summary = await plans.create(pandapon, "refunds", table, tmp_path / "plan.db", options=options)
    assert summary.states[RowState.PLANNED] == 1
    check_limits(tmp_path / "plan.db", ApplyOptions(max_total=500))
    with contextlib.closing(PlanFile.open(tmp_path / "plan.db")) as file:
        file.set({"freight": None})  # as a plan of an earlier version
    check_limits(tmp_path / "plan.db", ApplyOptions(max_total=600, max_each=600))
    for options_of_apply in (ApplyOptions(max_total=599), ApplyOptions(max_each=599)):
        with pytest.raises(ConfigurationError, match="600 fen"):
            check_limits(tmp_path / "plan.db", options_of_apply)


@pytest.mark.parametrize(("played", "taken"), [("added", True), ("included", False)])
@virtual_time
async def test_the_sandbox_takes_more_freight_than_the_amount_only_where_it_is_added(
    played: Literal["added", "included"], taken: bool
) -> None:
    async with sandbox(4, freight=played) as server, of_sandbox(server) as pandapon:
        applied = pandapon.alibaba.refunds.create(
            order_id="1022505290408395575", order_entry_ids=["1022505290408395576"], dispute_request="refund",
            apply_payment=100, apply_carriage=101, apply_reason_id=20022, description="the seams are open",
            goods_status="aftersaleBuyerReceived",
        )  # fmt: skip
        if taken:
            assert (await applied).refund_id is not None
        else:
            with pytest.raises(ApiError, match="5011"):
                await applied
