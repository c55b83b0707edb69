"""What a plan comes to: money per currency and per shop, the largest rows, the refused ones.

Every row counts in exactly one place, and the places are added up before anything is shown.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.plans.plan_types import PlanType, plan_type_of
from pandapon_async.plans.rows import PlanRow, RowState

__all__ = ["Money", "PlanSummary", "Refusal", "identity", "overview_of", "sendable_states", "summarize"]

LARGEST = 10
LISTED = 1_000


@attrs.frozen
class Money:
    """What some rows come to in one currency; of `unknown` rows the amount is not known."""

    currency: str
    rows: int
    amount_fen: int
    unknown: int = 0
    shop: str | None = None


@attrs.frozen
class Refusal:
    """A row that will not be sent, and why; or one with something worth knowing."""

    row: int
    column: str
    reason: str


@attrs.frozen(kw_only=True)
class PlanSummary:
    """A plan at a glance. Amounts are fen. `to_send` is what `apply` would send now.

    `refused` and `notes` list the first thousand; their numbers are in `states` and `noted`.
    """

    kind: str
    source: str
    rows: int
    states: dict[RowState, int]
    planned: tuple[Money, ...]
    to_send: tuple[Money, ...]
    shops: tuple[Money, ...]
    largest: tuple[tuple[int, str, str | None, int, str], ...]
    refused: tuple[Refusal, ...]
    notes: tuple[Refusal, ...]
    noted: int
    unchecked: int
    pictures: int
    picture_bytes: int
    pictures_uploaded: int
    inferred: tuple[str, ...]
    offline: bool

    @property
    def sendable(self) -> int:
        """How many rows `apply` would send now."""
        return sum(money.rows for money in self.to_send)

    def to_json(self) -> dict[str, Any]:
        """For machines."""
        facts = attrs.asdict(self)
        facts["states"] = {state.value: count for state, count in self.states.items() if count}
        facts["largest"] = [
            dict(zip(("row", "id", "shop", "amount_fen", "currency"), row, strict=True))
            for row in self.largest
        ]
        return facts


def summarize(path: str | Path, *, resend_absent: bool = False) -> PlanSummary:
    """What the plan in a file comes to. Raises ConfigurationError if it is none. Blocks."""
    book = PlanFile.open(Path(path))
    try:
        return overview_of(book, resend_absent=resend_absent)
    finally:
        book.close()


def overview_of(book: PlanFile, *, resend_absent: bool = False) -> PlanSummary:
    """Read a plan's overview from its file."""
    kind = plan_type_of(book.get("kind"))
    counted = dict(book.select("SELECT state, count(*) FROM rows GROUP BY state"))
    states = {state: int(counted.get(state.value, 0)) for state in RowState}
    source = book.get("source")
    rows = sum(states.values())
    if rows != source["rows"]:
        raise AssertionError(f"{source['rows']} rows were read, {rows} are in the plan")
    to_send = sendable_states(resend_absent=resend_absent)
    pictures = book.select("SELECT count(*), coalesce(sum(size), 0), count(url) FROM pictures")[0]
    return PlanSummary(
        kind=kind.name,
        source=source["name"],
        rows=rows,
        states=states,
        planned=_money(book, "state <> 'refused'"),
        to_send=_money(book, f"state IN ({_quoted(to_send)})"),
        shops=_shops(book),
        largest=_largest(book, kind),
        refused=_texts(book, "state = 'refused'", "reason"),
        notes=_texts(book, "state <> 'refused' AND note IS NOT NULL", "note"),
        noted=int(
            book.select("SELECT count(*) FROM rows WHERE state <> 'refused' AND note IS NOT NULL")[0][0]
        ),
        unchecked=int(
            book.select("SELECT count(*) FROM rows WHERE state <> 'refused' AND NOT checked")[0][0]
        ),
        pictures=int(pictures[0]),
        picture_bytes=int(pictures[1]),
        pictures_uploaded=int(pictures[2]),
        inferred=tuple(book.get("inferred")),
        offline=bool(book.get("offline")),
    )


def sendable_states(*, resend_absent: bool) -> tuple[RowState, ...]:
    """The states of the rows that are to be sent."""
    again = (RowState.SETTLED_ABSENT,) if resend_absent else ()
    return (RowState.PLANNED, RowState.NOT_SENT, *again)


_SUMS = "count(*), coalesce(sum(amount_fen), 0), count(*) - count(amount_fen)"


def _money(book: PlanFile, where: str) -> tuple[Money, ...]:
    query = f"SELECT coalesce(currency, 'CNY'), {_SUMS} FROM rows WHERE {where} GROUP BY 1 ORDER BY 1"
    return tuple(Money(*values) for values in book.select(query))


def _shops(book: PlanFile) -> tuple[Money, ...]:
    query = (
        f"SELECT coalesce(currency, 'CNY'), {_SUMS}, shop FROM rows WHERE state <> 'refused'"
        " GROUP BY 1, shop ORDER BY 3 DESC, shop LIMIT ?"
    )
    return tuple(Money(*values) for values in book.select(query, (LISTED,)))


def _largest(book: PlanFile, kind: PlanType) -> tuple[tuple[int, str, str | None, int, str], ...]:
    query = (
        "SELECT row FROM rows WHERE state <> 'refused' AND amount_fen IS NOT NULL"
        " ORDER BY amount_fen DESC, row LIMIT ?"
    )
    found = []
    for (number,) in book.select(query, (LARGEST,)):
        row = book.page(tuple(RowState), number - 1, 1)[0]
        found.append((row.row, identity(kind, row), row.shop, row.amount_fen or 0, row.currency or "CNY"))
    return tuple(found)


def identity(kind: PlanType, row: PlanRow) -> str:
    """What a row is about, in one word."""
    return str(row.arguments.get(kind.identified_by[0], ""))


def _texts(book: PlanFile, where: str, column: str) -> tuple[Refusal, ...]:
    query = f"SELECT row, coalesce(column, ''), {column} FROM rows WHERE {where} ORDER BY row LIMIT ?"
    return tuple(Refusal(*values) for values in book.select(query, (LISTED,)))


def _quoted(states: tuple[RowState, ...]) -> str:
    return ", ".join(f"'{state.value}'" for state in states)
