"""The write-ahead journal: what we are about to do is on disk before the first byte leaves.

The vendor has no idempotency key, so nothing on its side stops a second refund. This does: an open
intent of the same natural key refuses a second one, also from another process, also after a crash.
Commits are grouped: while one is being flushed, the changes of all other calls gather for the next,
so a bulk of writes costs a flush per group and not per write. Nothing here blocks the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import glob
import logging
import os
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import attrs
from filelock import FileLock, Timeout

from pandapon_async.clock import Clock
from pandapon_async.errors import DuplicateIntent, JournalUnavailable
from pandapon_async.transport.store import Intent, IntentState, Store

__all__ = ["Journal"]

T = TypeVar("T")
IN_MEMORY = ":memory:"
STALE_SECONDS = 86_400.0
"""How old the lock file of an ended process must be to be cleared away: a young one may be starting."""

log: Final = logging.getLogger("pandapon_async")

_Opened = tuple[Store, FileLock | None]


@attrs.define(eq=False)
class _Change:
    """One change that waits to be committed, and who waits for it."""

    work: Callable[[Store], Any]
    durable: bool
    done: asyncio.Future[Any]


class Journal:
    """The journal of one process at `path`; several processes may use the same file at once.

    Opened on first use. What an earlier process left as `sent` becomes `unknown` then, unless that
    process is still alive.
    """

    def __init__(self, path: str | os.PathLike[str] = IN_MEMORY, *, clock: Clock | None = None) -> None:
        self.path: str = str(path)
        self.session: str = uuid.uuid4().hex
        self._clock = clock or Clock()
        self._store: Store | None = None
        self._executor: ThreadPoolExecutor | None = None
        self._alive: FileLock | None = None
        self._opening: asyncio.Future[_Opened] | None = None
        self._waiting: list[_Change] = []
        self._flush: asyncio.Future[list[Any]] | None = None

    async def intend(
        self,
        *,
        account: str,
        operation: str,
        natural_key: dict[str, Any],
        facts: dict[str, Any],
        digest: str,
        once: bool,
    ) -> Intent:
        """Write down what is about to be done; gives the intent.

        Raises DuplicateIntent if the same natural key is open already or, for an operation that may
        happen `once` only, was carried out before; JournalUnavailable if it cannot be written.
        """
        now = self._clock.wall()
        intent = Intent(
            id=uuid.uuid4().hex,
            account=account,
            operation=operation,
            natural_key=natural_key,
            digest=digest,
            facts=facts,
            state=IntentState.INTENDED,
            session=self.session,
            created=now,
            updated=now,
        )

        def add(store: Store) -> Intent | None:
            return (once and store.landed_with_key(intent)) or store.add(intent)

        try:
            earlier = await self._change(add)
        except asyncio.CancelledError:
            self.settle_soon(intent.id, IntentState.NOT_SENT, "cancelled before it was sent")
            raise
        if earlier is not None:
            raise _duplicate(earlier)
        return intent

    async def sending(self, intent: Intent) -> None:
        """To be awaited right before the bytes leave; survives a power cut."""
        now = self._clock.wall()
        if not await self._change(lambda store: store.sending(intent.id, now), durable=True):
            raise JournalUnavailable(f"intent {intent.id} was settled by somebody else; nothing was sent")

    async def settle(
        self,
        intent_id: str,
        state: IntentState,
        *,
        request_id: str | None = None,
        result: str | None = None,
        note: str | None = None,
    ) -> bool:
        """Note what became of a write. False if it was settled before (a final state stays)."""
        now = self._clock.wall()
        return await self._change(lambda store: store.settle(intent_id, state, now, request_id, result, note))

    def settle_soon(self, intent_id: str, state: IntentState, note: str) -> None:
        """The same without waiting, for a call that is being cancelled."""
        now = self._clock.wall()
        self._enqueue(lambda store: store.settle(intent_id, state, now, None, None, note), durable=False)

    async def get(self, intent_id: str) -> Intent | None:
        """One intent by its id or an unambiguous beginning of it."""
        return await self._change(lambda store: store.get(intent_id))

    async def find(
        self, states: Iterable[IntentState] | None = None, limit: int | None = None
    ) -> list[Intent]:
        """Intents in these states, oldest first."""
        wanted = None if states is None else list(states)
        return await self._change(lambda store: store.find(wanted, limit))

    async def all(
        self, states: Iterable[IntentState] | None = None, page: int = 500
    ) -> AsyncIterator[Intent]:
        """Every intent in these states in the order in which they were written, read page by page."""
        wanted = None if states is None else list(states)
        after = 0
        while True:
            found, after = await self._change(lambda store, after=after: store.page(wanted, after, page))  # type: ignore[misc]
            for intent in found:
                yield intent
            if not found:
                return

    async def with_key(self, account: str, operation: str, natural_key: dict[str, Any]) -> list[Intent]:
        """All intents of one natural key, newest first."""
        return await self._change(lambda store: store.with_key(account, operation, natural_key))

    async def claimed(self, intent: Intent, result: str) -> bool:
        """Whether the id that the vendor gave belongs to another intent already."""
        return await self._change(lambda store: store.claimed(intent, result))

    async def counts(self) -> dict[IntentState, int]:
        """How many intents stand in each state."""
        return await self._change(lambda store: store.counts())

    async def identity(self) -> str:
        """What tells this journal from every other, also from one made anew in its place."""
        return await self._change(lambda store: store.identity())

    async def open(self) -> None:
        """Open the file and bury the sessions of dead processes. Called by itself on first use."""
        while self._store is None:
            if _is_over(self._opening):
                self._opening = None
            if self._opening is None:
                executor = ThreadPoolExecutor(1, thread_name_prefix="pandapon-journal")
                loop = asyncio.get_running_loop()
                now = self._clock.wall()  # here, as a clock may belong to the loop
                self._opening = loop.run_in_executor(executor, self._open_store, now)
                self._opening.add_done_callback(functools.partial(self._opened, executor))
            opening = self._opening
            await asyncio.wait([opening])
            opening.result()

    def _opened(self, executor: ThreadPoolExecutor, opening: asyncio.Future[_Opened]) -> None:
        self._opening = None
        if opening.exception() is None:
            self._store, self._alive = opening.result()
            self._executor = executor
        else:
            executor.shutdown(wait=False)

    def _open_store(self, now: float) -> _Opened:
        if self.path == IN_MEMORY:
            return Store(self.path), None
        alive = FileLock(self._lock_path(self.session))
        store: Store | None = None
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            alive.acquire(blocking=False)
            store = Store(self.path)
            _guard(self.path, lambda: self._bury_the_dead(store, now))
            self._clear_away()
        except BaseException as error:
            if store is not None:
                store.close()
            if alive.is_locked:
                _release(alive)
            if isinstance(error, OSError):
                reason = error.strerror or type(error).__name__
                raise JournalUnavailable(f"the journal {self.path} cannot be opened: {reason}") from None
            raise
        return store, alive

    def _bury_the_dead(self, store: Store, now: float) -> None:
        """Settle what ended processes left; a living one holds the lock of its session."""
        store.begin(durable=True)
        try:
            for session in store.sessions():
                lock = FileLock(self._lock_path(session))
                try:
                    lock.acquire(blocking=False)
                except Timeout:
                    continue
                if unknown := store.bury(session, now):
                    log.warning("journal: %d writes of an ended process are of unknown outcome", unknown)
                _release(lock)
            store.commit()
        finally:
            store.rollback()

    def _clear_away(self) -> None:
        """Remove the lock files of processes that were killed with nothing open."""
        path = Path(self.path)
        for file in path.parent.glob(f"{glob.escape(path.name)}.*.lock"):
            with contextlib.suppress(OSError, Timeout):
                if file.stat().st_mtime < time.time() - STALE_SECONDS:
                    with FileLock(file).acquire(blocking=False):
                        file.unlink()

    def _lock_path(self, session: str) -> str:
        return f"{self.path}.{session}.lock"

    async def _change(self, work: Callable[[Store], T], *, durable: bool = False) -> T:
        await self.open()
        return cast(T, await self._enqueue(work, durable=durable))

    def _enqueue(self, work: Callable[[Store], Any], *, durable: bool) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        done.add_done_callback(_looked_at)
        if _is_over(self._flush):
            self._flush, self._waiting = None, []  # nobody is left who waits for these
        self._waiting.append(_Change(work, durable, done))
        if self._flush is None:
            # Not at once: what else is ready to run in this turn of the loop goes into the same group.
            loop.call_soon(self._begin_flush)
        return done

    def _begin_flush(self) -> None:
        """Hand what waits to the thread. No task is behind it, so nobody can cancel a commit."""
        if self._flush is not None or not self._waiting or self._store is None or self._executor is None:
            return
        group, self._waiting = self._waiting, []
        loop = asyncio.get_running_loop()
        self._flush = loop.run_in_executor(self._executor, self._commit, self._store, group)
        self._flush.add_done_callback(functools.partial(self._end_flush, group))

    def _end_flush(self, group: list[_Change], flush: asyncio.Future[list[Any]]) -> None:
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

    def _commit(self, store: Store, group: list[_Change]) -> list[Any]:
        """The result of every change, or the error of one that failed by itself and changed nothing."""

        def commit() -> list[Any]:
            store.begin(durable=any(change.durable for change in group))
            try:
                results = [_alone(change.work, store) for change in group]
                store.commit()
            finally:
                store.rollback()
            return results

        return _guard(self.path, commit)

    async def aclose(self) -> None:
        """Finish what is waiting and close the file. May be called twice."""
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._store is None or self._executor is None:
            return
        while self._waiting or self._flush is not None:
            self._begin_flush()
            if self._flush is not None:
                await asyncio.wait([self._flush])
                await asyncio.sleep(0)  # its results are handed out right after it
        store, executor, alive = self._store, self._executor, self._alive
        self._store = self._executor = self._alive = None
        self.session = uuid.uuid4().hex  # opened again, what is left of this session belongs to the dead
        await asyncio.get_running_loop().run_in_executor(executor, _close, store, alive)
        executor.shutdown(wait=False)


def _alone(work: Callable[[Store], Any], store: Store) -> Any:
    """One change of a group. What is wrong with the file is everybody's affair, all else its own."""
    try:
        return work(store)
    except sqlite3.Error:
        raise
    except Exception as error:
        return error


def _is_over(future: asyncio.Future[Any] | None) -> bool:
    """Whether this belongs to an event loop that ended before it did."""
    return future is not None and future.get_loop().is_closed()


def _close(store: Store, alive: FileLock | None) -> None:
    store.close()
    if alive is not None:
        _release(alive)


def _release(lock: FileLock) -> None:
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)


def _guard(path: str, work: Callable[[], T]) -> T:
    try:
        return work()
    except sqlite3.Error as error:
        raise JournalUnavailable(
            f"the journal {path} cannot be written ({error}); nothing was sent"
        ) from error


def _looked_at(future: asyncio.Future[Any]) -> None:
    """Nobody may be waiting any more; then a failure must not warn of never having been looked at."""
    if not future.cancelled():
        future.exception()


def _duplicate(earlier: Intent) -> DuplicateIntent:
    if earlier.state.open:
        what = "is still open: find out what became of it first (`pandapon journal resolve`)"
    else:
        what = "was carried out; say allow_repeat=True if it is really meant a second time"
    return DuplicateIntent(
        f"the same {earlier.operation} as intent {earlier.id} ({earlier.state}), which {what}",
        intent_id=earlier.id,
        state=str(earlier.state),
        result=earlier.result,
    )
