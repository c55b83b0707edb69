"""PLAN.results.jsonl: where every row of a plan stands, a line of JSON each, in the order of the table.

Free text that was meant for the seller is not in it, nor what the platform said, unless that was asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

from pandapon_async.plain_text import visible
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import PlanType, plan_type_of
from pandapon_async.plans.rows import PlanRow
from pandapon_async.storage.files import Mark, mode_of, whole_file

__all__ = ["digest_of", "mark_of", "results_path", "write_results"]


def results_path(plan: Path) -> Path:
    """Where the results of a plan go unless told otherwise."""
    return plan.with_name(f"{plan.name}.results.jsonl")


def mark_of(plan: str) -> Mark:
    """How the results of the plan with this digest are known."""
    return Mark(f'{{"plan":"{plan}"', "this plan")


def write_results(path: Path, plan_file: PlanFile, *, group_readable: bool = False) -> None:
    """Write where every row stands."""
    plan, plan_type = digest_of(plan_file), plan_type_of(plan_file.get("kind"))
    with whole_file(path, mark_of(plan), mode=mode_of(group_readable)) as file:
        for row in plan_file.rows():
            file.write(visible(orjson.dumps(_line(plan, plan_type, row)).decode()) + "\n")


def digest_of(plan_file: PlanFile) -> str:
    """What tells the plan of this table from others."""
    digest: str = plan_file.get("source")["sha256"]
    return digest[:12]


def _line(plan: str, plan_type: PlanType, row: PlanRow) -> dict[str, Any]:
    return {
        "plan": plan,
        "row": row.row,
        "state": row.state.value,
        **{name: row.arguments.get(name) for name in plan_type.identified_by},
        "shop": row.shop,
        "amount_fen": row.amount_fen,
        "currency": row.currency,
        "result": row.result,
        "intent_id": row.intent_id,
        "request_id": row.request_id,
        "column": row.column,
        "reason": row.reason,
        "error": row.error,
        "error_kind": row.error_kind,
        "error_code": row.error_code,
        "resolution": row.resolution,
        "note": row.note,
        **({"vendor_message": row.vendor_message} if row.vendor_message is not None else {}),
    }
