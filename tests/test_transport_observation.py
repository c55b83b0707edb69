"""What the client tells about itself, and what it must never tell."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pandapon_async import Attempt, Client, OutcomeUnknownError, PandaponError, RetryPolicy, Safety
from tests.support import faults
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import JPEG, KEY, SECRET, at_rest, client
from tests.support.faults import HTML, sent
from tests.support.server import FaultServer, answer, envelope, http, ok
from tests.support.virtual import outcome, virtual_time

PHONE = "13800000000"
PERSONAL = answer(http(envelope({"refundOrderAggregate": {"logistics": {"buyerPhone": PHONE}}}, msg=PHONE)))


@virtual_time
async def test_the_observer_sees_every_attempt() -> None:
    seen: list[tuple[str, Attempt]] = []
    async with (
        FaultServer(
            faults.close_before_answer, sent(http(HTML, "429 Too")), ok(), sent(http(HTML, "400 No"))
        ) as server,
        client(server.url, observer=lambda name, attempt: seen.append((name, attempt))) as pandapon,
    ):
        response = await pandapon.request("POST", "/a", safety=Safety.READ).with_response()
        await outcome(pandapon.request("POST", "/b"))
        assert [name for name, _ in seen] == ["POST /a"] * 3 + ["POST /b"]
        assert tuple(attempt for _, attempt in seen[:3]) == response.history
        assert [attempt.outcome for _, attempt in seen] == ["unknown", "answered", "ok", "unknown"]
        assert [attempt.reason for _, attempt in seen] == [
            "ConnectionLostError",
            "RateLimitError",
            None,
            "ApiError",
        ]
        assert [attempt.http_status for _, attempt in seen] == [None, 429, 200, 400]
        assert [attempt.number for _, attempt in seen] == [1, 2, 3, 1]
        statistics = pandapon.statistics
        assert (statistics.calls, statistics.attempts, statistics.retried) == (2, 4, 2)
        assert (statistics.throttled, statistics.failed) == (1, 1)


@pytest.mark.parametrize("behaviour", [ok(), faults.close_before_answer, sent(http(HTML, "429 Too"))])
@virtual_time
async def test_an_observer_that_raises_changes_nothing(
    behaviour: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(name: str, attempt: Attempt) -> None:
        raise LookupError("metrics are down")

    async def ends(pandapon: Client) -> list[Any]:
        results = []
        for safety in (Safety.READ, Safety.ONCE):
            error = await outcome(pandapon.request("POST", "/thing", safety=safety))
            results.append((type(error), getattr(error, "attempts", None)))
        return results

    policy = RetryPolicy(attempts=2)
    async with (
        FaultServer(then=behaviour) as server,
        client(server.url, retry=policy) as quiet,
        client(server.url, retry=policy, observer=broken) as pandapon,
    ):
        assert await ends(pandapon) == await ends(quiet)
        at_rest(pandapon)
    assert "metrics are down" in caplog.text


@virtual_time
async def test_an_observer_may_cancel_its_own_call() -> None:
    async with FaultServer() as server, client(server.url) as quiet:
        tasks: list[asyncio.Task[Any]] = []
        pandapon = quiet.with_settings(observer=lambda *_: tasks[0].cancel())
        tasks.append(asyncio.create_task(pandapon.request("POST", "/thing")))
        await asyncio.wait(tasks)
        assert tasks[0].cancelled() or tasks[0].result() == {"success": True}
        at_rest(pandapon)


@virtual_time
async def test_logs_tell_calls_and_nothing_of_what_they_carry(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asyncio.get_running_loop().set_debug(True)
    async with (
        FaultServer(PERSONAL, faults.close_before_answer, PERSONAL) as server,
        client(server.url) as pandapon,
    ):
        await pandapon.v1.taobao.refunds.get(refund_id=110000235001)
        await pandapon.request(
            "POST", "/thing", json={"phone": PHONE}, params={"name": "Zhang"}, safety=Safety.READ
        )
        await outcome(pandapon.v2.alibaba.refunds.upload_voucher(image=JPEG))
        await outcome(lambda: pandapon.request("POST", "/\r\nphone" + PHONE))
        server.on_next(faults.close_before_answer)
        assert isinstance(
            await outcome(pandapon.request("POST", "/write", json={"phone": PHONE})), OutcomeUnknownError
        )
        signatures = [seen.header("signature") or "-" for seen in server.requests]
    asyncio.get_running_loop().set_debug(False)
    text = caplog.text + "".join(repr(record.args) for record in caplog.records)
    assert "taobao.refunds.get" in text
    assert "ConnectionLostError" in text
    for secret in (PHONE, "Zhang", SECRET, KEY, *signatures):
        assert secret not in text


@virtual_time
async def test_nothing_is_formatted_unless_somebody_listens(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with FaultServer(faults.close_before_answer) as server, client(server.url) as pandapon:
        await pandapon.request("POST", "/thing", safety=Safety.READ)
    assert caplog.records == []


@virtual_time
async def test_an_error_says_which_call_how_often_and_which_request() -> None:
    async with FaultServer(then=answer(http(envelope(None, 500)))) as server, client(server.url) as pandapon:
        error = await outcome(pandapon.v1.taobao.refunds.get(refund_id=1))
        assert isinstance(error, PandaponError)
        assert str(error).endswith("(endpoint=taobao.refunds.get, attempts=5, request_id=r-1)")
        assert error.retryable
