"""The lists of Taobao refunds that the sandbox plays: each shape is read, each lie is what it says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest

from pandapon_async import (
    ApiError,
    Client,
    ListFacts,
    MalformedResponseError,
    RetryPolicy,
    Settings,
    VendorProfile,
)
from pandapon_async.models.taobao.refunds import RefundDetail, listed_refund_id
from pandapon_async.sandbox import ListShape, RefundState, Sandbox

REFUNDS = 200


def client(server: Sandbox, profile: VendorProfile | None = None) -> Client:
    settings = Settings(base_url=server.base_url, rate=None, retry=RetryPolicy(attempts=1))
    return Client(server.credentials, settings if profile is None else attrs.evolve(settings, vendor=profile))


def ids(found: list[RefundDetail]) -> list[str | None]:
    """The ids of listed refunds, wherever an item has it."""
    return [listed_refund_id(one) for one in found]


async def listed(server: Sandbox, profile: VendorProfile | None = None, **filters: Any) -> list[str | None]:
    async with client(server, profile) as pandapon:
        return ids([one async for one in pandapon.taobao.refunds.pages(**filters)])


SHAPES = [
    ListShape(),
    ListShape(answer="array", total="none"),
    ListShape(item="flat"),
    ListShape(item="ids", total="none"),
]


@pytest.mark.parametrize("shape", SHAPES, ids=repr)
async def test_every_shape_shows_every_refund(shape: ListShape) -> None:
    async with Sandbox(refunds=REFUNDS, lists=shape) as server:
        assert await listed(server) == list(server.refund_ids("taobao"))


@pytest.mark.parametrize("unit", ["ms", "s"])
@pytest.mark.parametrize("time", ["applied", "modified"])
async def test_the_window_bounds_what_the_profile_says_in_its_unit(time: Any, unit: Any) -> None:
    profile = VendorProfile(list=ListFacts(time=time, unit=unit))

    def moment(refund: RefundState) -> int:
        return refund.applied_ms if time == "applied" else refund.modified_ms

    async with Sandbox(refunds=REFUNDS, profile=profile) as server:
        server.advance(server.find("taobao", 30).number, 100)
        refunds = [server.refund(number) for number in range(1, REFUNDS, 2)]
        moments = sorted(map(moment, refunds))
        first, last = moments[30] // 1000 * 1000, moments[60] // 1000 * 1000 + 999
        found = await listed(
            server,
            profile,
            refund_start_time=datetime.fromtimestamp(first / 1000, UTC),
            refund_end_time=datetime.fromtimestamp(last / 1000, UTC),
        )
        assert found == [one.refund_id for one in refunds if first <= moment(one) <= last]


async def test_a_window_in_milliseconds_shows_nothing_where_seconds_are_meant() -> None:
    profile = VendorProfile(list=ListFacts(unit="s"))
    async with Sandbox(refunds=REFUNDS, profile=profile) as server:
        start = datetime(2023, 7, 1, tzinfo=UTC)
        assert await listed(server, refund_start_time=start, refund_end_time=start + timedelta(days=40)) == []


async def test_the_items_stand_where_the_profile_says() -> None:
    profile = VendorProfile(list=ListFacts(items="refundPage", largest_page=7))
    async with Sandbox(refunds=40, profile=profile) as server:
        assert await listed(server, profile) == list(server.refund_ids("taobao"))
        assert server.counters.requests == 3


async def test_lists_that_end_too_early() -> None:
    async with Sandbox(refunds=REFUNDS, lists=ListShape(deepest=60)) as server:
        assert len(await listed(server, page_size=50)) == 60
    async with Sandbox(refunds=REFUNDS, lists=ListShape(total="low")) as server:
        assert len(await listed(server, page_size=50)) == 50
    async with Sandbox(refunds=REFUNDS, lists=ListShape(total="none", beyond="repeat")) as server:
        with pytest.raises(MalformedResponseError, match="page 3 repeats page 2"):
            await listed(server, page_size=50)
    async with Sandbox(refunds=REFUNDS, lists=ListShape(total="none", beyond="refuse")) as server:
        with pytest.raises(ApiError):
            await listed(server, page_size=50)
    async with Sandbox(refunds=REFUNDS, lists=ListShape(largest_asked=20)) as server:
        with pytest.raises(ApiError):
            await listed(server, page_size=50)


async def test_lists_that_lie() -> None:
    shape = ListShape(stale=200, wrong=200, leaves_out=100, invents=100, without=("timeoutDate",))
    async with Sandbox(refunds=REFUNDS, lists=shape) as server, client(server) as pandapon:
        found = [one async for one in pandapon.taobao.refunds.pages()]
        truth = {server.refund(number).refund_id: server.refund(number) for number in range(1, REFUNDS, 2)}
        shown = dict(zip(ids(found), found, strict=True))
        assert 0 < len(truth.keys() - shown.keys()) < 30
        assert 0 < len(shown.keys() - truth.keys()) < 30
        stale = wrong = 0
        for identifier in truth.keys() & shown.keys():
            aggregate = shown[identifier].refund_order_aggregate
            assert aggregate is not None
            assert aggregate.refund_order is not None
            assert aggregate.refund_order.timeout_date is None
            stale += aggregate.refund_order.refund_status != truth[identifier].status
            wrong += aggregate.refund_order.refund_fee != truth[identifier].apply_payment
        assert 5 < stale < 35
        assert 5 < wrong < 35
    with pytest.raises(ValueError, match="per mille"):
        ListShape(stale=1001)


async def test_a_list_that_ignores_its_window_shows_everything() -> None:
    async with Sandbox(refunds=REFUNDS, lists=ListShape(ignores_window=True)) as server:
        start = datetime(2020, 7, 1, tzinfo=UTC)
        found = await listed(server, refund_start_time=start, refund_end_time=start + timedelta(days=40))
        assert found == list(server.refund_ids("taobao"))
