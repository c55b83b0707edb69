"""The rate gives way to throttles: once per burst, never over what is allowed now, and back up in time."""

from __future__ import annotations

import asyncio
import io
import itertools
import logging
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pandapon_async import (
    AdaptiveRate,
    Attempt,
    Client,
    ConfigurationError,
    Limiter,
    Priority,
    Safety,
    Settings,
    priority,
)
from pandapon_async.core.rate import SlidingWindow
from pandapon_async.progress import ConsoleProgress
from pandapon_async.sandbox import Sandbox
from tests.support.bench import FreshClock
from tests.support.clients import client
from tests.support.examples import examples
from tests.support.server import Exchange, FaultServer, envelope, http
from tests.support.virtual import LoopClock, VirtualLoop, settle, virtual_time
from tests.test_transport_limiter import calls_made

FOREVER = float("inf")


def now() -> float:
    return asyncio.get_running_loop().time()


class Recorded(SlidingWindow):
    """A pace that remembers each permit: when it was given, and the rate that was allowed then."""

    def __init__(self, rate: float, adaptive: AdaptiveRate | None = AdaptiveRate()) -> None:  # noqa: B008 (it is frozen)
        super().__init__(rate, adaptive=adaptive)
        self.given: list[tuple[float, float]] = []

    def take_free(self, now: float) -> bool:
        taken = super().take_free(now)
        if taken:
            self.given.append((now, self.rate_at(now)))
        return taken

    def take(self, now: float) -> None:
        self.given.append((now, self.rate_at(now)))
        super().take(now)


def recorded(rate: float) -> tuple[Limiter, Recorded]:
    limiter = Limiter(rate, LoopClock())
    limiter._window = pace = Recorded(rate)
    return limiter, pace


def assert_kept(given: list[tuple[float, float]]) -> None:
    """In the second that ends with any permit there are no more of them than the rate allowed then."""
    window: deque[float] = deque()
    for moment, allowed in given:
        window.append(moment)
        while moment - window[0] > 1.0:
            window.popleft()
        assert len(window) <= max(1, allowed), f"{len(window)} at {allowed}/s"


async def take(limiter: Limiter, level: Priority = Priority.INTERACTIVE, deadline: float = FOREVER) -> float:
    with priority(level):
        await limiter.acquire(deadline)
    return now()


# --- whatever happens, in whatever order


