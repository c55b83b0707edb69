"""Bulk work over a client: attempts, payments, priorities, closing."""

from __future__ import annotations

import asyncio
import operator
from collections.abc import Iterator
from typing import Any

import pytest

from pandapon_async import (
    ConfigurationError,
    InvalidArgumentError,
    NotSentError,
    OutcomeUnknownError,
    RetryPolicy,
    Safety,
    bulk,
)
from pandapon_async.api.registry import endpoints
from pandapon_async.declare.endpoint import Endpoint
from tests.example_arguments import example_arguments
from tests.support import faults
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import client
from tests.support.server import FaultServer, ok
from tests.support.virtual import virtual_time


async def collected(operation: Any, items: Any, **options: Any) -> tuple[list[Any], BaseException | None]:
    """All results, and what the run ended with."""
    results: list[Any] = []
    try:
        async for result in bulk.run(operation, items, **options):
            results.append(result)
    except Exception as error:
        return results, error
    return results, None


@virtual_time
async def test_results_carry_attempts_times_and_request_ids() -> None:
    policy = RetryPolicy(attempts=2)
    async with (
        FaultServer(faults.close_before_answer, ok(5), then=faults.close_before_answer) as server,
        client(server.url, retry=policy) as pandapon,
    ):

        def read(number: int) -> Any:
            return pandapon.request("POST", f"/{number}", safety=Safety.READ)

        results, _ = await collected(read, range(2), concurrency=1)
        done, failed = results
        assert (done.value, done.attempts, done.request_id) == (5, 2, "r-1")
        assert (failed.attempts, failed.request_id) == (2, None)
        assert failed.error.endpoint == "POST /1"


PAYMENTS = [endpoint for endpoint in endpoints().values() if endpoint.releases_money]


@pytest.mark.parametrize("endpoint", PAYMENTS, ids=lambda endpoint: endpoint.pin)
@virtual_time
async def test_declared_payments_are_refused_unless_allowed(endpoint: Endpoint) -> None:
    """By pin and by plain name; nothing is sent, and nothing is noted."""
    async with FaultServer() as server, client(server.url, allow_inferred=True) as pandapon:

        def pay(start: Any) -> Any:
            method: Any = operator.attrgetter(endpoint.name)(start)
            return method(**example_arguments(endpoint))

        groups = [pandapon, getattr(pandapon, endpoint.generation)]
        results, _ = await collected(pay, groups)
        assert [(type(result.error), result.error.endpoint) for result in results] == [
            (InvalidArgumentError, endpoint.name)
        ] * 2
        assert server.requests == []
        assert [intent async for intent in pandapon.journal.all()] == []
        await collected(pay, groups[:1], allow_payments=True)
        assert len(server.requests) == 1


@virtual_time
async def test_undeclared_payments_are_refused_unless_allowed() -> None:
    async with FaultServer() as server, client(server.url) as pandapon:

        async def pay(number: int) -> Any:
            return await pandapon.request("POST", f"/pay/{number}", safety=Safety.NEVER_AUTOMATIC)

        results, _ = await collected(pay, range(3))
        assert {type(result.error) for result in results} == {InvalidArgumentError}
        assert server.requests == []
        results, _ = await collected(pay, range(3), allow_payments=True)
        assert {type(result) for result in results} == {bulk.Done}
        await pay(9)
        assert len(server.requests) == 4


@virtual_time
async def test_interactive_calls_overtake_bulk_work() -> None:
    async with FaultServer() as server, client(server.url, rate=10, concurrency=4) as pandapon:

        def read(number: int) -> Any:
            return pandapon.request("POST", f"/bulk/{number}", safety=Safety.READ)

        job = asyncio.ensure_future(collected(read, range(50), concurrency=20))
        await asyncio.sleep(1)
        before = asyncio.get_running_loop().time()
        await pandapon.request("POST", "/person", safety=Safety.READ)
        assert asyncio.get_running_loop().time() - before <= 0.25
        results, _ = await job
        assert len(results) == 50


@virtual_time
async def test_closing_the_client_ends_a_run_with_a_result_for_every_item_taken() -> None:
    async with FaultServer(then=faults.half_open) as server, client(server.url, concurrency=2) as pandapon:
        taken: list[int] = []

        def items() -> Iterator[int]:
            for number in range(1000):
                taken.append(number)
                yield number

        def write(number: int) -> Any:
            return pandapon.request("POST", f"/{number}", json={"number": number})

        job = asyncio.ensure_future(collected(write, items(), concurrency=6, on_error="stop"))
        await asyncio.sleep(1)
        await pandapon.aclose()
        results, ended = await job
        assert ended is None
        assert sorted(result.item for result in results) == taken
        kinds = {type(result.error) for result in results if isinstance(result, bulk.Failed)}
        assert OutcomeUnknownError in kinds
        assert kinds <= {OutcomeUnknownError, NotSentError, ConfigurationError}
        assert len(server.requests) == 2
