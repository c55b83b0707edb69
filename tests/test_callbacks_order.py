"""The order of messages: restored where ids and times allow it, and told where they do not."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import attrs

from pandapon_async import RetryPolicy
from pandapon_async.callbacks import Message, MessageOrder
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.virtual import virtual_time
from tests.test_callbacks_dispatch import now_ms, push, raw, rest, running


@attrs.define
class Ordered:
    """What a handler saw, in its order."""

    seen: list[tuple[int, MessageOrder]] = attrs.field(factory=list)

    async def __call__(self, message: Message) -> None:
        await asyncio.sleep(0.01)
        self.seen.append((message.body["number"], message.order))


@virtual_time
async def test_within_the_window_the_order_is_restored(tmp_path: Path) -> None:
    ordered = Ordered()
    async with running(tmp_path, order_window=2.0) as receiver:
        receiver.on()(ordered)
        base = now_ms()
        for number in (3, 1, 2):
            await push(receiver, raw(number, refund="TQ9", at=base + number))
            await asyncio.sleep(0.5)
        assert ordered.seen == []
        await rest(receiver)
    assert ordered.seen == [(number, MessageOrder.RESTORED) for number in (1, 2, 3)]


@virtual_time
async def test_what_comes_after_something_later_was_handled_is_told_to_be_late(tmp_path: Path) -> None:
    ordered = Ordered()
    async with running(tmp_path) as receiver:
        receiver.on()(ordered)
        base = now_ms()
        await push(receiver, raw(2, refund="TQ9", at=base + 2))
        await rest(receiver)
        await push(receiver, raw(1, refund="TQ9", at=base + 1))
        await push(receiver, raw(7, refund="TQ8", at=base))
        await rest(receiver)
        await push(receiver, raw(3, refund="TQ9", at=base + 3))
        await rest(receiver)
    assert dict(ordered.seen) == {
        2: MessageOrder.RESTORED,
        1: MessageOrder.LATE,
        7: MessageOrder.RESTORED,
        3: MessageOrder.RESTORED,
    }


@virtual_time
async def test_messages_of_one_refund_wait_for_each_other_and_others_do_not(tmp_path: Path) -> None:
    running_now: list[int] = []
    most: list[int] = []
    order: list[tuple[int, int]] = []
    async with running(tmp_path, retry=RetryPolicy(attempts=5, base=10.0)) as receiver:

        @receiver.on()
        async def handle(message: Message) -> None:
            running_now.append(1)
            most.append(len(running_now))
            await asyncio.sleep(1.0)
            running_now.pop()
            if message.body["number"] == 1 and message.attempt < 3:
                raise RuntimeError("blocks those after it until it is through")
            order.append((message.body["number"], message.attempt))

        base = now_ms()
        for number in (1, 2, 3):
            await push(receiver, raw(number, refund="TQ9", at=base + number))
        await rest(receiver)
        assert order == [(1, 3), (2, 1), (3, 1)]
        assert max(most) == 1
        for number in range(10, 14):
            await push(receiver, raw(number))
        await rest(receiver)
    assert max(most) == 4


@virtual_time
async def test_without_ids_or_times_the_order_is_unknown(tmp_path: Path) -> None:
    seen: list[MessageOrder] = []
    async with running(tmp_path) as receiver:
        receiver.on()(lambda message: seen.append(message.order))
        await push(receiver, b'{"messageType": "1688_X", "messageBody": {"refundId": 1}}')
        await push(receiver, json.dumps({"messageType": "1688_X", "timestamp": str(now_ms())}).encode())
        await rest(receiver)
        stamp = now_ms()
        for number in (1, 2):
            await push(receiver, raw(number, refund="TQ9", at=stamp))
        await rest(receiver)
    assert seen == [MessageOrder.UNKNOWN] * 4
