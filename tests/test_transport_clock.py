"""Clocks that are wrong: timestamps are corrected where that helps, and nothing else takes notice."""

from __future__ import annotations

import asyncio
import logging
import pickle
from email.utils import formatdate
from typing import Any

import attrs
import pytest

from pandapon_async import (
    AuthenticationError,
    Client,
    DeadlineExceededError,
    DuplicateIntentError,
    Limiter,
    RateLimitError,
    RetryPolicy,
    Safety,
    Settings,
    bulk,
)
from pandapon_async.sandbox import Sandbox
from pandapon_async.transport.server_time import REST
from tests.support.bench import FreshClock
from tests.support.clients import client
from tests.support.server import Behaviour, Exchange, FaultServer, envelope, http
from tests.support.virtual import VirtualLoop, outcome, settle, virtual_time


class Wrong(FreshClock):
    """A machine whose wall clock is `off` seconds ahead of the truth, and can be set."""

    def __init__(self, off: float = 0.0) -> None:
        super().__init__()
        self.off = off

    def wall(self) -> float:
        return super().wall() + self.off


def sandbox(**given: Any) -> Sandbox:
    """A sandbox whose own clock is right."""
    return Sandbox(refunds=20, seed=4, clock=FreshClock(), sleep=asyncio.sleep, **given)


def of(server: Sandbox, clock: Wrong, **changes: Any) -> Client:
    given: dict[str, Any] = {"base_url": server.base_url, "rate": None, "clock": clock}
    return Client(server.credentials, Settings(**{**given, **changes}))


def read(pandapon: Client) -> Any:
    return pandapon.request("POST", "/open/order/refund/queryList", json={}, safety=Safety.READ)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# --- what is corrected


@pytest.mark.parametrize("unit", ["ms", "s"])
@pytest.mark.parametrize("status", [200, 401])
@pytest.mark.parametrize("off", [-663.0, 663.0, 8 * 3600.0])
@virtual_time
async def test_a_read_is_signed_anew_once_and_later_calls_are_right_at_once(
    off: float, status: int, unit: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        sandbox(auth_status=status) as server,
        of(server, Wrong(off), timestamp_unit=unit) as pandapon,
    ):
        response = await read(pandapon).with_response()
        assert [attempt.reason for attempt in response.history] == ["AuthenticationError", None]
        assert pandapon.clock_correction == pytest.approx(-off, abs=1)
        for copy in (pandapon, pandapon.with_settings(timeout=5)):
            assert (await read(copy).with_response()).attempts == 1, "copies know it too"
        assert len(server.log) == 4
    assert len(warnings(caplog)) == 1
    assert warnings(caplog)[0].startswith("this machine's clock is ")


@virtual_time
async def test_a_burst_with_a_wrong_clock_is_repeated_once_each(caplog: pytest.LogCaptureFixture) -> None:
    """All are on their way before the first is refused; the correction that one brings serves all."""
    async with sandbox() as server, of(server, Wrong(-3600), concurrency=50) as pandapon:
        responses = await asyncio.gather(*(read(pandapon).with_response() for _ in range(50)))
        assert {response.attempts for response in responses} == {2}
        assert len(server.log) == 100
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("safety", [Safety.ONCE, Safety.CHECKED, Safety.NEVER_AUTOMATIC])
@virtual_time
async def test_a_write_is_not_repeated_but_can_be_made_again(safety: Safety) -> None:
    path = "/open/order/refund/queryList"  # whatever it does: it was said to be a write
    async with sandbox() as server, of(server, Wrong(-663)) as pandapon:
        error = await outcome(pandapon.request("POST", path, json={}, safety=safety))
        assert isinstance(error, AuthenticationError)
        assert not error.retryable
        assert len(server.log) == error.attempts == 1
        assert error.clock_skew == pytest.approx(663, abs=1)
        assert "this machine's clock is 11 min " in str(error)
        assert "behind the server's; later calls are signed with the server's time" in str(error)
        assert str(pickle.loads(pickle.dumps(error))) == str(error)
        # Nobody can see whether it was carried out: that it was not is for the caller to say.
        assert isinstance(
            await outcome(pandapon.request("POST", path, json={}, safety=safety)), DuplicateIntentError
        )
        willing = pandapon.with_settings(resend_throttled=True)
        assert (await willing.request("POST", path, json={}, safety=safety).with_response()).attempts == 1


@virtual_time
async def test_a_wrong_key_and_a_wrong_clock(caplog: pytest.LogCaptureFixture) -> None:
    async with sandbox() as server:
        wrong = attrs.evolve(server.credentials, access_secret="wrong")
        settings = Settings(base_url=server.base_url, rate=None, clock=Wrong(-663))
        async with Client(wrong, settings) as pandapon:
            error = await outcome(read(pandapon))
            assert isinstance(error, AuthenticationError)
            assert (error.attempts, error.retryable, error.clock_skew) == (2, False, None)
            again = await outcome(read(pandapon))
            assert isinstance(again, AuthenticationError)
            assert again.attempts == 1, "the clock is right now: nothing speaks for another attempt"
    assert len(warnings(caplog)) == 1


