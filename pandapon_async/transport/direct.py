"""One request over a connection of aiohttp's pool, written and read without its session.

For each request `ClientSession.request` makes a request, a response, a writer and their headers anew. That is
40 % of the time a call takes, and a question and an answer of JSON need none of it. Connecting, TLS, the pool
and the parsing of HTTP remain aiohttp's.

What is used of it for this can be imported, but is hardly documented. So `usable` looks whether it still is
what it was when this was written, and whether nobody wants to see the requests of sessions (aioresponses and
vcrpy take the place of its method, OpenTelemetry and Sentry add traces). If not, and for bodies that
are streamed, proxies and borrowed sessions, requests go by the session: dearer, and the same otherwise.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from aiohttp import ClientRequest, TCPConnector
from yarl import URL

from pandapon_async.core.outcome import RawResponse
from pandapon_async.settings import Settings
from pandapon_async.transport.exchange import (
    STALE_CONNECTIONS,
    connect_limits,
    only_stale_connections,
    raw_response,
    read_bounded,
)

if TYPE_CHECKING:
    from ssl import SSLContext

    from aiohttp.client_reqrep import ConnectionKey

__all__ = ["Direct", "usable"]


def _parameters(function: Callable[..., Any]) -> set[str]:
    return inspect.signature(function).parameters.keys() - {"self"}


def _as_known() -> bool:
    try:
        from aiohttp.client_proto import ResponseHandler

        return (
            inspect.iscoroutinefunction(aiohttp.ClientSession._request)
            and _parameters(TCPConnector.connect) == {"req", "traces", "timeout"}
            and _parameters(ResponseHandler.set_response_params) >= {"read_until_eof", "auto_decompress"}
            and _parameters(ResponseHandler.read) == set()
            and isinstance(ClientRequest.connection_key, property)
        )
    except (ImportError, AttributeError, TypeError, ValueError):
        return False  # another aiohttp


_AS_KNOWN: Final = _as_known()
_UNTOUCHED: Final = getattr(aiohttp.ClientSession, "_request", None)


def usable(session: aiohttp.ClientSession) -> bool:
    """Whether requests of this session of ours need not go by it."""
    return _AS_KNOWN and aiohttp.ClientSession._request is _UNTOUCHED and not session.trace_configs


class _Target(ClientRequest):
    """Where connections lead to, and the headers that are the same for all that goes there."""

    def __init__(self, origin: URL, ssl: SSLContext | bool, session: aiohttp.ClientSession) -> None:
        super().__init__("GET", origin, ssl=ssl, loop=asyncio.get_running_loop(), session=session)
        self._key = super().connection_key
        self.common: str = _lines(self.headers)

    @property
    def connection_key(self) -> ConnectionKey:
        return self._key  # the other is made anew each time it is asked for


class Direct:
    """Sends requests over the connections of one session."""

    def __init__(self, session: aiohttp.ClientSession, connector: TCPConnector) -> None:
        self._session = session
        self._connector = connector
        self._targets: dict[tuple[str, SSLContext | None], _Target] = {}

    async def exchange(
        self,
        settings: Settings,
        method: str,
        url: URL,
        headers: Mapping[str, str],
        body: bytes | None,
        seconds: float,
    ) -> RawResponse:
        """The whole answer to one request; `seconds` bound only the connecting.

        Raises our own errors and aiohttp's.
        """
        where = (url.raw_authority, settings.ssl_context)
        target = self._targets.get(where)
        if target is None:
            target = self._targets[where] = _Target(url.origin(), settings.ssl_context or True, self._session)
        request = _request(method, url, target.common, headers, body)
        limits = connect_limits(seconds, settings)
        for _ in range(STALE_CONNECTIONS):
            try:
                connection = await self._connector.connect(target, [], limits)
            except TimeoutError as failure:
                raise aiohttp.ConnectionTimeoutError from failure
            try:
                protocol = connection.protocol
                transport = connection.transport
                if protocol is None or transport is None or protocol.should_close or protocol.writing_paused:
                    continue  # something has come on it that is not this request's answer
                protocol.set_response_params(read_until_eof=True, auto_decompress=True)
                transport.write(request)
                message, content = await protocol.read()
                while 100 <= message.code < 200 and message.code != 101:
                    message, content = await protocol.read()
                content_bytes = await read_bounded(content, settings.max_response_bytes)
                connection.release()
            finally:
                connection.close()  # unless it was given back
            return raw_response(message.code, message.headers, content_bytes, settings)
        raise only_stale_connections()


def _request(method: str, url: URL, common: str, headers: Mapping[str, str], body: bytes | None) -> bytes:
    begin = f"{method} {url.raw_path_qs} HTTP/1.1\r\n{common}{_lines(headers)}"
    if body is None and method == "GET":
        return f"{begin}\r\n".encode("ascii")
    body = body or b""
    return b"".join((f"{begin}Content-Length: {len(body)}\r\n\r\n".encode("ascii"), body))


def _lines(headers: Mapping[str, str]) -> str:
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
