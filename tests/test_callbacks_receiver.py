"""The receiver's answers: 200 for what is on disk and for the console, 503 for what could not be stored."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import sqlite3
import stat
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web

from pandapon_async.callbacks import (
    CallbackSettings,
    CallbackStoreUnavailableError,
    MessageState,
    MessageStore,
    Push,
    Receiver,
    ReceiverResponse,
)
from pandapon_async.callbacks.asgi import AsgiApp
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import Credentials
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.virtual import LoopClock, virtual_time

CREDENTIALS = Credentials("key", "secret", "1")
CLOCK = LoopClock()
OK = ReceiverResponse(200, "ok")


def message(number: int = 1, ahead: float = 0.0, **frame: Any) -> bytes:
    stamp = str(round((CLOCK.wall() + ahead) * 1000))
    body = {"refundId": f"TQ{number}"}
    return json.dumps(
        {"messageType": "1688_REFUND", "timestamp": stamp, "messageBody": body, **frame}
    ).encode()


def signed(body: bytes, secret: str = "secret", base: bytes = b"key") -> str:
    return hmac.new(secret.encode(), base + body, hashlib.sha256).hexdigest()


def receiver(path: Path | str = ":memory:", **changes: Any) -> Receiver:
    return Receiver(CREDENTIALS, CallbackSettings(**changes), store=path, clock=CLOCK)


def push(method: str, body: bytes = b"", authorization: str | None = None, **facts: Any) -> Push:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body

    return Push(method=method, authorization=authorization, chunks=chunks(), **facts)


def in_store(path: Path) -> list[bytes]:
    db = sqlite3.connect(path)
    found = [body for (body,) in db.execute("SELECT body FROM messages ORDER BY seq")]
    db.close()
    return found


@virtual_time
async def test_a_message_is_on_disk_when_it_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "cb.sqlite"
    async with receiver(path) as house:
        body = message()
        assert await house.receive(body, signed(body)) == OK
        assert await asyncio.to_thread(in_store, path) == [body]
        mode = (await asyncio.to_thread(path.stat)).st_mode
        assert stat.S_IMODE(mode) == 0o600
        assert house.statistics.stored == 1


@virtual_time
async def test_it_is_flushed_to_the_disk_in_groups(tmp_path: Path) -> None:
    async with receiver(tmp_path / "cb.sqlite") as house:
        statements: list[str] = []
        # On the store's own thread: from another it waits for SQLite's lock with Python's in its hand.
        await house._writer.run(lambda store: store._connection.set_trace_callback(statements.append))
        bodies = [message(number) for number in range(200)]
        answers = await asyncio.gather(*(house.receive(body, signed(body)) for body in bodies))
        assert set(answers) == {OK}
        await house._writer.run(lambda store: store._connection.set_trace_callback(None))
    inserts = [at for at, text in enumerate(statements) if "INTO messages" in text]
    assert len(inserts) == 200
    levels = {next(text for text in reversed(statements[:at]) if text.startswith("PRAGMA")) for at in inserts}
    assert levels == {"PRAGMA synchronous = FULL"}
    commits = [at for at, text in enumerate(statements) if text == "COMMIT"]
    assert sum(inserts[0] < at < inserts[-1] for at in commits) <= 3


@pytest.mark.parametrize(
    ("method", "body", "expected"),
    [
        ("GET", b"", OK),
        ("HEAD", b"", OK),
        ("POST", b"", OK),
        ("POST", b"{}", OK),
        ("POST", b'{"challenge": "abc"}', OK),
        ("POST", b'{"messageType": "1688_X"}', ReceiverResponse(401, "unsigned")),
        ("POST", b'{"messageBody": {}}', ReceiverResponse(401, "unsigned")),
        ("POST", b'["messageType"]', ReceiverResponse(401, "unsigned")),
        ("POST", b"verify", ReceiverResponse(401, "unsigned")),
        ("POST", b'{"a": "' + b"x" * 5000 + b'"}', ReceiverResponse(401, "unsigned")),
        ("PATCH", b"{}", ReceiverResponse(405, "method", close=True)),
    ],
)
def test_the_consoles_verification_is_answered_and_not_stored(
    method: str, body: bytes, expected: ReceiverResponse
) -> None:
    @virtual_time
    async def ask() -> None:
        async with receiver() as house:
            assert await house.answer(push(method, body)) == expected
            assert sum((await house.counts()).values()) == 0
            assert house.statistics.verifications == (expected == OK)

    ask()


@virtual_time
async def test_while_the_console_verifies_anything_unsigned_will_do() -> None:
    async with receiver(unsigned_ok=True) as house:
        assert await house.answer(push("POST", message())) == OK
        assert await house.answer(push("POST", b"verify")) == OK
        assert (await house.answer(push("POST", message(), "0" * 64))).status == 401  # signed wrongly
        assert sum((await house.counts()).values()) == 0


@virtual_time
async def test_a_signed_body_without_anything_is_a_verification_too() -> None:
    async with receiver() as house:
        assert await house.receive(b"", signed(b"")) == OK
        assert sum((await house.counts()).values()) == 0
        assert await house.receive(b"{}", signed(b"{}")) == OK
        assert (await house.counts())[MessageState.PENDING] == 1  # signed: it is kept, whatever it is


@pytest.mark.parametrize(
    ("ahead", "status"),
    [(0.0, 200), (-86_000.0, 200), (-87_000.0, 400), (3_500.0, 200), (3_700.0, 400)],
)
def test_the_time_of_a_message_may_be_off_both_ways(ahead: float, status: int) -> None:
    @virtual_time
    async def ask() -> None:
        async with receiver() as house:
            for body in (
                message(ahead=ahead),
                message(timestamp=str(round(CLOCK.wall() + ahead))),
                message(timestamp=round(CLOCK.wall() + ahead)),
            ):
                assert (await house.receive(body, signed(body))).status == status

    ask()


@virtual_time
async def test_a_time_that_cannot_be_read_is_no_reason_to_lose_a_message() -> None:
    async with receiver() as house:
        unreadable: list[Any] = [None, "soon", "", {}]
        for timestamp in unreadable:
            body = message(timestamp=timestamp)
            assert await house.receive(body, signed(body)) == OK


@virtual_time
async def test_the_old_secret_is_taken_during_a_rotation() -> None:
    old, new = CREDENTIALS, Credentials("key", "new-secret", "1")
    house = Receiver([new, old], store=":memory:", clock=CLOCK)
    async with house:
        for number, secret in enumerate(("secret", "new-secret")):
            body = message(number)
            assert await house.receive(body, signed(body, secret)) == OK
    assert "secret" not in repr(house)


@virtual_time
async def test_what_is_signed_is_a_setting() -> None:
    body = message()
    async with receiver(base="body") as house:
        assert (await house.receive(body, signed(body))).status == 401
        assert await house.receive(body, signed(body, base=b"")) == OK


class Gate:
    """Holds the store's thread at the beginning of a commit."""

    def __init__(self, house: Receiver) -> None:
        store = house._writer._store
        assert store is not None
        self._begin = store.begin
        self.opened = threading.Event()
        store.begin = self._wait  # type: ignore[method-assign]

    def _wait(self, *, durable: bool) -> None:
        assert self.opened.wait(10)
        self._begin(durable=durable)


