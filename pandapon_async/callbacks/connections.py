"""Bounds for the connections of `pandapon callbacks serve`, which anybody may open.

The web server reads headers for as long as somebody sends them, and keeps as many connections as the system
has descriptors for: a few hundred that send a byte a minute, and no push comes through. Here a connection
without a request in work is closed after a while, and there are so many at most: one more closes the one that
has been idle for the longest. A genuine push is in work within milliseconds, so it is not among them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from pandapon_async.clock import Clock

__all__ = ["ConnectionGuard"]


class ConnectionGuard:
    """Watches the connections of one server. Add `middleware` to its application.

    Args:
        idle_within: seconds until a connection is closed that has no whole request head.
        most_connections: how many there may be at once.
        clock: where timers come from.
    """

    def __init__(self, idle_within: float, most_connections: int, clock: Clock) -> None:
        self._idle_within = idle_within
        self._most = most_connections
        self._clock = clock
        self._connections: dict[Any, _Guarded] = {}
        self._idle: dict[_Guarded, asyncio.TimerHandle] = {}  # the longest idle one first

    def protocol(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """What to give to the event loop's server for the web server's own protocol."""
        return _Guarded(self, inner)

    @property
    def open(self) -> int:
        """How many connections there are."""
        return len(self._connections)

    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Knows when a request is in work: its head is whole then, and its body has its own time limit."""
        connection = self._connections.get(request.transport)
        if connection is None:
            return await handler(request)
        self._cancel(connection)
        try:
            return await handler(request)
        finally:
            if request.transport in self._connections:
                self._watch(connection)

    middleware.__middleware_version__ = 1  # type: ignore[attr-defined]  # as web.middleware marks functions

    def made(self, connection: _Guarded, transport: asyncio.Transport) -> bool:
        """Take a new connection in. False if there is no room, as all others are at work."""
        if len(self._connections) >= self._most:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            oldest.close()
        self._connections[transport] = connection
        self._watch(connection)
        return True

    def lost(self, connection: _Guarded, transport: asyncio.Transport) -> None:
        """A connection is no more."""
        self._connections.pop(transport, None)
        self._cancel(connection)

    def _watch(self, connection: _Guarded) -> None:
        self._cancel(connection)
        self._idle[connection] = self._clock.call_later(self._idle_within, connection.close)

    def _cancel(self, connection: _Guarded) -> None:
        if (timer := self._idle.pop(connection, None)) is not None:
            timer.cancel()


class _Guarded(asyncio.Protocol):
    """The web server's protocol, behind the guard."""

    def __init__(self, guard: ConnectionGuard, inner: asyncio.Protocol) -> None:
        self._guard = guard
        self._inner = inner
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        if not self._guard.made(self, transport):
            transport.abort()
            return
        self._transport = transport
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        return None if self._transport is None else self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._transport is not None:
            transport, self._transport = self._transport, None
            self._guard.lost(self, transport)
            self._inner.connection_lost(exc)

    def close(self) -> None:
        """Close the connection at once: nobody waits for an answer on it."""
        if self._transport is not None:
            self._guard.lost(self, self._transport)
            self._transport.abort()
