"""One attempt over aiohttp: send, read within bounds, say honestly what is known of a failure.

aiohttp by itself resends GET, PUT and DELETE once when a connection drops, with the same nonce, and
one of the vendor's GETs cancels a refund. `_one_attempt`, a client middleware, turns the transport's
exceptions into ours at a point where aiohttp no longer acts on them. POST and PATCH it never resends.

aiohttp also gives what arrived on an idle connection to whatever request uses it next, as its answer.
`_Request` does not go out over such a connection.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import math
import sys
from collections.abc import Coroutine, Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import ClientHandlerType, ClientMiddlewareType, ClientRequest, ClientResponse
from aiohttp.helpers import TimerNoop
from aiohttp.http import StreamWriter
from aiohttp.payload import BytesPayload
from yarl import URL

from pandapon_async.core.backoff import parse_retry_after
from pandapon_async.core.outcome import Answer
from pandapon_async.core.skew import date_of
from pandapon_async.errors import (
    ConfigurationError,
    ConnectionLost,
    DeadlineExceeded,
    MalformedResponse,
    NotSent,
    Outcome,
    PandaponError,
    ResponseTooLarge,
)
from pandapon_async.settings import Settings
from pandapon_async.transport.deadlines import Deadlines
from pandapon_async.transport.upload import ImageBody

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
        protocol = conn.protocol
        if protocol is None or protocol.should_close:
            raise _StaleConnection
        body = self.body
        short = _WRITES_AT_ONCE and isinstance(body, BytesPayload) and (body.size or 0) <= SHORT_BODY
        if short and self.proxy is None and not protocol.writing_paused:
            return self._send_at_once(conn, StreamWriter(protocol, self.loop))
        return super().send(conn)

    async def _send_at_once(self, conn: Connection, writer: StreamWriter) -> ClientResponse:
        """What aiohttp does, but for a short body it has a task of its own, which is 15 % of a request.

        From Python 3.12 on that task begins at once and is as good as none; this does the same before.
        """
        await writer.write_headers(f"{self.method} {self.url.raw_path_qs} HTTP/1.1", self.headers)
        await self.write_bytes(writer, conn)
        response = self.response_class(
            self.method,
            self.original_url,
            writer=None,
            continue100=None,
            timer=TimerNoop(),  # see `Deadlines`
            request_info=self.request_info,
            traces=[],
            loop=self.loop,
            session=self.session,
            stream_writer=writer,
        )
        self.response = response  # type: ignore[assignment]  # aiohttp says None, as it begins
        return response


SHORT_BODY = 16 * 1024  # bytes; fits into the transport's buffer, so writing it never waits

# Only with an aiohttp that makes its answers as the one does that this was written for.
_WRITES_AT_ONCE = sys.version_info < (3, 12) and inspect.signature(ClientResponse).parameters.keys() == {
    "method", "url", "writer", "continue100", "timer", "request_info",
    "traces", "loop", "session", "stream_writer",
}  # fmt: skip

STALE_CONNECTIONS = 8  # taken from the pool in a row before a call gives up


async def _one_attempt(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as failure:
        error = _explain(failure)
    # Raised out here, without what aiohttp says: its texts quote what the server sent.
    raise _TransportFailure(error)


# By method; what is not here is resent. A middleware costs 3 % of a request, so only where it is needed.
_MIDDLEWARES: Mapping[str, tuple[ClientMiddlewareType, ...]] = {"POST": (), "PATCH": ()}
_RESENT = (_one_attempt,)


class Session:
    """An aiohttp session that is made in the running loop, or borrowed and then left open."""

    def __init__(self, borrowed: aiohttp.ClientSession | None = None) -> None:
        self._borrowed = borrowed is not None
        self._session = borrowed
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closed: bool = False
        self._deadlines = Deadlines()

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
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                request_class=_Request,
            )
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
    ) -> Answer:
        """One request on the wire, at most, and its whole answer by `deadline` (in `Clock.now` seconds).

        Raises NotSent, ConnectionLost, DeadlineExceeded, MalformedResponse or ResponseTooLarge; their
        `outcome` says whether the server may have acted.
        """
        session, task = self._session, asyncio.current_task()
        if session is None or session.closed:
            session = self.open()
        assert task is not None
        cancelling = task.cancelling()
        self._deadlines.begin(task, deadline, settings.clock)
        error: PandaponError
        try:
            seconds = deadline - settings.clock.now()
            return await _exchange(session, settings, method, url, headers, body, seconds)
        except asyncio.CancelledError:
            if not self._deadlines.finish(task) or task.uncancel() > cancelling:
                raise  # somebody else wants this to end
            error = _late()
        except PandaponError:
            raise
        except _TransportFailure as failure:
            error = failure.error
        except Exception as failure:
            error = _explain(failure)
        finally:
            self._deadlines.finish(task)
        if isinstance(body, ImageBody) and body.failure is not None:
            error = body.failure
        try:
            raise error  # out here, without what aiohttp says: its texts quote what the server sent
        finally:
            del error  # it knows this frame; a cycle would keep the body until a full collection

    async def close(self) -> None:
        """Close what is ours; may be called twice."""
        self.closed = True
        self._deadlines.close()
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
) -> Answer:
    for _ in range(STALE_CONNECTIONS):
        try:
            response = await session.request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                auto_decompress=True,
                raise_for_status=False,
                timeout=_timeouts(math.ceil(seconds * 1000), settings.connect_timeout),
                proxy=settings.proxy,
                ssl=settings.ssl_context or True,
                middlewares=_MIDDLEWARES.get(method, _RESENT),
            )
        except _StaleConnection:
            continue  # aiohttp has closed it, and nothing was sent
        try:
            return _answer(response, await _read(response, settings.max_response_bytes), settings)
        finally:
            response.release()
            await response.wait_for_close()  # for the body, if it is still being sent
    raise NotSent("the server talks before it is asked")


async def _read(response: ClientResponse, limit: int) -> bytes:
    content = response.content
    pieces: list[bytes] = []
    size = 0
    while not content.at_eof():
        # Most answers are there as a whole by now: then there is nothing to await.
        piece = content.read_nowait() if content.is_eof() else await content.readany()
        size += len(piece)
        if size > limit:
            response.close()
            raise ResponseTooLarge(f"the answer is longer than {limit} bytes (Settings.max_response_bytes)")
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _answer(response: ClientResponse, body: bytes, settings: Settings) -> Answer:
    headers = response.headers
    retry_after = None
    if "Retry-After" in headers or "Retry-After-Ms" in headers:  # a throttle may also come as a 200
        date = date_of(headers)  # a date in Retry-After is one of the server's clock, not of ours
        retry_after = parse_retry_after(
            headers.get("Retry-After"),
            headers.get("Retry-After-Ms"),
            settings.clock.wall() if date is None else date,
        )
    return Answer(response.status, body, retry_after, headers)


@functools.lru_cache(maxsize=32)  # calls that did not wait have all of their time left, and one and the same
def _timeouts(milliseconds: int, connect: float) -> aiohttp.ClientTimeout:
    """Connecting ends a moment before the call does: so it is known that nothing was sent."""
    seconds = milliseconds / 1000
    sooner = seconds - min(0.01, seconds / 10)
    return aiohttp.ClientTimeout(
        total=None,  # see `Deadlines`
        connect=sooner,
        sock_connect=min(connect, sooner),
        ceil_threshold=math.inf,  # by default aiohttp rounds up to whole seconds
    )


def _explain(failure: Exception) -> PandaponError:
    """Our error for a failure of the transport. What is not surely unsent is unknown.

    Only the kind of the failure is told: aiohttp's own texts can carry the url and what the server sent.
    """
    if (unsent := _unsent(failure)) is not None:
        return unsent
    if isinstance(failure, aiohttp.ClientResponseError):
        # aiohttp says 400 here for any garbage the server sends: that is no refusal.
        return MalformedResponse("the server's answer is no valid HTTP")
    if isinstance(failure, TimeoutError) and failure.errno is None:
        return _late()
    kind = type(failure).__name__
    if isinstance(failure, aiohttp.ClientPayloadError):
        return ConnectionLost(f"the answer broke off or could not be unpacked ({kind})")
    if isinstance(failure, aiohttp.ClientError | OSError):
        reason = f", {failure.strerror}" if isinstance(failure, OSError) and failure.errno else ""
        return ConnectionLost(f"the connection was lost before the answer ({kind}{reason})")
    lost = ConnectionLost(f"the transport failed in an unforeseen way ({kind})", retryable=False)
    lost.__cause__ = failure
    return lost


def _late() -> DeadlineExceeded:
    late = DeadlineExceeded("the deadline passed before the whole answer was there")
    late.outcome = Outcome.UNKNOWN
    return late


def _unsent(failure: Exception) -> NotSent | None:
    """The error for a failure that surely came before the request."""
    if isinstance(failure, aiohttp.ClientSSLError):
        reason = _tls_reason(failure)
        return NotSent(
            f"TLS failed: the server's certificate or protocol was refused{reason}", retryable=False
        )
    if isinstance(failure, aiohttp.ServerFingerprintMismatch):
        return NotSent("TLS failed: the server's certificate is not the expected one", retryable=False)
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return NotSent("the host name of base_url could not be resolved (network, DNS?)")
    if isinstance(failure, aiohttp.ClientConnectorError):
        cause = failure.os_error
        return NotSent(f"no connection to the server ({cause.strerror or type(cause).__name__})")
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        return NotSent("no connection to the server in time (Settings.connect_timeout)")
    if isinstance(failure, aiohttp.InvalidURL):
        return NotSent("the url is not valid; check base_url", retryable=False)
    if isinstance(failure, aiohttp.ClientHttpProxyError):
        return NotSent(f"the proxy refused with HTTP {failure.status}", retryable=False)
    return None


def _tls_reason(failure: aiohttp.ClientSSLError) -> str:
    """OpenSSL's own words, such as ": self-signed certificate"."""
    cause = getattr(failure, "certificate_error", failure.os_error)
    words = getattr(cause, "verify_message", None) or getattr(cause, "reason", None)
    return f": {words}" if words else ""
