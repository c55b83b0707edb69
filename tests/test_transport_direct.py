"""Around aiohttp's session or by it: the same on the wire, and by it wherever somebody wants to see it."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from aioresponses import aioresponses
from yarl import URL

from pandapon_async import (
    ConfigurationError,
    ConnectionLostError,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
)
from pandapon_async.transport import direct
from pandapon_async.transport.exchange import STALE_CONNECTIONS
from tests.support.clients import at_rest, borrowing, client
from tests.support.server import FaultServer, RequestRecord, answer, envelope, http
from tests.support.virtual import LoopClock, outcome, virtual_time

OF_ONE_ATTEMPT = {"timestamp", "nonce-str", "signature", "host"}  # the host has the server's port


@pytest.fixture
def by_session(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The targets of all requests that go by aiohttp's session."""
    seen: list[str] = []
    original = aiohttp.ClientSession._request

    @functools.wraps(original)
    async def look(self: aiohttp.ClientSession, method: str, url: Any, **more: Any) -> aiohttp.ClientResponse:
        seen.append(URL(url).path)
        return await original(self, method, url, **more)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", look)
    own = direct.is_aiohttps
    monkeypatch.setattr(direct, "is_aiohttps", lambda function: function is look or own(function))
    return seen


async def sent(
    method: str, body: dict[str, Any] | None, params: dict[str, Any], *, borrowed: bool
) -> RequestRecord:
    async with (
        FaultServer() as server,
        borrowing(borrowed) as session,
        client(server.url, session) as pandapon,
    ):
        await pandapon.request(method, "/thing", json=body, params=params)
        (seen,) = server.requests
        return seen


@pytest.mark.parametrize("params", [{}, {"a": "1", "b": "ü&=/ %", "c": ["1", "2"]}], ids=["", "query"])
@pytest.mark.parametrize("body", [None, {}, {"text": "é" * 1000}], ids=["no body", "empty", "body"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE"])
@virtual_time
async def test_the_same_on_the_wire(
    method: str, body: dict[str, Any] | None, params: dict[str, Any], by_session: list[str]
) -> None:
    one = await sent(method, body, params, borrowed=False)
    assert by_session == []
    other = await sent(method, body, params, borrowed=True)
    assert by_session == ["/thing"]
    assert (one.method, one.target, one.body) == (other.method, other.target, other.body)
    assert {name for name, _ in one.headers} == {name for name, _ in other.headers}
    plain, usual = (
        sorted(header for header in seen.headers if header[0] not in OF_ONE_ATTEMPT) for seen in (one, other)
    )
    assert plain == usual
    assert len(one.headers) == len(other.headers)


@virtual_time
async def test_the_connection_is_used_again_whichever_way_the_last_request_went(
    by_session: list[str],
) -> None:
    async with FaultServer() as server, client(server.url) as pandapon:
        await pandapon.request("POST", "/small", json={})
        await pandapon.request("POST", "/large", json={"text": "x" * 1_000_000})
        await pandapon.request("POST", "/small", json={})
        assert by_session == ["/large"]
        assert server.connections == 1
        at_rest(pandapon, idle=1)


# --- those who look at sessions


@virtual_time
async def test_what_aioresponses_is_to_answer_never_leaves_the_process() -> None:
    """Users test their own code with it: a call that went out all the same could move money.

    Only its exceptions are tried here, as 0.7.9 cannot make an answer of this aiohttp's.
    """
    async with FaultServer() as server, client(server.url, retry=RetryPolicy(attempts=1)) as pandapon:
        await pandapon.request("POST", "/thing")
        with aioresponses() as mocked:
            mocked.post(f"{server.url}/thing", exception=aiohttp.ServerDisconnectedError())
            lost = await outcome(pandapon.request("POST", "/thing", json={"b": 2}))
            ((call,),) = mocked.requests.values()
        assert type(lost) is OutcomeUnknownError
        assert type(lost.__cause__) is ConnectionLostError
        assert json.loads(call.kwargs["data"]) == {"b": 2}
        await pandapon.request("POST", "/other")
        assert [seen.target for seen in server.requests] == ["/thing", "/other"]


@virtual_time
async def test_traces_that_are_put_into_every_session_see_every_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As OpenTelemetry and Sentry do it."""
    seen: list[str] = []

    async def begin(_: Any, __: Any, params: aiohttp.TraceRequestStartParams) -> None:
        seen.append(params.url.path)

    make: Callable[..., None] = aiohttp.ClientSession.__init__

    def traced(self: aiohttp.ClientSession, *arguments: Any, **more: Any) -> None:
        trace = aiohttp.TraceConfig()
        trace.on_request_start.append(begin)
        make(self, *arguments, trace_configs=[trace], **more)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", traced)
    async with FaultServer() as server, client(server.url) as pandapon:
        await pandapon.request("POST", "/thing")
    assert seen == ["/thing"]


@virtual_time
async def test_an_aiohttp_that_is_made_otherwise_is_used_by_its_session(
    monkeypatch: pytest.MonkeyPatch, by_session: list[str]
) -> None:
    monkeypatch.setattr(direct, "_KNOWN", False)
    async with FaultServer() as server, client(server.url) as pandapon:
        assert await pandapon.request("POST", "/thing") == {"success": True}
    assert by_session == ["/thing"]


@pytest.mark.parametrize("gone", ["method", "parameter"])
def test_an_aiohttp_without_what_is_used_is_recognised(gone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if gone == "method":
        monkeypatch.delattr(aiohttp.TCPConnector.__mro__[1], "connect")
    else:
        monkeypatch.setattr(aiohttp.TCPConnector, "connect", lambda self, request: None)
    assert not direct._known()


def test_this_aiohttp_is_as_known() -> None:
    """If this fails with a new aiohttp: read `ClientSession._request` again, and what `Direct` does of it."""
    assert direct._KNOWN


# --- what no test of the faults meets


@virtual_time
async def test_answers_before_the_answer_are_not_it() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3
    behave = answer(early + http(envelope({"success": True})))
    async with FaultServer(behave) as server, client(server.url) as pandapon:
        assert await pandapon.request("POST", "/thing") == {"success": True}
        at_rest(pandapon, idle=1)


@virtual_time
async def test_a_server_whose_connections_always_talk_first_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("aiohttp.client_proto.ResponseHandler.should_close", True)
    async with FaultServer() as server, client(server.url, retry=RetryPolicy(attempts=1)) as pandapon:
        error = await outcome(pandapon.request("POST", "/thing"))
        assert type(error) is NotSentError
        assert "before the request" in str(error)
        assert server.requests == []
        assert server.connections == STALE_CONNECTIONS
        at_rest(pandapon, idle=0)


@pytest.mark.parametrize("nonce", ["a\r\nX-Other: 1", "a\nb", "ü", ""], ids=ascii)
@virtual_time
async def test_a_clock_of_ones_own_puts_no_line_into_the_head(nonce: str) -> None:
    class Odd(LoopClock):
        def nonce(self) -> str:
            return nonce

    async with FaultServer() as server, client(server.url, clock=Odd()) as pandapon:
        error = await outcome(pandapon.request("POST", "/thing"))
        assert type(error) is ConfigurationError
        assert server.requests == []
        at_rest(pandapon)
