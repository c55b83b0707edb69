"""Those who wait: granted, expired or failed a second time, nothing happens to them."""

from __future__ import annotations

import asyncio

import pytest

from pandapon_async import ConfigurationError, PandaponError
from pandapon_async.transport.wait_queue import CancellableTimers, Waiter, _wake
from tests.support.virtual import LoopClock, settle, virtual_time


@virtual_time
async def test_a_sleeper_that_is_woken_twice_or_failed_late() -> None:
    timers = CancellableTimers(LoopClock())
    sleeping = asyncio.create_task(timers.sleep(5))
    await settle()
    (future,) = timers._futures
    _wake(future)
    _wake(future)
    timers.fail_all()
    await sleeping
    assert not timers._futures


@virtual_time
async def test_a_sleeper_of_a_client_that_closes_is_told() -> None:
    timers = CancellableTimers(LoopClock())
    sleeping = asyncio.create_task(timers.sleep(5))
    await settle()
    timers.fail_all()
    with pytest.raises(PandaponError):
        await sleeping
    with pytest.raises((ConfigurationError, PandaponError)):
        await timers.sleep(5)
    assert asyncio.get_running_loop().time() == 1000.0


@virtual_time
async def test_a_turn_that_comes_after_all_is_over_changes_nothing() -> None:
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiter = Waiter(future, 5.0, None)
    assert waiter.waits
    waiter.grant()
    waiter.fail(ConfigurationError("late"))
    waiter.grant()
    assert not waiter.waits
    assert future.exception() is None
