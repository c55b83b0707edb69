"""Whose session it is, whose loop, and what closing does to those who wait."""

from __future__ import annotations

import asyncio
import gc
import linecache
import os
import warnings
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from pandapon_async import (
    Client,
    ConfigurationError,
    ConnectionLostError,
    Credentials,
    Limiter,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
    Safety,
    Settings,
)
from tests.support import faults
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import CREDENTIALS, JPEG, at_rest, client, settings
from tests.support.server import FaultServer, answer, envelope, http
from tests.support.sweep import left_behind
from tests.support.virtual import LoopClock, outcome, run, settle, virtual_time


def read(pandapon: Client) -> asyncio.Future[BaseException | None]:
    return asyncio.ensure_future(outcome(pandapon.request("POST", "/thing", safety=Safety.READ)))


# --- whose session


@virtual_time
async def test_a_session_of_its_own_is_closed_with_it() -> None:
    async with FaultServer() as server:
        async with client(server.url) as pandapon:
            await pandapon.request("POST", "/thing")
            session = pandapon._pipeline.session._session
            assert session is not None
            assert not session.closed
        assert session.closed
        await pandapon.aclose()
        await asyncio.sleep(1)
        assert server.open == 0


@virtual_time
async def test_a_borrowed_session_is_left_open() -> None:
    async with FaultServer() as server, aiohttp.ClientSession(headers={"X-Mine": "1"}) as session:
        async with Client(CREDENTIALS, settings(server.url), session=session) as pandapon:
            await pandapon.request("POST", "/thing")
        await pandapon.aclose()
        assert not session.closed
        async with session.get(server.url) as response:
            assert response.status == 200
        assert server.requests[0].header("x-mine") == "1"
        assert server.requests[1].header("access-key") is None


@virtual_time
async def test_a_double_on_the_borrowed_session_itself_gets_its_verb() -> None:
    """`session.post = AsyncMock(...)`: no request that aiohttp's own `post` would have made goes out."""
    async with FaultServer() as server, aiohttp.ClientSession() as session:
        asked: list[Any] = []

        async def post(*arguments: Any, **_: Any) -> Any:
            asked.append(arguments)
            raise aiohttp.ClientConnectionError("a double")

        session.post = post  # type: ignore[method-assign,assignment]
        pandapon = client(server.url, session=session, retry=RetryPolicy(attempts=1))
        await outcome(pandapon.request("POST", "/thing"))
        assert len(asked) == 1
        assert server.requests == []
        await pandapon.aclose()


@virtual_time
async def test_a_borrowed_session_that_is_closed_says_so() -> None:
    session = aiohttp.ClientSession()
    await session.close()
    error = await outcome(
        Client(CREDENTIALS, settings("http://127.0.0.1:1"), session=session).request("GET", "/x")
    )
    assert isinstance(error, ConfigurationError)
    assert "borrowed" in str(error)


@virtual_time
async def test_no_cookie_is_kept_and_no_proxy_taken_from_the_environment() -> None:
    os.environ["HTTP_PROXY"] = "http://127.0.0.1:9"
    try:
        cookie = answer(http(envelope({"success": True}), headers=["Set-Cookie: a=b"]))
        async with FaultServer(then=cookie) as server, client(server.url) as pandapon:
            for _ in range(2):
                await pandapon.request("POST", "/thing")
            assert server.requests[1].header("cookie") is None
    finally:
        del os.environ["HTTP_PROXY"]


def test_making_a_client_needs_no_loop_and_opens_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pandapon = Client(CREDENTIALS, Settings(base_url="http://127.0.0.1:1"))
        assert pandapon._pipeline.session._session is None
        del pandapon
        gc.collect()


@virtual_time
async def test_closed_before_it_was_used() -> None:
    pandapon = client("http://127.0.0.1:1")
    await pandapon.aclose()
    await pandapon.aclose()
    assert isinstance(await read(pandapon), ConfigurationError)


# --- whose loop


