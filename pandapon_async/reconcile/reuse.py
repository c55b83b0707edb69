"""Reuse lookups of an earlier complete run: a final refund stays final, within limits.

A lookup of a refund that ended weeks ago costs as much every night as one of today. Here the lookup is
reused, never the verdict: the row is judged again by tonight's ledger. There are two reasons for reuse:

- final: the refund was in a final state, with all amounts that a verdict needs, and the ledger says the same
  about it as then (`Options.reuse_final`);
- silent: nothing was pushed about it since, and the store of callbacks was receiving all the time
  (`Options.callbacks` with `Options.reuse`).

The documents call these states final, but they may be wrong, and a push can get lost. So a sample of the
reusable refunds is looked up first, and so are those whose lookup is too old. One changed refund among them
ends the reuse for its platform in this run. Ages end spread over the last third of their span, so that the
lookups of one night do not all become too old in one night.
"""

from __future__ import annotations

import contextlib
import enum
import functools
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Self

import attrs

from pandapon_async.callbacks.messages import PLATFORMS
from pandapon_async.callbacks.push_log import Pushed, PushLog
from pandapon_async.callbacks.store import CallbackStoreUnavailableError
from pandapon_async.core.model import BEIJING
from pandapon_async.errors import ConfigurationError
from pandapon_async.reconcile.ages import CLOCK_STEP, NEAR, stamp
from pandapon_async.reconcile.lookup_store import Known, LookupStore, Scope
from pandapon_async.reconcile.options import LONGEST_REUSE, Options
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.statuses import is_final, is_open, succeeded
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource, Outcome
from pandapon_async.tables.cells import Platform

__all__ = ["Choice", "Reuse", "Reused", "changed", "is_settled"]

SHOWN = 20
"""How many changed refunds are named."""


class Choice(enum.StrEnum):
    """The choice for a refund with an earlier lookup."""

    PUSHED = "pushed"
    """A message about it was pushed since: it is looked up first."""
    RECHECK = "recheck"
    """It could be reused, but is in the sample."""
    EXPIRED = "expired"
    """It is final and could be reused, but its lookup is too old."""
    FINAL = "final"
    """It is reused because it is final."""
    SILENT = "silent"
    """It is reused because nothing was pushed."""
    OTHER = "other"
    """It is looked up; the earlier lookup only provides its deadline."""


USED = (Choice.FINAL, Choice.SILENT)
CHECKED = (Choice.RECHECK, Choice.EXPIRED)


