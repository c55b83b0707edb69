"""One attempt is one nonce is one request on the wire, whatever aiohttp would like to repeat."""

from __future__ import annotations

import aiohttp
import pytest

from pandapon_async import OutcomeUnknownError, Safety
from pandapon_async.core.signing import signature
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import KEY, SECRET, at_rest, client
from tests.support.server import Behaviour, Exchange, FaultServer, ok
from tests.support.virtual import virtual_time


async def drop(exchange: Exchange) -> None:
    """Read the whole request, then close: the server may well have acted on it."""
    await exchange.request()
    exchange.close()


async def reset(exchange: Exchange) -> None:
    await exchange.request()
    exchange.reset()


async def half_an_answer(exchange: Exchange) -> None:
    await exchange.request()
    await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    exchange.close()


DROPS: list[Behaviour] = [drop, reset, half_an_answer]
VERBS = ["GET", "PUT", "DELETE", "POST"]


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "kept alive"])
@virtual_time
async def test_bare_aiohttp_sends_a_dropped_get_twice(warm: bool) -> None:
    """The reason for the middleware; if aiohttp ever stops doing this, all that follows proves nothing."""
    async with FaultServer(*[ok()] * warm, drop, drop) as server, aiohttp.ClientSession() as session:
        if warm:
            await (await session.get(server.url)).read()
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.get(server.url + "/cancel/1")
        assert [seen.target for seen in server.requests[warm:]] == ["/cancel/1", "/cancel/1"]


@pytest.mark.parametrize("warm", [False, True], ids=["fresh", "kept alive"])
@pytest.mark.parametrize("dropped", DROPS)
@virtual_time
async def test_cancel_is_sent_once(dropped: Behaviour, warm: bool) -> None:
    async with FaultServer(*[ok()] * warm, dropped) as server, client(server.url) as pandapon:
        if warm:
            await pandapon.request("GET", "/warm", safety=Safety.READ)
        with pytest.raises(OutcomeUnknownError) as caught:
            await pandapon.v1.taobao.refunds.cancel(refund_id=110000235001)
        assert [seen.target for seen in server.requests[warm:]] == ["/open/order/refund/cancel/110000235001"]
        assert server.connections == 1
        error = caught.value
        assert error.attempts == 1
        assert error.endpoint == "taobao.refunds.cancel"
        assert error.intent_id
        assert not error.retryable
        at_rest(pandapon)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("safety", [Safety.CHECKED, Safety.ONCE, Safety.NEVER_AUTOMATIC])
@virtual_time
async def test_a_write_is_sent_once_whatever_its_verb(safety: Safety, verb: str) -> None:
    async with FaultServer(ok(), then=drop) as server, client(server.url) as pandapon:
        await pandapon.request("GET", "/warm", safety=Safety.READ)
        with pytest.raises(OutcomeUnknownError):
            await pandapon.request(verb, "/thing", safety=safety)
        assert len(server.requests) == 2


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("dropped", DROPS)
@virtual_time
async def test_a_read_is_retried_with_a_fresh_signature(dropped: Behaviour, verb: str) -> None:
    async with (
        FaultServer(ok(), dropped, dropped, dropped) as server,
        client(server.url) as pandapon,
    ):
        await pandapon.request("GET", "/warm", safety=Safety.READ)
        response = await pandapon.request(verb, "/thing", safety=Safety.READ).with_response()
        assert response.attempts == 4
        sent = server.requests[1:]
        assert len(sent) == 4
        for name in ("nonce-str", "timestamp", "signature"):
            assert len({seen.header(name) for seen in sent}) == 4
        for seen in sent:
            expected = signature(KEY, seen.header("timestamp") or "", seen.nonce, SECRET)
            assert seen.header("signature") == expected
