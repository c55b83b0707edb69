"""Applying a plan: what was left open is found out first, then images, then writes, then what is unknown.

Killed at any moment it goes on where it was: the plan says which rows were begun, the journal what became
of them. Nothing that may have landed is ever sent again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from pandapon_async import bulk
from pandapon_async.bulk import Done
from pandapon_async.bulk.vouchers import Uploader
from pandapon_async.client import Client
from pandapon_async.clock import duration
from pandapon_async.errors import AuthenticationError, ConfigurationError, PandaponError
from pandapon_async.plans import plan_lock
from pandapon_async.plans.async_plan_file import AsyncPlanFile
from pandapon_async.plans.execute import Sender
from pandapon_async.plans.limits import refuse_over_limits
from pandapon_async.plans.options import ApplyOptions
from pandapon_async.plans.plan_file import PlanFile, StoredPicture
from pandapon_async.plans.plan_types import plan_type_of
from pandapon_async.plans.quota import account_of, patient, window
from pandapon_async.plans.result import ApplyResult, applied_of
from pandapon_async.plans.results import check_results, write_results
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.stop import Stop
from pandapon_async.plans.summary import PlanSummary, overview_of, sendable_states
from pandapon_async.progress import NullProgress, Progress

__all__ = ["apply"]

T = TypeVar("T")
Results = AsyncGenerator[bulk.Done[Any, T] | bulk.Failed[Any], None]

ASKING = "asking about unknown outcomes"
ROUNDS = 3
"""How often what is settled as absent is sent again in one run, if it is to be sent again at all."""
TRIES = 5
"""How often a row of unknown outcome is asked about in one run: reads fail, too."""
BETWEEN_TRIES = 2.0
"""Seconds between them, where nothing but an answer is waited for."""

_MAY_STILL_BE_SETTLED = """
SELECT coalesce(sum(note LIKE 'absent%'), 0),
       coalesce(sum(coalesce(note, '') NOT LIKE 'absent%' AND coalesce(note, '') NOT LIKE 'undecided%'), 0)
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
    """Carry out a plan, or go on with it; gives where every row stands.

    `results` is the file that gets a line of JSON per row, in order (default: results.jsonl beside the
    plan). `stop` lets somebody else end the run in good order. Called again, it tries what was not sent,
    finds out about what is unknown, and leaves alone what ended.

    Raises ConfigurationError for a plan of another account, one that is over its limits, was begun with
    another journal, or is being applied by another process; AuthenticationError and JournalUnavailableError
    when no further row could be sent. Whatever ends it early, the plan knows where it was.
    """
    path = Path(plan)
    work = _Application(
        client,
        path,
        options or ApplyOptions(),
        progress or NullProgress(),
        stop or Stop(),
        path.with_name("results.jsonl") if results is None else Path(results),
    )
    return await work.run()


