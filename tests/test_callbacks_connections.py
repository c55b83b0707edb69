"""Connections that say nothing, or slowly: they are closed and few, and pushes come through."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import attrs
from aiohttp import web

from pandapon_async.callbacks import Receiver
from pandapon_async.callbacks.connections import ConnectionGuard
from pandapon_async.clock import Clock
from tests.test_callbacks_hostile import BODY, CREDENTIALS, GOOD

PUSH = (
    b"POST /pandapon HTTP/1.1\r\nHost: x\r\nAuthorization: " + GOOD + b"\r\n"
    b"Content-Length: " + str(len(BODY)).encode() + b"\r\n\r\n" + BODY
)
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@attrs.define
class Served:
    """A receiver behind a guard, and its connections."""

    guard: ConnectionGuard
    port: int
    working: asyncio.Semaphore
    writers: list[asyncio.StreamWriter] = attrs.field(factory=list)

    async def connect(self, data: bytes = b"") -> Connection:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writers.append(writer)
        writer.write(data)
        return reader, writer


@asynccontextmanager
async def served(idle_within: float = 60.0, most: int = 4) -> AsyncIterator[Served]:
    receiver = Receiver(CREDENTIALS, store=":memory:")
    app = receiver.aiohttp_app("/pandapon")
    guard = ConnectionGuard(idle_within, most, Clock())
    app.middlewares.append(guard.middleware)
    working = asyncio.Semaphore(0)

    async def slow(_: web.Request) -> web.Response:
        """At work until the connection goes."""
        working.release()
        await asyncio.Event().wait()
        raise AssertionError

    app.router.add_post("/slow", slow)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    server_of = runner.server
    assert server_of is not None
    server = await asyncio.get_running_loop().create_server(
        lambda: guard.protocol(server_of()), "127.0.0.1", 0
    )
    found = Served(guard, server.sockets[0].getsockname()[1], working)
    try:
        yield found
    finally:
        for writer in found.writers:
            writer.close()
        server.close()
        await runner.cleanup()


async def status(reader: asyncio.StreamReader) -> int:
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0]))
    return int(head.split()[1])


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await asyncio.wait_for(reader.read(), 5) == b""
    except ConnectionError:
        return True


async def test_incomplete_headers_time_out() -> None:
    async with served(idle_within=0.2) as server:
        for begun in (b"", b"P", PUSH[:40], PUSH[: PUSH.index(b"\r\n\r\n")]):
            reader, _ = await server.connect(begun)
            assert await closed(reader), begun
        assert server.guard.open == 0


async def test_a_byte_now_and_then_does_not_help() -> None:
    async with served(idle_within=0.3) as server:
        reader, writer = await server.connect()
        gone = asyncio.ensure_future(closed(reader))
        for byte in PUSH[:200]:
            if gone.done():
                break
            writer.write(bytes([byte]))
            await asyncio.wait([gone], timeout=0.02)
        assert await gone


async def test_a_connection_that_was_used_times_out_as_well() -> None:
    async with served(idle_within=0.3) as server:
        reader, writer = await server.connect(PUSH)
        assert await status(reader) == 200
        writer.write(PUSH)
        assert await status(reader) == 200
        assert await closed(reader)


async def test_pushes_come_through_a_crowd_of_idle_connections() -> None:
    async with served(most=4) as server:
        crowd = [await server.connect(PUSH[:40]) for _ in range(40)]
        reader, writer = await server.connect(PUSH)
        assert await status(reader) == 200
        assert server.guard.open <= 4
        assert await closed(crowd[0][0])
        writer.write(PUSH)
        assert await status(reader) == 200


async def test_what_is_at_work_is_not_closed_for_a_newcomer() -> None:
    async with served(idle_within=0.3, most=2) as server:
        head = b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
        working = [await server.connect(head) for _ in range(2)]
        for _ in working:
            await asyncio.wait_for(server.working.acquire(), 5)
        newcomer, _ = await server.connect(PUSH)
        assert await closed(newcomer)
        waiting: list[Any] = [asyncio.ensure_future(reader.read(1)) for reader, _ in working]
        done, _ = await asyncio.wait(waiting, timeout=0.5)
        assert not done, "closed in the middle of its work"
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
