"""The quota is never exceeded, nearly all of it is used, and nobody waits in vain or for ever."""

from __future__ import annotations

import asyncio
import random
import sys
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import (
    ConfigurationError,
    DeadlineExceededError,
    Limiter,
    Priority,
    priority,
)
from pandapon_async.core.rate import SlidingWindow
from pandapon_async.transport.rate_limiter import ConcurrencyLimiter
from tests.support.virtual import LoopClock, VirtualLoop, outcome, run, settle, virtual_time

FOREVER = float("inf")


class Recorded(SlidingWindow):
    """A pace that remembers when each permit was given."""

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.times: list[float] = []

    def take_free(self, now: float) -> bool:
        taken = super().take_free(now)
        if taken:
            self.times.append(now)
        return taken

    def take(self, now: float) -> None:
        self.times.append(now)
        super().take(now)


def recorded(rate: float) -> tuple[Limiter, list[float]]:
    """A limiter, and the list of the times of its permits."""
    limiter = Limiter(rate, LoopClock())
    pace = Recorded(rate)
    limiter._window = pace
    return limiter, pace.times


def most_in_a_second(times: list[float]) -> int:
    """The largest number of permits in any window of one second, borders included."""
    most = start = 0
    for end, time in enumerate(times):
        while time - times[start] > 1.0:
            start += 1
        most = max(most, end - start + 1)
    return most


def now() -> float:
    return asyncio.get_running_loop().time()


async def take(limiter: Limiter, level: Priority = Priority.INTERACTIVE, deadline: float = FOREVER) -> float:
    """Wait for a permit; when it came."""
    with priority(level):
        await limiter.acquire(deadline)
    return now()


# --- never more than the rate


@attrs.define
class Step:
    """Something that happens while calls wait for permits."""

    what: str
    amount: float
    level: Priority


STEPS = st.builds(
    Step,
    st.sampled_from(["wait", "calls", "cancel", "stall", "pause", "burst"]),
    st.floats(0, 1),
    st.sampled_from(Priority),
)


@given(
    rate=st.sampled_from([0.5, 1, 3, 7.5, 20, 200]), steps=st.lists(STEPS, max_size=25), seed=st.integers()
)
def test_no_second_has_more_permits_than_the_rate(rate: float, steps: list[Step], seed: int) -> None:
    chance = random.Random(seed)

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        limiter, times = recorded(rate)
        tasks: list[asyncio.Task[float]] = []
        for step in steps:
            match step.what:
                case "wait":
                    await asyncio.sleep(step.amount * 2)
                case "stall":
                    loop.stall(step.amount * 2)
                case "pause":
                    limiter.pause(step.amount * 3)
                case "cancel":
                    for task in chance.sample(tasks, int(len(tasks) * step.amount)):
                        task.cancel()
                case "calls":
                    tasks += [
                        asyncio.ensure_future(take(limiter, step.level)) for _ in range(int(step.amount * 30))
                    ]
                case "burst":
                    for _ in range(int(step.amount * 30)):
                        tasks.append(asyncio.ensure_future(take(limiter, step.level)))
                        await asyncio.sleep(step.amount / 30)
        results = await asyncio.gather(*tasks, return_exceptions=True)
        given_to = [result for result in results if isinstance(result, float)]
        assert most_in_a_second(times) <= max(1, rate)
        assert limiter.permits == len(times) >= len(given_to)
        assert len(given_to) == sum(not task.cancelled() for task in tasks)
        assert limiter.waiting == 0

    run(scenario())


@pytest.mark.parametrize("rate", [1, 5, 20, 200, 2000])
@virtual_time
async def test_the_quota_is_used_to_96_percent(rate: int) -> None:
    limiter, times = recorded(rate)
    began = now()
    await asyncio.gather(*(take(limiter) for _ in range(rate * 3 + 1)))
    assert most_in_a_second(times) <= rate
    assert rate * 3 / (now() - began) >= 0.96 * rate


