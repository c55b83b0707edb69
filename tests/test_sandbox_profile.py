"""The sandbox as another vendor: each reading of what is not known, and a client told and not told of it."""

from __future__ import annotations

from typing import Any

import pytest

from pandapon_async import (
    ApiError,
    AuthenticationError,
    Client,
    Codes,
    Credentials,
    ListFacts,
    NotFoundError,
    Override,
    RateLimitError,
    RetryPolicy,
    Settings,
    VendorProfile,
)
from pandapon_async.sandbox import Sandbox

IN_QUERY = {"alibaba.refunds.get": Override(arguments="query")}
READINGS: dict[str, tuple[VendorProfile, type[Exception] | None]] = {
    "seconds": (VendorProfile(timestamp_unit="s"), AuthenticationError),
    "milliseconds": (VendorProfile(timestamp_unit="ms"), None),
    "lower case": (VendorProfile(signer="md5_lower"), AuthenticationError),
    "another success": (VendorProfile(codes=Codes(success={0})), ApiError),
    "in the query": (VendorProfile(overrides=IN_QUERY), NotFoundError),
    "in the body": (
        VendorProfile(overrides={"v1.alibaba.refunds.get": Override(arguments="body")}),
        None,
    ),
}


def client(server: Sandbox, **settings: Any) -> Client:
    once = RetryPolicy(attempts=1)
    return Client(server.credentials, Settings(base_url=server.base_url, rate=None, retry=once, **settings))


@pytest.mark.parametrize("reading", READINGS)
async def test_a_client_that_is_told_is_right_and_another_one_is_not(reading: str) -> None:
    profile, untold = READINGS[reading]
    async with Sandbox(refunds=4, profile=profile) as server:
        refund_id = next(server.refund_ids("1688"))
        async with client(server, vendor=profile) as told:
            assert (await told.alibaba.refunds.get(refund_id=refund_id)).refund_id == refund_id
        async with client(server, correct_clock=False) as pandapon:
            if untold is None:
                await pandapon.alibaba.refunds.get(refund_id=refund_id)
                return
            with pytest.raises(untold):
                await pandapon.alibaba.refunds.get(refund_id=refund_id)


async def test_a_code_that_means_not_found() -> None:
    profile = VendorProfile(codes=Codes(not_found={500}))
    async with Sandbox(refunds=4, profile=profile) as server:
        async with client(server, vendor=profile) as told:
            with pytest.raises(NotFoundError):
                await told.alibaba.refunds.get(refund_id="TQ999999999999999")
        before = len(server.log)
        async with client(server) as untold:
            with pytest.raises(ApiError) as caught:
                await untold.alibaba.refunds.get(refund_id="TQ999999999999999")
            assert not isinstance(caught.value, NotFoundError)
        assert len(server.log) == before + 1


async def test_only_one_generation_is_served() -> None:
    profile = VendorProfile(generation="v1")
    async with Sandbox(refunds=4, profile=profile) as server:
        refund_id = next(server.refund_ids("taobao"))
        async with client(server, vendor=profile) as told:
            await told.taobao.refunds.get(refund_id=refund_id)
            with pytest.raises(ApiError):
                await told.v2.taobao.refunds.get(refund_id=refund_id)


@pytest.mark.parametrize(
    "facts", [ListFacts(first_page=0), ListFacts(items="records", largest_page=3), ListFacts()]
)
async def test_lists_are_paged_as_the_profile_says(facts: ListFacts) -> None:
    profile = VendorProfile(list=facts)
    async with Sandbox(refunds=20, profile=profile) as server, client(server, vendor=profile) as told:
        found = [one.refund_order_aggregate async for one in told.taobao.refunds.pages(page_size=4)]
        assert len(found) == len(list(server.refund_ids("taobao")))


@pytest.mark.parametrize(("scope", "refused"), [("key", True), ("user", False)])
async def test_whose_the_quota_is(scope: Any, refused: bool) -> None:
    other = Credentials("sandbox-access-key", "sandbox-secret-known-to-all", "7")
    profile = VendorProfile(quota_scope=scope)
    async with Sandbox(refunds=4, rate=2, profile=profile, accounts=[other], monotonic=lambda: 0.0) as server:
        refund_id = next(server.refund_ids("1688"))
        settings = Settings(base_url=server.base_url, rate=None, retry=RetryPolicy(attempts=1))
        async with client(server) as first, Client(other, settings) as second:
            for _ in range(2):
                await first.alibaba.refunds.get(refund_id=refund_id)
            if refused:
                with pytest.raises(RateLimitError):
                    await second.alibaba.refunds.get(refund_id=refund_id)
            else:
                await second.alibaba.refunds.get(refund_id=refund_id)
