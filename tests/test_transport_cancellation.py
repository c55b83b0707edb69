"""Cancellation at every await: it goes through at once and leaves nothing taken, open or undecided.

With `-s` the sweeps print what they counted; `python -m tests.hardening` writes it into docs/hardening.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import hashlib
import hmac
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import Client, Codes, DuplicateIntentError, OutcomeUnknownError, Safety, bulk, plans
from pandapon_async.callbacks import CallbackSettings, Receiver
from pandapon_async.journal.intent import IntentState
from pandapon_async.reconcile import reconcile
from pandapon_async.sandbox import Sandbox
from pandapon_async.transport.image_body import ImageBody
from tests.support import faults, plan_files
from tests.support.bench import Bench, FreshClock
from tests.support.bench import bench as plan_of
from tests.support.clients import CREDENTIALS, JPEG, KEY, SECRET, at_rest, client
from tests.support.faults import sent
from tests.support.journals import noted
from tests.support.scenes import Stage, measure
from tests.support.server import Behaviour, FaultServer, answer, envelope, http, ok
from tests.support.sweep import AFTER, BEFORE, Cancelling, left_behind
from tests.support.virtual import run

PAGE = Path(__file__).parent.parent / "docs" / "hardening.md"
Scene = Callable[[Stage], Any]
Act = Callable[[Client], Coroutine[Any, Any, Any]]
VOUCHER = answer(http(envelope({"imageDomain": "https://x", "imageRelativeUrl": "a.jpg"})))
THROTTLE = sent(http(b"", "429 Too Many"))


def scene(
    act: Act,
    *behaviours: Behaviour,
    then: Behaviour | None = None,
    warm: bool = False,
    refused: int = 0,
    on_disk: bool = False,
    **changes: Any,
) -> Scene:
    """A server and a client with three slots; the end checks that all is as it was before."""

    def at(stage: Stage) -> Any:
        @contextlib.asynccontextmanager
        async def play() -> AsyncIterator[Coroutine[Any, Any, Any]]:
            given = {"concurrency": 3, **changes}
            if on_disk:
                given["journal"] = await asyncio.to_thread(stage.folder) / "journal.sqlite"
            else:
                stage.plays += 1
            async with FaultServer(then=then) as server, client(server.url, **given) as pandapon:
                if warm:
                    await pandapon.request("POST", "/warm", safety=Safety.READ)
                server.on_next(*behaviours)
                seen = len(server.requests)
                yield act(pandapon)
                await stage.tasks()
                stage.count(pandapon)
                at_rest(pandapon, idle=3)
                await settled(pandapon, server, seen + refused)
                server._behaviours.clear()
                server._then = ok()
                assert await pandapon.request("POST", "/after", safety=Safety.READ) == {"success": True}
            await stage.tasks()

        return play

    return at


async def settled(pandapon: Client, server: FaultServer, before: int) -> None:
    """Every intent of a write is decided, and none that the server saw says that it was not sent."""
    await asyncio.sleep(1)  # for what the server still reads
    for intent in await pandapon._pipeline.journal.find():
        assert intent.state not in (IntentState.INTENDED, IntentState.SENT), intent.state
        if len(server.requests) > before:
            assert intent.state is not IntentState.NOT_SENT


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


async def permits(pandapon: Client) -> Any:
    """The limiter alone, between others that wait for it."""
    others = [asyncio.ensure_future(pandapon.limiter.acquire()) for _ in range(2)]
    try:
        await asyncio.sleep(0)
        await pandapon.limiter.acquire()
        await pandapon.limiter.acquire()
    finally:
        await asyncio.gather(*others)


async def books(pandapon: Client) -> Any:
    """The journal alone: a write from its first note to its last, and every question about it."""
    journal = pandapon.journal
    key = {"refund_id": "1"}
    intent = await noted(journal, natural_key=key, once=True)
    try:
        await journal.sending(intent)
    finally:
        await journal.resolve(intent.id, IntentState.CONFIRMED, result="1")
    with pytest.raises(DuplicateIntentError):
        await noted(journal, natural_key=key, once=True)
    return [await journal.get(intent.id), await journal.find(), await journal.counts()]


async def found_out(pandapon: Client) -> Any:
    """A write whose answer is lost, and the look at the state that settles it."""
    with pytest.raises(OutcomeUnknownError) as caught:
        await pandapon.v1.taobao.refunds.cancel(refund_id="110000235001")
    return await pandapon.resolve(caught.value.intent_id or "")


LINES = 3


def reconciling(stage: Stage) -> Any:
    """The nightly job; run again after it was cancelled, it judges every row."""

    @contextlib.asynccontextmanager
    async def play() -> AsyncIterator[Coroutine[Any, Any, Any]]:
        folder = await asyncio.to_thread(stage.folder)
        async with Sandbox(refunds=20, seed=7, clock=FreshClock(), sleep=asyncio.sleep) as server:
            rows = list(server.ledger_rows(LINES))
            ledger = await asyncio.to_thread(plan_files.write_table, folder / "ledger.csv", rows)
            bench = Bench(server, folder, "returns")
            async with bench.client(concurrency=3) as pandapon:
                yield reconcile(pandapon, ledger, folder / "out")
                stage.count(pandapon)
                at_rest(pandapon)
                summary = await reconcile(pandapon, ledger, folder / "out")
                assert summary.rows == LINES
                assert sum(summary.verdicts.values()) == LINES
        await stage.tasks()

    return play


def planning_it(stage: Stage) -> Any:
    """Making a plan; cancelled, it leaves none behind, and can be made again."""

    @contextlib.asynccontextmanager
    async def play() -> AsyncIterator[Coroutine[Any, Any, Any]]:
        folder = await asyncio.to_thread(stage.folder)
        async with Sandbox(refunds=600, seed=4, clock=FreshClock(), sleep=asyncio.sleep) as server:
            rows = plan_files.return_rows(plan_files.returnable(server, LINES))
            path = await asyncio.to_thread(plan_files.write_table, folder / "table.csv", rows)
            bench = Bench(server, folder, "returns")
            async with bench.client(concurrency=3) as pandapon:
                yield plans.create(pandapon, "returns", path, bench.plan)
                stage.count(pandapon)
                at_rest(pandapon)
                await pandapon.journal.aclose()  # a cancelled opening of it ends on its own thread
                await asyncio.to_thread(bench.plan.unlink, missing_ok=True)
                names = {item.name for item in await asyncio.to_thread(lambda: list(folder.iterdir()))}
                assert names <= {"table.csv", "journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"}
                await plans.create(pandapon, "returns", path, bench.plan)
        await stage.tasks()

    return play


def applying(stage: Stage) -> Any:
    """Carrying a plan out; whenever it was cancelled, in the end every row was carried out once."""

    @contextlib.asynccontextmanager
    async def play() -> AsyncIterator[Coroutine[Any, Any, Any]]:
        folder = await asyncio.to_thread(stage.folder)
        async with plan_of(folder, rows=2, offline=True) as made:
            async with made.client(concurrency=3) as pandapon:
                yield plans.apply(pandapon, made.plan)
                stage.count(pandapon)
                at_rest(pandapon)
            applied = await made.apply(resend_absent=True)
            assert applied.exit_code == 0
            assert list(made.succeeded.values()) == [1, 1]
        await stage.tasks()

    return play


def receiving(stage: Stage) -> Any:
    """A push; whenever it was cancelled, the vendor's second push of it is answered, and it is there once."""

    @contextlib.asynccontextmanager
    async def play() -> AsyncIterator[Coroutine[Any, Any, Any]]:
        folder = await asyncio.to_thread(stage.folder)
        clock = FreshClock()
        path = folder / "callbacks.sqlite"
        async with Receiver(CREDENTIALS, CallbackSettings(order_window=0), store=path, clock=clock) as house:
            stamp = round(clock.wall() * 1000)
            body = b'{"messageType":"1688_X","timestamp":"%d","messageBody":{"refundId":"TQ1"}}' % stamp
            signed = hmac.new(SECRET.encode(), KEY.encode() + body, hashlib.sha256).hexdigest()
            handled: list[str] = []
            house.on()(lambda message: handled.append(message.id))
            yield house.receive(body, signed)
            assert (await house.receive(body, signed)).status == 200
            assert sum((await house.counts()).values()) == 1
            await asyncio.sleep(60)
            assert len(handled) == 1
        await stage.tasks()

    return play


