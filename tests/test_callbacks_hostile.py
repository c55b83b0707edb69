"""Hostile input: whatever comes over the wire is refused quickly, with a 4xx, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import attrs
import pytest
from aiohttp import web

from pandapon_async.callbacks import CallbackSettings, Message, MessageState, Receiver
from pandapon_async.settings import Credentials

CREDENTIALS = Credentials("key", "secret", "1")
PATIENCE = 0.9  # real seconds for any refusal; the vendor gives one, and 20 ms are usual
CANARY = b"13800001111"


def message(**changes: Any) -> bytes:
    frame = {
        "messageType": "1688_X_REFUND",
        "messagePlatform": 1,
        "timestamp": str(round(time.time() * 1000)),
    }
    body = {"refundId": "TQ1", "phone": CANARY.decode()}
    return json.dumps({**frame, "messageBody": body, **changes}).encode()


def signed(body: bytes, secret: bytes = b"secret", base: bytes = b"key") -> bytes:
    return hmac.new(secret, base + body, hashlib.sha256).hexdigest().encode()


@attrs.define
class CallbackType:
    """One kind of request that is no genuine push; `expected` are the statuses that are an answer to it."""

    name: str
    body: bytes = attrs.field(factory=message)
    authorization: bytes | None = b""
    headers: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    method: str = "POST"
    expected: tuple[int, ...] = (401,)

    @property
    def all_headers(self) -> list[tuple[bytes, bytes]]:
        given = [] if self.authorization is None else [(b"Authorization", self.authorization)]
        return given + self.headers


BODY = message()
GOOD = signed(BODY)
DEEP = b'{"messageType": "A", "messageBody": ' + b"[" * 50_000
TEXT_DEEP = json.dumps({"messageType": "A", "messageBody": "[" * 50_000}).encode()
HUGE = message(filler="x" * 10_000_000)
FAR = [round((time.time() + days * 86_400) * 1000) for days in (-400, -2, 2, 400)]


def unreadable(name: str, body: bytes) -> CallbackType:
    """Well signed, and yet no message."""
    return CallbackType(name, body, signed(body), expected=(400,))


KINDS = [
    CallbackType("no signature", BODY, None),
    CallbackType("empty signature", BODY, b""),
    CallbackType("short signature", BODY, GOOD[:-1]),
    CallbackType("one digit", BODY, b"a"),
    CallbackType("long signature", BODY, GOOD + b"00"),
    CallbackType("very long signature", BODY, GOOD * 60),
    CallbackType("wrong case", BODY, GOOD.upper()),
    CallbackType("mixed case", BODY, GOOD[:32] + GOOD[32:].upper()),
    CallbackType("no hex", BODY, b"z" * 64),
    CallbackType("non-ASCII signature", BODY, "é".encode() * 64),
    CallbackType("signature that is not UTF-8", BODY, b"\xff" * 64),
    CallbackType("full-width digits", BODY, "１".encode() * 64),
    CallbackType("a scheme before it", BODY, b"HMAC-SHA256 " + GOOD),
    CallbackType("bearer token", BODY, b"Bearer eyJhbGciOiJub25lIn0.e30."),
    CallbackType("basic credentials", BODY, b"Basic a2V5OnNlY3JldA=="),
    CallbackType("quotes around it", BODY, b'"' + GOOD + b'"'),
    CallbackType("two signatures in one", BODY, GOOD + b", " + GOOD),
    CallbackType("base64 instead of hex", BODY, b"q83v" * 16),
    CallbackType("all zeros", BODY, b"0" * 64),
    CallbackType("another secret", BODY, signed(BODY, b"other")),
    CallbackType("another key", BODY, signed(BODY, base=b"other")),
    CallbackType("the body alone signed", BODY, signed(BODY, base=b"")),
    CallbackType("plain hash of the body", BODY, hashlib.sha256(BODY).hexdigest().encode()),
    CallbackType("signature of another message", BODY, signed(message(messageType="1688_Y"))),
    CallbackType("two headers", BODY, GOOD, [(b"Authorization", b"0" * 64)]),
    CallbackType("altered whitespace", BODY.replace(b", ", b","), GOOD),
    CallbackType("a newline at the end", BODY + b"\n", GOOD),
    CallbackType(
        "keys in another order", json.dumps(dict(reversed(json.loads(BODY).items()))).encode(), GOOD
    ),
    CallbackType("one byte changed", BODY.replace(b"TQ1", b"TQ2"), GOOD),
    CallbackType("empty body, signature of a message", b"", GOOD),
    CallbackType("10 MB", HUGE, signed(HUGE), expected=(413,)),
    CallbackType("10 MB without a signature", HUGE, None, expected=(413,)),
    CallbackType(
        "gzip bomb", gzip.compress(bytes(10_000_000)), GOOD, [(b"Content-Encoding", b"gzip")], expected=(415,)
    ),
    CallbackType("said to be packed", BODY, GOOD, [(b"Content-Encoding", b"deflate")], expected=(415,)),
    CallbackType("PUT", BODY, GOOD, method="PUT", expected=(405,)),
    CallbackType("DELETE", b"", None, method="DELETE", expected=(405,)),
    CallbackType("OPTIONS", b"", None, method="OPTIONS", expected=(405,)),
    unreadable("not UTF-8", b'{"messageType": "\xff\xfe"}'),
    unreadable("GBK", '{"messageType": "退款"}'.encode("gbk")),
    unreadable("byte order mark", b"\xef\xbb\xbf" + BODY),
    unreadable("no JSON", b"messageType=1688_X"),
    unreadable("half of it", BODY[: len(BODY) // 2]),
    unreadable("a list", b"[" + BODY + b"]"),
    unreadable("null", b"null"),
    unreadable("NaN", b'{"messageType": "A", "messageBody": NaN}'),
    unreadable("a name twice", b'{"messageType": "A", "messageType": "B"}'),
    unreadable("nested bomb", DEEP),
    unreadable("nested bomb of objects", b'{"a":' * 50_000),
    unreadable("nested bomb in the text", TEXT_DEEP),
    unreadable("a million digits", b'{"messageBody": ' + b"9" * 1_000_000 + b"}"),
    unreadable("beyond all numbers", b'{"messageBody": 1e9999999999}'),
    unreadable("half a character", b'{"messageType": "\\ud800"}'),
    unreadable("type is an object", b'{"messageType": {"a": 1}}'),
    *(
        CallbackType(f"{days} days off", message(timestamp=str(stamp)), None, expected=(400,))
        for days, stamp in zip((-400, -2, 2, 400), FAR, strict=True)
    ),
]
for kind in KINDS:
    if kind.name.endswith("days off"):
        kind.authorization = signed(kind.body)
each = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)


def test_there_are_enough_kinds() -> None:
    assert len(KINDS) >= 50


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another task brings about."""
    while not true():  # noqa: ASYNC110 (no event tells of it)
        await asyncio.sleep(0.002)


