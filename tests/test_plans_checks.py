"""What the vendor is asked about a row before it is sent, and what its answers mean for it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import AuthenticationError, Client, ConfigurationError, Settings, plans
from pandapon_async.plans import PlanSummary, RowState
from pandapon_async.plans.checks import _Shared
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.clients import client
from tests.support.server import Behaviour, FaultServer, answer, envelope, http, ok
from tests.support.virtual import settle, virtual_time

RETURN = {"refund_id": "TQ1", "logistics_company_no": "SF", "freight_bill": "SF1"}
REFUND = {
    "order_id": "100",
    "order_entry_ids": "11;12",
    "dispute_request": "refund",
    "apply_payment_fen": "500",
    "apply_carriage_fen": "100",
    "reason_id": "20022",
    "description": "the seams are open",
    "goods_status": "aftersaleBuyerReceived",
}
REASONS = [
    {"id": 20021, "name": "不想买了", "needVoucher": False, "noRefundCarriage": True},
    {"id": 20022, "name": "协商一致退款", "needVoucher": False, "noRefundCarriage": False},
    {"id": 20028, "name": "质量问题", "needVoucher": True, "noRefundCarriage": False},
    {"id": 20031, "name": "缺货", "needVoucher": None, "noRefundCarriage": None},
    {"id": 20032, "name": "缺货", "needVoucher": None, "noRefundCarriage": None},
]
ORDER: dict[str, Any] = {
    "baseInfo": {"id": 100, "totalAmount": "9.00", "shippingFee": "1.00"},
    "productItems": [
        {"subItemID": 11, "itemAmount": "3.00", "refund": 0},
        {"subItemID": 12, "itemAmount": "4.00"},
        {"subItemID": 13, "itemAmount": "1.00"},
    ],
}


async def checked(
    kind: str,
    folder: Path,
    rows: list[dict[str, Any]],
    *answers: Any,
    trials: int = 0,
    freight: str = "included",
    **options: Any,
) -> PlanSummary:
    """Plan these rows with a server that answers so, one after the other."""
    behaviours: list[Behaviour] = [one if callable(one) else ok(one) for one in answers]
    table = plan_files.write_table(folder / "table.csv", rows)
    async with FaultServer(*behaviours) as server, client(server.url, freight=freight) as pandapon:
        summary = await plans.create(
            pandapon, kind, table, folder / "plan.db", options=plans.PlanOptions(concurrency=1, **options)
        )
        assert len(server.requests) == len(answers) + trials
        return summary


def outcome(folder: Path) -> dict[str, Any]:
    return plan_files.rows_of(folder / "plan.db")[0]


@pytest.mark.parametrize(
    ("data", "state", "said"),
    [
        ({"status": "waitbuyersend", "applyPayment": 700}, "planned", None),
        ({"status": "WAIT_BUYER_SEND", "applyPayment": None}, "planned", "shows no amount"),
        ({"status": "waitselleragree", "applyPayment": 700}, "refused", "status is waitselleragree"),
        ({"status": "refundsuccess", "applyPayment": 700}, "refused", "status is refundsuccess"),
        ({"status": "waitsellerreceive", "freightBill": "sf1"}, "refused", "with the same waybill"),
        ({"status": "waitsellerreceive", "freightBill": "SF2"}, "refused", "status is waitsellerreceive"),
        ({"status": "brand new"}, "refused", "status is unknown"),
        (answer(http(envelope(None, code=404))), "refused", "the vendor does not know the refund form"),
        (answer(http(envelope(None, code=200))), "refused", "about this refund form is empty"),
        ({}, "refused", "has no state"),
        (answer(http(envelope(None, code=5002))), "refused", "refuses to show the refund form (code 5002)"),
    ],
)
async def test_a_return_is_for_a_form_that_waits_for_it(
    tmp_path: Path, data: Any, state: str, said: str | None
) -> None:
    nothing = said is not None and said.endswith(("is empty", "has no state"))
    await checked("returns", tmp_path, [RETURN], data, trials=int(nothing))  # of the other place of the id
    row = outcome(tmp_path)
    assert row["state"] == state
    if state == "refused":
        assert row["column"] == "refund_id"
        assert said in row["reason"]
    else:
        assert row["checked"] == 1
        assert (plan_files.note_of(row) or "").endswith(said or "")
        assert (row["amount_fen"], row["currency"]) == (data["applyPayment"], "CNY")


def lines(**changes: Any) -> dict[str, Any]:
    """The order with its first line changed."""
    first, *others = ORDER["productItems"]
    return {**ORDER, "productItems": [{**first, **changes}, *others]}


@pytest.mark.parametrize(
    ("changes", "order", "column", "said"),
    [
        ({}, ORDER, None, None),
        ({"apply_payment_fen": "800"}, ORDER, None, None),
        (
            {"apply_payment_fen": "801"},
            ORDER,
            "apply_payment_fen",
            "801 fen, but at most 800 can be refunded",
        ),
        ({"order_entry_ids": "13", "apply_payment_fen": "201"}, ORDER, "apply_payment_fen", "200 can be"),
        ({"apply_payment_fen": "700"}, lines(refund="2.00"), "apply_payment_fen", "600 can be refunded"),
        ({"apply_carriage_fen": "101"}, ORDER, "apply_carriage_fen", "but only 100 were paid"),
        ({"apply_payment_fen": "50"}, ORDER, "apply_carriage_fen", "is more than the whole amount"),
        ({"order_entry_ids": "11;14"}, ORDER, "order_entry_ids", "does not have this line"),
        ({}, answer(http(envelope(None, code=404))), "order_id", "the vendor does not know the order"),
        ({}, answer(http(envelope(None, code=5002))), "order_id", "refuses to show the order (code 5002)"),
        ({}, {"baseInfo": {"id": 100}}, None, "does not show what was paid"),
        ({}, {"productItems": []}, None, "does not show what was paid"),
        ({}, lines(itemAmount=None), None, "does not show what was paid"),
        ({}, lines(itemAmount="3.001"), None, "does not show what was paid"),
        ({}, {**ORDER, "baseInfo": None}, None, "does not show the freight"),
        ({"apply_payment_fen": "801"}, {**ORDER, "baseInfo": None}, "apply_payment_fen", "can be refunded"),
        ({}, lines(refundStatus="refundclose"), None, None),
    ],
)
async def test_an_application_asks_for_no_more_than_was_paid(
    tmp_path: Path, changes: dict[str, str], order: Any, column: str | None, said: str | None
) -> None:
    await checked("refunds", tmp_path, [{**REFUND, **changes}], REASONS, order)
    row = outcome(tmp_path)
    assert (row["state"], row["column"]) == ("planned" if column is None else "refused", column)
    assert (row["reason"] or plan_files.note_of(row) or "").find(said or "") >= 0
    assert row["checked"] == (not (plan_files.note_of(row) or "").startswith("not checked"))


@pytest.mark.parametrize(
    ("status", "allow_second", "state"),
    [
        ("WAIT_SELLER_AGREE", False, "held"),
        ("waitsellerreceive", False, "held"),
        ("WAIT_SELLER_AGREE", True, "planned"),
        ("waitbuyermodify", False, "planned"),
        ("refundclose", False, "planned"),
    ],
)
async def test_an_application_waits_for_an_open_form_of_its_line(
    tmp_path: Path, status: str, allow_second: bool, state: str
) -> None:
    order = lines(refundStatus=status)
    summary = await checked("refunds", tmp_path, [REFUND], REASONS, order, allow_second=allow_second)
    row = outcome(tmp_path)
    assert row["state"] == state
    if state == "held":
        assert "open already" in row["reason"]
        assert "--allow-second" in row["reason"]
        assert [note.reason for note in summary.notes] == [row["reason"]]
        assert summary.sendable == 1, "it is sent once nothing holds it back"


@pytest.mark.parametrize(
    ("form", "state", "said"),
    [
        ({"refundId": "TQ7", "status": "waitselleragree"}, "held", "open already (TQ7, waitselleragree)"),
        ({"refundId": "TQ7", "status": "refundclose"}, "planned", None),
        ({"refundId": "TQ7", "status": "refundsuccess"}, "planned", None),
        (answer(http(envelope(None, code=404))), "planned", None),
        (
            answer(http(envelope(None, code=5002))),
            "refused",
            "refuses to show the refund form that the order",
        ),
    ],
)
@pytest.mark.parametrize("named", ["refundId", "refundIdForAs"])
async def test_a_form_that_an_order_only_names_is_read(
    tmp_path: Path, form: Any, state: str, said: str | None, named: str
) -> None:
    """A journal that was put back forgot it, and the order does not say how it stands."""
    order = lines(**{named: "TQ7", "refundStatus": None})
    await checked("refunds", tmp_path, [REFUND], REASONS, order, form)
    row = outcome(tmp_path)
    assert row["state"] == state
    assert (row["reason"] or "").find(said or "") >= 0


@pytest.mark.parametrize(
    ("payment", "entries", "state"),
    [
        ("700", "11;12", "planned"),
        ("800", "11;12", "planned"),
        ("750", "11;12", "refused"),
        ("300", "11", "planned"),
    ],
)
async def test_what_was_not_shipped_is_refunded_in_full(
    tmp_path: Path, payment: str, entries: str, state: str
) -> None:
    row = {**REFUND, "goods_status": "refundWaitSellerSend", "apply_payment_fen": payment}
    await checked("refunds", tmp_path, [{**row, "order_entry_ids": entries}], REASONS, ORDER)
    found = outcome(tmp_path)
    assert found["state"] == state
    assert state == "planned" or "refunded in full: write 700 fen, or 800 with freight" in found["reason"]


@pytest.mark.parametrize(
    ("changes", "column", "said"),
    [
        ({"reason_id": "20099"}, "reason_id", "is not offered for these goods; offered: 20021 不想买了, "),
        ({"reason_id": "20028"}, "vouchers", "needs at least one voucher"),
        ({"reason_id": "20028", "vouchers": "proof.jpg"}, None, None),
        ({"reason_id": "20021"}, "apply_carriage_fen", "refunds no freight"),
        ({"reason_id": "20021", "apply_carriage_fen": "0"}, None, None),
    ],
)
async def test_the_reason_says_what_goes_with_it(
    tmp_path: Path, changes: dict[str, str], column: str | None, said: str | None
) -> None:
    (tmp_path / "proof.jpg").write_bytes(plan_files.JPEG)
    answers = (REASONS, ORDER) if column is None else (REASONS,)
    await checked("refunds", tmp_path, [{"vouchers": "", **REFUND, **changes}], *answers)
    row = outcome(tmp_path)
    assert (row["state"], row["column"]) == ("planned" if column is None else "refused", column)
    assert said is None or said in row["reason"]


@pytest.mark.parametrize(
    ("vendor_message", "state", "reason_id"),
    [(" 协商一致退款 ", "planned", 20022), ("缺货", "refused", None), ("天气不好", "refused", None)],
)
async def test_a_reason_in_words_is_looked_up(
    tmp_path: Path, vendor_message: str, state: str, reason_id: int | None
) -> None:
    row = {name: value for name, value in REFUND.items() if name != "reason_id"} | {"reason": vendor_message}
    await checked("refunds", tmp_path, [row], *((REASONS, ORDER) if state == "planned" else (REASONS,)))
    found = outcome(tmp_path)
    assert (found["state"], found["column"]) == (state, None if state == "planned" else "reason")
    if reason_id is not None:
        assert f'"apply_reason_id":{reason_id}' in found["arguments"]
        assert f'"applyReasonId":{reason_id}' in found["key"]


async def test_rows_that_are_equal_once_the_reason_is_known_are_found(tmp_path: Path) -> None:
    row = {name: value for name, value in REFUND.items() if name != "reason_id"}
    rows = [{**row, "reason_id": "", "reason": "协商一致退款"}, {**row, "reason_id": "20022", "reason": ""}]
    summary = await checked("refunds", tmp_path, rows, REASONS, ORDER)
    assert (summary.states[RowState.PLANNED], summary.states[RowState.REFUSED]) == (1, 1)
    assert summary.refused[0].reason.startswith("the same as row ")


async def test_what_several_rows_need_is_asked_for_once(tmp_path: Path) -> None:
    rows = [{**REFUND, "apply_payment_fen": str(500 + number)} for number in range(5)]
    summary = await checked("refunds", tmp_path, rows, REASONS, ORDER)
    assert summary.states[RowState.PLANNED] == 5


async def test_a_plan_with_a_refused_key_leaves_nothing(tmp_path: Path) -> None:
    table = plan_files.write_table(tmp_path / "table.csv", [RETURN] * 3)
    refused = answer(http(envelope(None, code=401)))
    async with FaultServer(then=refused) as server, client(server.url) as pandapon:
        with pytest.raises(AuthenticationError):
            await plans.create(pandapon, "returns", table, tmp_path / "plan.db")
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_an_answer_that_does_not_come_leaves_the_row_unchecked(tmp_path: Path) -> None:
    @virtual_time
    async def check() -> None:
        broken = answer(http(b"<html>", "502 Bad Gateway"))
        await checked("returns", tmp_path, [RETURN], *[broken] * 5)

    check()
    row = outcome(tmp_path)
    assert (row["state"], row["checked"], row["amount_fen"]) == ("planned", 0, None)
    assert plan_files.note_of(row) == "not checked: the refund form could not be read (malformed_response)"


def test_no_answer_about_the_reasons_leaves_the_row_unchecked(tmp_path: Path) -> None:
    @virtual_time
    async def check() -> None:
        broken = answer(http(b"<html>", "502 Bad Gateway"))
        await checked("refunds", tmp_path, [REFUND], *[broken] * 5, ORDER)

    check()
    row = outcome(tmp_path)
    assert (row["state"], row["checked"]) == ("planned", 0)
    assert "the reasons could not be read" in plan_files.note_of(row)


def test_no_answer_about_a_reason_in_words_refuses_the_row(tmp_path: Path) -> None:
    @virtual_time
    async def check() -> None:
        row = {name: value for name, value in REFUND.items() if name != "reason_id"} | {"reason": "缺货"}
        broken = answer(http(b"<html>", "502 Bad Gateway"))
        await checked("refunds", tmp_path, [row], *[broken] * 5)

    check()
    assert (outcome(tmp_path)["state"], outcome(tmp_path)["column"]) == ("refused", "reason")


async def test_a_plan_uploads_nothing_and_changes_nothing(tmp_path: Path) -> None:
    images = plan_files.write_images(tmp_path, 2)
    async with Sandbox(refunds=1000, seed=3) as server:
        settings = Settings(base_url=server.base_url, rate=None)
        async with Client(server.credentials, settings) as pandapon:
            rows = plan_files.return_rows(plan_files.returnable(server, 20), images)
            table = plan_files.write_table(tmp_path / "returns.csv", rows)
            returns = await plans.create(pandapon, "returns", table, tmp_path / "returns.db")
            table = plan_files.write_table(tmp_path / "refunds.csv", plan_files.refund_rows(20, images))
            refunds = await plans.create(pandapon, "refunds", table, tmp_path / "refunds.db")
        assert list(server.effects) == []
        asked = {entry.endpoint for entry in server.log}
        expected = sum(server.find("1688", "waitbuyersend", skip).apply_payment for skip in range(20))
    assert asked == {"alibaba.refunds.get", "alibaba.refunds.reasons", "alibaba.orders.get"}
    assert returns.states[RowState.PLANNED] == refunds.states[RowState.PLANNED] == 20
    assert returns.planned[0].amount_fen == expected
    assert refunds.planned[0].amount_fen == sum(500 + number for number in range(20))
    assert (returns.unchecked, refunds.unchecked) == (0, 0)
    assert Decimal(refunds.planned[0].amount_fen) / 100 == Decimal("101.90")


@virtual_time
async def test_a_shared_lookup_is_made_once_and_no_failure_is_kept() -> None:
    asked: list[int] = []

    async def look_up(key: int) -> int:
        asked.append(key)
        await asyncio.sleep(1)
        if len(asked) == 1:
            raise ConfigurationError("not now")
        return key * 2

    shared = _Shared(look_up)
    failed = await asyncio.gather(shared.get(4), shared.get(4), return_exceptions=True)
    assert [type(error) for error in failed] == [ConfigurationError] * 2
    assert asked == [4]
    assert list(await asyncio.gather(shared.get(4), shared.get(4))) == [8, 8]
    assert asked == [4, 4]
    under_way = asyncio.create_task(shared.get(5))
    await settle()
    shared.close()
    await asyncio.wait([under_way])
    assert under_way.cancelled()