class Machine(RuleBasedStateMachine):
    """Arrivals, cancellations, pushbacks, stalls and priorities in any order, on a loop of virtual time."""

    @initialize(rate=st.sampled_from([0.5, 1, 3, 7.5, 20, 200]), seed=st.integers(0, 99))
    def begin(self, rate: float, seed: int) -> None:
        self.runner = asyncio.Runner(loop_factory=VirtualLoop)
        self.complaints: list[Any] = []
        loop = self.runner.get_loop()
        loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self.loop = loop
        self.chance = random.Random(seed)
        self.limiter, self.pace = recorded(rate)
        self.rate = rate
        self.waiting: list[asyncio.Task[float]] = []
        self.order: dict[Priority, list[int]] = {level: [] for level in Priority}
        self.numbers = itertools.count()
        self.until = -FOREVER

    def run(self, work: Callable[[], Any]) -> None:
        async def scenario() -> None:
            work()
            await settle(8)

        self.runner.run(scenario())
        self.waiting = [task for task in self.waiting if not task.done()]

    async def _call(self, level: Priority, deadline: float) -> float:
        number = next(self.numbers)
        when = await take(self.limiter, level, deadline)
        self.order[level].append(number)
        return when

    @rule(count=st.integers(1, 40), level=st.sampled_from(Priority), patience=st.sampled_from([FOREVER, 3.0]))
    def arrive(self, count: int, level: Priority, patience: float) -> None:
        def begin() -> None:
            deadline = now() + patience
            for _ in range(count):
                task = asyncio.ensure_future(self._call(level, deadline))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())
                self.waiting.append(task)

        self.run(begin)

    @rule(share=st.floats(0, 1))
    def give_up(self, share: float) -> None:
        def cancel() -> None:
            for task in self.chance.sample(self.waiting, int(len(self.waiting) * share)):
                task.cancel()

        self.run(cancel)

    @rule(seconds=st.floats(0, 4), ago=st.sampled_from([0.0, 0.01, 0.5, 3.0]), times=st.integers(1, 5))
    def refuse(self, seconds: float, ago: float, times: int) -> None:
        def refuse() -> None:
            before = self.limiter.slowed
            for _ in range(times):
                self.limiter.throttled(seconds, now() - ago)
            assert self.limiter.slowed - before <= 1, "the refusals of one burst count once"
            self.until = max(self.until, now() + seconds)

        self.run(refuse)

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds: float) -> None:
        async def scenario() -> None:
            await asyncio.sleep(seconds)
            await settle(8)

        self.runner.run(scenario())
        self.waiting = [task for task in self.waiting if not task.done()]

    @rule(seconds=st.floats(0, 3))
    def stall(self, seconds: float) -> None:
        loop = self.loop
        assert isinstance(loop, VirtualLoop)
        self.run(lambda: loop.stall(seconds))

    @rule(minutes=st.floats(1, 10))
    def nothing_happens(self, minutes: float) -> None:
        self.wait(minutes * 60)

    @invariant()
    def what_was_given_was_allowed(self) -> None:
        if not hasattr(self, "runner"):
            return
        assert self.complaints == []
        assert_kept(self.pace.given)
        assert self.limiter.permits == len(self.pace.given)
        self.run(lambda: self.check_rate())
        assert self.limiter.waiting == len(self.waiting)
        for numbers in self.order.values():
            assert numbers == sorted(numbers), "first come, first served within a priority"

    def check_rate(self) -> None:
        allowed = self.limiter.rate
        assert allowed is not None
        assert 0.1 * self.rate - 1e-9 <= allowed <= self.rate == self.limiter.configured

    def teardown(self) -> None:
        """Nothing more happens: everybody who still waits is served, at no less than the lowest rate."""
        if not hasattr(self, "runner"):
            return

        async def the_end() -> None:
            slowest = 0.1 * self.rate
            usable = max(int(slowest), 0.5) if slowest >= 1 else slowest
            longest = max(0.0, self.until - now()) + (len(self.waiting) + 1) * 1.02 / usable + 0.1
            if self.waiting:
                done, late = await asyncio.wait(self.waiting, timeout=longest)
                assert not late, f"{len(late)} of {len(done) + len(late)} were starved"
            await settle()
            assert self.limiter.waiting == 0
            await asyncio.wait_for(take(self.limiter), 1.1 / usable + max(0.0, self.until - now()))

        self.runner.run(the_end())
        assert_kept(self.pace.given)
        self.runner.close()
        assert self.complaints == []


TestMachine = Machine.TestCase
TestMachine.settings = settings(max_examples=examples(10, 100), stateful_step_count=25, deadline=None)


# --- what a throttle does


@virtual_time
async def test_off_until_the_first_throttle() -> None:
    limiter = Limiter(200, LoopClock())
    await asyncio.gather(*(take(limiter) for _ in range(1000)))
    assert (limiter.rate, limiter.configured, limiter.slowed) == (200, 200, 0)
    limiter.pause(5)  # a pause alone is no throttle
    assert (limiter.rate, limiter.slowed) == (200, 0)


@virtual_time
async def test_the_refusals_of_one_burst_count_once_whenever_they_arrive() -> None:
    limiter = Limiter(200, LoopClock())
    sent = [await take(limiter) for _ in range(20)]
    await asyncio.sleep(0.05)
    assert limiter.throttled(1, sent[0])
    slowed = limiter.rate
    for moment in sent:
        assert not limiter.throttled(1, moment)
    await asyncio.sleep(3)  # after the pause: still an answer to what went out before it
    assert not limiter.throttled(1, sent[-1])
    assert limiter.slowed == 1
    assert slowed == 140
    await asyncio.sleep(1)
    assert limiter.throttled(1, await take(limiter)), "what went out afterwards is another matter"


@virtual_time
async def test_after_a_pushback_they_come_back_at_the_allowed_rate_and_not_as_a_herd() -> None:
    limiter, pace = recorded(200)
    sent = await take(limiter)
    waiting = [asyncio.ensure_future(take(limiter)) for _ in range(500)]
    await asyncio.sleep(0.9)
    refused_at = now()
    assert limiter.throttled(2, refused_at)
    before = len(pace.given)
    times = sorted(await asyncio.gather(*waiting))[before - 1 :]
    allowed = pace.given[before][1]
    assert sent < refused_at
    assert 140 <= allowed < 200
    assert times[0] == pytest.approx(refused_at + 2)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= 1 / pace.given[-1][1], "one by one"
    assert max(gaps) <= 1.03 / int(allowed)
    seconds = times[-1] - times[0]
    assert (len(times) - 1) / seconds == pytest.approx(allowed, rel=0.04)
    assert_kept(pace.given)