@virtual_time
async def test_with_a_right_clock_nothing_is_measured_and_nothing_repeated(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with sandbox() as server:
        wrong = attrs.evolve(server.credentials, access_secret="wrong")
        settings = Settings(base_url=server.base_url, rate=None, clock=Wrong(-20))
        async with Client(wrong, settings) as pandapon:
            error = await outcome(read(pandapon))
            assert isinstance(error, AuthenticationError)
            assert (error.attempts, pandapon.clock_correction) == (1, 0)
            assert "this machine's clock is " not in str(error)
    assert warnings(caplog) == []


@pytest.mark.parametrize(
    ("off", "changes", "told"),
    [
        (-663, {"correct_clock": False}, "11 min "),
        (-25 * 3600, {}, "25 h 0 min behind the server's; set it (NTP)"),
        (30 * 86400, {}, "720 h 0 min ahead of the server's; set it (NTP)"),
    ],
    ids=["switched off", "a day behind", "a month ahead"],
)
@virtual_time
async def test_what_is_only_told(off: float, changes: dict[str, Any], told: str) -> None:
    async with sandbox() as server, of(server, Wrong(off), **changes) as pandapon:
        for _ in range(2):
            error = await outcome(read(pandapon))
            assert isinstance(error, AuthenticationError)
            assert (error.attempts, pandapon.clock_correction) == (1, 0)
            assert told in str(error)
            assert "set it (NTP)" in str(error)


@virtual_time
async def test_one_attempt_stays_one() -> None:
    policy = RetryPolicy(attempts=1)
    async with sandbox() as server, of(server, Wrong(-663), retry=policy) as pandapon:
        error = await outcome(read(pandapon))
        assert isinstance(error, AuthenticationError)
        assert error.retryable, "it is worth a try, by whoever called"
        assert (await read(pandapon).with_response()).attempts == 1


def refusing(*headers: str) -> Behaviour:
    """A server that refuses every key, with these headers."""

    async def refuse(exchange: Exchange) -> None:
        await exchange.request()
        await exchange.send(http(envelope(None, 401), headers=headers))

    return refuse


@pytest.mark.parametrize(
    "headers",
    [[], ["Date: yesterday"], ["Date: Tue, 14 Nov 2023 22:30:00 GMT", "Age: 100"]],
    ids=["none", "junk", "from a cache"],
)
@virtual_time
async def test_without_a_date_to_go_by_the_refusal_stands(headers: list[str]) -> None:
    async with FaultServer(then=refusing(*headers)) as server, client(server.url) as pandapon:
        error = await outcome(read(pandapon))
        assert isinstance(error, AuthenticationError)
        assert (error.attempts, error.clock_skew, pandapon.clock_correction) == (1, None, 0)


@virtual_time
async def test_plain_http_to_elsewhere_is_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pandapon_async.transport.pipeline.is_loopback", lambda _: False)
    async with sandbox() as server, of(server, Wrong(-663)) as pandapon:
        error = await outcome(read(pandapon))
        assert isinstance(error, AuthenticationError)
        assert pandapon.clock_correction == 0
        assert "set it (NTP)" in str(error)


# --- clocks that move


@virtual_time
async def test_the_clock_is_set_right_during_a_run(caplog: pytest.LogCaptureFixture) -> None:
    clock = Wrong(-3600)
    async with sandbox() as server, of(server, clock) as pandapon:
        assert (await read(pandapon).with_response()).attempts == 2
        await asyncio.sleep(REST)
        clock.off = 0  # NTP at last: now it is the correction that is wrong
        assert (await read(pandapon).with_response()).attempts == 2
        assert pandapon.clock_correction == 0
        assert (await read(pandapon).with_response()).attempts == 1
        await asyncio.sleep(REST)
        clock.off = 7200
        assert (await read(pandapon).with_response()).attempts == 2
        assert (await read(pandapon).with_response()).attempts == 1
    told = warnings(caplog)
    assert len(told) == 3
    assert "is right again" in told[1]


@virtual_time
async def test_a_clock_set_right_soon_after_the_correction(caplog: pytest.LogCaptureFixture) -> None:
    clock = Wrong(-3600)
    async with sandbox() as server, of(server, clock) as pandapon:
        await read(pandapon)
        clock.off = 0
        error = await outcome(read(pandapon))
        assert isinstance(error, AuthenticationError)
        assert "this machine's clock was set meanwhile" in str(error)
        assert error.attempts == 1
        await asyncio.sleep(REST)
        assert (await read(pandapon).with_response()).attempts == 2
    assert len(warnings(caplog)) == 2


@virtual_time
async def test_servers_that_contradict_each_other_do_not_make_it_swing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Two machines behind one address, an hour apart, and both refuse whatever comes."""
    turn = 0

    async def refuse(exchange: Exchange) -> None:
        nonlocal turn
        turn += 1
        date = 1_700_000_000 + asyncio.get_running_loop().time() + (3600 if turn % 2 else -3600)
        await exchange.request()
        await exchange.send(http(envelope(None, 401), headers=[f"Date: {formatdate(date, usegmt=True)}"]))

    async with FaultServer(then=refuse) as server, client(server.url) as pandapon:
        for _ in range(100):
            error = await outcome(read(pandapon))
            assert isinstance(error, AuthenticationError)
            assert error.attempts <= 2
            await asyncio.sleep(1)
        assert len(warnings(caplog)) <= 1 + 110 // REST


@virtual_time
async def test_one_repeat_a_call_however_often_the_server_changes_its_mind() -> None:
    """Each answer takes longer than corrections rest, and is an hour off from the one before."""
    turn = 0

    async def refuse(exchange: Exchange) -> None:
        nonlocal turn
        turn += 1
        await exchange.request()
        await asyncio.sleep(REST + 1)
        date = 1_700_000_000 + asyncio.get_running_loop().time() + 3600 * turn
        await exchange.send(http(envelope(None, 401), headers=[f"Date: {formatdate(date, usegmt=True)}"]))

    async with FaultServer(then=refuse) as server, client(server.url, timeout=1000) as pandapon:
        error = await outcome(read(pandapon))
        assert isinstance(error, AuthenticationError)
        assert (error.attempts, error.retryable, turn) == (2, False, 2)


@virtual_time
async def test_a_wall_clock_that_jumps_moves_neither_deadline_nor_rate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Set forward and back all the time by less than the vendor minds: nothing is seen of it."""
    clock = Wrong()
    loop = asyncio.get_running_loop()
    async with sandbox() as server, of(server, clock, rate=20, timeout=30) as pandapon:

        async def jump() -> None:
            for off in (500, -500, 0, -590, 590) * 3:
                clock.off = off
                await asyncio.sleep(0.2)

        began = loop.time()
        jumping = asyncio.ensure_future(jump())
        responses = await asyncio.gather(*(read(pandapon).with_response() for _ in range(61)))
        took = loop.time() - began
        assert 3.0 <= took <= 3.2
        assert all(0 <= response.seconds <= took for response in responses)
        arrivals = [seen.arrived for seen in server.log]
        assert all(sum(start <= one < start + 1 for one in arrivals) <= 20 for start in arrivals)
        pandapon.limiter.pause(5)
        clock.off = -86400 * 365
        assert isinstance(await outcome(read(pandapon.with_settings(timeout=2))), DeadlineExceededError)
        clock.off = 0
        assert (await read(pandapon.with_settings(timeout=20)).with_response()).waited == pytest.approx(5)
        await jumping


@virtual_time
async def test_a_stalled_loop_does_not_let_a_burst_through() -> None:
    """All timers are late by seconds; what they let go afterwards is still no more than the rate."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    async with sandbox(rate=20) as server, of(server, Wrong(), rate=20, timeout=60) as pandapon:
        calls = [asyncio.ensure_future(read(pandapon)) for _ in range(120)]
        for seconds in (0.7, 2.5, 0.3, 1.1, 4.0):
            await asyncio.sleep(0.33)
            loop.stall(seconds)
            await settle()
        await asyncio.gather(*calls)
        assert server.counters.rate_refused == 0
        assert server.counters.busiest_second <= 20


# --- dates the server asks for


@virtual_time
async def test_a_retry_after_date_is_read_by_the_servers_clock() -> None:
    """An hour behind, "in two seconds" would be an hour away."""

    async def busy(exchange: Exchange) -> None:
        now = int(1_700_000_000 + asyncio.get_running_loop().time())
        dates = [f"Date: {formatdate(now, usegmt=True)}", f"Retry-After: {formatdate(now + 2, usegmt=True)}"]
        await exchange.request()
        await exchange.send(http(b"", "429 Slow", dates))

    async with FaultServer(busy, busy) as server, client(server.url, clock=Wrong(-3600)) as pandapon:
        began = asyncio.get_running_loop().time()
        once = pandapon.with_settings(retry=RetryPolicy(attempts=1))
        error = await outcome(read(once))
        assert isinstance(error, RateLimitError)
        assert error.retry_after == 2
        await read(pandapon)
        assert 4 <= asyncio.get_running_loop().time() - began <= 6


def test_a_limiter_never_asks_for_the_wall_clock() -> None:
    class NoWall(FreshClock):
        def wall(self) -> float:
            raise AssertionError("the wall clock was asked")

    async def scenario() -> None:
        limiter = Limiter(10, NoWall())
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(limiter.acquire(began + 60) for _ in range(20)))
        limiter.throttled(1, asyncio.get_running_loop().time())
        await limiter.acquire(began + 60)

    virtual_time(scenario)()


@virtual_time
async def test_bulk_work_takes_its_seconds_from_the_clients_clock() -> None:
    async with sandbox() as server, of(server, Wrong(), rate=2) as pandapon:
        ids = list(server.refund_ids("taobao"))[:5]
        results = [one async for one in bulk.fetch_refunds(pandapon, ids, platform="taobao", ordered=True)]
    assert [round(one.seconds, 2) for one in results] == [0, 0.51, 1.02, 1.53, 2.04]
