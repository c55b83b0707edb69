"""The sums of a run. If they do not add up to the number of rows, the run fails.

Amounts are added per currency of the ledger; upstream amounts only if they have the same currency. Money at
stake counts in the currency of the known amount.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import attrs

from pandapon_async.core.json_values import Result, plain_dict
from pandapon_async.errors import ConfigurationError
from pandapon_async.reconcile.attention import NO_CURRENCY, at_stake_fen
from pandapon_async.reconcile.calls_saved import CallsSaved
from pandapon_async.reconcile.find_missing import MissingSummary
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.verdict import Judgement, LedgerRow, Lookup, Verdict, VerdictRule, judge

__all__ = ["NO_CURRENCY", "AgeBucket", "JudgedRow", "Summary", "Tally", "Totals", "together"]

AGE_LIMITS = ((3, "0-3 days"), (7, "4-7 days"), (15, "8-15 days"), (30, "16-30 days"))
OLDEST = "over 30 days"
AGE_UNKNOWN = "age unknown"


@attrs.define
class Tally:
    """The number of rows and their sums in fen (1/100 of the currency)."""

    rows: int = 0
    ledger_fen: int = 0
    upstream_fen: int = 0
    at_stake_fen: int = 0


@attrs.define
class AgeBucket:
    """Open refunds of one age: their number, the number past their deadline, their CNY amounts."""

    rows: int = 0
    past_deadline: int = 0
    upstream_fen: int = 0


@attrs.define
class Totals:
    """Adds up rows one by one; `unverified` counts the reasons of failed lookups.

    `problems` counts the fields of answers with another type by their place, `freight` the rows that are
    equal under only one reading of freight, by that reading.
    """

    rows: int = 0
    verdicts: dict[Verdict, int] = attrs.field(factory=lambda: dict.fromkeys(Verdict, 0))
    currencies: dict[str, dict[Verdict, Tally]] = attrs.field(factory=dict)
    unverified: Counter[str] = attrs.field(factory=Counter)
    problems: Counter[str] = attrs.field(factory=Counter)
    freight: Counter[str] = attrs.field(factory=Counter)
    ageing: dict[str, AgeBucket] = attrs.field(
        factory=lambda: {
            name: AgeBucket() for name in (*(name for _, name in AGE_LIMITS), OLDEST, AGE_UNKNOWN)
        }
    )

    unknown_amounts: int = 0
    """The number of exceptions without a known amount."""

    def add(self, row: LedgerRow, lookup: Lookup | None, judgement: Judgement) -> None:
        """Count one judged row."""
        self.rows += 1
        self.verdicts[judgement.verdict] += 1
        if judgement.verdict is Verdict.UNVERIFIED:
            self.unverified[judgement.reason] += 1
        if judgement.equal_if is not None:
            self.freight[judgement.equal_if] += 1
        if lookup is not None and lookup.problems:
            self.problems.update(lookup.problems.split())
        by_verdict = self.currencies.setdefault(row.currency or NO_CURRENCY, {})
        tally = by_verdict.setdefault(judgement.verdict, Tally())
        tally.rows += 1
        tally.ledger_fen += row.amount_fen or 0
        stake = at_stake_fen(row, lookup, judgement)
        tally.at_stake_fen += stake or 0
        self.unknown_amounts += stake is None
        upstream_currency = (lookup and lookup.currency) or "CNY"
        if upstream_currency == row.currency:
            tally.upstream_fen += judgement.upstream_fen or 0
        if judgement.open:
            bucket = self.ageing[_age_name(judgement.age_days)]
            bucket.rows += 1
            bucket.past_deadline += judgement.past_deadline
            bucket.upstream_fen += judgement.upstream_fen or 0 if upstream_currency == "CNY" else 0

    def at_stake_fen(self, verdict: Verdict | None = None) -> dict[str, int]:
        """Return the money at stake in fen by currency, the most rows first; of one verdict, or of all."""
        sums = {
            currency: sum(tally.at_stake_fen for one, tally in part.items() if verdict in (None, one))
            for currency, part in self.by_currency()
        }
        return {currency: fen for currency, fen in sums.items() if fen}

    def by_currency(self) -> list[tuple[str, dict[Verdict, Tally]]]:
        """Return the tallies by currency, the most rows first, rows without a currency last."""
        return sorted(
            self.currencies.items(),
            key=lambda item: (item[0] == NO_CURRENCY, -together(item[1]).rows, item[0]),
        )

    def check(self, expected: int) -> None:
        """Raise if the sums do not add up to the number of rows read."""
        by_currency = sum(tally.rows for part in self.currencies.values() for tally in part.values())
        if not expected == self.rows == sum(self.verdicts.values()) == by_currency:
            raise AssertionError(
                f"{expected} rows were read, but {self.rows} were written; please report this"
            )


def together(part: Mapping[Verdict, Tally]) -> Tally:
    """Return the sum of tallies."""
    names = [field.name for field in attrs.fields(Tally)]
    return Tally(**{name: sum(getattr(tally, name) for tally in part.values()) for name in names})


def _age_name(days: int | None) -> str:
    if days is None:
        return AGE_UNKNOWN
    return next((name for limit, name in AGE_LIMITS if days <= limit), OLDEST)


class JudgedRow(NamedTuple):
    """A row of the ledger, the platform's answer (None: no request), and the verdict."""

    row: LedgerRow
    """The row of the ledger."""
    lookup: Lookup | None
    """The platform's answer, if it was looked up."""
    judgement: Judgement
    """The judgement of the row."""

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return all three as plain values, see `Summary.to_dict`."""
        return plain_dict(self, personal=personal)

    def to_json(self, *, personal: bool = False) -> str:
        """Return the same as `to_dict`, as JSON text."""
        return json.dumps(self.to_dict(personal=personal), ensure_ascii=False)


@attrs.define(kw_only=True)
class Summary(Result):
    """The summary of a reconciliation."""

    ledger: Mapping[str, Any]
    """The ledger, and how it was read."""
    as_of: str
    """The "now" for judging deadlines, in ISO 8601."""
    options: Mapping[str, Any]
    """How the ledger was read and judged."""
    inferred: tuple[str, ...]
    """The assumptions about the ledger."""
    notes: tuple[str, ...] = ()
    """Notes about what was not read or not understood."""
    totals: Totals
    """Rows and money by verdict."""
    rows_digest: str
    """The SHA-256 of rows.csv without its last four columns (request id, time, age and source): equal for
    runs with equal results.
    """
    run: Mapping[str, Any]
    """The work of this run only: times, calls, lookups."""
    reports: Mapping[str, Any] = attrs.field(factory=dict)
    """The number of rows in report.html and report.xlsx, and the omitted ones."""

    missing: MissingSummary | None = None
    """The result of the search for refunds that the ledger lacks; None: no search."""

    state: Path | None = attrs.field(default=None, repr=False)
    """The state file from which the rows can be read again, while it exists."""
    rule: VerdictRule | None = attrs.field(default=None, repr=False)
    """The rules of judgement."""

    def results(self) -> Iterator[JudgedRow]:
        """Iterate over the rows of the ledger with lookup and verdict, in order; streamed from the state.

        Raises ConfigurationError while another run uses the state, or if it is gone.
        """
        if self.state is None or self.rule is None or not self.state.is_file():
            raise ConfigurationError(
                f"the state file {self.state} does not exist; run the reconciliation again"
            )
        store = RunStore.open(self.state)
        try:
            for row, lookup in store.joined():
                yield JudgedRow(row, lookup, judge(row, lookup, self.rule))
        finally:
            store.close()

    @property
    def rows(self) -> int:
        """The number of rows of the ledger."""
        return self.totals.rows

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """The number of rows of each verdict, including 0."""
        return self.totals.verdicts

    @property
    def calls_saved(self) -> CallsSaved:
        """The calls that this run saved."""
        return CallsSaved(**self.run.get("calls_saved", {}))

    @property
    def freight_advice(self) -> list[str]:
        """Return a sentence with the option for each reading of freight under which rows are equal."""
        return [
            f"{count:,} row{'s are' if count > 1 else ' is'} equal if freight is {reading}; to set it, "
            f"use --freight {reading}"
            for reading, count in self.totals.freight.most_common()
        ]

    @property
    def odd_fields(self) -> list[str]:
        """Return a sentence for each field of answers with another type, the most frequent first."""
        return [
            f"{place}: {count:,} time{'s' * (count > 1)} with another type than expected"
            for place, count in self.totals.problems.most_common()
        ]

    @property
    def exit_code(self) -> int:
        """0 all matched and nothing lacks, 3 something could not be verified, else 1."""
        if self.verdicts[Verdict.UNVERIFIED]:
            return 3
        differs = self.verdicts[Verdict.MATCHED] != self.rows
        return max(int(differs), 0 if self.missing is None else self.missing.exit_code)

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return everything for JSON; amounts are whole fen."""
        return {
            "made_by": "pandapon-async reconcile",
            "format": 1,
            "exit_code": self.exit_code,
            "rows": self.rows,
            "verdicts": {str(verdict): count for verdict, count in self.verdicts.items()},
            "currencies": {
                currency: {
                    str(verdict): attrs.asdict(part[verdict]) for verdict in Verdict if verdict in part
                }
                for currency, part in sorted(self.totals.currencies.items())
            },
            "at_stake_fen": self.totals.at_stake_fen(),
            **({} if self.missing is None else {"missing_local": self.missing.to_dict()}),
            "unknown_amounts": self.totals.unknown_amounts,
            "unverified": dict(self.totals.unverified.most_common()),
            "problems": dict(self.totals.problems.most_common()),
            "equal_if_freight_is": dict(self.totals.freight.most_common()),
            "open_refunds": {name: attrs.asdict(bucket) for name, bucket in self.totals.ageing.items()},
            "rows_digest": self.rows_digest,
            "as_of": self.as_of,
            "ledger": dict(self.ledger),
            "options": dict(self.options),
            "inferred": list(self.inferred),
            "notes": list(self.notes),
            "run": dict(self.run),
            "reports": dict(self.reports),
        }
