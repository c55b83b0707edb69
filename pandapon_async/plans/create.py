"""Making a plan: a table in, every row checked, one file out. Uploads nothing and changes nothing.

The order is fixed: refuse what cannot work, read the table into the plan, ask the vendor about every row
that is still good, and only then let the plan appear under its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import os
import tempfile
from pathlib import Path

import attrs

from pandapon_async import bulk
from pandapon_async.bulk import Done
from pandapon_async.client import Client
from pandapon_async.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
)
from pandapon_async.journal.writes import natural_key
from pandapon_async.plans.async_plan_file import AsyncPlanFile, finished
from pandapon_async.plans.checks import CheckResult, Checks
from pandapon_async.plans.columns import Columns, resolve_columns
from pandapon_async.plans.options import PlanOptions
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import PlanKind, PlanType, plan_type_of
from pandapon_async.plans.quota import account_of, patient, window
from pandapon_async.plans.row_parser import PlanReader, encode_row
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.summary import PlanSummary, overview_of
from pandapon_async.plans.voucher_files import Pictures
from pandapon_async.progress import NullProgress, Progress
from pandapon_async.tables.table import Table, file_digest, open_table

__all__ = ["plan"]

BATCH = 200


async def plan(
    client: Client,
    kind: PlanKind | str,
    table: str | Path,
    out: str | Path | None,
    *,
    options: PlanOptions | None = None,
    progress: Progress | None = None,
) -> PlanSummary:
    """Check every row of a table and write the plan of what is to be done.

    `kind` is "returns" (send goods back) or "refunds" (open refund forms), `table` a CSV, XLSX or Parquet
    file, `out` the plan, which must not exist; None checks only. Gives what the plan comes to.

    Raises InvalidArgumentError for a table or options that cannot work and ConfigurationError for an `out`
    that is taken, both before anything is asked; AuthenticationError at the first refusal. No plan is left
    then.
    """
    maker = _Maker(
        client, plan_type_of(kind), Path(table), options or PlanOptions(), progress or NullProgress()
    )
    return await maker.make(None if out is None else Path(out))


@attrs.frozen
class _Source:
    """The table and how it is read."""

    table: Table
    columns: Columns
    digest: str


class _Maker:
    """One plan, step by step."""

    def __init__(
        self, client: Client, kind: PlanType, table: Path, options: PlanOptions, progress: Progress
    ) -> None:
        self._client = client
        self._kind = kind
        self._table = table
        self._options = options
        self._progress = progress

    async def make(self, out: Path | None) -> PlanSummary:
        source = await asyncio.to_thread(self._open, out)
        draft = await asyncio.to_thread(_draft_path, out)
        try:
            async with AsyncPlanFile(lambda: PlanFile.create(draft)) as desk:
                await self._fill(desk, source)
                overview = await desk.do(overview_of)
                if out is not None:
                    await desk.do(lambda book: book.complete())
            if out is not None:
                await asyncio.to_thread(_publish, draft, out)
            return overview
        finally:
            self._progress.end()
            # Asked of the executor itself: a thread's work that is cancelled before it began is never done.
            await finished(asyncio.get_running_loop().run_in_executor(None, _remove, draft))

    def _open(self, out: Path | None) -> _Source:
        """Refuses, before there is any trace of the plan, what cannot work."""
        if not self._table.is_file():
            raise InvalidArgumentError(f"no such table: {self._table}", argument="table")
        if out is not None and out.exists():
            raise ConfigurationError(f"{out} exists; a plan is never overwritten: choose another --out")
        options = self._options
        if options.images is not None and not options.images.is_dir():
            raise InvalidArgumentError(f"no such folder: {options.images}", argument="images")
        table = open_table(self._table, sheet=options.sheet, header_row=options.header_row)
        columns = resolve_columns(
            self._kind,
            table.columns,
            mapping=options.map,
            constants=options.constants,
            amount_unit=options.amount_unit,
        )
        return _Source(table, columns, file_digest(self._table))

    async def _fill(self, desk: AsyncPlanFile, source: _Source) -> None:
        self._progress.note(f"reading {self._table.name}")
        pictures = await asyncio.to_thread(Pictures, self._options.images or self._table.parent)
        rows = PlanReader(self._kind, source.table, source.columns, pictures).rows()
        count = 0
        while batch := await desk.do(lambda _: list(itertools.islice(rows, BATCH))):
            count += await desk.do(functools.partial(PlanFile.add, rows=batch))
        if await asyncio.to_thread(file_digest, self._table) != source.digest:
            raise InvalidArgumentError(f"{self._table.name} was changed while it was read; start again")
        inferred = list(source.columns.inferred)
        if self._options.offline:
            inferred.append("offline: the vendor was asked nothing; amounts and states are unchecked")
        facts = {
            "kind": self._kind.name,
            "source": {
                "name": self._table.name,
                "sha256": source.digest,
                "rows": count,
                "blank_lines": source.table.blank_lines,
                "columns": source.columns.named(),
            },
            "inferred": inferred,
            "offline": self._options.offline,
            "base_url": self._client.settings.base_url,
            "account": account_of(self._client),
            "made_at": self._client.settings.clock.wall(),
        }
        await desk.do(lambda book: book.set(facts))
        if self._options.offline:
            await self._refuse_unresolved(desk)
        else:
            await self._check(desk, source.columns)

    async def _refuse_unresolved(self, desk: AsyncPlanFile) -> None:
        async for row in desk.rows((RowState.PLANNED,)):
            if row.reason_text is not None:
                await desk.change(
                    row.row,
                    state=RowState.REFUSED,
                    column="reason",
                    reason="only the vendor can say which id this reason has: give reason_id, or plan online",
                )

    async def _check(self, desk: AsyncPlanFile, columns: Columns) -> None:
        """Ask about every row that is still good, in order: of two equal rows the later is refused."""
        client = patient(self._client)
        checks = Checks(client, self._kind)
        self._progress.begin("checking", await _planned(desk), 0, client.statistics)
        results = bulk.run(
            checks.check,
            desk.rows((RowState.PLANNED,)),
            concurrency=self._options.concurrency or window(client.settings),
            ordered=True,
        )
        try:
            async with contextlib.aclosing(results):
                async for result in results:
                    if isinstance(result, Done):
                        await self._note(desk, columns, result.item, result.value)
                    elif not isinstance(result.error, AuthenticationError):
                        raise result.error  # no lookup's failure: `check` makes a finding of those
                    self._progress.advance(failed=not isinstance(result, Done) or bool(result.value.reason))
        finally:
            checks.close()

    async def _note(self, desk: AsyncPlanFile, columns: Columns, row: PlanRow, finding: CheckResult) -> None:
        if finding.note is not None:
            row.add_note(finding.note)
        facts = {
            "amount_fen": row.amount_fen if self._kind.amount else finding.amount_fen,
            "currency": finding.currency or row.currency,
            "note": row.note,
            "checked": finding.checked,
        }
        if finding.reason is not None:
            column = columns.name_of(finding.field) if finding.field else ""
            facts |= {"state": RowState.REFUSED, "column": column, "reason": finding.reason}
        await desk.change(row.row, **facts)
        if finding.reason is None and row.reason_text is not None:
            row.arguments["apply_reason_id"] = finding.reason_id
            row.key = natural_key(self._kind.endpoint, encode_row(self._kind, row))
            await desk.do(lambda book: book.recheck_key(row))


async def _planned(desk: AsyncPlanFile) -> int:
    rows = await desk.do(lambda book: book.select("SELECT count(*) FROM rows WHERE state = 'planned'"))
    return int(rows[0][0])


def _draft_path(out: Path | None) -> Path:
    """Where the plan grows until it is complete; without `out`, where it is thrown away."""
    if out is None:
        return Path(tempfile.mkdtemp(prefix="pandapon-plan-")) / "plan.db"
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.with_name(f".{out.name}.{os.getpid()}.partial")


def _publish(draft: Path, out: Path) -> None:
    """Let the plan appear, unless another one did meanwhile."""
    try:
        os.link(draft, out)
    except FileExistsError:
        raise ConfigurationError(f"{out} exists; a plan is never overwritten: choose another --out") from None
    except OSError:  # a file system without hard links
        if out.exists():
            raise ConfigurationError(f"{out} exists; a plan is never overwritten") from None
        draft.replace(out)


def _remove(draft: Path) -> None:
    draft.unlink(missing_ok=True)
    if draft.name == "plan.db":
        with contextlib.suppress(OSError):
            draft.parent.rmdir()
