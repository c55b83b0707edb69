"""Bulk writes in two steps: `plan` checks a table and changes nothing, `apply` carries out the plan.

A plan is a file that a person can inspect, approve and pass on. If `apply` is killed at any moment, the next
`apply` resumes where it stopped and carries out nothing twice.
"""

from pandapon_async.plans.apply import apply
from pandapon_async.plans.apply_result import ApplyResult, Problem
from pandapon_async.plans.binding import check_journal
from pandapon_async.plans.by_account import (
    accounts_of_table,
    apply_by_account,
    plan_by_account,
    plans_in,
    summarize_by_account,
)
from pandapon_async.plans.create import create
from pandapon_async.plans.limits import check_limits
from pandapon_async.plans.options import ApplyOptions, PlanOptions
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import PlanKind
from pandapon_async.plans.results_file import RowResult, results
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.stop import Stop
from pandapon_async.plans.summary import Money, PlanSummary, Refusal, summarize

__all__ = [
    "ApplyOptions",
    "ApplyResult",
    "Money",
    "PlanFile",
    "PlanKind",
    "PlanOptions",
    "PlanRow",
    "PlanSummary",
    "Problem",
    "Refusal",
    "RowResult",
    "RowState",
    "Stop",
    "accounts_of_table",
    "apply",
    "apply_by_account",
    "check_journal",
    "check_limits",
    "create",
    "plan_by_account",
    "plans_in",
    "results",
    "summarize",
    "summarize_by_account",
]
