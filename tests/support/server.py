"""A loopback server that does with each request exactly what a test tells it to.

A behaviour is an async function that gets an `Exchange`; the first connection data uses the first
behaviour, the next request the second, and so on; after the last one `then` answers all others.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Any, Self

import attrs

__all__ = ["Behaviour", "Exchange", "FaultServer", "RequestRecord", "answer", "envelope", "http", "ok"]


@attrs.define
class RequestRecord:
    """A request as it came over the wire."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def header(self, name: str) -> str | None:
        """The value of a header that came once; None if it did not come."""
        values = [value for key, value in self.headers if key == name.lower()]
        assert len(values) <= 1, f"{name} came {len(values)} times"
        return values[0] if values else None

    @property
    def nonce(self) -> str:
        """The nonce it was signed with."""
        return self.header("nonce-str") or ""


@attrs.define(eq=False)
class Exchange:
    """One request and the connection it came on."""

    server: FaultServer
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connection: int
    first: bytes
    keep: bool = True
    seen: RequestRecord | None = None

    async def head(self) -> RequestRecord:
        """Read the request up to its body."""
        raw = self.first + await self.reader.readuntil(b"\r\n\r\n")
        lines = raw.decode("latin-1").split("\r\n")
        method, target, _ = lines[0].split(" ")
        pairs = [line.split(": ", 1) for line in lines[1:] if line]
        seen = RequestRecord(
            method, target, [(name.lower(), value) for name, value in pairs], b"", self.connection
        )
        self.server.requests.append(seen)
        self.seen = seen
        return seen

    async def request(self) -> RequestRecord:
        """Read the whole request."""
        seen = await self.head()
        seen.body = await self.reader.readexactly(int(seen.header("content-length") or 0))
        return seen

    async def send(self, data: bytes) -> None:
        """Write to the client; a client that went away is its own affair."""
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    def close(self) -> None:
        """Close the connection in good order (FIN)."""
        self.keep = False
        self.writer.close()

    def reset(self) -> None:
        """Tear the connection down (RST)."""
        self.keep = False
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> None:
        """Wait until the client closes the connection."""
        self.keep = False
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass


Behaviour = Callable[[Exchange], Awaitable[None]]


def envelope(data: Any = None, code: Any = 200, **more: Any) -> bytes:
    """The JSON of an answer."""
    fields = {"requestId": "r-1", "code": code, "developId": None, "msg": "ok", "data": data}
    return json.dumps({**fields, **more}).encode()


def http(
    body: bytes = b"", status: str = "200 OK", headers: Iterable[str] = (), length: bool = True
) -> bytes:
    """An HTTP answer as bytes; `length` says whether it carries the right Content-Length."""
    lines = [f"HTTP/1.1 {status}", "Content-Type: application/json", *headers]
    if length:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer(raw: bytes, *, close: bool = False) -> Behaviour:
    """Read the request, send these bytes, and close if asked to."""

    async def behave(exchange: Exchange) -> None:
        await exchange.request()
        await exchange.send(raw)
        if close:
            exchange.close()

    return behave


def ok(data: Any = None) -> Behaviour:
    """A good answer."""
    return answer(http(envelope({"success": True} if data is None else data)))


class FaultServer:
    """The server; `requests` is what it saw, in order of arrival."""

    def __init__(
        self, *behaviours: Behaviour, then: Behaviour | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._behaviours = list(behaviours)
        self._then = then or ok()
        self._tls = tls
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests: list[RequestRecord] = []
        self.connections = 0
        self.failures: list[BaseException] = []

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if error is None:
            assert self.failures == []
            nonces = [seen.nonce for seen in self.requests if seen.nonce]
            assert len(nonces) == len(set(nonces)), "a nonce came twice"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}" if self._tls is None else f"https://localhost:{self.port}"

    @property
    def open(self) -> int:
        """How many connections it still serves."""
        return len(self._tasks)

    def on_next(self, *behaviours: Behaviour) -> None:
        """What to do with the requests that come next."""
        self._behaviours.extend(behaviours)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._serve(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client went away in the middle
        except Exception as error:
            self.failures.append(error)
        except asyncio.CancelledError:
            pass  # the test is over; a cancelled connection task would be complained about
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: int
    ) -> None:
        keep = True
        while keep and (first := await reader.read(1)):
            behave = self._behaviours.pop(0) if self._behaviours else self._then
            exchange = Exchange(self, reader, writer, connection, first)
            await behave(exchange)
            keep = exchange.keep
        if writer.is_closing():
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
