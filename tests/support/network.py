"""What stands between client and server: slow resolvers and handshakes, lost SYNs, proxies, deaf peers."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import trustme

__all__ = [
    "Proxy", "deaf_peer", "descriptors", "most_in_a_second", "serving_tls", "slow_connects",
    "slow_handshakes", "slow_names", "trusting_tls",
]  # fmt: skip


@functools.cache
def _authority() -> trustme.CA:
    return trustme.CA()


@functools.cache
def serving_tls(name: str = "localhost") -> ssl.SSLContext:
    """A server's end, with a certificate for this name. Made before a loop runs: it reads files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _authority().issue_cert(name).configure_cert(context)
    return context


@functools.cache
def trusting_tls() -> ssl.SSLContext:
    """A client's end that trusts `serving_tls`."""
    context = ssl.create_default_context()
    _authority().configure_trust(context)
    return context


@contextlib.contextmanager
def slow_names(seconds: float) -> Iterator[None]:
    """Every name lookup takes so long."""
    loop = asyncio.get_running_loop()
    look_up = loop.getaddrinfo

    async def slow(host: Any, *arguments: Any, **more: Any) -> Any:
        await asyncio.sleep(seconds)
        return await look_up("127.0.0.1" if host == "localhost" else host, *arguments, **more)

    loop.getaddrinfo = slow  # type: ignore[method-assign]
    try:
        yield
    finally:
        del loop.getaddrinfo


@contextlib.contextmanager
def slow_connects(delay: Callable[[], float]) -> Iterator[None]:
    """Every connection takes `delay()` seconds to be made: SYNs that are sent again, or a slow handshake."""
    loop = asyncio.get_running_loop()
    connect = loop.sock_connect

    async def slow(sock: Any, address: Any) -> None:
        await asyncio.sleep(delay())
        await connect(sock, address)

    loop.sock_connect = slow  # type: ignore[method-assign]
    try:
        yield
    finally:
        del loop.sock_connect


@contextlib.asynccontextmanager
async def slow_handshakes(port: int, delay: Callable[[], float]) -> AsyncIterator[int]:
    """The way to a TLS server whose part of the handshake takes `delay()` seconds; gives the port."""
    tasks: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        there, back = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer, delay()))
        for end in (writer, back):
            end.transport.abort()
        tasks.discard(task)

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def deaf_peer() -> Iterator[str]:
    """A server whose kernel accepts connections and a little data, and that never reads; gives its url."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen(256)
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def descriptors() -> list[str]:
    """What this process has open, apart from what came and went with the look."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.append(str(link.readlink()))
    return sorted(name for name in found if "/proc/" not in name)


def most_in_a_second(times: list[float]) -> int:
    """The largest number in any sliding second, as a server counts that takes both borders in."""
    most = start = 0
    for end, time in enumerate(times):
        while time - times[start] > 1.0:
            start += 1
        most = max(most, end - start + 1)
    return most


@attrs.define(eq=False)
class Proxy:
    """An HTTP proxy for CONNECT. `answer` is what it says to it; "" for nothing at all."""

    answer: str = "HTTP/1.1 200 Connection established"
    asked: int = 0
    port: int = 0
    _tasks: set[asyncio.Task[None]] = attrs.field(factory=set)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Serve; gives the proxy's url."""
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield f"http://user:canary-password@127.0.0.1:{self.port}"
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked += 1
        if not self.answer:
            await reader.read()
            return
        writer.write(f"{self.answer}\r\n\r\n".encode())
        await writer.drain()
        if " 200 " not in self.answer:
            return
        host, _, port = head.split(" ")[1].rpartition(":")
        there, back = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(_pipe(reader, back), _pipe(there, writer))
        finally:
            back.transport.abort()


async def _pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float = 0.0) -> None:
    write: Callable[[bytes], None] = writer.write
    drain: Callable[[], Awaitable[None]] = writer.drain
    while data := await reader.read(65536):
        if delay:
            await asyncio.sleep(delay)
            delay = 0.0
        write(data)
        await drain()
    writer.close()
