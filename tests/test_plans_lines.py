"""One order line, one application: what holds a row back, and what lets it go."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import plans
from pandapon_async.plans import ApplyOptions, ApplyResult, PlanOptions, PlanSummary, RowState
from tests.support import plan_files
from tests.support.bench import Bench, bench
from tests.support.virtual import virtual_time


async def corrected(made: Bench, **options: Any) -> PlanSummary:
    """The same application with another amount, planned anew."""
    rows = [{**row, "apply_payment_fen": "450"} for row in plan_files.refund_rows(1)]
    table = plan_files.write_table(made.folder / "corrected.csv", rows)
    async with made.client() as client:
        return await plans.create(
            client, "refunds", table, made.folder / "corrected.db", options=PlanOptions(**options)
        )


async def apply(made: Bench, **options: Any) -> ApplyResult:
    async with made.client() as client:
        return await plans.apply(client, made.folder / "corrected.db", options=ApplyOptions(**options))


@virtual_time
async def _open_intent(folder: Path, allow: bool) -> None:
    async with bench(folder, "refunds", rows=1) as made:
        plan_files.misbehave(made.server, "lands_late:1.0:endpoint=*.create:delay=30")
        await made.apply(wait=False)
        plan_files.misbehave(made.server, "")
        summary = await corrected(made, offline=True, allow_second=allow)
        if allow:
            assert summary.states[RowState.PLANNED] == 1
            await apply(made, allow_second=True, wait=False)
            assert len(made.succeeded) == 1, "the operator said so; the first lands later"
            return
        assert summary.states[RowState.HELD] == 1
        (note,) = summary.notes
        assert "an application of 5.00 yuan for this order line, written 2023-11-14" in note.reason
        assert "(intent " in note.reason
        assert "--allow-second" in note.reason
        held = await apply(made, wait=False)
        assert (held.exit_code, held.states[RowState.HELD]) == (1, 1)
        assert not made.succeeded, "the first one has not landed yet"
        await made.apply()
        assert made.states == {"settled_done": 1}
        held = await apply(made)
        assert held.states[RowState.HELD] == 1
        assert "status is waitselleragree" in (held.problems[0].reason or "")
        assert list(made.succeeded.values()) == [1]


@pytest.mark.parametrize("allow", [False, True])
def test_an_open_application_holds_back_a_corrected_one(tmp_path: Path, allow: bool) -> None:
    _open_intent(tmp_path, allow)


@virtual_time
async def _earlier_form(folder: Path, status: str, state: str) -> None:
    async with bench(folder, "refunds", rows=1) as made:
        await made.apply()
        _stands_at(made, status)
        await corrected(made, offline=True)
        result = await apply(made)
        rows = plan_files.rows_of(made.folder / "corrected.db")
        assert rows[0]["state"] == state, rows[0]["reason"]
        if state == "confirmed":
            assert "was closed or refused" in plan_files.note_of(rows[0])
        else:
            shown = "unknown" if status == "brand new" else status
            assert f"status is {shown}" in rows[0]["reason"]
        assert result.done == (state == "confirmed")


def _stands_at(made: Bench, status: str) -> None:
    """Every form stands there, by itself and in its order."""
    handlers = made.server._pipeline.handlers

    def shown(*args: Any) -> Any:
        return {**handlers["alibaba.refunds.get"](*args), "status": status}

    def ordered(*args: Any) -> Any:
        order = handlers["alibaba.orders.get"](*args)
        return {**order, "productItems": [{**line, "refundStatus": status} for line in order["productItems"]]}

    made.server._pipeline.handlers = {
        **handlers,
        "alibaba.refunds.get": shown,
        "alibaba.orders.get": ordered,
    }


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("refundclose", "confirmed"),
        ("waitbuyermodify", "confirmed"),
        ("refundsuccess", "held"),
        ("waitbuyersend", "held"),
        ("brand new", "held"),
    ],
)
def test_an_earlier_form_is_looked_up_by_its_id(tmp_path: Path, status: str, state: str) -> None:
    _earlier_form(tmp_path, status, state)


async def test_an_earlier_form_of_which_the_journal_lacks_the_id_holds_back(tmp_path: Path) -> None:
    """An operator saw it in the console, and did not say which it is."""
    async with bench(tmp_path, "refunds", rows=1) as made:
        handlers = made.server._pipeline.handlers

        def bare(*args: Any) -> Any:
            order = handlers["alibaba.orders.get"](*args)
            hidden = ("refundId", "refundIdForAs", "refundStatus")
            lines = [{k: v for k, v in line.items() if k not in hidden} for line in order["productItems"]]
            return {**order, "productItems": lines}

        made.server._pipeline.handlers = {**handlers, "alibaba.orders.get": bare}
        plan_files.misbehave(made.server, "reset_after:1.0:endpoint=*.create:times=1")
        await made.apply(wait=False)
        assert made.states == {"unknown": 1}
        async with made.client() as client:
            (intent,) = await client.journal.find()
            await client.settle(intent.id, done=True, note="seen in the console")
        await corrected(made, offline=True)
        result = await apply(made)
        assert result.states[RowState.HELD] == 1
        reason = result.problems[0].reason or ""
        assert "opened the form that the journal lacks; use --allow-second to send another one" in reason
        assert list(made.succeeded.values()) == [1]


async def test_an_earlier_form_that_cannot_be_read_holds_back(tmp_path: Path) -> None:
    async with bench(tmp_path, "refunds", rows=1) as made:
        await made.apply()
        await corrected(made, offline=True)
        plan_files.misbehave(made.server, "error_500:1.0:endpoint=*.refunds.get")
        result = await apply(made)
        assert result.states[RowState.HELD] == 1
        assert "could not be read (api); apply again" in (result.problems[0].reason or "")
        assert list(made.succeeded.values()) == [1]


async def test_of_two_rows_about_one_line_the_second_is_held_back(tmp_path: Path) -> None:
    async with bench(tmp_path, "refunds", rows=1) as made:
        rows = [{**plan_files.refund_rows(1)[0], "apply_payment_fen": str(fen)} for fen in (500, 450, 400)]
        table = plan_files.write_table(tmp_path / "corrected.csv", rows)
        async with made.client() as client:
            await plans.create(client, "refunds", table, tmp_path / "corrected.db")
        result = await apply(made)
        assert (result.states[RowState.CONFIRMED], result.states[RowState.HELD]) == (1, 2)
        assert list(made.succeeded.values()) == [1]


async def test_the_vendors_open_form_holds_back_until_it_is_closed(tmp_path: Path) -> None:
    """Nobody here knows of it: it was opened in the vendor's console."""
    async with bench(tmp_path, "refunds", rows=1) as made:
        handlers = made.server._pipeline.handlers
        status = "WAIT_SELLER_AGREE"

        def shown(*args: Any) -> Any:
            order = handlers["alibaba.orders.get"](*args)
            return {
                **order,
                "productItems": [{**line, "refundStatus": status} for line in order["productItems"]],
            }

        made.server._pipeline.handlers = {**handlers, "alibaba.orders.get": shown}
        assert (await corrected(made)).states[RowState.HELD] == 1
        assert (await apply(made)).states[RowState.HELD] == 1
        status = "refundclose"
        assert (await apply(made)).states[RowState.CONFIRMED] == 1
        await asyncio.sleep(0)
        assert list(made.succeeded.values()) == [1]
