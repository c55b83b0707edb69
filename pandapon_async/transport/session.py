"""One attempt over aiohttp: send, read within bounds, say honestly what is known of a failure.

aiohttp by itself resends GET, PUT and DELETE once when a connection drops, with the same nonce, and
one of the vendor's GETs cancels a refund. `_one_attempt`, a client middleware, turns the transport's
exceptions into ours at a point where aiohttp no longer acts on them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from yarl import URL

from pandapon_async.core.backoff import parse_retry_after
from pandapon_async.core.outcome import Answer
from pandapon_async.errors import (
    ConfigurationError,
    ConnectionLost,
    MalformedResponse,
    NotSent,
    Outcome,
    PandaponError,
    ResponseTooLarge,
)
from pandapon_async.settings import Settings

__all__ = ["Session"]


class _TransportFailure(Exception):
    """Carries one of our errors out of aiohttp; no OSError, so nothing in there retries on it."""

    def __init__(self, error: PandaponError) -> None:
        super().__init__()
        self.error = error


async def _one_attempt(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    try:
        return await handler(request)
    except (aiohttp.ClientError, OSError) as failure:
        raise _TransportFailure(_explain(failure)) from failure


class Session:
    """An aiohttp session that is made in the running loop, or borrowed and then left open."""

    def __init__(self, borrowed: aiohttp.ClientSession | None = None) -> None:
        self._borrowed = borrowed is not None
        self._session = borrowed
        self.loop: asyncio.AbstractEventLoop | None = None
        self.closed = False

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
            )
        elif self._session.closed:
            raise ConfigurationError("the borrowed aiohttp session is closed")
        return self._session

    async def send(
        self, settings: Settings, method: str, url: URL, headers: Mapping[str, str], body: Any, seconds: float
    ) -> Answer:
        """One request on the wire, at most, and its whole answer.

        Raises NotSent, ConnectionLost, MalformedResponse or ResponseTooLarge; their `outcome` says
        whether the server may have acted.
        """
        session = self.open()
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=settings.connect_timeout)
        try:
            async with session.request(
                method,
                url,
                data=body,
                headers=headers,
                allow_redirects=False,
                timeout=timeout,
                proxy=settings.proxy,
                middlewares=(_one_attempt,),
            ) as response:
                return await _read(response, settings)
        except _TransportFailure as failure:
            raise failure.error from failure.__cause__
        except (aiohttp.ClientError, OSError, TimeoutError) as failure:
            raise _explain(failure) from failure

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
    if response.status in (429, 503):
        retry_after = parse_retry_after(
            headers.get("Retry-After"), headers.get("Retry-After-Ms"), settings.clock.wall()
        )
    return Answer(response.status, pieces[0] if len(pieces) == 1 else b"".join(pieces), retry_after)


def _explain(failure: Exception) -> PandaponError:
    """Our error for a failure of the transport. What is not surely unsent is unknown.

    Only the kind of the failure is told: aiohttp's own texts can carry the url and what the server sent.
    """
    if isinstance(failure, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return NotSent("TLS failed: the server's certificate or protocol was refused", retryable=False)
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return NotSent("the host name of base_url could not be resolved (network, DNS?)")
    if isinstance(failure, aiohttp.ClientConnectorError):
        reason = failure.os_error.strerror if failure.os_error else None
        return NotSent(f"no connection to the server ({reason or type(failure.os_error).__name__})")
    if isinstance(failure, aiohttp.ConnectionTimeoutError):
        return NotSent("no connection to the server in time (Settings.connect_timeout)")
    if isinstance(failure, aiohttp.InvalidURL):
        return NotSent("the url is not valid; check base_url", retryable=False)
    if isinstance(failure, aiohttp.ClientHttpProxyError):
        return NotSent(f"the proxy refused with HTTP {failure.status}", retryable=False)
    if isinstance(failure, aiohttp.ClientResponseError):
        # aiohttp says 400 here for any garbage the server sends: that is no refusal.
        return MalformedResponse("the server's answer is no valid HTTP")
    if isinstance(failure, TimeoutError):
        lost = ConnectionLost("no whole answer in time")
    elif isinstance(failure, aiohttp.ClientPayloadError):
        lost = ConnectionLost("the answer broke off in the middle")
    else:
        lost = ConnectionLost(f"the connection was lost before the answer ({type(failure).__name__})")
    assert lost.outcome is Outcome.UNKNOWN
    return lost
