"""Canaries: secrets and personal data are planted everywhere and then looked for where they must not be."""

from __future__ import annotations

import io
import json
import logging
import pickle
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Client, PandaponError, Safety, Settings, bulk
from pandapon_async.journal.journal import Journal
from pandapon_async.sandbox import Sandbox
from tests.support.canaries import ADDRESS, NAME, PERSONAL, PHONE
from tests.support.clients import CREDENTIALS, KEY, REFUND, SECRET, client
from tests.support.server import FaultServer, http
from tests.support.virtual import virtual_time

CANARIES = (SECRET, PHONE, NAME, ADDRESS)


def envelope(code: Any = 200, msg: str = "成功", data: Any = None) -> bytes:
    document = {"requestId": "r-1", "code": code, "developId": 1, "msg": msg, "data": data}
    return json.dumps(document, ensure_ascii=False).encode()


BODIES = {
    "a good answer": envelope(data={"refundId": REFUND, **PERSONAL}),
    "a wrong type": envelope(data={"refundId": REFUND, "applyPayment": PHONE + "x", **PERSONAL}),
    "a refusal": envelope(code=40012, msg=f"{NAME} {PHONE} {ADDRESS}", data=PERSONAL),
    "an inner refusal": envelope(
        data={"success": False, "errorCode": "4007", "errorInfo": f"{NAME} {PHONE}"}
    ),
    "a refused key": envelope(code=401, msg=f"bad secret {SECRET} of {NAME}"),
    "a throttle": envelope(code=429, msg=f"{NAME} {PHONE}"),
    "a server error": envelope(code=500, msg=f"{ADDRESS} {PHONE}"),
    "no envelope": json.dumps({"data": PERSONAL}, ensure_ascii=False).encode(),
    "a web page": f"<html>{NAME} {PHONE} {ADDRESS} {SECRET}</html>".encode(),
    "half an answer": envelope(data=PERSONAL)[:-40],
}


@asynccontextmanager
async def answering(body: bytes) -> AsyncIterator[FaultServer]:
    async def behave(exchange: Any) -> None:
        await exchange.request()
        await exchange.send(http(body))

    async with FaultServer(then=behave) as server:
        yield server


def found_in(text: str) -> list[str]:
    return [canary for canary in CANARIES if canary in text]


def everything_told_by(error: BaseException) -> str:
    """All that a log, a console or a crash report would show of an error."""
    told = io.StringIO()
    told.write("".join(traceback.format_exception(error)))
    link: BaseException | None = error
    while link is not None:
        told.write(f"{link!s}{link!r}")
        told.write(repr(getattr(link, "history", "")))
        link = link.__cause__ or link.__context__
    return told.getvalue()


@pytest.mark.parametrize("kind", BODIES)
@virtual_time
async def test_nothing_is_told_of_an_answer(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with answering(BODIES[kind]) as server, client(server.url) as pandapon:
        calls = [
            pandapon.v1.alibaba.refunds.get(refund_id=REFUND),
            pandapon.v1.alibaba.refunds.return_goods(
                refund_id=REFUND, logistics_company_no="SF", freight_bill="SF1", description=f"{NAME} {PHONE}"
            ),
            pandapon.request("POST", "/x", json={"to": PERSONAL}, safety=Safety.READ),
        ]
        told = ""
        for call in calls:
            try:
                response = await call.with_response()
                told += repr(response) + (
                    repr(response.value) if kind == "a good answer" and call is calls[0] else ""
                )
            except PandaponError as error:
                told += everything_told_by(error)
        told += repr(pandapon) + repr(pandapon.settings) + repr(CREDENTIALS) + repr(pandapon._pipeline)
        told += "".join(f"{record.getMessage()}{record.args}{record.exc_text}" for record in caplog.records)
        assert caplog.records, "nothing was logged at all, so nothing was tested"
    assert found_in(told) == []
    assert KEY not in "".join(record.getMessage() for record in caplog.records)


async def test_an_argument_is_never_repeated() -> None:
    async with answering(BODIES["a good answer"]) as server, client(server.url) as pandapon:
        for arguments in ({"refund_id": NAME}, {"refund_id": f"{PHONE}\t"}, {"refund_id": REFUND, NAME: 1}):
            with pytest.raises(PandaponError) as caught:
                await pandapon.v1.alibaba.refunds.get(**arguments)
            if NAME not in arguments:  # the name of an argument is the caller's own code
                assert found_in(everything_told_by(caught.value)) == []
        assert server.requests == []


async def test_pickles_hold_no_secret() -> None:
    async with answering(BODIES["a refused key"]) as server, client(server.url) as pandapon:
        with pytest.raises(PandaponError) as caught:
            await pandapon.v1.alibaba.refunds.get(refund_id=REFUND)
    caught.value.msg = None  # type: ignore[attr-defined]  # the vendor's own words, kept for who asks
    assert SECRET.encode() not in pickle.dumps(caught.value)


async def test_the_journal_keeps_nothing_personal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    async with (
        answering(BODIES["an inner refusal"]) as server,
        client(server.url, journal=Journal(path)) as pandapon,
    ):
        with pytest.raises(PandaponError):
            await pandapon.v1.alibaba.refunds.return_goods(
                refund_id=REFUND, logistics_company_no="SF", freight_bill="SF1", description=f"{NAME} {PHONE}"
            )
        await pandapon.journal.aclose()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"SF1" in kept
    assert [canary for canary in (*CANARIES, KEY) if canary.encode() in kept] == []


async def test_bulk_results_show_nothing_personal() -> None:
    async with (
        Sandbox(refunds=40, seed=3) as sandbox,
        Client(sandbox.credentials, Settings(base_url=sandbox.base_url, rate=None)) as pandapon,
    ):
        taobao = list(sandbox.refund_ids("taobao"))
        told = [repr(result) async for result in bulk.fetch_refunds(pandapon, taobao, "taobao")]
        detail = await pandapon.v1.taobao.refunds.get(refund_id=taobao[0])
    aggregate = detail.refund_order_aggregate
    assert aggregate is not None
    assert aggregate.logistics is not None
    assert aggregate.logistics.receiver_address is not None
    personal = (aggregate.logistics.buyer_phone, aggregate.logistics.receiver_address.detail_address)
    assert all(personal), "the sandbox planted nothing, so nothing was tested"
    assert [value for value in personal if value and value in "".join(told)] == []
