"""Messages and kill -9: the sandbox pushes, with duplicates and disorder, and the receiver dies now and then.

The receiver is `pandapon callbacks serve` in a process of its own. What counts is what its handler did:
every message at least once, its effect once, nothing earlier after something later without being told.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import socket
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import attrs
import pytest

from pandapon_async.callbacks import Message, MessageState, MessageStore, Receiver
from pandapon_async.clock import Clock
from pandapon_async.sandbox import Sandbox
from pandapon_async.sandbox.callbacks import CallbackSender
from tests.support.postgres import Postgres
from tests.support.stores import MessagePlace
from tests.test_callbacks_store import change

STORE = "callbacks.sqlite"
SERVE = "from pandapon_async.cli.callbacks import callbacks_app; callbacks_app()"
STEPS = {
    "waitselleragree": "waitbuyersend", "waitbuyermodify": "waitselleragree",
    "waitbuyersend": "waitsellerreceive", "waitsellerreceive": "refundsuccess",
    0: 10, 10: 20, 20: 30, 30: 100, -10: 10,
}  # fmt: skip
EFFECTS = """
CREATE TABLE IF NOT EXISTS effects (
    id TEXT PRIMARY KEY, key TEXT, moment INTEGER, pushed INTEGER, told TEXT, calls INTEGER, last INTEGER
)
"""


def register(receiver: Receiver) -> None:
    """What the receiver's process calls: a handler that writes its effect once, and fails now and then."""
    effects = sqlite3.connect(os.environ["EFFECTS"], isolation_level=None)
    effects.execute("PRAGMA journal_mode = WAL")
    effects.execute("PRAGMA synchronous = NORMAL")
    effects.execute(EFFECTS)
    effects.execute("CREATE INDEX IF NOT EXISTS by_last ON effects (last)")

    @receiver.on()
    async def enter(message: Message) -> None:
        if message.attempt == 1 and int(message.id[:2], 16) < 5:
            raise RuntimeError("two in a hundred fail at first")
        assert message.moment is not None
        assert message.timestamp is not None
        effects.execute(
            "INSERT INTO effects VALUES (?, ?, ?, ?, ?, 1,"
            " (SELECT coalesce(max(last), 0) + 1 FROM effects))"
            " ON CONFLICT (id) DO UPDATE SET calls = calls + 1, told = excluded.told, last = excluded.last",
            (
                message.id,
                message.key,
                round(message.moment.timestamp() * 1000),
                round(message.timestamp.timestamp() * 1000),
                str(message.order),
            ),
        )


class Balanced(CallbackSender):
    """Pushes to several receivers in turn, as what stands in front of them does."""

    def __init__(self, sandbox: Sandbox, urls: list[str], **options: Any) -> None:
        super().__init__(sandbox, urls[0], **options)
        self._urls = itertools.cycle(urls)

    async def _post(self, body: bytes) -> int | None:
        self._url = next(self._urls)
        return await super()._post(body)


class Hurried(Clock):
    """Half an hour of the vendor's schedule passes in a moment."""

    def __init__(self, half_hour: float) -> None:
        self.factor = half_hour / 1800.0

    def call_later(self, seconds: float, callback: Callable[[], Any]) -> asyncio.TimerHandle:
        return super().call_later(seconds * self.factor, callback)


