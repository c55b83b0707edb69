"""A `Call` is a coroutine like any other: awaited once, in a task, cancelled, or closed unused."""

from __future__ import annotations

import asyncio
import inspect
from typing import Any

import pytest

from pandapon_async.declare.call import Call
from pandapon_async.declare.response import Response


async def answer(value: Any, error: Exception | None = None) -> Response[Any]:
    await asyncio.sleep(0)
    if error is not None:
        raise error
    return Response(value, "r-1", 200, None, None, value, 200, 2, (), 0.5, 0.1)


async def test_awaiting_gives_the_value() -> None:
    assert await Call("a.call", lambda: answer(7)) == 7


async def test_with_response_gives_all_that_is_known() -> None:
    response = await Call("a.call", lambda: answer(7)).with_response()
    assert (response.value, response.request_id, response.attempts, response.code) == (7, "r-1", 2, 200)


async def test_tasks_gather_groups_and_timeouts_take_it() -> None:
    assert await asyncio.create_task(Call("a.call", lambda: answer(1))) == 1
    assert list(
        await asyncio.gather(Call("a.call", lambda: answer(1)), Call("a.call", lambda: answer(2)))
    ) == [1, 2]
    async with asyncio.TaskGroup() as group:
        task = group.create_task(Call("a.call", lambda: answer(3)))
    assert task.result() == 3
    assert await asyncio.wait_for(Call("a.call", lambda: answer(4)), 1) == 4
    call = Call("a.call", lambda: answer(5))
    assert inspect.isawaitable(call)
    assert asyncio.iscoroutine(call)
    call.close()


async def test_errors_come_through_a_task() -> None:
    with pytest.raises(KeyError):
        await Call("a.call", lambda: answer(0, KeyError("x")))
    with pytest.raises(KeyError):
        await asyncio.ensure_future(Call("a.call", lambda: answer(0, KeyError("x"))))


async def test_it_can_be_awaited_once() -> None:
    call = Call("a.call", lambda: answer(1))
    await call
    with pytest.raises(RuntimeError, match=r"a\.call was awaited before"):
        await call


async def test_a_cancelled_task_cancels_what_is_inside() -> None:
    seen: list[str] = []

    async def slow() -> Response[Any]:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        raise AssertionError

    task = asyncio.create_task(Call("a.call", lambda: slow()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


def test_thrown_errors_reach_the_inside_in_every_form() -> None:
    async def patient() -> Response[Any]:
        try:
            await asyncio.Future()
        except KeyError:
            return await answer("caught")
        raise AssertionError

    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        for thrown in ((KeyError,), (KeyError("x"),), (KeyError, KeyError("x")), (KeyError, "x", None)):
            call = Call("a.call", lambda: patient())
            call.send(None)
            assert call.throw(*thrown) is None
            with pytest.raises(StopIteration) as end:
                call.send(None)
            assert end.value.value == "caught"
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def test_a_response_keeps_what_may_be_personal_out_of_its_repr() -> None:
    canary = "13800001111"
    response = Response(canary, "r-1", 200, canary, canary, {"phone": canary}, 200, 1, (), 0.5, 0.0)
    assert canary not in repr(response)
    assert "r-1" in repr(response)
