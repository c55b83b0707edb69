"""The ways in which a server, or what stands between, can go wrong; as behaviours of a FaultServer."""

from __future__ import annotations

import asyncio
import gzip
import zlib

from tests.support.server import Behaviour, Exchange, envelope, http

GOOD = http(envelope({"success": True}))
HTML = b"<html><body><h1>Bad gateway</h1></body></html>"


async def reset_after_head(exchange: Exchange) -> None:
    await exchange.head()
    exchange.reset()


async def reset_before_answer(exchange: Exchange) -> None:
    await exchange.request()
    exchange.reset()


async def close_before_answer(exchange: Exchange) -> None:
    await exchange.request()
    exchange.close()


async def reset_unread(exchange: Exchange) -> None:
    """Tear the connection down without reading more than a byte."""
    exchange.reset()


async def half_open(exchange: Exchange) -> None:
    """Read the request and then nothing, for ever."""
    await exchange.request()
    await exchange.gone()


async def drip(exchange: Exchange) -> None:
    """A good answer, one byte every ten seconds."""
    await exchange.request()
    for position in range(len(GOOD)):
        await exchange.send(GOOD[position : position + 1])
        await asyncio.sleep(10)
    exchange.close()


def cut(raw: bytes, at: int, *, reset: bool = False) -> Behaviour:
    """Send the first `at` bytes of an answer, then end the connection."""

    async def behave(exchange: Exchange) -> None:
        await exchange.request()
        await exchange.send(raw[:at])
        if reset:
            await asyncio.sleep(0.001)  # a reset would overtake bytes that were not read yet
            exchange.reset()
        else:
            exchange.close()

    return behave


def says(raw: bytes) -> Behaviour:
    """Send these bytes and close, as most broken servers do."""
    return cut(raw, len(raw))


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """An answer in chunks; `parts` come as they are."""
    return http(headers=["Transfer-Encoding: chunked"], length=False) + b"".join(parts) + end


def chunk(data: bytes) -> bytes:
    """One well-formed chunk."""
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def gzipped(body: bytes) -> bytes:
    """An answer whose body is compressed."""
    return http(gzip.compress(body), headers=["Content-Encoding: gzip"])


def bomb(size: int) -> bytes:
    """An answer of `size` zero bytes, compressed a thousandfold."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = b"".join(packer.compress(bytes(1 << 20)) for _ in range(size >> 20)) + packer.flush()
    return http(packed, headers=["Content-Encoding: gzip"])


def sent(raw: bytes, *more: bytes) -> Behaviour:
    """Send these bytes and keep the connection open."""

    async def behave(exchange: Exchange) -> None:
        await exchange.request()
        await exchange.send(raw)
        for piece in more:
            await asyncio.sleep(0.001)
            await exchange.send(piece)

    return behave
