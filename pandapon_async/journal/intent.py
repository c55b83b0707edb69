"""One write in the journal: what was to be done, where it stands, and why."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Any

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.errors import DuplicateIntentError, ErrorKind, NextStep

__all__ = ["AT_THE_DOOR", "ENDED", "OPEN", "Intent", "IntentState", "Resolution", "duplicate_of"]


class IntentState(enum.StrEnum):
    """Where a write stands. The first three are open, the others are final."""

    INTENDED = "intended"
    """It is on disk and not yet sent."""
    SENT = "sent"
    """It may be on the wire."""
    UNKNOWN = "unknown"
    """It was sent, and nobody knows what became of it."""
    CONFIRMED = "confirmed"
    """The vendor said yes."""
    REJECTED = "rejected"
    """The vendor said no."""
    NOT_SENT = "not_sent"
    """It surely never reached the vendor."""
    SETTLED_DONE = "settled_done"
    """It was unknown; a read or an operator found that it was carried out."""
    SETTLED_ABSENT = "settled_absent"
    """It was unknown; a read or an operator found nothing."""

    @property
    def open(self) -> bool:
        """Whether the outcome can still be anything."""
        return self in OPEN

    @property
    def succeeded(self) -> bool:
        """Whether the operation surely was carried out."""
        return self in (IntentState.CONFIRMED, IntentState.SETTLED_DONE)


OPEN = (IntentState.INTENDED, IntentState.SENT, IntentState.UNKNOWN)
ENDED = tuple(state for state in IntentState if state not in OPEN)


AT_THE_DOOR = (ErrorKind.RATE_LIMIT, ErrorKind.AUTHENTICATION, ErrorKind.TRY_LATER)
"""Refusals before anything was looked at, as far as is known: the write may be tried again, behind a read."""


class Resolution(enum.StrEnum):
    """What a look at the vendor's side shows of a write whose answer was lost."""

    SUCCEEDED = "succeeded"
    """It was carried out."""
    ABSENT = "absent"
    """Nothing of it is there so far."""
    UNDECIDED = "undecided"
    """It cannot be seen there."""


@attrs.define(kw_only=True)
class Intent(Result):
    """One row of the journal. Times are seconds since 1970."""

    id: str
    """Its number in the journal."""
    scope: str
    """Among whom the natural key is unique: the vendor, or the vendor and the sub-account. Empty in a row
    of an earlier version whose writer is not known."""
    operation: str
    """The call's name without its generation, such as "alibaba.refunds.create"."""
    natural_key: dict[str, Any]
    """What makes two writes the same one."""
    digest: str
    """The SHA-256 of all arguments."""
    facts: dict[str, Any]
    """What is needed to find out what became of it, such as the waybill."""
    state: IntentState
    """Where it stands."""
    session: str = ""
    """Which opening of the journal wrote it."""
    created: float
    """When it was begun, by the server's clock where that is known."""
    updated: float
    """When it last changed."""
    attempts: int = 0
    """How often it was sent."""
    request_id: str | None = None
    """The vendor's id of the last request."""
    result: str | None = None
    """The id that the vendor gave to what was made."""
    resolution: Resolution | None = None
    """What the last look at the vendor's side showed, if there was one."""
    error_kind: ErrorKind | None = None
    """What ended the call, if it did not succeed."""
    remarks: list[str] = attrs.field(factory=list)
    """What else is known of it, for people, oldest first. Nothing is decided by these."""
    vendor: str = ""
    """Where it was sent to: host and path prefix."""
    user_id: str = ""
    """The sub-account that wrote it."""
    account: str = ""
    """The hash by which earlier versions named the writer."""
    wrote: float = 0.0
    """When the write last was under way: added, sent, or lost."""
    boot: str | None = None
    """The boot of the machine at that time, and the seconds since that boot: a clock that nobody sets."""
    uptime: float | None = None
    """Seconds between that boot and that time."""
    served: float | None = None
    """The server's own time then, if it had told it, in seconds since 1970."""
    resolver: str | None = None
    """The run of a program that settled it."""
    extra: bool = False
    """Whether it was found open beside a newer one of the same key, when files of earlier versions met."""

    @property
    def doubtful(self) -> bool:
        """Whether it was given up, and may have been carried out all the same.

        Nothing was seen of it, or a throttle or a refused login ended it, which may come after the deed.
        A throttle that `Codes.refused` names does not: its `resolution` says so.
        """
        if self.state is IntentState.SETTLED_ABSENT:
            return True
        return self._refused_at_the_door and self.resolution is None

    @property
    def _refused_at_the_door(self) -> bool:
        return self.state is IntentState.REJECTED and self.error_kind in AT_THE_DOOR

    def may_become(self, state: IntentState) -> bool:
        """Whether this may be noted of it. What was refused at the door, or found absent, may turn out to
        have been carried out; no other end changes."""
        given_up = self.state is IntentState.SETTLED_ABSENT or self._refused_at_the_door
        return self.state.open or (state is IntentState.SETTLED_DONE and given_up)


def duplicate_of(earlier: Intent, intent: Intent) -> DuplicateIntentError:
    """The error for a write that another one stands in the way of."""
    moment = datetime.fromtimestamp(earlier.created, UTC).isoformat(sep=" ", timespec="minutes")
    facts = "".join(f", {name} {value}" for name, value in earlier.facts.items())
    same = earlier.natural_key == intent.natural_key
    named = f"{earlier.id[:12]} of {moment}{facts}"
    if not earlier.state.open:
        what = f"the same {earlier.operation} was carried out before (intent {named})"
        step = NextStep.ALLOW_REPEAT
        advice = "if it is meant a second time, say allow_repeat=True (--allow-repeat)"
    else:
        about = "the same" if same else "about the same thing"
        what = f"another {earlier.operation}, {about}, is still open (intent {named}, {earlier.state})"
        step = NextStep.RESOLVE
        advice = f"find out what became of it first: pandapon journal resolve {earlier.id[:12]} --wait"
        if not same:
            advice += "; if another one is meant, say allow_second=True (--allow-second)"
    return DuplicateIntentError(
        f"{what}; nothing was sent; {advice}",
        intent_id=earlier.id,
        state=str(earlier.state),
        result=earlier.result,
        next_step=step,
    )