async def test_what_is_not_on_disk_in_time_is_sent_back() -> None:
    house = Receiver(CREDENTIALS, CallbackSettings(answer_within=0.05), store=":memory:")
    async with house:
        gate = Gate(house)
        body = json.dumps({"messageType": "X"}).encode()
        try:
            assert await house.receive(body, signed(body)) == ReceiverResponse(503, "not stored")
        finally:
            gate.opened.set()
        assert await house.receive(body, signed(body)) == OK  # it was stored after all: a duplicate
        assert (house.statistics.unavailable, house.statistics.duplicates) == (1, 1)


async def test_more_than_can_be_stored_at_once_is_sent_back() -> None:
    house = Receiver(CREDENTIALS, CallbackSettings(most_waiting=3), store=":memory:")
    async with house:
        gate = Gate(house)
        bodies = [json.dumps({"messageType": f"X{number}"}).encode() for number in range(5)]
        asking = [asyncio.ensure_future(house.receive(body, signed(body))) for body in bodies]
        await asyncio.sleep(0.01)
        gate.opened.set()
        answers = await asyncio.gather(*asking)
    assert [answer.status for answer in answers] == [200, 200, 200, 503, 503]


async def test_a_file_that_cannot_be_used_answers_503_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "cb.sqlite"
    async with Receiver(CREDENTIALS, store=path) as house:
        store = house._writer._store
        assert store is not None
        whole = store._connection

        def full(*_: object) -> Any:
            raise sqlite3.OperationalError("database or disk is full")

        class Full:
            in_transaction = False
            execute = staticmethod(full)

        body = json.dumps({"messageType": "X"}).encode()
        store._connection = Full()  # type: ignore[assignment]
        assert await house.receive(body, signed(body)) == ReceiverResponse(503, "not stored")
        store._connection = whole
        assert await house.receive(body, signed(body)) == OK
        assert house.statistics.unavailable == 1
        assert house.statistics.stored == 1