@attrs.define
class Reused:
    """What a run reused, and what the sample showed."""

    final: int = 0
    silent: int = 0
    rechecked: int = 0
    expired: int = 0
    pushed: int = 0
    changed: list[dict[str, str]] = attrs.field(factory=list)
    """The first refunds that could have been reused and had changed."""
    ended: list[str] = attrs.field(factory=list)
    """The platforms for which reuse ended."""

    def add(self, other: Reused) -> None:
        """Add the numbers of another part."""
        for name in ("final", "silent", "rechecked", "expired", "pushed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.changed = [*self.changed, *other.changed][:SHOWN]
        self.ended = sorted({*self.ended, *other.ended})

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers by name, for JSON."""
        return attrs.asdict(self)


def is_settled(platform: Platform, lookup: Lookup) -> bool:
    """Whether nothing that a verdict reads can change any more: final state, known amounts.

    1688 reports some successful refunds as not refunded yet; those are not settled.
    """
    if lookup.outcome is not Outcome.FOUND or lookup.problems is not None:
        return False
    if not is_final(platform, lookup.status) or lookup.applied_fen is None:
        return False
    return platform == "taobao" or not succeeded(platform, lookup.status) or lookup.refunded_fen is not None


def changed(platform: Platform, then: Lookup, now: Lookup) -> bool:
    """Whether a verdict could differ from one with the earlier lookup."""
    names = [
        "outcome",
        "status",
        "applied_fen",
        "refunded_fen",
        "applied_freight_fen",
        "refunded_freight_fen",
    ]
    if is_open(platform, now.status) or is_open(platform, then.status):
        names.append("deadline")
    if any(getattr(then, name) != getattr(now, name) for name in names):
        return True
    return (then.currency or "CNY") != (now.currency or "CNY")


def _share(*texts: str) -> float:
    """Return a number from 0 to 1 that depends only on these texts."""
    digest = hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


@attrs.frozen
class ReuseRule:
    """The rule of reuse. The same refund in the same night always gets the same choice."""

    now: float
    night: str
    reuse_final: timedelta | None
    reuse_silent: timedelta | None
    recheck: float
    silence: Mapping[tuple[str, str], float]
    """The time from which the silence of a platform counts, by access key and platform."""
    urgent: str
    """The time up to which a deadline is near."""

    def choose(self, row: LedgerRow, known: Known, access_key: str) -> Choice:
        """Return the choice for a row with an earlier lookup."""
        platform, refund_id, lookup = row.platform, row.refund_id, known.lookup
        assert platform is not None
        assert refund_id is not None
        if known.pushed:
            return Choice.PUSHED
        age = self.now - datetime.fromisoformat(lookup.looked_up_at or "").timestamp()
        if age < -CLOCK_STEP or not known.same_ledger(row):
            return Choice.OTHER
        use = self._use(platform, refund_id, lookup, age, access_key)
        if use in USED and _share(self.night, platform, refund_id) < self.recheck / 100:
            return Choice.RECHECK
        return use

    def _use(self, platform: Platform, refund_id: str, lookup: Lookup, age: float, access_key: str) -> Choice:
        settled = is_settled(platform, lookup)
        if settled and self.reuse_final is not None:
            span = self.reuse_final.total_seconds()
            if age <= span * (2 + _share(platform, refund_id)) / 3:
                return Choice.FINAL
        if (settled or self._waits(platform, lookup)) and self._is_silent(platform, access_key, age):
            return Choice.SILENT
        return Choice.EXPIRED if settled and self.reuse_final is not None else Choice.OTHER

    def _waits(self, platform: Platform, lookup: Lookup) -> bool:
        """Whether it is open and no deadline passes before the next night."""
        if lookup.outcome is not Outcome.FOUND or lookup.problems is not None:
            return False
        return is_open(platform, lookup.status) and (lookup.deadline is None or lookup.deadline > self.urgent)

    def _is_silent(self, platform: Platform, access_key: str, age: float) -> bool:
        if self.reuse_silent is None or age > self.reuse_silent.total_seconds():
            return False
        since = self.silence.get((access_key, platform))
        return since is not None and since + CLOCK_STEP < self.now - age


@attrs.define
class Reuse:
    """The reuse of one run. All methods block."""

    store: LookupStore
    scopes: Mapping[str | None, Scope]
    """By account; None: of all rows."""
    rule: ReuseRule
    check: Callable[[], None]
    read_pushes: Callable[[], object] | None = None
    """Marks what was pushed since the last call."""
    ended_elsewhere: Callable[[], list[str]] | None = None
    """The platforms for which reuse has ended in another part of the same ledger."""
    result: Reused = attrs.field(factory=Reused)
    _outdated: list[tuple[str, Platform, str]] = attrs.field(factory=list, init=False)

    @classmethod
    def of(
        cls,
        store: LookupStore,
        scopes: Mapping[str | None, Scope],
        options: Options,
        begun: float,
        now: float,
        check: Callable[[], None],
    ) -> Self:
        """Read the pushes and the receiving times of the store of callbacks.

        Args:
            store: The store of earlier lookups.
            scopes: The scopes that count, by account; None: of all rows.
            options: The options of reuse.
            begun: The start of the run, even if it is resumed now.
            now: The present.
            check: May raise to stop.
        """
        silence: Mapping[tuple[str, str], float] = {}
        read_pushes = None
        if options.callbacks is not None:
            read_pushes = functools.partial(_read_pushes, store, options, now)
            try:
                silence = read_pushes()
            except CallbackStoreUnavailableError as error:
                raise ConfigurationError(f"--callbacks: {error}") from None
        rule = ReuseRule(
            now=now,
            night=datetime.fromtimestamp(begun, BEIJING).date().isoformat(),
            reuse_final=options.reuse_final,
            reuse_silent=options.reuse if options.callbacks is not None else None,
            recheck=options.recheck,
            silence=silence,
            urgent=(datetime.fromtimestamp(now, BEIJING) + NEAR).isoformat(),
        )
        return cls(store, scopes, rule, check, read_pushes)

    def scope_of(self, row: LedgerRow) -> Scope | None:
        """Return the scope of a row."""
        return self.scopes.get(row.account) or self.scopes.get(None)

    def _digest_of(self, row: LedgerRow) -> str | None:
        scope = self.scope_of(row)
        return None if scope is None else scope.digest

    def choose(self, state: RunStore) -> None:
        """Choose for every row and record it in the state; lookups of this run stay unchanged."""
        state.drop_reused(PLATFORMS)
        self.result.ended = list(state.get("reuse_ended") or ())
        for page in state.pages_to_look_up():
            self.check()
            state.note_choices(self._choices(page))
        counts = state.count_choices()
        self.result.rechecked = counts.get(Choice.RECHECK, 0)
        self.result.expired = counts.get(Choice.EXPIRED, 0)
        self.result.pushed = counts.get(Choice.PUSHED, 0)

    def _choices(self, page: Iterable[LedgerRow]) -> Iterator[tuple[int, str | None, str]]:
        for row in page:
            if (found := self._known(row)) is None:
                continue
            known, scope = found
            assert row.platform is not None
            choice = self.rule.choose(row, known, scope.access_key)
            deadline = known.lookup.deadline if is_open(row.platform, known.lookup.status) else None
            yield row.row, deadline, choice

    def _known(self, row: LedgerRow) -> tuple[Known, Scope] | None:
        scope = self.scope_of(row)
        if scope is None or row.platform is None or row.refund_id is None:
            return None
        known = self.store.find(scope.digest, row.platform, row.refund_id)
        return None if known is None else (known, scope)

    def use(self, state: RunStore) -> Iterator[list[tuple[int, Lookup]]]:
        """Iterate over the reused lookups by page, unless reuse ended; store each before the next."""
        for choice in USED:
            for page in state.rows_of(choice):
                self.check()
                found = [
                    (row.row, attrs.evolve(known[0].lookup, source=LookupSource.REUSED))
                    for row in page
                    if row.platform not in self.result.ended and (known := self._known(row)) is not None
                ]
                yield found

    def compare(self, state: RunStore) -> list[str]:
        """Compare the sample with the earlier lookups; end reuse for platforms with a changed refund.

        Returns: The platforms for which it ended now. Their reused lookups are dropped.
        """
        elsewhere = [] if self.ended_elsewhere is None else self.ended_elsewhere()
        differs = self._differing(state)
        if differs and self.read_pushes is not None:
            with contextlib.suppress(CallbackStoreUnavailableError):
                self.read_pushes()  # a change since the start may just have been pushed
            differs = self._differing(state)
        just_ended = sorted({*elsewhere, *(platform for _, platform, _ in differs)} - set(self.result.ended))
        if not differs and not just_ended:
            return []
        self.result.changed += [{"platform": platform, "refund_id": one} for _, platform, one in differs]
        del self.result.changed[SHOWN:]
        self.result.ended += just_ended
        state.set({"reuse_ended": self.result.ended})
        state.drop_reused(self.result.ended)
        self._outdated = differs
        return just_ended

    def forget_changed(self) -> None:
        """Forget what `compare` has found to be out of date; called once all who use it again know that."""
        self.store.forget(self._outdated)
        self._outdated = []

    def count(self, state: RunStore) -> None:
        """Count the reused lookups."""
        counts = state.count_reused()
        self.result.final = counts.get(Choice.FINAL, 0)
        self.result.silent = counts.get(Choice.SILENT, 0)

    def _differing(self, state: RunStore) -> list[tuple[str, Platform, str]]:
        """Return the keys of refunds that changed without a push, in the form of the store of lookups."""
        differs: list[tuple[str, Platform, str]] = []
        for row, lookup in state.looked_up_of(CHECKED):
            found = self._known(row)
            if found is None or found[0].pushed or lookup.outcome is Outcome.FAILED:
                continue
            assert row.platform is not None
            assert row.refund_id is not None
            if changed(row.platform, found[0].lookup, lookup):
                differs.append((found[1].digest, row.platform, row.refund_id))
        return differs

    def notes(self) -> list[str]:
        """Return the notes about reuse."""
        result, notes = self.result, []
        if self.store.is_empty():
            notes.append(
                f"{self.store.path} has no lookups yet; this run stores its own there when it is complete"
            )
        if result.final:
            notes.append(f"reusing the lookups of {result.final:,} final refunds")
        if result.silent:
            notes.append(f"reusing the lookups of {result.silent:,} refunds without a push since")
        if result.rechecked:
            notes.append(f"{result.rechecked:,} more were looked up as a check")
        if self.rule.reuse_silent is not None and not self.rule.silence:
            notes.append(
                "--callbacks: its silence does not count, because it is not receiving now, or no message "
                "about a refund has come within --reuse"
            )
        return notes

    def why_ended(self, platform: str) -> str:
        """Return the warning about a platform for which reuse has ended."""
        ids = [one["refund_id"] for one in self.result.changed if one["platform"] == platform]
        which = ", ".join(ids[:3]) or "of another part"
        return (
            f"WARNING: {platform}: a refund changed that should not have changed ({which}); this run "
            f"reuses no earlier lookup of {platform}"
        )

    def remember(self, state: RunStore, now: float) -> None:
        """Store the lookups of this run when it is complete, which is now."""
        oldest = stamp(self.rule.now - LONGEST_REUSE.total_seconds())
        # Closed in any case, because unread rows keep the state locked.
        with contextlib.closing(state.joined()) as rows:
            self.store.remember(rows, self._digest_of, oldest, self.check, stamp(now + CLOCK_STEP))


def _read_pushes(store: LookupStore, options: Options, now: float) -> Mapping[tuple[str, str], float]:
    """Mark what was pushed since the last read; return the time from which silence counts."""
    path = options.callbacks
    assert path is not None
    name, heard = f"pushes {path.absolute()}", now - (options.reuse or timedelta(0)).total_seconds()
    with PushLog.reading(path) as log:
        silence = log.silence(now, heard)
        messages = log.refund_messages(store.read_until(name) - OVERLAP)
        store.mark_pushed(name, map(_with_moment, messages), now)
    return silence


OVERLAP = 3600.0
"""Seconds that are read twice, because a message may be stored slightly after its time."""


def _with_moment(message: Pushed) -> tuple[Pushed, str]:
    return message, stamp(message.received + CLOCK_STEP)