class House:
    """A receiver that must neither handle nor break."""

    def __init__(self, **settings: Any) -> None:
        self.seen: list[Message] = []
        self.receiver = Receiver(CREDENTIALS, CallbackSettings(**settings), store=":memory:")
        self.receiver.on()(self.seen.append)

    async def still_works(self, answer: Any) -> None:
        """A genuine message is taken, and is the first that any handler sees."""
        body = message()
        assert await answer(body, signed(body)) == 200
        await until(lambda: self.receiver.statistics.handled > 0)
        assert [one.raw for one in self.seen] == [body]
        assert (await self.receiver.counts())[MessageState.PENDING] == 0


@asynccontextmanager
async def served(**settings: Any) -> AsyncIterator[tuple[House, int]]:
    """The aiohttp application on a port."""
    house = House(**settings)
    runner = web.AppRunner(house.receiver.aiohttp_app("/pandapon"), access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield house, runner.addresses[0][1]
    finally:
        await runner.cleanup()


def request(kind: CallbackType) -> bytes:
    lines = [f"{kind.method} /pandapon HTTP/1.1".encode(), b"Host: localhost"]
    lines += [name + b": " + value for name, value in kind.all_headers]
    lines += [b"Content-Length: " + str(len(kind.body)).encode(), b"", b""]
    return b"\r\n".join(lines) + kind.body


async def exchange(port: int, raw: bytes) -> tuple[int, bytes]:
    """Status and all of the answer to raw bytes on a connection of their own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    sending = asyncio.ensure_future(_send(writer, raw))
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    rest = await reader.read(200)
    writer.close()
    return int(head.split()[1]), head + rest


async def _send(writer: asyncio.StreamWriter, raw: bytes) -> None:
    writer.write(raw)
    await writer.drain()


@each
async def test_aiohttp_refuses(kind: CallbackType) -> None:
    async with served() as (house, port):
        begun = time.perf_counter()
        status, answer = await exchange(port, request(kind))
        assert time.perf_counter() - begun < PATIENCE
        assert status in kind.expected
        assert CANARY not in answer
        assert b"Traceback" not in answer

        async def again(body: bytes, authorization: bytes) -> int:
            return (await exchange(port, request(CallbackType("", body, authorization))))[0]

        await house.still_works(again)


async def asgi(app: Any, kind: CallbackType, pieces: int = 1) -> tuple[int, bytes]:
    """Drive an ASGI application through one request."""
    scope = {
        "type": "http",
        "method": kind.method,
        "path": "/",
        "headers": [
            *((name.lower(), value) for name, value in kind.all_headers),
            (b"content-length", str(len(kind.body)).encode()),
        ],
    }
    size = max(1, len(kind.body) // pieces)
    parts = [kind.body[at : at + size] for at in range(0, len(kind.body), size)] or [b""]
    sent: list[Any] = []

    async def receive() -> Any:
        part = parts.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(parts)}

    async def send(event: Any) -> None:
        sent.append(event)

    await app(scope, receive, send)
    assert [event["type"] for event in sent] == ["http.response.start", "http.response.body"]
    return sent[0]["status"], sent[1]["body"]


@each
async def test_asgi_refuses(kind: CallbackType) -> None:
    house = House()
    app = house.receiver.asgi_app()
    begun = time.perf_counter()
    status, answer = await asgi(app, kind, pieces=7)
    assert time.perf_counter() - begun < PATIENCE
    assert status in kind.expected
    assert CANARY not in answer

    async def again(body: bytes, authorization: bytes) -> int:
        return (await asgi(app, CallbackType("", body, authorization)))[0]

    await house.still_works(again)
    await house.receiver.aclose()


async def test_the_same_message_replayed_is_answered_and_handled_once() -> None:
    async with served() as (house, port):
        body = message()
        raw = request(CallbackType("", body, signed(body)))
        assert {(await exchange(port, raw))[0] for _ in range(20)} == {200}
        await asyncio.sleep(0.05)
        assert len(house.seen) == 1
        assert house.receiver.statistics.duplicates == 19


@pytest.mark.parametrize(
    "raw",
    [
        b"POST /pandapon HTTP/1.1\r\nHost: l\r\nContent-Length: -1\r\n\r\n",
        b"POST /pandapon HTTP/1.1\r\nHost: l\r\nContent-Length: ten\r\n\r\n",
        b"POST /pandapon HTTP/1.1\r\nHost: l\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        b"POST /pandapon HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /pandapon HTTP/1.1\r\nHost: l\r\nAuthorization: a\x00b\r\nContent-Length: 0\r\n\r\n",
        b"POST /pandapon HTTP/1.1\r\nHost: l\r\n" + b"X: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /pandapon HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(50) + b"\r\n\r\n",
        b"POST /pandapon/../../etc/passwd HTTP/1.1\r\nHost: l\r\nContent-Length: 0\r\n\r\n",
        b"POST /elsewhere HTTP/1.1\r\nHost: l\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=lambda raw: repr(raw[26:60]),
)
async def test_broken_requests_are_refused_too(raw: bytes) -> None:
    async with served() as (house, port):
        begun = time.perf_counter()
        status, answer = await exchange(port, raw)
        assert 400 <= status < 500
        assert time.perf_counter() - begun < PATIENCE
        assert b"Traceback" not in answer
        assert house.seen == []


async def test_a_body_without_a_length_is_cut_off_at_the_bound() -> None:
    head = (
        b"POST /pandapon HTTP/1.1\r\nHost: l\r\nAuthorization: %s\r\nTransfer-Encoding: chunked\r\n\r\n"
        % GOOD
    )
    chunks = b"".join(b"%x\r\n%s\r\n" % (65_536, bytes(65_536)) for _ in range(40))
    async with served() as (house, port):
        status, _ = await exchange(port, head + chunks)
        assert status == 413
        assert house.receiver.statistics.refused == {"too_large": 1}


async def test_a_body_that_dribbles_in_is_not_waited_for() -> None:
    async with served(read_within=0.1) as (_, port):
        begun = time.perf_counter()
        status, _ = await exchange(port, b"POST /pandapon HTTP/1.1\r\nHost: l\r\nContent-Length: 50\r\n\r\n{")
        assert status == 408
        assert time.perf_counter() - begun < PATIENCE


async def test_who_leaves_in_the_middle_leaves_nothing_behind() -> None:
    async with served() as (house, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /pandapon HTTP/1.1\r\nHost: l\r\nContent-Length: 50\r\n\r\n{")
        await writer.drain()
        writer.close()
        await asyncio.sleep(0.05)
        body = message()
        assert (await exchange(port, request(CallbackType("", body, signed(body)))))[0] == 200
        assert house.receiver.statistics.stored == 1

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    async def send(event: Any) -> None:
        raise AssertionError("nobody is there")

    house = House()
    await house.receiver.asgi_app()({"type": "http", "method": "POST", "headers": []}, gone, send)


async def test_what_is_signed_and_unreadable_is_a_dead_letter() -> None:
    async with served() as (house, port):
        body = b'{"messageType": ' + CANARY
        for _ in range(2):
            status, _ = await exchange(port, request(CallbackType("", body, signed(body))))
            assert status == 400
        counts = await house.receiver.counts()
        assert counts == {
            MessageState.DEAD: 1,
            MessageState.PENDING: 0,
            MessageState.HANDLING: 0,
            MessageState.DONE: 0,
        }
        assert await house.receiver.replay() == 1  # by a version that can read it, perhaps
        await until(lambda: house.receiver.statistics.dead > 0)
        assert (await house.receiver.counts())[MessageState.DEAD] == 1
        assert house.seen == []
