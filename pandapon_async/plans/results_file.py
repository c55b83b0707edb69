"""What became of every row of a plan: an iterator, and PLAN.results.jsonl, which has a line of JSON for each.

Free text that was meant for the seller is in neither, nor what the platform said, unless that was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import orjson

from pandapon_async.core.json_values import Result
from pandapon_async.errors import ErrorKind
from pandapon_async.journal import Resolution
from pandapon_async.plain_text import visible
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import plan_type_of
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.storage.files import Mark, mode_of, whole_file

__all__ = ["RowResult", "digest_of", "mark_of", "results", "results_path", "write_results"]


@attrs.frozen(kw_only=True)
class RowResult(Result):
    """A row of a plan, and what became of it."""

    row: int
    """The row of the table, as a spreadsheet numbers it."""
    state: RowState
    """Where it stands; `state.done`, `state.open` and `state.failed` sum up."""
    refund_id: str | None = None
    """The refund form, of a return."""
    order_id: str | None = None
    """The order, of an application."""
    order_entry_ids: tuple[str, ...] | None = None
    """Its lines, of an application."""
    shop: str | None
    """The shop that the table names."""
    amount_fen: int | None
    """The amount in fen, if it is known."""
    currency: str | None
    """The currency of `amount_fen`."""
    result: str | None
    """The id that the vendor gave, such as that of a new refund form."""
    intent_id: str | None
    """The write in the journal, if the row was sent."""
    request_id: str | None
    """The request that the vendor's support can look up."""
    column: str | None
    """The column for which the row was refused."""
    reason: str | None
    """Why it was refused, or what went wrong."""
    error: str | None
    """What ended the write, for people: `error_kind` and `error_code`."""
    error_kind: ErrorKind | None
    """What ended the write."""
    error_code: str | None
    """The vendor's code of a failure."""
    resolution: Resolution | None
    """What the last look at a write of unknown outcome showed."""
    note: str | None
    """What else is worth knowing, for people."""
    vendor_message: str | None = attrs.field(default=None, metadata={"personal": True})
    """What the platform said of a refusal; kept only on request, as it may name people."""


_IDS = ("refund_id", "order_id", "order_entry_ids")


def results(plan: str | Path) -> Iterator[RowResult]:
    """Iterate over the rows of a plan and what became of them, in the order of the table. Blocks.

    The rows are read as they are asked for, so memory does not grow with the plan. They are those of the
    moment: after an `apply` that was cut off, or while one runs, some are still on their way.

    Args:
        plan: The plan's file. Of a folder with plans of several accounts, `plans_in` tells the files.

    Raises:
        ConfigurationError: It is not a plan, or cannot be read.
    """
    with PlanFile.reading(Path(plan)) as plan_file:
        yield from results_in(plan_file)


def results_in(plan_file: PlanFile) -> Iterator[RowResult]:
    """The same of an open plan."""
    ids = plan_type_of(plan_file.get("kind")).identified_by
    for row in plan_file.rows():
        yield _result(row, ids)


def results_path(plan: Path) -> Path:
    """Where the results of a plan go unless told otherwise."""
    return plan.with_name(f"{plan.name}.results.jsonl")


def mark_of(plan: str) -> Mark:
    """How the results of the plan with this digest are known."""
    return Mark(f'{{"plan":"{plan}"', "this plan")


def write_results(path: Path, plan_file: PlanFile, *, group_readable: bool = False) -> None:
    """Write what became of every row."""
    plan, plan_type = digest_of(plan_file), plan_type_of(plan_file.get("kind"))
    not_said = {*_IDS} - {*plan_type.identified_by}  # ids that this kind of plan does not have
    with whole_file(path, mark_of(plan), mode=mode_of(group_readable)) as file:
        for result in results_in(plan_file):
            told = result.to_dict(personal=True)  # what the platform said is kept only where it was asked for
            if result.vendor_message is None:
                del told["vendor_message"]
            facts = {name: value for name, value in told.items() if name not in not_said}
            file.write(visible(orjson.dumps({"plan": plan, **facts}).decode()) + "\n")


def digest_of(plan_file: PlanFile) -> str:
    """What tells the plan of this table from others."""
    digest: str = plan_file.get("source")["sha256"]
    return digest[:12]


def _result(row: PlanRow, ids: tuple[str, ...]) -> RowResult:
    about: dict[str, Any] = {name: row.arguments.get(name) for name in ids}
    taken = [field.name for field in attrs.fields(RowResult) if field.name not in _IDS]
    lines = about.get("order_entry_ids")
    if lines is not None:
        about["order_entry_ids"] = tuple(lines)
    return RowResult(**about, **{name: getattr(row, name) for name in taken})