def test_another_loop_is_a_clear_error() -> None:
    pandapon = client("http://127.0.0.1:1", retry=RetryPolicy(attempts=1))

    async def use() -> BaseException | None:
        return await read(pandapon)

    assert isinstance(run(use()), NotSentError)
    error = run(use())
    assert isinstance(error, ConfigurationError)
    assert "loop" in str(error)
    run(pandapon.aclose())


# --- closing


@virtual_time
async def test_after_closing_every_call_is_refused() -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        copy = pandapon.with_settings(timeout=5)
        await pandapon.aclose()
        for which in (pandapon, copy):
            error = await read(which)
            assert isinstance(error, ConfigurationError)
            assert "closed" in str(error)
        with pytest.raises(ConfigurationError):
            async with pandapon:
                pass
        assert server.requests == []


@virtual_time
async def test_closing_wakes_who_waits_for_a_slot_or_a_permit() -> None:
    async with FaultServer(then=faults.half_open) as server, client(server.url, concurrency=2) as pandapon:
        pandapon.limiter.pause(10)
        calls = [read(pandapon) for _ in range(5)]
        await settle()
        assert len(pandapon._pipeline.slots._queue) == 3
        assert pandapon.limiter.waiting == 2
        began = asyncio.get_running_loop().time()
        await pandapon.aclose()
        errors = await asyncio.gather(*calls)
        assert [type(error) for error in errors] == [NotSentError] * 5
        assert "closed" in str(errors[0])
        assert asyncio.get_running_loop().time() == began
        assert server.requests == []
        assert await left_behind() == set()
        at_rest(pandapon)


@virtual_time
async def test_closing_in_the_middle_of_the_way_to_the_line_is_heard_too() -> None:
    """A write notes its intent before it gets in line; nobody is there to be woken then."""
    async with FaultServer() as server, client(server.url) as pandapon:
        pandapon.limiter.pause(10)
        writing = asyncio.ensure_future(outcome(pandapon.request("POST", "/write")))
        await asyncio.sleep(0)
        assert pandapon.limiter.waiting == 0
        await pandapon.aclose()
        assert isinstance(await writing, NotSentError)
        assert asyncio.get_running_loop().time() == 1000
        assert server.requests == []
        at_rest(pandapon)


@virtual_time
async def test_closing_in_the_moment_of_a_permit_sends_nothing() -> None:
    class Closing(Limiter):
        async def acquire(self, deadline: float = float("inf"), *, first: bool = False) -> float:
            permit = await super().acquire(deadline, first=first)
            await pandapon.aclose()
            return permit

    async with FaultServer() as server:
        pandapon = client(server.url, limiter=Closing(None, LoopClock()))
        assert isinstance(await read(pandapon), NotSentError)
        assert server.requests == []
        at_rest(pandapon)


@virtual_time
async def test_closing_wakes_who_waits_before_a_repeat() -> None:
    policy = RetryPolicy(base=10)
    async with (
        FaultServer(then=faults.close_before_answer) as server,
        client(server.url, retry=policy) as pandapon,
    ):
        call = read(pandapon)
        await asyncio.sleep(1)
        assert len(server.requests) == 1
        await pandapon.aclose()
        error = await call
        assert isinstance(error, ConnectionLostError), "its first attempt went out"
        assert "nothing was sent" not in str(error)
        assert asyncio.get_running_loop().time() == 1001
        at_rest(pandapon)


@virtual_time
async def test_closing_ends_what_is_under_way_without_further_attempts() -> None:
    async with FaultServer(then=faults.half_open) as server, client(server.url) as pandapon:
        reading = read(pandapon)
        writing = asyncio.ensure_future(outcome(pandapon.request("POST", "/write")))
        await asyncio.sleep(1)
        assert len(server.requests) == 2
        await pandapon.aclose()
        assert isinstance(await reading, NotSentError | ConnectionLostError)
        assert isinstance(await writing, OutcomeUnknownError)
        assert asyncio.get_running_loop().time() == 1001
        assert len(server.requests) == 2
        at_rest(pandapon)
        assert await left_behind() == set()


