"""The rule: the verdict on a row of the ledger and an answer of the platform.

Pure and total. Every row gets exactly one verdict, the first of the list that applies; the reason has its
other differences. A failed lookup is `unverified`: not missing, and never matched.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from datetime import datetime

import attrs

from pandapon_async.core.freight import FreightReading, totals_fen
from pandapon_async.core.json_values import Result
from pandapon_async.core.model import BEIJING
from pandapon_async.reconcile.options import AmountBasis
from pandapon_async.reconcile.statuses import is_known, is_open, succeeded
from pandapon_async.tables.cells import Platform

__all__ = [
    "Judgement",
    "LedgerRow",
    "Lookup",
    "LookupSource",
    "Outcome",
    "Verdict",
    "VerdictRule",
    "judge",
]


class Verdict(enum.StrEnum):
    """The verdict on a row, in order of precedence."""

    UNREADABLE = "unreadable"
    """The row of the ledger cannot be read."""
    DUPLICATE_LOCAL = "duplicate_local"
    """An earlier row is about the same refund."""
    UNVERIFIED = "unverified"
    """The lookup failed, so nothing is known."""
    MISSING_UPSTREAM = "missing_upstream"
    """The platform does not have the refund."""
    UNKNOWN_STATUS = "unknown_status"
    """The platform's status is not known to this version."""
    CURRENCY_MISMATCH = "currency_mismatch"
    """The currencies differ."""
    AMOUNT_MISMATCH = "amount_mismatch"
    """The amounts differ."""
    STATUS_DRIFT = "status_drift"
    """The ledger's status differs from the platform's."""
    TIMED_OUT = "timed_out"
    """The deadline has passed, and the refund is open."""
    MATCHED = "matched"
    """Ledger and platform agree."""


@attrs.define(kw_only=True)
class LedgerRow(Result):
    """A row of the ledger."""

    row: int
    """The row of the file, from 1."""
    platform: Platform | None = None
    """"1688" or "taobao"."""
    shop: str | None = None
    """The shop in the ledger."""
    refund_id: str | None = None
    """The refund's id."""
    order_id: str | None = None
    """The order's id."""
    amount_fen: int | None = None
    """The amount, in fen."""
    currency: str | None = None
    """The currency."""
    status: str | None = None
    """The status, in the platform's spelling if it has one."""
    applied_at: str | None = None
    """When the refund was applied for, in ISO 8601."""
    problem: str | None = None
    """Why the row cannot be read, if so."""
    column: str | None = None
    """The unreadable column."""
    duplicate_of: int | None = None
    """The first row of the same refund, if this is a later one."""
    account: str | None = None
    """The account of the refund, if several accounts share a ledger."""
    status_word: str | None = None
    """The ledger's own word for `status`."""


class Outcome(enum.StrEnum):
    """How a lookup ended."""

    FOUND = "found"
    """The platform has it."""
    MISSING = "missing"
    """The platform does not have the refund."""
    FAILED = "failed"
    """Not known: the lookup failed."""


class LookupSource(enum.StrEnum):
    """The source of a lookup."""

    SINGLE = "single"
    """A single lookup by the refund's id."""
    LIST = "list"
    """A list of the platform's refunds."""
    REUSED = "reused"
    """An earlier complete run; `looked_up_at` has the time."""


@attrs.define(kw_only=True)
class Lookup(Result):
    """The platform's answer about a refund."""

    outcome: Outcome
    """Whether the refund was found."""
    status: str | None = None
    """The status, in the platform's spelling."""
    applied_fen: int | None = None
    """The amount applied for, in fen."""
    refunded_fen: int | None = None
    """The amount refunded, in fen."""
    currency: str | None = None
    """The currency; None means CNY."""
    deadline: str | None = None
    """Until when the due party has to act, in ISO 8601."""
    applied_at: str | None = None
    """When the refund was applied for, in ISO 8601."""
    error: str | None = None
    """The failure in words."""
    retryable: bool = False
    """Whether the failure may be transient."""
    request_id: str | None = None
    """The vendor's id of the request."""
    attempts: int = 0
    """How many requests it took."""
    looked_up_at: str | None = None
    """When it was looked up, in ISO 8601."""
    error_kind: str | None = None
    """The code of the failure, as in `ErrorKind`."""
    applied_freight_fen: int | None = None
    """The freight applied for, in fen."""
    refunded_freight_fen: int | None = None
    """The freight refunded, in fen."""
    problems: str | None = None
    """The places of fields with another type, separated by spaces."""
    source: LookupSource = LookupSource.SINGLE
    """The source of the lookup."""


@attrs.frozen(kw_only=True)
class VerdictRule:
    """The rules of judgement of a run; the same for all its rows, also after a resume."""

    as_of: datetime
    """The "now" for judging deadlines."""
    basis: AmountBasis = AmountBasis.ACTUAL
    """Which amount of 1688 is compared."""
    tolerance_fen: int = 0
    """The difference in fen that still counts as equal."""
    freight: FreightReading = "ask"
    """Whether freight is added to an amount, included in it, or a question."""


