"""One timer for the deadlines of all requests: who is ended, and who is not."""

from __future__ import annotations

import asyncio

import pytest

from pandapon_async import DeadlineExceededError, Outcome, Safety
from pandapon_async.transport.deadlines import Deadlines
from tests.support.clients import at_rest, client
from tests.support.server import Exchange, FaultServer, ok
from tests.support.virtual import LoopClock, outcome, settle, virtual_time


async def silence(exchange: Exchange) -> None:
    await exchange.request()
    await asyncio.sleep(1_000)


@virtual_time
async def test_each_request_ends_at_its_own_time() -> None:
    async with FaultServer(then=silence) as server, client(server.url, timeout=30) as pandapon:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        ends: dict[float, float] = {}

        async def one(seconds: float) -> None:
            error = await outcome(
                pandapon.with_settings(timeout=seconds).request("POST", "/x", safety=Safety.READ)
            )
            assert isinstance(error, DeadlineExceededError)
            assert error.outcome is Outcome.UNKNOWN
            ends[seconds] = loop.time() - begun

        await asyncio.gather(*map(one, (20, 5, 10, 7)))
        assert ends == {timeout: pytest.approx(timeout, abs=0.02) for timeout in (5, 7, 10, 20)}
        at_rest(pandapon)


@virtual_time
async def test_somebody_elses_cancellation_wins_over_the_deadline() -> None:
    async with FaultServer(then=silence) as server, client(server.url, timeout=5) as pandapon:
        task = asyncio.ensure_future(pandapon.request("POST", "/x", safety=Safety.READ))
        await settle()
        asyncio.get_running_loop().call_later(5, task.cancel)  # in the same moment
        with pytest.raises(asyncio.CancelledError):
            await task
        at_rest(pandapon)


@virtual_time
async def test_after_its_deadline_a_task_goes_on_unharmed() -> None:
    async with FaultServer(silence, ok()) as server, client(server.url, timeout=5) as pandapon:
        assert isinstance(await outcome(pandapon.request("POST", "/x", safety=Safety.ONCE)), Exception)
        task = asyncio.current_task()
        assert task is not None
        assert task.cancelling() == 0
        await asyncio.sleep(60)
        assert await pandapon.request("POST", "/x", safety=Safety.READ) is not None


@virtual_time
async def test_who_has_finished_is_not_ended() -> None:
    deadlines, clock = Deadlines(), LoopClock()
    task = asyncio.current_task()
    assert task is not None
    deadlines.begin(task, clock.now() + 5, clock)
    assert not deadlines.finish(task)
    await asyncio.sleep(10)
    assert task.cancelling() == 0
