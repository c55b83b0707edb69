"""What the client tells about itself, and what it must never tell."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from pandapon_async import (
    Attempt,
    CallEnded,
    CallStarted,
    Client,
    ConfigurationError,
    OutcomeUnknownError,
    PandaponError,
    RetryPolicy,
    Safety,
    Settings,
)
from pandapon_async.transport.requests import RequestBuilder
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


@virtual_time
async def test_an_attempt_without_an_answer_has_no_status_of_an_earlier_one() -> None:
    policy = RetryPolicy(attempts=3)
    async with (
        FaultServer(sent(http(HTML, "429 Too")), faults.close_before_answer, ok()) as server,
        client(server.url, retry=policy) as pandapon,
    ):
        response = await pandapon.request("POST", "/a", safety=Safety.READ).with_response()
    assert [attempt.http_status for attempt in response.history] == [429, None, 200]


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


class Hears:
    """An observer object that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, CallStarted, Any]] = []

    def started(self, call: CallStarted) -> None:
        call.context = "mine"
        self.heard.append(("started", call, None))

    def attempt(self, call: CallStarted, attempt: Attempt) -> None:
        self.heard.append(("attempt", call, attempt))

    def ended(self, call: CallStarted, end: CallEnded) -> None:
        self.heard.append(("ended", call, end))


@virtual_time
async def test_an_object_hears_a_call_from_its_start_to_its_end() -> None:
    hears = Hears()
    async with (
        FaultServer(faults.close_before_answer, ok(), faults.close_before_answer, PERSONAL) as server,
        client(server.url, observer=hears) as pandapon,
    ):
        await pandapon.request("POST", "/a", safety=Safety.READ)
        lost = await outcome(pandapon.request("POST", "/b"))
        assert isinstance(lost, OutcomeUnknownError)
        await pandapon.with_settings(timeout=5).v1.taobao.refunds.get(refund_id=110000235001)
    assert [event for event, _, _ in hears.heard] == [
        *("started", "attempt", "attempt", "ended"),
        *("started", "attempt", "ended"),
        *("started", "attempt", "ended"),
    ]
    assert {call.context for _, call, _ in hears.heard} == {"mine"}
    read, write, typed = [end for event, _, end in hears.heard if event == "ended"]
    assert (read.outcome, read.reason, read.attempts, read.intent_id) == ("ok", None, 2, None)
    assert (write.outcome, write.reason, write.intent_id) == (
        "unknown",
        "OutcomeUnknownError",
        lost.intent_id,
    )
    assert read.seconds >= read.waited > 0
    assert (typed.outcome, typed.request_id) == ("ok", "r-1")
    calls = [call for event, call, _ in hears.heard if event == "started"]
    assert [(call.name, call.declared, call.safety) for call in calls] == [
        ("POST /a", False, "read"),
        ("POST /b", False, "once"),
        ("taobao.refunds.get", True, "read"),
    ]
    assert f"{calls[0].server_address}:{calls[0].server_port}" in server.url


@virtual_time
async def test_an_answer_that_does_not_fit_ends_as_an_error() -> None:
    hears = Hears()
    async with (
        FaultServer(answer(http(envelope([1, 2])))) as server,
        client(server.url, observer=hears) as pandapon,
    ):
        error = await outcome(pandapon.v1.taobao.refunds.get(refund_id=110000235001))
    assert [end.reason for event, _, end in hears.heard if event == "ended"] == [type(error).__name__]


@virtual_time
async def test_a_failure_of_ours_in_the_answer_ends_the_call_too(monkeypatch: pytest.MonkeyPatch) -> None:
    hears = Hears()

    def decode(*_: Any) -> Any:
        raise MemoryError

    monkeypatch.setattr(RequestBuilder, "decode", decode)
    async with FaultServer(PERSONAL) as server, client(server.url, observer=hears) as pandapon:
        with pytest.raises(MemoryError):
            await pandapon.v1.taobao.refunds.get(refund_id=110000235001)
    assert [(end.reason, end.request_id) for event, _, end in hears.heard if event == "ended"] == [
        ("MemoryError", "r-1")
    ]


@pytest.mark.parametrize("failure", [LookupError("metrics are down"), asyncio.CancelledError()])
@pytest.mark.parametrize("method", ["started", "attempt", "ended"])
@virtual_time
async def test_an_object_may_hear_of_one_thing_and_fail_at_it_in_peace(
    method: str, failure: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    """One line in the log, however many calls and copies there are."""

    def fails(self: object, *facts: Any) -> None:
        raise failure

    broken = type("Broken", (), {method: fails})()
    async with FaultServer(then=ok()) as server, client(server.url, observer=broken) as pandapon:
        for _ in range(3):
            assert await pandapon.request("POST", "/thing", safety=Safety.READ) == {"success": True}
            assert await pandapon.with_settings(timeout=9).request("GET", "/t", safety=Safety.READ)
        at_rest(pandapon)
    assert caplog.text.count("the observer failed") == 1
    assert str(failure) in caplog.text


@pytest.mark.parametrize("method", ["attempt", "ended"])
@virtual_time
async def test_the_log_of_a_failed_observer_names_no_path_of_the_call(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its failure is not told as one during the failure of the call, whose text has the path."""

    def fails(self: object, *facts: Any) -> None:
        try:
            raise KeyError("first")
        except KeyError:
            raise LookupError("metrics are down")  # noqa: B904

    broken = type("Broken", (), {method: fails})()
    async with (
        FaultServer(then=faults.close_before_answer) as server,
        client(server.url, observer=broken) as pandapon,
    ):
        assert isinstance(await outcome(pandapon.request("POST", "/a/9001TQ")), OutcomeUnknownError)
    assert "first" in caplog.text
    assert "metrics are down" in caplog.text
    assert "9001TQ" not in caplog.text
    assert "OutcomeUnknownError" not in caplog.text


class Async:
    async def ended(self, call: CallStarted, end: CallEnded) -> None: ...

    async def __call__(self, name: str, attempt: Attempt) -> None: ...


class AsyncFunction:
    async def __call__(self, name: str, attempt: Attempt) -> None: ...


@pytest.mark.parametrize(
    ("observer", "problem"),
    [
        ({}, r"started, attempt or ended; dict has none"),
        (Hears, r"must be an object: Hears\(\), not Hears"),
        (Async(), r"must not be async.*: ended"),
        (AsyncFunction(), r"must not be async.*: attempt"),
        (Async().__call__, r"must not be async.*: attempt"),
    ],
)
def test_what_would_hear_nothing_is_refused(observer: Any, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        Settings(observer=observer)
