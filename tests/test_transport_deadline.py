"""One deadline over slot, permit, attempts and back-off; a wait that would cross it is refused at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pandapon_async import (
    Client,
    DeadlineExceededError,
    Limiter,
    Outcome,
    RateLimitError,
    RetryPolicy,
    Safety,
)
from pandapon_async.journal.intent import IntentState
from tests.support import faults
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import at_rest, client
from tests.support.faults import sent
from tests.support.server import Exchange, FaultServer, http, ok
from tests.support.virtual import LoopClock, VirtualLoop, outcome, settle, virtual_time


def now() -> float:
    return asyncio.get_running_loop().time()


def read(pandapon: Client) -> asyncio.Future[BaseException | None]:
    return asyncio.ensure_future(outcome(pandapon.request("POST", "/thing", safety=Safety.READ)))


def slow(seconds: float) -> object:
    async def behave(exchange: Exchange) -> None:
        await exchange.request()
        await asyncio.sleep(seconds)
        await exchange.send(faults.GOOD)

    return behave


@virtual_time
async def test_waiting_for_a_slot_counts() -> None:
    async with (
        FaultServer(slow(20)) as server,  # type: ignore[arg-type]
        client(server.url, concurrency=1) as pandapon,
    ):
        first = read(pandapon)
        await asyncio.sleep(1)
        began = now()
        error = await read(pandapon.with_settings(timeout=5))
        assert isinstance(error, DeadlineExceededError)
        assert error.outcome is Outcome.NOT_SENT
        assert error.attempts == 0
        assert now() == began + 5
        second = read(pandapon.with_settings(timeout=25))
        assert await first is None
        assert await second is None
        assert len(server.requests) == 2
        at_rest(pandapon)


@virtual_time
async def test_time_in_the_slot_line_is_taken_from_the_request() -> None:
    async with (
        FaultServer(slow(4), faults.half_open) as server,  # type: ignore[arg-type]
        client(server.url, concurrency=1, timeout=6) as pandapon,
    ):
        began = now()
        errors = await asyncio.gather(read(pandapon), read(pandapon))
        assert errors[0] is None
        assert isinstance(errors[1], DeadlineExceededError)
        assert now() - began == pytest.approx(6, abs=0.01)


@virtual_time
async def test_a_crowd_beyond_the_quota_is_refused_before_any_time_passes() -> None:
    """400 calls at 10 a second with 10 s each: 100 can be served, the others need not wait to learn it."""
    async with FaultServer() as server, client(server.url, rate=10, concurrency=8, timeout=10) as pandapon:
        began = now()
        calls = [read(pandapon) for _ in range(400)]
        await settle(5)
        refused = [call for call in calls if call.done()]
        assert now() == began
        assert len(refused) == 400 - 99  # one per 0.102 s
        errors = await asyncio.gather(*calls)
        assert len(server.requests) == 99
        assert {type(error) for error in errors} == {DeadlineExceededError, type(None)}
        assert now() - began <= 10
        at_rest(pandapon)


@virtual_time
async def test_a_pause_beyond_the_deadline_refuses_those_who_wait_for_a_slot_too() -> None:
    async with FaultServer() as server, client(server.url, rate=None, concurrency=2, timeout=5) as pandapon:
        pandapon.limiter.pause(3)
        calls = [read(pandapon) for _ in range(6)]
        await settle()
        pandapon.limiter.pause(60)
        began = now()
        errors = await asyncio.gather(*calls, read(pandapon))
        assert now() == began
        assert {type(error) for error in errors} == {DeadlineExceededError}
        assert server.requests == []
        at_rest(pandapon)


@virtual_time
async def test_back_off_that_would_cross_the_deadline_is_refused_at_once() -> None:
    policy = RetryPolicy(base=40, maximum=100)  # the half of 40 s is drawn
    async with (
        FaultServer(then=faults.close_before_answer) as server,
        client(server.url, timeout=19, retry=policy) as pandapon,
    ):
        began = now()
        error = await read(pandapon)
        assert isinstance(error, DeadlineExceededError)
        assert error.outcome is Outcome.UNKNOWN
        assert now() == began
        assert error.attempts == 1
        assert isinstance(error.__cause__, Exception)
        assert await read(pandapon.with_settings(timeout=21)) is not None
        assert now() - began == 20
        assert len(server.requests) == 3


@pytest.mark.parametrize("rate", [None, 10])
@virtual_time
async def test_a_throttle_that_lasts_beyond_the_deadline_is_told_at_once(rate: float | None) -> None:
    busy = sent(http(b"", "429 Too Many", ["Retry-After: 50"]))
    async with FaultServer(busy) as server, client(server.url, timeout=30, rate=rate) as pandapon:
        began = now()
        error = await outcome(pandapon.request("POST", "/thing", safety=Safety.READ))
        assert isinstance(error, DeadlineExceededError)
        assert isinstance(error.__cause__, RateLimitError)
        assert error.__cause__.retry_after == 50
        assert now() == began
        assert len(server.requests) == 1


@virtual_time
async def test_attempts_and_waits_together_stay_within_the_deadline() -> None:
    async with (
        FaultServer(then=slow(3)) as server,  # type: ignore[arg-type]
        client(server.url, timeout=10, retry=RetryPolicy(attempts=9, base=2)) as pandapon,
    ):
        server._then = _slow_then_close
        began = now()
        error = await read(pandapon)
        assert isinstance(error, DeadlineExceededError)
        assert now() - began <= 10
        assert len(server.requests) == 3  # 3 s, 1 s of back-off, 3 s, 2 s, and no time for the third


async def _slow_then_close(exchange: Exchange) -> None:
    await exchange.request()
    await asyncio.sleep(3)
    exchange.close()


@virtual_time
async def test_waits_are_told() -> None:
    async with FaultServer(faults.close_before_answer) as server, client(server.url, rate=1) as pandapon:
        response = await pandapon.request("POST", "/thing", safety=Safety.READ).with_response()
        assert response.waited == pytest.approx(1.02)  # 0.1 s of back-off and the rest for the permit
        assert [attempt.waited for attempt in response.history] == [0, pytest.approx(1.02)]
        assert response.seconds == pytest.approx(1.02)


@virtual_time
async def test_the_budget_stops_a_storm_of_retries() -> None:
    policy = RetryPolicy(attempts=5, budget=20, cost=5)
    async with (
        FaultServer(then=faults.close_before_answer) as server,
        client(server.url, retry=policy) as pandapon,
    ):
        await asyncio.gather(*(read(pandapon) for _ in range(10)))
        assert len(server.requests) == 10 + 20 // 5
        server._then = ok()
        for _ in range(5):
            assert await read(pandapon) is None
        assert pandapon._pipeline.budget.tokens == 5


@virtual_time
async def test_a_shared_limiter_paces_two_clients_together() -> None:
    limiter = Limiter(10, LoopClock())
    async with (
        FaultServer() as server,
        client(server.url, limiter=limiter) as one,
        client(server.url, limiter=limiter) as two,
    ):
        began = now()
        assert await asyncio.gather(*(read(which) for _ in range(10) for which in (one, two))) == [None] * 20
        assert now() - began == pytest.approx(19 * 0.102)
        assert limiter.permits == 20


@virtual_time
async def test_a_throttle_of_one_client_pauses_the_other_that_shares_its_quota() -> None:
    limiter = Limiter(None, LoopClock())
    busy = sent(http(b"", "429 Too Many", ["Retry-After: 7"]))
    async with (
        FaultServer(busy) as server,
        client(server.url, limiter=limiter) as one,
        client(server.url, limiter=limiter) as two,
    ):
        began = now()
        first = read(one)
        await asyncio.sleep(0.01)
        assert await read(two) is None
        assert now() - began == pytest.approx(7, abs=0.02)
        assert await first is None


@virtual_time
async def test_a_disk_that_is_slower_than_the_deadline_sends_nothing() -> None:
    """The intent is on disk, and by then there is no time left: surely not sent, and noted as that."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    async with FaultServer() as server, client(server.url, timeout=5) as pandapon:
        add = pandapon.journal.add

        async def slow(*arguments: Any, **more: Any) -> None:
            await add(*arguments, **more)
            loop.stall(60)

        pandapon.journal.add = slow  # type: ignore[method-assign]
        with pytest.raises(DeadlineExceededError) as caught:
            await pandapon.v1.taobao.refunds.cancel(refund_id="110000235001")
        assert caught.value.outcome is Outcome.NOT_SENT
        assert server.requests == []
        assert await pandapon.journal.counts() == {IntentState.NOT_SENT: 1}
        at_rest(pandapon)


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
