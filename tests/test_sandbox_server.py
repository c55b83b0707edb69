"""The sandbox seen from a raw client: headers, envelope, rate, log, its own pages, its life."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest

from pandapon_async.api.registry import operations
from pandapon_async.core.signing import signed_headers
from pandapon_async.core.structure import structurer
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.handlers import HANDLERS

NOW = 1_715_669_977.082
INFO = "/alibaba/refund/info"


def signed(sandbox: Sandbox, *, timestamp: str = "1715669977082", nonce: str | None = None) -> dict[str, str]:
    """The five headers; a nonce that no other call has."""
    key = sandbox.credentials
    fresh = nonce or f"{sandbox.counters.requests:032d}"
    return dict(signed_headers(key.access_key, key.access_secret, key.user_id, timestamp, fresh))


async def until(condition: Callable[[], bool]) -> None:
    """Let the server go on until it has come so far; it runs in this very loop."""
    while not condition():  # noqa: ASYNC110 (a server has no event to wait for)
        await asyncio.sleep(0)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(refunds=200, seed=7, clock=lambda: NOW) as running:
        yield running


async def ask(
    session: aiohttp.ClientSession,
    sandbox: Sandbox,
    path: str = INFO,
    *,
    body: Any = None,
    headers: dict[str, str] | None = None,
    method: str = "POST",
) -> tuple[int, dict[str, Any]]:
    """The HTTP status and the envelope."""
    given = signed(sandbox) if headers is None else headers
    async with session.request(method, sandbox.base_url + path, json=body, headers=given) as response:
        return response.status, await response.json()


async def test_a_signed_call_is_answered_in_the_envelope(
    session: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    refund = sandbox.find("1688")
    status, answer = await ask(session, sandbox, body={"refundId": refund.refund_id})
    assert status == 200
    assert (answer["code"], answer["msg"], answer["developId"]) == (200, "成功", 1021090911993463110)
    assert len(answer["requestId"]) == 32
    assert answer["data"]["refundId"] == refund.refund_id


async def test_taobao_answers_its_develop_id_as_text(
    session: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    refund = sandbox.find("taobao")
    path = f"/open/order/refund/query?refundId={refund.refund_id}"
    _, answer = await ask(session, sandbox, path, method="GET")
    assert answer["developId"] == "1021090911993463110"
    assert answer["data"]["refundOrderAggregate"]["refundOrder"]["refundId"] == refund.refund_id


@pytest.mark.parametrize(
    ("changes", "msg"),
    [
        ({"access-key": None}, "header access-key is missing"),
        ({"nonce-str": None}, "header nonce-str is missing"),
        ({"signature": ""}, "header signature is missing"),
        ({"access-key": "other"}, "unknown access key"),
        ({"user-id": "1"}, "unknown user id"),
        ({"signature": "0" * 32}, "bad signature"),
        ({"timestamp": "1715669977083"}, "bad signature"),  # changed after signing
        ({"nonce-str": "x" * 31}, "nonce-str must be 32 letters or digits"),
        ({"nonce-str": "x" * 31 + "-"}, "nonce-str must be 32 letters or digits"),
    ],
)
async def test_a_wrong_header_is_named(
    session: aiohttp.ClientSession, sandbox: Sandbox, changes: dict[str, str | None], msg: str
) -> None:
    headers = {name: value for name, value in {**signed(sandbox), **changes}.items() if value is not None}
    status, answer = await ask(session, sandbox, body={"refundId": "TQ1"}, headers=headers)
    assert (status, answer["code"], answer["msg"], answer["data"]) == (200, 401, msg, None)
    assert sandbox.credentials.access_secret not in json.dumps(answer)


async def test_a_signature_of_another_secret_is_bad(session: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    key = sandbox.credentials
    headers = dict(signed_headers(key.access_key, "other", key.user_id, "1715669977082", "n" * 32))
    assert (await ask(session, sandbox, headers=headers))[1]["msg"] == "bad signature"


async def test_the_http_status_of_refused_authentication_is_a_setting(session: aiohttp.ClientSession) -> None:
    async with Sandbox(refunds=1, auth_status=401) as sandbox:
        status, answer = await ask(session, sandbox, headers={})
    assert (status, answer["code"]) == (401, 401)


@pytest.mark.parametrize(
    ("timestamp", "good"),
    [
        ("1715669377082", True),  # 600 s ago, to the millisecond
        ("1715669377081", False),
        ("1715670577082", True),
        ("1715670577083", False),
        ("1715669977", True),  # seconds
        ("1715669378", True),
        ("1715669377", False),
        ("1715670577", True),
        ("1715670578", False),
        ("171566997708", False),
        ("1715669977.82", False),
        ("-171566997708", False),
    ],
)
async def test_the_clock_window_both_ways(
    session: aiohttp.ClientSession, sandbox: Sandbox, timestamp: str, good: bool
) -> None:
    headers = signed(sandbox, timestamp=timestamp)
    _, answer = await ask(session, sandbox, body={"refundId": "TQ1"}, headers=headers)
    assert (answer["msg"] == "timestamp outside 600 s") is not good


@pytest.mark.repeats_nonces
async def test_a_nonce_works_once(session: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    headers = signed(sandbox)
    assert (await ask(session, sandbox, headers=headers))[1]["code"] == 400
    for _ in range(2):
        assert (await ask(session, sandbox, headers=headers))[1]["msg"] == "nonce reused"
    assert sandbox.counters.nonces_repeated == 2


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/alibaba/refund/nothing", 404),
        ("GET", INFO, 405),
        ("GET", "/open/order/refund/cancel/1/2", 404),
        ("GET", "/alibaba/refund/../refund/info", 404),
    ],
)
async def test_an_undeclared_path_is_answered_404_and_a_wrong_method_405(
    sandbox: Sandbox, method: str, path: str, status: int
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert int(head.split()[1]) == json.loads(body)["code"] == status
    assert sandbox.log[-1].endpoint is None


@pytest.mark.parametrize(
    ("body", "kind", "code", "msg"),
    [
        (b"", "application/json", 400, "refundId: is required"),
        (b"{", "application/json", 400, "body: is no JSON"),
        (b"[]", "application/json", 400, "body: must be an object"),
        (b'{"refundId": 1}', "application/json; charset=utf-8", 400, "refundId: must be a string"),
        (b"refundId=1", "application/x-www-form-urlencoded", 415, "Content-Type must be application/json"),
        (b'{"a":' + b"[" * 200 + b"]" * 200 + b"}", "application/json", 400, "body: nested too deeply"),
        (b"{" + b" " * (4 << 20), "application/json", 413, "a request has at most 4194304 bytes"),
    ],
)
async def test_a_wrong_body_is_refused(
    session: aiohttp.ClientSession, sandbox: Sandbox, body: bytes, kind: str, code: int, msg: str
) -> None:
    headers = {**signed(sandbox), "Content-Type": kind}
    async with session.post(sandbox.base_url + INFO, data=io.BytesIO(body), headers=headers) as response:
        answer = await response.json()
    assert (answer["code"], answer["msg"]) == (code, msg)


@pytest.mark.parametrize(
    ("name", "value", "status", "msg"),
    [
        ("timestamp", b"\xff" * 13, 200, "timestamp must be digits"),
        ("nonce-str", b"\xff" * 32, 200, "nonce-str must be 32 letters or digits"),
        ("Content-Encoding", b"gzip", 400, "body: is not what its headers say"),
    ],
)
async def test_bytes_that_mean_nothing_are_refused_and_can_be_logged(
    session: aiohttp.ClientSession, sandbox: Sandbox, name: str, value: bytes, status: int, msg: str
) -> None:
    lines = {one.encode(): text.encode() for one, text in signed(sandbox).items()} | {name.encode(): value}
    head = b"".join(b"%b: %b\r\n" % line for line in lines.items())
    reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
    writer.write(b"POST %b HTTP/1.1\r\nHost: x\r\n%b" % (INFO.encode(), head))
    writer.write(b"Content-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    answer, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert (int(answer.split()[1]), json.loads(body)["msg"]) == (status, msg)
    async with session.get(f"{sandbox.base_url}/_sandbox/log") as log:
        assert json.loads(await log.text())["number"] == 1


async def test_the_argument_of_a_post_may_stand_in_the_query(
    session: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    refund = sandbox.find("1688")
    _, answer = await ask(session, sandbox, f"{INFO}?refundId={refund.refund_id}")
    assert answer["data"]["refundId"] == refund.refund_id


async def test_a_declared_call_without_a_handler_gets_an_answer_of_its_type(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(HANDLERS, "alibaba.refunds.get")
    async with Sandbox(refunds=1, clock=lambda: NOW) as sandbox:
        _, answer = await ask(session, sandbox, body={"refundId": "TQ1"})
    assert (answer["code"], answer["data"]["refundId"]) == (200, "TQ1")
    assert isinstance(structurer(Refund)(answer["data"], Refund), Refund)


def test_handlers_are_for_declared_operations() -> None:
    assert set(HANDLERS) <= set(operations())


async def test_the_rate_is_strict_and_its_refusals_are_counted(session: aiohttp.ClientSession) -> None:
    now = [100.0]
    async with Sandbox(refunds=9, rate=3, clock=lambda: NOW, monotonic=lambda: now[0]) as sandbox:
        seen = []
        for arrived in (100.0, 100.0, 100.5, 100.75, 100.999, 101.0, 101.0, 101.25):
            now[0] = arrived
            async with session.post(sandbox.base_url + INFO, headers=signed(sandbox)) as response:
                seen.append((response.status, response.headers.get("Retry-After")))
                assert (await response.json())["code"] == (429 if response.status == 429 else 400)
        assert seen == [(200, None)] * 3 + [(429, "1")] * 2 + [(200, None)] * 2 + [(429, "1")]
        counters = sandbox.counters
    assert (counters.requests, counters.rate_refused, counters.busiest_second) == (8, 3, 6)
    assert not counters.faults


async def test_the_log_tells_of_every_request(session: aiohttp.ClientSession, sandbox: Sandbox) -> None:
    refund = sandbox.find("1688")
    headers = signed(sandbox)
    await ask(session, sandbox, body={"refundId": refund.refund_id}, headers=headers)
    await ask(session, sandbox, "/nothing?here=1", method="GET")
    first, second = sandbox.log
    assert (first.number, first.endpoint, first.method, first.path) == (
        1,
        "alibaba.refunds.get",
        "POST",
        INFO,
    )
    assert (first.time, first.nonce, first.status, first.code, first.fault) == (
        NOW,
        headers["nonce-str"],
        200,
        200,
        None,
    )
    assert first.digest == hashlib.sha256(json.dumps({"refundId": refund.refund_id}).encode()).hexdigest()
    assert (second.endpoint, second.path, second.status, second.code) == (None, "/nothing?here=1", 404, 404)
    assert first.connection == second.connection == 1
    assert first.port == second.port > 0
    assert sandbox.counters.connections == 1


async def test_a_bounded_log_forgets_and_the_counters_do_not(session: aiohttp.ClientSession) -> None:
    async with Sandbox(refunds=1, log_limit=2) as sandbox:
        for _ in range(5):
            await ask(session, sandbox, headers={})
    assert [entry.number for entry in sandbox.log] == [4, 5]
    assert sandbox.counters.requests == 5


async def test_its_own_pages_need_no_signature_and_are_not_counted(
    session: aiohttp.ClientSession, sandbox: Sandbox
) -> None:
    async def page(name: str) -> tuple[int, str, str]:
        async with session.get(f"{sandbox.base_url}/_sandbox/{name}") as response:
            return response.status, response.content_type, await response.text()

    for _ in range(3):
        await ask(session, sandbox, headers={})
    sandbox.advance(sandbox.find("1688", "waitselleragree").number, "waitbuyersend")
    _, kind, text = await page("ledger")
    assert kind == "text/csv"
    assert list(csv.DictReader(io.StringIO(text, newline=""))) == list(sandbox.ledger_rows())
    _, _, text = await page("truth?rows=7")
    truth = [json.loads(line) for line in text.splitlines()]
    assert truth == [{"row": n, "verdict": v} for n, v in enumerate(sandbox.truth(7), start=1)]
    _, _, text = await page("log?limit=2")
    assert [json.loads(line)["number"] for line in text.splitlines()] == [2, 3]
    _, _, text = await page("effects")
    assert [json.loads(line)["kind"] for line in text.splitlines()] == ["advance"]
    _, _, text = await page("counters")
    assert json.loads(text)["requests"] == 3
    assert (await page("ledger?rows=201"))[0] == 400
    assert (await page("log?limit=-1"))[0] == 400
    assert (await page("nothing"))[0] == 404
    assert sandbox.counters.requests == 3


async def test_a_reader_that_leaves_the_ledger_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    async with Sandbox(refunds=20_000) as sandbox:
        reader, writer = await asyncio.open_connection("127.0.0.1", sandbox.port, limit=1024)
        writer.write(b"GET /_sandbox/ledger HTTP/1.1\r\nHost: x\r\n\r\n")
        await reader.readexactly(200)
        writer.transport.abort()
    assert not caplog.records


async def test_a_client_that_leaves_in_the_middle_of_its_request(caplog: pytest.LogCaptureFixture) -> None:
    async with Sandbox(refunds=1) as sandbox:
        _, writer = await asyncio.open_connection("127.0.0.1", sandbox.port)
        writer.write(f"POST {INFO} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{{".encode())
        await until(lambda: bool(sandbox.log))
        writer.transport.abort()
        await until(lambda: sandbox.log[0].fault is not None)
        assert (sandbox.log[0].fault, sandbox.log[0].digest) == ("client_gone", None)
    assert not caplog.records


async def test_its_life() -> None:
    sandbox = Sandbox(refunds=1)
    assert "not running" in repr(sandbox)
    with pytest.raises(RuntimeError, match="not running"):
        _ = sandbox.base_url
    await sandbox.aclose()
    async with sandbox:
        url = sandbox.base_url
        assert url.startswith("http://127.0.0.1:")
        assert url in repr(sandbox)
        assert sandbox.credentials.access_secret not in repr(sandbox)
        with pytest.raises(RuntimeError, match="already running"):
            await sandbox.start()
        with pytest.raises(OSError, match="in use"):
            await Sandbox(refunds=1, port=sandbox.port).start()
    await sandbox.aclose()
    async with sandbox:  # comes back where it was
        assert sandbox.base_url == url


async def test_a_clock_may_be_an_object(session: aiohttp.ClientSession) -> None:
    class Frozen:
        def wall(self) -> float:
            return NOW

        def now(self) -> float:
            return 5.0

    async with Sandbox(refunds=1, clock=Frozen()) as sandbox:
        async with session.post(sandbox.base_url + INFO, headers=signed(sandbox)) as response:
            assert response.headers["Date"] == "Tue, 14 May 2024 06:59:37 GMT"
        assert (sandbox.log[0].time, sandbox.log[0].arrived) == (NOW, 5.0)


def test_refunds_are_found_by_number_platform_and_state() -> None:
    sandbox = Sandbox(refunds=40)
    ids = {platform: list(sandbox.refund_ids(platform)) for platform in ("1688", "taobao")}
    assert [len(found) for found in ids.values()] == [20, 20]
    assert sorted(sandbox.refund_ids()) == sorted(ids["1688"] + ids["taobao"])
    first, second = sandbox.find("taobao", 100), sandbox.find("taobao", 100, skip=1)
    assert first.number < second.number
    assert sandbox.refund(first.number) == first
    with pytest.raises(LookupError):
        sandbox.refund(40)
    with pytest.raises(LookupError):
        sandbox.find("taobao", 55)
    with pytest.raises(ValueError, match="refunds must be from 0"):
        Sandbox(refunds=10**10)


async def test_idle_connections_do_not_hold_up_closing(session: aiohttp.ClientSession) -> None:
    async with Sandbox(refunds=1) as sandbox, asyncio.timeout(5):
        await asyncio.gather(*(ask(session, sandbox, headers={}) for _ in range(10)))
        assert sandbox.counters.connections == 10
