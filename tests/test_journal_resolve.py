"""What the state says about a write whose answer was lost: landed, absent, or nothing to rely on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import pytest

from pandapon_async import Client, ConnectionLostError, InvalidArgumentError
from pandapon_async.journal import Intent, IntentState, Resolution
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import client
from tests.support.journals import noted
from tests.support.server import FaultServer, answer, envelope, http, ok
from tests.support.virtual import LoopClock, virtual_time

ABSENT, DONE, UNKNOWN = IntentState.SETTLED_ABSENT, IntentState.SETTLED_DONE, IntentState.UNKNOWN
RETURN = "alibaba.refunds.return_goods"
CREATE = "alibaba.refunds.create"
KEY = {
    "orderId": 100,
    "orderEntryIds": [1, 2],
    "disputeRequest": "refund",
    "applyPayment": 500,
    "applyCarriage": 0,
    "applyReasonId": 20022,
    "goodsStatus": "aftersaleBuyerReceived",
}
pytestmark = pytest.mark.usefixtures("new_journal")


async def unknown(
    pandapon: Client, operation: str, key: Mapping[str, Any], vendor: str | None = None, **facts: Any
) -> Intent:
    """An intent of unknown outcome, as a lost answer leaves it."""
    journal, writer = pandapon.journal, pandapon.writer
    intent = await noted(
        journal,
        writer=writer if vendor is None else attrs.evolve(writer, vendor=vendor),
        operation=operation,
        natural_key=dict(key),
        facts=facts,
        once=False,
    )
    await journal.sending(intent)
    await journal.resolve(intent.id, UNKNOWN)
    return intent


async def settled(intent: tuple[str, Mapping[str, Any], dict[str, Any]], *answers: Any) -> Intent:
    """How an intent of unknown outcome ends if the server answers so."""
    behaviours = [ok(data) if isinstance(data, dict) else data for data in answers]
    async with FaultServer(*behaviours) as server, client(server.url, settle_after=60.0) as pandapon:
        operation, key, facts = intent
        noted = await unknown(pandapon, operation, key, **facts)
        return await pandapon.resolve(noted.id, wait=True)


def returned(**facts: Any) -> tuple[str, dict[str, Any], dict[str, Any]]:
    return RETURN, {"refundId": "TQ1"}, {"freightBill": "SF 123", "logisticsCompanyNo": "SF", **facts}


def form(status: str, **more: Any) -> dict[str, Any]:
    return {"refundId": "TQ1", "status": status, **more}


@pytest.mark.parametrize(
    ("data", "state"),
    [
        (form("waitsellerreceive", freightBill="SF 123"), DONE),
        (form("waitsellerreceive", freightBill=" sf123 "), DONE),
        (form("waitsellerreceive", freightBill="YTO9"), ABSENT),
        (form("waitsellerreceive"), DONE),
        (form("waitbuyersend", buyerSendGoods=True), DONE),
        (form("waitbuyersend"), ABSENT),
        (form("WAIT_BUYER_SEND", buyerSendGoods=False), ABSENT),
        (form("waitselleragree"), ABSENT),
        (form("refundsuccess", freightBill="SF 123"), DONE),
        # Finished without a waybill in sight: ours may have been taken in and never shown.
        (form("refundsuccess"), UNKNOWN),
        (form("refundclose"), UNKNOWN),
        (form("waitbuyermodify"), UNKNOWN),
        (form("something new"), UNKNOWN),
        (form("something new", freightBill="SF 123"), DONE),
    ],
)
@pytest.mark.database_at_night
def test_a_return_of_goods(data: dict[str, Any], state: IntentState) -> None:
    @virtual_time
    async def check() -> None:
        intent = await settled(returned(), *[data] * 4)
        assert intent.state is state, intent.remarks

    check()


@virtual_time
async def test_a_form_that_is_not_found_settles_nothing() -> None:
    missing = answer(http(envelope(None, code=404)))
    intent = await settled(returned(), *[missing] * 4)
    assert intent.state is UNKNOWN
    assert "does not know" in intent.remarks[-1]


def line(entry: int, **more: Any) -> dict[str, Any]:
    return {"subItemID": entry, "refundId": None, **more}


def order(*lines: dict[str, Any]) -> dict[str, Any]:
    return {"baseInfo": {"id": 100}, "productItems": list(lines)}


def refund(**more: Any) -> dict[str, Any]:
    """A form as our application would make it, two seconds after it."""
    given = {
        "refundId": "TQ9",
        "status": "waitselleragree",
        "applyPayment": 500,
        "applyCarriage": 0,
        "applyReasonId": 20022,
        "orderEntryIdList": [2, 1],
        "gmtApply": "20231115063002000+0800",
    }
    return {**given, **more}


CREATED: tuple[str, dict[str, Any], dict[str, Any]] = (CREATE, KEY, {})
NAMED = order(line(1, refundId="TQ9"), line(2, refundId="TQ9"))


@pytest.mark.parametrize(
    ("answers", "state"),
    [
        ((NAMED, refund()), DONE),
        ((order(line(1, refundIdForAs="TQ9"), line(2)), refund()), DONE),
        (
            (NAMED, refund(applyReasonId=None, orderEntryIdList=None)),
            DONE,
        ),  # what is not shown is no objection
        ((NAMED, refund(applyCarriage=None)), DONE),
        ((NAMED, refund(gmtApply=None, gmtCreate="20231115063002000+0800")), DONE),
        ((NAMED, refund(applyPayment=501)), UNKNOWN),
        ((NAMED, refund(applyCarriage=1)), UNKNOWN),
        ((NAMED, refund(applyReasonId=20023)), UNKNOWN),
        ((NAMED, refund(orderEntryIdList=[1])), UNKNOWN),
        ((NAMED, refund(gmtApply="20231114061322000+0800")), UNKNOWN),  # a day older than the application
        ((NAMED, refund(gmtApply=None)), UNKNOWN),
        ((NAMED, answer(http(envelope(None, code=404)))), UNKNOWN),
        ((order(line(1), line(2)),), ABSENT),
        ((order({"subItemID": 1}, {"subItemID": 2}),), UNKNOWN),  # no place for a form: says nothing
        ((order(line(7), line(8)),), UNKNOWN),  # our lines are not in it
        ((order(line(1), line(7)),), UNKNOWN),  # one of ours is not shown
        (({"baseInfo": {"id": 100}},), UNKNOWN),
    ],
)
@pytest.mark.database_at_night
def test_an_application(answers: tuple[Any, ...], state: IntentState) -> None:
    @virtual_time
    async def check() -> None:
        intent = await settled(CREATED, *answers * 4)
        assert intent.state is state, intent.remarks
        assert intent.result == ("TQ9" if state is DONE else None)

    check()


@virtual_time
async def test_a_form_that_belongs_to_another_intent_is_not_ours() -> None:
    """Closed and applied for anew: the line still names the first form, whose amounts are the same."""
    async with FaultServer(ok(NAMED), ok(refund())) as server, client(server.url) as pandapon:
        first = await unknown(pandapon, CREATE, KEY)
        await pandapon.journal.resolve(first.id, IntentState.CONFIRMED, result="TQ9")
        second = await unknown(pandapon, CREATE, KEY)
        settled = await pandapon.resolve(second.id)
        assert settled.state is UNKNOWN
        assert "TQ9" in settled.remarks[-1]


@virtual_time
async def test_absence_is_believed_only_after_a_while() -> None:
    async with (
        FaultServer(
            *[ok(form("waitbuyersend"))] * 6, then=ok(form("waitsellerreceive", freightBill="SF123"))
        ) as server,
        client(server.url, settle_after=60.0) as pandapon,
    ):
        intent = await unknown(pandapon, *returned()[:2], **returned()[2])
        clock = pandapon.settings.clock
        assert isinstance(clock, LoopClock)
        first = await pandapon.resolve(intent.id)
        assert (first.state, first.resolution, first.remarks) == (
            UNKNOWN,
            Resolution.ABSENT,
            ["the form is still waitbuyersend, without a waybill"],
        )
        began = clock.now()
        last = await pandapon.resolve(intent.id, wait=True)
        assert last.state is ABSENT
        assert 60.0 <= clock.now() - began <= 73.0
        assert last.remarks[-1].startswith("not found at 2023-11-14 22:3")
        assert "s after the write; it may have arrived since (the form is still" in last.remarks[-1]
        assert (await pandapon.resolve(intent.id)) == last, "looked at again, and still absent"
        assert len(server.requests) == 6
        assert (await pandapon.resolve(intent.id)).state is DONE


@virtual_time
async def test_a_read_that_fails_settles_nothing() -> None:
    async def reset(exchange: Any) -> None:
        await exchange.request()
        exchange.reset()

    async with FaultServer(then=reset) as server, client(server.url, timeout=5.0) as pandapon:
        intent = await unknown(pandapon, *returned()[:2], **returned()[2])
        with pytest.raises(ConnectionLostError):
            await pandapon.resolve(intent.id)
        found = await pandapon.journal.get(intent.id)
        assert found is not None
        assert found.state is UNKNOWN


@pytest.mark.parametrize(
    ("vendor", "told"),
    [("other.example", "other.example"), ("", "a vendor that an earlier version did not record")],
)
@virtual_time
async def test_a_write_to_another_vendor_is_not_looked_for_at_this_one(vendor: str, told: str) -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        operation, key, facts = returned()
        intent = await unknown(pandapon, operation, key, vendor, **facts)
        found = await pandapon.resolve(intent.id)
        assert (found.state, found.resolution, server.requests) == (UNKNOWN, None, [])
        assert found.remarks[-1] == f"it was sent to {told}"


@virtual_time
async def test_what_no_call_shows_stays_unknown() -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        intent = await unknown(pandapon, "alibaba.orders.create", {"payload": "x"})
        found = await pandapon.resolve(intent.id, wait=True)
        assert (found.state, server.requests) == (UNKNOWN, [])
        with pytest.raises(InvalidArgumentError, match="no such intent"):
            await pandapon.resolve("nothing")
        for question in (pandapon.resolve(None), pandapon.settle(None, done=True, note="seen")):
            with pytest.raises(InvalidArgumentError, match="names no intent"):
                await question


@pytest.mark.parametrize(
    ("status", "state"), [("cancel", DONE), ("TERMINATED", DONE), ("waitbuyerpay", ABSENT), ("new", UNKNOWN)]
)
def test_a_cancelled_order(status: str, state: IntentState) -> None:
    @virtual_time
    async def check() -> None:
        data = {"baseInfo": {"id": 100, "status": status}}
        assert (await settled(("alibaba.orders.cancel", {"orderId": 100}, {}), *[data] * 4)).state is state

    check()


@pytest.mark.parametrize(("status", "state"), [("-20", DONE), ("10", ABSENT), ("77", UNKNOWN)])
def test_a_cancelled_reverse_order(status: str, state: IntentState) -> None:
    @virtual_time
    async def check() -> None:
        data = {"refundOrderAggregate": {"refundOrder": {"refundId": "11", "refundStatus": status}}}
        assert (await settled(("taobao.refunds.cancel", {"refundId": "11"}, {}), *[data] * 4)).state is state

    check()
