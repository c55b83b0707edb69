"""Images on the wire: exact, whole on every attempt, in bounded memory, and never silently short."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import os
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp.abc import AbstractStreamWriter
from hypothesis import example, given
from hypothesis import strategies as st

from pandapon_async import (
    Client,
    InvalidArgumentError,
    Outcome,
    OutcomeUnknownError,
    bulk,
)
from pandapon_async.images import Image
from pandapon_async.transport import image_body as upload
from pandapon_async.transport.image_body import PIECE, ImageBody
from tests.support import faults
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import JPEG, at_rest, client
from tests.support.server import Exchange, FaultServer, answer, envelope, http
from tests.support.virtual import outcome, run, virtual_time

VOUCHER = http(envelope({"imageDomain": "https://x", "imageRelativeUrl": "a.jpg"}))
UPLOADED = answer(VOUCHER)


class Collected(AbstractStreamWriter):
    """A writer that keeps what it got."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.largest = 0

    async def write(self, chunk: Any) -> None:
        self.data += chunk
        self.largest = max(self.largest, len(chunk))

    async def write_eof(self, chunk: bytes = b"") -> None:
        raise AssertionError

    async def drain(self) -> None:
        raise AssertionError

    def enable_compression(self, *_: Any, **__: Any) -> None:
        raise AssertionError

    def enable_chunking(self) -> None:
        raise AssertionError

    async def write_headers(self, *_: Any) -> None:
        raise AssertionError