@pytest.mark.parametrize("spoil", ["folder", "text", "database", "format"])
async def test_a_file_of_something_else_is_said_at_the_start(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "cb.sqlite"

    def prepare() -> None:
        if spoil == "folder":
            path.mkdir()
        elif spoil == "text":
            path.write_text("these are notes, and no database, and there are enough of them" * 20)
        else:
            db = sqlite3.connect(path)
            table = "other" if spoil == "database" else "messages"
            db.execute(f"CREATE TABLE {table} (a)")
            db.execute("PRAGMA user_version = 9")
            db.commit()
            db.close()

    await asyncio.to_thread(prepare)
    house = Receiver(CREDENTIALS, store=path)
    with pytest.raises(CallbackStoreUnavailableError):
        await house.start()
    body = json.dumps({"messageType": "X"}).encode()
    assert (await house.receive(body, signed(body))).status == 503
    await house.aclose()


async def test_a_request_starts_a_receiver_that_nobody_started(tmp_path: Path) -> None:
    seen: list[str] = []
    house = Receiver(CREDENTIALS, store=tmp_path / "cb.sqlite")
    house.on()(lambda message: seen.append(message.type))
    bodies = [json.dumps({"messageType": f"X{number}"}).encode() for number in range(3)]
    await asyncio.gather(*(house.receive(body, signed(body)) for body in bodies))
    while len(seen) < 3:  # noqa: ASYNC110 (no event tells of it)
        await asyncio.sleep(0.005)
    await house.aclose()
    await house.aclose()


async def test_it_can_be_started_again_after_it_was_closed(tmp_path: Path) -> None:
    house = Receiver(CREDENTIALS, store=tmp_path / "cb.sqlite")
    for number in range(2):
        async with house, house:
            body = json.dumps({"messageType": f"X{number}"}).encode()
            assert await house.receive(body, signed(body)) == OK


async def test_cancelling_a_request_loses_no_message(tmp_path: Path) -> None:
    async with Receiver(CREDENTIALS, store=tmp_path / "cb.sqlite") as house:
        gate = Gate(house)
        body = json.dumps({"messageType": "X"}).encode()
        asking = asyncio.ensure_future(house.receive(body, signed(body)))
        await asyncio.sleep(0.01)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        gate.opened.set()
        assert await house.receive(body, signed(body)) == OK
        assert house.statistics.duplicates == 1
        assert house._storing == 0


@pytest.mark.parametrize("path", ["", "/", "/in", "/in/"])
async def test_as_an_aiohttp_sub_application(path: str) -> None:
    house = Receiver(CREDENTIALS, store=":memory:")
    app = web.Application()
    app.add_subapp("/pandapon", house.aiohttp_app(path))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/pandapon{path.rstrip('/')}"
    body = json.dumps({"messageType": "X"}).encode()
    async with ClientSession() as session:
        for place in (url, f"{url}/"):
            request = session.post(place, data=body, headers={"Authorization": signed(body)})
            async with request as answer:
                assert (answer.status, await answer.text()) == (200, "ok\n")
        async with session.post(f"{url}/elsewhere", data=body) as answer:
            assert answer.status == 404
    await runner.cleanup()
    assert (house.statistics.stored, house.statistics.duplicates) == (1, 1)


async def drive(app: Any, scope: dict[str, Any], *events: dict[str, Any]) -> list[dict[str, Any]]:
    sent: list[dict[str, Any]] = []
    left = list(events)

    async def receive() -> Any:
        return left.pop(0)

    async def send(event: Any) -> None:
        sent.append(event)

    await app(scope, receive, send)
    return sent


async def test_as_an_asgi_application_by_itself(tmp_path: Path) -> None:
    house = Receiver(CREDENTIALS, store=tmp_path / "cb.sqlite")
    events = ({"type": "lifespan.startup"}, {"type": "lifespan.shutdown"})
    sent = await drive(house.asgi_app(), {"type": "lifespan"}, *events)
    assert [event["type"] for event in sent] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    broken = Receiver(CREDENTIALS, store="/dev/null/cb.sqlite")
    (failed,) = await drive(broken.asgi_app(), {"type": "lifespan"}, events[0])
    assert failed["type"] == "lifespan.startup.failed"
    (closed,) = await drive(house.asgi_app(), {"type": "websocket"}, {"type": "websocket.connect"})
    assert closed["type"] == "websocket.close"
    head = {"type": "http", "method": "HEAD", "headers": []}
    sent = await drive(house.asgi_app(), head, {"type": "http.request"})
    assert (sent[0]["status"], sent[1]["body"]) == (200, b"")


@pytest.mark.parametrize(
    "changes",
    [
        {"remember": 80_000.0},
        {"older": -1},
        {"newer": float("nan")},
        {"base": "all"},
        {"hex_case": "both"},
        {"duplicates": "some"},
        {"maximum_bytes": 0},
        {"concurrency": True},
        {"handler_timeout": 0},
        {"order_window": "2"},
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        CallbackSettings(**changes)


@pytest.mark.parametrize("credentials", [[], "secret", None, 5])
def test_credentials_are_needed(credentials: Any) -> None:
    with pytest.raises(ConfigurationError):
        Receiver(credentials)


def test_a_store_holds_its_lock_alone(tmp_path: Path) -> None:
    one, other = MessageStore(tmp_path / "cb.sqlite"), MessageStore(tmp_path / "cb.sqlite")
    assert one.lead()
    assert one.lead()
    assert not other.lead()
    one.close()
    assert other.lead()
    other.close()


def test_many_stores_may_open_a_new_file_at_once(tmp_path: Path) -> None:
    opened: list[MessageStore] = []
    errors: list[BaseException] = []

    def attempt(work: Callable[[], MessageStore]) -> None:
        try:
            opened.append(work())
        except BaseException as error:
            errors.append(error)

    threads = [
        threading.Thread(target=attempt, args=(lambda: MessageStore(tmp_path / "cb.sqlite"),))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in opened:
        store.close()
    assert errors == []
    assert len(opened) == 8


class Talk:
    """An ASGI server's side."""

    def __init__(self, *events: dict[str, Any]) -> None:
        self._events: Iterator[dict[str, Any]] = iter(events)
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        return next(self._events)

    async def send(self, event: dict[str, Any]) -> None:
        self.sent.append(event)


def app(store: Path | str = ":memory:") -> AsgiApp:
    return Receiver(CREDENTIALS, CallbackSettings(), store=store).asgi_app()


async def test_asgi_scopes_that_are_not_known_are_left_alone() -> None:
    talk = Talk()
    await app()({"type": "later"}, talk.receive, talk.send)  # type: ignore[arg-type]
    assert talk.sent == []


async def test_an_asgi_client_that_leaves_in_its_body_is_not_answered() -> None:
    talk = Talk({"type": "http.request", "body": b"x", "more_body": True}, {"type": "http.disconnect"})
    scope = {"type": "http", "method": "POST", "headers": [(b"authorization", b"0" * 64)]}
    await app()(scope, talk.receive, talk.send)  # type: ignore[arg-type]
    assert talk.sent == []


async def test_an_asgi_lifespan_with_events_that_are_not_known() -> None:
    talk = Talk({"type": "lifespan.startup"}, {"type": "lifespan.later"}, {"type": "lifespan.shutdown"})
    await app()({"type": "lifespan"}, talk.receive, talk.send)  # type: ignore[arg-type]
    assert [event["type"] for event in talk.sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