@virtual_time
async def test_those_who_wait_are_spaced_anew_without_being_woken() -> None:
    """2,000 wait; a throttle costs the same as for 20: nobody is touched."""
    limiter = Limiter(200, LoopClock())
    waiting = [asyncio.ensure_future(take(limiter, deadline=now() + 1e6)) for _ in range(2_000)]
    await settle()
    sent = now()

    def throttle() -> None:
        for _ in range(50):
            limiter.throttled(1, sent)

    assert calls_made(throttle) <= 50 * 12
    assert not any(task.done() for task in waiting[5:])
    await asyncio.sleep(1.5)
    assert 1 < sum(task.done() for task in waiting) < 200
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)


@virtual_time
async def test_back_up_by_the_same_amount_each_second_and_never_above() -> None:
    policy = AdaptiveRate(recovery=0.01)
    limiter = Limiter(100, LoopClock(), policy)
    limiter.throttled(3, await take(limiter))
    assert limiter.rate == 70
    began = now()
    for second in range(3, 60):
        await asyncio.sleep(began + second - now())
        assert limiter.rate == pytest.approx(min(100, 70 + (second - 3)))
    assert limiter.rate == 100


@virtual_time
async def test_a_recovered_rate_is_used_to_96_percent() -> None:
    limiter = Limiter(50, LoopClock(), AdaptiveRate(recovery=0.1))
    limiter.throttled(1, await take(limiter))
    await asyncio.sleep(20)
    began = now()
    await asyncio.gather(*(take(limiter) for _ in range(201)))
    assert 200 / (now() - began) >= 0.96 * 50


@virtual_time
async def test_never_below_the_floor() -> None:
    limiter = Limiter(100, LoopClock())
    for _ in range(60):
        await asyncio.sleep(1)
        limiter.throttled(0, now())
    assert limiter.rate == 10


@pytest.mark.parametrize(("rate", "adaptive"), [(None, AdaptiveRate()), (100, None)])
@virtual_time
async def test_without_a_rate_or_switched_off_a_throttle_only_pauses(
    rate: float | None, adaptive: AdaptiveRate | None
) -> None:
    limiter = Limiter(rate, LoopClock(), adaptive)
    began = now()
    assert not limiter.throttled(2, await take(limiter))
    assert (limiter.rate, limiter.slowed) == (rate, 0)
    assert await take(limiter) == began + 2


