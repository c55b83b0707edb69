"""Every item gets exactly one result, whatever goes wrong, in bounded memory and without a task left."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import (
    AuthenticationError,
    ConfigurationError,
    OutcomeUnknownError,
    Priority,
    Safety,
    bulk,
)
from pandapon_async.bulk.guard import payments_refused
from pandapon_async.transport.wait_queue import _current
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.clients import at_rest, client
from tests.support.server import FaultServer, answer, envelope, http, ok
from tests.support.sweep import left_behind
from tests.support.virtual import outcome, run, settle, virtual_time

Operation = Callable[[int], Awaitable[Any]]


class Quit(BaseException):
    """Ends a program, as KeyboardInterrupt does."""


async def double(number: int) -> int:
    return number * 2


async def later(items: Iterable[int], pause: float = 0.01) -> AsyncIterator[int]:
    for item in items:
        await asyncio.sleep(pause)
        yield item


def breaking(items: Iterable[int], error: BaseException) -> Iterator[int]:
    yield from items
    raise error


async def breaking_later(items: Iterable[int], error: BaseException) -> AsyncIterator[int]:
    async for item in later(items):
        yield item
    raise error


async def collected(
    operation: Operation, items: Any, **options: Any
) -> tuple[list[Any], BaseException | None]:
    """All results, and what the run ended with."""
    results: list[Any] = []
    try:
        async for result in bulk.run(operation, items, **options):
            results.append(result)
    except (Exception, Quit, asyncio.CancelledError) as error:
        return results, error
    return results, None


# --- one result for every item


@attrs.define
class Work:
    """What becomes of one item."""

    seconds: float
    end: str


WORK = st.builds(
    Work,
    st.sampled_from([0, 0, 0.1, 1, 3]),
    st.sampled_from(["ok", "ok", "ok", "fails", "sync", "cancelled", "no awaitable"]),
)


@given(
    works=st.lists(WORK, max_size=30),
    concurrency=st.integers(1, 9),
    ordered=st.booleans(),
    asynchronous=st.booleans(),
    breaks=st.booleans(),
    pause=st.sampled_from([0, 0.5]),
)
def test_every_item_gets_exactly_one_result(
    works: list[Work], concurrency: int, ordered: bool, asynchronous: bool, breaks: bool, pause: float
) -> None:
    def operation(number: int) -> Any:
        work = works[number]
        if work.end == "sync":
            raise ValueError(number)
        if work.end == "no awaitable":
            return number
        return carry_out(number, work)

    async def carry_out(number: int, work: Work) -> int:
        await asyncio.sleep(work.seconds)
        if work.end == "fails":
            raise LookupError(number)
        if work.end == "cancelled":
            raise asyncio.CancelledError
        return number * 2

    async def scenario() -> None:
        live: set[int] = set()

        def taken(numbers: Iterable[int]) -> Iterator[int]:
            for number in numbers:
                live.add(number)
                assert len(live) <= 4 * concurrency
                yield number

        numbers = range(len(works))
        items: Any = taken(breaking(numbers, LookupError("input")) if breaks else numbers)
        results = []
        failure: Exception | None = None
        try:
            async for result in bulk.run(
                operation, later(items) if asynchronous else items, concurrency=concurrency, ordered=ordered
            ):
                live.discard(result.item)
                results.append(result)
                await asyncio.sleep(pause)
        except LookupError as error:
            failure = error
        assert (failure is not None) is breaks
        assert sorted(result.item for result in results) == list(numbers)
        assert all(result.index == result.item for result in results)
        if ordered:
            assert [result.index for result in results] == list(numbers)
        for result in results:
            if works[result.item].end == "ok":
                assert isinstance(result, bulk.Done)
                assert result.value == result.item * 2
            else:
                assert isinstance(result, bulk.Failed)
        assert await left_behind() == set()

    run(scenario())


@pytest.mark.parametrize("items", [[], iter([]), later([]), (), {}])
@virtual_time
async def test_no_items(items: Any) -> None:
    assert await collected(double, items) == ([], None)


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Quit()])
@pytest.mark.parametrize("where", ["input", "async input", "operation"])
@virtual_time
async def test_what_ends_a_program_is_not_swallowed(where: str, error: BaseException) -> None:
    async def fatal(number: int) -> int:
        if number == 5 and where == "operation":
            raise error
        await asyncio.sleep(0.1)
        return number

    items: Any = {"input": breaking(range(5), error), "async input": breaking_later(range(5), error)}.get(
        where, range(6)
    )
    results, ended = await collected(fatal, items, concurrency=3)
    assert len([result for result in results if isinstance(result, bulk.Done)]) == 5
    if where == "operation" and isinstance(error, asyncio.CancelledError):
        # It cancelled itself, not us: one item's failure, and nobody knows how far it got.
        (failed,) = [result for result in results if isinstance(result, bulk.Failed)]
        assert isinstance(failed.error, OutcomeUnknownError)
        assert ended is None
    else:
        assert ended is error
    assert await left_behind() == set()


@virtual_time
async def test_an_error_without_truth_is_an_error() -> None:
    class Falsy(Exception):
        def __bool__(self) -> bool:
            return False

    results, ended = await collected(double, breaking(range(3), Falsy()))
    assert len(results) == 3
    assert isinstance(ended, Falsy)


@pytest.mark.parametrize("source", [breaking, breaking_later])
@pytest.mark.parametrize("concurrency", [1, 4, 50])
@virtual_time
async def test_an_input_that_breaks_loses_nothing_from_before(source: Any, concurrency: int) -> None:
    results, ended = await collected(
        double, source(range(20), OSError("disk")), concurrency=concurrency, ordered=True
    )
    assert [result.item for result in results] == list(range(20))
    assert isinstance(ended, OSError)


# --- order, window, pace of the consumer


@virtual_time
async def test_ordered_and_as_they_finish() -> None:
    async def slow_first(number: int) -> int:
        await asyncio.sleep(10 - number)
        return number

    results, _ = await collected(slow_first, range(5), concurrency=5)
    assert [result.item for result in results] == [4, 3, 2, 1, 0]
    results, _ = await collected(slow_first, range(5), concurrency=5, ordered=True)
    assert [result.item for result in results] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("ordered", [False, True])
@virtual_time
async def test_the_window_holds_with_a_slow_consumer_and_an_endless_input(ordered: bool) -> None:
    taken = done = under_way = 0

    def endless() -> Iterator[int]:
        nonlocal taken
        for number in itertools.count():
            taken += 1
            yield number

    async def operation(number: int) -> int:
        nonlocal under_way
        under_way += 1
        assert under_way <= 5
        await asyncio.sleep(0.01 if number else 30)
        under_way -= 1
        return number

    results = bulk.run(operation, endless(), concurrency=5, ordered=ordered)
    async with contextlib.aclosing(results):
        async for _ in results:
            done += 1
            await asyncio.sleep(1)
            assert taken - done <= 20
            if done == 100:
                break
    assert await left_behind() == set()


@virtual_time
async def test_one_at_a_time() -> None:
    running = 0

    async def alone(number: int) -> int:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(1)
        running -= 1
        return number

    results, _ = await collected(alone, range(10), concurrency=1)
    assert [result.item for result in results] == list(range(10))
    assert asyncio.get_running_loop().time() == 1010


@virtual_time
async def test_a_pool_works_at_full_width() -> None:
    async def second(number: int) -> None:
        await asyncio.sleep(1)

    await collected(second, range(1000), concurrency=100)
    assert asyncio.get_running_loop().time() == 1010


# --- what a failure does


async def third_fails(number: int) -> int:
    await asyncio.sleep(0.1 * number)
    if number in (3, 4):
        raise LookupError(number)
    return number


@virtual_time
async def test_on_error_yield() -> None:
    results, ended = await collected(third_fails, range(10), concurrency=4)
    assert len(results) == 10
    assert ended is None
    assert {result.item for result in results if isinstance(result, bulk.Failed)} == {3, 4}


@pytest.mark.parametrize("how", ["stop", "raise"])
@virtual_time
async def test_on_error_stop_and_raise_finish_what_is_under_way(how: str) -> None:
    began: list[int] = []

    async def operation(number: int) -> int:
        began.append(number)
        return await third_fails(number)

    results, ended = await collected(operation, range(100), concurrency=4, on_error=how)
    assert sorted(result.item for result in results) == sorted(began)
    assert 4 <= len(began) <= 10
    assert isinstance(ended, LookupError) is (how == "raise")
    if ended is not None:
        assert ended.args == (3,)
        assert any(result.error is ended for result in results if isinstance(result, bulk.Failed))


@virtual_time
async def test_a_failed_authentication_stops_and_is_raised_after_what_was_under_way() -> None:
    async with (
        FaultServer(ok(), ok(), answer(http(envelope(None, 401)))) as server,
        client(server.url) as pandapon,
    ):
        results, ended = await collected(
            lambda number: pandapon.request("POST", f"/{number}", safety=Safety.READ),
            itertools.count(),
            concurrency=3,
        )
        assert isinstance(ended, AuthenticationError)
        assert [result.item for result in results] == list(range(len(results)))
        assert len(results) == len(server.requests) <= 8
        failed = [result for result in results if isinstance(result, bulk.Failed)]
        assert [result.error for result in failed] == [ended]
        at_rest(pandapon)


@pytest.mark.parametrize(
    "options", [{"concurrency": 0}, {"concurrency": -1}, {"concurrency": 2.5}, {"on_error": "ignore"}]
)
@virtual_time
async def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    _, error = await collected(double, [1], **options)
    assert isinstance(error, ConfigurationError)


@pytest.mark.parametrize("items", [None, 5])
@virtual_time
async def test_items_that_are_none_are_refused(items: Any) -> None:
    _, error = await collected(double, items)
    assert isinstance(error, TypeError)
    assert await left_behind() == set()


# --- leaving early, being cancelled


@pytest.mark.parametrize("ordered", [False, True])
@virtual_time
async def test_leaving_early_cancels_what_is_under_way(ordered: bool) -> None:
    cancelled = 0

    async def operation(number: int) -> int:
        nonlocal cancelled
        try:
            await asyncio.sleep(0 if number == 0 else 100)
        except asyncio.CancelledError:
            cancelled += 1
            raise
        return number

    results = bulk.run(operation, range(50), concurrency=7, ordered=ordered)
    async with contextlib.aclosing(results):
        async for _ in results:
            break
    assert cancelled == 7
    assert await left_behind() == set()
    assert asyncio.get_running_loop().time() < 1001


@virtual_time
async def test_an_error_of_the_consumer_ends_the_run() -> None:
    async def consume() -> None:
        async with contextlib.aclosing(bulk.run(third_fails, range(50))) as results:
            async for _ in results:
                raise LookupError

    assert isinstance(await outcome(consume()), LookupError)
    assert await left_behind() == set()


@pytest.mark.parametrize("when", [0, 0.05, 0.15, 1])
@virtual_time
async def test_cancelling_the_consumer_cancels_all(when: float) -> None:
    async def forever(number: int) -> None:
        await asyncio.sleep(0.1 if number < 5 else 1000)

    consumer = asyncio.ensure_future(_consume(forever))
    await asyncio.sleep(when)
    consumer.cancel()
    await asyncio.wait([consumer])
    assert consumer.cancelled()
    assert await left_behind() == set()


async def _consume(operation: Operation) -> None:
    async for _ in bulk.run(operation, itertools.count(), concurrency=4):
        pass


@virtual_time
async def test_a_run_that_was_never_begun_leaves_nothing() -> None:
    results = bulk.run(double, range(5))
    await results.aclose()
    assert await left_behind() == set()


@virtual_time
async def test_a_run_within_a_run() -> None:
    async def inner(number: int) -> int:
        results, _ = await collected(double, range(number), concurrency=2)
        return len(results)

    results, _ = await collected(inner, range(10), concurrency=3, ordered=True)
    assert [result.value for result in results] == list(range(10))


# --- the context of the consumer stays its own


@virtual_time
async def test_work_is_bulk_and_the_consumer_is_not() -> None:
    mine: contextvars.ContextVar[str] = contextvars.ContextVar("mine", default="")
    mine.set("consumer")

    async def operation(number: int) -> tuple[Priority, bool, str]:
        return _current.get(), payments_refused.get(), mine.get()

    async for result in bulk.run(operation, range(5), concurrency=2):
        assert isinstance(result, bulk.Done)
        assert result.value == (Priority.BULK, True, "consumer")
        assert (_current.get(), payments_refused.get()) == (Priority.INTERACTIVE, False)
        break
    assert (_current.get(), payments_refused.get()) == (Priority.INTERACTIVE, False)
    await settle()
