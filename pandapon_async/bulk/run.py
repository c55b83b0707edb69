"""The engine of bulk work: a pool of workers over an iterator.

Memory is bounded by the window, never by the number of items: an item is taken from the input only
when there is a slot for its result. Workers wait for permits behind interactive calls.
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
)
from typing import Any, Generic, Literal, TypeVar

import attrs

from pandapon_async.bulk.guard import payments_refused
from pandapon_async.clock import Clock
from pandapon_async.core.json_values import Result
from pandapon_async.declare.call import Call
from pandapon_async.errors import AuthenticationError, ConfigurationError, OutcomeUnknownError
from pandapon_async.transport.wait_queue import Priority, current_priority, priority

__all__ = ["Done", "Failed", "OnError", "run"]

Item = TypeVar("Item")
Value = TypeVar("Value")
OnError = Literal["yield", "stop", "raise"]
"""The effect of a failed item: yielded like the others, yielded as the last one, or raised."""


@attrs.define
class Done(Result, Generic[Item, Value]):
    """An item that succeeded."""

    item: Item
    """The item."""
    index: int
    """Its place among the items, from 0."""
    value: Value
    """The result of the operation."""
    attempts: int
    """How many requests it took; 0 if the operation made none through the client."""
    seconds: float
    """Seconds that it took, waits included."""
    request_id: str | None = None
    """The vendor's id of the last request."""


@attrs.define
class Failed(Result, Generic[Item]):
    """An item that failed."""

    item: Item
    """The item."""
    index: int
    """Its place among the items, from 0."""
    error: Exception
    """The error; a `PandaponError` also tells whether the outcome is unknown."""
    attempts: int
    """How many requests were made."""
    seconds: float
    """Seconds that it took, waits included."""

    @property
    def request_id(self) -> str | None:
        """The vendor's id of the request, for its support, if there is one."""
        return getattr(self.error, "request_id", None)


async def run(
    operation: Callable[[Item], Awaitable[Value]],
    items: Iterable[Item] | AsyncIterable[Item],
    *,
    concurrency: int = 32,
    on_error: OnError = "yield",
    ordered: bool = False,
    allow_payments: bool = False,
    clock: Clock | None = None,
) -> AsyncGenerator[Done[Item, Value] | Failed[Item], None]:
    """Run `operation(item)` for every item, at most `concurrency` at once; yields one result per item.

    `items` may be endless and may be asynchronous; at most 4 x `concurrency` of them are held. `ordered`
    yields in the order of the input, otherwise results come as they finish. `on_error` sets the effect of a
    failure: "yield" yields it and continues; "stop" starts nothing new, finishes what is running and ends
    after yielding its results; "raise" does the same and then raises the first error. An authentication error
    always acts like "raise", because every further call would fail too.

    A failure never cancels running items. If the input itself fails, the results of its items come first.
    Calls wait behind interactive ones, and behind all others within `priority(Priority.BACKGROUND)`. Leaving
    the loop early cancels the running items; wrap the call in `contextlib.aclosing` to wait for that. Calls
    that release money are refused unless `allow_payments` is set. `clock` measures `seconds`.
    """
    if not isinstance(concurrency, int) or concurrency < 1:
        raise ConfigurationError("concurrency must be a whole number, 1 or more")
    if on_error not in ("yield", "stop", "raise"):
        raise ConfigurationError("on_error must be 'yield', 'stop' or 'raise'")
    work = _Work(operation, items, concurrency, on_error, allow_payments, clock or Clock())
    workers = [asyncio.ensure_future(work.worker()) for _ in range(concurrency)]
    early: dict[int, Done[Item, Value] | Failed[Item]] = {}
    following = 0
    try:
        while (result := await work.results.get()) is not None:
            if not ordered:
                work.result_slots.release()
                yield result
                continue
            early[result.index] = result
            while following in early:
                work.result_slots.release()
                yield early.pop(following)
                following += 1
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.gather(*workers, return_exceptions=True)
    failure, work.failure = work.failure, None
    if failure is not None:
        try:
            raise failure
        finally:
            del (
                failure
            )  # it references this frame; a cycle would keep the run until a full garbage collection


