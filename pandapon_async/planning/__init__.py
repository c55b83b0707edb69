"""Bulk writes in two steps: `plan` checks a table and changes nothing, `apply` carries the plan out.

A plan is a file that a person can look at, agree to, and hand on. Applied and killed at any moment, it
goes on where it was, and nothing in it is carried out twice.
"""

from pandapon_async.planning.apply import apply
from pandapon_async.planning.book import Book
from pandapon_async.planning.kinds import PlanKind
from pandapon_async.planning.limits import check_limits
from pandapon_async.planning.maker import plan
from pandapon_async.planning.options import ApplyOptions, PlanOptions
from pandapon_async.planning.outcome import Applied, Problem
from pandapon_async.planning.overview import Money, Overview, Refusal, look
from pandapon_async.planning.rows import PlanRow, RowState
from pandapon_async.planning.stop import Stop

__all__ = [
    "Applied",
    "ApplyOptions",
    "Book",
    "Money",
    "Overview",
    "PlanKind",
    "PlanOptions",
    "PlanRow",
    "Problem",
    "Refusal",
    "RowState",
    "Stop",
    "apply",
    "check_limits",
    "look",
    "plan",
]
