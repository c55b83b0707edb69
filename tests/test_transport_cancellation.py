"""Cancellation at every await: it goes through at once and leaves nothing taken, open or undecided."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Client, Safety, bulk
from pandapon_async.transport.store import IntentState
from pandapon_async.transport.upload import ImageBody
from tests.support import faults
from tests.support.blocking import nothing_blocks  # noqa: F401
from tests.support.clients import JPEG, at_rest, client
from tests.support.faults import sent
from tests.support.server import Behaviour, FaultServer, answer, envelope, http, ok
from tests.support.sweep import AFTER, BEFORE, Cancelling, left_behind, sweep
from tests.support.virtual import run

Act = Callable[[Client], Coroutine[Any, Any, Any]]
VOUCHER = answer(http(envelope({"imageDomain": "https://x", "imageRelativeUrl": "a.jpg"})))
THROTTLE = sent(http(b"", "429 Too Many"))


def scene(
    act: Act,
    *behaviours: Behaviour,
    then: Behaviour | None = None,
    warm: bool = False,
    refused: int = 0,
    **changes: Any,
) -> Any:
    """A server and a client with three slots; the end checks that all is as it was before."""

    @contextlib.asynccontextmanager
    async def play() -> AsyncIterator[Coroutine[Any, Any, Any]]:
        async with FaultServer(then=then) as server, client(server.url, concurrency=3, **changes) as pandapon:
            if warm:
                await pandapon.request("POST", "/warm", safety=Safety.READ)
            server.on_next(*behaviours)
            seen = len(server.requests)
            yield act(pandapon)
            assert await left_behind() == set()
            at_rest(pandapon, idle=3)
            await settled(pandapon, server, seen + refused)
            server._behaviours.clear()
            server._then = ok()
            assert await pandapon.request("POST", "/after", safety=Safety.READ) == {"success": True}
        assert await left_behind() == set()

    return play


async def settled(pandapon: Client, server: FaultServer, before: int) -> None:
    """Every intent of a write is decided, and none that the server saw says that it was not sent."""
    await asyncio.sleep(1)  # for what the server still reads
    for intent in await pandapon._pipeline.journal.find():
        assert intent.state not in (IntentState.INTENDED, IntentState.SENT), intent.state
        if len(server.requests) > before:
            assert intent.state in (IntentState.UNKNOWN, IntentState.CONFIRMED), intent.state


async def read(pandapon: Client) -> Any:
    return await pandapon.request("POST", "/thing", json={"a": 1}, safety=Safety.READ)


async def write(pandapon: Client) -> Any:
    return await pandapon.request("POST", "/thing", json={"a": 1}, safety=Safety.ONCE)


async def upload(pandapon: Client) -> Any:
    return await pandapon.v2.alibaba.refunds.upload_voucher(image=JPEG)


async def crowd(pandapon: Client) -> Any:
    """One call of many that compete for the slots."""
    others = [asyncio.ensure_future(read(pandapon)) for _ in range(5)]
    try:
        await asyncio.sleep(0)
        return await read(pandapon)
    finally:
        await asyncio.gather(*others)


async def pages(pandapon: Client) -> Any:
    return [refund async for refund in pandapon.v1.taobao.refunds.pages(page_size=1)]


async def many(pandapon: Client) -> Any:
    results = bulk.run(
        lambda number: pandapon.request("POST", f"/{number}", safety=Safety.READ), range(6), concurrency=2
    )
    async with contextlib.aclosing(results):
        return [result async for result in results]


PAGES = [answer(http(envelope({"list": [{"currency": name}], "total": 2}))) for name in ("CNY", "EUR")]


SWEEPS = {
    "call": (scene(read), 3),
    "kept alive": (scene(read, warm=True), 1),
    "retries": (scene(read, faults.close_before_answer, faults.reset_before_answer), 6),
    "throttled": (scene(read, THROTTLE, THROTTLE, rate=5), 6),
    "write": (scene(write), 6),
    "write again": (scene(write, THROTTLE, warm=True, refused=1), 8),
    "upload": (scene(upload, then=VOUCHER), 4),
    "upload again": (scene(upload, faults.close_before_answer, THROTTLE, then=VOUCHER), 8),
    "crowd": (scene(crowd, rate=10), 4),
    "pages": (scene(pages, *PAGES), 3),
    "bulk": (scene(many), 4),
}


@pytest.mark.parametrize("name", SWEEPS)
def test_cancelled_at_every_await(name: str) -> None:
    play, at_least = SWEEPS[name]
    assert sweep(play) >= at_least


@pytest.mark.parametrize("moment", [BEFORE, AFTER])
def test_bulk_work_cancelled_at_every_await_of_its_workers(moment: str) -> None:
    async def scenario(at: int) -> bool:
        async with FaultServer() as server, client(server.url, concurrency=2, rate=50) as pandapon:
            async with asyncio.timeout(60):
                consumer = asyncio.ensure_future(_consume(pandapon, at))
                await asyncio.wait([consumer])
            assert await left_behind() == set()
            at_rest(pandapon, idle=3)
            return consumer.cancelled()

    async def _consume(pandapon: Client, at: int) -> None:
        me = asyncio.current_task()

        async def operation(number: int) -> None:
            await Cancelling(read(pandapon), at if number == 3 else 0, moment, me)

        async for result in bulk.run(operation, range(9), concurrency=3):
            assert isinstance(result, bulk.Done)

    reached = [run(scenario(at)) for at in range(1, 12)]
    assert reached[:2] == [True, True]
    assert not reached[-1]


@pytest.mark.parametrize("step", range(1, 8))
def test_an_upload_cancelled_at_any_piece_leaves_no_file_open(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "proof.jpg"
    path.write_bytes(JPEG + bytes(1_000_000))
    pieces = 0
    uploading: list[asyncio.Task[Any]] = []
    original = ImageBody._read

    async def counted(body: ImageBody, *arguments: Any) -> Any:
        nonlocal pieces
        pieces += 1
        if pieces == step:
            uploading[0].cancel()
        return await original(body, *arguments)

    monkeypatch.setattr(ImageBody, "_read", counted)

    async def scenario() -> None:
        async with FaultServer(then=VOUCHER) as server, client(server.url) as pandapon:
            uploading.append(asyncio.create_task(pandapon.v2.alibaba.refunds.upload_voucher(image=path)))
            await asyncio.wait(uploading)
            assert uploading[0].cancelled() is (step <= 6)
            assert await left_behind() == set()
            at_rest(pandapon)
            assert len(server.requests) <= 1

    run(scenario())
    gc.collect()  # a file left open would warn now
    opened = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert path not in opened


def test_the_clients_own_tasks_are_cancelled_as_others_are() -> None:
    """`asyncio.timeout` and task groups need a cancellation to come out as it went in."""

    async def scenario() -> None:
        async with FaultServer(then=faults.half_open) as server, client(server.url) as pandapon:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(3):
                    await read(pandapon)
            tasks: list[asyncio.Task[Any]] = []
            with pytest.raises(ExceptionGroup) as caught:
                await _group(tasks, pandapon)
            assert len(tasks) == 5
            assert all(task.cancelled() for task in tasks)
            assert caught.group_contains(LookupError)
            assert await left_behind() == set()
            at_rest(pandapon)

    async def _group(tasks: list[asyncio.Task[Any]], pandapon: Client) -> None:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(read(pandapon)) for _ in range(5)]
            group.create_task(_fail())

    async def _fail() -> None:
        await asyncio.sleep(1)
        raise LookupError

    run(scenario())
