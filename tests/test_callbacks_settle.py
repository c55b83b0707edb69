"""A refund message settles the create that it must be about, and no other."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pandapon_async.callbacks import CallbackType, Message, RefundChange
from pandapon_async.journal import (
    CreateUnderWay,
    FoundCreate,
    Intent,
    IntentState,
    Journal,
    Settled,
    settle_creates,
)
from pandapon_async.journal.callbacks import CREATE, journal_settler
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.journals import noted

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


@asynccontextmanager
async def opened() -> AsyncIterator[Journal]:
    journal = Journal()
    yield journal
    await journal.aclose()


async def create(
    journal: Journal, state: IntentState, line: int = 1, order: int = ORDER, **settled: Any
) -> Intent:
    """An intent of a create, in this state."""
    intent = await noted(
        journal,
        operation=CREATE,
        natural_key={"orderId": order, "orderEntryIds": [line]},
        facts={},
        once=True,
    )
    if state is not IntentState.INTENDED:
        await journal.sending(intent)
    if state not in (IntentState.INTENDED, IntentState.SENT):
        await journal.resolve(intent.id, state, **settled)
    return intent


async def test_a_message_settles_the_one_create_of_its_order() -> None:
    async with opened() as journal:
        intent = await create(journal, IntentState.UNKNOWN)
        other = await create(journal, IntentState.UNKNOWN, order=7)
        assert await journal_settler(journal)(applied()) is Settled.SETTLED
        settled = await journal.get(intent.id)
        assert settled is not None
        assert (settled.state, settled.result) == (IntentState.SETTLED_DONE, "TQ1")
        assert settled.remarks == [f"callback {'a' * 12} names the form"]
        untouched = await journal.get(other.id)
        assert untouched is not None
        assert untouched.state is IntentState.UNKNOWN
        assert await journal_settler(journal)(applied()) is Settled.NOTHING  # the vendor says it again


async def test_of_two_creates_that_could_be_meant_none_is_settled(caplog: pytest.LogCaptureFixture) -> None:
    async with opened() as journal:
        for line in (1, 2):
            await create(journal, IntentState.UNKNOWN, line)
        assert await journal_settler(journal)(applied()) is Settled.LEFT
        assert await journal.counts() == {IntentState.UNKNOWN: 2}
    assert "2 open creates of its order could be meant" in caplog.text


@pytest.mark.parametrize("state", [IntentState.INTENDED, IntentState.SENT])
async def test_a_message_that_is_faster_than_the_answer_comes_again(state: IntentState) -> None:
    async with opened() as journal:
        intent = await create(journal, state)
        with pytest.raises(CreateUnderWay):
            await journal_settler(journal)(applied())
        await journal.resolve(intent.id, IntentState.CONFIRMED, result="TQ1")
        assert await journal_settler(journal)(applied()) is Settled.NOTHING


@pytest.mark.parametrize(
    "state", [IntentState.CONFIRMED, IntentState.REJECTED, IntentState.NOT_SENT, IntentState.SETTLED_ABSENT]
)
async def test_what_is_settled_stays(state: IntentState) -> None:
    async with opened() as journal:
        await create(journal, state)
        assert await journal_settler(journal)(applied()) is Settled.NOTHING
        assert await journal.counts() == {state: 1}


async def test_a_form_that_another_create_made_is_not_taken_for_this_one() -> None:
    async with opened() as journal:
        await create(journal, IntentState.CONFIRMED, 1, result="TQ1")
        intent = await create(journal, IntentState.UNKNOWN, 2)
        assert await journal_settler(journal)(applied("TQ1")) is Settled.NOTHING
        assert await journal_settler(journal)(applied("TQ2")) is Settled.SETTLED
        settled = await journal.get(intent.id)
        assert settled is not None
        assert settled.result == "TQ2"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (applied(refund_action="buyer_apply_refund"), Settled.SETTLED),
        (applied(refund_action=None), Settled.SETTLED),  # the first state says as much
        (applied(refund_action=None, current_status="waitbuyersend"), Settled.LEFT),
        (applied(refund_action="SELLER_AGREE_REFUND"), Settled.LEFT),
        (applied(refund_action="BUYER_APPLY_SUPPORT"), Settled.LEFT),
        (applied(content={"orderId": ORDER}), Settled.LEFT),
        (applied(moment=None), Settled.SETTLED),
        (applied(platform="taobao"), Settled.NOTHING),
        (applied(order_id=8), Settled.NOTHING),
    ],
)
async def test_only_what_is_surely_about_it_settles(
    message: Message, expected: Settled, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as journal:
        await create(journal, IntentState.UNKNOWN)
        assert await journal_settler(journal)(message) is expected
        state = IntentState.SETTLED_DONE if expected is Settled.SETTLED else IntentState.UNKNOWN
        assert await journal.counts() == {state: 1}
    assert ("settles no create" in caplog.text) == (expected is Settled.LEFT)


@pytest.mark.parametrize(("minutes", "expected"), [(9, Settled.SETTLED), (11, Settled.NOTHING)])
async def test_a_message_from_before_the_create_is_about_another(minutes: int, expected: Settled) -> None:
    earlier = datetime.now(UTC) - timedelta(minutes=minutes)  # not as a parameter: those are made long before
    async with opened() as journal:
        await create(journal, IntentState.UNKNOWN)
        assert await journal_settler(journal)(applied(moment=earlier)) is expected


@pytest.mark.parametrize(
    ("ours", "expected"), [({"i1"}, Settled.SETTLED), (set(), Settled.LEFT), ({"i1", "i2"}, Settled.LEFT)]
)
async def test_a_second_look_can_tell_whose_it_is(
    ours: set[str], expected: Settled, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    settled: list[tuple[str, str]] = []

    async def find(order_id: str) -> list[FoundCreate]:
        return [FoundCreate("i1", 0.0), FoundCreate("i2", 0.0)]

    async def taken(intent_id: str, refund_id: str) -> bool:
        return False

    async def settle(intent_id: str, refund_id: str, note: str) -> bool:
        settled.append((intent_id, refund_id))
        return True

    async def confirm(intent_id: str, refund_id: str) -> bool:
        return intent_id in ours

    handler = settle_creates(find, taken, settle, confirm)
    assert await handler(applied(refund_action="SELLER_AGREE_REFUND")) is expected
    assert settled == ([("i1", "TQ1")] if expected is Settled.SETTLED else [])
