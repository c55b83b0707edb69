"""The summary of a plan: money by currency and shop, the largest rows, the refused rows.

Every row counts in exactly one place, and the places are added up as a check before anything is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.plans.options import ApplyOptions
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import PlanType, plan_type_of
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.storage.damage import DamagedRowError

__all__ = ["Money", "PlanSummary", "Refusal", "identity", "sendable_states", "summarize", "summary_of"]

LARGEST = 10
LISTED = 1_000


@attrs.frozen
class Money(Result):
    """The sum of some rows in one currency."""

    currency: str
    """The currency."""
    rows: int
    """The number of rows."""
    amount_fen: int
    """Their sum in fen."""
    unknown: int = 0
    """The number of rows with an unknown amount."""
    shop: str | None = None
    """The shop, in sums by shop."""


@attrs.frozen
class Refusal(Result):
    """A row that will not be sent, with the reason; or a row with a remark."""

    row: int
    """The number of the row in the table."""
    column: str
    """The column; empty for the row as a whole."""
    reason: str
    """Why."""
    id: str = ""
    """The refund or the order; empty if it cannot be read."""
    shop: str | None = None
    """The shop."""
    amount_fen: int | None = None
    """The amount, if it is known."""
    currency: str | None = None
    """The currency of the amount."""


@attrs.frozen(kw_only=True)
class PlanSummary(Result):
    """The summary of a plan. Amounts are fen."""

    kind: str
    """"returns" or "refunds"."""
    source: str
    """The name of its table."""
    rows: int
    """The number of rows of the table."""
    states: dict[RowState, int]
    """The number of rows in each state."""
    planned: tuple[Money, ...]
    """The planned sums by currency."""
    to_send: tuple[Money, ...]
    """The sums that `apply` would send now, by currency."""
    shops: tuple[Money, ...]
    """The planned sums by shop."""
    largest: tuple[tuple[int, str, str | None, int, str], ...]
    """The rows with the largest amounts: row, id, shop, fen, currency."""
    refused: tuple[Refusal, ...]
    """The rows that will not be sent; at most the first thousand."""
    notes: tuple[Refusal, ...]
    """The rows with remarks; at most the first thousand."""
    noted: int
    """How many rows have remarks."""
    unchecked: int
    """How many rows could not be checked with the platform."""
    pictures: int
    """The number of distinct images."""
    picture_bytes: int
    """Their total size in bytes."""
    pictures_uploaded: int
    """How many of them were uploaded."""
    inferred: tuple[str, ...]
    """The assumptions about the table's columns."""
    offline: bool
    """Whether it was made without requests to the platform."""

    @property
    def sendable(self) -> int:
        """How many rows `apply` would send now."""
        return sum(money.rows for money in self.to_send)

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return everything for JSON; amounts are whole fen."""
        facts = super().to_dict(personal=personal)
        facts["states"] = {state.value: count for state, count in self.states.items() if count}
        facts["largest"] = [
            dict(zip(("row", "id", "shop", "amount_fen", "currency"), row, strict=True))
            for row in self.largest
        ]
        return facts


def summarize(path: str | Path, *, options: ApplyOptions | None = None) -> PlanSummary:
    """Summarize the plan in a file, and what `apply` with these options would send. Blocks.

    Raises ConfigurationError if the file is not a plan.
    """
    with PlanFile.reading(Path(path)) as file:
        return summary_of(file, options or ApplyOptions())


def summary_of(file: PlanFile, options: ApplyOptions) -> PlanSummary:
    """Read the summary of a plan from its open file."""
    plan_type = plan_type_of(file.get("kind"))
    counted = dict(file.select("SELECT state, count(*) FROM rows GROUP BY state"))
    states = {state: int(counted.get(state.value, 0)) for state in RowState}
    source = file.get("source")
    rows = sum(states.values())
    if rows != source["rows"]:
        raise DamagedRowError(f"{source['rows']} rows were read, but the plan has {rows}")
    to_send = sendable_states(options)
    pictures = file.select("SELECT count(*), coalesce(sum(size), 0), count(url) FROM pictures")[0]
    return PlanSummary(
        kind=plan_type.name,
        source=source["name"],
        rows=rows,
        states=states,
        planned=_money(file, "state <> 'refused'"),
        to_send=_money(file, f"state IN ({_quoted(to_send)})"),
        shops=_shops(file),
        largest=_largest(file, plan_type),
        refused=_listed(file, plan_type, "state = 'refused'"),
        notes=_listed(file, plan_type, _NOTED),
        noted=int(file.select(f"SELECT count(*) FROM rows WHERE {_NOTED}")[0][0]),
        unchecked=int(
            file.select("SELECT count(*) FROM rows WHERE state <> 'refused' AND NOT checked")[0][0]
        ),
        pictures=int(pictures[0]),
        picture_bytes=int(pictures[1]),
        pictures_uploaded=int(pictures[2]),
        inferred=tuple(file.get("inferred")),
        offline=bool(file.get("offline")),
    )


def sendable_states(options: ApplyOptions) -> tuple[RowState, ...]:
    """The states of rows to send; held rows only if nothing holds them any more."""
    absent = (RowState.SETTLED_ABSENT,) if options.resend_absent else ()
    duplicate = (RowState.DUPLICATE,) if options.allow_repeat else ()
    return (RowState.PLANNED, RowState.NOT_SENT, RowState.HELD, *absent, *duplicate)


_SUMS = "count(*), coalesce(sum(amount_fen), 0), count(*) - count(amount_fen)"


def _money(file: PlanFile, where: str) -> tuple[Money, ...]:
    query = f"SELECT coalesce(currency, 'CNY'), {_SUMS} FROM rows WHERE {where} GROUP BY 1 ORDER BY 1"
    return tuple(Money(*values) for values in file.select(query))


def _shops(file: PlanFile) -> tuple[Money, ...]:
    query = (
        f"SELECT coalesce(currency, 'CNY'), {_SUMS}, shop FROM rows WHERE state <> 'refused'"
        " GROUP BY 1, shop ORDER BY 3 DESC, shop LIMIT ?"
    )
    return tuple(Money(*values) for values in file.select(query, (LISTED,)))


def _largest(file: PlanFile, plan_type: PlanType) -> tuple[tuple[int, str, str | None, int, str], ...]:
    query = (
        "SELECT row FROM rows WHERE state <> 'refused' AND amount_fen IS NOT NULL"
        " ORDER BY amount_fen DESC, row LIMIT ?"
    )
    found = []
    for (number,) in file.select(query, (LARGEST,)):
        row = file.page(tuple(RowState), number - 1, 1)[0]
        found.append(
            (row.row, identity(plan_type, row), row.shop, row.amount_fen or 0, row.currency or "CNY")
        )
    return tuple(found)


def identity(plan_type: PlanType, row: PlanRow) -> str:
    """Return the subject of a row in one word."""
    return str(row.arguments.get(plan_type.identified_by[0], ""))


_NOTED = "state <> 'refused' AND (state = 'held' OR remarks <> '[]' OR resolution_note IS NOT NULL)"


def _listed(file: PlanFile, plan_type: PlanType, where: str) -> tuple[Refusal, ...]:
    numbers = file.select(f"SELECT row FROM rows WHERE {where} ORDER BY row LIMIT ?", (LISTED,))
    rows = (file.page(tuple(RowState), number - 1, 1)[0] for (number,) in numbers)
    return tuple(
        Refusal(
            row.row,
            row.column or "",
            _worth_knowing(row),
            identity(plan_type, row),
            row.shop,
            row.amount_fen,
            None if row.amount_fen is None else row.currency or "CNY",
        )
        for row in rows
    )


def _worth_knowing(row: PlanRow) -> str:
    if row.state is RowState.REFUSED:
        return row.reason or ""
    held_back = row.reason if row.state is RowState.HELD else None
    return "; ".join(filter(None, (held_back, row.note)))


def _quoted(states: tuple[RowState, ...]) -> str:
    return ", ".join(f"'{state.value}'" for state in states)
