"""Every kind of fault, seen from a raw client: what arrives, what landed, what the log says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pandapon_async.core.signing import signed_headers
from pandapon_async.sandbox import Fault, Sandbox

NOW = 1_715_669_977.082


def running(*faults: Fault, **settings: object) -> Sandbox:
    return Sandbox(refunds=200, seed=7, clock=lambda: NOW, faults=faults, **settings)  # type: ignore[arg-type]


async def cancel(sandbox: Sandbox, identifier: str) -> bytes:
    """Everything that came back for one cancel; raises ConnectionError after a reset."""
    key = sandbox.credentials
    nonce = f"{sandbox.counters.requests:032d}"
    headers = signed_headers(key.access_key, key.access_secret, key.user_id, "1715669977082", nonce)
    lines = [f"GET /open/order/refund/cancel/{identifier} HTTP/1.1", "Host: x", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    try:
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        return await reader.read()
    finally:
        writer.close()


@contextmanager
def one_fault(sandbox: Sandbox, kind: str) -> Iterator[None]:
    """Inside, exactly one request is met by this kind, and it is counted."""
    before = len(sandbox.log)
    yield
    (entry,) = list(sandbox.log)[before:]
    assert entry.fault == kind
    assert sandbox.counters.faults == {kind: 1}
    assert sandbox.counters.rate_refused == 0


@pytest.mark.parametrize("kind", ["reset_before", "reset_after"])
async def test_a_reset_before_lands_nothing_and_one_after_lands_once(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(Fault(kind, times=1)) as sandbox:
        refund = sandbox.find("taobao", 10)
        with one_fault(sandbox, kind), pytest.raises(ConnectionResetError):
            await cancel(sandbox, refund.refund_id)
        succeeded = kind == "reset_after"
        assert [effect.key for effect in sandbox.effects] == [refund.refund_id] * succeeded
        assert sandbox.refund(refund.number).status == (-20 if succeeded else 10)
        assert (sandbox.log[0].status, sandbox.log[0].code) == ((200, 200) if succeeded else (None, None))
        assert b'"code":200' in await cancel(sandbox, refund.refund_id)
        assert len(sandbox.effects) == 1
    assert not caplog.records


async def test_a_refused_request_meets_a_closed_connection_and_is_not_read() -> None:
    async with running(Fault("refuse", times=1)) as sandbox:
        with one_fault(sandbox, "refuse"):
            assert await cancel(sandbox, sandbox.find("taobao", 10).refund_id) == b""
        assert sandbox.log[0].digest is None
        assert not sandbox.effects


async def test_a_refused_upload_is_not_read() -> None:
    async with running(Fault("refuse")) as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(
            b"POST /v2/alibaba/refund/voucher/upload HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"
        )
        assert await reader.read() == b""
        writer.close()
        assert sandbox.log[0].endpoint == "alibaba.refunds.upload_voucher"


async def test_a_truncated_answer_announces_more_than_it_sends() -> None:
    async with running(Fault("truncated", times=1)) as sandbox:
        refund = sandbox.find("taobao", 10)
        with one_fault(sandbox, "truncated"):
            head, _, body = (await cancel(sandbox, refund.refund_id)).partition(b"\r\n\r\n")
        announced = int(head.split(b"Content-Length: ")[1].split(b"\r\n")[0])
        assert head.startswith(b"HTTP/1.1 200 OK")
        assert len(body) == announced // 2 > 0
        assert len(sandbox.effects) == 1


@pytest.mark.parametrize(
    ("kind", "retry_after", "status", "code", "header", "succeeded"),
    [
        ("error_500", None, 500, 500, None, False),
        ("error_500_after", None, 500, 500, None, True),
        ("error_502_html", None, 502, None, None, False),
        ("error_503", 3, 503, None, b"3", False),
        ("throttle_429", None, 429, 429, b"1", False),
        ("throttle_429", 0.2, 429, 429, b"0.2", False),
        ("throttle_code", None, 200, 429, None, False),
        ("throttle_code", 2, 200, 429, b"2", False),
    ],
)
async def test_an_answer_in_the_place_of_the_answer(
    kind: str, retry_after: float | None, status: int, code: int | None, header: bytes | None, succeeded: bool
) -> None:
    async with running(Fault(kind, times=1, retry_after=retry_after)) as sandbox:
        refund = sandbox.find("taobao", 10)
        with one_fault(sandbox, kind):
            head, _, body = (await cancel(sandbox, refund.refund_id)).partition(b"\r\n\r\n")
        assert int(head.split()[1]) == status
        lines = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
        assert lines.get(b"Retry-After") == header
        if code is None:
            assert lines[b"Content-Type"].startswith(b"text/html")
            assert body.startswith(b"<html>")
        else:
            assert json.loads(body)["code"] == code
        assert (sandbox.log[0].status, sandbox.log[0].code) == (status, code)
        assert len(sandbox.effects) == succeeded


async def test_latency_delays_the_answer_of_what_is_done() -> None:
    slept: list[float] = []
    landed_before: list[int] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        landed_before.append(len(sandbox.effects))

    async with running(Fault("latency", times=1, delay=3), sleep=sleep) as sandbox:
        with one_fault(sandbox, "latency"):
            assert b'"cancelSuccess":true' in await cancel(sandbox, sandbox.find("taobao", 10).refund_id)
        assert (slept, landed_before) == ([3.0], [1])


async def test_closing_does_not_wait_for_a_delayed_answer(caplog: pytest.LogCaptureFixture) -> None:
    delayed = asyncio.Event()

    async def sleep(seconds: float) -> None:
        delayed.set()
        await asyncio.Event().wait()

    async with running(Fault("latency"), sleep=sleep) as sandbox:
        waiting = asyncio.create_task(cancel(sandbox, sandbox.find("taobao", 10).refund_id))
        await delayed.wait()
        assert sandbox.counters.in_flight == 1
    assert await waiting == b""
    assert sandbox.counters.in_flight == 0
    assert not caplog.records


async def test_a_request_over_the_rate_meets_no_planted_fault() -> None:
    async with running(Fault("reset_before", after=1), rate=1, monotonic=lambda: 5.0) as sandbox:
        refund = sandbox.find("taobao", 10)
        assert b'"code":200' in await cancel(sandbox, refund.refund_id)
        assert b"HTTP/1.1 429" in await cancel(sandbox, refund.refund_id)
        assert not sandbox.counters.faults
        assert sandbox.counters.rate_refused == 1


@pytest.mark.repeats_nonces
async def test_the_nonce_of_a_faulted_request_counts_as_seen() -> None:
    async with Sandbox(refunds=200, clock=lambda: NOW, faults="throttle_429:times=1") as sandbox:
        refund = sandbox.find("taobao", 10)
        assert b"HTTP/1.1 429" in await cancel(sandbox, refund.refund_id)
        sandbox.counters.requests = 0  # the helper takes its nonce from here: the first one again
        assert b'"msg":"nonce reused"' in await cancel(sandbox, refund.refund_id)
        assert sandbox.counters.nonces_repeated == 1
        assert not sandbox.effects
