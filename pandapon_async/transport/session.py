"""Make one attempt through aiohttp's session, against the habits of aiohttp that could repeat a write.

Most requests go through `Direct`. The others go through aiohttp's session, and `_Attempt`, a client
middleware, prevents three of its habits. First, the session resends GET, PUT and DELETE once when a
connection drops, with the same nonce, and one of the vendor's GETs cancels a refund; here the transport's
exceptions become ours at a point where aiohttp no longer reacts to them. Second, it passes data that arrived
on an idle connection to the next request as its answer; here no request uses such a connection. Third, it
closes a connection gracefully, which waits forever for a peer that does not read; here the connection is
aborted.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import attrs
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from pandapon_async.core.outcome import RawResponse
from pandapon_async.declare.endpoint import Endpoint
from pandapon_async.errors import ConfigurationError, NotSentError, PandaponError
from pandapon_async.transport.direct import Direct, is_aiohttps
from pandapon_async.transport.exchange import (
    STALE_CONNECTIONS,
    Exchange,
    IdleConnections,
    connect_limits,
    only_stale_connections,
    raw_response,
    read_bounded,
)
from pandapon_async.transport.failures import explain
from pandapon_async.transport.image_body import ImageBody

if TYPE_CHECKING:
    from aiohttp.abc import AbstractStreamWriter
    from aiohttp.connector import Connection

__all__ = ["Session"]


class _TransportFailure(Exception):
    """Carries one of our errors out of aiohttp; not an OSError, so aiohttp does not retry."""

    def __init__(self, error: PandaponError) -> None:
        super().__init__()
        self.error = error


class _UnfitConnection(Exception):
    """The connection from the pool must not be used; `expired`: because of its age only."""

    def __init__(self, *, expired: bool) -> None:
        super().__init__()
        self.expired = expired


@attrs.define(eq=False)
class _Attempt:
    """The middleware of one attempt; has access to its connection and its writer."""

    exchange: Exchange
    idle: IdleConnections
    requests: int = 0
    transport: asyncio.Transport | None = None
    protocol: Any = None
    writer: AbstractStreamWriter | None = None
    refused: NotSentError | None = None
    """Why its first byte must not be written any more."""

    def __deepcopy__(self, memo: object) -> _Attempt:
        """A double that copies its arguments (aioresponses) must not copy the client."""
        return self

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        self.requests += 1
        if self.requests > 1:  # a middleware of a borrowed session tries to repeat it
            raise _TransportFailure(
                NotSentError("a request is sent only once; only the client itself retries")
            )
        try:
            request.__class__ = _guarded(request.__class__)  # type: ignore[arg-type]  # classes can be hashed
        except TypeError:
            pass  # a foreign class: its time of writing is unknown
        else:
            request.attempt = self  # type: ignore[attr-defined]  # of the class that it has now
            self.exchange.context.on_wire = False
        try:
            response = await handler(request)
        except (aiohttp.ClientError, OSError) as failure:
            self.correct()
            error = explain(failure, self.exchange) if self.refused is None else self.refused
        else:
            # Nothing runs between the end of the body and this; afterwards other calls may use the
            # connection.
            response.content.on_eof(functools.partial(self._read, response))
            return response
        # Raised outside the except block: aiohttp's texts quote the server's data.
        raise _TransportFailure(error)

    async def go(self, request: ClientRequest, connection: Connection) -> None:
        """Called with the connection, right before the request is written."""
        exchange, protocol = self.exchange, connection.protocol
        if protocol is None or protocol.should_close or self.idle.expired(protocol, exchange.settings.clock):
            raise _UnfitConnection(expired=protocol is not None and not protocol.should_close)
        self.transport, self.protocol = connection.transport, protocol
        if not exchange.use_permit():
            await exchange.renew()
            query, headers = exchange.sign()
            request.url = _with_query(exchange.prepared.url, query)
            request.headers.update(headers)
        if protocol.should_close or not protocol.is_connected():
            raise _UnfitConnection(expired=False)
        if not request.body or not is_aiohttps(ClientRequest.send):
            exchange.writing()  # otherwise `writing` follows when head and body are written

    def writing(self, connection: Connection, writer: AbstractStreamWriter) -> bool:
        """Called before head and body are written; returns whether they may be."""
        if connection.protocol is not None and connection.protocol.is_connected():
            self.writer = writer
            try:
                self.exchange.writing()
            except NotSentError as error:  # an error raised here would be lost
                self.refused = error
                self.abort()
                return False
        return True

    def correct(self) -> None:
        """Undo `on_wire` if the body was due and no byte was written."""
        if self.writer is not None and self.writer.output_size == 0:
            self.exchange.context.on_wire = False

    def _read(self, response: ClientResponse) -> None:
        if self.protocol is not None:
            self.idle.put(self.protocol, response.headers, self.exchange.settings.clock)

    def abort(self) -> None:
        """Abort the connection: nothing waits for an answer any more."""
        if self.transport is not None:
            self.transport.abort()


class _Guarded:
    """A mixin for the request class, the only place where aiohttp passes the connection."""

    attempt: _Attempt

    async def send(self, conn: Connection) -> ClientResponse:
        await self.attempt.go(self, conn)  # type: ignore[arg-type]
        return await super().send(conn)  # type: ignore[misc,no-any-return]

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        if self.attempt.writing(conn, writer):
            await super().write_bytes(writer, conn, content_length)  # type: ignore[misc]


@functools.cache
def _guarded(kind: type[ClientRequest]) -> type[ClientRequest]:
    return type("_GuardedRequest", (_Guarded, kind), {})


class Session:
    """An aiohttp session: created in the running loop, or borrowed and left open."""

    def __init__(self, borrowed: aiohttp.ClientSession | None = None) -> None:
        self._borrowed = borrowed is not None
        self._session = borrowed
        self._direct: Direct | None = None
        self._idle = IdleConnections()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closed: bool = False

    def open(self) -> aiohttp.ClientSession:
        """Return the session after checking that it belongs to the running loop."""
        loop = asyncio.get_running_loop()
        if self.closed:
            raise ConfigurationError("the client is closed; create a new one")
        if self.loop is None:
            self.loop = loop
        elif self.loop is not loop:
            raise ConfigurationError(
                "this client belongs to another event loop; create one client per loop (per asyncio.run)"
            )
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
            self._direct = Direct(self._session, connector, self._idle)
        elif self._session.closed:
            raise ConfigurationError("the borrowed aiohttp session is closed")
        return self._session

    async def send(self, exchange: Exchange) -> RawResponse:
        """Send at most one request and return its whole response.

        Raises NotSentError, ConnectionLostError, DeadlineExceededError, MalformedResponseError or
        ResponseTooLargeError; their `outcome` says whether the server may have acted.
        """
        body = exchange.body
        error: PandaponError
        try:
            direct = self._direct if body is None or body.__class__ is bytes else None
            verb = exchange.prepared.endpoint.verb
            if direct is not None and exchange.settings.proxy_in_use is None and direct.usable(verb):
                response = await direct.send(exchange)
                if response is not None:
                    return response
            await exchange.admit()
            return await self._by_session(self.open(), exchange)
        except PandaponError:
            raise
        except _TransportFailure as failure:
            error = failure.error
        except Exception as failure:
            error = explain(failure, exchange)
        if isinstance(body, ImageBody) and body.failure is not None:
            error = body.failure
        try:
            raise error  # outside the except block: aiohttp's texts quote the server's data
        finally:
            del error  # it references this frame; a cycle would keep the body until a full garbage collection

    async def _by_session(self, session: aiohttp.ClientSession, exchange: Exchange) -> RawResponse:
        """As `Direct.send`, for any body and any session."""
        settings, context = exchange.settings, exchange.context
        unfit = 0
        while unfit < STALE_CONNECTIONS:
            if not exchange.use_permit():
                await exchange.renew()
            query, headers = exchange.sign()
            attempt = _Attempt(exchange, self._idle)
            # Until the middleware runs: a double of the session may send anything.
            exchange.writing()
            try:
                response = await _method_of(session, exchange.prepared.endpoint)(
                    _with_query(exchange.prepared.url, query),
                    data=exchange.body,
                    headers=headers,
                    skip_auto_headers=(
                        "Content-Type",
                    ),  # aiohttp would send an octet-stream type for an empty body
                    allow_redirects=False,
                    auto_decompress=True,
                    raise_for_status=False,
                    timeout=connect_limits(context.deadline, settings),
                    proxy=settings.proxy_in_use,
                    ssl=settings.ssl_context or True,
                    middlewares=(*_middlewares_of(session), attempt),
                )
                try:
                    content = await read_bounded(response.content, settings.max_response_bytes)
                finally:
                    response.release()  # closes the connection if it has unread data
                    await response.wait_for_close()  # waits for the body if it is still being sent
                    if attempt.protocol is not None and attempt.protocol.transport is None:
                        attempt.abort()
                return raw_response(response.status, response.headers, content, settings)
            except _UnfitConnection as reason:
                context.on_wire = False
                unfit += not reason.expired
            except BaseException:
                attempt.correct()
                attempt.abort()
                raise
        raise only_stale_connections()

    async def close(self) -> None:
        """Close a session of our own; may be called twice."""
        self.closed = True
        if self._session is not None and not self._borrowed:
            await self._session.close()


def _with_query(url: URL, query: str) -> URL:
    return URL(f"{url}?{query}", encoded=True) if query else url


def _method_of(session: aiohttp.ClientSession, endpoint: Endpoint) -> Callable[..., Any]:
    """`session.request` for this verb, unless a double replaces the verb's own method."""
    method: Callable[..., Any] = getattr(session, endpoint.verb)
    if is_aiohttps(getattr(method, "__func__", None)):
        return functools.partial(session.request, endpoint.method)
    return method


def _middlewares_of(session: aiohttp.ClientSession) -> tuple[Any, ...]:
    """The session's own middlewares, which those of a request replace."""
    return tuple(getattr(session, "_middlewares", None) or ())
