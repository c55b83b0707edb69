"""The lookups of a run: what the state lacks is asked for, and each answer is kept the moment it is there."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import Any, cast

import attrs

from pandapon_async.accounts import Accounts
from pandapon_async.bulk import Done, fetch_refunds
from pandapon_async.bulk.long_run import calls_at_once, with_patience
from pandapon_async.client import Client
from pandapon_async.clock import Clock
from pandapon_async.errors import AuthenticationError
from pandapon_async.progress import Progress
from pandapon_async.reconcile.by_account import fetch_by_account
from pandapon_async.reconcile.calls_saved import CallsSaved
from pandapon_async.reconcile.lookup import lookup_of_answer, lookup_of_error
from pandapon_async.reconcile.options import Options
from pandapon_async.reconcile.probe import Probe
from pandapon_async.reconcile.run_store import Pending, RunStore
from pandapon_async.reconcile.stoppable_thread import StoppableThread
from pandapon_async.reconcile.verdict import Lookup, Outcome

__all__ = ["COUNTERS", "LookingUp", "counters", "stamp"]

COUNTERS = ("calls", "attempts", "retried", "throttled", "failed")
"""What a run reports of its calls."""


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
    """Is given each lookup once the state has it, and waited for."""
    least_tried: int = 1
    """Platforms with fewer refunds to look up are not tried with a few of them first."""
    saved: CallsSaved = attrs.field(factory=CallsSaved)
    """The calls that it did not need."""
    _trying: bool = attrs.field(default=False, init=False)
    """Whether what is looked up may be looked up again, with the id in another place."""

    async def run(self, state: RunStore, counts: dict[str, int]) -> None:
        """Look up what the state lacks; `counts` says how much."""
        total, done = state.to_look_up(), state.looked_up()
        if done:
            since = state.oldest_lookup()
            self.progress.note(
                f"reusing {done:,} of {total:,} lookups of an earlier run (oldest {since}); "
                "--fresh repeats them"
            )
        if done < total:
            self.progress.begin("looking up", total, done, self.statistics)
            if not self.options.accept_missing:
                counts["lookups"] = await self._probe(state)
            counts["lookups"] += await self._fetch(state, state.pending)
            self.progress.end()
        again = state.passing_failures() if self.options.second_pass else 0
        if again:
            self.progress.begin("second pass", again, 0, self.statistics)
            counts["second_pass"] = await self._fetch(state, state.failed_in_passing)
            self.progress.end()

    async def _probe(self, state: RunStore) -> int:
        """Look up a few rows first, and stop if nothing is found; gives the number of rows looked up."""
        before = state.looked_up()

        async def fetch(client: Client, rows: Iterable[Pending]) -> None:
            chosen = list(rows)
            await self._fetch(
                state,
                lambda account: (row for row in chosen if account is None or row.account == account),
                client,
            )

        probe = Probe(self.client, state, fetch, self.progress, self.thread.run, self.least_tried)
        self._trying = True
        try:
            await probe.run()
        finally:
            self._trying = False
        self.client = probe.client
        for row in probe.looked_up:
            for lookup in await self.thread.run(functools.partial(state.lookups_of, [row.row])):
                await self._tell(row.row, lookup)
        return state.looked_up() - before

    @property
    def statistics(self) -> Any:
        """Numbers of all clients together."""
        return self.client.statistics if self.accounts is None else self.accounts.statistics

    async def _fetch(
        self,
        state: RunStore,
        pending: Callable[[str | None], Iterator[Pending]],
        client: Client | None = None,
    ) -> int:
        """Look up what is pending (of an account; None: of all); gives the number of lookups."""
        client = client or self.client
        if self.accounts is None:
            concurrency = self.options.concurrency or calls_at_once(client.settings)
            return await self._fetch_with(client, state, pending(None), concurrency)
        return await fetch_by_account(
            self.accounts.clients(state.accounts()),
            client,
            lambda one, name, concurrency: self._fetch_with(one, state, pending(name), concurrency),
            self.options.concurrency,
            self.progress,
        )

    async def _fetch_with(
        self, client: Client, state: RunStore, pending: Iterator[Pending], concurrency: int
    ) -> int:
        """Look up with one client, each result kept the moment it is there; gives their number."""
        client = with_patience(client)
        results = fetch_refunds(
            client,
            pending,
            platform=lambda item: item.platform,
            refund_id=lambda item: item.refund_id,
            concurrency=concurrency,
        )
        count = 0
        async with contextlib.aclosing(cast("Any", results)):
            async for result in results:
                if isinstance(result, Done):
                    lookup = lookup_of_answer(result.item.refund_id, result.value)
                    lookup.request_id, lookup.attempts = result.request_id, result.attempts
                elif isinstance(result.error, AuthenticationError):
                    continue  # says nothing of the refund; the run ends with it
                else:
                    lookup = lookup_of_error(result.error)
                await self.keep(state, result.item.row, lookup)
                count += 1
        return count

    async def keep(self, state: RunStore, row: int, lookup: Lookup) -> None:
        """Keep a lookup, wherever it comes from. One that does not say when it was made was made now."""
        if lookup.looked_up_at is None:
            lookup.looked_up_at = stamp(self.clock.wall())
        state.record(row, lookup)
        if not self._trying:
            await self._tell(row, lookup)
        elif self.kept is not None and lookup.outcome is Outcome.FOUND:
            await self.kept(row, lookup)  # that stands, wherever the id turns out to belong

    async def _tell(self, row: int, lookup: Lookup) -> None:
        if self.kept is not None:
            await self.kept(row, lookup)
        self.progress.advance(failed=lookup.outcome is Outcome.FAILED)


def stamp(seconds: float) -> str:
    """A moment as lookups carry it: so that their texts can be compared."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def counters(statistics: Any) -> dict[str, int]:
    """The numbers of a client that a run reports."""
    return {name: getattr(statistics, name) for name in COUNTERS}
