"""Changes of a SQLite store on a thread of its own, many to a commit.

While one group is being flushed to the disk, the changes that come in gather for the next: a thousand
messages cost a flush per group and not per message, and nothing blocks the event loop.
"""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, Protocol, TypeVar, cast

import attrs

__all__ = ["Commits", "Grouped"]


class Grouped(Protocol):
    """A store whose changes can be grouped. All methods block."""

    def begin(self, *, durable: bool) -> None:
        """Start a group; `durable` means that its commit survives a power cut."""

    def commit(self) -> None:
        """Make the group last."""

    def rollback(self) -> None:
        """Forget the group, if there is one."""

    def unavailable(self, error: sqlite3.Error) -> Exception:
        """What to raise when the file cannot be used."""
        ...

    def close(self) -> None:
        """Close the file."""


S = TypeVar("S", bound=Grouped)
T = TypeVar("T")


@attrs.define(eq=False)
class _Change(Generic[S]):
    """One change that waits to be committed, and who waits for it."""

    work: Callable[[S], Any]
    durable: bool
    done: asyncio.Future[Any]


class Commits(Generic[S]):
    """Runs changes of the store that `opener` opens (on the thread) on first use."""

    def __init__(self, opener: Callable[[], S], name: str) -> None:
        self._opener = opener
        self._name = name
        self._store: S | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._opening: asyncio.Future[S] | None = None
        self._waiting: list[_Change[S]] = []
        self._flush: asyncio.Future[list[Any]] | None = None

    async def open(self) -> None:
        """Open the store. Called by itself on first use."""
        while self._store is None:
            if self._opening is None:
                executor = ThreadPoolExecutor(1, thread_name_prefix=self._name)
                self._opening = asyncio.get_running_loop().run_in_executor(executor, self._opener)
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

    async def run(self, work: Callable[[S], T], *, durable: bool = False) -> T:
        """Run one change in the next group; gives its result once the group is committed.

        `durable` makes the whole group survive a power cut. Cancelling the caller does not stop the change.
        """
        await self.open()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        done.add_done_callback(_looked_at)
        self._waiting.append(_Change(work, durable, done))
        if self._flush is None:
            # Not at once: what else is ready to run in this turn of the loop goes into the same group.
            loop.call_soon(self._begin_flush)
        return cast(T, await done)

    def _begin_flush(self) -> None:
        """Hand what waits to the thread. No task is behind it, so nobody can cancel a commit."""
        if self._flush is not None or not self._waiting or self._store is None or self._executor is None:
            return
        group, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        self._flush = loop.run_in_executor(self._executor, _commit, self._store, group)
        self._flush.add_done_callback(functools.partial(self._end_flush, group))

    def _end_flush(self, group: list[_Change[S]], flush: asyncio.Future[list[Any]]) -> None:
        error = flush.exception()
        results = [error] * len(group) if error is not None else flush.result()
        for change, result in zip(group, results, strict=True):
            if change.done.done():
                continue
            if isinstance(result, Exception):
                change.done.set_exception(result)
            else:
                change.done.set_result(result)
        self._flush = None
        self._begin_flush()

    async def aclose(self) -> None:
        """Finish what is waiting and close the store. May be called twice."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._store is None or self._executor is None:
            return
        while self._waiting or self._flush is not None:
            self._begin_flush()
            if self._flush is not None:
                await asyncio.wait([self._flush])
                await asyncio.sleep(0)  # its results are handed out right after it
        store, executor = self._store, self._executor
        self._store = self._executor = None
        await asyncio.get_running_loop().run_in_executor(executor, store.close)
        executor.shutdown(wait=False)


def _commit(store: S, group: list[_Change[S]]) -> list[Any]:
    """The result of every change, or the error of one that failed by itself and changed nothing."""
    try:
        store.begin(durable=any(change.durable for change in group))
        try:
            results = [_alone(change.work, store) for change in group]
            store.commit()
        finally:
            store.rollback()
        return results
    except sqlite3.Error as error:
        raise store.unavailable(error) from error


def _alone(work: Callable[[S], Any], store: S) -> Any:
    """One change of a group. What is wrong with the file is everybody's affair, all else its own."""
    try:
        return work(store)
    except sqlite3.Error:
        raise
    except Exception as error:
        return error


def _looked_at(future: asyncio.Future[Any]) -> None:
    """Nobody may be waiting any more; then a failure must not warn of never having been looked at."""
    if not future.cancelled():
        future.exception()
