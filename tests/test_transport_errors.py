"""Failures with a scene of their own: what was surely not sent, whose answer it is, what an error tells."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import pickle
import random
import socket
import traceback
import weakref
from collections.abc import AsyncIterator
from email.utils import formatdate
from typing import Any

import aiohttp
import pytest

from pandapon_async import (
    Client,
    ConfigurationError,
    ConnectionLostError,
    DeadlineExceededError,
    MalformedResponseError,
    NotSentError,
    Outcome,
    OutcomeUnknownError,
    PandaponError,
    RateLimitError,
    RetryPolicy,
    Safety,
)
from tests.support import faults
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import CREDENTIALS, KEY, SECRET, at_rest, borrowing, client, settings
from tests.support.faults import GOOD, HTML, says, sent
from tests.support.server import Exchange, FaultServer, envelope, free_port, http
from tests.support.virtual import LoopClock, outcome, virtual_time

ALL = [Safety.READ, Safety.REPEATABLE, Safety.CHECKED, Safety.ONCE]


# --- surely not sent


@pytest.mark.parametrize("safety", ALL)
@virtual_time
async def test_connect_refused_is_not_sent_and_retried_for_all(safety: Safety) -> None:
    async with client(f"http://127.0.0.1:{free_port()}", retry=RetryPolicy(attempts=3)) as pandapon:
        error = await outcome(pandapon.request("POST", "/thing", safety=safety))
        assert type(error) is NotSentError
        assert error.outcome is Outcome.NOT_SENT
        assert error.attempts == 3
        assert [attempt.outcome for attempt in error.history] == ["not_sent"] * 3
        at_rest(pandapon)


@virtual_time
async def test_unknown_host_is_not_sent() -> None:
    async with client("https://pandapon.invalid", retry=RetryPolicy(attempts=2)) as pandapon:
        error = await outcome(pandapon.request("POST", "/thing"))
        assert type(error) is NotSentError
        assert "resolved" in str(error)
        assert error.attempts == 2


@contextlib.asynccontextmanager
async def black_hole() -> AsyncIterator[str]:
    """A listener with a full backlog: the kernel drops what wants to connect."""
    loop = asyncio.get_running_loop()
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(loop.sock_connect(filler, listener.getsockname()), 0.1)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("safety", [Safety.READ, Safety.ONCE])
@pytest.mark.parametrize(("connect", "total"), [(2.0, 30.0), (10.0, 4.0), (10.0, 30.0)])
@virtual_time
async def test_a_connect_that_takes_all_the_time_is_not_sent(
    connect: float, total: float, safety: Safety
) -> None:
    async with (
        black_hole() as url,
        client(url, connect_timeout=connect, timeout=total, retry=RetryPolicy(attempts=1)) as pandapon,
    ):
        began = asyncio.get_running_loop().time()
        error = await outcome(pandapon.request("POST", "/thing", safety=safety))
        assert type(error) is NotSentError
        spent = asyncio.get_running_loop().time() - began
        assert spent == pytest.approx(min(connect, total), rel=0.02)


@virtual_time
async def test_waiting_for_a_borrowed_pool_is_not_sent() -> None:
    async with FaultServer(faults.half_open) as server:
        connector = aiohttp.TCPConnector(limit=1)
        async with aiohttp.ClientSession(connector=connector) as session:
            pandapon = Client(CREDENTIALS, settings(server.url, timeout=5), session=session)
            first = asyncio.ensure_future(outcome(pandapon.request("POST", "/first")))
            await asyncio.sleep(1)
            short = pandapon.with_settings(timeout=1, retry=RetryPolicy(attempts=1))
            assert type(await outcome(short.request("POST", "/x"))) is NotSentError
            assert type(await first) is OutcomeUnknownError
            assert [seen.target for seen in server.requests] == ["/first"]
            await pandapon.aclose()


@virtual_time
async def test_a_bad_certificate_is_not_sent_and_not_retried() -> None:
    async with FaultServer(then=faults.reset_unread) as server:
        url = server.url.replace("http:", "https:")
        async with client(url) as pandapon:
            error = await outcome(pandapon.request("POST", "/thing"))
            assert isinstance(error, NotSentError)
            assert server.requests == []


# --- deadlines inside an attempt


@pytest.mark.parametrize("attempts", [1, 5])
@pytest.mark.parametrize("behaviour", [faults.half_open, faults.drip])
@virtual_time
async def test_the_deadline_is_kept_to_the_millisecond(behaviour: Any, attempts: int) -> None:
    policy = RetryPolicy(attempts=attempts)
    async with (
        FaultServer(then=behaviour) as server,
        client(server.url, timeout=7.3, retry=policy) as pandapon,
    ):
        began = asyncio.get_running_loop().time()
        error = await outcome(pandapon.request("POST", "/thing", safety=Safety.READ))
        assert type(error) is DeadlineExceededError
        assert error.outcome is Outcome.UNKNOWN
        assert asyncio.get_running_loop().time() - began == pytest.approx(7.3, abs=0.001)
        assert len(server.requests) == 1
        at_rest(pandapon)


# --- whose answer it is


@pytest.mark.parametrize("borrowed", [False, True], ids=["own session", "borrowed session"])
@virtual_time
async def test_an_answer_that_nobody_asked_for_is_nobodys_answer(borrowed: bool) -> None:
    """aiohttp hands what arrived on an idle connection to the next request, before the server saw it."""
    stale = http(envelope({"refundId": "of somebody else"}))
    async with (
        FaultServer(sent(GOOD, stale)) as server,
        borrowing(borrowed) as session,
        client(server.url, session) as pandapon,
    ):
        await pandapon.request("POST", "/first")
        await asyncio.sleep(1)
        assert await pandapon.request("POST", "/second") == {"success": True}
        assert [seen.target for seen in server.requests] == ["/first", "/second"]
        assert server.connections == 2
        at_rest(pandapon)


@virtual_time
async def test_two_answers_at_once_are_one_answer() -> None:
    stale = http(envelope({"refundId": "of somebody else"}))
    async with FaultServer(sent(GOOD + stale)) as server, client(server.url) as pandapon:
        assert await pandapon.request("POST", "/first") == {"success": True}
        assert await pandapon.request("POST", "/second") == {"success": True}
        assert server.connections == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("verb", ["GET", "POST"])
@virtual_time
async def test_redirects_are_not_followed(verb: str, status: int) -> None:
    async with FaultServer() as other, FaultServer() as server, client(server.url) as pandapon:
        server.on_next(sent(http(b"", f"{status} Moved", [f"Location: {other.url}/thing"])))
        error = await outcome(pandapon.request(verb, "/thing", safety=Safety.READ))
        assert type(error) is MalformedResponseError
        assert "redirect" in str(error)
        assert (len(server.requests), other.connections) == (1, 0)


# --- Retry-After


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ([], 1.0),
        (["Retry-After: 7"], 7.0),
        (["Retry-After: 0"], 0.0),
        (["Retry-After-Ms: 250"], 0.25),
        ([f"Retry-After: {formatdate(1_700_001_009.0, usegmt=True)}"], 9.0),
        ([f"Retry-After: {formatdate(1_600_000_000.0, usegmt=True)}"], 0.0),
        (["Retry-After: -5"], 1.0),
        (["Retry-After: soon"], 1.0),
        (["Retry-After: 60"], 60.0),
    ],
)
@pytest.mark.parametrize("status", ["429 Too Many", "503 Busy", "200 OK"])
@virtual_time
async def test_retry_after_is_a_floor(status: str, headers: list[str], waits: float) -> None:
    async with (
        FaultServer(sent(http(envelope(None, 429), status, headers))) as server,
        client(server.url, timeout=100) as pandapon,
    ):
        response = await pandapon.request("POST", "/thing", safety=Safety.READ).with_response()
        assert response.attempts == 2
        jitter = 0.25  # half of throttle_base
        assert response.seconds == pytest.approx(waits + jitter, abs=0.01)
        assert pandapon.limiter.paused_seconds == pytest.approx(waits)
        assert pandapon.statistics.throttled == 1


@pytest.mark.parametrize("rate", [None, 50])
@virtual_time
async def test_a_hundred_that_were_told_to_wait_do_not_come_back_as_a_herd(rate: float | None) -> None:
    chance = random.Random(3)

    class Chance(LoopClock):
        def random(self) -> float:
            return chance.random()

    times: list[float] = []

    async def throttle_first(exchange: Exchange) -> None:
        await exchange.request()
        times.append(asyncio.get_running_loop().time() - 1000)
        busy = http(HTML, "429 Too Many", ["Retry-After: 5"])
        await exchange.send(busy if times[-1] < 5 else GOOD)

    async with (
        FaultServer(then=throttle_first) as server,
        client(server.url, rate=rate, concurrency=100, timeout=60, clock=Chance()) as pandapon,
    ):
        await asyncio.gather(*(pandapon.request("POST", "/x", safety=Safety.READ) for _ in range(100)))
        back = [time for time in times if time >= 5]
        assert len(back) == 100
        assert max(back) - min(back) >= 0.4
        for start in range(10):
            assert sum(start / 20 <= time - 5 < (start + 1) / 20 for time in back) <= 20


@virtual_time
async def test_a_retry_after_that_is_too_long_is_told_at_once() -> None:
    async with (
        FaultServer(sent(http(HTML, "429 Too Many", ["Retry-After: 3600"]))) as server,
        client(server.url, timeout=10_000) as pandapon,
    ):
        began = asyncio.get_running_loop().time()
        error = await outcome(pandapon.request("POST", "/thing", safety=Safety.READ))
        assert type(error) is RateLimitError
        assert error.retry_after == 3600
        assert asyncio.get_running_loop().time() == began


# --- what an error tells, and what it holds


CANARY = "13800000000"
LEAKY = {
    "longer than its length": sent(GOOD + f'{{"phone": "{CANARY}"}}'.encode()),
    "no head": says(f'{{"phone": "{CANARY}"}}\r\n\r\n'.encode()),
    "bad chunk size": says(
        http(headers=["Transfer-Encoding: chunked"], length=False) + f"phone{CANARY}\r\n".encode()
    ),
    "bad chunk later": sent(
        http(headers=["Transfer-Encoding: chunked"], length=False) + b"1\r\n{\r\n",
        f"phone{CANARY}\r\n".encode(),
    ),
    "bad length": says(http(headers=[f"Content-Length: {CANARY}x"], length=False)),
    "bad header": says(f"HTTP/1.1 200 OK\r\n{CANARY}\x00\r\n\r\n".encode()),
    "cut in the headers": says(f"HTTP/1.1 200 OK\r\nX-Phone: {CANARY}\r\n".encode()),
    "cut in the body": says(http(f'{{"phone": "{CANARY}"'.encode(), headers=["X: y"])[:-3]),
    "no JSON": sent(http(f"<p>{CANARY}</p>".encode())),
    "redirect": sent(http(b"", "302 Found", [f"Location: /{CANARY}"])),
    "reason": sent(http(b"", f"502 {CANARY}")),
    "refusal": sent(http(envelope({"phone": CANARY}, 4001, msg=f"{SECRET} {CANARY}"))),
    "throttle": sent(http(f"{CANARY}".encode(), "429 Too", [f"Retry-After: {CANARY}"])),
}


@pytest.mark.parametrize("safety", [Safety.READ, Safety.ONCE])
@pytest.mark.parametrize("name", LEAKY)
def test_no_error_tells_what_the_server_sent(
    name: str, safety: Safety, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)

    @virtual_time
    async def scenario() -> None:
        async with FaultServer(then=LEAKY[name]) as server, client(server.url) as pandapon:
            body = {"phone": CANARY, "name": "Zhang"}
            error = await outcome(pandapon.request("POST", "/thing", json=body, safety=safety))
            assert isinstance(error, PandaponError)
            told = "".join(traceback.format_exception(error)) + repr(error) + repr(error.history)
            told += repr(pandapon) + repr(pandapon.settings) + repr(pandapon._pipeline) + caplog.text
            signatures = {seen.header("signature") or "-" for seen in server.requests}
            for secret in (CANARY, SECRET, KEY, "Zhang", *signatures):
                assert secret not in told

    scenario()


@virtual_time
async def test_errors_survive_pickling() -> None:
    async with FaultServer(then=faults.close_before_answer) as server, client(server.url) as pandapon:
        for safety in (Safety.READ, Safety.ONCE):
            error = await outcome(pandapon.request("POST", "/thing", safety=safety))
            assert isinstance(error, PandaponError)
            again = pickle.loads(pickle.dumps(error))
            assert str(again) == str(error)
            assert again.history == error.history
            assert (again.endpoint, again.attempts) == ("POST /thing", error.attempts)
            assert again.outcome is Outcome.UNKNOWN


@pytest.mark.parametrize("safety", [Safety.READ, Safety.ONCE])
@pytest.mark.parametrize(
    "behaviour", [faults.close_before_answer, sent(http(HTML, "429 Too")), sent(http(envelope(None, 4001)))]
)
def test_a_failed_call_leaves_nothing_for_the_garbage_collector(behaviour: Any, safety: Safety) -> None:
    """Errors hold their frames, frames hold images: a cycle would keep megabytes until a full collection."""
    left: list[weakref.ref[Any]] = []

    @virtual_time
    async def scenario() -> None:
        async with FaultServer(then=behaviour) as server, client(server.url) as pandapon:
            error = await outcome(pandapon.request("POST", "/thing", safety=safety))
            while error is not None:
                if isinstance(error, PandaponError):
                    left.append(weakref.ref(error))
                error = error.__cause__ or error.__context__
            assert left
            del error
            # what waits for its turn in the loop still knows the call
            await asyncio.sleep(1)
            assert [ref() for ref in left if ref() is not None] == []

    gc.collect()
    gc.disable()
    try:
        scenario()
    finally:
        gc.enable()


@virtual_time
async def test_success_after_a_failure_leaves_nothing_for_the_garbage_collector() -> None:
    kept: list[weakref.ref[Any]] = []

    class Marked(dict[str, Any]):
        pass

    async with FaultServer(faults.close_before_answer) as server, client(server.url) as pandapon:
        body = Marked(a=1)
        kept.append(weakref.ref(body))
        gc.disable()
        try:
            await pandapon.request("POST", "/thing", json=body, safety=Safety.READ)
            del body
            await asyncio.sleep(1)
            assert kept[0]() is None
        finally:
            gc.enable()


# --- a borrowed session's own habits


@virtual_time
async def test_a_borrowed_session_that_raises_for_status_changes_nothing() -> None:
    async with (
        FaultServer(sent(http(HTML, "429 Too Many")), sent(faults.gzipped(envelope(1)))) as server,
        aiohttp.ClientSession(raise_for_status=True, auto_decompress=False) as session,
    ):
        pandapon = Client(CREDENTIALS, settings(server.url), session=session)
        assert await pandapon.request("POST", "/thing", safety=Safety.REPEATABLE) == 1
        assert pandapon.statistics.throttled == 1
        await pandapon.aclose()
        assert not session.closed


@virtual_time
async def test_whatever_aiohttp_raises_after_sending_is_unknown() -> None:
    class Broken(aiohttp.ClientResponse):
        async def start(self, connection: Any) -> Any:
            await super().start(connection)
            raise RuntimeError("a bug in a library")

    async with FaultServer() as server, aiohttp.ClientSession(response_class=Broken) as session:
        pandapon = Client(CREDENTIALS, settings(server.url), session=session)
        assert type(await outcome(pandapon.request("POST", "/once"))) is OutcomeUnknownError
        error = await outcome(pandapon.request("POST", "/read", safety=Safety.READ))
        assert type(error) is ConnectionLostError
        assert isinstance(error.__cause__, RuntimeError)
        assert len(server.requests) == 2
        await pandapon.aclose()


@virtual_time
async def test_a_signer_that_fails_leaves_nothing_taken_and_nothing_open() -> None:
    def broken(*_: str) -> str:
        raise LookupError("the key store is down")

    async with FaultServer() as server, client(server.url, signer=broken) as pandapon:
        signers: tuple[Any, ...] = (broken, lambda *_: "a\r\nX: y", lambda *_: b"bytes")
        for signer in signers:
            error = await outcome(pandapon.with_settings(signer=signer).request("POST", "/thing"))
            assert type(error) is ConfigurationError
            assert error.outcome is Outcome.NOT_SENT
            assert ("the signer failed: LookupError in" in str(error)) is (signer is broken)
            assert error.__cause__ is error.__context__ is None
        assert server.requests == []
        at_rest(pandapon)
        good = pandapon.with_settings(signer=lambda *_: "ok")
        assert await good.request("POST", "/thing") == {"success": True}
