"""What a run of a plan comes to: where every row stands, what is left, and the exit code that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import plan_type_of
from pandapon_async.plans.rows import RowState
from pandapon_async.plans.summary import identity

__all__ = ["ApplyResult", "Problem", "applied_of"]

LISTED = 20


@attrs.frozen
class Problem:
    """A row that did not simply go well."""

    row: int
    state: RowState
    id: str
    intent_id: str | None
    reason: str | None
    note: str | None


@attrs.frozen(kw_only=True)
class ApplyResult:
    """Where a plan stands. `money` is fen by state and currency, of the rows whose amount is known.

    `problems` lists the first rows that are open or failed; `stopped` says why the run ended early.
    """

    kind: str
    source: str
    rows: int
    states: dict[RowState, int]
    money: dict[RowState, dict[str, int]]
    problems: tuple[Problem, ...]
    stopped: str | None
    journal: str | None
    results: str | None
    dry_run: bool = False

    @property
    def done(self) -> int:
        """Rows that surely were carried out."""
        return sum(count for state, count in self.states.items() if state.done)

    @property
    def left(self) -> int:
        """Rows that are not at their end: not yet sent, or of unknown outcome."""
        return sum(self.states[state] for state in (RowState.PLANNED, RowState.APPLYING, RowState.UNKNOWN))

    @property
    def exit_code(self) -> int:
        """0 all done, 1 some failed or refused, 3 incomplete."""
        if self.dry_run:
            return 0
        if self.left:
            return 3
        return 0 if self.done == self.rows else 1

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        facts = attrs.asdict(self)
        facts["states"] = {state.value: count for state, count in self.states.items() if count}
        facts["money"] = {state.value: sums for state, sums in self.money.items()}
        for problem in facts["problems"]:
            problem["state"] = problem["state"].value
        return facts | {"done": self.done, "left": self.left, "exit_code": self.exit_code}


def applied_of(
    book: PlanFile, stopped: str | None, *, results: Path | None = None, dry_run: bool = False
) -> ApplyResult:
    """Read from a plan's file where it stands."""
    kind, source = plan_type_of(book.get("kind")), book.get("source")
    counted = dict(book.select("SELECT state, count(*) FROM rows GROUP BY state"))
    states = {state: int(counted.get(state.value, 0)) for state in RowState}
    if sum(states.values()) != source["rows"]:
        raise AssertionError(f"{source['rows']} rows were read, {sum(states.values())} are in the plan")
    money: dict[RowState, dict[str, int]] = {}
    sums = "SELECT state, coalesce(currency, 'CNY'), sum(amount_fen) FROM rows WHERE amount_fen IS NOT NULL"
    for state, currency, amount in book.select(f"{sums} GROUP BY 1, 2 ORDER BY 1, 2"):
        money.setdefault(RowState(state), {})[currency] = amount
    troubled = [state for state in RowState if state.open or state.failed]
    return ApplyResult(
        kind=kind.name,
        source=source["name"],
        rows=source["rows"],
        states=states,
        money=money,
        problems=tuple(
            Problem(row.row, row.state, identity(kind, row), row.intent_id, row.reason, row.note)
            for row in book.page(troubled, -1, LISTED)
        ),
        stopped=stopped,
        journal=book.get("journal"),
        results=None if results is None else str(results),
        dry_run=dry_run,
    )
