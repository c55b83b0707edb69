"""The lookups of a run: request what the state lacks, and store each answer as it arrives."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, TypeVar, cast

import attrs

from pandapon_async.accounts import Accounts
from pandapon_async.bulk import Done, fetch_refunds
from pandapon_async.bulk.long_run import calls_at_once, with_patience
from pandapon_async.client import Client
from pandapon_async.clock import Clock, time_limit
from pandapon_async.core.model import BEIJING
from pandapon_async.errors import AuthenticationError
from pandapon_async.progress import Progress
from pandapon_async.reconcile.ages import NEAR, stamp
from pandapon_async.reconcile.by_account import fetch_by_account
from pandapon_async.reconcile.by_list import Confirming
from pandapon_async.reconcile.calls_saved import CallsSaved
from pandapon_async.reconcile.find_missing import FEW, Finding, MissingRange, read_pushes, too_many
from pandapon_async.reconcile.list_store import Listed
from pandapon_async.reconcile.lists import AccountLists
from pandapon_async.reconcile.lookup import lookup_of_answer, lookup_of_error
from pandapon_async.reconcile.options import Options
from pandapon_async.reconcile.probe import Probe
from pandapon_async.reconcile.reuse import Reuse
from pandapon_async.reconcile.run_store import Pending, RunStore
from pandapon_async.reconcile.stoppable_thread import StoppableThread
from pandapon_async.reconcile.verdict import Lookup, Outcome, VerdictRule

R = TypeVar("R", Pending, Listed)

__all__ = ["COUNTERS", "LookingUp", "counters"]

COUNTERS = ("calls", "attempts", "retried", "throttled", "failed")
"""The counters of its calls that a run reports."""
SECONDS_PER_ROW = 200e-6
"""Seconds for judging a row and writing it to all files, an upper bound: 26 to 69 µs were measured."""


@attrs.define
class LookingUp:
    """Looks up the refunds of a state with one client, or each with the client of its account."""

    client: Client
    accounts: Accounts | None
    options: Options
    progress: Progress
    clock: Clock
    thread: StoppableThread
    kept: Callable[[int, Lookup], Awaitable[None]] | None = None
    """Awaited with each lookup after the state has it."""
    placed: Callable[[dict[str, str]], Awaitable[None]] | None = None
    """Awaited with the place of ids, once that is known, before any lookup that depends on it."""
    least_tried: int = 1
    """Platforms with fewer refunds are not probed first."""
    missing: MissingRange | None = None
    """The days that are searched for refunds that the ledger lacks, if they are."""
    rule: VerdictRule | None = None
    """The rules of judgement, if lists confirm rows."""
    confirmed: int = attrs.field(default=0, init=False)
    """The number of rows confirmed by lists."""
    reuse: Reuse | None = None
    """The reuse of earlier lookups."""
    reuse_ended: Callable[[list[str]], Awaitable[None]] | None = None
    """Awaited with the platforms for which reuse has ended."""
    saved: CallsSaved = attrs.field(factory=CallsSaved)
    """The calls that it saved."""
    stopped: bool = attrs.field(default=False, init=False)
    """Whether `Options.stop_at` ended it."""
    _fetched: int = attrs.field(default=0, init=False)
    """The number of lookups made."""
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)
    _trying: bool = attrs.field(default=False, init=False)
    """Whether lookups may be repeated with the id in another place."""

    async def run(self, state: RunStore, counts: dict[str, int]) -> None:
        """Look up what the state lacks, the most important first; `counts` has the numbers.

        It ends in time for `Options.stop_at` and leaves the rest to another run.
        """
        urgent = datetime.fromtimestamp(self.clock.wall(), BEIJING) + NEAR
        await self.thread.run(state.forget_tried)
        await self.thread.run(state.forget_unproved)
        if self.reuse is not None:
            await self.thread.run(functools.partial(self.reuse.choose, state))
        await self.thread.run(lambda: state.arrange(urgent.isoformat()))
        if self.options.stop_at is None:
            await self._run(state, counts)
            return
        rows = await self.thread.run(state.to_look_up)
        left = self.options.stop_at.timestamp() - self.clock.wall() - seconds_to_write(rows)
        limit = time_limit(self.clock, None)

        def stop() -> None:
            self.stopped = True
            limit.end()

        if left <= 0:
            self.stopped = True
            return
        timer = self.clock.call_later(left, stop)
        try:
            with limit:
                await self._run(state, counts)
        except TimeoutError:
            if not self.stopped:
                raise
            await self.thread.run(state.forget_tried)
            await self.thread.run(state.forget_unproved)
        finally:
            timer.cancel()

    async def _run(self, state: RunStore, counts: dict[str, int]) -> None:
        total, done, single = state.to_look_up(), state.looked_up(), state.single_lookups()
        if done:
            since = state.oldest_lookup()
            self.progress.note(
                f"reusing {done:,} of {total:,} lookups of an earlier run (oldest {since}); "
                "--fresh repeats them"
            )
        try:
            if done < total:
                self.progress.begin("looking up", total, done, self.statistics)
                if not self.options.accept_missing or state.get("places"):
                    await self._probe(state)
                if self.reuse is not None:
                    await self._use_again(state, self.reuse)
            if self.rule is not None or self.missing is not None:
                await self._read_lists(state)
            if state.looked_up() < total:  # lists may have dropped what they confirmed before
                await self._fetch(state, state.pending)
                self.progress.end()
            await self._second_pass(state, counts)
            while self.reuse is not None and await self._reuse_ends(state, self.reuse):
                self.progress.begin("looking up again", total, state.looked_up(), self.statistics)
                await self._fetch(state, state.pending)
                self.progress.end()
                await self._second_pass(state, counts)
        finally:
            counts["by_list"] = self.confirmed
            counts["lookups"] = state.single_lookups() - single
        if self.missing is not None:
            counts["lacking"] = await self._look_up_lacking(state)

    async def _second_pass(self, state: RunStore, counts: dict[str, int]) -> None:
        again = state.passing_failures() if self.options.second_pass else 0
        if not again:
            return
        self.progress.begin("second pass", again, 0, self.statistics)
        before = self._fetched
        try:
            await self._fetch(state, state.failed_in_passing)
        finally:
            counts["second_pass"] += self._fetched - before
        self.progress.end()

    async def _use_again(self, state: RunStore, reuse: Reuse) -> None:
        """Reuse earlier lookups after a sample of them proved to be still correct."""
        await self._fetch(state, state.to_recheck)
        await self._reuse_ends(state, reuse)
        pages = reuse.use(state)
        while (page := await self.thread.run(lambda: next(pages, None))) is not None:
            await self.thread.run(functools.partial(state.record_all, page))
            for row, lookup in page:
                if self.kept is not None:
                    await self.kept(row, lookup)
                self.progress.advance(failed=False)
        await self._count_reuse(state, reuse)
        for text in await self.thread.run(reuse.notes):
            self.progress.note(text)

    async def _reuse_ends(self, state: RunStore, reuse: Reuse) -> bool:
        """Check the sample; if a refund has changed, drop the reused lookups."""
        ended = await self.thread.run(functools.partial(reuse.compare, state))
        for platform in ended:
            self.progress.note(reuse.why_ended(platform))
        if ended:
            await self._count_reuse(state, reuse)
            if self.reuse_ended is not None:
                await self.reuse_ended(ended)
        await self.thread.run(reuse.forget_changed)
        return bool(ended)

    async def _count_reuse(self, state: RunStore, reuse: Reuse) -> None:
        await self.thread.run(functools.partial(reuse.count, state))
        self.saved.reuse, self.saved.push = reuse.result.final, reuse.result.silent

    async def _read_lists(self, state: RunStore) -> None:
        """Read the lists of each account: for what they confirm, and for what the ledger lacks."""
        today = datetime.fromtimestamp(self.clock.wall(), BEIJING).date()
        if self.missing is not None and self.options.callbacks is not None and self.accounts is None:
            pushes = functools.partial(read_pushes, state, self.options.callbacks, self.missing)
            await self._in_turn(pushes)

        async def read(client: Client, account: str | None, concurrency: int) -> None:
            async def look_up(rows: Sequence[int]) -> None:
                wanted = await self._in_turn(lambda: state.wanted(rows))
                await self._fetch_with(client, state, iter(wanted), concurrency)

            facts = client.settings.vendor.list
            lists = AccountLists(
                client=client,
                state=state,
                account=account,
                progress=self.progress,
                in_thread=self._in_turn,
                concurrency=concurrency,
                saved=self.saved,
            )
            if self.rule is not None:
                lists.confirming = Confirming(
                    state=state,
                    account=account,
                    rule=self.rule,
                    current=facts.current,
                    in_thread=self._in_turn,
                    look_up=look_up,
                    stamp=lambda: stamp(self.clock.wall()),
                    told=self._advance,
                )
            if self.missing is not None:
                lists.finding = Finding(state, account, self.missing, facts.time, self._in_turn, today)
            try:
                await lists.run()
            finally:
                self.confirmed += lists.confirmed

        if self.accounts is None:
            await read(self.client, None, self.options.concurrency or calls_at_once(self.client.settings))
        else:
            clients = self.accounts.clients(await self.thread.run(state.accounts))
            await fetch_by_account(clients, self.client, read, self.options.concurrency, self.progress)

    async def _look_up_lacking(self, state: RunStore) -> int:
        """Look up what the platform named and the ledger lacks, unless it is too much; return the number."""
        named, lacking, asks = await self._in_turn(lambda: too_many(state))
        looked_up = not asks or lacking <= FEW or self.options.accept_missing
        state.set({"lacking_looked_up": looked_up})
        self.progress.note(f"the platform names {named:,} refunds; the ledger lacks {lacking:,} of them")
        if not lacking or not looked_up:
            return 0
        await self._in_turn(state.forget_lacking_failures)
        await self._in_turn(state.arrange_lacking)
        before = self._fetched
        self.progress.begin("what the ledger lacks", lacking, 0, self.statistics)
        for again in (False, True) if self.options.second_pass else (False,):
            await self._fetch_lacking(state, again=again)
        self.progress.end()
        return self._fetched - before

    async def _fetch_lacking(self, state: RunStore, *, again: bool) -> None:
        async def fetch(client: Client, account: str | None, concurrency: int) -> None:
            async def keep(one: Listed, lookup: Lookup) -> None:
                lookup.looked_up_at = stamp(self.clock.wall())
                await self._in_turn(lambda: state.set_listed(attrs.evolve(one, lookup=lookup)))
                self.progress.advance(failed=lookup.outcome is Outcome.FAILED)

            await self._fetch_each(client, state.lacking_pending(account, again=again), concurrency, keep)

        if self.accounts is None:
            await fetch(self.client, None, self.options.concurrency or calls_at_once(self.client.settings))
        else:
            clients = self.accounts.clients(await self.thread.run(state.accounts))
            await fetch_by_account(clients, self.client, fetch, self.options.concurrency, self.progress)

    async def _in_turn(self, work: Callable[[], Any]) -> Any:
        """Run functions on the state off the loop, one at a time."""
        async with self._turn:
            return await self.thread.run(work)

    def _advance(self, count: int) -> None:
        for _ in range(count):
            self.progress.advance(failed=False)

    async def _probe(self, state: RunStore) -> None:
        """Look up a few rows first, and stop if nothing is found."""

        async def fetch(client: Client, rows: Iterable[Pending]) -> None:
            chosen = list(rows)
            state.set({"trying": [row.row for row in chosen]})
            await self._fetch(
                state,
                lambda account: (row for row in chosen if account is None or row.account == account),
                client,
            )

        probe = Probe(self.client, state, fetch, self.progress, self.thread.run, self.least_tried)
        self._trying = True
        try:
            await probe.run()
            state.set({"trying": None, "places": probe.places})
        finally:
            self._trying = False
        self.client = probe.client
        if self.placed is not None:
            await self.placed(probe.places)
        found = [
            (row.row, lookup)
            for row in probe.looked_up
            for lookup in await self.thread.run(functools.partial(state.lookups_of, [row.row]))
        ]
        for row, lookup in found:
            if self.kept is not None:
                await self.kept(row, lookup)
        for _, lookup in found:
            self.progress.advance(failed=lookup.outcome is Outcome.FAILED)

    @property
    def statistics(self) -> Any:
        """The counters of all clients together."""
        return self.client.statistics if self.accounts is None else self.accounts.statistics

    async def _fetch(
        self,
        state: RunStore,
        pending: Callable[[str | None], Iterator[Pending]],
        client: Client | None = None,
    ) -> None:
        """Look up the pending rows (of an account; None: of all)."""
        client = client or self.client
        if self.accounts is None:
            concurrency = self.options.concurrency or calls_at_once(client.settings)
            await self._fetch_with(client, state, pending(None), concurrency)
            return
        await fetch_by_account(
            self.accounts.clients(await self.thread.run(state.accounts)),
            client,
            lambda one, name, concurrency: self._fetch_with(one, state, pending(name), concurrency),
            self.options.concurrency,
            self.progress,
        )

    async def _fetch_with(
        self, client: Client, state: RunStore, pending: Iterator[Pending], concurrency: int
    ) -> None:
        """Look up with one client; store each result as it arrives."""

        async def keep(item: Pending, lookup: Lookup) -> None:
            await self.keep(state, item.row, lookup)

        await self._fetch_each(client, pending, concurrency, keep)

    async def _fetch_each(
        self,
        client: Client,
        items: Iterator[R],
        concurrency: int,
        keep: Callable[[R, Lookup], Awaitable[None]],
    ) -> None:
        """Look up refunds with one client, and give each result away."""
        results = fetch_refunds(
            with_patience(client),
            items,
            platform=lambda item: item.platform,
            refund_id=lambda item: item.refund_id,
            concurrency=concurrency,
        )
        async with contextlib.aclosing(cast("Any", results)):
            async for result in results:
                if isinstance(result, Done):
                    lookup = lookup_of_answer(result.item.refund_id, result.value)
                    lookup.request_id, lookup.attempts = result.request_id, result.attempts
                elif isinstance(result.error, AuthenticationError):
                    continue  # says nothing about the refund and ends the run
                else:
                    lookup = lookup_of_error(result.error)
                await keep(result.item, lookup)
                self._fetched += 1

    async def keep(self, state: RunStore, row: int, lookup: Lookup) -> None:
        """Store a lookup from any source. One without a time was made now."""
        if lookup.looked_up_at is None:
            lookup.looked_up_at = stamp(self.clock.wall())
        state.record(row, lookup)
        if self._trying:
            return
        if self.kept is not None:
            await self.kept(row, lookup)
        self.progress.advance(failed=lookup.outcome is Outcome.FAILED)


def seconds_to_write(rows: int) -> float:
    """Seconds before `Options.stop_at` at which lookups end, so that the files are written in time."""
    return 5.0 + rows * SECONDS_PER_ROW


def counters(statistics: Any) -> dict[str, int]:
    """Return the counters of a client that a run reports."""
    return {name: getattr(statistics, name) for name in COUNTERS}