def contents(size: int) -> bytes:
    """Bytes in which a lost, doubled or swapped piece would show."""
    return b"".join(number.to_bytes(4, "big") for number in range(size // 4 + 1))[:size]


@given(size=st.integers(1, PIECE + 4), from_file=st.booleans())
@example(size=1, from_file=False)
@example(size=PIECE - 1, from_file=False)
@example(size=PIECE, from_file=True)
@example(size=PIECE + 1, from_file=True)
@example(size=5 * PIECE + 2, from_file=True)
def test_the_body_is_exactly_the_json_of_the_image(
    size: int, from_file: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = contents(size)
    source: bytes | Path = data
    if from_file:
        source = tmp_path_factory.getbasetemp() / "image"
        source.write_bytes(data)
    body = ImageBody({"orderId": "1", "imageData": Image(source, size, "jpeg"), "note": "退款"})
    writer = Collected()
    run(body.write_with_length(writer, 5))
    expected = {"orderId": "1", "imageData": base64.b64encode(data).decode(), "note": "退款"}
    assert json.loads(bytes(writer.data)) == expected
    assert len(writer.data) == body.size
    assert writer.largest <= PIECE // 3 * 4


@virtual_time
async def test_on_the_wire_with_its_length_and_not_in_chunks(tmp_path: Path) -> None:
    data = JPEG + contents(400_000)
    path = tmp_path / "proof.jpg"
    await asyncio.to_thread(path.write_bytes, data)
    async with FaultServer(then=UPLOADED) as server, client(server.url) as pandapon:
        for image in (data, bytearray(data), memoryview(data), path, str(path), io.BytesIO(data)):
            voucher = await pandapon.v2.alibaba.refunds.upload_voucher(image=image)
            assert voucher.url == "https://x/a.jpg"
        for seen in server.requests:
            assert json.loads(seen.body) == {"imageData": base64.b64encode(data).decode()}
            assert seen.header("content-length") == str(len(seen.body))
            assert seen.header("transfer-encoding") is None
            assert seen.header("content-type") == "application/json"
            assert seen.header("expect") is None
        assert server.connections == 1


@pytest.mark.parametrize("kind", ["bytes", "path", "file"])
@virtual_time
async def test_a_repeat_sends_the_whole_body_again(kind: str, tmp_path: Path) -> None:
    data = JPEG + contents(300_000)
    path = tmp_path / "proof.jpg"
    await asyncio.to_thread(path.write_bytes, data)
    image: Any = {"bytes": data, "path": path, "file": io.BytesIO(data)}[kind]
    busy = answer(http(b"", "503 Busy", ["Retry-After: 1"]))
    async with (
        FaultServer(faults.reset_after_head, faults.close_before_answer, busy, then=UPLOADED) as server,
        client(server.url) as pandapon,
    ):
        response = await pandapon.v2.alibaba.refunds.upload_voucher(image=image).with_response()
        assert response.attempts == 4
        whole = [seen.body for seen in server.requests[1:]]
        assert len(set(whole)) == 1
        assert base64.b64decode(json.loads(whole[0])["imageData"]) == data
        assert len({seen.header("content-length") for seen in server.requests}) == 1


# --- files that change between check and send


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])


def grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def replace(path: Path) -> None:
    other = path.with_suffix(".new")
    other.write_bytes(bytes(path.stat().st_size))
    other.replace(path)


CHANGES: dict[str, Callable[[Path], None]] = {
    "shrinks": shorten,
    "grows": grow,
    "vanishes": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
@virtual_time
async def test_a_file_that_changed_while_waiting_is_refused_before_a_byte_leaves(
    change: str, tmp_path: Path
) -> None:
    path = tmp_path / "customer-13800000000.jpg"
    await asyncio.to_thread(path.write_bytes, JPEG * 100)
    async with FaultServer(then=UPLOADED) as server, client(server.url) as pandapon:
        pandapon.limiter.pause(5)
        for call in (
            pandapon.v2.alibaba.refunds.upload_voucher(image=path),
            _certificate(pandapon, path),
        ):
            began = asyncio.get_running_loop().time()
            upload = asyncio.ensure_future(outcome(call))
            await asyncio.sleep(1)
            await asyncio.to_thread(CHANGES[change], path)
            error = await upload
            assert type(error) is InvalidArgumentError
            assert error.argument == "image"
            assert error.outcome is Outcome.NOT_SENT
            assert error.attempts == 1
            assert "13800000000" not in str(error)
            assert asyncio.get_running_loop().time() == pytest.approx(began + 5)
            at_rest(pandapon)
            await asyncio.to_thread(path.write_bytes, JPEG * 100)
            pandapon.limiter.pause(5)
        assert server.requests == []


def _certificate(pandapon: Client, path: Path) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pandapon.v1.taobao.orders.upload_pay_certificate(image=path, order_id=1)


@pytest.mark.parametrize("change", [shorten, grow, replace, Path.unlink])
def test_a_file_that_changes_while_it_is_sent_is_never_sent_short(
    change: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "proof.jpg"
    path.write_bytes(JPEG + contents(900_000))
    original, pieces = ImageBody._read, 0

    async def changing(body: ImageBody, *arguments: Any) -> Any:
        nonlocal pieces
        pieces += 1
        if pieces == 3:
            await asyncio.to_thread(change, path)
        return await original(body, *arguments)

    monkeypatch.setattr(ImageBody, "_read", changing)

    async def scenario() -> None:
        async with FaultServer(then=UPLOADED) as server, client(server.url) as pandapon:
            error = await outcome(pandapon.v2.alibaba.refunds.upload_voucher(image=path))
            assert type(error) is InvalidArgumentError
            assert error.attempts == 1
            at_rest(pandapon, idle=0)
            nonlocal pieces
            pieces = 0
            await asyncio.to_thread(path.write_bytes, JPEG + contents(900_000))
            error = await outcome(_certificate(pandapon, path))
            assert type(error) is OutcomeUnknownError  # a part of it left: nobody can be quite sure
            assert all(seen.body == b"" for seen in server.requests), "the server got a whole body"
            at_rest(pandapon, idle=0)

    run(scenario())


# --- answers before the end of the upload


@pytest.mark.parametrize("end", ["reads on", "closes", "resets", "reads nothing"])
@virtual_time
async def test_an_answer_before_the_end_of_the_upload(end: str) -> None:
    async def early(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(VOUCHER)
        if end == "reads on":
            await exchange.gone()
        elif end == "closes":
            exchange.close()
        elif end == "resets":
            exchange.reset()
        else:
            exchange.keep = False
            await asyncio.sleep(60)

    async with FaultServer(early, then=UPLOADED) as server, client(server.url, timeout=20) as pandapon:
        error = await outcome(pandapon.v2.alibaba.refunds.upload_voucher(image=JPEG + bytes(990_000)))
        # an answer that came is an answer; a reset may overtake it, and then the upload is repeated
        assert error is None
        assert len(server.requests) <= (2 if end == "resets" else 1)
        assert asyncio.get_running_loop().time() <= 1020
        at_rest(pandapon)
        assert len(asyncio.all_tasks()) <= 3


@pytest.mark.parametrize("size", [100_000, 990_000])
@virtual_time
async def test_a_refusal_before_the_end_of_the_upload_is_heard(size: int) -> None:
    async def refuse(exchange: Exchange) -> None:
        await exchange.head()
        await exchange.send(http(envelope(None, 413), "413 Too Large", ["Connection: close"]))
        exchange.close()

    async with FaultServer(refuse) as server, client(server.url) as pandapon:
        error = await outcome(pandapon.v2.alibaba.refunds.upload_voucher(image=JPEG + bytes(size)))
        assert getattr(error, "code", None) == 413
        assert len(server.requests) == 1
        at_rest(pandapon, idle=0)


# --- memory


def test_queued_paths_hold_no_images(tmp_path: Path) -> None:
    paths = []
    for number in range(40):
        path = tmp_path / f"{number}.jpg"
        path.write_bytes(JPEG + number.to_bytes(2, "big"))  # no two the same: those are sent once
        os.truncate(path, 990_000)
        paths.append(path)

    async def nothing_kept(exchange: Exchange) -> None:
        seen = await exchange.head()
        left = int(seen.header("content-length") or 0)
        while left:
            left -= len(await exchange.reader.read(min(left, 65536)))
        await exchange.send(VOUCHER)

    async def scenario() -> None:
        async with FaultServer(then=nothing_kept) as server, client(server.url, concurrency=4) as pandapon:
            tracemalloc.start()
            uploads = [
                asyncio.ensure_future(pandapon.v2.alibaba.refunds.upload_voucher(image=path))
                for path in paths[:20]
            ]
            await asyncio.gather(*uploads)
            async for result in bulk.upload_vouchers(pandapon, paths[20:], concurrency=8):
                assert isinstance(result, bulk.Done)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert len(server.requests) == 40
            assert peak < 12_000_000, f"{peak:,} bytes for 40 images of 1,000,000"

    run(scenario())


def test_a_file_that_shrinks_between_the_look_and_the_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "proof.jpg"
    path.write_bytes(JPEG)
    look = os.fstat

    def then_it_shrinks(descriptor: int) -> os.stat_result:
        found = look(descriptor)
        os.truncate(path, 10)
        return found

    monkeypatch.setattr(os, "fstat", then_it_shrinks)
    with pytest.raises(upload._Unreadable, match="while it was being sent"):
        upload._read_file(path, 0, len(JPEG), len(JPEG), None)


def test_an_upload_is_never_made_into_text() -> None:
    body = upload.ImageBody({"image": Image(JPEG, len(JPEG), "jpeg")})
    with pytest.raises(TypeError, match="can only be streamed"):
        body.decode()
