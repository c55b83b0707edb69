"""A refund message settles the application whose form it names, and no other."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from pandapon_async import Client, NotSentError
from pandapon_async.api.registry import operations
from pandapon_async.callbacks import CallbackType, Message, RefundChange
from pandapon_async.errors import ErrorKind
from pandapon_async.journal import (
    CreateUnderWay,
    Intent,
    IntentState,
    Settled,
    Writer,
    journal_settler,
    settler_by_key,
)
from pandapon_async.journal.callbacks import CREATE
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import client
from tests.support.server import Behaviour, FaultServer, answer, envelope, http, ok

ORDER = 2542285634920880794


def applied(refund_id: str = "TQ1", order_id: int = ORDER, **changes: Any) -> Message:
    facts = {"refund_action": "BUYER_APPLY_REFUND", "current_status": "waitselleragree", **changes}
    moment = facts.pop("moment", datetime.now(UTC))
    platform = facts.pop("platform", "1688")
    return Message(
        id="a" * 64,
        platform=platform,
        type="1688_ORDER_BUYER_VIEW_ORDER_REFUND_AFTER_SALES",
        kind=CallbackType.REFUND,
        order_id=str(order_id),
        refund_id=refund_id,
        moment=moment,
        content=facts.pop("content", None) or RefundChange(**facts),
    )


def form(lines: list[int] | None = None, **changes: Any) -> dict[str, Any]:
    """A refund form as the vendor shows it, applied for now."""
    applied_at = changes.pop("at", datetime.now(UTC)).astimezone(UTC)
    return {
        "refundId": "TQ1",
        "status": "waitselleragree",
        "applyPayment": 500,
        "applyCarriage": 0,
        "applyReasonId": 20022,
        "orderEntryIdList": [1] if lines is None else lines,
        "gmtApply": applied_at.strftime("%Y%m%d%H%M%S000+0000"),
        **changes,
    }


def order(**lines: str | None) -> dict[str, Any]:
    """An order whose lines name their forms."""
    items = [{"subItemID": int(line[1:]), "refundId": refund_id} for line, refund_id in lines.items()]
    return {"baseInfo": {"id": ORDER}, "productItems": items}


@asynccontextmanager
async def opened(*shown: Behaviour | dict[str, Any]) -> AsyncIterator[Client]:
    """A client whose vendor shows this."""
    behaviours = [ok(one) if isinstance(one, dict) else one for one in shown or (form(),)]
    async with FaultServer(*behaviours[:-1], then=behaviours[-1]) as server, client(server.url) as pandapon:
        yield pandapon


async def create(
    pandapon: Client,
    state: IntentState,
    line: int = 1,
    order_id: int = ORDER,
    writer: Writer | None = None,
    **settled: Any,
) -> Intent:
    """An intent of an application, in this state."""
    journal, writer = pandapon.journal, writer or pandapon.writer
    fields = {
        "orderId": order_id,
        "orderEntryIds": [line],
        "disputeRequest": "refund",
        "applyPayment": 500,
        "applyCarriage": 0,
        "applyReasonId": 20022,
        "goodsStatus": "aftersaleBuyerReceived",
    }
    key = writer.key_of(operations()[CREATE].ranked[0], fields)
    intent = journal.draft(key, writer=writer, facts={}, digest="d")
    await journal.add(intent, once=True, subjects=key.subjects)
    if state is not IntentState.INTENDED:
        await journal.sending(intent)
    if state not in (IntentState.INTENDED, IntentState.SENT):
        await journal.resolve(intent.id, state, **settled)
    return intent


async def test_a_message_settles_the_application_whose_form_it_names() -> None:
    async with opened() as pandapon:
        intent = await create(pandapon, IntentState.UNKNOWN)
        other = await create(pandapon, IntentState.UNKNOWN, order_id=7)
        assert await journal_settler(pandapon)(applied()) is Settled.SETTLED
        settled = await pandapon.journal.get(intent.id)
        assert settled is not None
        assert (settled.state, settled.result) == (IntentState.SETTLED_DONE, "TQ1")
        assert settled.remarks == [f"callback {'a' * 12} names the form"]
        untouched = await pandapon.journal.get(other.id)
        assert untouched is not None
        assert untouched.state is IntentState.UNKNOWN
        assert await journal_settler(pandapon)(applied()) is Settled.NOTHING  # the vendor says it again


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        ([form()], Settled.SETTLED),
        ([form(lines=[2])], Settled.LEFT),  # another line of the order
        ([form(lines=[1, 2])], Settled.LEFT),
        ([form(applyPayment=501)], Settled.LEFT),
        ([form(applyReasonId=7)], Settled.LEFT),
        ([form(at=datetime(2023, 1, 1, tzinfo=UTC))], Settled.LEFT),
        ([answer(http(envelope(None, code=404)))], Settled.LEFT),
        # A form without lines: then the order's lines say whose it is.
        ([form(lines=[]), order(_1="TQ1", _2=None), form(lines=[])], Settled.SETTLED),
        ([form(lines=[]), order(_1=None, _2="TQ1"), form(lines=[])], Settled.LEFT),
        ([form(lines=[]), {"baseInfo": {"id": ORDER}, "productItems": [{"subItemID": 1}]}], Settled.LEFT),
    ],
)
async def test_only_a_form_that_is_ours_settles(
    shown: list[Any], expected: Settled, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(*shown) as pandapon:
        await create(pandapon, IntentState.UNKNOWN)
        assert await journal_settler(pandapon)(applied()) is expected
        state = IntentState.SETTLED_DONE if expected is Settled.SETTLED else IntentState.UNKNOWN
        assert await pandapon.journal.counts() == {state: 1}
    assert ("settles no application" in caplog.text) == (expected is Settled.LEFT)


@pytest.mark.parametrize(
    "message",
    [
        applied(refund_action="SELLER_AGREE_REFUND"),
        applied(refund_action=None, current_status="waitbuyersend"),
        applied(content={"orderId": ORDER}),
        applied(moment=None),
    ],
)
async def test_any_message_about_the_form_will_do(message: Message) -> None:
    async with opened() as pandapon:
        await create(pandapon, IntentState.UNKNOWN)
        assert await journal_settler(pandapon)(message) is Settled.SETTLED


@pytest.mark.parametrize("message", [applied(platform="taobao"), applied(order_id=8)])
async def test_a_message_about_something_else_does_nothing(message: Message) -> None:
    async with opened() as pandapon:
        await create(pandapon, IntentState.UNKNOWN)
        assert await journal_settler(pandapon)(message) is Settled.NOTHING


async def test_of_two_lines_the_one_of_the_form_is_settled() -> None:
    async with opened(form(lines=[2])) as pandapon:
        first, second = [await create(pandapon, IntentState.UNKNOWN, line) for line in (1, 2)]
        assert await journal_settler(pandapon)(applied()) is Settled.SETTLED
        states = {one.id: one.state for one in await pandapon.journal.find()}
        assert states == {first.id: IntentState.UNKNOWN, second.id: IntentState.SETTLED_DONE}


@pytest.mark.parametrize("state", [IntentState.INTENDED, IntentState.SENT])
async def test_a_message_that_is_faster_than_the_answer_comes_again(state: IntentState) -> None:
    async with opened() as pandapon:
        intent = await create(pandapon, state)
        with pytest.raises(CreateUnderWay):
            await journal_settler(pandapon)(applied())
        await pandapon.journal.resolve(intent.id, IntentState.CONFIRMED, result="TQ1")
        assert await journal_settler(pandapon)(applied()) is Settled.NOTHING


@pytest.mark.parametrize("state", [IntentState.CONFIRMED, IntentState.REJECTED, IntentState.NOT_SENT])
async def test_what_is_settled_stays(state: IntentState) -> None:
    async with opened() as pandapon:
        await create(pandapon, state)
        assert await journal_settler(pandapon)(applied()) is Settled.NOTHING
        assert await pandapon.journal.counts() == {state: 1}


async def test_what_was_found_absent_may_turn_out_to_be_done() -> None:
    async with opened() as pandapon:
        intent = await create(pandapon, IntentState.UNKNOWN)
        await pandapon.journal.resolve(intent.id, IntentState.SETTLED_ABSENT)
        assert await journal_settler(pandapon)(applied()) is Settled.SETTLED
        assert await pandapon.journal.counts() == {IntentState.SETTLED_DONE: 1}


@pytest.mark.parametrize("kind", [ErrorKind.RATE_LIMIT, ErrorKind.AUTHENTICATION])
async def test_what_a_throttle_refused_may_turn_out_to_be_done(kind: ErrorKind) -> None:
    """It may be refused after the deed, and an order need not show its forms: the message is all there is."""
    async with opened() as pandapon:
        intent = await create(pandapon, IntentState.SENT)
        await pandapon.journal.resolve(intent.id, IntentState.REJECTED, error_kind=kind)
        assert await journal_settler(pandapon)(applied()) is Settled.SETTLED
        assert await pandapon.journal.counts() == {IntentState.SETTLED_DONE: 1}


async def test_an_application_at_another_vendor_is_not_meant() -> None:
    async with opened() as pandapon:
        await create(pandapon, IntentState.UNKNOWN, writer=Writer("elsewhere", "1"))
        assert await journal_settler(pandapon)(applied()) is Settled.NOTHING


async def test_a_form_that_another_application_made_is_not_taken_for_this_one() -> None:
    async with opened() as pandapon:
        await create(pandapon, IntentState.CONFIRMED, 1, result="TQ1")
        await create(pandapon, IntentState.UNKNOWN, 2)
        assert await journal_settler(pandapon)(applied("TQ1")) is Settled.NOTHING


async def test_a_form_that_cannot_be_read_is_looked_at_again_later() -> None:
    async with opened() as pandapon:
        await create(pandapon, IntentState.UNKNOWN)
        away = pandapon.with_settings(proxy="http://127.0.0.1:9")
        with pytest.raises(NotSentError):
            await journal_settler(away)(applied())
        assert await pandapon.journal.counts() == {IntentState.UNKNOWN: 1}


@pytest.mark.parametrize(("minutes", "expected"), [(9, Settled.SETTLED), (11, Settled.NOTHING)])
async def test_a_message_from_before_the_application_is_about_another(
    minutes: int, expected: Settled
) -> None:
    async with opened() as pandapon:
        now = datetime.fromtimestamp(pandapon.settings.clock.wall(), UTC)
        earlier = now - timedelta(minutes=minutes)
        await create(pandapon, IntentState.UNKNOWN)
        assert await journal_settler(pandapon)(applied(moment=earlier)) is expected


class Asked(Exception):
    """Somebody's client was asked."""


class Stub:
    """A client that only tells whose it is."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def settings(self) -> Any:
        raise Asked(self.name)


async def test_a_message_is_settled_with_the_account_whose_key_signed_it() -> None:
    clients: dict[str, Any] = {"key-1": Stub("one"), "key-2": Stub("two")}
    settle = settler_by_key(clients)
    for key, name in (("key-1", "one"), ("key-2", "two")):
        with pytest.raises(Asked, match=name):
            await settle(attrs.evolve(applied(), access_key=key))
    assert await settle(attrs.evolve(applied(), access_key="key-3")) is Settled.LEFT
    assert await settle(applied()) is Settled.LEFT
