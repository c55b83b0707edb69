"""One attempt over aiohttp: send, read within bounds, say honestly what is known of a failure.

aiohttp by itself resends GET, PUT and DELETE once when a connection drops, with the same nonce, and
one of the vendor's GETs cancels a refund. `_one_attempt`, a client middleware, turns the transport's
exceptions into ours at a point where aiohttp no longer acts on them.

aiohttp also gives what arrived on an idle connection to whatever request uses it next, as its answer.
`_Request` does not go out over such a connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from pandapon_async.core.backoff import parse_retry_after
from pandapon_async.core.outcome import Answer
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
    async def send(self, conn: Connection) -> ClientResponse:
        if conn.protocol is None or conn.protocol.should_close:
            raise _StaleConnection
        return await super().send(conn)


STALE_CONNECTIONS = 8  # taken from the pool in a row before a call gives up


async def _one_attempt(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    for _ in range(STALE_CONNECTIONS):
        try:
            return await handler(request)
        except _StaleConnection:
            continue  # aiohttp has closed it, and nothing was sent
        except (aiohttp.ClientError, OSError) as failure:
            error = _explain(failure)
        # Raised out here, without what aiohttp says: its texts quote what the server sent.
        raise _TransportFailure(error)
    raise _TransportFailure(NotSent("the server talks before it is asked"))


class Session:
    """An aiohttp session that is made in the running loop, or borrowed and then left open."""

    def __init__(self, borrowed: aiohttp.ClientSession | None = None) -> None:
        self._borrowed = borrowed is not None
        self._session = borrowed
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
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ttl_dns_cache=60),
                cookie_jar=aiohttp.DummyCookieJar(),
                request_class=_Request,
            )
        elif self._session.closed:
            raise ConfigurationError("the borrowed aiohttp session is closed")
        return self._session

    async def send(
        self, settings: Settings, method: str, url: URL, headers: Mapping[str, str], body: Any, seconds: float
    ) -> Answer:
        """One request on the wire, at most, and its whole answer.

        Raises NotSent, ConnectionLost, DeadlineExceeded, MalformedResponse or ResponseTooLarge; their
        `outcome` says whether the server may have acted.
        """
        session = self.open()
        try:
            async with session.request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                auto_decompress=True,
                raise_for_status=False,
                timeout=_timeouts(seconds, settings.connect_timeout),
                proxy=settings.proxy,
                ssl=settings.ssl_context or True,
                middlewares=(_one_attempt,),
            ) as response:
                return await _read(response, settings)
        except PandaponError:
            raise
        except _TransportFailure as failure:
            error = failure.error
        except Exception as failure:
            error = _explain(failure)
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


async def _read(response: ClientResponse, settings: Settings) -> Answer:
    limit = settings.max_response_bytes
    content = response.content
    pieces: list[bytes] = []
    size = 0
    while piece := await content.readany():
        size += len(piece)
        if size > limit:
            response.close()
            raise ResponseTooLarge(f"the answer is longer than {limit} bytes (Settings.max_response_bytes)")
        pieces.append(piece)
    headers = response.headers
    retry_after = None
    if "Retry-After" in headers or "Retry-After-Ms" in headers:  # a throttle may also come as a 200
        retry_after = parse_retry_after(
            headers.get("Retry-After"), headers.get("Retry-After-Ms"), settings.clock.wall()
        )
    return Answer(response.status, pieces[0] if len(pieces) == 1 else b"".join(pieces), retry_after)


def _timeouts(seconds: float, connect: float) -> aiohttp.ClientTimeout:
    """All in `seconds`. Connecting ends a moment earlier, so that it is known that nothing was sent."""
    sooner = seconds - min(0.01, seconds / 10)
    return aiohttp.ClientTimeout(
        total=seconds,
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
        late = DeadlineExceeded("the deadline passed before the whole answer was there")
        late.outcome = Outcome.UNKNOWN
        return late
    kind = type(failure).__name__
    if isinstance(failure, aiohttp.ClientPayloadError):
        return ConnectionLost(f"the answer broke off or could not be unpacked ({kind})")
    if isinstance(failure, aiohttp.ClientError | OSError):
        reason = f", {failure.strerror}" if isinstance(failure, OSError) and failure.errno else ""
        return ConnectionLost(f"the connection was lost before the answer ({kind}{reason})")
    lost = ConnectionLost(f"the transport failed in an unforeseen way ({kind})", retryable=False)
    lost.__cause__ = failure
    return lost


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
