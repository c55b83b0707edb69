"""The clients that are compared, each as a function that makes one call.

All send the same number of header bytes and the same body, keep their connections alive, and may have
as many of them as there are calls under way.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import aiohttp
import attrs

from benchmarks import rivals
from benchmarks.by_hand import ByHand
from benchmarks.replies import HEADERS, REFUND_ID, REFUND_ID_1688, REPLIES
from pandapon_async import Client, Credentials, Settings

__all__ = ["CONTENDERS", "CREDENTIALS", "Place", "contender"]

CREDENTIALS = Credentials("benchmark", "secret", "1")
Call = Callable[[], Awaitable[Any]]


@attrs.define(frozen=True)
class Place:
    """Where to call, what to ask for (a name of `REPLIES`), and how many calls at once."""

    url: str
    reply: str
    concurrency: int
    authority: str | None = None

    def ssl_context(self) -> ssl.SSLContext | None:
        """Trusts the local server's CA; None for plain HTTP."""
        return ssl.create_default_context(cafile=self.authority) if self.authority else None

    def session(self, **settings: Any) -> aiohttp.ClientSession:
        """An aiohttp session without a limit of its own."""
        connector = aiohttp.TCPConnector(limit=0, ssl=self.ssl_context() or True)
        return aiohttp.ClientSession(connector=connector, **settings)


@asynccontextmanager
async def bare(place: Place) -> AsyncIterator[Call]:
    """aiohttp at its cheapest: bytes out, bytes in."""
    reply = REPLIES[place.reply]
    url = place.url + reply.target
    body = json.dumps(reply.body).encode() if reply.body is not None else None
    headers = HEADERS if body is not None else {k: v for k, v in HEADERS.items() if k != "Content-Type"}
    async with place.session() as session:

        async def call() -> bytes:
            async with session.request(reply.method, url, data=body, headers=headers) as response:
                return await response.read()

        yield call


@asynccontextmanager
async def with_json(place: Place) -> AsyncIterator[Call]:
    """aiohttp as its tutorial shows it: `json=` and `.json()`."""
    reply = REPLIES[place.reply]
    url = place.url + reply.target
    headers = {k: v for k, v in HEADERS.items() if k != "Content-Type"}
    async with place.session() as session:

        async def call() -> Any:
            async with session.request(reply.method, url, json=reply.body, headers=headers) as response:
                return await response.json()

        yield call


@asynccontextmanager
async def by_hand(place: Place) -> AsyncIterator[Call]:
    """The recipe out of aiohttp, tenacity, aiolimiter and cattrs."""
    async with place.session() as session:
        yield ByHand(place.url, session, place.concurrency).call(REPLIES[place.reply])


@asynccontextmanager
async def ours(place: Place) -> AsyncIterator[Call]:
    """This client: signed, paced, retried, checked, typed. The rate is one that is never reached."""
    settings = Settings(
        base_url=place.url, rate=1_000_000, concurrency=place.concurrency, ssl_context=place.ssl_context()
    )
    async with Client(CREDENTIALS, settings) as pandapon:
        alibaba, taobao = pandapon.v1.alibaba.refunds, pandapon.v1.taobao.refunds
        calls: dict[str, Call] = {
            "tiny": lambda: alibaba.get(refund_id=REFUND_ID_1688),
            "refund": lambda: taobao.get(refund_id=REFUND_ID),
            "list": lambda: taobao.page(page_no=1, page_size=200),
        }
        yield calls[place.reply]


@asynccontextmanager
async def slack(place: Place) -> AsyncIterator[Call]:
    """slack_sdk's AsyncWebClient, on a session of its own as its documentation advises."""
    web = rivals.module("slack_sdk.web.async_client")
    reply = REPLIES["slack"]
    async with place.session() as session:
        client = web.AsyncWebClient(
            "xoxb-benchmark", base_url=f"{place.url}/api/", session=session, ssl=place.ssl_context()
        )
        yield lambda: client.api_call("refund.info", json=reply.body)


@asynccontextmanager
async def openai(place: Place) -> AsyncIterator[Call]:
    """openai's AsyncOpenAI with its default transport."""
    package = rivals.module("openai")
    reply = REPLIES[place.reply]
    context = place.ssl_context()
    transport = package.DefaultAsyncHttpxClient(verify=context) if context else None
    async with package.AsyncOpenAI(api_key="benchmark", base_url=place.url, http_client=transport) as client:
        if reply.method == "GET":
            yield lambda: client.get(reply.target, cast_to=object)
        else:
            yield lambda: client.post(reply.target, body=reply.body, cast_to=object)


@asynccontextmanager
async def httpx(place: Place) -> AsyncIterator[Call]:
    """httpx with `json=` and `.json()`."""
    package = rivals.module("httpx")
    reply = REPLIES[place.reply]
    url = place.url + reply.target
    headers = {k: v for k, v in HEADERS.items() if k != "Content-Type"}
    limits = package.Limits(max_connections=None, max_keepalive_connections=None)
    async with package.AsyncClient(limits=limits, verify=place.ssl_context() or True) as client:

        async def call() -> Any:
            response = await client.request(reply.method, url, json=reply.body, headers=headers)
            return response.json()

        yield call


CONTENDERS: dict[str, Callable[[Place], AbstractAsyncContextManager[Call]]] = {
    "aiohttp": bare,
    "aiohttp + json": with_json,
    "by hand": by_hand,
    "pandapon-async": ours,
    "slack_sdk": slack,
    "openai": openai,
    "httpx": httpx,
}


def contender(name: str, place: Place) -> AbstractAsyncContextManager[Call]:
    """One of them by name."""
    return CONTENDERS[name](place)
