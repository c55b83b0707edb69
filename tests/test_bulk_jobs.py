"""Looking up refunds and uploading proofs by the thousand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import ConfigurationError, InvalidArgumentError, NotFoundError, RetryPolicy, bulk
from pandapon_async.models.alibaba.refunds import Refund, Voucher
from pandapon_async.models.taobao.refunds import RefundDetail
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import JPEG, at_rest, client
from tests.support.server import Exchange, FaultServer, envelope, http
from tests.support.sweep import left_behind
from tests.support.virtual import virtual_time

BOTH = ["TQ1", "TQ2", "110000235001", "TQ404", "404", "TQ 5", "110000235002"]


def platform_of(refund_id: str) -> Any:
    return "1688" if refund_id.startswith("TQ") else "taobao"


async def refunds(exchange: Exchange) -> None:
    """Both platforms' lookups: an id with 404 in it is unknown, all others echo their id."""
    seen = await exchange.request()
    if seen.method == "POST":
        refund_id = json.loads(seen.body)["refundId"]
        data: Any = {"refundId": refund_id, "status": "refundsuccess"}
    else:
        refund_id = seen.target.partition("refundId=")[2]
        data = {"refundOrderAggregate": {"refundOrder": {"refundId": refund_id, "refundStatus": "100"}}}
    await asyncio.sleep(0.1)
    unknown = "404" in refund_id
    await exchange.send(http(envelope(None if unknown else data, 404 if unknown else 200)))


@pytest.mark.parametrize("ordered", [False, True])
@virtual_time
async def test_both_platforms_in_one_run(ordered: bool) -> None:
    async with FaultServer(then=refunds) as server, client(server.url) as pandapon:
        found: dict[str, Any] = {}
        async for result in bulk.fetch_refunds(pandapon, BOTH, platform_of, ordered=ordered, concurrency=3):
            found[result.item] = result
        assert sorted(found) == sorted(BOTH)
        assert list(found) == BOTH or not ordered
        assert isinstance(found["TQ1"].value, Refund)
        assert isinstance(found["110000235001"].value, RefundDetail)
        for refund_id in ("TQ404", "404"):
            assert type(found[refund_id].error) is NotFoundError
            assert (found[refund_id].attempts, found[refund_id].request_id) == (1, "r-1")
        assert type(found["TQ 5"].error) is InvalidArgumentError
        assert found["TQ 5"].attempts == 0
        assert len(server.requests) == 6
        at_rest(pandapon)


@pytest.mark.parametrize(("platform", "refund_id"), [("1688", "TQ7"), ("taobao", 110000235001)])
@virtual_time
async def test_rows_of_a_ledger(platform: Any, refund_id: Any) -> None:
    async def rows() -> AsyncIterator[dict[str, Any]]:
        for shop in ("a", "b"):
            yield {"shop": shop, "refund": refund_id}

    async with FaultServer(then=refunds) as server, client(server.url) as pandapon:
        results = [
            result
            async for result in bulk.fetch_refunds(
                pandapon, rows(), platform, refund_id=lambda row: row["refund"], ordered=True
            )
        ]
        assert [result.item["shop"] for result in results] == ["a", "b"]
        assert all(isinstance(result, bulk.Done) for result in results)
        assert len(server.requests) == 2


@virtual_time
async def test_a_row_that_cannot_be_read_is_one_failure() -> None:
    async with FaultServer(then=refunds) as server, client(server.url) as pandapon:
        items: list[Any] = [{"id": "TQ1"}, {}, {"id": None}, {"id": 1.5}, {"id": "TQ2"}]
        results = [
            result
            async for result in bulk.fetch_refunds(
                pandapon, items, refund_id=lambda row: row["id"], ordered=True
            )
        ]
        kinds = [type(getattr(result, "error", None)) for result in results]
        assert kinds == [type(None), KeyError, InvalidArgumentError, InvalidArgumentError, type(None)]
        with pytest.raises(InvalidArgumentError, match="platform must be '1688' or 'taobao'"):
            bulk.fetch_refunds(pandapon, ["TQ1"], "ebay")  # type: ignore[call-overload]


@virtual_time
async def test_many_lookups_use_the_quota() -> None:
    async def items() -> AsyncIterator[str]:
        for number in range(150):
            yield f"TQ{number}"

    async with FaultServer(then=refunds) as server, client(server.url, rate=100) as pandapon:
        began = asyncio.get_running_loop().time()
        done = [result async for result in bulk.fetch_refunds(pandapon, items(), concurrency=40)]
        assert len(done) == len({seen.body for seen in server.requests}) == 150
        assert 149 / (asyncio.get_running_loop().time() - began - 0.1) >= 0.96 * 100


async def vouchers(exchange: Exchange) -> None:
    seen = await exchange.request()
    size = len(json.loads(seen.body)["imageData"])
    await exchange.send(http(envelope({"imageDomain": "https://x", "imageRelativeUrl": f"{size}.jpg"})))


@virtual_time
async def test_uploads_of_any_kind_and_what_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "proof.jpg"
    await asyncio.to_thread(path.write_bytes, JPEG)
    images: list[Any] = [JPEG, path, tmp_path / "missing.jpg", b"no image", str(path), 5, b"", tmp_path]
    async with FaultServer(then=vouchers) as server, client(server.url) as pandapon:
        results = [
            result async for result in bulk.upload_vouchers(pandapon, images, ordered=True, concurrency=3)
        ]
        assert [result.item for result in results] == images
        good = [result for result in results if isinstance(result, bulk.Done)]
        assert [result.index for result in good] == [0, 1, 4]
        assert all(isinstance(result.value, Voucher) for result in good)
        bad = [result for result in results if isinstance(result, bulk.Failed)]
        assert {type(result.error) for result in bad} == {InvalidArgumentError}
        assert len(server.requests) == 1  # the same image three times
        at_rest(pandapon)


@virtual_time
async def test_leaving_an_upload_run_early(tmp_path: Path) -> None:
    async with FaultServer(then=vouchers) as server, client(server.url, rate=5) as pandapon:
        async with contextlib.aclosing(bulk.upload_vouchers(pandapon, [JPEG] * 100)) as results:
            async for _ in results:
                break
        assert await left_behind() == set()
        at_rest(pandapon)
        assert len(server.requests) == 1


@virtual_time
async def test_every_job_stops_at_a_client_that_cannot_work() -> None:
    async with client("http://127.0.0.1:1", retry=RetryPolicy(attempts=1)) as pandapon:
        await pandapon.aclose()
        results = [result async for result in bulk.fetch_refunds(pandapon, ["TQ1", "TQ2"], on_error="stop")]
        assert {type(getattr(result, "error", None)) for result in results} == {ConfigurationError}
