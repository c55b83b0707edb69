"""One attempt over aiohttp: send, read within bounds, say honestly what is known of a failure.

Most requests go by `Direct`. The others go by aiohttp's session, which has habits that must not be ours.
`_Attempt`, a client middleware, sees to them. The session resends GET, PUT and DELETE once when a connection
drops, with the same nonce, and one of the vendor's GETs cancels a refund: here the transport's exceptions
become ours at a point where aiohttp no longer acts on them. It gives what arrived on an idle connection to
whatever request uses it next, as its answer: here no request goes out over such a connection. And it closes a
connection politely, which waits for ever for a peer that does not read: here it is aborted.
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
    """Carries one of our errors out of aiohttp; no OSError, so nothing in there retries on it."""

    def __init__(self, error: PandaponError) -> None:
        super().__init__()
        self.error = error


class _UnfitConnection(Exception):
    """The connection from the pool must not be used; `expired` if only for its age."""

    def __init__(self, *, expired: bool) -> None:
        super().__init__()
        self.expired = expired


@attrs.define(eq=False)
class _Attempt:
    """The middleware of one attempt; sees its connection and its writer, once there are any."""

    exchange: Exchange
    idle: IdleConnections
    requests: int = 0
    transport: asyncio.Transport | None = None
    protocol: Any = None
    writer: AbstractStreamWriter | None = None
    refused: NotSentError | None = None
    """Why its first byte may not leave any more."""

    def __deepcopy__(self, memo: object) -> _Attempt:
        """A double that keeps copies of what it was called with (aioresponses) must not copy the client."""
        return self

    async def __call__(self, request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        self.requests += 1
        if self.requests > 1:  # a middleware of a borrowed session wants to repeat it
            raise _TransportFailure(NotSentError("a request is sent once; retries are this client's own"))
        try:
            request.__class__ = _guarded(request.__class__)  # type: ignore[arg-type]  # classes can be hashed
        except TypeError:
            pass  # a class of somebody else's: then nobody knows when it writes
        else:
            request.attempt = self  # type: ignore[attr-defined]  # of the class that it has now
            self.exchange.context.on_wire = False
        try:
            response = await handler(request)
        except (aiohttp.ClientError, OSError) as failure:
            self.correct()
            error = explain(failure, self.exchange) if self.refused is None else self.refused
        else:
            # Nothing else runs between the end of the body and this: after it others may use the connection.
            response.content.on_eof(functools.partial(self._read, response))
            return response
        # Raised out here, without what aiohttp says: its texts quote what the server sent.
        raise _TransportFailure(error)

    async def go(self, request: ClientRequest, connection: Connection) -> None:
        """Called with the connection in hand, right before the request is written."""
        exchange, protocol = self.exchange, connection.protocol
        if protocol is None or protocol.should_close or self.idle.expired(protocol, exchange.settings.clock):
            raise _UnfitConnection(expired=protocol is not None and not protocol.should_close)
        self.transport, self.protocol = connection.transport, protocol
        if await exchange.renew():
            query, headers = exchange.sign()
            request.url = _with_query(exchange.prepared.url, query)
            request.headers.update(headers)
        if protocol.should_close or not protocol.is_connected():
            raise _UnfitConnection(expired=False)
        if not request.body or not is_aiohttps(ClientRequest.send):
            exchange.writing()  # otherwise it is told when the body, with the head before it, is written

    def writing(self, connection: Connection, writer: AbstractStreamWriter) -> bool:
        """The body, with the head before it, is about to be written; whether it still may be."""
        if connection.protocol is not None and connection.protocol.is_connected():
            self.writer = writer
            try:
                self.exchange.writing()
            except NotSentError as error:  # nobody hears of an error that is raised here
                self.refused = error
                self.abort()
                return False
        return True

    def correct(self) -> None:
        """Take back that the request may have left, if its body was to be written and no byte was."""
        if self.writer is not None and self.writer.output_size == 0:
            self.exchange.context.on_wire = False

    def _read(self, response: ClientResponse) -> None:
        if self.protocol is not None:
            self.idle.put(self.protocol, response.headers, self.exchange.settings.clock)

    def abort(self) -> None:
        """Nobody waits for an answer any more."""
        if self.transport is not None:
            self.transport.abort()


class _Guarded:
    """Mixed into the class of a request: nothing else is told of the connection."""

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
    """An aiohttp session that is made in the running loop, or borrowed and then left open."""

    def __init__(self, borrowed: aiohttp.ClientSession | None = None) -> None:
        self._borrowed = borrowed is not None
        self._session = borrowed
        self._direct: Direct | None = None
        self._idle = IdleConnections()
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
            self._direct = Direct(self._session, connector, self._idle)
        elif self._session.closed:
            raise ConfigurationError("the borrowed aiohttp session is closed")
        return self._session

    async def send(self, exchange: Exchange) -> RawResponse:
        """One request on the wire, at most, and its whole response.

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
            raise error  # out here, without what aiohttp says: its texts quote what the server sent
        finally:
            del error  # it knows this frame; a cycle would keep the body until a full collection

    async def _by_session(self, session: aiohttp.ClientSession, exchange: Exchange) -> RawResponse:
        """The same as `Direct.send`, for any body and by any session."""
        settings, context = exchange.settings, exchange.context
        unfit = 0
        while unfit < STALE_CONNECTIONS:
            await exchange.renew()
            query, headers = exchange.sign()
            attempt = _Attempt(exchange, self._idle)
            # Until the middleware is asked: whoever stands in for the session may send whatever he likes.
            exchange.writing()
            try:
                response = await _method_of(session, exchange.prepared.endpoint)(
                    _with_query(exchange.prepared.url, query),
                    data=exchange.body,
                    headers=headers,
                    skip_auto_headers=("Content-Type",),  # it would say that nothing is an octet-stream
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
                    response.release()  # closes the connection if anything is left on it
                    await response.wait_for_close()  # for the body, if it is still being sent
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
        """Close what is ours; may be called twice."""
        self.closed = True
        if self._session is not None and not self._borrowed:
            await self._session.close()


def _with_query(url: URL, query: str) -> URL:
    return URL(f"{url}?{query}", encoded=True) if query else url


def _method_of(session: aiohttp.ClientSession, endpoint: Endpoint) -> Callable[..., Any]:
    """`session.request` for this verb, unless a double stands in the place of the verb's own method."""
    if is_aiohttps(getattr(type(session), endpoint.verb, None)):
        return functools.partial(session.request, endpoint.method)
    method: Callable[..., Any] = getattr(session, endpoint.verb)
    return method


def _middlewares_of(session: aiohttp.ClientSession) -> tuple[Any, ...]:
    """Those that its owner gave it: a request's own take their place."""
    return tuple(getattr(session, "_middlewares", None) or ())