@pytest.mark.parametrize("rate", [20, 200, 2000])
@virtual_time
async def test_late_timers_lose_nothing(rate: int) -> None:
    """Every wake-up comes up to 20 ms late, as on a busy machine."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    chance = random.Random(1)

    class Late(LoopClock):
        def call_later(self, seconds: float, callback: Callable[[], Any]) -> asyncio.TimerHandle:
            return super().call_later(seconds + chance.random() * 0.02, callback)

    limiter, times = recorded(rate)
    limiter._clock = Late()
    began = now()
    await asyncio.gather(*(take(limiter) for _ in range(rate * 3 + 1)))
    assert most_in_a_second(times) <= rate
    assert rate * 3 / (now() - began) >= 0.96 * rate


# --- nobody waits in vain


@given(cancelled=st.sets(st.integers(0, 29)), late=st.sets(st.integers(0, 29)), unlimited=st.booleans())
def test_any_subset_may_give_up_without_harm_to_the_others(
    cancelled: set[int], late: set[int], unlimited: bool
) -> None:
    async def scenario() -> None:
        limiter = Limiter(None if unlimited else 10, LoopClock())
        limiter.pause(1)
        tasks = [asyncio.ensure_future(take(limiter)) for _ in range(30)]
        await settle()
        for number in cancelled:
            tasks[number].cancel()
        await asyncio.sleep(1.5)
        for number in late:
            tasks[number].cancel()
        done, pending = await asyncio.wait(tasks, timeout=10)
        assert not pending
        assert not any(
            task.cancelled() for number, task in enumerate(tasks) if number not in cancelled | late
        )
        assert limiter.waiting == 0
        await asyncio.wait_for(take(limiter), 1)
        assert len(done) == 30

    run(scenario())


@virtual_time
async def test_a_permit_granted_to_a_cancelled_call_goes_to_the_next() -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    limiter, times = recorded(1)
    await take(limiter)
    first, second = (asyncio.ensure_future(take(limiter)) for _ in range(2))
    await settle()
    loop.call_later(1.03, first.cancel)
    loop.stall(1.04)  # the timers of the permit and of the cancellation are due in the same turn
    await settle()
    assert first.cancelled()
    assert second.done()
    assert len(times) == limiter.permits == 2


@virtual_time
async def test_interactive_goes_before_bulk_and_each_in_order_of_arrival() -> None:
    limiter = Limiter(10, LoopClock())
    await take(limiter)
    order: list[str] = []

    async def call(name: str, level: Priority) -> None:
        await take(limiter, level)
        order.append(name)

    calls = [call(f"bulk {number}", Priority.BULK) for number in range(3)]
    calls += [call(f"person {number}", Priority.INTERACTIVE) for number in range(3)]
    await asyncio.gather(*calls)
    assert order == ["person 0", "person 1", "person 2", "bulk 0", "bulk 1", "bulk 2"]


@virtual_time
async def test_bulk_that_is_held_up_by_interactive_calls_ends_at_its_deadline() -> None:
    limiter = Limiter(10, LoopClock())
    await take(limiter)
    began = now()
    bulk = asyncio.ensure_future(outcome(take(limiter, Priority.BULK, began + 2)))
    await settle()
    people = [asyncio.ensure_future(take(limiter)) for _ in range(100)]
    assert isinstance(await bulk, DeadlineExceededError)
    assert now() == began + 2
    await asyncio.gather(*people)


@virtual_time
async def test_bulk_goes_on_when_interactive_calls_end() -> None:
    limiter = Limiter(10, LoopClock())
    bulk = [asyncio.ensure_future(take(limiter, Priority.BULK)) for _ in range(5)]
    people = [asyncio.ensure_future(take(limiter)) for _ in range(50)]
    await asyncio.gather(*people)
    began = now()
    await asyncio.gather(*bulk)
    assert now() - began <= 0.6


# --- deadlines


@virtual_time
async def test_a_turn_after_the_deadline_is_refused_before_any_time_passes() -> None:
    limiter = Limiter(10, LoopClock())
    began = now()
    results = await asyncio.gather(*(outcome(take(limiter, deadline=began + 1)) for _ in range(200)))
    refused = [result for result in results if result is not None]
    assert {type(result) for result in refused} == {DeadlineExceededError}
    assert len(results) - len(refused) == 10  # at 0, 0.102, ... 0.918
    assert now() - began <= 1
    late = await asyncio.gather(*(outcome(take(limiter, deadline=now())) for _ in range(5)))
    assert now() - began <= 1
    assert all(isinstance(error, DeadlineExceededError) for error in late)


# --- pauses


@virtual_time
async def test_a_pause_holds_everybody_and_they_come_back_at_the_rate() -> None:
    limiter, times = recorded(20)
    await take(limiter)
    began = now()
    tasks = [asyncio.ensure_future(take(limiter)) for _ in range(40)]
    await settle()
    limiter.pause(5)
    limiter.pause(1)  # a shorter pause does not lift a longer one
    tasks += [asyncio.ensure_future(take(limiter)) for _ in range(20)]
    await asyncio.sleep(4.99)
    assert not any(task.done() for task in tasks)
    ends = await asyncio.gather(*tasks)
    assert min(ends) == pytest.approx(began + 5)
    assert most_in_a_second(times) <= 20
    assert max(ends) == pytest.approx(began + 5 + 59 / 20, rel=0.03)
    assert limiter.paused_seconds == 5


@pytest.mark.parametrize("rate", [10, None])
@virtual_time
async def test_whose_deadline_falls_into_the_pause_is_told_at_once(rate: float | None) -> None:
    limiter = Limiter(rate, LoopClock())
    await take(limiter)
    limiter.pause(0.01)
    began = now()
    tasks = [asyncio.ensure_future(outcome(take(limiter, deadline=began + end))) for end in (2, 4, 8)]
    await settle()
    limiter.pause(5)
    await settle()
    assert [task.done() for task in tasks] == [True, True, False]
    assert isinstance(await outcome(take(limiter, deadline=began + 4)), DeadlineExceededError)
    assert now() == began
    assert await tasks[2] is None
    assert now() == pytest.approx(began + 5)


@virtual_time
async def test_without_a_rate_a_pause_holds_and_then_lets_go() -> None:
    limiter = Limiter(None, LoopClock())
    for _ in range(1000):
        await take(limiter)
    began = now()
    limiter.pause(3)
    ends = await asyncio.gather(*(take(limiter) for _ in range(100)))
    assert set(ends) == {began + 3}
    assert limiter.permits == 1100
    await take(limiter)
    assert now() == began + 3


# --- closing and sharing


def test_a_limiter_with_waiters_in_a_running_loop_is_not_for_another() -> None:
    async def scenario() -> None:
        limiter = Limiter(1, LoopClock())
        await take(limiter)
        waiting = asyncio.ensure_future(take(limiter))
        await settle()

        def elsewhere() -> BaseException | None:
            return run(outcome(limiter.acquire()))

        error = await asyncio.to_thread(elsewhere)
        assert isinstance(error, ConfigurationError)
        await waiting

    run(scenario())


def test_a_limiter_serves_one_loop_after_another() -> None:
    limiter = Limiter(5, LoopClock())

    async def scenario() -> None:
        await asyncio.gather(*(take(limiter) for _ in range(6)))

    run(scenario())

    async def interrupted() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.gather(*(take(limiter) for _ in range(50)))

    run(interrupted())
    run(scenario())


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_cannot_be_is_refused(rate: float) -> None:
    with pytest.raises(ConfigurationError):
        Limiter(rate)


# --- what it costs


def calls_made(work: Callable[[], Any]) -> int:
    """How many Python functions of the library ran: what a time would say if machines were quiet."""
    counts: Counter[str] = Counter()

    def look(frame: FrameType, event: str, _: Any) -> None:
        if event == "call" and "pandapon_async" in frame.f_code.co_filename:
            counts[frame.f_code.co_name] += 1

    sys.setprofile(look)
    try:
        work()
    finally:
        sys.setprofile(None)
    return counts.total()


@pytest.mark.parametrize(("many", "cancel"), [(2_500, False), (1_500, True)])
def test_a_permit_costs_the_same_however_many_wait(many: int, cancel: bool) -> None:
    def permits(waiters: int) -> int:
        async def scenario() -> None:
            limiter = Limiter(20, LoopClock())
            tasks = [asyncio.ensure_future(take(limiter)) for _ in range(waiters)]
            await settle()
            if cancel:
                for task in tasks[1::2]:
                    task.cancel()
            await asyncio.wait(tasks)

        return calls_made(lambda: run(scenario()))

    assert permits(many) / many <= 1.1 * permits(500) / 500


@virtual_time
async def test_those_who_left_do_not_fill_the_line() -> None:
    limiter, slots = Limiter(1, LoopClock()), ConcurrencyLimiter(0, LoopClock())
    limiter.pause(1000)
    for _ in range(100):
        tasks = [asyncio.ensure_future(take(limiter)) for _ in range(20)]
        tasks += [asyncio.ensure_future(slots.acquire(FOREVER)) for _ in range(20)]  # type: ignore[arg-type]
        await settle(3)
        for task in tasks:
            task.cancel()
        await settle(3)
    for line in (limiter._queue, slots._queue):
        assert sum(map(len, line._queues)) < 100
        assert len(line) == 0
