"""Apply a plan: look up what was left open, upload images, send, and look up unknown outcomes.

After a kill at any moment it resumes where it stopped: the plan knows which rows were begun, the journal
knows how they ended. A write that may have succeeded is never sent again.
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
from pandapon_async.bulk.long_run import calls_at_once, with_patience
from pandapon_async.bulk.vouchers import Uploader
from pandapon_async.client import Client
from pandapon_async.clock import duration
from pandapon_async.errors import AuthenticationError, ConfigurationError, PandaponError
from pandapon_async.journal.writes import before_sending
from pandapon_async.plans import plan_lock
from pandapon_async.plans.apply_result import ApplyResult, result_of
from pandapon_async.plans.async_plan_file import AsyncPlanFile
from pandapon_async.plans.binding import (
    MarkKeeper,
    binding_of,
    binding_with,
    check_binding,
    check_writer,
)
from pandapon_async.plans.checks import Checks
from pandapon_async.plans.execute import RowSender
from pandapon_async.plans.limits import refuse_over_limits
from pandapon_async.plans.line_rule import LineRule
from pandapon_async.plans.looking import RowLooker
from pandapon_async.plans.options import ApplyOptions
from pandapon_async.plans.plan_file import PlanFile, StoredPicture
from pandapon_async.plans.plan_types import plan_type_of
from pandapon_async.plans.record import RowRecorder
from pandapon_async.plans.results_file import digest_of, mark_of, results_path, write_results
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.stop import Stop
from pandapon_async.plans.summary import PlanSummary, sendable_states, summary_of
from pandapon_async.progress import NullProgress, Progress
from pandapon_async.storage import IN_MEMORY
from pandapon_async.storage.files import only_writer

__all__ = ["apply"]

T = TypeVar("T")
Results = AsyncGenerator[bulk.Done[Any, T] | bulk.Failed[Any], None]

LOOKING_UP = "looking up unknown outcomes"
TRIES = 5
"""How many times a row with an unknown outcome is read in one run; reads can fail, too."""
BETWEEN_TRIES = 2.0
"""Seconds between two such reads, if only an answer is missing."""

_ABSENT = (RowState.SETTLED_ABSENT,)
_MAY_BE_SENT = tuple(
    state for state in RowState if not state.done and state not in (RowState.REJECTED, RowState.REFUSED)
)
"""States of rows that may be or have been sent without a trace in an older journal."""
_BEGUN = tuple(state for state in _MAY_BE_SENT if state is not RowState.PLANNED)
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
    """Carry out a plan, or resume it.

    A second call sends rows that were not sent, looks up unknown outcomes, and does not touch ended rows.
    However it ends, the plan keeps the state of every row.

    Args:
        client: The client that sends the rows; it must belong to the plan's account.
        plan: The file that `plan` wrote.
        options: Limits and permissions.
        results: The file for one line of JSON per row, in order (default: PLAN.results.jsonl).
        progress: Receives the progress.
        stop: Ends the run gracefully from elsewhere.

    Returns: The state of every row.

    Raises:
        ConfigurationError: The plan belongs to another account or exceeds a limit, or it was begun with
            another journal, or another process applies it; nothing was sent.
        AuthenticationError: The vendor refused the account; nothing more was sent.
        JournalUnavailableError: The journal cannot be used; nothing more was sent.
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
        self._client = with_patience(client).with_settings(
            allow_repeat=options.allow_repeat,
            allow_second=options.allow_second,
            resend_throttled=options.resend_throttled,
            any_account=options.any_account,
        )
        self._plan = plan
        self._options = options
        self._progress = progress
        self._stop = stop
        self._results = results
        self._failures = 0

    async def run(self) -> ApplyResult:
        held = await self._take()
        try:
            async with AsyncPlanFile(lambda: PlanFile.open(self._plan, thorough=True)) as plan_file:
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
        """Lock the plan and its results for this process; a cancellation releases them."""
        taking = asyncio.ensure_future(asyncio.to_thread(self._lock))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait([taking])  # a thread finishes what it has begun
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
        await self._check_journal(plan_file)
        if self._options.dry_run:
            return await plan_file.do(lambda file: result_of(file, None, dry_run=True))
        keeper = await self._take_possession(plan_file)
        planned_at = await plan_file.do(lambda file: float(file.get("made_at")))
        record = RowRecorder(self._client, plan_file, plan_type, self._options, planned_at)
        checks = Checks(self._client, plan_type)
        looker = RowLooker(record, checks, self._client.settings.clock.now())
        rule = LineRule(self._client, plan_type, self._options.allow_second)
        token = before_sending.set(keeper)
        try:
            await self._work(plan_file, looker, RowSender(record, looker, rule, checks))
        finally:
            checks.close()
            before_sending.reset(token)
            self._progress.end()
            await asyncio.shield(keeper.aclose())
            await asyncio.shield(plan_file.do(self._write_results))
        return await plan_file.do(lambda file: result_of(file, self._stop.reason, results=self._results))

    def _write_results(self, file: PlanFile) -> None:
        write_results(self._results, file, group_readable=self._options.group_readable)

    def _summary(self, file: PlanFile) -> PlanSummary:
        return summary_of(file, self._options)

    async def _check_whose(self, plan_file: AsyncPlanFile) -> None:
        writer = self._client.writer
        await plan_file.do(lambda file: check_writer(file, self._plan, writer))

    def _check_expected(self, summary: PlanSummary) -> None:
        expected = self._options.expected
        now = (summary.sendable, sum(money.amount_fen for money in summary.to_send))
        if expected is not None and expected != now:
            raise ConfigurationError(
                f"{self._plan} has changed since you were asked ({now[0]} rows are due, not "
                f"{expected[0]}); check the plan again"
            )

    async def _check_journal(self, plan_file: AsyncPlanFile) -> None:
        if not self._options.adopt_journal:
            await check_binding(self._plan, await plan_file.do(binding_of), self._client.journal)

    async def _take_possession(self, plan_file: AsyncPlanFile) -> MarkKeeper:
        """Check, before rows are sent, that the journal is the one that knows what was sent before."""
        options, journal = self._options, self._client.journal
        await plan_file.do(lambda file: file.write_ahead(durable=options.allow_repeat))
        bound, used = await plan_file.do(binding_of), await binding_with(journal)
        unbound = bound is None and used.path != IN_MEMORY and not options.never_applied
        if unbound:
            self._progress.note(
                f"{self._plan} belongs to no journal yet, and a copy of it may have been applied "
                "elsewhere: every row is read before it is sent (if no copy was applied, use "
                "--never-applied)"
            )
        if options.adopt_journal or options.check_first or unbound:
            await plan_file.do(lambda file: file.doubt(_MAY_BE_SENT))
        elif bound is not None and not used.is_of(bound):  # that journal was in memory and is gone
            await plan_file.do(lambda file: file.doubt(_BEGUN))
        facts = {**used.facts(), "user_id": self._client.writer.user_id}
        await plan_file.do(lambda file: file.set(facts))
        now = self._client.settings.clock.wall()
        if options.never_applied:
            await plan_file.do(lambda file: file.set({"never_applied_said": now}))
        return MarkKeeper(plan_file, used.mark)

    async def _work(self, plan_file: AsyncPlanFile, looker: RowLooker, sender: RowSender) -> None:
        await self._each(
            plan_file, "looking up what an earlier run left open", (RowState.APPLYING,), looker.look_up
        )
        await self._each(plan_file, LOOKING_UP, (RowState.UNKNOWN,), looker.resolve)
        if not self._options.resend_absent:  # otherwise each row is read right before it is sent
            await self._each(plan_file, "checking absent rows again", _ABSENT, looker.look_again)
        if not await self._vendor_answers(plan_file, looker):
            return
        await self._wait_until_believed(plan_file)
        await self._upload(plan_file)
        await self._each(plan_file, "sending", self._to_send(), sender.send, sends=True)
        await self._resolve(plan_file, looker)
        await self._send_what_was_too_young(plan_file, sender)

    async def _send_what_was_too_young(self, plan_file: AsyncPlanFile, sender: RowSender) -> None:
        """Send once more what was throttled or follows a throttled write; the client reads first."""
        if not sender.too_young or not self._options.wait or self._stop.requested:
            return
        young, seconds = frozenset(sender.too_young), max(sender.too_young.values())
        self._progress.note(
            f"waiting {duration(seconds)}, then sending {len(young)} rows whose earlier write may still "
            "arrive"
        )
        await self._stop.pause(seconds, self._client.settings.clock)

        async def send(row: PlanRow) -> RowState:
            return await sender.send(row) if row.row in young else row.state

        await self._each(plan_file, "sending again", self._to_send(), send, sends=True)
        await self._resolve(plan_file, sender.looker)

    async def _vendor_answers(self, plan_file: AsyncPlanFile, looker: RowLooker) -> bool:
        """Make one read before the first write, which finds a wrong key, address or path without touching a
        row.

        Raises AuthenticationError.
        """
        first = await plan_file.do(lambda file: file.page(self._to_send(), -1, 1))
        if not first or self._stop.requested:
            return True
        problem = await looker.try_read(first[0])
        if problem is not None:
            self._stop.request(f"no read from the vendor succeeded, so nothing was sent: {problem}")
        return problem is None

    async def _wait_until_believed(self, plan_file: AsyncPlanFile) -> None:
        """If rows may have been sent elsewhere just now, wait until they can appear."""
        doubtful = await plan_file.do(lambda file: file.count_doubtful(self._to_send()))
        if not doubtful or not self._options.wait or self._stop.hurried:
            return
        seconds = self._client.settings.settle_after
        self._progress.note(f"waiting {duration(seconds)}, because writes sent elsewhere may still appear")
        await self._stop.pause(seconds, self._client.settings.clock)

    def _to_send(self) -> tuple[RowState, ...]:
        return sendable_states(self._options)

    async def _each(
        self,
        plan_file: AsyncPlanFile,
        task: str,
        states: tuple[RowState, ...],
        work: Callable[[PlanRow], Awaitable[RowState]],
        *,
        sends: bool = False,
    ) -> None:
        """Process every row in these states, many at once; with `sends` until a stop is requested.

        An error of `work` ends the run after the running rows have ended.
        """
        total = await _count(plan_file, states)
        if not total or (sends and self._stop.requested):
            return
        rows = self._until_stopped(plan_file.rows(states)) if sends else plan_file.rows(states)

        async def counted(row: PlanRow) -> bool:
            state = await work(row)
            failed = state.open or (sends and state.failed)
            if sends and failed:  # here, so that no worker takes another row before it counts
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
        """Upload the missing images of rows to send, each distinct image once."""
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

    async def _resolve(self, plan_file: AsyncPlanFile, looker: RowLooker) -> None:
        """Look up unknown outcomes, and again when absence can be believed or a read failed."""
        settings, believed = self._client.settings, False
        for _ in range(TRIES):
            if self._stop.hurried:
                return
            await self._each(plan_file, LOOKING_UP, (RowState.UNKNOWN,), looker.resolve)
            absent, unanswered = await plan_file.do(lambda file: file.select(_MAY_STILL_BE_SETTLED)[0])
            if not self._options.wait or not (absent or unanswered) or (believed and not unanswered):
                return
            seconds = settings.settle_after if absent and not believed else BETWEEN_TRIES
            believed = believed or bool(absent)
            self._progress.note(
                f"waiting {duration(seconds)}, then looking up {absent + unanswered} rows again"
            )
            await self._stop.pause(seconds, settings.clock)


async def _uploaded(uploader: Uploader, picture: StoredPicture) -> tuple[str | None, str | None]:
    """Return the url of an image, or why it has none."""
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
