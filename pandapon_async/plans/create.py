"""Create a plan: read a table, check every row, write one file. Uploads and changes nothing.

The order is fixed: refuse impossible input, read the table into the plan, check every acceptable row with the
vendor, and only then give the plan its name.
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
from pandapon_async.bulk.long_run import calls_at_once, with_patience
from pandapon_async.client import Client
from pandapon_async.errors import (
    AuthenticationError,
    ConfigurationError,
    InvalidArgumentError,
)
from pandapon_async.journal.writes import natural_key
from pandapon_async.plans.async_plan_file import AsyncPlanFile, finished
from pandapon_async.plans.binding import binding_with, journal_state
from pandapon_async.plans.carriers import Carriers, confirmed_codes, listed_codes
from pandapon_async.plans.checks import CheckResult, Checks
from pandapon_async.plans.columns import inferred, resolver
from pandapon_async.plans.line_rule import LineRule
from pandapon_async.plans.options import ApplyOptions, PlanOptions
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import RETURNS, PlanKind, PlanType, plan_type_of
from pandapon_async.plans.row_parser import RowParser, encode_row
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.summary import PlanSummary, summary_of
from pandapon_async.plans.voucher_files import Pictures
from pandapon_async.progress import NullProgress, Progress
from pandapon_async.storage import IN_MEMORY
from pandapon_async.tables.columns import Columns
from pandapon_async.tables.given import Rows, table_file_off_loop
from pandapon_async.tables.open import file_digest, open_table
from pandapon_async.tables.table import Table

__all__ = ["create"]

BATCH = 200


async def create(
    client: Client,
    kind: PlanKind | str,
    table: Rows,
    out: str | Path | None,
    *,
    options: PlanOptions | None = None,
    progress: Progress | None = None,
) -> PlanSummary:
    """Check every row of a table and write a plan, as `pandapon returns plan` does.

    Args:
        client: The client that will send it.
        kind: "returns" (send goods back) or "refunds" (open refund forms).
        table: A CSV, XLSX or Parquet file, mappings of column names to values, or an Arrow stream, as for
            `reconcile`.
        out: The path of the plan, which must not exist; None: only check.
        options: How the table is read and checked.
        progress: Receives the progress.

    Returns:
        The summary of the plan.

    Raises:
        InvalidArgumentError: The table or the options cannot work. No request was made.
        ConfigurationError: `out` exists. No request was made.
        AuthenticationError: The vendor refused the account. No plan is written.
    """
    async with table_file_off_loop(table) as path:
        creator = _Creator(
            client, plan_type_of(kind), path, options or PlanOptions(), progress or NullProgress()
        )
        return await creator.create(None if out is None else Path(out))


@attrs.frozen
class _Source:
    """The table and how it is read."""

    table: Table
    columns: Columns
    digest: str


class _Creator:
    """One plan, step by step."""

    def __init__(
        self, client: Client, plan_type: PlanType, table: Path, options: PlanOptions, progress: Progress
    ) -> None:
        self._client = client
        self._plan_type = plan_type
        self._table = table
        self._options = options
        self._progress = progress

    async def create(self, out: Path | None) -> PlanSummary:
        source = await asyncio.to_thread(self._open, out)
        draft = await asyncio.to_thread(_draft_path, out)
        try:
            async with AsyncPlanFile(lambda: PlanFile.create(draft)) as plan_file:
                if out is not None and self._options.bind:
                    await self._bind(plan_file)
                await self._fill(plan_file, source)
                summary = await plan_file.do(lambda file: summary_of(file, ApplyOptions()))
                if out is not None:
                    await plan_file.do(lambda file: file.complete())
            if out is not None:
                await asyncio.to_thread(_publish, draft, out)
            return summary
        finally:
            self._progress.end()
            # Use the executor directly: `to_thread` would drop work that is cancelled before it begins.
            await finished(asyncio.get_running_loop().run_in_executor(None, _remove, draft))

    def _open(self, out: Path | None) -> _Source:
        """Refuse impossible input before the plan leaves any trace."""
        if not self._table.is_file():
            raise InvalidArgumentError(f"the table {self._table} does not exist", argument="table")
        if out is not None and out.exists():
            raise ConfigurationError(f"{out} exists, and a plan is never overwritten; choose another --out")
        options = self._options
        if options.images is not None and not options.images.is_dir():
            raise InvalidArgumentError(
                f"the folder {options.images} does not exist; check --images", argument="images"
            )
        table = open_table(self._table, resolver(self._plan_type, options), options.reading)
        if table.is_empty():
            raise InvalidArgumentError(
                f"{self._table.name} has no rows below its column names", argument="table"
            )
        if "account" in table.columns.positions and options.account is None:
            column = table.columns.name_of("account")
            raise InvalidArgumentError(
                f"column {column} of {self._table.name} names accounts: configure them in pandapon.toml, "
                "use --account NAME for all rows, or use --map account= to ignore the column",
                argument="table",
            )
        return _Source(table, table.columns, file_digest(self._table))

    async def _fill(self, plan_file: AsyncPlanFile, source: _Source) -> None:
        self._progress.note(f"reading {self._table.name}")
        vendor = self._client.settings.vendor
        pictures = await asyncio.to_thread(
            Pictures, self._options.images or self._table.parent, vendor.images
        )
        parser = RowParser(
            self._plan_type,
            source.table,
            source.columns,
            pictures,
            freight=vendor.freight,
            account=self._options.account,
            route=self._options.route,
        )
        rows = parser.rows()
        carriers = Carriers(await self._known_carriers())
        count = 0
        while batch := await plan_file.do(lambda _: list(itertools.islice(rows, BATCH))):
            count += await plan_file.do(functools.partial(PlanFile.add, rows=batch))
            carriers.add(self._plan_type, [row for row, _ in batch])
        if await asyncio.to_thread(file_digest, self._table) != source.digest:
            raise InvalidArgumentError(
                f"{self._table.name} was changed while it was read; run the command again"
            )
        notes = source.table.notes() + ([] if self._options.any_carrier else carriers.notes())
        for note in notes:
            self._progress.note(f"note: {note}")
        assumptions = inferred(self._plan_type, source.columns) + notes
        if self._options.offline:
            assumptions.append("offline: no request to the vendor; amounts and states are unchecked")
        facts = {
            "kind": self._plan_type.name,
            "source": {
                "name": self._table.name,
                "sha256": source.digest,
                "rows": count,
                "blank_lines": source.table.blank_lines,
                "columns": source.columns.named(),
            },
            "inferred": assumptions,
            "offline": self._options.offline,
            "freight": vendor.freight,
            "vendor": self._client.writer.vendor,
            "user_id": self._client.writer.user_id,
            "made_at": self._client.settings.clock.wall(),
            "account_name": self._options.account,
        }
        await plan_file.do(lambda file: file.set(facts))
        if self._options.offline:
            await self._refuse_unresolved(plan_file)
        else:
            await self._check(plan_file, source.columns)
        await self._hold_back(plan_file)

    async def _bind(self, plan_file: AsyncPlanFile) -> None:
        """Bind the plan to the client's journal and its progress."""
        if self._client.journal.path != IN_MEMORY:
            binding = await binding_with(self._client.journal)
            await plan_file.do(lambda file: file.set(binding.facts()))

    async def _hold_back(self, plan_file: AsyncPlanFile) -> None:
        """Hold back applications whose order line has another application."""
        journal = self._client.journal
        if journal.path != IN_MEMORY and await journal_state(journal) is None:
            return  # nothing was written yet, and a dry run creates no journal
        rule = LineRule(
            self._client, self._plan_type, self._options.allow_second, may_read=not self._options.offline
        )
        async for row in plan_file.rows((RowState.PLANNED,)):
            why = await rule.holds_back(row)
            if why is not None:
                await plan_file.change(row.row, state=RowState.HELD, reason=why, remarks=row.remarks)

    async def _known_carriers(self) -> set[str]:
        """Return the known carrier codes."""
        if self._plan_type is not RETURNS or self._options.any_carrier:
            return set()
        known = await confirmed_codes(self._client.journal)
        if self._options.carriers is not None:
            known |= await asyncio.to_thread(listed_codes, self._options.carriers)
        return known

    async def _refuse_unresolved(self, plan_file: AsyncPlanFile) -> None:
        async for row in plan_file.rows((RowState.PLANNED,)):
            if row.reason_text is not None:
                await plan_file.change(
                    row.row,
                    state=RowState.REFUSED,
                    column="reason",
                    reason="only the vendor knows its id: add a reason_id column, or plan without --offline",
                )

    async def _check(self, plan_file: AsyncPlanFile, columns: Columns) -> None:
        """Check every acceptable row in order; of two equal rows the later one is refused."""
        client = with_patience(self._client)
        checks = Checks(client, self._plan_type)
        self._progress.begin("checking", await _planned(plan_file), 0, client.statistics)
        ended = bulk.run(
            checks.check,
            plan_file.rows((RowState.PLANNED,)),
            concurrency=self._options.concurrency or calls_at_once(client.settings),
            ordered=True,
        )
        try:
            async with contextlib.aclosing(ended):
                async for check in ended:
                    if isinstance(check, Done):
                        await self._keep(plan_file, columns, check.item, check.value)
                    elif not isinstance(check.error, AuthenticationError):
                        raise check.error  # not a failed lookup: `check` turns those into a result
                    self._progress.advance(failed=not isinstance(check, Done) or check.value.refused)
        finally:
            checks.close()

    async def _keep(
        self, plan_file: AsyncPlanFile, columns: Columns, row: PlanRow, result: CheckResult
    ) -> None:
        for remark in result.remarks:
            row.add_remark(remark)
        facts = {
            "amount_fen": row.amount_fen if self._plan_type.amount else result.amount_fen,
            "currency": result.currency or row.currency,
            "remarks": row.remarks,
            "checked": result.checked,
        }
        if result.refused:
            column = columns.name_of(result.field) if result.field else ""
            facts |= {"state": RowState.REFUSED, "column": column, "reason": result.reason}
        elif result.held and not self._options.allow_second:
            facts |= {"state": RowState.HELD, "reason": result.reason}
        await plan_file.change(row.row, **facts)
        if not result.refused and row.reason_text is not None:
            row.arguments["apply_reason_id"] = result.reason_id
            row.key = natural_key(self._plan_type.endpoint, encode_row(self._plan_type, row))
            await plan_file.do(lambda file: file.recheck_key(row))


async def _planned(plan_file: AsyncPlanFile) -> int:
    rows = await plan_file.do(lambda file: file.select("SELECT count(*) FROM rows WHERE state = 'planned'"))
    return int(rows[0][0])


def _draft_path(out: Path | None) -> Path:
    """Where the plan is built; without `out` it is deleted in the end."""
    if out is None:
        return Path(tempfile.mkdtemp(prefix="pandapon-plan-")) / "plan.db"
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.with_name(f".{out.name}.{os.getpid()}.partial")


def _publish(draft: Path, out: Path) -> None:
    """Give the plan its name, unless another plan took it meanwhile."""
    try:
        os.link(draft, out)
    except FileExistsError:
        raise ConfigurationError(
            f"{out} exists, and a plan is never overwritten; choose another --out"
        ) from None
    except OSError:  # a file system without hard links
        if out.exists():
            raise ConfigurationError(
                f"{out} exists, and a plan is never overwritten; choose another --out"
            ) from None
        draft.replace(out)


def _remove(draft: Path) -> None:
    draft.unlink(missing_ok=True)
    if draft.name == "plan.db":
        with contextlib.suppress(OSError):
            draft.parent.rmdir()
