"""results.jsonl: where every row of a plan stands, a line of JSON each, in the order of the table.

It is written under another name and renamed when complete. Free text that was meant for the seller is not
in it, nor what the platform said, unless that was asked for.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import orjson

from pandapon_async.errors import ConfigurationError
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import PlanType
from pandapon_async.plans.rows import PlanRow
from pandapon_async.reconcile.outputs import complete_file

__all__ = ["check_results", "write_results"]


def check_results(path: Path, plan: str) -> None:
    """Refuse, before any work, a file that is not this plan's earlier result."""
    if not path.exists():
        return
    found: Any = None
    with contextlib.suppress(OSError, orjson.JSONDecodeError), path.open("rb") as file:
        found = orjson.loads(file.readline(1 << 16) or b"null")
    if not isinstance(found, dict) or found.get("plan") != plan:
        raise ConfigurationError(f"{path} is not the result of this plan; choose another --out")


def write_results(path: Path, file: PlanFile, plan_type: PlanType) -> None:
    """Write where every row stands."""
    plan = file.get("source")["sha256"][:12]
    path.parent.mkdir(parents=True, exist_ok=True)
    with complete_file(path) as output:
        for row in file.rows():
            output.write(orjson.dumps(_line(plan, plan_type, row)).decode() + "\n")


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