class _Application:
    """One run over one plan, step by step."""

    def __init__(
        self, client: Client, plan: Path, options: ApplyOptions, progress: Progress, stop: Stop, results: Path
    ) -> None:
        self._client = patient(client)
        if options.allow_repeat:
            self._client = self._client.with_settings(allow_repeat=True)
        self._plan = plan
        self._options = options
        self._progress = progress
        self._stop = stop
        self._results = results
        self._failures = 0

    async def run(self) -> ApplyResult:
        lock = await self._take()
        try:
            async with AsyncPlanFile(lambda: PlanFile.open(self._plan)) as desk:
                if not self._options.dry_run:
                    now = self._client.settings.clock.wall()
                    await desk.do(lambda book: book.set({"plan_lock": plan_lock.me(now)}))
                return await self._run(desk)
        finally:
            self._progress.end()
            lock.release()

    async def _take(self) -> FileLock:
        """The plan for this process alone; cancelled meanwhile, it is given back."""
        taking = asyncio.ensure_future(asyncio.to_thread(plan_lock.take, self._plan))
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            await asyncio.wait([taking])  # what a thread has begun it carries out
            if not taking.cancelled() and taking.exception() is None:
                taking.result().release()
            raise

    async def _run(self, desk: AsyncPlanFile) -> ApplyResult:
        kind = plan_type_of(await desk.do(lambda book: book.get("kind")))
        await self._check_whose(desk)
        digest = (await desk.do(lambda book: book.get("source")))["sha256"][:12]
        await asyncio.to_thread(check_results, self._results, digest)
        overview = await desk.do(self._overview)
        self._check_expected(overview)
        await desk.do(lambda book: refuse_over_limits(book, self._options))
        if self._options.dry_run:
            return await desk.do(lambda book: applied_of(book, None, dry_run=True))
        await self._take_possession(desk)
        sender = Sender(
            self._client,
            desk,
            kind,
            account_of(self._client),
            self._options.allow_repeat,
            self._options.vendor_message,
        )
        try:
            await self._work(desk, sender)
        finally:
            self._progress.end()
            await asyncio.shield(desk.do(lambda book: write_results(self._results, book, kind)))
        return await desk.do(lambda book: applied_of(book, self._stop.reason, results=self._results))

    def _overview(self, book: PlanFile) -> PlanSummary:
        return overview_of(book, resend_absent=self._options.resend_absent)

    async def _check_whose(self, desk: AsyncPlanFile) -> None:
        base_url, account = await desk.do(lambda book: (book.get("base_url"), book.get("account")))
        if base_url != self._client.settings.base_url:
            raise ConfigurationError(f"{self._plan} was made for {base_url}; this client talks to another")
        if account != account_of(self._client):
            raise ConfigurationError(f"{self._plan} was made for another account (access key or user id)")

    def _check_expected(self, overview: PlanSummary) -> None:
        expected = self._options.expected
        now = (overview.sendable, sum(money.amount_fen for money in overview.to_send))
        if expected is not None and expected != now:
            raise ConfigurationError(
                f"{self._plan} has changed since you were asked ({now[0]} rows are to be sent, not "
                f"{expected[0]}); look at it again"
            )

    async def _take_possession(self, desk: AsyncPlanFile) -> None:
        """From here on rows are sent: with the journal that knows what was sent before, and none else."""
        journal = self._client.journal
        identity = await journal.identity()
        known, where = await desk.do(lambda book: (book.get("journal_id"), book.get("journal")))
        if known not in (None, identity):
            open_rows = await desk.do(lambda book: book.page((RowState.APPLYING, RowState.UNKNOWN), -1, 1))
            if open_rows:
                raise ConfigurationError(
                    f"this plan was begun with the journal {where}, and only that one knows what became of "
                    f"its open rows; the journal in use is {journal.path}. Use --journal {where}"
                )
        await desk.do(lambda book: book.write_ahead(durable=self._options.allow_repeat))
        await desk.do(lambda book: book.set({"journal_id": identity, "journal": journal.path}))

    async def _work(self, desk: AsyncPlanFile, sender: Sender) -> None:
        await self._each(desk, "finding out what was left open", (RowState.APPLYING,), sender.look_up)
        await self._each(desk, ASKING, (RowState.UNKNOWN,), sender.settle)
        for _ in range(ROUNDS):
            await self._upload(desk)
            await self._each(desk, "sending", self._to_send(), sender.send, sends=True)
            await self._settle(desk, sender)
            again = self._options.resend_absent and await _count(desk, (RowState.SETTLED_ABSENT,))
            if self._stop.requested or not again:
                break

    def _to_send(self) -> tuple[RowState, ...]:
        return sendable_states(resend_absent=self._options.resend_absent)

    async def _each(
        self,
        desk: AsyncPlanFile,
        task: str,
        states: tuple[RowState, ...],
        work: Callable[[PlanRow], Awaitable[RowState]],
        *,
        sends: bool = False,
    ) -> None:
        """Do this with every row in these states, many at once; `sends`: until a stop is asked for.

        What `work` raises ends the run, after all that is under way has ended.
        """
        total = await _count(desk, states)
        if not total or (sends and self._stop.requested):
            return
        rows = self._until_stopped(desk.rows(states)) if sends else desk.rows(states)

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
        concurrency = self._options.concurrency or window(self._client.settings)
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

    async def _upload(self, desk: AsyncPlanFile) -> None:
        """Upload the images that rows to be sent still lack, each once, whatever its name."""
        states, uploader = self._to_send(), Uploader(self._client)
        total = await desk.do(lambda book: book.count_pictures_to_upload(states))
        if not total or self._stop.requested:
            return

        async def upload(picture: StoredPicture) -> bool:
            url, why = await _uploaded(uploader, picture)
            await desk.do(lambda book: book.uploaded(picture.digest, url, why))
            return why is None

        self._progress.begin("uploading images", total, 0, self._client.statistics)
        pictures = self._until_stopped(_pictures(desk, states))
        async with contextlib.aclosing(self._run_all(upload, pictures)) as results:
            async for result in results:
                self._progress.advance(failed=not isinstance(result, Done) or not result.value)
        self._progress.end()

    async def _settle(self, desk: AsyncPlanFile, sender: Sender) -> None:
        """Ask about what is unknown; again when absence can be believed, and where nothing was answered."""
        settings, believed = self._client.settings, False
        for _ in range(TRIES):
            if self._stop.hurried:
                return
            await self._each(desk, ASKING, (RowState.UNKNOWN,), sender.settle)
            absent, unanswered = await desk.do(lambda book: book.select(_MAY_STILL_BE_SETTLED)[0])
            if not self._options.wait or not (absent or unanswered) or (believed and not unanswered):
                return
            seconds = settings.settle_after if absent and not believed else BETWEEN_TRIES
            believed = believed or bool(absent)
            self._progress.note(f"waiting {duration(seconds)}, then asking about {absent + unanswered} again")
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


async def _pictures(desk: AsyncPlanFile, states: tuple[RowState, ...]) -> AsyncIterator[StoredPicture]:
    after = ""
    while page := await desk.do(functools.partial(PlanFile.pictures_to_upload, states=states, after=after)):
        for picture in page:
            yield picture
        after = page[-1].digest


async def _count(desk: AsyncPlanFile, states: tuple[RowState, ...]) -> int:
    return await desk.do(lambda book: book.count(states))
