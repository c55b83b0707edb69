"""The sums of a run. They add up to the number of rows, or the run fails loudly.

Amounts are added per currency of the ledger; upstream amounts only where they are in the same one. What is at
stake counts in the currency of the amount that is known.
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
    """How many rows, and what they add up to in fen (1/100 of the currency)."""

    rows: int = 0
    ledger_fen: int = 0
    upstream_fen: int = 0
    at_stake_fen: int = 0


@attrs.define
class AgeBucket:
    """Open refunds of one age: how many, how many of them past their deadline, their CNY amounts."""

    rows: int = 0
    past_deadline: int = 0
    upstream_fen: int = 0


@attrs.define
class Totals:
    """Adds up rows as they pass; `unverified` counts the reasons why lookups failed.

    `problems` counts the fields of answers that came as another type, by their place, `freight` the rows that
    are equal under one reading of freight alone, by that reading.
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
    """Rows that did not match and of which no amount is known."""

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
        """The money at stake in fen by currency, the most rows first; of one verdict, or of all."""
        sums = {
            currency: sum(tally.at_stake_fen for one, tally in part.items() if verdict in (None, one))
            for currency, part in self.by_currency()
        }
        return {currency: fen for currency, fen in sums.items() if fen}

    def by_currency(self) -> list[tuple[str, dict[Verdict, Tally]]]:
        """The tallies by currency, the one with the most rows first, rows without a currency last."""
        return sorted(
            self.currencies.items(),
            key=lambda item: (item[0] == NO_CURRENCY, -together(item[1]).rows, item[0]),
        )

    def check(self, expected: int) -> None:
        """Raise if the sums do not add up to the number of rows read."""
        by_currency = sum(tally.rows for part in self.currencies.values() for tally in part.values())
        if not expected == self.rows == sum(self.verdicts.values()) == by_currency:
            raise AssertionError(f"{expected} rows read, {self.rows} written: the books do not add up")


def together(part: Mapping[Verdict, Tally]) -> Tally:
    """The sum of tallies."""
    names = [field.name for field in attrs.fields(Tally)]
    return Tally(**{name: sum(getattr(tally, name) for tally in part.values()) for name in names})


def _age_name(days: int | None) -> str:
    if days is None:
        return AGE_UNKNOWN
    return next((name for limit, name in AGE_LIMITS if days <= limit), OLDEST)


class JudgedRow(NamedTuple):
    """A row of the ledger, the platform's answer (None: not asked), and the verdict."""

    row: LedgerRow
    """The row as the ledger has it."""
    lookup: Lookup | None
    """What the platform said, if it was asked."""
    judgement: Judgement
    """What that comes to."""

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return all three as plain values, see `Summary.to_dict`."""
        return plain_dict(self, personal=personal)

    def to_json(self, *, personal: bool = False) -> str:
        """Return the same as `to_dict`, as JSON text."""
        return json.dumps(self.to_dict(personal=personal), ensure_ascii=False)


@attrs.define(kw_only=True)
class Summary(Result):
    """What a reconciliation came to."""

    ledger: Mapping[str, Any]
    """What was read, and how."""
    as_of: str
    """The "now" that deadlines are judged by, in ISO 8601."""
    options: Mapping[str, Any]
    """How the ledger was read and judged."""
    inferred: tuple[str, ...]
    """What was assumed without having been said."""
    notes: tuple[str, ...] = ()
    """What was not read, or read and not understood."""
    totals: Totals
    """Rows and money by verdict."""
    rows_digest: str
    """The SHA-256 of rows.csv without its last four columns (request id, time, age and source): the same
    for every run that came to the same result."""
    run: Mapping[str, Any]
    """The work of this run alone: times, calls, lookups."""
    reports: Mapping[str, Any] = attrs.field(factory=dict)
    """Of report.html and report.xlsx: how many rows each lists, and what it leaves out."""

    missing: MissingSummary | None = None
    """What the search for refunds that the ledger lacks came to; None: nobody searched."""

    state: Path | None = attrs.field(default=None, repr=False)
    """The file that the rows can be read from again, while it is there."""
    rule: VerdictRule | None = attrs.field(default=None, repr=False)
    """What was judged by."""

    def results(self) -> Iterator[JudgedRow]:
        """Every row of the ledger with what was found and its verdict, in order; streamed from the state.

        Raises: ConfigurationError while another run uses the state, or once it is gone.
        """
        if self.state is None or self.rule is None or not self.state.is_file():
            raise ConfigurationError(f"there is no state file {self.state}: run the reconciliation again")
        store = RunStore.open(self.state)
        try:
            for row, lookup in store.joined():
                yield JudgedRow(row, lookup, judge(row, lookup, self.rule))
        finally:
            store.close()

    @property
    def rows(self) -> int:
        """The number of the ledger's rows."""
        return self.totals.rows

    @property
    def verdicts(self) -> Mapping[Verdict, int]:
        """How many rows got each verdict; all verdicts are there."""
        return self.totals.verdicts

    @property
    def calls_saved(self) -> CallsSaved:
        """The calls that this run did not need."""
        return CallsSaved(**self.run.get("calls_saved", {}))

    @property
    def freight_advice(self) -> list[str]:
        """One sentence for each reading of freight under which rows are equal, and what settles it."""
        return [
            f"{count:,} row{'s are' if count > 1 else ' is'} equal if freight is {reading}: "
            f"--freight {reading} says so"
            for reading, count in self.totals.freight.most_common()
        ]

    @property
    def odd_fields(self) -> list[str]:
        """One sentence for each field of answers that came as another type, the most frequent first."""
        return [
            f"{place}: {count:,} time{'s' * (count > 1)} of another type"
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
        """Everything, ready for JSON; amounts are whole fen."""
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
