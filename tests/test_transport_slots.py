"""Slots bound what is under way; none is ever lost, whoever gives up and when."""

from __future__ import annotations

import asyncio
import gc
import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import ConfigurationError, DeadlineExceededError, PandaponError
from pandapon_async.transport.rate_limiter import ConcurrencyLimiter
from pandapon_async.transport.wait_queue import CancellableTimers, Waiter, _wake
from tests.support.virtual import LoopClock, outcome, run, settle, virtual_time

FOREVER = float("inf")


def now() -> float:
    return asyncio.get_running_loop().time()


@given(st.data())
def test_slots_are_all_there_again_whoever_was_cancelled_when(data: st.DataObject) -> None:
    async def scenario() -> None:
        slots = ConcurrencyLimiter(2, LoopClock())
        busy = 0

        async def call(number: int) -> None:
            nonlocal busy
            await slots.acquire(FOREVER if number % 3 else now() + 2.5)
            busy += 1
            assert busy <= 2
            try:
                await asyncio.sleep(1)
            finally:
                busy -= 1
                slots.release()

        tasks = [asyncio.ensure_future(call(number)) for number in range(12)]
        for _ in range(data.draw(st.integers(0, 12))):
            await asyncio.sleep(data.draw(st.sampled_from([0, 0, 0.25, 1])))
            tasks[data.draw(st.integers(0, 11))].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert slots.free == 2
        assert len(slots._queue) == 0

    run(scenario())


@virtual_time
async def test_a_slot_granted_in_the_moment_of_cancellation_goes_to_the_next() -> None:
    slots = ConcurrencyLimiter(1, LoopClock())
    await slots.acquire(FOREVER)
    first, second = (asyncio.ensure_future(slots.acquire(FOREVER)) for _ in range(2))
    await settle()
    slots.release()
    first.cancel()
    await settle()
    assert first.cancelled()
    assert second.done()
    slots.release()
    assert slots.free == 1


@virtual_time
async def test_waiting_for_a_slot_ends_at_the_deadline() -> None:
    slots = ConcurrencyLimiter(1, LoopClock())
    await slots.acquire(FOREVER)
    began = now()
    error = await outcome(slots.acquire(began + 3))
    assert isinstance(error, DeadlineExceededError)
    assert now() == began + 3
    slots.release()
    assert slots.free == 1


@virtual_time
async def test_an_error_in_the_line_leaves_nothing_for_the_garbage_collector() -> None:
    slots = ConcurrencyLimiter(1, LoopClock())
    await slots.acquire(FOREVER)
    gc.collect()
    gc.disable()
    try:
        error = await outcome(slots.acquire(now() + 1))
        assert error is not None
        left = weakref.ref(error)
        del error
        await settle()
        assert left() is None
    finally:
        gc.enable()


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
    future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    waiter = Waiter(future, 5.0)
    assert waiter.waits
    waiter.grant(1.0)
    waiter.fail(ConfigurationError("late"))
    waiter.grant(1.0)
    assert not waiter.waits
    assert future.exception() is None