@pytest.mark.parametrize(
    "wrong",
    [{"slower": 0}, {"steepest": 1.5}, {"floor": -1}, {"recovery": "x"}, {"memory": -1}, {"memory": True},
     {"memory": float("inf")}, {"floor": True}],
    ids=repr,
)  # fmt: skip
def test_constants_that_cannot_be(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        AdaptiveRate(**wrong)
    with pytest.raises(ConfigurationError, match="adaptive_rate"):
        Settings(adaptive_rate=wrong)  # type: ignore[arg-type]


# --- against servers


async def saturate(
    admits: Callable[[], bool], rate: float, seconds: float, adaptive: AdaptiveRate | None
) -> tuple[int, int, Limiter]:
    """How many were admitted and how many refused, 64 calls always wanting to go out, 50 ms each."""
    limiter = Limiter(rate, LoopClock(), adaptive)
    counts = [0, 0]
    end = now() + seconds

    async def caller() -> None:
        while now() < end:
            sent = await take(limiter)
            await asyncio.sleep(0.025)
            admitted = admits()
            await asyncio.sleep(0.025)
            counts[not admitted] += 1
            if not admitted:
                limiter.throttled(1.0, sent)

    await asyncio.gather(*(caller() for _ in range(64)))
    return counts[0], counts[1], limiter


def strict(quota: Callable[[], float]) -> Callable[[], bool]:
    """A server that admits so many in any sliding second."""
    window: deque[float] = deque()

    def admits() -> bool:
        while window and window[0] <= now() - 1:
            window.popleft()
        if len(window) >= quota():
            return False
        window.append(now())
        return True

    return admits


@virtual_time
async def test_a_quota_below_the_configured_rate_is_found_and_kept() -> None:
    steady = await saturate(strict(lambda: 140), 200, 60, None)
    adaptive = await saturate(strict(lambda: 140), 200, 60, AdaptiveRate())
    assert adaptive[0] > 1.5 * steady[0], "more gets through by sending less"
    assert adaptive[0] >= 0.88 * 140 * 60
    assert adaptive[1] <= steady[1] / 20
    assert 130 <= (adaptive[2].rate or 0) <= 145


@virtual_time
async def test_a_quota_that_shrinks_and_grows_again() -> None:
    began = now()

    def quota() -> float:
        return 25 if 30 <= now() - began < 150 else 50

    admits = strict(quota)
    await saturate(admits, 50, 25, AdaptiveRate())
    limiter = Limiter(50, LoopClock())
    low: list[float] = []

    async def caller() -> None:
        while now() < began + 400:
            sent = await take(limiter)
            await asyncio.sleep(0.05)
            if not admits():
                limiter.throttled(1, sent)
            elif 80 < now() - began < 150:
                low.append(sent)

    await asyncio.gather(*(caller() for _ in range(32)))
    assert len(low) >= 0.8 * 25 * 70
    assert limiter.rate == 50


@virtual_time
async def test_refusals_by_lot_do_not_grind_the_rate_down() -> None:
    """One call in a hundred is refused whatever the pace. That the pace went well before is remembered."""

    async def against_chance(adaptive: AdaptiveRate) -> tuple[int, float]:
        chance = random.Random(5)
        done, _, limiter = await saturate(lambda: chance.random() > 0.01, 200, 120, adaptive)
        return done, limiter.rate or 0

    done, rate = await against_chance(AdaptiveRate())
    forgetful = await against_chance(AdaptiveRate(memory=0))
    assert rate >= 80
    assert done >= 1.2 * forgetful[0]


@virtual_time
async def test_the_client_slows_down_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="pandapon_async")
    clock = FreshClock()
    async with Sandbox(refunds=20, rate=140, clock=clock, sleep=asyncio.sleep) as server:
        settings = Settings(base_url=server.base_url, rate=200, clock=clock, timeout=60)
        async with Client(server.credentials, settings) as pandapon:
            meter = ConsoleProgress(io.StringIO(), clock, live=False)
            meter.begin("looking up", 1000, 0, pandapon.statistics)
            assert pandapon.statistics.slowed_to is None
            path = "/open/order/refund/queryList"
            await asyncio.gather(
                *(pandapon.request("POST", path, json={}, safety=Safety.READ) for _ in range(250))
            )
            line = meter.line()
            meter.end()
            statistics, limiter = pandapon.statistics, pandapon.limiter
            assert statistics.slowed == limiter.slowed >= 1
            assert 1 <= statistics.throttled == server.counters.rate_refused <= 0.06 * 250
            assert limiter.rate is not None
            assert statistics.slowed_to == limiter.rate < 160
            assert limiter.configured == 200
            assert f"slowed to {limiter.rate:.3g}/s after {statistics.throttled} throttles" in line
    told = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO]
    assert told[0].startswith("throttled: the rate is now 1")


@virtual_time
async def test_an_observer_can_look_at_the_rate() -> None:
    async def busy(exchange: Exchange) -> None:
        await exchange.request()
        await exchange.send(http(envelope(None, 429), "429 Slow", ["Retry-After: 1"]))

    seen: list[tuple[str | None, float | None]] = []

    async with FaultServer(busy) as server:
        limiter = Limiter(10, LoopClock())

        def observe(_: str, attempt: Attempt) -> None:
            seen.append((attempt.reason, limiter.rate))

        async with client(server.url, limiter=limiter, observer=observe) as pandapon:
            await pandapon.request("POST", "/x", json={}, safety=Safety.READ)
    assert [reason for reason, _ in seen] == ["RateLimitError", None]
    assert seen[0][1] == 7


# --- what it costs


@pytest.mark.parametrize("throttled", [False, True], ids=["steady", "slowed"])
def test_a_permit_costs_the_same_however_many_wait(throttled: bool) -> None:
    def permits(waiters: int) -> int:
        async def scenario() -> None:
            limiter = Limiter(20, LoopClock())
            if throttled:
                limiter.throttled(1, await take(limiter))
            tasks = [asyncio.ensure_future(take(limiter)) for _ in range(waiters)]
            await asyncio.wait(tasks)

        return calls_made(lambda: virtual_time(scenario)())

    assert permits(3_000) / 3_000 <= 1.1 * permits(500) / 500


def test_a_free_permit_is_cheap() -> None:
    """Three functions and no task switch: a quarter of a microsecond on a quiet machine."""

    async def permits() -> None:
        limiter = Limiter(1e9)
        for _ in range(1000):
            await limiter.acquire()

    assert calls_made(lambda: asyncio.run(permits())) <= 3 * 1000 + 50