PAGES = [answer(http(envelope({"list": [{"currency": name}], "total": 2}))) for name in ("CNY", "EUR")]


CLOSED = answer(
    http(envelope({"refundOrderAggregate": {"refundOrder": {"refundId": "1", "refundStatus": "-20"}}}))
)
SWEEPS: dict[str, tuple[Scene, int]] = {
    "call": (scene(read), 3),
    "call, kept alive": (scene(read, warm=True), 1),
    "call with retries": (scene(read, faults.close_before_answer, faults.reset_before_answer), 6),
    "call, throttled": (scene(read, THROTTLE, THROTTLE, rate=5), 6),
    "call in a crowd": (scene(crowd, rate=10), 4),
    "limiter": (scene(permits, rate=2), 2),
    "write": (scene(write), 6),
    "write, sent again": (scene(write, THROTTLE, warm=True, refused=1, codes=Codes(refused={"http 429"})), 7),
    "write, journal on disk": (scene(write, on_disk=True), 6),
    "write, lost and found out": (scene(found_out, faults.close_before_answer, then=CLOSED, on_disk=True), 8),
    "journal": (scene(books, on_disk=True), 6),
    "upload": (scene(upload, then=VOUCHER), 4),
    "upload, sent again": (scene(upload, faults.close_before_answer, THROTTLE, then=VOUCHER), 8),
    "pages": (scene(pages, *PAGES), 3),
    "bulk": (scene(many), 3),
    "reconcile": (reconciling, 6),
    "plan": (planning_it, 10),
    "apply": (applying, 10),
    "callbacks": (receiving, 1),
}


def test_the_page_has_these_sweeps() -> None:
    text = PAGE.read_text("utf-8").partition("<!-- cancellation -->")[2].partition("<!-- end of")[0]
    lines = [line.strip("| ").split(" | ") for line in text.strip().splitlines()[2:]]
    assert [line[0] for line in lines] == [*SWEEPS, "all"], "run `python -m tests.hardening`"
    assert lines[-1][3:] == ["0"] * 4


LONG = {"plan": 8, "apply": 14, "reconcile": 5, "callbacks": 2}
"""Of these the default suite takes one await in so many."""


def sweeps() -> Iterator[Any]:
    for name in SWEEPS:
        if name in LONG:
            yield pytest.param(name, LONG[name], id=f"{name}, one in {LONG[name]}")
        yield pytest.param(name, 1, id=name, marks=pytest.mark.nightly if name in LONG else ())


@pytest.mark.parametrize(("name", "every"), [*sweeps()])
def test_cancelled_at_every_await(name: str, every: int) -> None:
    play, at_least = SWEEPS[name]
    figures = measure(name, play, every)
    print(f"\n{figures}", end="")
    assert figures.leaks == 0, str(figures)
    assert figures.awaits >= at_least
    assert figures.cancelled >= 2 * (at_least // every)


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
    path.write_bytes(JPEG + bytes(990_000))
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
