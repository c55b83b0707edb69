"""Applying a plan: first look up what was left open, then upload images, send, and look up what is unknown.

Killed at any moment it resumes where it stopped: the plan says which rows were begun, the journal what
became of them. Nothing that may have succeeded is ever sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from pandapon_async import bulk
from pandapon_async.bulk import Done
from pandapon_async.bulk.long_run import account_of, calls_at_once, with_patience
from pandapon_async.bulk.vouchers import Uploader
from pandapon_async.client import Client
from pandapon_async.clock import duration
from pandapon_async.errors import AuthenticationError, ConfigurationError, PandaponError
from pandapon_async.plans import plan_lock
from pandapon_async.plans.apply_result import ApplyResult, result_of
from pandapon_async.plans.async_plan_file import AsyncPlanFile
from pandapon_async.plans.execute import RowSender
from pandapon_async.plans.limits import refuse_over_limits
from pandapon_async.plans.options import ApplyOptions
from pandapon_async.plans.plan_file import PlanFile, StoredPicture
from pandapon_async.plans.plan_types import plan_type_of
from pandapon_async.plans.results_file import digest_of, mark_of, results_path, write_results
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.stop import Stop
from pandapon_async.plans.summary import PlanSummary, sendable_states, summary_of
from pandapon_async.progress import NullProgress, Progress
from pandapon_async.storage.files import only_writer

__all__ = ["apply"]

T = TypeVar("T")
Results = AsyncGenerator[bulk.Done[Any, T] | bulk.Failed[Any], None]

LOOKING_UP = "looking up unknown outcomes"
ROUNDS = 3
"""How often what is settled as absent is sent again in one run, if it is to be sent again at all."""
TRIES = 5
"""How often a row of unknown outcome is asked about in one run: reads fail, too."""
BETWEEN_TRIES = 2.0
"""Seconds between them, where nothing but an answer is waited for."""

_MAY_STILL_BE_SETTLED = """
SELECT coalesce(sum(resolution = 'absent'), 0), coalesce(sum(resolution IS NULL), 0)
FROM rows WHERE state = 'unknown'
"""


async def apply(
    client: Client,
    plan: str | Path,
    *,
    options: ApplyOptions | None = None,
    results: str | Path | None = None,
    progress: Progress | None = None,
    stop: Stop | None = None,
) -> ApplyResult:
    """Carry out a plan, or go on with it.

    Called again, it sends what was not sent, looks up what is unknown, and leaves alone what ended. Whatever
    ends it early, the plan keeps where every row stands.

    Args:
        client: sends the rows; it must be of the plan's account.
        plan: the file that `plan` wrote.
        options: limits, and what else is allowed.
        results: the file that gets a line of JSON per row, in order (default: PLAN.results.jsonl).
        progress: is told how far it is.
        stop: lets somebody else end the run in good order.

    Returns: where every row stands.

    Raises:
        ConfigurationError: the plan is of another account, is over its limits, was begun with another
            journal, or is being applied by another process; nothing was sent.
        AuthenticationError: the vendor refused the account; nothing more was sent.
        JournalUnavailableError: the journal cannot be used; nothing more was sent.
    """
    path = Path(plan)
    work = _Application(
        client,
        path,
        options or ApplyOptions(),
        progress or NullProgress(),
        stop or Stop(),
        results_path(path) if results is None else Path(results),
    )
    return await work.run()


class _Application:
    """One run over one plan, step by step."""

    def __init__(
        self, client: Client, plan: Path, options: ApplyOptions, progress: Progress, stop: Stop, results: Path
    ) -> None:
        self._client = with_patience(client)
        if options.allow_repeat:
            self._client = self._client.with_settings(allow_repeat=True)
        self._plan = plan
        self._options = options
        self._progress = progress
        self._stop = stop
        self._results = results
        self._failures = 0

    async def run(self) -> ApplyResult:
        held = await self._take()
        try:
            async with AsyncPlanFile(lambda: PlanFile.open(self._plan)) as plan_file:
                if not self._options.dry_run:
                    now = self._client.settings.clock.wall()
                    await plan_file.do(lambda file: file.set({"applied_by": plan_lock.me(now)}))
                return await self._run(plan_file)
        finally:
            self._progress.end()
            held.close()

    def _lock(self) -> contextlib.ExitStack:
        with contextlib.ExitStack() as held:
            held.callback(plan_lock.take(self._plan).release)
            if not self._options.dry_run:
                self._results.parent.mkdir(parents=True, exist_ok=True)
                held.enter_context(only_writer(self._results))
            return held.pop_all()

    async def _take(self) -> contextlib.ExitStack:
        """The plan and its results for this process alone; cancelled meanwhile, they are given back."""
        taking = asyncio.ensure_future(asyncio.to_thread(self._lock))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait([taking])  # what a thread has begun it carries out
            if not taking.cancelled() and taking.exception() is None:
                taking.result().close()
            raise

    async def _run(self, plan_file: AsyncPlanFile) -> ApplyResult:
        plan_type = plan_type_of(await plan_file.do(lambda file: file.get("kind")))
        await self._check_whose(plan_file)
        mark = mark_of(await plan_file.do(digest_of))
        await asyncio.to_thread(mark.check, self._results)
        summary = await plan_file.do(self._summary)
        self._check_expected(summary)
        await plan_file.do(lambda file: refuse_over_limits(file, self._options))
        if self._options.dry_run:
            return await plan_file.do(lambda file: result_of(file, None, dry_run=True))
        await self._take_possession(plan_file)
        sender = RowSender(
            self._client,
            plan_file,
            plan_type,
            account_of(self._client),
            self._options.allow_repeat,
            self._options.vendor_message,
        )
        try:
            await self._work(plan_file, sender)
        finally:
            self._progress.end()
            await asyncio.shield(plan_file.do(self._write_results))
        return await plan_file.do(lambda file: result_of(file, self._stop.reason, results=self._results))

    def _write_results(self, file: PlanFile) -> None:
        write_results(self._results, file, group_readable=self._options.group_readable)

    def _summary(self, file: PlanFile) -> PlanSummary:
        return summary_of(file, resend_absent=self._options.resend_absent)

    async def _check_whose(self, plan_file: AsyncPlanFile) -> None:
        base_url, account = await plan_file.do(lambda file: (file.get("base_url"), file.get("account")))
        if base_url != self._client.settings.base_url:
            raise ConfigurationError(f"{self._plan} was made for {base_url}; this client talks to another")
        if account != account_of(self._client):
            raise ConfigurationError(f"{self._plan} was made for another account (access key or user id)")

    def _check_expected(self, summary: PlanSummary) -> None:
        expected = self._options.expected
        now = (summary.sendable, sum(money.amount_fen for money in summary.to_send))
        if expected is not None and expected != now:
            raise ConfigurationError(
                f"{self._plan} has changed since you were asked ({now[0]} rows are to be sent, not "
                f"{expected[0]}); look at it again"
            )

    async def _take_possession(self, plan_file: AsyncPlanFile) -> None:
        """From here on rows are sent: with the journal that knows what was sent before, and none else."""
        journal = self._client.journal
        identity = await journal.identity()
        known, where = await plan_file.do(lambda file: (file.get("journal_id"), file.get("journal")))
        if known not in (None, identity):
            open_rows = await plan_file.do(
                lambda file: file.page((RowState.APPLYING, RowState.UNKNOWN), -1, 1)
            )
            if open_rows:
                raise ConfigurationError(
                    f"this plan was begun with the journal {where}, and only that one knows what became of "
                    f"its open rows; the journal in use is {journal.path}. Use --journal {where}"
                )
        await plan_file.do(lambda file: file.write_ahead(durable=self._options.allow_repeat))
        await plan_file.do(lambda file: file.set({"journal_id": identity, "journal": journal.path}))

    async def _work(self, plan_file: AsyncPlanFile, sender: RowSender) -> None:
        await self._each(
            plan_file, "looking up what an earlier run left open", (RowState.APPLYING,), sender.look_up
        )
        await self._each(plan_file, LOOKING_UP, (RowState.UNKNOWN,), sender.resolve)
        for _ in range(ROUNDS):
            await self._upload(plan_file)
            await self._each(plan_file, "sending", self._to_send(), sender.send, sends=True)
            await self._resolve(plan_file, sender)
            again = self._options.resend_absent and await _count(plan_file, (RowState.SETTLED_ABSENT,))
            if self._stop.requested or not again:
                break

    def _to_send(self) -> tuple[RowState, ...]:
        return sendable_states(resend_absent=self._options.resend_absent)

    async def _each(
        self,
        plan_file: AsyncPlanFile,
        task: str,
        states: tuple[RowState, ...],
        work: Callable[[PlanRow], Awaitable[RowState]],
        *,
        sends: bool = False,
    ) -> None:
        """Do this with every row in these states, many at once; `sends`: until a stop is asked for.

        What `work` raises ends the run, after all that is under way has ended.
        """
        total = await _count(plan_file, states)
        if not total or (sends and self._stop.requested):
            return
        rows = self._until_stopped(plan_file.rows(states)) if sends else plan_file.rows(states)

        async def counted(row: PlanRow) -> bool:
            state = await work(row)
            failed = state.open or (sends and state.failed)
            if sends and failed:  # here, so that nobody takes another row before it counts
                self._count_failure()
            return failed

        self._progress.begin(task, total, 0, self._client.statistics)
        async with contextlib.aclosing(self._run_all(counted, rows)) as results:
            async for result in results:
                self._progress.advance(failed=not isinstance(result, Done) or result.value)
        self._progress.end()

    def _run_all(self, work: Callable[[Any], Awaitable[T]], items: AsyncIterator[Any]) -> Results[T]:
        concurrency = self._options.concurrency or calls_at_once(self._client.settings)
        return bulk.run(work, items, concurrency=concurrency, on_error="raise")

    def _count_failure(self) -> None:
        self._failures += 1
        limit = self._options.stop_after_failures
        if limit is not None and self._failures >= limit:
            self._stop.request(f"{self._failures} rows failed; the limit is {limit}")

    async def _until_stopped(self, items: AsyncIterator[T]) -> AsyncIterator[T]:
        async for item in items:
            if self._stop.requested:
                return
            yield item

    async def _upload(self, plan_file: AsyncPlanFile) -> None:
        """Upload the images that rows to be sent still lack, each once, whatever its name."""
        states, uploader = self._to_send(), Uploader(self._client)
        total = await plan_file.do(lambda file: file.count_pictures_to_upload(states))
        if not total or self._stop.requested:
            return

        async def upload(picture: StoredPicture) -> bool:
            url, why = await _uploaded(uploader, picture)
            await plan_file.do(lambda file: file.uploaded(picture.digest, url, why))
            return why is None

        self._progress.begin("uploading images", total, 0, self._client.statistics)
        pictures = self._until_stopped(_pictures(plan_file, states))
        async with contextlib.aclosing(self._run_all(upload, pictures)) as results:
            async for result in results:
                self._progress.advance(failed=not isinstance(result, Done) or not result.value)
        self._progress.end()

    async def _resolve(self, plan_file: AsyncPlanFile, sender: RowSender) -> None:
        """Ask about what is unknown; again when absence can be believed, and where nothing was answered."""
        settings, believed = self._client.settings, False
        for _ in range(TRIES):
            if self._stop.hurried:
                return
            await self._each(plan_file, LOOKING_UP, (RowState.UNKNOWN,), sender.resolve)
            absent, unanswered = await plan_file.do(lambda file: file.select(_MAY_STILL_BE_SETTLED)[0])
            if not self._options.wait or not (absent or unanswered) or (believed and not unanswered):
                return
            seconds = settings.settle_after if absent and not believed else BETWEEN_TRIES
            believed = believed or bool(absent)
            self._progress.note(f"waiting {duration(seconds)}, then looking up {absent + unanswered} again")
            await self._stop.pause(seconds, settings.clock)


async def _uploaded(uploader: Uploader, picture: StoredPicture) -> tuple[str | None, str | None]:
    """The url of an image, or why there is none."""
    try:
        voucher = await uploader.upload(Path(picture.path), digest=picture.digest)
        return voucher.url, None
    except AuthenticationError:
        raise
    except (PandaponError, ValueError, OSError) as error:
        return None, str(error)


async def _pictures(plan_file: AsyncPlanFile, states: tuple[RowState, ...]) -> AsyncIterator[StoredPicture]:
    after = ""
    while page := await plan_file.do(
        functools.partial(PlanFile.pictures_to_upload, states=states, after=after)
    ):
        for picture in page:
            yield picture
        after = page[-1].digest


async def _count(plan_file: AsyncPlanFile, states: tuple[RowState, ...]) -> int:
    return await plan_file.do(lambda file: file.count(states))
