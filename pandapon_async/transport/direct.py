"""Send one request over a connection of aiohttp's pool, without aiohttp's session.

For each request `ClientSession.request` creates a request, a response, a writer and their headers. That takes
40 % of a call's time, and a JSON request with a JSON answer needs none of it. Connecting, TLS, the pool and
HTTP parsing remain aiohttp's.

Test doubles replace parts of aiohttp to keep tests off the network or to watch requests. A request that
bypassed a double could move money in a unit test. So this module is used only while everything that a double
could replace is aiohttp's own code (`Direct.usable`). Otherwise, and for streamed bodies, proxies and
borrowed sessions, requests go through the session, which costs more and behaves the same.
"""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import ClientRequest, TCPConnector
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from pandapon_async.core.outcome import RawResponse
from pandapon_async.errors import NotSentError
from pandapon_async.transport.exchange import (
    STALE_CONNECTIONS,
    Exchange,
    IdleConnections,
    connect_limits,
    only_stale_connections,
    raw_response,
    read_bounded,
)

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiohttp.client_reqrep import ConnectionKey

    from pandapon_async.transport.requests import PreparedRequest

__all__ = ["Direct", "is_aiohttps"]

_AIOHTTP: Final = f"{Path(aiohttp.__file__).parent}{os.sep}"


def _parameters(function: Callable[..., Any]) -> set[str]:
    return inspect.signature(function).parameters.keys() - {"self"}


def _known() -> bool:
    """Whether the parts of aiohttp used here are unchanged since this module was written."""
    try:
        return (
            inspect.iscoroutinefunction(aiohttp.ClientSession._request)
            and _parameters(TCPConnector.connect) == {"req", "traces", "timeout"}
            and _parameters(ResponseHandler.set_response_params) >= {"read_until_eof", "auto_decompress"}
            and _parameters(ResponseHandler.read) == set()
            and isinstance(ClientRequest.connection_key, property)
        )
    except (AttributeError, TypeError, ValueError):
        return False


_KNOWN: Final = _known()


def is_aiohttps(function: object) -> bool:
    """Judged by the source file of the code, not by its value when this module was imported."""
    return type(function) is FunctionType and function.__code__.co_filename.startswith(_AIOHTTP)


class _Target(ClientRequest):
    """The destination of connections, and the common headers of its requests."""

    def __init__(self, origin: URL, ssl: SSLContext | bool, session: aiohttp.ClientSession) -> None:
        super().__init__("GET", origin, ssl=ssl, loop=asyncio.get_running_loop(), session=session)
        self._key = super().connection_key
        self.common: str = _lines(self.headers)

    @property
    def connection_key(self) -> ConnectionKey:
        return self._key  # the other property builds a new object on each access


class Direct:
    """Sends requests over the connections of one session."""

    def __init__(
        self, session: aiohttp.ClientSession, connector: TCPConnector, idle: IdleConnections
    ) -> None:
        self._session = session
        self._connector = connector
        self._idle = idle
        self._targets: dict[tuple[str, SSLContext | None], _Target] = {}
        self._trusted: set[tuple[object, ...]] = set()

    def usable(self, verb: str) -> bool:
        """Whether the session has no observer or double that this module would bypass for the request.

        `verb` is that of HTTP in lower case, the name of the session's method.
        """
        session, connector = self._session, self._connector
        try:
            kind, pool = type(session), type(connector)
            functions = (
                getattr(kind, verb),
                kind.request,
                kind._request,
                ClientRequest.send,
                ClientRequest.write_bytes,
                pool.connect,
                pool._create_connection,
                ResponseHandler.data_received,
                ResponseHandler.set_response_params,
                ResponseHandler.read,
                aiohttp.ClientResponse.start,
            )
            if functions not in self._trusted:
                if not _KNOWN or not all(map(is_aiohttps, functions)):
                    return False
                self._trusted.add(functions)
            of_session, of_connector = session.__dict__, connector.__dict__
            return (
                session._connector is connector
                and session._request_class is ClientRequest
                and not session._trace_configs
                and not session._middlewares
                and verb not in of_session
                and "request" not in of_session
                and "_request" not in of_session
                and "connect" not in of_connector
                and "_create_connection" not in of_connector
            )
        except AttributeError:
            return False

    async def send(self, exchange: Exchange) -> RawResponse | None:
        """Send a request and return its whole response; return None, unsent, if the session must be used.

        Raises our own errors and aiohttp's.
        """
        settings, prepared = exchange.settings, exchange.prepared
        where = (prepared.url.raw_authority, settings.ssl_context)
        target = self._targets.get(where)
        if target is None:
            origin = prepared.url.origin()
            target = self._targets[where] = _Target(origin, settings.ssl_context or True, self._session)
        clock = settings.clock
        unfit = 0
        while unfit < STALE_CONNECTIONS:
            limits = connect_limits(exchange.context.deadline, settings)
            try:
                connection = await self._connector.connect(target, [], limits)
            except TimeoutError as failure:
                raise aiohttp.ConnectionTimeoutError from failure
            transport = connection.transport
            try:
                protocol = connection.protocol
                if protocol is None or self._idle.expired(protocol, clock):
                    continue
                await exchange.admit()
                if not exchange.use_permit():
                    await exchange.renew()
                if transport is None or not _fit(protocol, transport):
                    unfit += 1
                    continue
                if not self.usable(prepared.endpoint.verb):
                    return None
                query, headers = exchange.sign()
                protocol.set_response_params(read_until_eof=True, auto_decompress=True)
                exchange.writing()
                transport.write(_request(prepared, query, target.common, headers, exchange.body))
                if transport.is_closing():
                    raise _refused_write(exchange)
                message, content = await protocol.read()
                while 100 <= message.code < 200 and message.code != 101:
                    message, content = await protocol.read()
                body = await read_bounded(content, settings.max_response_bytes)
                if (
                    not transport.get_write_buffer_size()
                ):  # otherwise the server answered before it had read the request
                    self._idle.put(protocol, message.headers, clock)
                    transport = None
                    connection.release()
            finally:
                if transport is not None:
                    transport.abort()  # a graceful close would wait forever for a peer that does not read
                connection.close()
            return raw_response(message.code, message.headers, body, settings)
        raise only_stale_connections()


def _fit(protocol: ResponseHandler, transport: asyncio.Transport) -> bool:
    """Whether a connection is open and has received no data before this request."""
    return not (protocol.should_close or protocol.writing_paused or transport.is_closing())


def _refused_write(exchange: Exchange) -> NotSentError:
    """The error for a connection that was already broken and accepted no byte."""
    exchange.context.on_wire = False
    return NotSentError("the connection was lost before the request was written")


def _request(
    prepared: PreparedRequest, query: str, common: str, headers: Mapping[str, str], body: bytes | None
) -> bytes:
    method, place = prepared.endpoint.method, prepared.url.raw_path
    if query:
        place = f"{place}?{query}"
    begin = f"{method} {place} HTTP/1.1\r\n{common}{_lines(headers)}"
    if body is None and method == "GET":
        return f"{begin}\r\n".encode("ascii")
    body = body or b""
    return b"".join((f"{begin}Content-Length: {len(body)}\r\n\r\n".encode("ascii"), body))


def _lines(headers: Mapping[str, str]) -> str:
    return "\r\n".join([*map(": ".join, headers.items()), ""])
