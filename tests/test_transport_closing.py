"""Closing a client: calls under way end at once with the right error, and nothing is left of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import aiohttp
import attrs
import pytest

from pandapon_async import (
    Client,
    ConfigurationError,
    ConnectionLostError,
    DeadlineExceededError,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    PandaponError,
    RetryPolicy,
    Safety,
)
from pandapon_async.journal.intent import IntentState
from pandapon_async.journal.journal import Journal
from tests.support import faults
from tests.support.clients import JPEG, at_rest, borrowing, client
from tests.support.network import (
    deaf_peer,
    descriptors,
    serving_tls,
    slow_connects,
    slow_names,
    trusting_tls,
)
from tests.support.server import Behaviour, Exchange, FaultServer, ok
from tests.support.sweep import left_behind
from tests.support.virtual import LoopClock, VirtualLoop, outcome, run, settle, virtual_time

BODY = faults.GOOD


def stuck_after(raw: bytes) -> Behaviour:
    """Answer with so much, and nothing more."""

    async def behave(exchange: Exchange) -> None:
        await exchange.request()
        await exchange.send(raw)
        await exchange.gone()

    return behave


async def reads_nothing(exchange: Exchange) -> None:
    await asyncio.sleep(10_000)


STUCK: dict[str, tuple[Behaviour, int]] = {
    "before the answer": (stuck_after(b""), 1),
    "in the status line": (stuck_after(BODY[:5]), 1),
    "in the headers": (stuck_after(BODY[:25]), 1),
    "in the body": (stuck_after(BODY[:-5]), 1),
    "in a chunk": (stuck_after(faults.chunked(b"5\r\n{", end=b"")), 1),
    "in a body that ends by closing": (stuck_after(b"HTTP/1.0 200 OK\r\n\r\n{"), 1),
    "in an early answer": (stuck_after(b"HTTP/1.1 103 Early\r\n\r\n"), 1),
    "in an upload": (reads_nothing, 8_000_000),
}


def now() -> float:
    return asyncio.get_running_loop().time()


def own_journal() -> Journal:
    """One that the client does not close, so that it can be read afterwards."""
    return Journal(clock=LoopClock())


def call(pandapon: Client, safety: Safety, size: int = 1) -> asyncio.Task[BaseException | None]:
    return asyncio.ensure_future(
        outcome(pandapon.request("POST", "/thing", json={"a": "x" * size}, safety=safety))
    )


def deadline(pandapon: Client, calls: list[Any]) -> Any:
    return asyncio.sleep(31)


def cancel(pandapon: Client, calls: list[Any]) -> Any:
    for one in calls:
        one.cancel()
    return settle()


def close(pandapon: Client, calls: list[Any]) -> Any:
    return pandapon.aclose()


async def closed_at_once(pandapon: Client, calls: list[Any], grace: float = 0.0) -> list[Any]:
    """Close, and see that it took no longer than the grace; the errors of the calls."""
    begun = now()
    await pandapon.aclose(grace)
    assert now() - begun == pytest.approx(grace, abs=0.02)
    assert all(one.done() for one in calls)
    assert await left_behind() == set()
    at_rest(pandapon)
    with pytest.raises(ConfigurationError, match="closed"):
        await pandapon.request("POST", "/later", safety=Safety.READ)
    return [await one for one in calls]


@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize("where", STUCK)
@virtual_time
async def test_what_is_on_the_wire_is_of_unknown_outcome(where: str, borrowed: bool) -> None:
    behaviour, size = STUCK[where]
    before = descriptors()
    async with (
        FaultServer(then=behaviour) as server,
        borrowing(borrowed) as session,
    ):
        journal = own_journal()
        pandapon = client(server.url, session, journal=journal)
        calls = [call(pandapon, Safety.READ, size), call(pandapon, Safety.ONCE, size)]
        await asyncio.sleep(1)
        read, write = await closed_at_once(pandapon, calls)
        assert type(read) is ConnectionLostError
        assert type(write) is OutcomeUnknownError
        for error in (read, write):
            assert error.attempts == 1
            assert "nothing was sent" not in str(error)
        assert await journal.counts() == {IntentState.UNKNOWN: 1}
        await journal.aclose()
        if session is not None:
            assert not session.closed
    await asyncio.sleep(1)
    assert descriptors() == before


SERVING, TRUSTING = serving_tls(), trusting_tls()


@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize("end", [deadline, cancel, close])
@virtual_time
async def test_uploads_over_tls_to_a_deaf_peer_and_those_who_wait_behind_them(
    end: Callable[[Client, list[Any]], Any], borrowed: bool
) -> None:
    """All at once: what a real morning looks like when the other side hangs."""
    before = descriptors()
    async with (
        FaultServer(then=reads_nothing, tls=SERVING) as server,
        borrowing(borrowed) as session,
    ):
        pandapon = client(server.url, session, ssl_context=TRUSTING, concurrency=4, timeout=30)
        image = JPEG + bytes(990_000)
        writes = [call(pandapon, Safety.ONCE, 3_000_000 + number) for number in range(2)]
        # Who waits behind them ends first: at one moment with them, one might still get a slot and begin.
        hurried = pandapon.with_settings(timeout=20)
        uploads = [
            asyncio.ensure_future(outcome(one.alibaba.refunds.upload_voucher(image=image)))
            for one in (pandapon, pandapon, hurried, hurried)
        ]
        await asyncio.sleep(1)
        waiting = [call(pandapon, safety) for safety in (Safety.READ, Safety.ONCE)]
        await asyncio.sleep(1)
        calls = [*writes, *uploads, *waiting]
        await end(pandapon, calls)
        assert all(one.done() for one in calls)
        if end is not cancel:
            kinds = [type(one.result()) for one in calls]
            late = ConnectionLostError if end is close else DeadlineExceededError
            assert kinds[:4] == [OutcomeUnknownError] * 2 + [late] * 2
            assert {getattr(one.result(), "outcome", None) for one in calls[4:6]} == {Outcome.NOT_SENT}
        at_rest(pandapon)
        assert await left_behind() == set()
        await pandapon.aclose()
    await asyncio.sleep(1)
    assert descriptors() == before


# --- before the first byte


@attrs.define
class Held:
    """How calls are kept from sending: settings, and what is done to the client."""

    changes: dict[str, Any]
    hold: Callable[[Client], None] = lambda pandapon: None


HELD = {
    "a permit": Held({}, lambda pandapon: pandapon.limiter.pause(10)),
    "a slot": Held({"concurrency": 1}, lambda pandapon: pandapon.limiter.pause(10)),
    "the rate": Held({"rate": 0.01}),
}


@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize("what", HELD)
@virtual_time
async def test_what_waits_for_its_turn_was_not_sent(what: str, borrowed: bool) -> None:
    held = HELD[what]
    async with FaultServer(then=ok()) as server, borrowing(borrowed) as session:
        journal = own_journal()
        pandapon = client(server.url, session, timeout=1_000, journal=journal, **held.changes)
        if what == "the rate":
            await pandapon.request("POST", "/first", safety=Safety.READ)
        held.hold(pandapon)
        seen = len(server.requests)
        calls = [call(pandapon, safety) for safety in (Safety.READ, Safety.ONCE, Safety.READ)]
        await asyncio.sleep(1)
        errors = await closed_at_once(pandapon, calls)
        assert [type(error) for error in errors] == [NotSentError] * 3
        assert {error.outcome for error in errors} == {Outcome.NOT_SENT}
        assert "nothing was sent" in str(errors[0])
        assert await journal.counts() == {IntentState.NOT_SENT: 1}
        await journal.aclose()
        assert len(server.requests) == seen


@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize("what", ["names", "connections"])
@virtual_time
async def test_what_is_still_connecting_was_not_sent(what: str, borrowed: bool) -> None:
    slow = slow_names(20) if what == "names" else slow_connects(lambda: 20)
    async with FaultServer() as server, borrowing(borrowed) as session:
        with slow:
            pandapon = client(f"http://localhost:{server.port}", session)
            calls = [call(pandapon, Safety.READ), call(pandapon, Safety.ONCE)]
            await asyncio.sleep(1)
            begun = now()
            await pandapon.aclose()
            assert now() == begun
            assert [type(await one) for one in calls] == [NotSentError] * 2
            assert server.requests == []


@virtual_time
async def test_a_call_between_two_attempts_does_not_say_that_nothing_was_sent() -> None:
    policy = RetryPolicy(base=50, maximum=100)
    async with FaultServer(then=faults.close_before_answer) as server:
        pandapon = client(server.url, retry=policy, timeout=200)
        one = call(pandapon, Safety.REPEATABLE)
        await asyncio.sleep(1)
        (error,) = await closed_at_once(pandapon, [one])
        assert type(error) is ConnectionLostError
        assert error.outcome is Outcome.UNKNOWN
        assert "nothing was sent" not in str(error)
        assert error.attempts == 1


# --- grace


@virtual_time
async def test_calls_may_end_within_the_grace_and_new_ones_are_refused_meanwhile() -> None:
    async def slow(exchange: Exchange) -> None:
        await exchange.request()
        await asyncio.sleep(3)
        await exchange.send(BODY)

    async with FaultServer(then=slow) as server:
        pandapon = client(server.url, concurrency=1)
        calls = [call(pandapon, Safety.READ) for _ in range(3)]
        await asyncio.sleep(1)
        begun = now()
        closing = asyncio.ensure_future(pandapon.aclose(grace=6))
        await settle()
        with pytest.raises(ConfigurationError, match="closed"):
            await pandapon.request("POST", "/later", safety=Safety.READ)
        await closing
        assert now() - begun == pytest.approx(6, abs=0.02)
        assert [type(await one) for one in calls] == [type(None), type(None), ConnectionLostError]


@virtual_time
async def test_who_is_done_early_need_not_be_waited_for() -> None:
    async with FaultServer() as server:
        pandapon = client(server.url)
        await pandapon.request("POST", "/thing", safety=Safety.READ)
        begun = now()
        await asyncio.gather(pandapon.aclose(grace=100), pandapon.aclose(grace=100))
        assert now() == begun


@virtual_time
async def test_a_second_closing_need_not_wait_for_the_grace_of_the_first() -> None:
    async with FaultServer(then=stuck_after(b"")) as server:
        pandapon = client(server.url, timeout=1_000)
        one = call(pandapon, Safety.READ)
        await asyncio.sleep(1)
        first = asyncio.ensure_future(pandapon.aclose(grace=500))
        await asyncio.sleep(1)
        begun = now()
        await pandapon.aclose()
        await first
        assert now() == begun
        assert type(await one) is ConnectionLostError


# --- the journal


@virtual_time
async def test_a_journal_that_does_not_answer_holds_closing_for_two_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with FaultServer(then=stuck_after(b"")) as server:
        journal = own_journal()
        pandapon = client(server.url, journal=journal)
        resolve = journal.resolve_soon

        async def slow(*arguments: Any, **more: Any) -> bool:
            await asyncio.sleep(60)
            noted = resolve(*arguments, **more)
            assert noted is not None
            return await noted

        journal.resolve_soon = lambda *some, **more: asyncio.ensure_future(slow(*some, **more))  # type: ignore[method-assign]
        one = call(pandapon, Safety.ONCE)
        await asyncio.sleep(1)
        begun = now()
        with caplog.at_level(logging.ERROR, "pandapon_async"):
            await pandapon.aclose()
        assert now() - begun <= 2.1
        assert type(await one) is OutcomeUnknownError
        assert "could not be recorded within 2 s: 1. Rows that stay" in caplog.text
        await asyncio.sleep(60)
        assert await journal.counts() == {IntentState.UNKNOWN: 1}
        await journal.aclose()


# --- nobody waits: the connection is aborted


@pytest.mark.parametrize("end", [deadline, cancel, close])
@pytest.mark.parametrize("borrowed", [False, True], ids=["own", "borrowed"])
@pytest.mark.parametrize("size", [200_000, 3_000_000])
@virtual_time
async def test_a_peer_that_stops_reading_costs_no_descriptor(
    size: int, borrowed: bool, end: Callable[[Client, list[Any]], Any]
) -> None:
    """Politely closed, a connection with unsent data waits for ever."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    with deaf_peer() as url:
        async with borrowing(borrowed) as session:
            pandapon = client(url, session, timeout=30, retry=RetryPolicy(attempts=1))
            before = descriptors()
            calls = [call(pandapon, Safety.READ, size) for _ in range(10)]
            await asyncio.sleep(1)
            assert len(descriptors()) == len(before) + 10
            await end(pandapon, calls)
            await asyncio.gather(*calls, return_exceptions=True)
            await settle()
            assert descriptors() == before
            await pandapon.aclose()
            assert now() <= 1_032
    assert await left_behind() == set()


def test_a_client_that_was_closed_with_calls_under_way_leaves_no_complaint() -> None:
    async def scenario() -> None:
        async with FaultServer(then=stuck_after(b"")) as server:
            pandapon = client(server.url)
            calls = [call(pandapon, Safety.READ) for _ in range(5)]
            await asyncio.sleep(1)
            await pandapon.aclose()
            errors = await asyncio.gather(*calls)
            assert all(isinstance(error, PandaponError) for error in errors)

    run(scenario())


@virtual_time
async def test_closing_ends_its_own_calls_over_a_shared_session_only() -> None:
    async with FaultServer(then=stuck_after(b"")) as server, aiohttp.ClientSession() as session:
        one, other = client(server.url, session), client(server.url, session)
        mine, theirs = call(one, Safety.READ), call(other, Safety.READ)
        await asyncio.sleep(1)
        await one.aclose()
        assert type(await mine) is ConnectionLostError
        assert not theirs.done()
        await other.aclose()
        await theirs