@virtual_time
async def test_closing_one_of_two_that_share_a_limiter_wakes_only_its_own() -> None:
    limiter = Limiter(10, LoopClock())
    async with (
        FaultServer() as server,
        client(server.url, limiter=limiter) as one,
        client(server.url, limiter=limiter) as two,
    ):
        limiter.pause(3)
        first, second = read(one), read(two)
        await settle()
        await one.aclose()
        assert isinstance(await first, NotSentError)
        assert await second is None
        assert len(server.requests) == 1


def test_a_client_that_was_closed_leaves_no_warning() -> None:
    async def scenario() -> None:
        async with FaultServer() as server, client(server.url) as pandapon:
            await asyncio.gather(*(read(pandapon) for _ in range(5)))

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(scenario())
        gc.collect()
    assert caught == []


# --- copies


@virtual_time
async def test_copies_share_what_they_must() -> None:
    async with FaultServer(then=faults.close_before_answer) as server, client(server.url) as pandapon:
        copy = pandapon.with_settings(timeout=5, retry=RetryPolicy(attempts=1))
        await read(copy)
        assert pandapon.statistics is copy.statistics
        assert pandapon.statistics.attempts == 1
        assert pandapon.limiter is copy.limiter
        assert copy.settings.timeout == 5
        assert pandapon.settings.timeout == 30
        await read(pandapon)
        assert pandapon.statistics.attempts == 6
        await copy.aclose()
        async with copy:
            pass
        assert not pandapon._pipeline.session.closed


@pytest.mark.parametrize(
    "change",
    [
        {"rate": 5},
        {"concurrency": 1},
        {"clock": LoopClock()},
        {"limiter": None},
        {"journal": "x"},
        {"tiemout": 5},
    ],
)
def test_a_copy_cannot_change_what_is_shared(change: dict[str, Any]) -> None:
    pandapon = client("http://127.0.0.1:1")
    with pytest.raises(ConfigurationError):
        pandapon.with_settings(**change)


# --- the rest of what users hold


@virtual_time
async def test_a_deprecated_call_warns_at_the_callers_line() -> None:
    async with FaultServer(answer(http(envelope(True)))) as server, client(server.url) as pandapon:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            call = pandapon.v1.taobao.orders.upload_pay_certificate(image=JPEG, order_id=1)
        assert await call is True
        (warning,) = [warning for warning in caught if warning.category is DeprecationWarning]
        assert warning.filename == __file__
        assert "upload_pay_certificate(" in linecache.getline(__file__, warning.lineno)


def test_from_env(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(
        "PANDAPON_ACCESS_KEY=file-key\nPANDAPON_ACCESS_SECRET=file-secret\nPANDAPON_RATE=7.5\n"
    )
    monkeypatch.setenv("PANDAPON_ACCESS_KEY", "env-key")
    monkeypatch.setenv("PANDAPON_USER_ID", "12")
    monkeypatch.setenv("PANDAPON_BASE_URL", "https://doc.example/")
    pandapon = Client.from_env(env_file, timeout=3)
    credentials = pandapon._pipeline.credentials
    assert (credentials.access_key, credentials.access_secret, credentials.user_id) == (
        "env-key",
        "file-secret",
        "12",
    )
    assert (pandapon.settings.base_url, pandapon.settings.rate) == ("https://doc.example", 7.5)
    assert pandapon.settings.timeout == 3
    assert Client.from_env(env_file, rate=None).settings.rate is None
    monkeypatch.delenv("PANDAPON_USER_ID")
    with pytest.raises(ConfigurationError, match="PANDAPON_USER_ID"):
        Client.from_env(env_file)


def test_the_first_argument_must_be_credentials() -> None:
    with pytest.raises(ConfigurationError):
        Client("key", "secret")  # type: ignore[arg-type]


def test_no_repr_tells_a_secret() -> None:
    pandapon = Client(Credentials("a-key", "a-secret", "1"), Settings(base_url="http://127.0.0.1:1"))
    for thing in (
        pandapon,
        pandapon._pipeline,
        pandapon._pipeline.credentials,
        pandapon.settings,
        pandapon.v1,
    ):
        assert "a-secret" not in repr(thing)
