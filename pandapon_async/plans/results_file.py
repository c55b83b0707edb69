"""The results of a plan: an iterator, and PLAN.results.jsonl with one line of JSON per row.

Neither has free text for the seller, nor the platform's messages unless the user asked for them.
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
    """The result of one row of a plan."""

    row: int
    """The row of the table, as a spreadsheet numbers it."""
    state: RowState
    """The state; `state.done`, `state.open` and `state.failed` summarize it."""
    refund_id: str | None = None
    """The refund form of a return."""
    order_id: str | None = None
    """The order of an application."""
    order_entry_ids: tuple[str, ...] | None = None
    """The order lines of an application."""
    shop: str | None
    """The shop in the table."""
    amount_fen: int | None
    """The amount in fen, if it is known."""
    currency: str | None
    """The currency of `amount_fen`."""
    result: str | None
    """The id that the vendor assigned, such as that of a new refund form."""
    intent_id: str | None
    """The id of the intent in the journal, if the row was sent."""
    request_id: str | None
    """The vendor's id of the request, for its support."""
    column: str | None
    """The column that the refusal is about."""
    reason: str | None
    """Why the row was refused or failed."""
    error: str | None
    """What ended the write, for people: `error_kind` and `error_code`."""
    error_kind: ErrorKind | None
    """What ended the write."""
    error_code: str | None
    """The vendor's code of a failure."""
    resolution: Resolution | None
    """What the last read showed about a write with an unknown outcome."""
    note: str | None
    """Remarks for people."""
    vendor_message: str | None = attrs.field(default=None, metadata={"personal": True})
    """The platform's message about a refusal; kept only on request, because it may name people."""


_IDS = ("refund_id", "order_id", "order_entry_ids")


def results(plan: str | Path) -> Iterator[RowResult]:
    """Iterate over the results of a plan's rows, in the order of the table. Blocks.

    Rows are read as you iterate, so memory does not grow with the plan. They show the current state: after an
    interrupted `apply`, or while one runs, some rows are not final.

    Args:
        plan: The plan's file. For a folder with plans of several accounts, `plans_in` returns the files.

    Raises:
        ConfigurationError: The file is not a plan or cannot be read.
    """
    with PlanFile.reading(Path(plan)) as plan_file:
        yield from results_in(plan_file)


def results_in(plan_file: PlanFile) -> Iterator[RowResult]:
    """Iterate over the results of an open plan."""
    ids = plan_type_of(plan_file.get("kind")).identified_by
    for row in plan_file.rows():
        yield _result(row, ids)


def results_path(plan: Path) -> Path:
    """The default path of a plan's results."""
    return plan.with_name(f"{plan.name}.results.jsonl")


def mark_of(plan: str) -> Mark:
    """The mark of the results of the plan with this digest."""
    return Mark(f'{{"plan":"{plan}"', "this plan")


def write_results(path: Path, plan_file: PlanFile, *, group_readable: bool = False) -> None:
    """Write the result of every row."""
    plan, plan_type = digest_of(plan_file), plan_type_of(plan_file.get("kind"))
    not_said = {*_IDS} - {*plan_type.identified_by}  # ids that this kind of plan does not have
    with whole_file(path, mark_of(plan), mode=mode_of(group_readable)) as file:
        for result in results_in(plan_file):
            told = result.to_dict(personal=True)  # the platform's message is kept only on request
            if result.vendor_message is None:
                del told["vendor_message"]
            facts = {name: value for name, value in told.items() if name not in not_said}
            file.write(visible(orjson.dumps({"plan": plan, **facts}).decode()) + "\n")


def digest_of(plan_file: PlanFile) -> str:
    """A value that identifies the plan of this table."""
    digest: str = plan_file.get("source")["sha256"]
    return digest[:12]


def _result(row: PlanRow, ids: tuple[str, ...]) -> RowResult:
    about: dict[str, Any] = {name: row.arguments.get(name) for name in ids}
    taken = [field.name for field in attrs.fields(RowResult) if field.name not in _IDS]
    lines = about.get("order_entry_ids")
    if lines is not None:
        about["order_entry_ids"] = tuple(lines)
    return RowResult(**about, **{name: getattr(row, name) for name in taken})
