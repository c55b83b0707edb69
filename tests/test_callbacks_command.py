"""`pandapon callbacks`: a receiver in a process of its own, and what an operator sees and does."""

from __future__ import annotations

import asyncio
import contextvars
import hashlib
import hmac
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from typer.testing import CliRunner

from pandapon_async.callbacks import Message, MessageState, MessageStore, Receiver
from pandapon_async.callbacks.store import NO_HANDLER, Entry
from pandapon_async.cli.callbacks import callbacks_app
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import Credentials
from tests.support.command import Shell

RUN = "from pandapon_async.cli.callbacks import callbacks_app; callbacks_app()"
CANARY = "13800001111"


def register(receiver: Receiver) -> None:
    """What `--handlers` names in the tests here."""

    @receiver.on()
    async def shout(message: Message) -> None:
        print(f"HANDLED {message.refund_id}", flush=True)


def entry(number: int, state: MessageState, **facts: Any) -> Entry:
    stamp = 1_700_000_000.0 + number
    return Entry(
        id=hashlib.sha256(str(number).encode()).hexdigest(),
        access_key="key",
        platform="1688",
        type="1688_X_REFUND",
        kind="refund",
        refund_id=f"TQ{number}",
        moment=round(stamp * 1000),
        pushed=round(stamp * 1000),
        received=stamp,
        due=stamp,
        updated=stamp,
        state=state,
        body=CANARY.encode(),
        **facts,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store with a message in each state, and one that nobody wanted."""
    path = tmp_path / "cb.sqlite"
    store = MessageStore(path)
    store.begin(durable=True)
    for number, state in enumerate(MessageState):
        store.add(
            entry(number, state, note="KeyError in shop.refunds" if state is MessageState.DEAD else None), 0.0
        )
    store.add(entry(9, MessageState.HANDLING), 0.0)
    (nobodys,) = (one for one in store.find() if one.refund_id == "TQ9")
    store.finish(
        nobodys.seq, MessageState.DONE, nobodys.updated, due=0.0, finished=[], note=NO_HANDLER, unhandled=True
    )
    store.commit()
    store.close()
    return path


def command(*arguments: str) -> tuple[int, list[dict[str, Any]], str]:
    """Exit code, the lines of JSON on stdout, and stderr."""
    result = contextvars.copy_context().run(CliRunner().invoke, callbacks_app, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    rows = [json.loads(line) for line in result.stdout.splitlines() if line.startswith("{")]
    return result.exit_code, rows, result.stderr


def test_list_shows_what_came_and_where_it_stands(path: Path) -> None:
    code, rows, said = command("list", "--store", str(path))
    assert code == 0
    assert [row["refund_id"] for row in rows] == ["TQ9", "TQ3", "TQ2", "TQ1", "TQ0"]
    assert rows[1] == {
        "id": hashlib.sha256(b"3").hexdigest(),
        "state": "dead",
        "platform": "1688",
        "type": "1688_X_REFUND",
        "order_id": None,
        "refund_id": "TQ3",
        "attempts": 0,
        "copies": 0,
        "note": "KeyError in shop.refunds",
        "received": "2023-11-14T22:13:23+00:00",
    }
    assert "1 pending, 1 handling, 2 done, 1 dead" in said
    assert CANARY not in str(rows) + said


def test_list_can_be_narrowed(path: Path) -> None:
    assert [row["refund_id"] for row in command("list", "--store", str(path), "--state", "dead")[1]] == [
        "TQ3"
    ]
    assert [row["refund_id"] for row in command("list", "--store", str(path), "--unhandled")[1]] == ["TQ9"]
    assert len(command("list", "--store", str(path), "--limit", "2")[1]) == 2
    (counts,) = command("list", "--store", str(path), "--counts")[1]
    assert counts == {"pending": 1, "handling": 1, "done": 2, "dead": 1}


def test_replay_puts_back_what_is_named(path: Path) -> None:
    beginning = hashlib.sha256(b"9").hexdigest()[:8]
    assert command("replay", beginning, "--store", str(path))[0] == 0
    assert command("replay", "--dead", "--store", str(path))[0] == 0
    (counts,) = command("list", "--store", str(path), "--counts")[1]
    assert counts == {"pending": 3, "handling": 1, "done": 1, "dead": 0}
    code, _, said = command("replay", beginning, "--store", str(path))
    assert code == 1  # it waits already
    assert "0 messages" in said


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (("replay",), "by their ids, or use --dead"),
        (("replay", "abc", "--dead"), "by their ids, or use --dead"),
        (("replay", "zz"), "no message id begins with zz"),
        (("list", "--store", "nowhere.sqlite"), "nowhere.sqlite"),
        (("list", "--state", "lost"), "lost"),
        (("send", "--type", "X"), "use both or neither"),
        (("send", "--order-id", "A1"), "'A1' is not a number"),
        (("serve", "--handlers", "no.such.module:register"), "no.such.module"),
        (("serve", "--handlers", "json:nothing"), "json:nothing"),
        (("serve", "--handlers", "json:__name__"), "not a function"),
    ],
)
def test_a_wrong_call_is_explained(
    path: Path, arguments: tuple[str, ...], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANDAPON_CALLBACKS", str(path))
    monkeypatch.setenv("PANDAPON_ACCESS_KEY", "key")
    monkeypatch.setenv("PANDAPON_ACCESS_SECRET", "secret")
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "path", list(sys.path))
    code, _, said = command(*arguments)
    assert code == 2
    assert wrong in said


def test_a_damaged_store_is_named_with_what_helps(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shell = Shell(monkeypatch, capsys, path.parent)
    content = path.read_bytes()
    for spoilt in (content.replace(b"pending", b"pendinx"), content[:5000], b"no database" * 99):
        path.write_bytes(spoilt)
        for command in (("list",), ("list", "--counts"), ("replay", "--dead")):
            ended = shell("callbacks", *command, "--store", str(path))
            if ended.code == 0:
                assert command == ("replay", "--dead")  # which reads none of what was changed
                continue
            assert ended.code == 2, ended.err
            assert f"the callbacks store {path} cannot be" in ended.err
            assert "move it away with its -wal" in ended.err


def test_serving_without_a_secret_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("PANDAPON_ACCESS_KEY", "PANDAPON_ACCESS_SECRET"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="PANDAPON_ACCESS_SECRET"):
        command("serve")


@asynccontextmanager
async def serving(store: Path, *arguments: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    """`serve` as a process, and its url; it does not outlive the test."""
    pipe = asyncio.subprocess.PIPE
    environment = {
        **os.environ,
        "PANDAPON_ACCESS_KEY": "key",
        "PANDAPON_ACCESS_SECRET": "new-secret",
        "PANDAPON_OLD_ACCESS_SECRETS": "old-secret older-secret",
    }
    given = ("serve", "--port", "0", "--store", str(store), *arguments)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUN, *given, stdout=pipe, stderr=pipe, env=environment
    )
    try:
        assert process.stderr is not None
        said = b""
        while b"receiving at" not in said:
            said = await process.stderr.readline()
            assert said
        yield said.decode().split("receiving at ")[1].split(",")[0], process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


def push(refund: str, secret: str) -> dict[str, Any]:
    frame = {
        "messageType": "1688_X_REFUND",
        "messagePlatform": 1,
        "timestamp": str(round(time.time() * 1000)),
    }
    body = json.dumps({**frame, "messageBody": {"refundId": refund, "phone": CANARY}}).encode()
    signature = hmac.new(secret.encode(), b"key" + body, hashlib.sha256).hexdigest()
    return {"data": body, "headers": {"Authorization": signature}}


async def test_serve_prints_each_message_as_a_line_and_ends_on_a_signal(tmp_path: Path) -> None:
    async with serving(tmp_path / "cb.sqlite", "--path", "/in") as (url, process), ClientSession() as session:
        assert url.endswith("/in")
        statuses = []
        for refund, secret in (("TQ1", "new-secret"), ("TQ2", "old-secret"), ("TQ3", "lost-secret")):
            async with session.post(url, **push(refund, secret)) as answer:
                statuses.append(answer.status)
        assert statuses == [200, 200, 401]
        async with session.get(url) as answer:
            assert answer.status == 200
        assert process.stdout is not None
        lines = [json.loads(await process.stdout.readline()) for _ in range(2)]
        process.send_signal(signal.SIGTERM)
        _, said = await process.communicate()
    assert process.returncode == 0
    assert {line["refund_id"] for line in lines} == {"TQ1", "TQ2"}
    assert lines[0]["kind"] == "refund"
    assert CANARY not in str(lines)
    assert "body" not in lines[0]
    assert CANARY.encode() not in said
    assert b"secret" not in said


async def test_serve_with_handlers_of_ones_own_and_a_replay_from_outside(tmp_path: Path) -> None:
    store = tmp_path / "cb.sqlite"
    handlers = ("--handlers", "tests.test_callbacks_command:register", "--settle", "--verifying")
    async with serving(store, *handlers) as (url, process), ClientSession() as session:
        async with session.post(url, data=b"anything at all") as answer:
            assert answer.status == 200
        async with session.post(url, **push("TQ1", "new-secret")) as answer:
            assert answer.status == 200
        assert process.stdout is not None
        assert await process.stdout.readline() == b"HANDLED TQ1\n"
        await asyncio.sleep(0.05)
        opened = MessageStore(store)
        (record,) = opened.find()
        opened.close()
        assert record.state is MessageState.DONE
        code, _, _ = await asyncio.to_thread(command, "replay", record.id[:10], "--store", str(store))
        assert code == 0
        assert await process.stdout.readline() == b"HANDLED TQ1\n"
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 0


async def test_send_tries_a_receiver_and_says_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Signed as the vendor signs: taken, refused with the reason, not found, not there."""
    shell = Shell(monkeypatch, capsys, tmp_path)
    credentials = Credentials("key", "secret", "1")
    for name in ("ACCESS_KEY", "ACCESS_SECRET"):
        monkeypatch.setenv(f"PANDAPON_{name}", getattr(credentials, name.lower()))
    receiver = Receiver(credentials, store=":memory:")
    seen: list[Message] = []
    both = asyncio.Event()

    @receiver.on()
    async def see(message: Message) -> None:
        seen.append(message)
        if len(seen) == 2:
            both.set()

    runner = web.AppRunner(receiver.aiohttp_app("/here"))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/here"
    try:
        taken = await shell.beside(
            "callbacks", "send", url, "--refund-id", "TQ7", "--status", "refundsuccess"
        )
        assert taken.code == 0, taken
        assert (told := json.loads(taken.out))["status"] == 200
        other = await shell.beside(
            "callbacks", "send", url, "--platform", "taobao", "--type", "NEW", "--body", '{"orderId": 5}'
        )
        assert other.code == 0, other
        await both.wait()
        assert [(one.id, one.platform, one.type, one.refund_id) for one in seen] == [
            (told["id"], "1688", told["type"], "TQ7"),
            (json.loads(other.out)["id"], "taobao", "NEW", None),
        ]
        refused = await shell.beside("callbacks", "send", url, "--wrong-signature")
        assert (refused.code, json.loads(refused.out)["answer"]) == (1, "wrong_signature")
        assert "the same PANDAPON_ACCESS_KEY" in refused.err
        monkeypatch.setenv("PANDAPON_CALLBACK_BASE", "body")
        assert json.loads((await shell.beside("callbacks", "send", url)).out)["answer"] == "signed_otherwise"
        lost = await shell.beside("callbacks", "send", url[:-1])
        tls = await shell.beside("callbacks", "send", url.replace("http:", "https:"))
        assert (tls.code, "no TLS with https://127.0.0.1:" in tls.err) == (3, True), tls
        assert (lost.code, json.loads(lost.out)["status"]) == (1, 404)
        assert "compare it with the receiver's" in lost.err
    finally:
        await runner.cleanup()
    for wrong, told in (
        ("nowhere", "nowhere is not a URL of a receiver; write http://HOST:PORT/PATH"),
        ("ftp://127.0.0.1/x?token=canary-token", "ftp://127.0.0.1/x is not a URL"),
        ("http://[::1/x", "is not a URL of a receiver"),
        ("http://user:canary-password@127.0.0.1/x", "the URL must name no user"),
        ("http://user:canary-password@", "the URL must name no user"),
    ):
        refused = await shell.beside("callbacks", "send", wrong)
        assert (refused.code, told in refused.err) == (2, True), refused
        assert "canary" not in refused.out + refused.err
    gone = await shell.beside("callbacks", "send", url)
    assert gone.code == 3
    assert f"no answer from {url}" in gone.err
