"""One request and its response, shared by both ways of sending.

`direct.py` and `session.py` provide a connection. They call `admit` before the request: it waits for a permit
and records the sending of a write. With the connection in hand, right before the first byte, they call
`use_permit` and `sign`. A permit that became old meanwhile (a name lookup, a handshake, a slow disk) is
exchanged by `renew`, because the server counts requests when they arrive, not when they were allowed. Without
it, 30 calls that wait 3 s for a cold name lookup arrive all at once.
"""

from __future__ import annotations

import functools
import math
import re
import weakref
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import attrs
from aiohttp.client_proto import ResponseHandler

from pandapon_async.clock import Clock
from pandapon_async.core.clock_skew import date_of
from pandapon_async.core.options import where_raised
from pandapon_async.core.outcome import RawResponse
from pandapon_async.core.retry import parse_retry_after
from pandapon_async.core.signing import signed_headers
from pandapon_async.errors import ConfigurationError, NotSentError, ResponseTooLargeError
from pandapon_async.settings import Credentials, Settings
from pandapon_async.transport.calls import CallContext, CallRegistry
from pandapon_async.transport.rate_limiter import Limiter
from pandapon_async.transport.requests import PreparedRequest, query_text
from pandapon_async.transport.server_time import ServerTime
from pandapon_async.transport.wait_queue import too_late

__all__ = [
    "STALE_CONNECTIONS",
    "Exchange",
    "IdleConnections",
    "connect_limits",
    "only_stale_connections",
    "raw_response",
    "read_bounded",
    "retry_after",
]

