"""What the sandbox pushes, when, and how often."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from pandapon_async import Client, Settings
from pandapon_async.callbacks import (
    CallbackType,
    Message,
    RefundChange,
    StatusChange,
    TaobaoRefundChange,
    read,
    verify,
)
from pandapon_async.models.alibaba.orders import Cargo, Order, OrderStatus, ShippingAddress
from pandapon_async.models.alibaba.refunds import RefundStatus
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.callbacks import CallbackSender
from tests.support.virtual import LoopClock, virtual_time

Answers = Callable[[int], int]


class Target:
    """A callback URL that notes what comes, and answers as told by the number of the request."""

    def __init__(self, sandbox: Sandbox, answers: Answers) -> None:
        self._sandbox = sandbox
        self._answers = answers
        self.bodies: list[bytes] = []
        self.times: list[float] = []

    @property
    def messages(self) -> list[Message]:
        return [read(body) for body in self.bodies]

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        body = await request.read()
        verify(body, request.headers["Authorization"], self._sandbox.credentials)
        self.bodies.append(body)
        self.times.append(asyncio.get_running_loop().time())
        status = self._answers(len(self.bodies))
        if not status:
            await asyncio.sleep(1.5)
        return web.Response(status=status or 200)


@asynccontextmanager
async def pushing(
    answers: Answers = lambda _: 200, **options: Any
) -> AsyncIterator[tuple[Sandbox, CallbackSender, Target]]:
    clock = LoopClock()
    async with Sandbox(refunds=200, clock=clock) as sandbox:
        target = Target(sandbox, answers)
        server = web.Server(target, access_log=None)  # type: ignore[arg-type,unused-ignore]
        listening = await asyncio.get_running_loop().create_server(server, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/"
        try:
            # Looking every few milliseconds would make half an hour of virtual time long.
            options = {"watch_every": 600.0, **options}
            async with CallbackSender(sandbox, url, clock=clock, **options) as sender:
                yield sandbox, sender, target
        finally:
            listening.close()
            await server.shutdown(0.1)


def waiting(sandbox: Sandbox) -> int:
    return sandbox.find("1688", "waitselleragree").number


@virtual_time
async def test_every_step_of_a_refund_is_pushed_with_its_own_state() -> None:
    async with pushing() as (sandbox, sender, target):
        number = waiting(sandbox)
        sandbox.advance(number, "waitbuyersend")
        sandbox.advance(number, "refundclose")  # before the sender looks: both states are told all the same
        reverse = sandbox.find("taobao", 10)
        sandbox.advance(reverse.number, 20)
        await sender.drain()
        refund = sandbox.refund(number)
        ours = [message for message in target.messages if message.platform == "1688"]
        (theirs,) = [message for message in target.messages if message.platform == "taobao"]
        states = {one.content.current_status for one in ours if isinstance(one.content, RefundChange)}
        assert states == {RefundStatus.WAIT_BUYER_SEND, RefundStatus.REFUND_CLOSE}
        for message in ours:
            assert message.kind is CallbackType.REFUND
            assert (message.order_id, message.refund_id) == (refund.order_id, refund.refund_id)
            assert message.moment is not None
        assert isinstance(theirs.content, TaobaoRefundChange)
        assert (theirs.refund_id, theirs.content.refund_status) == (reverse.refund_id, 20)


@virtual_time
async def test_what_clients_do_is_pushed_too() -> None:
    async with pushing(body_as_text=True) as (sandbox, sender, target):
        settings = Settings(base_url=sandbox.base_url, rate=None, clock=LoopClock())
        async with Client(sandbox.credentials, settings) as client:
            created = await client.v1.alibaba.refunds.create(
                order_id=2540000000000000123,
                order_entry_ids=[1],
                dispute_request="refund",
                apply_payment=500,
                apply_carriage=0,
                apply_reason_id=20022,
                description="broken in transit",
                goods_status="aftersaleBuyerReceived",
            )
        await sender.drain()
        (message,) = target.messages
        assert isinstance(json.loads(target.bodies[0])["messageBody"], str)
        assert message.refund_id == created.refund_id
        assert message.order_id == "2540000000000000123"
        assert isinstance(message.content, RefundChange)
        assert message.content.refund_action == "BUYER_APPLY_REFUND"


@virtual_time
async def test_a_price_change_carries_the_whole_order() -> None:
    async with pushing() as (sandbox, sender, target):
        sender.price_changed(sandbox.refund(0).order_id)
        await sender.drain()
        (message,) = target.messages
        assert message.type == "1688_ORDER_BUYER_VIEW_ORDER_PRICE_MODIFY"
        assert (message.kind, message.order_id) == (CallbackType.PRICE, sandbox.refund(0).order_id)
        assert isinstance(message.content, Order)


@virtual_time
async def test_what_is_not_taken_comes_again_after_half_an_hour_five_times_at_most() -> None:
    async with pushing(lambda number: 503) as (sandbox, sender, target):
        sandbox.advance(waiting(sandbox), "refundclose")
        await sender.drain()
        gaps = [later - earlier for earlier, later in itertools.pairwise(target.times)]
        assert gaps == pytest.approx([1800.0] * 5, abs=1.0)
        assert len(set(target.bodies)) == 1
        assert sender.lost == [hashlib.sha256(target.bodies[0]).hexdigest()]
        assert [(one.attempt, one.status) for one in sender.log] == [(n, 503) for n in range(1, 7)]


@virtual_time
async def test_an_answer_must_come_within_a_second() -> None:
    async with pushing(lambda number: 0 if number == 1 else 200) as (sandbox, sender, target):
        sandbox.advance(waiting(sandbox), "refundclose")
        await sender.drain()
        assert [one.status for one in sender.log] == [None, 200]
        assert sender.lost == []
        assert len(target.bodies) == 2


@virtual_time
async def test_duplicates_and_disorder_on_request() -> None:
    async with pushing(duplicates=0.3, disorder=0.3, hold=60.0) as (sandbox, sender, target):
        steps: dict[str | int, str | int] = {"waitselleragree": "refundclose", 10: 20, 20: 30, 30: 100}
        for number in range(200):
            step = steps.get(sandbox.refund(number).status)
            if step is not None:
                sandbox.advance(number, step)
                sender.catch_up()
                await asyncio.sleep(1.0)
        await sender.drain()
        assert sender.created == len(set(target.bodies)) > 30
        copies = sum(one.copy for one in sender.log)
        assert len(target.bodies) == sender.created + copies
        assert 0.1 < copies / sender.created < 0.5
        pushed = [message.timestamp for message in target.messages]
        assert pushed != sorted(pushed, key=str)


@virtual_time
async def test_closing_it_leaves_nothing_behind() -> None:
    async with pushing(lambda number: 0 if number == 1 else 503) as (sandbox, sender, target):
        sandbox.advance(waiting(sandbox), "refundclose")
        sender.catch_up()
        await asyncio.sleep(0.1)
        assert len(sender._tasks) == 1
        await asyncio.sleep(1.0)
        assert len(sender._tasks) == 0  # waits for its next half hour
    assert not sender._timers
    await asyncio.sleep(2000.0)
    assert len(target.bodies) == 1


@virtual_time
async def test_it_looks_by_itself() -> None:
    async with pushing(watch_every=0.02) as (sandbox, _, target):
        sandbox.advance(waiting(sandbox), "refundclose")
        assert target.bodies == []
        await asyncio.sleep(0.1)
        assert len(target.bodies) == 1


@virtual_time
async def test_the_life_of_an_order_is_pushed() -> None:
    async with pushing() as (sandbox, sender, target):
        settings = Settings(base_url=sandbox.base_url, rate=None, clock=LoopClock())
        async with Client(sandbox.credentials, settings) as client:
            orders = client.v1.alibaba.orders
            address = ShippingAddress(
                full_name="Li Example", mobile="13800000000", phone="", post_code="", city_text="Yiwu",
                province_text="Zhejiang", area_text="", town_text="", address="1 Road",
            )  # fmt: skip
            cargo = Cargo(offer_id=612345678901, spec_id="", quantity=10)
            made = [
                await orders.create(flow="general", address_param=address, cargo_param_list=[cargo])
                for _ in range(2)
            ]
            first, second = (str(one["orderId"]) for one in made)
            await orders.submit_to_pay(order_ids=[first])
            await orders.cancel(order_id=second, cancel_reason="other")
            sandbox.advance_order(first, "waitbuyerreceive")
            entry = sandbox.order(first).lines[0].entry_id
            await orders.confirm_receipt(order_id=first, order_entry_ids=[entry])
        await sender.drain()
    told: dict[str | None, set[OrderStatus | int | str | None]] = {first: set(), second: set()}
    for message in target.messages:
        assert (message.platform, message.kind) == ("1688", CallbackType.STATUS)
        assert isinstance(message.content, StatusChange)
        told[message.order_id].add(message.content.current_status)
    paid, shipped = OrderStatus.WAIT_SELLER_SEND, OrderStatus.WAIT_BUYER_RECEIVE
    assert told == {
        first: {OrderStatus.WAIT_BUYER_PAY, paid, shipped, OrderStatus.SUCCESS},
        second: {OrderStatus.WAIT_BUYER_PAY, OrderStatus.CANCEL},
    }
