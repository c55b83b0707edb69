"""Moments between two steps of the loop in which a call is called off."""

from __future__ import annotations

import asyncio

import pytest

from pandapon_async import DeadlineExceededError, Safety
from pandapon_async.transport.rate_limiter import Limiter
from pandapon_async.transport.wait_queue import Priority, priority
from tests.support.clients import at_rest, client
from tests.support.server import FaultServer
from tests.support.virtual import LoopClock, VirtualLoop, run


def test_a_write_called_off_before_anything_was_written_leaves_nothing() -> None:
    """A permit is due, so its row is to be written with the sending; but others were in line before it."""

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        async with FaultServer() as server, client(server.url, rate=2) as pandapon:
            await pandapon.limiter.acquire()
            with priority(Priority.BULK):  # does not count for who is served before it
                before = asyncio.ensure_future(pandapon.limiter.acquire())
            await asyncio.sleep(0)
            loop.stall(2)  # the permit of the one before is due, and nobody could hand it out yet
            write = asyncio.ensure_future(
                pandapon.request("POST", "/thing", json={"a": 1}, safety=Safety.ONCE)
            )
            await asyncio.sleep(0)
            write.cancel()
            with pytest.raises(asyncio.CancelledError):
                await write
            await before
            assert await pandapon.journal.counts() == {}
            assert server.requests == []
            at_rest(pandapon)

    run(scenario())


def test_a_pause_fails_those_who_cannot_wait_for_its_end_and_nobody_else() -> None:
    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        limiter = Limiter(1.0, LoopClock())
        await limiter.acquire()
        begun = loop.time()
        hurried, called_off, patient = (
            asyncio.ensure_future(limiter.acquire(begun + seconds)) for seconds in (5, 90, 90)
        )
        await asyncio.sleep(0)
        called_off.cancel()  # it still stands in line when the pause looks through it
        limiter.pause(10)
        with pytest.raises(DeadlineExceededError):
            await hurried
        assert loop.time() == begun, "it was told at once"
        await patient
        assert 10 <= loop.time() - begun < 12
        assert called_off.cancelled()
        assert limiter.waiting == 0

    run(scenario())
