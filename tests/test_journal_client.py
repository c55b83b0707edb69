"""Writes of a client and their rows in the journal: before the first byte, and after the last."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import (
    AuthenticationError,
    Client,
    Credentials,
    DuplicateIntentError,
    JournalUnavailableError,
    OutcomeUnknownError,
    PandaponError,
    Settings,
)
from pandapon_async.api.registry import endpoints
from pandapon_async.errors import ErrorKind
from pandapon_async.journal.intent import IntentState
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.place import journal_of
from pandapon_async.journal.store import JournalStore
from pandapon_async.journal.writes import natural_key
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import CREDENTIALS, client
from tests.support.faults import reset_before_answer
from tests.support.server import Behaviour, Exchange, FaultServer, answer, envelope, http, ok

RETURN: dict[str, Any] = {"refund_id": "TQ1", "logistics_company_no": "SF", "freight_bill": "SF1"}
CREATE: dict[str, Any] = {
    "order_id": 100,
    "order_entry_ids": [2, 1],
    "dispute_request": "refund",
    "apply_payment": 500,
    "apply_carriage": 0,
    "apply_reason_id": 20022,
    "description": "two words",
    "goods_status": "aftersaleBuyerReceived",
}
pytestmark = pytest.mark.usefixtures("new_journal")


def rows(path: Path) -> list[tuple[Any, ...]]:
    db = sqlite3.connect(path)
    found = db.execute("SELECT state, attempts, result, error_kind FROM intents ORDER BY created").fetchall()
    db.close()
    return found


@pytest.mark.of_files
async def test_the_intent_is_on_disk_before_the_server_sees_the_request(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    seen = []

    async def look(exchange: Exchange) -> None:
        await exchange.head()
        seen.append(await asyncio.to_thread(rows, path))
        await exchange.reader.readexactly(int(exchange.server.requests[-1].header("content-length") or 0))
        await exchange.send(http(envelope({"success": True})))

    async with FaultServer(look) as server, client(server.url, journal=path) as pandapon:
        await pandapon.v1.alibaba.refunds.return_goods(**RETURN)
    assert seen == [[("sent", 1, None, None)]]
    assert await asyncio.to_thread(rows, path) == [("confirmed", 1, None, None)]


@pytest.mark.parametrize(
    ("behaviour", "state", "error_kind"),
    [
        (answer(http(envelope({"refundId": "TQ77"}))), IntentState.CONFIRMED, None),
        (
            answer(http(envelope({"refundId": None}))),
            IntentState.UNKNOWN,
            ErrorKind.MALFORMED_RESPONSE,
        ),
        (answer(http(envelope(None, code=5004))), IntentState.REJECTED, ErrorKind.API),
        (answer(http(envelope(None, code=5100))), IntentState.UNKNOWN, ErrorKind.API),
        (answer(http(envelope(None, code=500))), IntentState.UNKNOWN, ErrorKind.API),
        (
            answer(http(b"<html>", "502 Bad Gateway")),
            IntentState.UNKNOWN,
            ErrorKind.MALFORMED_RESPONSE,
        ),
        (answer(http(b"", "401 Unauthorized")), IntentState.UNKNOWN, ErrorKind.AUTHENTICATION),
        (answer(http(envelope(None, code=401))), IntentState.REJECTED, ErrorKind.AUTHENTICATION),
        (answer(http(b"<html>", "403 Forbidden")), IntentState.UNKNOWN, ErrorKind.AUTHENTICATION),
        (answer(http(b"<html>", "404 Not Found")), IntentState.UNKNOWN, ErrorKind.API),
        (answer(http(b"<html>", "429 Slow Down")), IntentState.REJECTED, ErrorKind.RATE_LIMIT),
        (reset_before_answer, IntentState.UNKNOWN, ErrorKind.CONNECTION_LOST),
    ],
)
@pytest.mark.database_at_night
async def test_every_outcome_has_its_state(
    behaviour: Behaviour, state: IntentState, error_kind: ErrorKind | None
) -> None:
    async with FaultServer(behaviour) as server, client(server.url) as pandapon:
        error: PandaponError | None = None
        try:
            await pandapon.v1.alibaba.refunds.create(**CREATE)
        except PandaponError as caught:
            error = caught
        (intent,) = await pandapon.journal.find()
        assert (intent.state, intent.error_kind, intent.attempts) == (state, error_kind, 1)
        assert intent.result == ("TQ77" if state is IntentState.CONFIRMED else None)
        if error_kind is ErrorKind.AUTHENTICATION:
            assert isinstance(error, AuthenticationError)
            assert error.intent_id == (intent.id if state is IntentState.UNKNOWN else None)
        else:
            assert isinstance(error, OutcomeUnknownError) == (state is IntentState.UNKNOWN)
        assert len(server.requests) == 1


async def test_a_journal_that_cannot_be_written_stops_the_write() -> None:
    broken = Journal("/dev/null/journal.sqlite")
    async with FaultServer(ok([])) as server, client(server.url, journal=broken) as pandapon:
        with pytest.raises(JournalUnavailableError):
            await pandapon.v1.alibaba.refunds.return_goods(**RETURN)
        with pytest.raises(JournalUnavailableError):
            await pandapon.v1.alibaba.refunds.return_goods(**RETURN)
        assert server.requests == []
        reasons = await pandapon.v1.alibaba.refunds.reasons(  # what writes nothing needs no journal
            order_id=1, order_entry_ids=[1], goods_status="aftersaleBuyerReceived"
        )
        assert reasons == []


async def test_the_second_of_two_equal_writes_at_once_is_refused() -> None:
    async with FaultServer(then=ok({"refundId": "TQ77"})) as server, client(server.url) as pandapon:
        again = {**CREATE, "order_entry_ids": [1, 2, 2], "description": "other words"}
        results = await asyncio.gather(
            pandapon.v1.alibaba.refunds.create(**CREATE),
            pandapon.v2.alibaba.refunds.create(**again),
            return_exceptions=True,
        )
        (refused,) = [result for result in results if isinstance(result, DuplicateIntentError)]
        (intent,) = await pandapon.journal.find()
        assert refused.intent_id == intent.id
        with pytest.raises(DuplicateIntentError) as caught:
            await pandapon.v1.alibaba.refunds.create(**CREATE)
        assert (caught.value.state, caught.value.result) == ("confirmed", "TQ77")
        assert len(server.requests) == 1
        await pandapon.with_settings(allow_repeat=True).v1.alibaba.refunds.create(**CREATE)
        assert len(server.requests) == 2


def test_the_natural_key_is_that_of_the_declaration() -> None:
    endpoint = endpoints()["v1.alibaba.refunds.return_goods"]
    assert natural_key(endpoint, {"refundId": "TQ1", "freightBill": "x"}) == {"refundId": "TQ1"}
    assert natural_key(endpoints()["v1.alibaba.orders.create"], {"flow": "x"}) == {}


@pytest.mark.of_files
@pytest.mark.parametrize(
    ("base_url", "automatic"), [("https://api.pandapon.com", True), ("http://127.0.0.1:1", False)]
)
def test_where_the_journal_is(
    base_url: str, automatic: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    path = journal_of(CREDENTIALS, Settings(base_url=base_url)).path
    assert path.startswith(str(tmp_path)) == automatic
    assert (path == ":memory:") != automatic
    gateway = journal_of(CREDENTIALS, Settings(base_url=base_url, vendor_id="api.pandapon.com")).path
    assert gateway.startswith(str(tmp_path)), "a gateway on this machine leads to a vendor"
    named = journal_of(CREDENTIALS, Settings(base_url=base_url, journal=tmp_path / "here.sqlite"))
    assert named.path == str(tmp_path / "here.sqlite")


@pytest.mark.parametrize(
    "other",
    [
        Credentials("rotated-key", "secret", "1"),
        Credentials("key", "rotated-secret", "1"),
        Credentials("key", "secret", "2"),
    ],
)
async def test_ids_of_the_platform_are_the_same_for_every_key_and_sub_account(
    tmp_path: Path, other: Credentials
) -> None:
    first = Credentials("key", "secret", "1")
    async with FaultServer(then=ok({"refundId": "TQ77", "id": 7})) as server:
        for number, credentials in enumerate((first, other)):
            url = (server.url, server.url.replace("127.0.0.1", "localhost"))[number]
            settings = Settings(base_url=url, rate=None, journal=tmp_path / "journal.sqlite")
            async with Client(credentials, settings) as pandapon:
                if credentials is first:
                    await pandapon.alibaba.refunds.create(**CREATE)
                else:
                    with pytest.raises(DuplicateIntentError) as caught:
                        await pandapon.alibaba.refunds.create(**CREATE)
                    assert caught.value.result == "TQ77"
        assert len(server.requests) == 1


async def test_what_holds_no_id_of_the_platform_belongs_to_the_sub_account(tmp_path: Path) -> None:
    lost = FaultServer(reset_before_answer, reset_before_answer, reset_before_answer)
    async with lost as server:
        kinds = []
        for key, user_id in (("key", "1"), ("rotated", "1"), ("key", "2")):
            settings = Settings(base_url=server.url, rate=None, journal=tmp_path / "journal.sqlite")
            async with Client(Credentials(key, "secret", user_id), settings) as pandapon:
                with pytest.raises(PandaponError) as caught:
                    await pandapon.request("POST", "/some/cart", json={"a": 1})
                kinds.append(type(caught.value))
        assert kinds == [OutcomeUnknownError, DuplicateIntentError, OutcomeUnknownError]
        assert len(server.requests) == 2


async def test_a_create_that_was_resolved_as_done_is_not_sent_again() -> None:
    """One alone, and beside other writes in the same commits."""
    async with (
        FaultServer(reset_before_answer, then=ok({"refundId": "TQ77"})) as server,
        client(server.url) as pandapon,
    ):
        create = pandapon.v1.alibaba.refunds.create
        with pytest.raises(OutcomeUnknownError) as lost:
            await create(**CREATE)
        assert lost.value.intent_id is not None
        await pandapon.journal.resolve(lost.value.intent_id, IntentState.SETTLED_DONE, result="TQ9")
        with pytest.raises(DuplicateIntentError) as caught:
            await create(**CREATE)
        assert (caught.value.state, caught.value.result) == ("settled_done", "TQ9")
        others = [create(**{**CREATE, "order_entry_ids": [number]}) for number in range(10, 15)]
        results = await asyncio.gather(
            *others[:3], create(**CREATE), *others[3:], create(**CREATE), return_exceptions=True
        )
        refused = [result for result in results if isinstance(result, DuplicateIntentError)]
        assert [one.intent_id for one in refused] == [lost.value.intent_id] * 2
        assert len(server.requests) == 6, "the first, and the five others"


@pytest.mark.of_files
@pytest.mark.parametrize("writes", [1, 5])
async def test_the_intent_is_flushed_before_its_bytes_leave(
    writes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whether it goes out at once or waits first: the commit that makes it `sent` survives a power cut."""
    flushed: set[str] = set()
    commit = JournalStore.commit

    def watched(store: JournalStore) -> None:
        (level,) = store._connection.execute("PRAGMA synchronous").fetchone()
        rows = store._connection.execute("SELECT natural_key FROM intents WHERE state = 'sent'").fetchall()
        commit(store)
        if level >= 2:  # FULL
            flushed.update(json.loads(key)["refundId"] for (key,) in rows)

    left: dict[str, bool] = {}

    async def look(exchange: Exchange) -> None:
        await exchange.head()
        length = int(exchange.server.requests[-1].header("content-length") or 0)
        refund_id = json.loads(await exchange.reader.readexactly(length))["refundId"]
        left[refund_id] = refund_id in flushed
        await exchange.send(http(envelope({"success": True})))

    monkeypatch.setattr(JournalStore, "commit", watched)
    async with (
        FaultServer(then=look) as server,
        client(server.url, journal=tmp_path / "j.sqlite", concurrency=2) as pandapon,
    ):
        await asyncio.gather(
            *(
                pandapon.v1.alibaba.refunds.return_goods(**{**RETURN, "refund_id": f"TQ{number}"})
                for number in range(writes)
            )
        )
    assert left == {f"TQ{number}": True for number in range(writes)}
