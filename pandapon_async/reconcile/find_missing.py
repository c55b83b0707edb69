"""Refunds that the platform has and the ledger lacks: where money is lost and no row says so.

The list of Taobao refunds is read for whole days of Beijing. What it names and no row of the ledger does is
looked up singly, as a list may invent. What exists is one of two things:

- `missing_local`: it was applied for inside the time that the ledger is about;
- `edge`: it was applied for within a day of an edge of that time, or nobody can say when. Books and
  platform may count such a refund to different days, so it is listed, and not counted as a difference.

That means something only where the ledger is of the whole account, which is the user's word to give. If far
too much lacks, the run asks for it again instead of looking up thousands of refunds. On 1688 there is no
list: a store of callbacks stands for it, and what was never pushed is not found.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Literal

import attrs

from pandapon_async.callbacks.push_log import PushLog
from pandapon_async.core.json_values import Result
from pandapon_async.errors import InvalidArgumentError
from pandapon_async.models.taobao.refunds import RefundDetail, listed_refund_id
from pandapon_async.reconcile.by_list import InThread
from pandapon_async.reconcile.list_store import Listed, WindowState
from pandapon_async.reconcile.list_windows import DAY_MS, Window, day_of, days_between, start_of, windows_of
from pandapon_async.reconcile.options import Options
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.verdict import Lookup, Outcome

__all__ = [
    "FEW",
    "Finding",
    "Lacking",
    "LackingVerdict",
    "MissingRange",
    "MissingSummary",
    "begin_summary",
    "judge_lacking",
    "lacking_of",
    "range_of",
    "read_pushes",
    "too_many",
]

MOST_LACKING: Final = 0.2
"""The share of the listed refunds that may lack before the run asks whether the ledger is complete."""
FEW: Final = 100
"""So many are looked up in any case."""
LEFT_OUT: Final = 0.01
"""The share of the ledger's own refunds that a list may leave out before it says nothing of what lacks."""
SURE: Final = 0.95
"""The share of the ledger's refunds that windows have to show around the day that the ledger names: then they
bound the time of the application."""
LEAST_DATED: Final = 20
ROWS_OF_WINDOW: Final = 1_000


class LackingVerdict(enum.StrEnum):
    """What a refund is that the platform has and the ledger lacks."""

    MISSING_LOCAL = "missing_local"
    """The ledger should have it."""
    EDGE = "edge"
    """It was applied for within a day of an edge of the time, or at a time that is not known."""
    UNVERIFIED = "unverified"
    """Its lookup failed: nothing is known."""


@attrs.frozen
class MissingRange:
    """The days of Beijing that are searched, both included."""

    since: date
    until: date

    @property
    def window(self) -> Window:
        """From the beginning of the first day to the end of the last."""
        return Window(start_of(self.since), start_of(self.until + timedelta(days=1)))

    @property
    def inner(self) -> Window:
        """The same without a day at either edge; empty if there are two days or fewer."""
        return Window(start_of(self.since + timedelta(days=1)), start_of(self.until))

    def windows(self, rows: Mapping[date, int], until: date | None = None) -> list[Window]:
        """The windows to read: the days at the edges for themselves, and further days `until` a last one."""
        last = max(self.until, until or self.until)
        days = {day: rows.get(day, 0) for day in days_between(self.since, last)}
        edges = {self.since + timedelta(days=1), self.until, self.until + timedelta(days=1)}
        return windows_of(days, ROWS_OF_WINDOW, edges, most_days=MOST_DAYS)


MOST_SEARCHED: Final = 730
"""Days that are searched at most: with more, some date of the ledger is a mistake."""
MOST_DAYS: Final = 7
"""Days of one window, where the ledger has few rows: the platform may have many."""


def range_of(options: Options, dates: tuple[str, str] | None) -> MissingRange:
    """The days that are searched: those of the options, else those of the ledger.

    `dates` are the first and the last time of an application in the ledger; None if it has none.

    Raises: InvalidArgumentError if neither says it.
    """
    days = None if dates is None else (day_of(dates[0]), day_of(dates[1]))
    since = options.since or (days and days[0])
    until = options.until or (days and days[1])
    if since is None or until is None:
        name = "until" if since is not None else "since"
        raise InvalidArgumentError(
            "--find-missing searches the time of the ledger, but no row has a time of application; set "
            f"it with --{name} 2026-01-31",
            argument=name,
        )
    if (until - since).days > MOST_SEARCHED:
        raise InvalidArgumentError(
            f"from {since} to {until} are more than {MOST_SEARCHED} days; if a date of the ledger is wrong, "
            "say with --since and --until which days to search",
            argument="since",
        )
    if since > until:
        raise InvalidArgumentError(f"--since {since} is after --until {until}", argument="since")
    return MissingRange(since, until)


