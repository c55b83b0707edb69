"""One attempt over aiohttp: send, read within bounds, say honestly what is known of a failure.

Most requests go by `Direct`. The others go by aiohttp's session, which has two habits that must not be ours,
and `_one_attempt`, a client middleware, sees to both. It resends GET, PUT and DELETE once when a connection
drops, with the same nonce, and one of the vendor's GETs cancels a refund: here the transport's exceptions
become ours at a point where aiohttp no longer acts on them. And it gives what arrived on an idle connection
to whatever request uses it next, as its answer: here no request goes out over such a connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from pandapon_async.clock import time_limit
from pandapon_async.core.outcome import RawResponse
from pandapon_async.errors import ConfigurationError, PandaponError
from pandapon_async.settings import Settings
from pandapon_async.transport.direct import Direct, usable
from pandapon_async.transport.exchange import (
    STALE_CONNECTIONS,
    connect_limits,
    only_stale_connections,
    raw_response,
    read_bounded,
)
from pandapon_async.transport.failures import explain
from pandapon_async.transport.image_body import ImageBody

if TYPE_CHECKING:
    from aiohttp.connector import Connection

__all__ = ["Session"]


class _TransportFailure(Exception):
    """Carries one of our errors out of aiohttp; no OSError, so nothing in there retries on it."""

    def __init__(self, error: PandaponError) -> None:
        super().__init__()
        self.error = error


class _StaleConnection(Exception):
    """Something arrived on the connection before the request went out: it is not this request's answer."""


class _Request(ClientRequest):
    # No coroutine itself: that would be one more for every answer to pass through.
    def send(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, conn: Connection
    ) -> Coroutine[Any, Any, ClientResponse]:
        if conn.protocol is None or conn.protocol.should_close:
            raise _StaleConnection
        return super().send(conn)


async def _one_attempt(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    if request.__class__ is ClientRequest:
        # A borrowed session makes requests of its own class, and nothing else is told of the connection.
        request.__class__ = _Request
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as failure:
        error = explain(failure)
    # Raised out here, without what aiohttp says: its texts quote what the server sent.
    raise _TransportFailure(error)


class Session:
    """An aiohttp session that is made in the running loop, or borrowed and then left open."""

    def __init__(self, borrowed: aiohttp.ClientSession | None = None) -> None:
        self._borrowed = borrowed is not None
        self._session = borrowed
        self._direct: Direct | None = None
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closed: bool = False

    def open(self) -> aiohttp.ClientSession:
        """The session, checked to belong to the running loop."""
        loop = asyncio.get_running_loop()
        if self.closed:
            raise ConfigurationError("the client is closed; make a new one")
        if self.loop is None:
            self.loop = loop
        elif self.loop is not loop:
            raise ConfigurationError(
                "this client belongs to another event loop; make one client per loop (per asyncio.run)"
            )
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            self._direct = Direct(self._session, connector)
        elif self._session.closed:
            raise ConfigurationError("the borrowed aiohttp session is closed")
        return self._session

    async def send(
        self,
        settings: Settings,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: Any,
        deadline: float,
    ) -> RawResponse:
        """One request on the wire, at most, and its whole answer by `deadline` (in `Clock.now` seconds).

        Raises NotSentError, ConnectionLostError, DeadlineExceededError, MalformedResponseError or
        ResponseTooLargeError; their `outcome` says whether the server may have acted.
        """
        session = self._session
        if session is None or session.closed:
            session = self.open()
        error: PandaponError
        try:
            seconds = deadline - settings.clock.now()
            at_once = body is None or body.__class__ is bytes
            async with time_limit(settings.clock, seconds):
                if at_once and settings.proxy is None and self._direct is not None and usable(session):
                    return await self._direct.exchange(settings, method, url, headers, body, seconds)
                return await _exchange(session, settings, method, url, headers, body, seconds)
        except PandaponError:
            raise
        except _TransportFailure as failure:
            error = failure.error
        except Exception as failure:
            error = explain(failure)
        if isinstance(body, ImageBody) and body.failure is not None:
            error = body.failure
        try:
            raise error  # out here, without what aiohttp says: its texts quote what the server sent
        finally:
            del error  # it knows this frame; a cycle would keep the body until a full collection

    async def close(self) -> None:
        """Close what is ours; may be called twice."""
        self.closed = True
        if self._session is not None and not self._borrowed:
            await self._session.close()


async def _exchange(
    session: aiohttp.ClientSession,
    settings: Settings,
    method: str,
    url: URL,
    headers: Mapping[str, str],
    body: Any,
    seconds: float,
) -> RawResponse:
    """The same as `Direct.exchange`, for any body and by any session."""
    for _ in range(STALE_CONNECTIONS):
        try:
            response = await session.request(
                method,
                url,
                data=body,
                headers=headers,
                skip_auto_headers=("Content-Type",),  # it would say that nothing is an octet-stream
                allow_redirects=False,
                auto_decompress=True,
                raise_for_status=False,
                timeout=connect_limits(seconds, settings),
                proxy=settings.proxy,
                ssl=settings.ssl_context or True,
                middlewares=(_one_attempt,),
            )
        except _StaleConnection:
            continue  # aiohttp has closed it, and nothing was sent
        try:
            content = await read_bounded(response.content, settings.max_response_bytes)
            return raw_response(response.status, response.headers, content, settings)
        finally:
            response.release()  # closes the connection if anything is left on it
            await response.wait_for_close()  # for the body, if it is still being sent
    raise only_stale_connections()
