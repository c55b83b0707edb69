"""Reconcile a ledger in parts on a Dask cluster: one process coordinates while others look up.

The parts and their results are in a folder that all machines see, so any machine can run a part again. The
engine decides who runs it again. Three things it does not do are done here. A part goes only to a worker that
proved that it knows the account. The rate is divided among the workers at the start, and no more than these
have parts at a time. And when the run is cancelled, the workers are asked to stop, because the engine does
not interrupt a thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from pandapon_async.clock import Clock, duration, time_limit
from pandapon_async.errors import ConfigurationError, InvalidArgumentError, PandaponError
from pandapon_async.events import Observed
from pandapon_async.progress import NullProgress, Progress
from pandapon_async.reconcile.dask_client import DaskClient, ask
from pandapon_async.reconcile.lookup_store import LOOKUPS
from pandapon_async.reconcile.options import Options
from pandapon_async.reconcile.parquet_rows import NO_PARQUET, can_write_parquet
from pandapon_async.reconcile.part_runs import IncompletePartsError, PartResult, merge
from pandapon_async.reconcile.part_tasks import PartFailure, PartOrder, prove, run_order, stop_parts
from pandapon_async.reconcile.parts import MOST_PARTS, Split, split_or_resume
from pandapon_async.reconcile.summary import Summary
from pandapon_async.reconcile.worker_access import Access, Proof, differences
from pandapon_async.settings import Settings
from pandapon_async.settings.vendor import FreightReading
from pandapon_async.storage.files import only_writer

__all__ = ["DaskClient", "PartFailure", "PartsFailedError", "reconcile_on"]

PARTS_PER_WORKER = 4
LOOK_EVERY = 0.25
"""Seconds between two checks of the tasks."""
WORKERS_EVERY = 2.0
"""Seconds between two checks of the workers."""
PROOF_WITHIN = 60.0
STOP_WITHIN = 10.0
NOBODY_FOR = 120.0
"""Seconds without any usable worker after which the run ends."""
PASSING_FOR = 600.0
"""Seconds during which a part is retried that another, stopping process still holds."""
AGAIN_AFTER = 5.0
_FATAL = frozenset({"nothing_found", "authentication"})


class PartsFailedError(PandaponError):
    """Parts of a ledger did not finish; nothing was merged, and finished lookups are kept."""

    def __init__(self, message: str, *, failures: tuple[PartFailure, ...] = (), **facts: Any) -> None:
        super().__init__(message, **facts)
        self.failures = failures
        """The failed parts and the reasons."""


async def reconcile_on(
    dask_client: DaskClient,
    ledger: str | Path,
    out: str | Path,
    *,
    account: str | None = None,
    config: str | Path | None = None,
    options: Options | None = None,
    parts: int | None = None,
    by_account: bool = False,
    retries: int = 2,
    rate: float | None = None,
    base_url: str | None = None,
    freight: FreightReading | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Summary:
    """Compare a ledger with the platforms on a Dask cluster, as `pandapon reconcile --dask` does.

    The ledger is split into parts, each part is a task, and finally all rows are judged together in this
    process. The parts are in `out`, which every machine must see under the same path. Each worker reads its
    own configuration; a task has the name of the account, paths and options, but no secret. After an end at
    any moment a second call repeats no finished lookup.

    Without `Settings.shared` the rate is divided among the workers that are present at the start.

    Args:
        dask_client: A `dask.distributed.Client`, asynchronous or not.
        ledger: A CSV, XLSX or Parquet file; a folder or a pattern of CSV or Parquet files.
        out: The folder for the reports and the parts.
        account: The account of all rows; None: PANDAPON_ACCOUNT, else the accounts in the rows, else the
            environment's.
        config: The configuration file, the same path on every machine; None: each finds its own.
        options: How the ledger is read and judged.
        parts: How many, from 1 to 1,000; None: 4 for each worker. A resumed run keeps its own.
        by_account: Keeps the rows of an account together.
        retries: How many times a part is run again after its worker died or it failed unexpectedly.
        rate: Calls per second of the whole quota; overrides the configuration.
        base_url: The address of the calls; overrides the configuration.
        freight: The reading of freight; overrides the configuration.
        progress: Receives the progress of all parts together.
        clock: The time, and the pauses.

    Returns: the summary that summary.json holds.

    Raises:
        InvalidArgumentError: The ledger or an option cannot work.
        ConfigurationError: No worker can run a part, or a folder cannot be used. Nothing was looked up.
        PartsFailedError: Parts failed. Nothing was merged.
        NothingFoundError: None of a platform's refunds was found. Nothing was merged.
    """
    options = options or Options()
    options.refuse_lists()
    said = {"rate": rate, "base_url": base_url, "freight": freight}
    access = Access(
        account=account,
        config=config,
        settings={name: value for name, value in said.items() if value is not None},
    )
    run = _Run(dask_client, access, options, progress or NullProgress(), clock or Clock(), retries)
    return await run.reconcile(Path(ledger), Path(out), parts, by_account)


@attrs.define
class _Running:
    """A part on its worker."""

    part: int
    future: Any
    result: asyncio.Task[PartResult | PartFailure] | None = None
    """What fetches its result: from a worker, which may be stopped by then."""


@attrs.define
class _Part:
    """How often a part was tried, and from when on it may be tried again."""

    tries: int = 0
    not_before: float = 0.0
    held_since: float | None = None
    done: int = 0
    failed: int = 0
    throttled: int = 0
    retried: int = 0


@attrs.define
class _Run:
    """One run: who may have parts, which parts are where, and how far they are."""

    dask: DaskClient
    access: Access
    options: Options
    progress: Progress
    clock: Clock
    retries: int
    topic: str = attrs.field(factory=lambda: f"pandapon-{secrets.token_hex(6)}")
    folder: str = ""
    workers: set[str] = attrs.field(factory=set)
    """Who may have a part."""
    refused: dict[str, str] = attrs.field(factory=dict)
    """Who may not, and why."""
    most: int | None = None
    """How many may have one at a time, as the rate is divided among so many; None: any number."""
    waiting: deque[int] = attrs.field(factory=deque)
    running: dict[str, _Running] = attrs.field(factory=dict)
    parts: dict[int, _Part] = attrs.field(factory=dict)
    ended: dict[int, PartResult] = attrs.field(factory=dict)
    failures: list[PartFailure] = attrs.field(factory=list)
    told: set[str] = attrs.field(factory=set)
    looking: asyncio.Task[None] | None = None
    checking: dict[str, asyncio.Task[None]] = attrs.field(factory=dict)
    """The workers that are asked for their proof."""

    async def reconcile(self, ledger: Path, out: Path, parts: int | None, by_account: bool) -> Summary:
        own = await asyncio.to_thread(self.access.own_settings)
        if parts is not None and not 1 <= parts <= MOST_PARTS:
            raise InvalidArgumentError(
                f"{parts} parts are not possible; choose 1 to {MOST_PARTS:,}", argument="parts"
            )
        if self.options.by_list:
            raise InvalidArgumentError(
                "a list covers the refunds of all parts, so it cannot be used for one part; omit by_list",
                argument="by_list",
            )
        await asyncio.to_thread(self._name_files, out)
        there = await ask(self.dask, self.dask.nthreads)
        if not there:
            raise ConfigurationError("the cluster has no workers; start some with: dask worker ADDRESS")
        count = parts or min(PARTS_PER_WORKER * len(there), MOST_PARTS)
        accounts = await asyncio.to_thread(self.access.accounts)
        async with accounts or contextlib.nullcontext():
            found, folder = await split_or_resume(
                ledger, out, count, options=self.options, accounts=accounts, by_account=by_account,
                clock=self.clock, progress=self.progress,
            )  # fmt: skip
        self.folder = str(folder)
        async with self._alone(own, found, ledger):
            await self._look_up(found, own, there)
            try:
                summary = await self._merge(folder, out, own)
            except IncompletePartsError as error:  # a part reused lookups that another part found outdated
                self.progress.note(f"{error}; all parts are run again")
                await self._look_up(found, own, await ask(self.dask, self.dask.nthreads))
                summary = await self._merge(folder, out, own)
            if not summary.totals.unverified:
                await asyncio.to_thread(found.finish, folder, self.clock.wall())
        if (observed := Observed.of(own.observer)) is not None:
            observed.tell("reconciled", summary)
        return summary

    def _name_files(self, out: Path) -> None:
        """Files of options as every worker finds them; what is kept for later nights lies in `out`."""
        options = self.options
        if options.remembers:
            options = attrs.evolve(options, lookups=(options.lookups or out / LOOKUPS).absolute())
        if options.callbacks is not None:
            options = attrs.evolve(options, callbacks=options.callbacks.absolute())
        self.options = options

    async def _merge(self, folder: Path, out: Path, own: Settings) -> Summary:
        self.progress.note("writing reports, rows and summary")
        if not can_write_parquet():
            self.progress.note(NO_PARQUET)
        return await merge(folder, out, options=self.options, freight=own.vendor.freight, clock=self.clock)

    @contextlib.asynccontextmanager
    async def _alone(self, own: Settings, found: Split, ledger: Path) -> AsyncIterator[None]:
        """Lock the ledger against other runs."""
        held = contextlib.ExitStack()
        lock = only_writer(Path(self.folder) / "split.json")
        try:
            await asyncio.to_thread(held.enter_context, lock)
            if own.shared is None:
                yield
                return
            # Loaded here: most programs share nothing.
            from pandapon_async.shared.runs import only_run

            async with only_run(own.shared, self.clock, found.digest, f"the ledger {ledger}"):
                yield
        finally:
            await asyncio.to_thread(held.close)

    async def _look_up(self, found: Split, own: Settings, there: Iterable[str]) -> None:
        nonce = secrets.token_hex(16)
        ours = await asyncio.to_thread(self.access.proof, nonce, self.folder)
        if ours.problem is not None:
            raise ConfigurationError(ours.problem)
        await asyncio.gather(*(self._check_worker(worker, ours, nonce) for worker in there))
        if not self.workers:
            reasons = "; ".join(f"{worker} {why}" for worker, why in list(self.refused.items())[:5])
            raise ConfigurationError(f"no worker can run a part: {reasons}")
        await self._divide(found, own)
        self.parts = {number: _Part() for number in range(1, found.parts + 1)}
        self.waiting = deque(self.parts)
        self.progress.begin("looking up", sum(found.to_look_up), 0, self)
        self.dask.subscribe_topic(self.topic, self._hear_from(asyncio.get_running_loop()))
        try:
            await self._drive(ours, nonce)
        finally:
            self.progress.end()
            self.dask.unsubscribe_topic(self.topic)
            await asyncio.shield(self._stop())
        if self.failures:
            shown = "; ".join(map(str, self.failures[:5]))
            raise PartsFailedError(
                f"{len(self.failures)} of {found.parts} parts failed: {shown}. Nothing was merged",
                failures=tuple(self.failures),
            )

    async def _divide(self, found: Split, own: Settings) -> None:
        """Say which part of the quota each worker gets."""
        if own.shared is not None:
            self.progress.note(
                f"{len(self.workers)} workers share one quota and journal in {own.shared.host}"
            )
            return
        if found.by_account and await asyncio.to_thread(self.access.quotas_are_apart):
            self.progress.note("each account is in one part, which has the whole rate of its accounts")
            return
        self.most = len(self.workers)
        self.access = attrs.evolve(self.access, shares=self.most)
        rate = "" if own.rate is None else f": {own.rate / self.most:.4g} of {own.rate:g} calls a second each"
        self.progress.note(
            f"{self.most} worker{'s' * (self.most > 1)} with equal parts of the rate{rate}. With a "
            "shared database (--shared) busy workers can use all of it"
        )

    async def _check_worker(self, worker: str, ours: Proof, nonce: str) -> None:
        """Let it have parts if it proves that it knows the accounts; name it otherwise."""
        proof: Any = None
        with contextlib.suppress(TimeoutError), time_limit(self.clock, PROOF_WITHIN):
            proofs: Mapping[str, Any] = await ask(self.dask,
                self.dask.run, prove, self.access, nonce, self.folder, self.topic,
                workers=[worker], on_error="return",
            )  # fmt: skip
            proof = proofs.get(worker)
        if isinstance(proof, Proof):
            reasons = differences(ours, proof)
        else:
            what = "says nothing" if proof is None else f"cannot answer ({type(proof).__name__})"
            reasons = [f"{what}; check that the same version of pandapon-async is installed there"]
        if reasons:
            self.refused[worker] = ", ".join(reasons)
            self.progress.note(f"worker {worker} gets no part: it {self.refused[worker]}")
        else:
            self.workers.add(worker)

    async def _drive(self, ours: Proof, nonce: str) -> None:
        """Hand out parts and take results. Nothing that a worker may leave unanswered is waited for."""
        looked = alone_since = self.clock.now()
        while self.waiting or self.running:
            now = self.clock.now()
            if self.looking is not None and self.looking.done():
                self.looking.result()
                self.looking = None
            elif self.looking is None and now - looked >= WORKERS_EVERY:
                looked = now
                self.looking = asyncio.ensure_future(self._look_at_workers(ours, nonce))
            if self.workers:
                alone_since = now
            elif now - alone_since > NOBODY_FOR:
                raise PartsFailedError(
                    f"for {duration(NOBODY_FOR)} no usable worker was connected; {len(self.ended)} of "
                    f"{len(self.parts)} parts are looked up"
                )
            self._hand_out(now)
            await self._pause()
            self._take_results()
            if any(failure.code in _FATAL for failure in self.failures) and len(ours.accounts) == 1:
                return

    async def _pause(self) -> None:
        over = asyncio.Event()
        self.clock.call_later(LOOK_EVERY, over.set)
        await over.wait()

    def _take_results(self) -> None:
        for worker, one in list(self.running.items()):
            if one.result is None and one.future.done():
                one.result = asyncio.ensure_future(self._result(one))
            elif one.result is not None and one.result.done():
                del self.running[worker]
                self._take(one.part, one.result.result())

    async def _look_at_workers(self, ours: Proof, nonce: str) -> None:
        try:
            there = set(await ask(self.dask, self.dask.nthreads))
        except Exception as error:  # any error of the engine about its connection
            raise PartsFailedError(
                f"the scheduler does not answer ({type(error).__name__}); "
                f"{len(self.ended)} of {len(self.parts)} parts are looked up"
            ) from None
        for worker in self.workers - there:
            self.workers.discard(worker)
            self.progress.note(f"worker {worker} is gone")
            if (one := self.running.pop(worker, None)) is not None:
                if one.result is not None:
                    one.result.cancel()
                await ask(self.dask, one.future.cancel)
                lost = PartFailure(
                    part=one.part, type="WorkerLost", code="worker_lost", place=worker, retryable=True
                )
                self._take(one.part, lost)
        for worker in there - self.workers - self.refused.keys() - self.checking.keys():
            self.checking[worker] = asyncio.ensure_future(self._check_worker(worker, ours, nonce))
        for worker in [worker for worker, task in self.checking.items() if task.done()]:
            self.checking.pop(worker).result()

    def _hand_out(self, now: float) -> None:
        """Give a part to each worker that has none, as far as the rate was divided."""
        for worker in sorted(self.workers - self.running.keys()):
            if self.most is not None and len(self.running) >= self.most:
                return
            number = next((one for one in self.waiting if self.parts[one].not_before <= now), None)
            if number is None:
                return
            self.waiting.remove(number)
            self.parts[number].tries += 1
            order = PartOrder(
                folder=self.folder, part=number, access=self.access, options=self.options, topic=self.topic
            )
            future = self.dask.submit(
                run_order,
                order,
                key=f"{self.topic}-part-{number}-{secrets.token_hex(4)}",
                workers=[worker],
                allow_other_workers=False,
                pure=False,
            )
            self.running[worker] = _Running(number, future)

    async def _result(self, one: _Running) -> PartResult | PartFailure:
        try:
            found: PartResult | PartFailure = await ask(self.dask, one.future.result)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and one.future.status != "cancelled":
                raise  # we are
            return PartFailure(
                part=one.part,
                type=type(error).__name__,
                code="worker_lost",
                place="the engine",
                retryable=True,
            )
        return found

    def _take(self, number: int, result: PartResult | PartFailure) -> None:
        part = self.parts[number]
        if isinstance(result, PartResult):
            self.ended[number] = result
            return
        now = self.clock.now()
        if result.retryable and result.code == "configuration":  # another process still holds the part
            part.held_since = now if part.held_since is None else part.held_since
            again = now - part.held_since < PASSING_FOR
            part.tries -= 1
        else:
            again = result.retryable and part.tries <= self.retries
        if not again:
            self.failures.append(result)
            self.progress.note(f"failed: {result}")
            return
        part.not_before = now + AGAIN_AFTER
        self.waiting.append(number)
        self._tell_once(f"{result}; running it again")

    def _tell_once(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self.progress.note(text)

    async def _stop(self) -> None:
        """End what is under way: here, and on the workers, which keep what they looked up."""
        under_way = [self.looking, *self.checking.values(), *(one.result for one in self.running.values())]
        tasks = [task for task in under_way if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if not self.running:
            return
        with contextlib.suppress(Exception):
            with time_limit(self.clock, STOP_WITHIN):
                await ask(
                    self.dask,
                    self.dask.run,
                    stop_parts,
                    self.folder,
                    workers=list(self.running),
                    on_error="ignore",
                )
            for one in self.running.values():
                await ask(self.dask, one.future.cancel)

    def _hear_from(
        self, loop: asyncio.AbstractEventLoop
    ) -> Callable[[tuple[float, Mapping[str, Any]]], None]:
        def hear(event: tuple[float, Mapping[str, Any]]) -> None:  # in a thread of the engine's
            with contextlib.suppress(RuntimeError):  # this loop has ended
                loop.call_soon_threadsafe(self._hear, event[1])

        return hear

    def _hear(self, message: Mapping[str, Any]) -> None:
        part = self.parts.get(message["part"])
        if part is None:
            return
        if "note" in message:
            self._tell_once(f"part {message['part']}: {message['note']}")
            return
        failed = message["failed"] - part.failed
        for at in range(message["done"] - part.done):
            self.progress.advance(failed=at < failed)
        part.done = max(part.done, message["done"])
        part.failed, part.throttled, part.retried = (
            message[name] for name in ("failed", "throttled", "retried")
        )

    @property
    def throttled(self) -> int:
        """Refusals by rate, of the last run of each part."""
        return sum(part.throttled for part in self.parts.values())

    @property
    def retried(self) -> int:
        """Attempts beyond the first, of the last run of each part."""
        return sum(part.retried for part in self.parts.values())

    @property
    def slowed_to(self) -> float | None:
        """Each worker has its own rate, so there is no common one."""
        return None