@attrs.frozen
class Lacking:
    """A refund that the ledger lacks, and what it is."""

    listed: Listed
    verdict: LackingVerdict
    reason: str
    earliest: int | None = None
    """Not before this moment was it applied for, in epoch milliseconds; None: not known."""
    latest: int | None = None
    """Nor after this one."""

    @property
    def lookup(self) -> Lookup:
        """What a single lookup gave."""
        return self.listed.lookup or Lookup(outcome=Outcome.FAILED, error="not looked up")


def judge_lacking(listed: Listed, asked: MissingRange, *, applied: bool) -> Lacking | None:
    """What a refund that the ledger lacks is; None if it does not exist or belongs to another time.

    `applied` says that the windows of the list bound the time of the application; else they only say that it
    was before the window's end, and the order's own time that it was not before that.
    """
    lookup = listed.lookup
    if lookup is None or lookup.outcome is Outcome.FAILED:
        why = "not looked up" if lookup is None else lookup.error or "the lookup failed"
        return Lacking(listed, LackingVerdict.UNVERIFIED, why)
    if lookup.outcome is Outcome.MISSING:
        return None
    earliest, latest = _bounds(listed, lookup, applied=applied)
    window, inner = asked.window, asked.inner
    if (latest is not None and latest < window.first) or (earliest is not None and earliest >= window.last):
        return None
    if earliest is None or latest is None or earliest > latest:
        return Lacking(listed, LackingVerdict.EDGE, "its time of application is not known", earliest, latest)
    if inner.first <= earliest and latest <= inner.last:
        verdict, why = LackingVerdict.MISSING_LOCAL, "the platform has it, and no row of the ledger"
    else:
        verdict, why = LackingVerdict.EDGE, "applied for within a day of an edge of the time"
    return Lacking(listed, verdict, why, earliest, latest)


def _bounds(listed: Listed, lookup: Lookup, *, applied: bool) -> tuple[int | None, int | None]:
    """Between which moments a refund was applied for, in epoch milliseconds."""
    if lookup.applied_at is not None:
        moment = round(datetime.fromisoformat(lookup.applied_at).timestamp() * 1000)
        return moment, moment
    return (listed.earliest if applied else listed.created), listed.latest


@attrs.define
class Finding:
    """Collects what the list of one account names, for the days that are searched."""

    state: RunStore
    account: str | None
    asked: MissingRange
    time: Literal["applied", "modified"] | None
    """Which moment its windows bound, as the settings say."""
    in_thread: InThread
    today: date
    """The present day in Beijing."""

    def windows(self, rows: Mapping[date, int]) -> list[Window]:
        """What to read. If windows bound the last change, a refund may show in any up to the present."""
        return self.asked.windows(rows, self.today if self.time == "modified" else None)

    async def take(self, items: Sequence[RefundDetail], window: Window) -> int:
        """Keep what a page names; gives how many were not known before."""
        named = [
            Listed("taobao", refund_id, self.account, window.first, window.last, _created(item))
            for item in items
            if (refund_id := listed_refund_id(item)) is not None
        ]
        new: int = await self.in_thread(lambda: self.state.add_listed(named))
        return new

    def until_now(self) -> bool:
        """Plan the days up to the present if it turns out that windows bound the last change."""
        if self.time is not None or self._bounds_applications() or self.today <= self.asked.until:
            return False
        known = set(self.state.windows(self.account))
        more = [one for one in self.asked.windows({}, self.today) if one.first >= self.asked.window.last]
        with self.state.transaction():
            planned = [one for one in more if one not in known]
            self.state.set_windows(self.account, planned, WindowState.PLANNED)
        return bool(planned)

    def conclude(self, problems: Sequence[str]) -> None:
        """Keep how the list was read, for the judging."""
        failed = len(self.state.windows(self.account, WindowState.FAILED, WindowState.PLANNED))
        if failed and not problems:
            problems = [f"{failed:,} parts of the list were not read"]
        facts = {"applied": self._bounds_applications(), "problems": list(problems)}
        self.state.set_list_fact(self.account, finding=facts)

    def _bounds_applications(self) -> bool:
        """Whether windows bound the time of the application: as the settings say, or as it looks.

        It looks so if they show the ledger's own refunds around the days on which the ledger has them.
        """
        if self.time is not None:
            return self.time == "applied"
        dated = near = 0
        for applied_at, earliest, latest in self.state.listed_dates(self.account):
            moment = round(datetime.fromisoformat(applied_at).timestamp() * 1000)
            dated += 1
            near += earliest - DAY_MS <= moment <= latest + DAY_MS
        return dated >= LEAST_DATED and near >= SURE * dated


def _created(item: RefundDetail) -> int | None:
    """When the order was placed that a refund is about: it was not applied for before."""
    aggregate = item.refund_order_aggregate
    line = None if aggregate is None else aggregate.purchase_order_line
    if line is None or line.create_time is None:
        return None
    return round(line.create_time.timestamp() * 1000)


