"""The rows that need attention, the most money first.

A list of the first exceptions of a ledger would hide a difference of a million in the last row. So every
exception has its money at stake: the difference if nothing else is wrong, otherwise the whole amount. The
rows with the most money are kept, in memory that does not grow with the ledger; the others are counted and
summed per currency.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import attrs

from pandapon_async.core.model import BEIJING
from pandapon_async.reconcile.verdict import Judgement, LedgerRow, Lookup, Outcome, Verdict
from pandapon_async.tables.file_set import SPAN

__all__ = ["NO_CURRENCY", "ONE", "AttentionList", "AttentionRow", "LeftOut", "Origins", "at_stake_fen"]

NO_CURRENCY = "unknown"
"""The placeholder for the unknown currency of unreadable rows."""


@attrs.frozen
class Origins:
    """The origin of a ledger's rows: the file and the account, if there are several."""

    files: Sequence[str] = ()
    """The ledger's files, if there are several."""
    accounts: bool = False
    """Whether several accounts share the ledger."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that show the origin."""
        return (*(("account",) if self.accounts else ()), *(("file",) if self.files else ()))

    def of(self, row: LedgerRow) -> tuple[str | None, ...]:
        """Return the values of these columns."""
        account = (row.account,) if self.accounts else ()
        return (*account, self.files[row.row // SPAN - 1]) if self.files else account


ONE = Origins()
"""One file of one account."""


@attrs.frozen
class AttentionRow:
    """A row that did not match, with its lookup. Amounts are fen (1/100 of the currency)."""

    row: LedgerRow
    lookup: Lookup | None
    judgement: Judgement
    stake_fen: int | None
    """The money at stake; None if no amount is known."""
    as_of: datetime
    origins: Origins = ONE

    @classmethod
    def of(
        cls,
        row: LedgerRow,
        lookup: Lookup | None,
        judgement: Judgement,
        as_of: datetime,
        origins: Origins = ONE,
    ) -> AttentionRow:
        """Create it from a judged row."""
        return cls(row, lookup, judgement, at_stake_fen(row, lookup, judgement), as_of, origins)

    def place(self, row: int | None) -> str | int | None:
        """The number of the row, with its file if there are several."""
        files = self.origins.files
        if row is None or not files:
            return row
        number, row = divmod(row, SPAN)
        return f"{row} ({files[number - 1]})"

    @property
    def account(self) -> str | None:
        """The account of the row, if several accounts share the ledger."""
        return self.row.account if self.origins.accounts else None

    @property
    def verdict(self) -> Verdict:
        """The verdict."""
        return self.judgement.verdict

    @property
    def found(self) -> Lookup | None:
        """The platform's answer, if it knows the refund."""
        return self.lookup if self.lookup is not None and self.lookup.outcome is Outcome.FOUND else None

    @property
    def platform_currency(self) -> str | None:
        """The currency of the platform's amount; CNY if it has none."""
        return None if self.found is None else self.found.currency or "CNY"

    @property
    def currency(self) -> str | None:
        """The currency of the money at stake."""
        return self.row.currency if self.row.amount_fen is not None else self.platform_currency

    @property
    def difference_fen(self) -> int | None:
        """The platform's amount minus the ledger's, if both are known and have one currency."""
        upstream, ledger = self.judgement.upstream_fen, self.row.amount_fen
        if upstream is None or ledger is None or self.row.currency != self.platform_currency:
            return None
        return upstream - ledger

    @property
    def applied_at(self) -> datetime | None:
        """When the refund was applied for, from the platform or else the ledger."""
        seen = None if self.found is None else self.found.applied_at
        return moment(seen or self.row.applied_at)

    @property
    def deadline(self) -> datetime | None:
        """The platform's deadline for acting."""
        return None if self.found is None else moment(self.found.deadline)

    @property
    def age_days(self) -> int | None:
        """Whole days from the application to the time that the run judges by."""
        return None if self.applied_at is None else max((self.as_of - self.applied_at).days, 0)


def moment(text: str | None) -> datetime | None:
    """Parse a stored time; Beijing time without a zone."""
    if not text:
        return None
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=BEIJING)


def at_stake_fen(row: LedgerRow, lookup: Lookup | None, judgement: Judgement) -> int | None:
    """The money at stake in a row that did not match, in fen; None if no amount is known.

    If only the amount is wrong, this is the difference, or the freight if its reading decides; otherwise the
    larger of the two amounts.
    """
    if judgement.verdict is Verdict.MATCHED:
        return 0
    if judgement.equal_if is not None and set(judgement.findings) == {Verdict.AMOUNT_MISMATCH}:
        freights = lookup and (lookup.refunded_freight_fen, lookup.applied_freight_fen)
        return max(abs(fen) for fen in (freights or ()) if fen is not None)
    upstream, ledger = judgement.upstream_fen, row.amount_fen
    if set(judgement.findings) == {Verdict.AMOUNT_MISMATCH} and upstream is not None and ledger is not None:
        return abs(upstream - ledger)
    if ledger is None:
        return None if upstream is None else abs(upstream)
    same_currency = row.currency == ((lookup and lookup.currency) or "CNY")
    return max(abs(ledger), abs(upstream)) if upstream is not None and same_currency else abs(ledger)


@attrs.define
class LeftOut:
    """The rows that a list omits: their number, and their money at stake in fen by currency."""

    rows: int = 0
    at_stake_fen: dict[str, int] = attrs.field(factory=dict)

    def add(self, row: AttentionRow) -> None:
        """Count a row."""
        self.rows += 1
        if row.stake_fen:
            currency = row.currency or NO_CURRENCY
            self.at_stake_fen[currency] = self.at_stake_fen.get(currency, 0) + row.stake_fen

    def to_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return attrs.asdict(self)


@attrs.define
class AttentionList:
    """The `limit` rows with the most money at stake; among equal ones the first of the ledger."""

    limit: int
    left_out: LeftOut = attrs.field(init=False, factory=LeftOut)
    _heap: list[tuple[int, int, AttentionRow]] = attrs.field(init=False, factory=list)

    def add(self, row: AttentionRow) -> None:
        """Add a row, and drop the one with the least money if there are too many."""
        entry = (-1 if row.stake_fen is None else row.stake_fen, -row.row.row, row)
        if len(self._heap) < self.limit:
            heapq.heappush(self._heap, entry)
        elif self.limit:
            self.left_out.add(heapq.heappushpop(self._heap, entry)[2])
        else:
            self.left_out.add(row)

    def __len__(self) -> int:
        return len(self._heap)

    def __iter__(self) -> Iterator[AttentionRow]:
        """Return the rows, the most money first."""
        return (row for _, _, row in sorted(self._heap, key=lambda entry: entry[:2], reverse=True))