class Process:
    """The receiver in a process of its own."""

    def __init__(self, folder: Path, sandbox: Sandbox, shared: str | None = None) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._store = {"PANDAPON_CALLBACKS": str(folder / STORE)}
        if shared is not None:
            self._store = {"PANDAPON_SHARED": shared}
        self.url = f"http://127.0.0.1:{self.port}/pandapon"
        self._folder = folder
        self._sandbox = sandbox
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.end(signal.SIGTERM)

    async def start(self) -> None:
        credentials = self._sandbox.credentials
        arguments = ("serve", "--port", str(self.port))
        handlers = ("--handlers", "tests.test_callbacks_kill:register")
        environment = {
            **os.environ,
            **self._store,
            "EFFECTS": str(self._folder / "effects.sqlite"),
            "PANDAPON_ACCESS_KEY": credentials.access_key,
            "PANDAPON_ACCESS_SECRET": credentials.access_secret,
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-c",
            SERVE,
            *arguments,
            *handlers,
            env=environment,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            if b"receiving at" in line:
                self._drained = asyncio.ensure_future(self._process.stderr.read())
                return
        raise AssertionError("the receiver did not start")

    async def end(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)
            await self._process.wait()
            await self._drained


def changes(sandbox: Sandbox, refunds: int) -> Iterator[Callable[[], object]]:
    """Steps of the refunds, three of each a tenth of a second apart, so that they overtake each other."""
    for first in range(0, refunds, 100):
        for number in [*range(first, first + 100)] * 3:
            step = STEPS.get(sandbox.refund(number).status)
            if step is not None:
                yield lambda number=number, step=step: sandbox.advance(number, step)  # type: ignore[misc]


@attrs.define
class Run:
    """What happened: the deliveries' times in seconds, the effects, what the store holds at the end."""

    sender: CallbackSender
    rate: float
    effects: list[tuple[str, str, int, int, str, int]]
    counts: dict[MessageState, int]
    restarts: int


async def run(
    folder: Path, *, messages: int, refunds: int, kills: int, half_hour: float, shared: str | None = None
) -> Run:
    """`messages` at 500 a second, a receiver killed and restarted at even distances.

    With a shared database there are two of them.
    """
    async with Sandbox(refunds=refunds, log_limit=0) as sandbox, contextlib.AsyncExitStack() as running:
        processes = [Process(folder, sandbox, shared) for _ in range(1 if shared is None else 2)]
        process = processes[0]
        sender = Balanced(
            sandbox,
            [one.url for one in processes],
            duplicates=0.1,
            disorder=0.1,
            hold=900.0,
            clock=Hurried(half_hour),
        )
        kill_at = {messages * (kill + 1) // (kills + 1) for kill in range(kills)}
        restarting: list[asyncio.Task[None]] = []
        steps = changes(sandbox, refunds)

        async def restart() -> None:
            await process.end(signal.SIGKILL)
            await process.start()

        for one in processes:
            await running.enter_async_context(one)
        async with sender:
            begun = time.monotonic()
            for number in range(messages):
                next(steps)()
                if number in kill_at:
                    restarting.append(asyncio.ensure_future(restart()))
                if number % 5 == 4:
                    sender.catch_up()
                    await asyncio.sleep(max(0.0, begun + number / 500 - time.monotonic()))
            rate = messages / (time.monotonic() - begun)
            await asyncio.gather(*restarting)
            await sender.drain()
            counts = await counts_at_the_end(folder / STORE, shared)
    effects = sqlite3.connect(folder / "effects.sqlite")
    rows = effects.execute(
        "SELECT id, key, moment, pushed, told, calls FROM effects ORDER BY last"
    ).fetchall()
    effects.close()
    return Run(sender, rate, rows, counts, len(restarting))


async def counts_at_the_end(path: Path, shared: str | None) -> dict[MessageState, int]:
    """When nothing is left to be handled."""
    place = MessagePlace(shared)
    store: MessageStore = MessageStore(path) if shared is None else place.another()
    try:
        while True:
            counts = await asyncio.to_thread(counts_of, store)
            if not counts[MessageState.PENDING] and not counts[MessageState.HANDLING]:
                return counts
            await asyncio.sleep(0.2)
    finally:
        await asyncio.to_thread(store.close)


def counts_of(store: MessageStore) -> dict[MessageState, int]:
    with change(store):
        return store.counts()


def check(run: Run, messages: int) -> None:
    sent = {delivery.digest for delivery in run.sender.log}
    assert run.sender.created == messages
    assert len(sent) == messages
    assert run.sender.lost == []
    assert any(delivery.copy for delivery in run.sender.log)
    assert {row[0] for row in run.effects} == sent  # each at least once
    assert len(run.effects) == messages  # its effect once, however often it was called
    assert run.counts == {
        MessageState.DONE: messages,
        MessageState.PENDING: 0,
        MessageState.HANDLING: 0,
        MessageState.DEAD: 0,
    }
    latest: dict[str, tuple[int, int]] = {}
    for _, key, moment, pushed, told, _ in run.effects:
        if (moment, pushed) < latest.get(key, (0, 0)):
            assert told == "late"
        latest[key] = max((moment, pushed), latest.get(key, (0, 0)))


def figures(run: Run) -> str:
    taken = sorted(delivery.seconds * 1000 for delivery in run.sender.log if delivery.status == 200)
    failed = sum(delivery.status != 200 for delivery in run.sender.log)
    again = sum(row[5] - 1 for row in run.effects)
    late = sum(row[4] == "late" for row in run.effects)
    return (
        f"{run.rate:.0f} a second, {len(run.sender.log)} deliveries, {failed} not answered with 200, "
        f"{run.restarts} kills, {again} handled again, {late} told to be late; answers in ms: "
        f"median {taken[len(taken) // 2]:.1f}, p99 {taken[len(taken) * 99 // 100]:.1f}, "
        f"p99.9 {taken[len(taken) * 999 // 1000]:.1f}, longest {taken[-1]:.1f}"
    )


@pytest.fixture(params=["file", pytest.param("database", marks=pytest.mark.nightly)])
async def shared(request: pytest.FixtureRequest) -> str | None:
    """Where the messages are: None is a file."""
    if request.param == "file":
        return None
    postgres: Postgres = request.getfixturevalue("postgres")
    return await postgres.empty()


async def test_300_messages_and_one_kill(tmp_path: Path, shared: str | None) -> None:
    result = await run(tmp_path, messages=300, refunds=600, kills=1, half_hour=2.0, shared=shared)
    print(figures(result))
    check(result, 300)
    assert any(delivery.status is None for delivery in result.sender.log)  # the kill was felt


@pytest.mark.nightly
@pytest.mark.timeout(300)
async def test_10_000_messages_and_three_kills(tmp_path: Path, shared: str | None) -> None:
    result = await run(tmp_path, messages=10_000, refunds=12_000, kills=3, half_hour=2.0, shared=shared)
    print(figures(result))
    check(result, 10_000)
    taken = sorted(delivery.seconds for delivery in result.sender.log if delivery.status == 200)
    assert taken[len(taken) * 99 // 100] < 1.0  # the vendor's patience; the figure itself is printed


@pytest.mark.nightly
@pytest.mark.timeout(900)
async def test_100_000_messages_to_two_receivers_and_three_kills(tmp_path: Path, postgres: Postgres) -> None:
    address = await postgres.empty()
    result = await run(tmp_path, messages=100_000, refunds=110_000, kills=3, half_hour=4.0, shared=address)
    print(figures(result))
    check(result, 100_000)
