"""What was seen of a refund, and what two looks at it amount to. Pure rules: no clock, no file."""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Collection
from typing import Any, Self, get_args

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.reconcile.statuses import is_known, is_open, state_label
from pandapon_async.reconcile.verdict import Lookup, Outcome
from pandapon_async.tables.cells import Platform

__all__ = ["PLATFORMS", "SENT_BACK", "Change", "ChangeKind", "Seen", "Stuck", "change_of", "is_done"]

PLATFORMS: tuple[Platform, ...] = get_args(Platform)
SENT_BACK: dict[Platform, str] = {"1688": "waitsellerreceive", "taobao": "30"}
"""The state in which the buyer has sent the goods back and the seller has not received them."""


class ChangeKind(enum.StrEnum):
    """What a change is."""

    FIRST = "first"
    """The first look at this refund: its current state."""
    CHANGED = "changed"
    """The status, an amount or the deadline is another one than before."""
    MISSING = "missing"
    """The platform does not have the refund."""
    STUCK = "stuck"
    """The goods went back, and the seller has not received them for too long."""


@attrs.frozen(kw_only=True)
class Seen(Result):
    """Where a refund stood at one look."""

    status: str | None = None
    """The state, in the platform's spelling; None if the platform does not have the refund."""
    applied_fen: int | None = None
    """What was applied for, in fen, without freight."""
    applied_freight_fen: int | None = None
    """Freight that was applied for, in fen."""
    refunded_fen: int | None = None
    """What was paid back, in fen, without freight."""
    refunded_freight_fen: int | None = None
    """Freight that was paid back, in fen."""
    currency: str | None = None
    """The currency; None means CNY."""
    deadline: str | None = None
    """Until when the party at turn has to act, in ISO 8601."""

    @classmethod
    def of(cls, lookup: Lookup) -> Self:
        """What a lookup that did not fail has shown."""
        return cls(**{field.name: getattr(lookup, field.name) for field in attrs.fields(cls)})

    @property
    def missing(self) -> bool:
        """Whether the platform does not have the refund."""
        return self == Seen()


@attrs.frozen(kw_only=True)
class Change(Result):
    """Something that happened to a refund since the look before."""

    kind: ChangeKind
    """What it is."""
    platform: Platform
    """"1688" or "taobao"."""
    refund_id: str
    """The refund's id."""
    before: Seen | None
    """Where it stood at the look before; None at the first."""
    after: Seen
    """Its current state."""
    seen_at: str
    """When it was seen, in ISO 8601, UTC."""
    since: str
    """Since when it has been in this state as far as is known, in ISO 8601, UTC."""
    pushed: bool = False
    """Whether a push led to this look."""
    done: bool = False
    """Whether the refund is followed no further: it has reached a wanted state, or a final one."""
    wanted: bool = False
    """Whether it has reached a state that was waited for; without any, whether it is done."""

    @property
    def id(self) -> str:
        """The same for the same change: key your effects by it, as one that was in hand when the process
        was killed is yielded again."""
        parts = (self.kind, self.platform, self.refund_id, self.before, self.after, self.since)
        return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]

    def to_dict(self, *, personal: bool = False) -> dict[str, Any]:
        """Return the attributes by name and the id; `state` is the status in words. Nothing is personal."""
        status = self.after.status
        words = None if status is None else state_label(self.platform, status, "en") or status
        return {"id": self.id, **super().to_dict(personal=personal), "state": words}


@attrs.frozen(kw_only=True)
class Stuck(Result):
    """A refund whose goods went back and were not received for too long."""

    platform: Platform
    """"1688" or "taobao"."""
    refund_id: str
    """The refund's id."""
    since: str
    """Since when it has been in this state as far as is known, in ISO 8601, UTC."""
    days: int
    """Whole days since then."""
    deadline: str | None
    """Until when the seller must act, in ISO 8601, if known."""


def change_of(before: Seen | None, lookup: Lookup) -> ChangeKind | None:
    """What a new lookup amounts to; None if it shows nothing new. A failed one shows nothing at all."""
    if lookup.outcome is Outcome.FAILED:
        return None
    after = Seen.of(lookup)
    if before == after:
        return None
    if after.missing:
        return ChangeKind.MISSING
    return ChangeKind.FIRST if before is None else ChangeKind.CHANGED


def is_done(platform: Platform, seen: Seen, wanted: Collection[str]) -> bool:
    """Whether a refund need not be followed further. What nobody knows (another status) is followed."""
    if seen.status in wanted:
        return True
    return is_known(platform, seen.status) and not is_open(platform, seen.status)
