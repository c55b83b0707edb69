"""In real time, against a server that behaves: nothing here is ours but the client."""

from __future__ import annotations

import asyncio
import base64
import zlib
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from pandapon_async import Client, Settings, bulk
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import CREDENTIALS, JPEG, at_rest
from tests.support.server import envelope


async def refund(request: web.Request) -> web.Response:
    """A refund that echoes its id; compressed, as real servers do."""
    body = await request.json()
    response = web.Response(body=envelope({"refundId": body["refundId"]}), content_type="application/json")
    response.enable_compression(web.ContentCoding.deflate)
    return response


async def upload(request: web.Request) -> web.StreamResponse:
    """A voucher named after the checksum of the image; in chunks."""
    image = base64.b64decode((await request.json())["imageData"], validate=True)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    body = envelope({"imageDomain": "https://x", "imageRelativeUrl": f"{zlib.crc32(image)}.jpg"})
    for position in range(0, len(body), 10):
        await response.write(body[position : position + 10])
    return response


@pytest.mark.parametrize("rate", [None, 1000])
async def test_calls_and_jobs(rate: float | None) -> None:
    app = web.Application(client_max_size=4 << 20)
    app.router.add_post("/alibaba/refund/info", refund)
    app.router.add_post("/v2/alibaba/refund/voucher/upload", upload)
    async with TestServer(app) as server:
        settings = Settings(base_url=str(server.make_url("")), rate=rate, concurrency=8)
        async with Client(CREDENTIALS, settings) as pandapon:
            ids = [f"TQ{number}" for number in range(60)]
            found: dict[str, Any] = {}
            async for result in bulk.fetch_refunds(pandapon, ids, concurrency=16):
                assert isinstance(result, bulk.Done)
                found[result.item] = result.value.refund_id
            assert found == {refund_id: refund_id for refund_id in ids}
            images = [JPEG + bytes(size) for size in (0, 1, 300_000)]
            vouchers = await asyncio.gather(
                *(pandapon.v2.alibaba.refunds.upload_voucher(image=image) for image in images)
            )
            assert [voucher.url for voucher in vouchers] == [
                f"https://x/{zlib.crc32(image)}.jpg" for image in images
            ]
            assert pandapon.statistics.attempts == pandapon.statistics.calls == 63
            at_rest(pandapon, idle=8)
