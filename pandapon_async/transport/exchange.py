"""What every request has in common, by whichever way it goes: bounds for connecting and for the answer."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Final

import aiohttp

from pandapon_async.core.clock_skew import date_of
from pandapon_async.core.outcome import RawResponse
from pandapon_async.core.retry import parse_retry_after
from pandapon_async.errors import NotSentError, ResponseTooLargeError
from pandapon_async.settings import Settings

__all__ = ["STALE_CONNECTIONS", "connect_limits", "only_stale_connections", "raw_response", "read_bounded"]

STALE_CONNECTIONS: Final = 8  # taken from the pool in a row before a call gives up


def connect_limits(seconds: float, settings: Settings) -> aiohttp.ClientTimeout:
    """How long connecting may take for a call that has so many `seconds` left.

    It ends a moment before the call does: so it is known that nothing was sent.
    """
    return _limits(math.ceil(seconds * 1000), settings.connect_timeout)


@functools.lru_cache(maxsize=32)  # calls that did not wait have all of their time left, and one and the same
def _limits(milliseconds: int, connect: float) -> aiohttp.ClientTimeout:
    seconds = milliseconds / 1000
    sooner = seconds - min(0.01, seconds / 10)
    return aiohttp.ClientTimeout(
        total=None,  # the whole request has a limit of its own, see `Session.send`
        connect=sooner,
        sock_connect=min(connect, sooner),
        ceil_threshold=math.inf,  # by default aiohttp rounds up to whole seconds
    )


async def read_bounded(content: aiohttp.StreamReader, limit: int) -> bytes:
    """All of an answer's body. Raises ResponseTooLargeError; then the connection must be closed."""
    pieces: list[bytes] = []
    size = 0
    while not content.at_eof():
        # Most answers are there as a whole by now: then there is nothing to await.
        piece = content.read_nowait() if content.is_eof() else await content.readany()
        size += len(piece)
        if size > limit:
            raise ResponseTooLargeError(
                f"the answer is longer than {limit} bytes (Settings.max_response_bytes)"
            )
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def raw_response(status: int, headers: Mapping[str, str], body: bytes, settings: Settings) -> RawResponse:
    """The answer with what its headers say about waiting."""
    retry_after = None
    if "Retry-After" in headers or "Retry-After-Ms" in headers:  # a throttle may also come as a 200
        date = date_of(headers)  # a date in Retry-After is one of the server's clock, not of ours
        retry_after = parse_retry_after(
            headers.get("Retry-After"),
            headers.get("Retry-After-Ms"),
            settings.clock.wall() if date is None else date,
        )
    return RawResponse(status, body, retry_after, headers)


def only_stale_connections() -> NotSentError:
    """The error of a call that found only connections with data on them that nobody asked for."""
    return NotSentError("the server sent data before the request; the connection was dropped")
