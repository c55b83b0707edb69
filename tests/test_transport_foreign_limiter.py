"""Somebody else's limiter: our queue in front (priority, deadline, pause, closing), its own pace behind."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import threading
from typing import Any

import pytest
from aiolimiter import AsyncLimiter
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import (
    Client,
    ConfigurationError,
    DeadlineExceededError,
    Limiter,
    NotSentError,
    Outcome,
    Priority,
    RateLimiter,
    RetryPolicy,
    Safety,
    Settings,
    priority,
)
from pandapon_async.journal.journal import Journal
from pandapon_async.sandbox import Sandbox
from pandapon_async.transport.foreign_limiter import front_of
from tests.support import faults
from tests.support.clients import at_rest, borrowing, client
from tests.support.network import most_in_a_second
from tests.support.server import Exchange, FaultServer, answer, http
from tests.support.sweep import left_behind
from tests.support.virtual import CreepingLoop, LoopClock, outcome, run, settle, virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


class Plain:
    """The least that is a limiter: a permit every `gap` seconds."""

    def __init__(self, gap: float = 1.0) -> None:
        self.gap = gap
        self.asked = 0
        self.given: list[float] = []
        self.under_way = 0

    async def acquire(self) -> None:
        self.asked += 1
        self.under_way += 1
        try:
            await asyncio.sleep(self.gap)
            self.given.append(now())
        finally:
            self.under_way -= 1


class Talkative(Plain):
    """One with all that is optional."""

    rate: float | None = 4.0

    def __init__(self, gap: float = 0.25) -> None:
        super().__init__(gap)
        self.heard: list[tuple[Any, ...]] = []

    def expected(self) -> float:
        return now() + self.gap

    def pause(self, seconds: float) -> None:
        self.heard.append(("pause", seconds))

    def throttled(self, seconds: float, sent: float) -> bool:
        self.heard.append(("throttled", seconds, sent))
        self.rate = 2.0
        return True

    def close(self, owner: object) -> None:
        self.heard.append(("close", owner))


class Broken(Talkative):
    """Every optional part of it fails."""

    def expected(self) -> float:
        raise OSError("canary-password@limiter")

    pause = throttled = close = lambda self, *_: self.expected()  # type: ignore[assignment]


# --- what is taken


class NotAsync:
    def acquire(self) -> None: ...


class Greedy:
    async def acquire(self, key: str) -> None: ...


class LatePause(Plain):
    async def pause(self, seconds: float) -> None: ...


class OddThrottled(Plain):
    def throttled(self) -> bool:
        return False


REFUSED: dict[str, tuple[Any, str]] = {
    "a number": (20, r"for a rate alone use Settings\(rate=20\)"),
    "text": ("20", "str has no method `async def acquire"),
    "a class": (AsyncLimiter, r"AsyncLimiter is a class: pass an instance, AsyncLimiter\(\.\.\.\)"),
    "another object": (object(), "object has no method `async def acquire"),
    "True": (True, "bool has no method"),
    "a lock of threads": (threading.Lock(), r"lock.acquire is not `async def`"),
    "not async": (NotAsync(), "NotAsync.acquire is not `async def`"),
    "wants a key": (Greedy(), "Greedy.acquire needs arguments"),
    "a semaphore": (asyncio.Semaphore(5), r"Semaphore has `release`.* Settings\(concurrency"),
    "an async pause": (LatePause(), r"LatePause.pause must be a plain method, `def pause\(self, seconds\)`"),
    "another throttled": (OddThrottled(), r"OddThrottled.throttled must be .*`def throttled\(self"),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_give_permits_is_refused_when_it_is_handed_over(what: str) -> None:
    limiter, message = REFUSED[what]
    with pytest.raises(ConfigurationError, match=message):
        Settings(limiter=limiter)
    with pytest.raises(ConfigurationError, match=message):
        Settings.from_env(None, limiter=limiter)


async def test_what_can_give_permits_is_taken_and_read_back() -> None:
    class Partial:
        def __init__(self) -> None:
            self.acquire = functools.partial(Plain().acquire)

    class OwnClosing(Plain):  # of its own: it is the owner's to call
        async def close(self) -> None:
            raise AssertionError

    for limiter in (Limiter(5), AsyncLimiter(4, 0.0204), Plain(0), Talkative(0), Partial(), OwnClosing(0)):
        assert isinstance(limiter, RateLimiter)
        assert Settings(limiter=limiter).limiter is limiter
        async with FaultServer() as server, client(server.url, limiter=limiter) as pandapon:
            await pandapon.request("POST", "/thing", safety=Safety.READ)
            assert pandapon.limiter.permits == 1


# --- aiolimiter itself, and a strict server


async def busiest(limiter: RateLimiter, calls: int = 450) -> tuple[int, float]:
    """How many requests arrive in the busiest second, and how many in a second on average."""
    times: list[float] = []

    async def count(exchange: Exchange) -> None:
        times.append(now())
        await answer(faults.GOOD)(exchange)

    async with FaultServer(then=count) as server, client(server.url, limiter=limiter, timeout=60) as pandapon:
        await asyncio.gather(*(pandapon.request("POST", "/thing", safety=Safety.READ) for _ in range(calls)))
        at_rest(pandapon)
    return most_in_a_second(times), (calls - 1) / (times[-1] - times[0])


def test_aiolimiter_in_small_buckets_keeps_the_rate_and_uses_it() -> None:
    most, rate = run(busiest(AsyncLimiter(4, 0.0204)), CreepingLoop)
    assert most <= 200
    assert rate >= 0.96 * 200


def test_aiolimiter_with_a_bucket_of_a_whole_second_sends_twice_the_rate() -> None:
    most, _ = run(busiest(AsyncLimiter(200, 1)), CreepingLoop)
    assert 380 <= most <= 400


@pytest.mark.nightly
@pytest.mark.parametrize(("size", "seconds"), [(4, 0.0204), (200, 1)], ids=["small", "whole"])
async def test_what_a_strict_sandbox_refuses_in_real_time(size: int, seconds: float) -> None:
    async with Sandbox(refunds=1_600, seed=7, rate=200, log_limit=5) as sandbox:
        settings = Settings(base_url=sandbox.base_url, limiter=AsyncLimiter(size, seconds), timeout=60)
        async with Client(sandbox.credentials, settings) as pandapon:
            ids = list(sandbox.refund_ids("1688"))[:800]
            await asyncio.gather(*(pandapon.alibaba.refunds.get(refund_id=one) for one in ids))
        refused = sandbox.counters.rate_refused
        print(f"AsyncLimiter({size}, {seconds}): {refused} of 800 refused")
        assert refused <= 1 if size == 4 else refused >= 20


# --- our laws in front of it


@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
@virtual_time
async def test_a_deadline_is_kept_and_leaves_no_question_behind(borrowed: bool) -> None:
    limiter = Plain(gap=100)
    async with FaultServer() as server, borrowing(borrowed) as session:
        async with client(server.url, session, limiter=limiter, timeout=2) as pandapon:
            begun = now()
            error = await outcome(pandapon.request("POST", "/thing"))
            assert type(error) is DeadlineExceededError
            assert error.outcome is Outcome.NOT_SENT
            assert now() - begun == pytest.approx(2, abs=0.02)
            await settle()
            assert limiter.under_way == 0
            at_rest(pandapon)
        assert server.requests == []
    assert await left_behind() == set()


@virtual_time
async def test_a_call_that_would_come_too_late_is_refused_at_once_if_the_limiter_tells() -> None:
    limiter = Talkative(gap=3)
    async with FaultServer() as server, client(server.url, limiter=limiter, timeout=2) as pandapon:
        begun = now()
        assert type(await outcome(pandapon.request("POST", "/thing"))) is DeadlineExceededError
        assert now() == begun
        assert limiter.asked == 0
    front = front_of(Talkative(gap=0.25), LoopClock())
    queued = [asyncio.ensure_future(outcome(front.acquire())) for _ in range(8)]
    await settle()
    assert front.expected() == pytest.approx(now() + 0.25 + 8 / 4), "those who wait go first, at its rate"
    await asyncio.gather(*queued)


@virtual_time
async def test_closing_ends_who_waits_and_stops_asking() -> None:
    async with FaultServer() as server:
        pandapon = client(server.url, limiter=Plain(gap=100), timeout=1_000)
        calls = [asyncio.ensure_future(outcome(pandapon.request("POST", f"/{n}"))) for n in range(3)]
        await asyncio.sleep(1)
        begun = now()
        await pandapon.aclose()
        assert now() == begun
        assert [type(await one) for one in calls] == [NotSentError] * 3
        at_rest(pandapon)
        assert server.requests == []
    assert await left_behind() == set()


@virtual_time
async def test_people_go_before_bulk_work_and_an_exchanged_permit_before_both() -> None:
    front = front_of(Plain(), LoopClock())
    order: list[str] = []

    async def take(name: str, level: Priority, *, first: bool = False) -> None:
        with priority(level):
            await front.acquire(first=first)
        order.append(name)

    calls = [
        asyncio.ensure_future(one)
        for one in (
            take("bulk", Priority.BULK),
            take("call", Priority.INTERACTIVE),
            take("old call", Priority.INTERACTIVE, first=True),
        )
    ]
    await asyncio.gather(*calls)
    assert order == ["old call", "call", "bulk"]


@virtual_time
async def test_a_pause_holds_everybody_and_a_permit_that_came_meanwhile_is_not_used() -> None:
    limiter = Talkative(gap=1)
    front = front_of(limiter, LoopClock())
    waiting = asyncio.ensure_future(front.acquire())
    await asyncio.sleep(0.5)
    front.pause(5)
    begun = now()
    await waiting
    assert now() - begun == pytest.approx(6)
    assert limiter.asked == 2
    assert front.permits == 1
    assert front.paused_seconds == 5
    assert limiter.heard == [("pause", 5)]


@virtual_time
async def test_a_throttle_is_told_and_the_limiter_slows_down() -> None:
    limiter = Talkative(gap=0.25)
    behaviours = [answer(http(b"", "429 Too Many Requests", ["Retry-After: 3"]))]
    async with FaultServer(*behaviours, then=answer(faults.GOOD)) as server:
        pandapon = client(server.url, limiter=limiter, timeout=60, retry=RetryPolicy(attempts=2))
        await pandapon.request("POST", "/thing", safety=Safety.READ)
        assert pandapon.statistics.slowed == pandapon.limiter.slowed == 1
        assert (pandapon.statistics.slowed_to, pandapon.limiter.configured) == (2.0, 4.0)
        assert pandapon.limiter.paused_seconds == pytest.approx(3)
        ((what, seconds, sent),) = limiter.heard
        assert (what, seconds) == ("throttled", 3)
        assert sent <= now() - 3
        await pandapon.aclose()
        assert limiter.heard[1:] == [("close", pandapon._pipeline.calls)]


@virtual_time
async def test_clients_that_share_one_share_the_queue_and_the_pause() -> None:
    limiter = Plain(gap=0.1)
    async with FaultServer() as server:
        one, other = client(server.url, limiter=limiter), client(server.url, limiter=limiter)
        assert one.limiter is other.limiter
        assert client(server.url, limiter=Plain()).limiter is not one.limiter
        one.limiter.pause(4)
        begun = now()
        await other.request("POST", "/thing", safety=Safety.READ)
        assert now() - begun == pytest.approx(4.1, abs=0.01)
        await one.aclose()
        await other.request("POST", "/thing", safety=Safety.READ)
        await other.aclose()


@pytest.mark.parametrize("rate", [None, 4.0])
@virtual_time
async def test_an_old_permit_is_exchanged_by_a_second_question(rate: float | None) -> None:
    class Slow(Journal):
        delay = 0.0

        async def sending(self, *arguments: Any, **more: Any) -> None:
            await super().sending(*arguments, **more)
            await asyncio.sleep(self.delay)

    limiter = Talkative(gap=0.5)
    limiter.rate = rate
    journal = Slow(clock=LoopClock())
    async with FaultServer() as server, client(server.url, limiter=limiter, journal=journal) as pandapon:
        for delay, asked in ((0.04, 1), (0.06, 1 if rate else 2), (0.26, 2)):
            journal.delay, limiter.asked = delay, 0
            await pandapon.request("POST", f"/thing/{delay}")
            assert limiter.asked == asked, delay
    await journal.aclose()


# --- one that fails


@pytest.mark.parametrize("failure", [OSError("canary-password@limiter"), asyncio.CancelledError("canary")])
@virtual_time
async def test_a_limiter_that_fails_means_not_sent_and_quotes_nothing(failure: BaseException) -> None:
    class Failing(Plain):
        async def acquire(self) -> None:
            await super().acquire()
            if self.asked <= 2:
                raise failure

    limiter = Failing(gap=0.1)
    async with FaultServer() as server:
        pandapon = client(server.url, limiter=limiter, retry=RetryPolicy(attempts=1))
        calls = [asyncio.ensure_future(outcome(pandapon.request("POST", f"/{n}"))) for n in range(3)]
        errors = await asyncio.gather(*calls)
        assert [type(error) for error in errors] == [NotSentError, NotSentError, type(None)]
        first = errors[0]
        assert first is not None
        assert type(failure).__name__ in str(first)
        assert "nothing was sent" in str(first)
        assert "canary" not in f"{first} {first.__cause__!r} {first.__context__!r}"
        at_rest(pandapon)
        await pandapon.aclose()
        again = client(server.url, limiter=Failing(gap=0.1), retry=RetryPolicy(attempts=3, base=0.01))
        await again.request("POST", "/thing")
        await again.aclose()


@virtual_time
async def test_failures_of_what_is_optional_cost_no_call(caplog: pytest.LogCaptureFixture) -> None:
    behaviours = [answer(http(b"", "429 Too Many Requests", ["Retry-After: 1"]))]
    async with FaultServer(*behaviours, then=answer(faults.GOOD)) as server:
        with caplog.at_level(logging.ERROR, "pandapon_async"):
            async with client(server.url, limiter=Broken(), retry=RetryPolicy(attempts=2)) as pandapon:
                await pandapon.request("POST", "/thing", safety=Safety.READ)
    assert "the limiter failed: OSError in " in caplog.text
    assert "canary" not in caplog.text


def test_one_limiter_serves_one_loop_after_another() -> None:
    limiter = Plain(gap=0.5)

    async def one_call() -> None:
        front = front_of(limiter, LoopClock())
        await front.acquire()
        waiting = asyncio.ensure_future(front.acquire())
        await asyncio.sleep(0.1)
        waiting.cancel()

    run(one_call())
    run(one_call())


@given(
    seed=st.integers(),
    steps=st.lists(st.sampled_from(["call", "cancel", "pause", "wait", "fail"]), max_size=30),
)
def test_nobody_waits_for_ever_and_nobody_goes_in_a_pause(seed: int, steps: list[str]) -> None:
    chance = random.Random(seed)

    class Whimsical(Plain):
        fails = 0

        async def acquire(self) -> None:
            await super().acquire()
            if self.fails:
                self.fails -= 1
                raise OSError

    async def scenario() -> None:
        limiter = Whimsical(gap=0.2)
        front = front_of(limiter, LoopClock())
        pauses: list[tuple[float, float]] = []
        granted: list[float] = []

        async def take(deadline: float) -> None:
            with priority(chance.choice(list(Priority))):
                granted.append(await front.acquire(deadline, first=chance.random() < 0.2))

        calls: list[asyncio.Task[BaseException | None]] = []
        for step in steps:
            match step:
                case "call":
                    deadline = now() + chance.choice([0.1, 1, 100])
                    calls += [asyncio.ensure_future(outcome(take(deadline))) for _ in range(3)]
                case "cancel" if calls:
                    chance.choice(calls).cancel()
                case "pause":
                    seconds = chance.choice([0.1, 0.7, 3])
                    pauses.append((now(), now() + seconds))
                    front.pause(seconds)
                case "fail":
                    limiter.fails += 1
            await asyncio.sleep(chance.choice([0, 0.01, 0.3]))
        await asyncio.gather(*calls, return_exceptions=True)
        await settle()
        assert front.waiting == 0
        assert limiter.under_way == 0
        assert not any(begin < moment < end for begin, end in pauses for moment in granted)
        assert len(granted) <= front.permits <= len(limiter.given)

    run(scenario())
