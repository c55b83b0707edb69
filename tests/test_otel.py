"""Spans and metrics as a real SDK gets them: what is told, what never is, and what it does to calls."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator

import pytest
from aiohttp import web
from opentelemetry import trace
from opentelemetry.trace import SpanKind, StatusCode

from pandapon_async import (
    Credentials,
    DuplicateIntentError,
    OutcomeUnknownError,
    PandaponError,
    Safety,
)
from pandapon_async.callbacks import Message, Receiver
from pandapon_async.sandbox import Fault, Sandbox
from pandapon_async.sandbox.callbacks import CallbackSender
from tests.support import faults
from tests.support.clients import client
from tests.support.server import FaultServer, ok
from tests.support.telemetry import Watched, signed_push, watching

CANARY = "TQ228272449136281059"


@pytest.fixture
def watched() -> Iterator[Watched]:
    with watching() as one:
        yield one


async def test_a_call_is_a_span_and_each_attempt_one_below_it(watched: Watched) -> None:
    throttled = Fault("throttle_429", endpoint="*.refunds.get", times=1, retry_after=0.001)
    async with Sandbox(refunds=100, faults=[throttled]) as sandbox, watched.client(sandbox) as pandapon:
        watched.telemetry.watch(pandapon)
        outer = trace.get_current_span()
        form = sandbox.find("1688")
        response = await pandapon.alibaba.refunds.get(refund_id=form.refund_id).with_response()
        assert trace.get_current_span() is outer
        first, second, call = watched.spans
        points = watched.points()
    assert [(span.name, span.kind) for span in (call, first, second)] == [
        ("alibaba.refunds.get", SpanKind.INTERNAL),
        ("POST /alibaba/refund/info", SpanKind.CLIENT),
        ("POST /alibaba/refund/info", SpanKind.CLIENT),
    ]
    assert call.context is not None
    for attempt in (first, second):
        assert attempt.parent is not None
        assert attempt.parent.span_id == call.context.span_id
        assert call.start_time is not None
        assert attempt.start_time is not None
        assert call.start_time <= attempt.start_time
    assert dict(first.attributes or {}) | {"server.port": 1, "pandapon.waited": 0.0} == {
        "http.request.method": "POST",
        "server.address": "127.0.0.1",
        "server.port": 1,
        "url.template": "/alibaba/refund/info",
        "http.response.status_code": 429,
        "error.type": "RateLimitError",
        "pandapon.outcome": "answered",
        "pandapon.waited": 0.0,
        "pandapon.code": response.history[0].code,
        "pandapon.request_id": response.history[0].request_id,
    }
    assert first.status.status_code is StatusCode.ERROR
    assert second.attributes is not None
    assert second.attributes["http.request.resend_count"] == 1
    assert dict(call.attributes or {}) == {
        "pandapon.call": "alibaba.refunds.get",
        "pandapon.safety": "read",
        "pandapon.outcome": "ok",
        "pandapon.attempts": 2,
        "pandapon.request_id": response.request_id,
    }
    assert points["pandapon.client.call.duration"] == {
        (("pandapon.call", "alibaba.refunds.get"), ("pandapon.outcome", "ok")): 1
    }
    assert sum(points["http.client.request.duration"].values()) == 2
    assert points["pandapon.client.wait.duration"] == {(("pandapon.call", "alibaba.refunds.get"),): 1}
    assert points["pandapon.quota.permits"] == {(): 2}


async def test_a_lost_write_is_counted_and_leads_to_its_intent(watched: Watched) -> None:
    lost = Fault("reset_after", endpoint="*.return_goods", times=1)
    async with Sandbox(refunds=100, faults=[lost]) as sandbox, watched.client(sandbox) as pandapon:
        watched.telemetry.watch(pandapon, name="shop-a")
        form = sandbox.find("1688", "waitbuyersend")
        with pytest.raises(OutcomeUnknownError) as caught:
            await pandapon.alibaba.refunds.return_goods(
                refund_id=form.refund_id, logistics_company_no="SF", freight_bill="SF1"
            )
        points = await watched.counted()
    call = watched.spans[-1]
    assert call.attributes is not None
    assert call.attributes["pandapon.intent_id"] == caught.value.intent_id
    assert call.attributes["error.type"] == "OutcomeUnknownError"
    assert points["pandapon.client.outcome_unknown"] == {
        (("pandapon.call", "alibaba.refunds.return_goods"),): 1
    }
    assert points["pandapon.journal.intents"] == {
        (("pandapon.name", "shop-a"), ("pandapon.state", state)): int(state == "unknown")
        for state in ("intended", "sent", "unknown")
    }


async def test_a_collection_at_the_end_leaves_the_journal_closed(watched: Watched) -> None:
    async with Sandbox(refunds=100) as sandbox:
        async with watched.client(sandbox) as pandapon:
            watched.telemetry.watch(pandapon)
            await pandapon.journal.open()
            watched.points()  # the counting begins while the client is closed
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert not pandapon.journal._writer.is_open
        watched.points()
        await asyncio.sleep(0.01)
        assert not pandapon.journal._writer.is_open


async def test_an_undeclared_call_tells_neither_name_nor_path(watched: Watched) -> None:
    async with Sandbox(refunds=100) as sandbox, watched.client(sandbox) as pandapon:
        with pytest.raises(PandaponError):
            await pandapon.request("GET", "/alibaba/new/100000000000000001", safety=Safety.READ)
    assert [span.name for span in watched.spans] == ["GET", "request"]
    assert "100000000000000001" not in watched.text()


async def test_a_cancelled_call_ends_its_span(watched: Watched) -> None:
    stuck = Fault("latency", endpoint="*", times=1, delay=30.0)
    async with Sandbox(refunds=100, faults=[stuck]) as sandbox, watched.client(sandbox) as pandapon:
        form = sandbox.find("1688", "waitbuyersend")
        task = asyncio.create_task(
            pandapon.alibaba.refunds.return_goods(
                refund_id=form.refund_id, logistics_company_no="SF", freight_bill="SF1"
            ).with_response()
        )
        while not sandbox.log:  # noqa: ASYNC110 (the server is in this loop)
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait([task])
    (call,) = watched.spans
    assert call.attributes is not None
    assert (call.attributes["error.type"], call.attributes["pandapon.outcome"]) == (
        "CancelledError",
        "unknown",
    )
    assert sum(watched.points()["pandapon.client.outcome_unknown"].values()) == 1


async def test_a_callback_is_a_span_that_its_handlers_are_in(watched: Watched) -> None:
    inside: list[trace.Span] = []
    done = asyncio.Event()
    async with Sandbox(refunds=100) as sandbox:
        receiver = Receiver(sandbox.credentials, store=":memory:", observer=watched.telemetry)
        watched.telemetry.watch(receiver)

        @receiver.on()
        async def see(message: Message) -> None:
            inside.append(trace.get_current_span())
            done.set()

        @receiver.on()
        def fail(message: Message) -> None:
            inside.append(trace.get_current_span())
            raise LookupError("of the user")

        runner = web.AppRunner(receiver.aiohttp_app("/here"))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with CallbackSender(sandbox, f"http://127.0.0.1:{runner.addresses[0][1]}/here") as sender:
                form = sandbox.find("1688", "waitbuyersend")
                sender.push("1688", "X_REFUND", {"refundId": form.refund_id, "orderId": form.order_id})
                await done.wait()
                while not watched.spans:  # noqa: ASYNC110 (the dispatcher is in this loop)
                    await asyncio.sleep(0.001)
            points = watched.points()
        finally:
            await runner.cleanup()
    (span,) = watched.spans
    assert (span.name, span.kind) == ("callback process", SpanKind.CONSUMER)
    assert [one.get_span_context() for one in inside] == [span.context] * 2
    assert span.attributes is not None
    assert span.attributes["error.type"] == "LookupError"
    assert points["pandapon.callbacks.received"][(("pandapon.result", "stored"),)] == 1
    assert form.refund_id not in watched.text()
    assert form.order_id not in watched.text()


async def test_a_callback_begins_a_trace_that_its_handlers_calls_are_in(watched: Watched) -> None:
    """Also where the first request starts the receiver, whose span must not be over all callbacks to come."""
    done = asyncio.Event()
    async with Sandbox(refunds=100) as sandbox, watched.client(sandbox) as pandapon:
        receiver = Receiver(Credentials("key", "secret", "1"), store=":memory:", observer=watched.telemetry)

        @receiver.on()
        async def ask(message: Message) -> None:
            await pandapon.alibaba.refunds.get(refund_id=sandbox.find("1688").refund_id)
            done.set()

        with watched.tracers.get_tracer("of the user").start_as_current_span("POST /pandapon") as request:
            assert (await receiver.receive(*signed_push(1, messagePlatform=CANARY))).status == 200
        await done.wait()
        await receiver.aclose()
    _, _, call, callback = watched.spans
    assert (call.name, callback.name) == ("alibaba.refunds.get", "callback process")
    assert callback.parent is None
    assert callback.context is not None
    assert callback.context.trace_id != request.get_span_context().trace_id
    assert call.parent is not None
    assert call.parent.span_id == callback.context.span_id
    assert callback.attributes is not None
    assert callback.attributes["pandapon.callback.platform"] == "other"
    assert CANARY not in watched.text()


async def test_a_write_that_is_refused_before_it_is_sent_is_a_call_without_a_request(
    watched: Watched,
) -> None:
    async with (
        FaultServer(then=faults.close_before_answer) as server,
        client(server.url, observer=watched.telemetry) as pandapon,
    ):
        for refusal in (OutcomeUnknownError, DuplicateIntentError):
            with pytest.raises(refusal):
                await pandapon.request("POST", "/write", json={"a": 1})
    *_, call = watched.spans
    points = watched.points()
    assert call.attributes is not None
    refused = {
        "pandapon.attempts": 0,
        "pandapon.outcome": "not_sent",
        "error.type": "DuplicateIntentError",
    }
    assert refused.items() <= call.attributes.items()
    assert "pandapon.intent_id" not in call.attributes
    assert call.status.status_code is StatusCode.ERROR
    assert sum(points["http.client.request.duration"].values()) == len(server.requests) == 1
    assert sum(points["pandapon.client.outcome_unknown"].values()) == 1


async def test_no_trace_context_is_sent(watched: Watched) -> None:
    async with FaultServer(ok()) as server, client(server.url, observer=watched.telemetry) as pandapon:
        with watched.tracers.get_tracer("of the user").start_as_current_span("outside"):
            await pandapon.request("GET", "/a", safety=Safety.READ)
        (request,) = server.requests
    assert (request.header("traceparent"), request.header("baggage")) == (None, None)


def test_without_the_api_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "pandapon_async.otel")
    with pytest.raises(ImportError, match=r"pip install 'pandapon-async\[otel\]'"):
        importlib.import_module("pandapon_async.otel")
