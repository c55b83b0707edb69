"""Following refunds: whose turn it is, what a look has shown, and which changes the caller has taken.

A change counts as taken when the next one is asked for. Until then nothing of it is in the file, so a process
that is killed while it handles a change is handed it again, under the same id.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import math
import os
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from datetime import timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from pandapon_async.bulk import Done, Failed, fetch_refunds
from pandapon_async.bulk.long_run import with_patience
from pandapon_async.callbacks import Message
from pandapon_async.callbacks.push_log import check_file
from pandapon_async.callbacks.push_reader import PAGE as PAGE_OF_PUSHES
from pandapon_async.callbacks.push_reader import PushReader
from pandapon_async.client import Client
from pandapon_async.declare.endpoint import Scope
from pandapon_async.errors import AuthenticationError, ConfigurationError, InvalidArgumentError
from pandapon_async.follow.changes import (
    PLATFORMS,
    SENT_BACK,
    Change,
    ChangeKind,
    Seen,
    Stuck,
    change_of,
    is_done,
)
from pandapon_async.follow.given import refund_of, states_of
from pandapon_async.follow.pace import Pace
from pandapon_async.follow.store import Followed, FollowStore
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.reconcile.ages import stamp
from pandapon_async.reconcile.lookup import lookup_of_answer, lookup_of_error
from pandapon_async.reconcile.stoppable_thread import StoppableThread
from pandapon_async.reconcile.verdict import Lookup, Outcome
from pandapon_async.storage import IN_MEMORY
from pandapon_async.storage.damage import FILE_ERRORS
from pandapon_async.tables.cells import Platform
from pandapon_async.transport.wait_queue import Priority, priority

__all__ = ["Following", "follow"]

PUSHED = -1.0
"""The time of the next look of a refund that was pushed: before all others."""
LONGEST_WAIT = 600.0
"""Seconds after which the clock is read again, because it may have been set."""
PUSHES_EVERY = 5.0
"""Seconds between two looks into a store of callbacks."""
PAGE = 64


def follow(
    client: Client,
    refund_ids: Iterable[str],
    platform: Platform | Callable[[str], Platform] | None = None,
    *,
    wanted: Iterable[str] = (),
    state: str | os.PathLike[str] | None = None,
    pace: Pace | None = None,
    callbacks: str | os.PathLike[str] | None = None,
    stuck_after: timedelta | None = timedelta(days=7),
    concurrency: int = 8,
) -> Following:
    """Follow refunds until they reach a wanted state or a final one; `async for` yields each change once.

    The looks wait behind all other calls of the client. A look that fails shows nothing and is repeated at
    the near pace. Changes that come and go between two looks are seen as one, or not at all.

    Args:
        client: who asks.
        refund_ids: the refunds. One that is named twice is followed once.
        platform: "1688" or "taobao" for all of them, or a function of the id; None: by the form of each id
            (TQ or TD and digits: 1688; digits alone: Taobao).
        wanted: states, in the platform's spelling or words, at which a refund is followed no further. A final
            state ends it in any case.
        state: a file that remembers what was seen, so that the next call resumes there; None: nothing is
            kept. One process has it at a time.
        pace: how often to look.
        callbacks: the file of a `Receiver`, here or in another process: what is pushed is looked up at once.
            With a receiver in this process `Following.pushed` does the same.
        stuck_after: report a refund whose goods went back and were not received for so long; None: never.
        concurrency: how many looks are on their way at once.

    Returns:
        What yields `Change`s. Use it with `async with`: then leaving the loop early counts the last change as
        taken. Without it that one is yielded again by the next call with the same `state`.

    Raises:
        InvalidArgumentError: an id or a state is not one, or `callbacks` is not a file. No refund was looked
            up.
        ConfigurationError: the file is another vendor's or account's, or is in use (raised by the loop).
        AuthenticationError: the vendor refuses the key (raised by the loop).
    """
    chosen = dict.fromkeys(refund_of(one, platform) for one in refund_ids)
    if not chosen:
        raise InvalidArgumentError("no refund ids", argument="refund_ids")
    states = states_of(wanted, dict.fromkeys(one for one, _ in chosen))
    if stuck_after is not None and stuck_after <= timedelta(0):
        raise InvalidArgumentError("stuck_after must be above zero, or None", argument="stuck_after")
    check_file(callbacks)
    pushes = None if callbacks is None else PushReader(callbacks)
    return Following(client, chosen, states, state, pace or Pace(), pushes, stuck_after, concurrency)


class Following:
    """Yields the changes of refunds; made by `follow`."""

    def __init__(
        self,
        client: Client,
        refunds: Iterable[tuple[Platform, str]],
        wanted: frozenset[str],
        state: str | os.PathLike[str] | None,
        pace: Pace,
        pushes: PushReader | None,
        stuck_after: timedelta | None,
        concurrency: int,
    ) -> None:
        self.failed: int = 0
        """How many looks failed since it was made; each was or will be repeated."""
        self.looks: int = 0
        """How many looks ended since it was made, failed ones too."""
        self.ended_elsewhere: int = 0
        """How many ended in another state than the wanted ones; 0 without wanted states."""
        self._client = with_patience(client)
        self._clock = client.settings.clock
        self._refunds = list(refunds)
        self._wanted = wanted
        self._path = IN_MEMORY if state is None else state
        self._pace = pace
        self._pushes = pushes
        self._stuck_after = stuck_after
        self._concurrency = concurrency
        self._store: FollowStore | None = None
        self._results: AsyncGenerator[Done[Followed, Any] | Failed[Followed], None] | None = None
        self._busy: set[tuple[Platform, str]] = set()
        self._again: set[tuple[Platform, str]] = set()
        self._page: list[Followed] = []
        self._in_hand: Followed | None = None
        self._pushes_at = -math.inf
        self._woken = asyncio.Event()
        self._closed = False
        self._refused = False
        self._left = len(self._refunds)
        self._stuck: list[Stuck] = []

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._store is not None:
                with _usable(self._store):
                    self._take()
        finally:
            await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Change:
        if self._closed:
            raise StopAsyncIteration
        store = await self._open()
        try:
            with _usable(store), priority(Priority.BACKGROUND):
                self._take()
                if self._results is None:
                    self._results = self._look_up(store)
                async for result in self._results:
                    change = self._judge(store, result)
                    if change is not None:
                        return change
        except asyncio.CancelledError:  # whoever waited may come back: those looks are made again
            self._results = None
            self._busy.clear()
            raise
        except BaseException:
            await self.aclose()
            raise
        await self.aclose()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Stop looking and close the file; may be called twice. The change in hand is not taken."""
        self._closed = True
        if self._results is not None:
            await self._results.aclose()
            self._results = None
        if self._pushes is not None:
            self._pushes.close()
        if self._store is not None:
            with contextlib.suppress(*FILE_ERRORS):  # of a file that cannot be read nothing is known
                self._left, self._stuck = self.left(), self.stuck()
            self._store.close()
            self._store = None

    def pushed(self, refund: str | Message) -> bool:
        """Look a refund up at once; for the handlers of a `Receiver`. False if it is not followed now."""
        platform, refund_id = (
            (None, refund) if isinstance(refund, str) else (refund.platform, refund.refund_id)
        )
        if self._store is None or refund_id is None:
            return False
        with _usable(self._store):
            return self._hurry_any(self._store, platform, refund_id)

    def left(self) -> int:
        """How many refunds are still followed."""
        return self._left if self._store is None else self._store.count()

    def stuck(self) -> list[Stuck]:
        """The refunds whose goods went back and were not received for `stuck_after`, the oldest first."""
        if self._store is None or self._stuck_after is None:
            return self._stuck
        now = self._clock.wall()
        return [
            Stuck(
                platform=one.platform,
                refund_id=one.refund_id,
                since=stamp(one.since or now),
                days=int((now - (one.since or now)) // 86_400),
                deadline=None if one.seen is None else one.seen.deadline,
            )
            for one in self._store.sent_back(now - self._stuck_after.total_seconds())
        ]

    async def _open(self) -> FollowStore:
        if self._store is None:
            await StoppableThread().run(partial(self._open_file, self._clock.wall()))
        assert self._store is not None, "the thread has opened it"
        return self._store

    def _open_file(self, now: float) -> None:
        store = FollowStore.open(self._path)
        try:
            with _usable(store):
                self._begin(store, now)
        except BaseException:
            store.close()
            raise
        self._store = store

    def _begin(self, store: FollowStore, now: float) -> None:
        owner = self._client.writer.scope(Scope.ACCOUNT)
        owner = hashlib.sha256(owner.encode()).hexdigest()
        if (known := store.get("owner")) not in (None, owner):
            raise ConfigurationError(
                f"{self._path} follows refunds of another vendor or sub-account; choose another file"
            )
        if known is None:
            store.set("owner", owner)
        store.choose(self._refunds, partial(self._take_up, now))
        if self._pushes is not None:
            self._pushes.begin(store.get(self._pushes.name))

    def _take_up(self, now: float, one: Followed) -> None:
        """A refund of an earlier run, under the states and at the pace of this one."""
        one.active = one.seen is None or not self._is_done(one.platform, one.seen)
        self._count(one)
        if one.looked_at is not None:
            looked_at = min(one.looked_at, now)  # the clock may have been set back
            one.next_look = min(one.next_look, self._pace.next_look(one.refund_id, looked_at, one.seen))

    def _count(self, one: Followed) -> None:
        if not one.active and self._wanted and one.seen is not None:
            self.ended_elsewhere += one.seen.status not in self._wanted

    def _is_done(self, platform: Platform, seen: Seen) -> bool:
        return is_done(platform, seen, self._wanted)

    def _take(self) -> None:
        """The change in hand is the caller's now: keep what it is about."""
        if self._in_hand is not None and self._store is not None:
            one, self._in_hand = self._in_hand, None
            self._keep(self._store, one)
            self._count(one)

    def _keep(self, store: FollowStore, one: Followed) -> None:
        if one.key in self._again:
            one.next_look = PUSHED
        store.put(one)
        self._again.discard(one.key)
        self._busy.discard(one.key)
        self._woken.set()

    def _look_up(self, store: FollowStore) -> AsyncGenerator[Done[Followed, Any] | Failed[Followed], None]:
        return fetch_refunds(
            self._client,
            self._due(store),
            platform=lambda one: one.platform,
            refund_id=lambda one: one.refund_id,
            concurrency=self._concurrency,
        )

    async def _due(self, store: FollowStore) -> AsyncGenerator[Followed, None]:
        """Look at each refund when its time has come, until none is followed."""
        while True:
            self._woken.clear()
            self._read_pushes(store)
            now = self._clock.wall()
            if (one := self._next(store, now)) is not None:
                self._busy.add(one.key)
                yield one
            elif self._refused or not (self._busy or store.count()):
                return
            else:
                soonest = store.next_look(now)  # what is on its way, or in hand, wakes it when it ends
                await self._rest(LONGEST_WAIT if soonest is None else soonest - now)

    def _next(self, store: FollowStore, now: float) -> Followed | None:
        if not self._page:
            due = store.due(now, PAGE + len(self._busy))
            self._page = [one for one in reversed(due) if one.key not in self._busy]
        return self._page.pop() if self._page else None

    async def _rest(self, seconds: float) -> None:
        """Wait until something is due, a push comes or a look has ended."""
        longest = LONGEST_WAIT if self._pushes is None else PUSHES_EVERY
        timer = self._clock.call_later(min(seconds, longest), self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()

    def _read_pushes(self, store: FollowStore) -> None:
        """Look at once at what was pushed. The store is read every few seconds, not for each look."""
        pushes, now = self._pushes, self._clock.now()
        if pushes is None or now < self._pushes_at:
            return
        before, found = pushes.position, pushes.new()
        for platform, refund_id in found:
            self._hurry_any(store, platform, refund_id)
        if pushes.position != before:
            store.set(pushes.name, pushes.position)
        if len(found) < PAGE_OF_PUSHES:
            self._pushes_at = now + PUSHES_EVERY

    def _hurry_any(self, store: FollowStore, platform: str | None, refund_id: str) -> bool:
        """Look at once at a refund; None stands for either platform. False if it is not followed."""
        meant: list[Platform] = [one for one in PLATFORMS if platform in (None, one)]
        return sum(self._hurry(store, (one, refund_id)) for one in meant) > 0  # each is asked: not any()

    def _hurry(self, store: FollowStore, key: tuple[Platform, str]) -> bool:
        if key in self._busy:  # what is on its way may have been read before what the push is about
            self._again.add(key)
            return True
        one = store.of(*key)
        if one is None or not one.active:
            return False
        one.next_look = PUSHED
        store.put(one)
        self._page.clear()
        self._woken.set()
        return True

    def _judge(self, store: FollowStore, result: Done[Followed, Any] | Failed[Followed]) -> Change | None:
        """Keep what a look has shown, or hold it until its change is taken."""
        self.looks += 1
        one, now = result.item, self._clock.wall()
        if isinstance(result, Done):
            lookup = lookup_of_answer(one.refund_id, result.value)
        elif isinstance(result.error, AuthenticationError):
            self._refused = True  # says nothing about the refund and ends the loop
            self._woken.set()
            return None
        else:
            lookup = lookup_of_error(result.error)
        pushed, before = one.next_look == PUSHED, one.seen
        kind = change_of(before, lookup)
        if lookup.outcome is Outcome.FAILED:
            self.failed += 1
            one.next_look = self._pace.next_look(one.refund_id, now, before, soon=True)
            self._keep(store, one)
            return None
        self._note(one, lookup, now, result)
        one.next_look = self._pace.next_look(one.refund_id, now, one.seen, soon=pushed and kind is None)
        if kind is None and self._is_stuck(store, one, now):
            kind, one.stuck_told = ChangeKind.STUCK, True
        if kind is None:
            self._keep(store, one)
            return None
        self._in_hand = one
        return self._change(kind, one, before, now, pushed)

    def _note(
        self, one: Followed, lookup: Lookup, now: float, result: Done[Followed, Any] | Failed[Followed]
    ) -> None:
        """What the look has shown, and since when the refund is in this state as far as is known."""
        before, after = one.seen, Seen.of(lookup)
        if before is None or before.status != after.status:
            one.since, one.stuck_told = now, False
            if before is None and isinstance(result, Done) and isinstance(result.value, Refund):
                modified = result.value.gmt_modified  # it cannot have come into this state later
                if modified is not None:
                    one.since = min(now, modified.timestamp())
        one.seen, one.looked_at = after, now

    def _is_stuck(self, store: FollowStore, one: Followed, now: float) -> bool:
        if self._stuck_after is None or one.stuck_told or one.since is None or one.seen is None:
            return False
        sent_back = one.seen.status == SENT_BACK[one.platform]
        return sent_back and now - one.since >= self._stuck_after.total_seconds()

    def _change(
        self, kind: ChangeKind, one: Followed, before: Seen | None, now: float, pushed: bool
    ) -> Change:
        assert one.seen is not None, "a look that did not fail has seen something"
        assert one.since is not None, "and the first one has set since when"
        done = self._is_done(one.platform, one.seen)
        one.active = not done
        wanted = one.seen.status in self._wanted if self._wanted else done
        return Change(
            kind=kind,
            platform=one.platform,
            refund_id=one.refund_id,
            before=before,
            after=one.seen,
            seen_at=stamp(now),
            since=stamp(one.since),
            pushed=pushed,
            done=done,
            wanted=wanted,
        )


@contextlib.contextmanager
def _usable(store: FollowStore) -> Iterator[None]:
    """Raise what goes wrong with the file in our words."""
    try:
        yield
    except FILE_ERRORS as error:
        raise store.unavailable(error) from error