@attrs.frozen(kw_only=True)
class Judgement(Result):
    """A verdict and its reasons."""

    verdict: Verdict
    """The verdict."""
    reason: str = ""
    """Why, for people; empty if it matched."""
    findings: tuple[Verdict, ...] = ()
    """All differences of a found refund, the most important first."""
    upstream_fen: int | None = None
    """The compared amount of the platform, in fen."""
    open: bool = False
    """Whether the refund is open."""
    past_deadline: bool = False
    """Whether the due party has missed its deadline."""
    age_days: int | None = None
    """Days since it was applied for."""
    equal_if: FreightReading | None = None
    """The reading of freight under which the amounts are equal, if it is not known and decides."""


def judge(row: LedgerRow, lookup: Lookup | None, rule: VerdictRule) -> Judgement:
    """Return the verdict on a row. `lookup` is None without a lookup."""
    if row.problem is not None or row.platform is None:
        return Judgement(verdict=Verdict.UNREADABLE, reason=row.problem or "no platform")
    if row.duplicate_of is not None:
        return Judgement(verdict=Verdict.DUPLICATE_LOCAL, reason=f"the same refund as row {row.duplicate_of}")
    if lookup is None or lookup.outcome is Outcome.FAILED:
        return Judgement(verdict=Verdict.UNVERIFIED, reason=(lookup and lookup.error) or "not looked up")
    if lookup.outcome is Outcome.MISSING:
        return Judgement(verdict=Verdict.MISSING_UPSTREAM, reason="the platform does not know the refund")
    amount, freight = counted_fen(row.platform, lookup, rule.basis)
    totals: Mapping[FreightReading, int] = {}
    if amount is not None:
        totals = totals_fen(amount, freight, rule.freight)
    equal: list[FreightReading] = [
        reading
        for reading, total in totals.items()
        if row.amount_fen is not None and abs(total - row.amount_fen) <= rule.tolerance_fen
    ]
    upstream_fen = next((totals[reading] for reading in (*equal, *totals)), None)
    findings = _findings(row, lookup, totals, equal, rule)
    return Judgement(
        verdict=findings[0][0] if findings else Verdict.MATCHED,
        reason="; ".join(text for _, text in findings),
        findings=tuple(verdict for verdict, _ in findings),
        upstream_fen=upstream_fen,
        open=is_open(row.platform, lookup.status),
        past_deadline=any(verdict is Verdict.TIMED_OUT for verdict, _ in findings),
        age_days=_age_days(row, lookup, rule.as_of),
        equal_if=equal[0] if len(equal) < len(totals) and equal else None,
    )


def counted_fen(platform: Platform, lookup: Lookup, basis: AmountBasis) -> tuple[int | None, int | None]:
    """Return the compared upstream amount in fen and its freight; None if the answer lacks it."""
    applied = lookup.applied_fen, lookup.applied_freight_fen
    refunded = lookup.refunded_fen, lookup.refunded_freight_fen
    if platform == "taobao" or basis is AmountBasis.APPLIED:
        return applied
    if basis is AmountBasis.REFUNDED:
        return refunded
    if succeeded(platform, lookup.status) and lookup.refunded_fen is not None:
        return refunded
    return applied


def _findings(
    row: LedgerRow,
    lookup: Lookup,
    totals: Mapping[FreightReading, int],
    equal: Sequence[FreightReading],
    rule: VerdictRule,
) -> list[tuple[Verdict, str]]:
    """Return all differences, the most important first."""
    assert row.platform is not None
    findings = []
    if lookup.status is None:
        findings.append((Verdict.UNKNOWN_STATUS, "the platform named no status"))
    elif not is_known(row.platform, lookup.status):
        findings.append((Verdict.UNKNOWN_STATUS, "the platform's status is not a documented one"))
    if row.status is not None and not is_known(row.platform, row.status):
        findings.append((Verdict.UNKNOWN_STATUS, "the ledger's status is not one of the platform's"))
    if row.currency != (upstream_currency := lookup.currency or "CNY"):
        findings.append((Verdict.CURRENCY_MISMATCH, f"currency {row.currency}, upstream {upstream_currency}"))
    if row.amount_fen is None or not totals:
        findings.append((Verdict.AMOUNT_MISMATCH, "the platform named no amount"))
    elif not equal:
        differences = " or ".join(
            f"{total - row.amount_fen:+d} fen{_WITH.get(reading, '') if len(totals) > 1 else ''}"
            for reading, total in totals.items()
        )
        findings.append((Verdict.AMOUNT_MISMATCH, f"upstream differs by {differences}"))
    elif len(equal) < len(totals):
        findings.append((Verdict.AMOUNT_MISMATCH, f"equal if freight is {equal[0]}"))
    if row.status is not None and row.status != lookup.status:
        findings.append((Verdict.STATUS_DRIFT, "the status differs"))
    if is_open(row.platform, lookup.status) and _passed(lookup.deadline, rule.as_of):
        findings.append((Verdict.TIMED_OUT, "still open past its deadline"))
    return findings


_WITH: Mapping[FreightReading, str] = {"added": " with freight added"}


def _passed(deadline: str | None, as_of: datetime) -> bool:
    return deadline is not None and datetime.fromisoformat(deadline) < as_of


def _age_days(row: LedgerRow, lookup: Lookup, as_of: datetime) -> int | None:
    """Return the whole days since the application, from the platform or else the ledger."""
    since = lookup.applied_at or row.applied_at
    if since is None:
        return None
    moment = datetime.fromisoformat(since)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=BEIJING)
    return max((as_of - moment).days, 0)