STALE_CONNECTIONS: Final = 8
"""After this many connections in a row with unrequested data a call gives up."""
_KEEP_ALIVE = re.compile(r"\btimeout\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE | re.ASCII)


@attrs.define(eq=False)
class Exchange:
    """One attempt of a call; `signed` is the timestamp of its signature."""

    settings: Settings
    credentials: Credentials = attrs.field(repr=False)
    prepared: PreparedRequest
    context: CallContext
    calls: CallRegistry
    limiter: Limiter
    server_time: ServerTime
    body: Any = attrs.field(repr=False)
    signed: float = 0.0
    counted: bool = False
    """Whether the attempt no longer counts as a call without a permit."""

    async def admit(self) -> None:
        """Wait for a permit, then record the sending of a write. Does nothing the second time."""
        if self.context.admitted:
            return
        await self._permit(first=False)
        self.context.admitted = True
        self.calls.without_permit -= 1
        self.counted = True
        if self.context.write is not None:
            await self.context.write.sending()

    def use_permit(self) -> bool:
        """Use the permit now; False if it is too old and `renew` must exchange it first.

        Raises DeadlineExceededError if there is no time left.
        """
        context, limiter = self.context, self.limiter
        now = context.sent = self.settings.clock.now()
        if now >= context.deadline:  # something blocked the loop and the timer of the call
            raise too_late()
        if limiter.is_stale(context.permit, now):
            return False
        limiter.used_late(context.permit, now)
        return True

    async def renew(self) -> None:
        """Exchange a permit that is too old to use."""
        self.limiter.unused(self.context.permit)
        await self._permit(first=True)
        self.context.sent = self.settings.clock.now()

    async def _permit(self, *, first: bool) -> None:
        context, begun = self.context, self.settings.clock.now()
        context.permit = await self.limiter.acquire(context.deadline, first=first)
        context.pending += context.permit - begun

    def sign(self) -> tuple[str, dict[str, str]]:
        """The query and the headers of a request, signed now. Raises ConfigurationError for a bad signer."""
        settings, credentials, prepared = self.settings, self.credentials, self.prepared
        unit = 1000 if settings.vendor.timestamp_unit == "ms" else 1
        timestamp = int(self.server_time.wall() * unit)
        problem = ""
        headers: dict[str, str] = {}
        try:
            headers = signed_headers(
                credentials.access_key,
                credentials.access_secret,
                credentials.user_id,
                str(timestamp),
                settings.clock.nonce(),
                prepared.signer or settings.vendor.signer,
            )
        except Exception as failure:
            problem = f"the signer failed: {where_raised(failure)}"
        if problem:  # not chained: the secret is a local variable of the signer's frame
            raise ConfigurationError(problem)
        if not _fits_a_header(headers["signature"]) or not _fits_a_header(headers["nonce-str"]):
            headers.clear()  # the signer's result may be the secret itself
            raise ConfigurationError(
                "the signer and the clock's nonce must return text that an HTTP header can carry"
            )
        self.signed = timestamp / unit
        query = prepared.query
        if prepared.endpoint.signs_in_query:
            # The rule of `sign` is not known; assume the signature over the same values.
            signed = query_text({"timestamp": headers["timestamp"], "sign": headers["signature"]})
            query = f"{query}&{signed}" if query else signed
        if self.body is not None:
            headers["Content-Type"] = "application/json"
        return query, headers

    def writing(self) -> None:
        """Record that bytes of the request may leave from now on. Raises NotSentError if it is too late."""
        if self.context.write is not None:
            self.context.write.check_lease()
        self.context.on_wire = True


class IdleConnections:
    """What aiohttp's pool does not track about idle connections.

    A byte that arrives on an idle connection belongs to no request, so the connection is closed at once. And
    a server may announce how long it keeps an idle connection (`Keep-Alive: timeout=5`).
    """

    def __init__(self) -> None:
        self._hinted = False
        self._until: weakref.WeakKeyDictionary[ResponseHandler, float] = weakref.WeakKeyDictionary()

    def put(self, protocol: ResponseHandler, headers: Mapping[str, str], clock: Clock) -> None:
        """Record the headers of a complete response; call it before the connection is released."""
        protocol._parser = _NOTHING_EXPECTED
        hint = headers.get("Keep-Alive")
        if hint is not None and (found := _KEEP_ALIVE.search(hint)):
            seconds = float(found[1])
            # Minus a margin: the request must arrive before the server closes, by the server's clock.
            self._until[protocol] = clock.now() + seconds - min(1.0, seconds / 2)
            self._hinted = True
        elif self._hinted:
            self._until.pop(protocol, None)

    def expired(self, protocol: ResponseHandler, clock: Clock) -> bool:
        """Whether the server may be about to close this connection from the pool."""
        return self._hinted and self._until.get(protocol, math.inf) <= clock.now()


class _NothingExpected:
    """The parser of an idle connection. aiohttp closes a connection whose parser fails."""

    def feed_data(self, data: bytes) -> tuple[list[Any], bool, bytes]:
        if data:
            raise ValueError("data between two responses")
        return [], False, b""

    def feed_eof(self) -> None:
        """The server closed it."""


_NOTHING_EXPECTED: Final[Any] = _NothingExpected()


def _fits_a_header(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isascii() and value.isprintable()


def connect_limits(deadline: float, settings: Settings) -> aiohttp.ClientTimeout:
    """The time limit of connecting for a call with this deadline (in `Clock.now` seconds).

    It ends slightly before the call, so the error can name what the call waited for.
    """
    return _limits(math.ceil((deadline - settings.clock.now()) * 1000), settings.connect_timeout)


@functools.lru_cache(maxsize=32)  # calls that did not wait share one limit: all of their time is left
def _limits(milliseconds: int, connect: float) -> aiohttp.ClientTimeout:
    seconds = milliseconds / 1000
    sooner = seconds - min(0.01, seconds / 10)
    return aiohttp.ClientTimeout(
        total=None,  # the call has its own limit
        connect=sooner,
        sock_connect=min(connect, sooner),
        ceil_threshold=math.inf,  # by default aiohttp rounds up to whole seconds
    )


async def read_bounded(content: aiohttp.StreamReader, limit: int) -> bytes:
    """Read the whole body of a response. After ResponseTooLargeError the connection must be closed."""
    pieces: list[bytes] = []
    size = 0
    while not content.at_eof():
        # Most bodies have arrived completely by now; then there is nothing to await.
        piece = content.read_nowait() if content.is_eof() else await content.readany()
        size += len(piece)
        if size > limit:
            raise ResponseTooLargeError(
                f"the answer is longer than {limit} bytes; increase Settings.max_response_bytes"
            )
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def raw_response(status: int, headers: Mapping[str, str], body: bytes, settings: Settings) -> RawResponse:
    """Return the response with the wait from its headers; a throttle may also have status 200."""
    return RawResponse(status, body, retry_after(headers, settings), headers)


def retry_after(headers: Mapping[str, str], settings: Settings) -> float | None:
    """Seconds to wait, from these headers."""
    if "Retry-After" not in headers and "Retry-After-Ms" not in headers:
        return None
    date = date_of(headers)  # a date in Retry-After refers to the server's clock, not to ours
    wall = settings.clock.wall() if date is None else date
    return parse_retry_after(headers.get("Retry-After"), headers.get("Retry-After-Ms"), wall)


def only_stale_connections() -> NotSentError:
    """The error of a call that found only connections with unrequested data."""
    return NotSentError("the server sent data before the request; the connection was dropped")
