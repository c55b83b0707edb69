"""Make the changes of a SQLite store on a separate thread, many per commit.

While one group is flushed to disk, new changes gather for the next. So a thousand writes cost one flush per
group instead of one per write, and nothing blocks the event loop. The journal of writes and the store of
callbacks both use this.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar, cast

import attrs

from pandapon_async.storage.damage import FILE_ERRORS

__all__ = ["BatchWriter", "Grouped"]


class Grouped(Protocol):
    """A store whose changes can be grouped. All methods block."""

    def begin(self, *, durable: bool) -> None:
        """Begin a group; with `durable` its commit survives a power cut."""

    def commit(self) -> None:
        """Commit the group."""

    def rollback(self) -> None:
        """Roll back the group, if there is one."""

    def unavailable(self, error: sqlite3.Error | UnicodeDecodeError) -> Exception:
        """Return the error to raise when the file cannot be used."""
        ...

    def close(self) -> None:
        """Close the file."""


S = TypeVar("S", bound=Grouped)
T = TypeVar("T")


@attrs.define(eq=False)
class _Change:
    """One change to commit, and the future of its caller; one `apart` has a group of its own."""

    work: Callable[[Any], Any]
    durable: bool
    done: asyncio.Future[Any]
    order: str | None
    apart: bool


class BatchWriter(Generic[S]):
    """Makes changes of a store; `opener` opens it on the thread on first use.

    A change is a function that takes the store. It runs within a transaction, in the order of submission.
    Changes with an `order` come first in their group, sorted by it: where several writers share a database,
    two that lock the same rows must lock them in the same order, or each waits for the other.
    """

    def __init__(self, opener: Callable[[], S], name: str) -> None:
        self._opener = opener
        self._name = name
        self._store: S | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._opening: asyncio.Future[S] | None = None
        self._ending: asyncio.Future[None] | None = None
        self._waiting: list[_Change] = []
        self._flush: asyncio.Future[list[Any]] | None = None
        self._due_in: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # of its latest user
        self._holders = 0
        self._closing = False

    async def open(self) -> None:
        """Open the store; it stays open until `aclose`. Happens automatically on first use."""
        self._closing = False
        await self._open()

    async def _open(self) -> None:
        self._loop = asyncio.get_running_loop()
        while self._store is None:
            if _is_over(self._opening):
                self._opening = None
            if self._opening is None:
                executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
                self._opening = self._loop.run_in_executor(executor, self._opener)
                self._opening.add_done_callback(functools.partial(self._opened, executor))
            opening = self._opening
            await asyncio.wait([opening])
            opening.result()

    def _opened(self, executor: ThreadPoolExecutor, opening: asyncio.Future[S]) -> None:
        self._opening = None
        if opening.exception() is None:
            self._store, self._executor = opening.result(), executor
        else:
            executor.shutdown(wait=False)

    @property
    def is_open(self) -> bool:
        """Whether changes can be submitted."""
        return self._store is not None

    async def run(self, work: Callable[[S], T], *, durable: bool = False, order: str | None = None) -> T:
        """Run one change in the next group; return its result after the commit.

        With `durable` the whole group survives a power cut. Cancelling the caller does not stop the change.
        """
        if self._store is None:
            await self._open()
        return cast(T, await self.submit(work, durable=durable, order=order))

    async def alone(self, work: Callable[[S], T]) -> T:
        """Run a function with transactions of its own on the thread, between two groups."""
        await self._open()
        assert self._store is not None
        assert self._executor is not None
        self.hold()
        try:
            future = asyncio.get_running_loop().run_in_executor(self._executor, work, self._store)
            return await asyncio.shield(future)
        finally:
            self.release()

    def submit(
        self,
        work: Callable[[S], Any],
        *,
        durable: bool = False,
        order: str | None = None,
        apart: bool = False,
    ) -> asyncio.Future[Any]:
        """Submit a change to an open store without waiting; the result may be ignored."""
        loop = self._loop = asyncio.get_running_loop()
        if _is_over(self._flush) or (self._waiting and _is_over(self._waiting[0].done)):
            self._flush, self._waiting = None, []  # no caller waits for these any more
        done: asyncio.Future[Any] = loop.create_future()
        self._waiting.append(_Change(work, durable, done, order, apart))
        if self._flush is None and self._due_in is not loop:
            # Not at once: other changes of this turn of the loop join the same group.
            self._due_in = loop
            loop.call_soon(self._begin_flush)
        return done

    def look(self, work: Callable[[S], T], told: Callable[[T | None], object]) -> None:
        """Read something without waiting, from any thread; the read cannot fail a change.

        Args:
            work: The function that reads the store.
            told: Gets the result in the event loop of the store. Gets None if the store is closed, because a
                look must not open it, or if it cannot be used.
        """

        def ended(done: asyncio.Future[T]) -> None:
            told(None if done.cancelled() or done.exception() is not None else done.result())

        def submit() -> None:
            if self.is_open:
                self.submit(work, apart=True).add_done_callback(ended)
            else:
                told(None)

        try:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(submit)
                return
        except RuntimeError:  # the loop is closed
            pass
        told(None)

    def _begin_flush(self) -> None:
        """Pass the waiting changes to the thread. This is not a task, so nothing can cancel a commit."""
        self._due_in = None
        if self._flush is not None or not self._waiting or self._store is None or self._executor is None:
            return
        waiting = self._waiting
        together = next((place for place, change in enumerate(waiting) if change.apart), len(waiting)) or 1
        group, self._waiting = waiting[:together], waiting[together:]
        group.sort(key=lambda change: (change.order is None, change.order or ""))
        loop = asyncio.get_running_loop()
        self._flush = loop.run_in_executor(self._executor, self._commit, self._store, group)
        self._flush.add_done_callback(functools.partial(self._end_flush, group))

    def _commit(self, store: S, group: list[_Change]) -> list[Any]:
        try:
            store.begin(durable=any(change.durable for change in group))
            try:
                results = [_result_of(change.work, store) for change in group]
                store.commit()
            finally:
                store.rollback()
            return results
        except FILE_ERRORS as error:
            raise store.unavailable(error) from error

    def _end_flush(self, group: list[_Change], flush: asyncio.Future[list[Any]]) -> None:
        error = flush.exception()
        results = [error] * len(group) if error is not None else flush.result()
        for change, result in zip(group, results, strict=True):
            done = change.done
            if done.done():
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
                done.exception()  # if no caller waits any more, asyncio must not warn about it
            else:
                done.set_result(result)
        self._flush = None
        self._begin_flush()
        self._close_if_idle()

    def hold(self) -> None:
        """Keep the store open: after `aclose` it closes at the matching `release`."""
        self._holders += 1

    def release(self) -> None:
        """End a `hold`; the last one closes the store if `aclose` was called meanwhile."""
        self._holders -= 1
        self._close_if_idle()

    async def aclose(self) -> None:
        """Finish waiting changes and close the store, or let the last `release` do it. May be called twice.

        A later change is written too: the store opens for it and closes after it.
        """
        self._closing = True
        if self._opening is not None and not _is_over(self._opening):
            await asyncio.wait([self._opening])
        while self._store is not None and (self._waiting or self._flush is not None):
            self._begin_flush()
            if self._flush is not None:
                await asyncio.wait([self._flush])
                await asyncio.sleep(0)  # its results are set right after it
        self._close_if_idle()
        if self._ending is not None and not _is_over(self._ending):
            await asyncio.shield(self._ending)

    def _close_if_idle(self) -> None:
        if not self._closing or self._holders or self._waiting or self._flush is not None:
            return
        if self._store is None or self._executor is None:
            return
        store, executor = self._store, self._executor
        self._store = self._executor = None
        self._ending = asyncio.get_running_loop().run_in_executor(executor, store.close)
        self._ending.add_done_callback(asyncio.Future.exception)
        executor.shutdown(wait=False)


def _result_of(work: Callable[[Any], Any], store: Any) -> Any:
    """Return a change's result or its own error; raise only if the file is the cause."""
    try:
        return work(store)
    except FILE_ERRORS:
        raise
    except Exception as error:
        return error


def _is_over(future: asyncio.Future[Any] | None) -> bool:
    """Whether the event loop of this writer has ended."""
    return future is not None and future.get_loop().is_closed()
