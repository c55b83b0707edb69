"""The examples of the documentation, run as they are."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.util
import io
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import uvicorn
from aiohttp import ClientSession, web

from pandapon_async import Client, OutcomeUnknownError, Settings
from pandapon_async.callbacks import MessageState, MessageStore
from pandapon_async.journal.intent import IntentState
from pandapon_async.journal.journal import Journal
from pandapon_async.sandbox import Fault, FaultKind, Sandbox
from pandapon_async.sandbox.callbacks import CallbackSender
from pandapon_async.settings import Credentials

EXAMPLES = Path(__file__).parent.parent / "examples"


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def push(**body: Any) -> tuple[bytes, dict[str, str]]:
    frame = {
        "messageType": "1688_X_REFUND",
        "messagePlatform": 1,
        "timestamp": str(round(time.time() * 1000)),
    }
    raw = json.dumps({**frame, "messageBody": body}).encode()
    return raw, {"Authorization": hmac.new(b"secret", b"key" + raw, hashlib.sha256).hexdigest()}


@asynccontextmanager
async def uvicorn_serving(app: Any) -> AsyncIterator[str]:
    """The application behind a real server, with its lifespan."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, ws="none", lifespan="on"))
    serving = asyncio.ensure_future(server.serve())
    await until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        await serving


async def until(true: Callable[[], Any]) -> None:
    """Wait for what another task brings about."""
    while not true():  # noqa: ASYNC110 (no event tells of it)
        await asyncio.sleep(0.005)


async def test_fastapi(tmp_path: Path) -> None:
    store = tmp_path / "cb.sqlite"
    settings = Settings(journal=":memory:")
    app = example("fastapi_callbacks").make_app(Credentials("key", "secret", "1"), settings, store)
    raw, headers = push(refundId="TQ1", orderId=7, currentStatus="waitbuyersend")
    async with uvicorn_serving(app) as url, ClientSession(url) as session:

        async def ask(method: str, path: str = "/pandapon", **request: Any) -> tuple[int, str]:
            async with session.request(method, path, allow_redirects=False, **request) as answer:
                return answer.status, await answer.text()

        for method in ("GET", "HEAD", "POST"):  # the console verifies
            assert (await ask(method))[0] == 200
        for _ in range(2):
            assert await ask("POST", data=raw, headers=headers) == (200, "ok\n")
        assert await ask("POST", data=raw) == (401, "unsigned\n")
        assert await ask("POST", data=raw + b" ", headers=headers) == (401, "wrong_signature\n")
        assert (await ask("POST", data=io.BytesIO(bytes(2_000_000)), headers=headers))[0] == 413
        expected = {"refund_id": "TQ1", "status": "waitbuyersend"}
        while json.loads((await ask("GET", "/refunds/TQ1"))[1]) != expected:  # noqa: ASYNC110 (no event tells of it)
            await asyncio.sleep(0.005)
    opened = MessageStore(store)
    assert opened.counts()[MessageState.DONE] == 1
    opened.close()


async def test_fastapi_hands_out_a_refund(tmp_path: Path) -> None:
    async with Sandbox(refunds=10) as sandbox:
        settings = Settings(base_url=sandbox.base_url, journal=":memory:")
        app = example("fastapi_callbacks").make_app(sandbox.credentials, settings, tmp_path / "cb.sqlite")
        refund_id = next(row["refund_id"] for row in sandbox.ledger_rows() if row["platform"] == "1688")
        async with (
            uvicorn_serving(app) as url,
            ClientSession(url) as session,
            session.get(f"/refunds/{refund_id}/form") as answer,
        ):
            form = await answer.json()
    assert form["refund_id"] == refund_id
    assert isinstance(form["apply_payment"], int)
    assert "extra" not in form


@pytest.fixture
def arguments() -> dict[str, Any]:
    return {
        "order_id": 2540000000000000123,
        "order_entry_ids": [1],
        "dispute_request": "refund",
        "apply_payment": 500,
        "apply_carriage": 0,
        "apply_reason_id": 20022,
        "description": "broken in transit",
        "goods_status": "aftersaleBuyerReceived",
    }


async def test_aiohttp_a_message_settles_a_lost_create(tmp_path: Path, arguments: dict[str, Any]) -> None:
    """The whole way: the sandbox opens the form, loses the answer, pushes; the journal knows."""
    lost = Fault(FaultKind.RESET_AFTER, endpoint="alibaba.refunds.create", times=1)
    journal = Journal(tmp_path / "journal.sqlite")
    async with Sandbox(refunds=10, faults=[lost]) as sandbox:
        settings = Settings(base_url=sandbox.base_url, journal=journal, rate=None)
        module = example("aiohttp_callbacks")
        app = module.make_app(sandbox.credentials, settings, tmp_path / "cb.sqlite")
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        place = f"http://127.0.0.1:{runner.addresses[0][1]}"
        url = f"{place}/pandapon"
        try:
            async with CallbackSender(sandbox, url) as sender:
                async with Client(sandbox.credentials, settings) as client:
                    with pytest.raises(OutcomeUnknownError) as unknown:
                        await client.v1.alibaba.refunds.create(**arguments)
                await sender.drain()
                async with ClientSession() as session, session.get(url) as answer:
                    assert answer.status == 200
                await until(lambda: app[module.REFUNDS])
                (intent,) = await journal.find()
                async with (
                    ClientSession() as session,
                    session.get(f"{place}/refunds/{intent.result}/form") as got,
                ):
                    form = await got.json()
        finally:
            await runner.cleanup()
        (effect,) = sandbox.effects
        assert (form["refund_id"], form["status"]) == (intent.result, "waitselleragree")
        assert intent.id == unknown.value.intent_id
        assert (intent.state, intent.result) == (IntentState.SETTLED_DONE, effect.refund_id)
        assert app[module.REFUNDS] == {effect.refund_id: "waitselleragree"}
    await journal.aclose()
