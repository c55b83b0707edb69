"""Who takes the network away in tests, or watches it: no request more goes out than with bare aiohttp.

Users test their own code with such doubles: a call that went out all the same could move money. Each double
meets a session that was used before and a new one, of bare aiohttp and of this client. Where a double itself
fails with this aiohttp, it does so for bare aiohttp as well: what counts is what reaches the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import subprocess
import sys
import textwrap
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any
from unittest import mock

import aiohttp
import attrs
import pytest

from pandapon_async import Client, RetryPolicy
from tests.support.clients import CREDENTIALS, settings
from tests.support.server import FaultServer
from tests.support.virtual import outcome, virtual_time

REFUSED = AssertionError("network use in a unit test")


@attrs.define
class Watch:
    """What a double saw of requests that it let through; None if it is none that watches."""

    seen: int | None = None


Double = Callable[
    [str], contextlib.AbstractContextManager[Watch] | contextlib.AbstractAsyncContextManager[Watch]
]


def patched(target: str, **how: Any) -> Double:
    @contextlib.contextmanager
    def double(url: str) -> Iterator[Watch]:
        with mock.patch(target, **how):
            yield Watch()

    return double


@contextlib.contextmanager
def hand_made_session(url: str) -> Iterator[Watch]:
    """A class of one's own in the place of aiohttp's."""

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # aiohttp would rather not be derived from

        class Fake(aiohttp.ClientSession):
            async def _request(self, *_: Any, **__: Any) -> Any:
                raise REFUSED

    with mock.patch("aiohttp.ClientSession", Fake):
        yield Watch()


@contextlib.contextmanager
def hand_made_trace(url: str) -> Iterator[Watch]:
    """A wrapper of the method, as people write it to log requests."""
    watch, original = Watch(0), aiohttp.ClientSession._request

    async def logged(self: aiohttp.ClientSession, *arguments: Any, **more: Any) -> aiohttp.ClientResponse:
        assert watch.seen is not None
        watch.seen += 1
        return await original(self, *arguments, **more)

    with mock.patch.object(aiohttp.ClientSession, "_request", logged):
        yield watch


@contextlib.contextmanager
def with_aioresponses(url: str) -> Iterator[Watch]:
    from aioresponses import aioresponses

    with aioresponses() as mocked:
        mocked.post(f"{url}/pay", exception=aiohttp.ServerDisconnectedError(), repeat=True)
        yield Watch()


@contextlib.contextmanager
def with_vcrpy(url: str) -> Iterator[Watch]:
    import vcr  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with vcr.use_cassette("/nowhere/none.yaml", record_mode="none"):
        yield Watch()


@contextlib.contextmanager
def with_pook(url: str) -> Iterator[Watch]:
    import pook  # type: ignore[import-not-found,import-untyped,unused-ignore]

    pook.on()
    try:
        pook.post(f"{url}/pay").persist().reply(200).json({"code": 200, "data": {"success": True}})
        yield Watch()
    finally:
        pook.off()


@contextlib.contextmanager
def with_mocket(url: str) -> Iterator[Watch]:
    from mocket import Mocketizer  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from mocket.mocks.mockhttp import Entry  # type: ignore[import-not-found,import-untyped,unused-ignore]

    with Mocketizer(strict_mode=False):
        Entry.single_register(Entry.POST, f"{url}/pay", body='{"code":200,"data":{"success":true}}')
        yield Watch()


@contextlib.asynccontextmanager
async def with_aresponses(url: str) -> AsyncIterator[Watch]:
    from aresponses import ResponsesMockServer  # type: ignore[import-not-found,import-untyped,unused-ignore]

    async with ResponsesMockServer() as mocked:
        mocked.add(path_pattern="/pay", response="{}", repeat=mocked.INFINITY)
        yield Watch()


@contextlib.asynccontextmanager
async def with_aiointercept(url: str) -> AsyncIterator[Watch]:
    from aiointercept import aiointercept  # type: ignore[import-not-found,import-untyped,unused-ignore]

    async with aiointercept(mock_external_urls=True) as mocked:
        mocked.post(f"{url}/pay", payload={"code": 200, "data": {"success": True}}, repeat=True)
        yield Watch()


@contextlib.contextmanager
def with_opentelemetry(url: str) -> Iterator[Watch]:
    from opentelemetry.instrumentation import (  # type: ignore[import-not-found,attr-defined,unused-ignore]
        aiohttp_client,
    )

    watch = Watch(0)

    def seen(span: Any, params: Any) -> None:
        assert watch.seen is not None
        watch.seen += 1

    instrumentor = aiohttp_client.AioHttpClientInstrumentor()
    instrumentor.instrument(request_hook=seen)
    try:
        yield watch
    finally:
        instrumentor.uninstrument()


@contextlib.contextmanager
def with_sentry(url: str) -> Iterator[Watch]:
    import sentry_sdk  # type: ignore[import-not-found,import-untyped,unused-ignore]
    from sentry_sdk.integrations.aiohttp import (  # type: ignore[import-not-found,import-untyped,unused-ignore]
        AioHttpIntegration,
    )

    watch = Watch(0)

    def seen(crumb: Any, hint: Any) -> Any:
        assert watch.seen is not None
        watch.seen += crumb.get("category") == "httplib"
        return crumb

    made = aiohttp.ClientSession.__init__
    sentry_sdk.init(
        dsn="http://key@127.0.0.1:9/1", before_breadcrumb=seen, default_integrations=False,
        integrations=[AioHttpIntegration()], transport=lambda *_: None, traces_sample_rate=1.0,
    )  # fmt: skip
    try:
        with sentry_sdk.start_transaction(name="test"):
            yield watch
    finally:
        sentry_sdk.get_client().close(timeout=0)
        aiohttp.ClientSession.__init__ = made  # type: ignore[method-assign]


DOUBLES: dict[str, tuple[str | None, Double]] = {
    "ClientSession.request raises": (None, patched("aiohttp.ClientSession.request", side_effect=REFUSED)),
    "ClientSession.request, autospec": (
        None, patched("aiohttp.ClientSession.request", autospec=True, side_effect=REFUSED),
    ),
    "ClientSession.post": (None, patched("aiohttp.ClientSession.post", side_effect=REFUSED)),
    "ClientSession._request": (None, patched("aiohttp.ClientSession._request", side_effect=REFUSED)),
    "ClientRequest.send": (None, patched("aiohttp.ClientRequest.send", side_effect=REFUSED)),
    "ClientRequest.send, a function": (None, patched("aiohttp.ClientRequest.send", new=lambda *_: 1 / 0)),
    "ClientSession, the class": (None, patched("aiohttp.ClientSession", autospec=True)),
    "ClientSession, a class of one's own": (None, hand_made_session),
    "TCPConnector.connect": (None, patched("aiohttp.TCPConnector.connect", side_effect=REFUSED)),
    "TCPConnector._create_connection": (
        None, patched("aiohttp.TCPConnector._create_connection", side_effect=REFUSED),
    ),
    "a method that logs": (None, hand_made_trace),
    "aioresponses": ("aioresponses", with_aioresponses),
    "vcrpy": ("vcr", with_vcrpy),
    "pook": ("pook", with_pook),
    "mocket": ("mocket", with_mocket),
    "aresponses": ("aresponses", with_aresponses),
    "aiointercept": ("aiointercept", with_aiointercept),
    "OpenTelemetry": ("opentelemetry.instrumentation.aiohttp_client", with_opentelemetry),
    "Sentry": ("sentry_sdk", with_sentry),
}  # fmt: skip


@contextlib.asynccontextmanager
async def bare(url: str) -> AsyncIterator[Callable[[str], Any]]:
    session = aiohttp.ClientSession()

    async def post(path: str) -> None:
        async with session.post(f"{url}{path}", data=b"{}") as response:
            await response.read()

    try:
        yield post
    finally:
        with contextlib.suppress(Exception):
            await session.close()


@contextlib.asynccontextmanager
async def ours(url: str) -> AsyncIterator[Callable[[str], Any]]:
    pandapon = Client(CREDENTIALS, settings(url, retry=RetryPolicy(attempts=1), timeout=3.0))

    async def post(path: str) -> None:
        await pandapon.request("POST", path, json={})

    try:
        yield post
    finally:
        with contextlib.suppress(Exception):
            await pandapon.aclose()


Way = Callable[[str], contextlib.AbstractAsyncContextManager[Callable[[str], Any]]]


async def met(way: Way, double: Double, *, warm: bool) -> tuple[int, int | None]:
    """How many requests reach the server, and how many the double saw."""
    async with FaultServer() as server, contextlib.AsyncExitStack() as stack:
        url = f"http://localhost:{server.port}"  # some doubles leave numbers alone
        if warm:
            post = await stack.enter_async_context(way(url))
            await post("/warm")
        before = len(server.requests)
        async with contextlib.AsyncExitStack() as inner:
            there = double(url)
            if isinstance(there, contextlib.AbstractAsyncContextManager):
                watch = await inner.enter_async_context(there)
            else:
                watch = inner.enter_context(there)
            if not warm:
                with contextlib.suppress(Exception):
                    post = await stack.enter_async_context(way(url))
            for _ in range(2):
                with contextlib.suppress(Exception):
                    async with asyncio.timeout(5):
                        await post("/pay")
            return len(server.requests) - before, watch.seen


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "new"])
@pytest.mark.parametrize("name", DOUBLES)
@pytest.mark.filterwarnings("ignore")  # of the doubles themselves
async def test_no_request_more_than_with_bare_aiohttp(name: str, warm: bool) -> None:
    package, double = DOUBLES[name]
    if package is not None and not _importable(package):
        pytest.skip(f"{package} is not installed (the extra `doubles`)")
    usual, usually_seen = await met(bare, double, warm=warm)
    real, seen = await met(ours, double, warm=warm)
    print(f"{name}, {warm=}: bare aiohttp {usual} (seen {usually_seen}), ours {real} (seen {seen})")
    assert real <= usual
    if usually_seen is not None:
        assert seen == usually_seen


def _importable(package: str) -> bool:
    try:
        importlib.import_module(package)
    except ImportError:
        return False
    return True


HEAD = "import asyncio, functools, unittest.mock, aiohttp\n"
BEFORE = {
    "a function": "aiohttp.ClientSession._request = lambda *_, **__: 1 / 0",
    "a mock": "aiohttp.ClientSession.request = unittest.mock.MagicMock(side_effect=OSError)",
    "the request": "aiohttp.ClientRequest.send = lambda *_: 1 / 0",
    "the class": "aiohttp.ClientSession = unittest.mock.MagicMock()",
    "the connector": "aiohttp.TCPConnector.connect = lambda *_, **__: 1 / 0",
    "a method that looks like aiohttp's": """
        original = aiohttp.ClientSession._request
        @functools.wraps(original)
        async def fake(self, *arguments, **more):
            raise OSError
        aiohttp.ClientSession._request = fake""",
}


BY_DAY = {"a function", "the class", "the connector"}


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=() if what in BY_DAY else pytest.mark.nightly) for what in BEFORE]
)
async def test_a_double_that_was_there_before_the_import(what: str) -> None:
    async with FaultServer() as server:
        program = textwrap.dedent(BEFORE[what]) + textwrap.dedent(f"""
            from pandapon_async import Client, Credentials, RetryPolicy, Settings
            async def main():
                settings = Settings(base_url={server.url!r}, retry=RetryPolicy(attempts=1), timeout=3.0)
                pandapon = Client(Credentials("key", "secret", "1"), settings)
                try:
                    await pandapon.request("POST", "/pay", json={{}})
                except Exception:
                    print("did not get through")
            asyncio.run(main())
            """)
        command = [sys.executable, "-W", "ignore", "-c", HEAD + program]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        assert "did not get through" in done.stdout, done.stderr
        assert server.requests == []


@virtual_time
async def test_a_double_that_comes_while_a_call_waits_gets_its_request() -> None:
    async with FaultServer() as server, Client(CREDENTIALS, settings(server.url)) as pandapon:
        await pandapon.request("POST", "/before")
        pandapon.limiter.pause(1)
        waiting = asyncio.ensure_future(outcome(pandapon.request("POST", "/pay")))
        await asyncio.sleep(0.5)
        with mock.patch("aiohttp.ClientSession._request", side_effect=REFUSED):
            await asyncio.wait([waiting])
        assert len(server.requests) == 1, "the one before"