class _Work(Generic[Item, Value]):
    """The shared state of the workers of one run."""

    def __init__(
        self,
        operation: Callable[[Item], Awaitable[Value]],
        items: Iterable[Item] | AsyncIterable[Item],
        concurrency: int,
        on_error: OnError,
        allow_payments: bool,
        clock: Clock,
    ) -> None:
        self._operation = operation
        self._on_error = on_error
        self._allow_payments = allow_payments
        self._now = clock.now
        self._sync: Iterator[Item] | None = None
        self._async: AsyncIterator[Item] | None = None
        if isinstance(items, AsyncIterable):
            self._async = aiter(items)
        else:
            self._sync = iter(items)
        self._turn = asyncio.Lock()  # an async generator cannot be advanced twice at once
        self._index = 0
        self._busy = concurrency
        self._stopped = False
        self.result_slots = asyncio.Semaphore(4 * concurrency)
        self.results: asyncio.Queue[Done[Item, Value] | Failed[Item] | None] = asyncio.Queue()
        self.failure: BaseException | None = None

    async def worker(self) -> None:
        payments_refused.set(not self._allow_payments)
        with priority(max(Priority.BULK, current_priority())):
            try:
                while not self._stopped:
                    await self.result_slots.acquire()
                    taken = await self._take()
                    if taken is None:
                        break
                    self.results.put_nowait(await self._one(*taken))
            finally:
                self._busy -= 1
                if self._busy == 0:
                    self.results.put_nowait(None)

    async def _take(self) -> tuple[int, Item] | None:
        """Return the next item and its index; None at the end, or if the input itself failed."""
        try:
            if self._async is None:
                return self._next()
            async with self._turn:
                return await self._anext(self._async)
        except (StopIteration, StopAsyncIteration):
            self._stop(None)
        except BaseException as error:
            if _is_cancelled(error):
                raise
            self._stop(error)
        return None

    def _next(self) -> tuple[int, Item] | None:
        assert self._sync is not None
        return None if self._stopped else self._counted(next(self._sync))

    async def _anext(self, items: AsyncIterator[Item]) -> tuple[int, Item] | None:
        return None if self._stopped else self._counted(await anext(items))

    def _counted(self, item: Item) -> tuple[int, Item]:
        index, self._index = self._index, self._index + 1
        return index, item

    def _stop(self, failure: BaseException | None) -> None:
        """Start nothing new. Workers that wait for a result slot end when the last results are taken."""
        self._stopped = True
        if self.failure is None:
            self.failure = failure

    async def _one(self, index: int, item: Item) -> Done[Item, Value] | Failed[Item]:
        begun = self._now()
        try:
            awaitable: Any = self._operation(item)
            if isinstance(awaitable, Call):
                response = await awaitable.with_response()
                seconds = self._now() - begun
                return Done(item, index, response.value, response.attempts, seconds, response.request_id)
            return Done(item, index, await awaitable, 1, self._now() - begun)
        except Exception as error:
            return self._failed(index, item, error, begun)
        except asyncio.CancelledError as error:
            if _is_cancelled(error):
                raise
            unknown = OutcomeUnknownError(
                "the operation was cancelled by its own code and may have been carried out"
            )
            unknown.__cause__ = error
            return self._failed(index, item, unknown, begun)
        except BaseException as error:
            self._stop(error)  # ends the program: nothing new starts, and `run` raises it
            raise

    def _failed(self, index: int, item: Item, error: Exception, begun: float) -> Failed[Item]:
        if isinstance(error, AuthenticationError) or self._on_error == "raise":
            self._stop(error)
        elif self._on_error == "stop":
            self._stop(None)
        return Failed(item, index, error, getattr(error, "attempts", 1), self._now() - begun)


def _is_cancelled(error: BaseException) -> bool:
    """Whether this worker itself is being cancelled; what it awaits may raise other cancellations."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