@attrs.define(kw_only=True)
class MissingSummary(Result):
    """What a search for refunds that the ledger lacks came to."""

    since: str
    """The first day that was searched, in Beijing."""
    until: str
    """The last day."""
    named: int = 0
    """How many refunds the platform named."""
    lacking: int = 0
    """How many of them no row of the ledger names."""
    verdicts: dict[LackingVerdict, int] = attrs.field(factory=lambda: dict.fromkeys(LackingVerdict, 0))
    """How many of the lacking ones have each verdict."""
    amounts_fen: dict[str, int] = attrs.field(factory=dict)
    """What those that are missing come to in fen, by currency."""
    invented: int = 0
    """How many the platform named and a single lookup does not find."""
    asks: bool = False
    """Whether so many lack that the ledger may not be complete."""
    looked_up: bool = True
    """Whether the lacking ones were looked up; not where too many lack."""
    incomplete: tuple[str, ...] = ()
    """Why more may lack than is said."""
    notes: tuple[str, ...] = ()
    """What else is worth knowing."""

    def add(self, one: Lacking) -> None:
        """Count one refund."""
        self.verdicts[one.verdict] += 1
        if one.verdict is LackingVerdict.MISSING_LOCAL and one.lookup.applied_fen is not None:
            currency = one.lookup.currency or "CNY"
            self.amounts_fen[currency] = self.amounts_fen.get(currency, 0) + one.lookup.applied_fen

    @property
    def outside(self) -> int:
        """How many were applied for at another time."""
        return self.lacking - self.invented - sum(self.verdicts.values())

    @property
    def exit_code(self) -> int:
        """3 if something was not seen, 1 if something is missing, else 0."""
        if self.incomplete or not self.looked_up or self.verdicts[LackingVerdict.UNVERIFIED]:
            return 3
        return 1 if self.verdicts[LackingVerdict.MISSING_LOCAL] else 0

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return everything, ready for JSON; nothing of it is personal."""
        return {**super().to_dict(personal=personal), "outside": self.outside}


def read_pushes(state: RunStore, store: Path, asked: MissingRange) -> None:
    """Keep which refunds of 1688 were pushed into a store of callbacks since the time began.

    Raises: CallbackStoreUnavailableError if it is not such a store.
    """
    with PushLog.reading(store) as log:
        messages = log.refund_messages(asked.window.first / 1000)
        state.add_listed(
            Listed("1688", message.refund_id, None, None, None)
            for message in messages
            if message.platform == "1688" and message.refund_id is not None
        )
    state.set({"pushes_read": True})


def lacking_of(state: RunStore, asked: MissingRange) -> Iterator[Lacking]:
    """Every refund that the ledger lacks, judged; by platform and id."""
    facts = state.list_facts()
    for one in state.lacking():
        applied = facts.get(one.account or "", {}).get("finding", {}).get("applied", False)
        if (found := judge_lacking(one, asked, applied=applied)) is not None:
            yield found


def too_many(state: RunStore) -> tuple[int, int, bool]:
    """How many refunds the platform named, how many lack, and whether that asks for the user's word again."""
    named, lacking = state.named(), sum(1 for _ in state.lacking())
    return named, lacking, lacking > MOST_LACKING * named


def begin_summary(state: RunStore, asked: MissingRange) -> MissingSummary:
    """The summary of a search, with nothing counted yet."""
    named, lacking, asks = too_many(state)
    return MissingSummary(
        since=str(asked.since),
        until=str(asked.until),
        named=named,
        lacking=lacking,
        asks=asks,
        looked_up=state.get("lacking_looked_up") is not False,
        invented=sum(1 for one in state.lacking() if one.lookup and one.lookup.outcome is Outcome.MISSING),
        incomplete=tuple(_incomplete(state, asked)),
        notes=tuple(_notes(state)),
    )


def _incomplete(state: RunStore, asked: MissingRange) -> Iterator[str]:
    """Why the platform may have named fewer refunds than it has."""
    if state.get("lacking_looked_up") is None:
        yield "the search was not ended"
    for account, fact in state.list_facts().items():
        whose = f"account {account}: " if account else ""
        yield from (f"{whose}{why}" for why in fact.get("finding", {}).get("problems", ()))
    inner = asked.inner
    existing = left_out = 0
    for applied_at, listed in state.found_dates():
        if inner.first <= round(datetime.fromisoformat(applied_at).timestamp() * 1000) < inner.last:
            existing += 1
            left_out += not listed
    if left_out > LEFT_OUT * existing:
        yield f"the list leaves out {left_out:,} of {existing:,} refunds of the ledger that exist then"


def _notes(state: RunStore) -> Iterator[str]:
    if state.get("pushes_read"):
        yield "of 1688 only refunds that were pushed into the store of callbacks were searched"
    elif state.has_platform("1688"):
        yield "1688 was not searched: it has no list; --callbacks FILE searches what was pushed into it"
    unreadable = state.unreadable_ids()
    if unreadable:
        yield f"{unreadable:,} rows of the ledger name no readable refund: theirs may be among these"
