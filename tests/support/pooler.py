"""What may stand before a PostgreSQL: a pooler in transaction mode, and TLS, which the wheel's server lacks.

The pooler has many clients and one connection of the server. As with pgbouncer in that mode, the connection
belongs to a client from its first message until the server is ready for the next transaction. What arrives
when it belongs to nobody is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from socket import AF_INET

__all__ = ["tls_front", "transaction_pooler"]

READY, NOBODY = b"Z", None


class _Pooler:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.greeting = b""
        self.free = asyncio.Lock()
        self.client: asyncio.StreamWriter | None = NOBODY

    async def log_in(self, user: str, database: str) -> None:
        facts = b"".join(text.encode() + b"\0" for text in ("user", user, "database", database)) + b"\0"
        self.writer.write(struct.pack("!ii", len(facts) + 8, 196_608) + facts)
        kind = b""
        while kind != READY:
            kind, message = await _message(self.reader)
            self.greeting += message

    async def answer(self) -> None:
        """Hand on what the server says; the connection is free when it is ready."""
        while True:
            kind, message = await _message(self.reader)
            if self.client is NOBODY:
                continue
            self.client.write(message)
            if kind == READY and message[-1:] == b"I":
                self.client = NOBODY
                self.free.release()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError), contextlib.closing(writer):
            (length,) = struct.unpack("!i", await reader.readexactly(4))
            await reader.readexactly(length - 4)
            writer.write(self.greeting)
            while True:
                kind, message = await _message(reader)
                if kind == b"X":
                    return
                if self.client is not writer:
                    await self.free.acquire()
                    self.client = writer
                self.writer.write(message)


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (length,) = struct.unpack("!i", head[1:])
    return head[:1], head + await reader.readexactly(length - 4)


@contextlib.asynccontextmanager
async def transaction_pooler(socket: str) -> AsyncIterator[str]:
    """A pooler before the server with its socket in this folder; gives the address to connect to."""
    pooler = _Pooler(*await asyncio.open_unix_connection(Path(socket) / ".s.PGSQL.5432"))
    await pooler.log_in("postgres", "postgres")
    server = await asyncio.start_server(pooler.serve, "127.0.0.1", 0)
    answering = asyncio.ensure_future(pooler.answer())
    try:
        yield f"postgresql://postgres@127.0.0.1:{server.sockets[0].getsockname()[1]}/postgres"
    finally:
        answering.cancel()
        server.close()
        pooler.writer.close()
        await asyncio.gather(answering, return_exceptions=True)


@contextlib.asynccontextmanager
async def tls_front(socket: Path, context: ssl.SSLContext | None) -> AsyncIterator[int]:
    """Speaks TLS for the server with this socket, or refuses to without a context; gives the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), contextlib.closing(writer):
            await reader.readexactly(8)  # the request for TLS
            writer.write(b"N" if context is None else b"S")
            await writer.drain()
            if context is not None:
                await writer.start_tls(context)
                inner, outer = await asyncio.open_unix_connection(socket)
                await asyncio.gather(_pump(reader, outer), _pump(inner, writer))

    server = await asyncio.start_server(serve, "localhost", 0, family=AF_INET)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer):
        while data := await reader.read(65_536):
            writer.write(data)
