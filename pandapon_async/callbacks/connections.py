"""Limits for the connections of `pandapon callbacks serve`, which anyone may open.

The web server reads headers as long as they come, and keeps as many connections as the system has
descriptors. So a few hundred clients that send a byte a minute block every push. Here a connection without a
running request is closed after a while, and their number is limited: a further one closes the connection that
has been idle longest. A genuine push is in progress within milliseconds, so it is never closed.
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
        idle_within: Seconds after which a connection without a complete request head is closed.
        most_connections: The most connections at once.
        clock: The source of timers.
    """

    def __init__(self, idle_within: float, most_connections: int, clock: Clock) -> None:
        self._idle_within = idle_within
        self._most = most_connections
        self._clock = clock
        self._connections: dict[Any, _Guarded] = {}
        self._idle: dict[_Guarded, asyncio.TimerHandle] = {}  # the longest idle one first

    def protocol(self, inner: asyncio.Protocol) -> asyncio.Protocol:
        """Wrap the web server's protocol factory for the event loop's server."""
        return _Guarded(self, inner)

    @property
    def open(self) -> int:
        """The number of connections."""
        return len(self._connections)

    async def middleware(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Marks the time of a running request: its head is complete, and its body has its own time limit."""
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
        """Accept a new connection. Returns False if all others have running requests."""
        if len(self._connections) >= self._most:
            oldest = next(iter(self._idle), None)
            if oldest is None:
                return False
            oldest.close()
        self._connections[transport] = connection
        self._watch(connection)
        return True

    def lost(self, connection: _Guarded, transport: asyncio.Transport) -> None:
        """Remove a closed connection."""
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
        """Close the connection at once: no one waits for an answer on it."""
        if self._transport is not None:
            self._guard.lost(self, self._transport)
            self._transport.abort()
