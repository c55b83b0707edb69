"""The result of applying a plan: the state of every row, what is left, and the exit code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import plan_type_of
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.summary import identity

__all__ = ["ApplyResult", "Problem", "result_of"]

LISTED = 20


@attrs.frozen
class Problem(Result):
    """A row that needs attention."""

    row: int
    """The number of the row in the table."""
    state: RowState
    """Its state."""
    id: str
    """The refund or order of the row."""
    intent_id: str | None
    """The id of its intent in the journal, if it was sent."""
    reason: str | None
    """Why it needs attention."""
    note: str | None
    """Remarks."""


@attrs.frozen(kw_only=True)
class ApplyResult(Result):
    """The state of a plan after a run."""

    kind: str
    """"returns" or "refunds"."""
    source: str
    """The name of the table."""
    rows: int
    """The number of rows of the plan."""
    states: dict[RowState, int]
    """The number of rows in each state."""
    money: dict[RowState, dict[str, int]]
    """Sums in fen by state and currency, of the rows with a known amount."""
    problems: tuple[Problem, ...]
    """The first rows that are open or failed."""
    stopped: str | None
    """Why the run ended early."""
    journal: str | None
    """The journal's file."""
    results: str | None
    """The results file with one line per row."""
    dry_run: bool = False
    """Whether it was a dry run."""

    @property
    def done(self) -> int:
        """How many rows were certainly carried out."""
        return sum(count for state, count in self.states.items() if state.done)

    @property
    def left(self) -> int:
        """How many rows are still open: not yet sent, or with an unknown outcome."""
        return sum(self.states[state] for state in (RowState.PLANNED, RowState.APPLYING, RowState.UNKNOWN))

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some failed or refused, 3 incomplete."""
        if self.dry_run:
            return 0
        if self.left:
            return 3
        return 0 if self.done == self.rows else 1

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return everything for JSON; amounts are whole fen."""
        facts = super().to_dict(personal=personal)
        facts["states"] = {state.value: count for state, count in self.states.items() if count}
        return facts | {"done": self.done, "left": self.left, "exit_code": self.exit_code}


def result_of(
    file: PlanFile, stopped: str | None, *, results: Path | None = None, dry_run: bool = False
) -> ApplyResult:
    """Read the state of a plan from its file."""
    plan_type, source = plan_type_of(file.get("kind")), file.get("source")
    counted = dict(file.select("SELECT state, count(*) FROM rows GROUP BY state"))
    states = {state: int(counted.get(state.value, 0)) for state in RowState}
    if sum(states.values()) != source["rows"]:
        raise AssertionError(f"{source['rows']} rows were read, but the plan has {sum(states.values())}")
    money: dict[RowState, dict[str, int]] = {}
    sums = "SELECT state, coalesce(currency, 'CNY'), sum(amount_fen) FROM rows WHERE amount_fen IS NOT NULL"
    for state, currency, amount in file.select(f"{sums} GROUP BY 1, 2 ORDER BY 1, 2"):
        money.setdefault(RowState(state), {})[currency] = amount
    troubled = [state for state in RowState if state.open or state.failed]
    return ApplyResult(
        kind=plan_type.name,
        source=source["name"],
        rows=source["rows"],
        states=states,
        money=money,
        problems=tuple(
            Problem(row.row, row.state, identity(plan_type, row), row.intent_id, row.reason, _remarks(row))
            for row in file.page(troubled, -1, LISTED)
        ),
        stopped=stopped,
        journal=file.get("journal"),
        results=None if results is None else str(results),
        dry_run=dry_run,
    )


def _remarks(row: PlanRow) -> str | None:
    """The note of a row, without the last look if the reason says the same."""
    if row.resolution_note is not None and (row.reason or "").startswith(row.resolution_note):
        return "; ".join(row.remarks) or None
    return row.note
