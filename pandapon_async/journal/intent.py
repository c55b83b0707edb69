"""One write in the journal: what it does, its state, and why."""

from __future__ import annotations

import enum
from datetime import UTC, datetime
from typing import Any, NamedTuple

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.errors import DuplicateIntentError, ErrorKind, NextStep

__all__ = ["AT_THE_DOOR", "ENDED", "OPEN", "Intent", "IntentState", "Reading", "Resolution", "duplicate_of"]


class IntentState(enum.StrEnum):
    """The state of a write. The first three are open, the others are final."""

    INTENDED = "intended"
    """On disk and not yet sent."""
    SENT = "sent"
    """Possibly on the wire."""
    UNKNOWN = "unknown"
    """Sent, and the result is not known."""
    CONFIRMED = "confirmed"
    """The vendor accepted it."""
    REJECTED = "rejected"
    """The vendor refused it."""
    NOT_SENT = "not_sent"
    """It certainly never reached the vendor."""
    SETTLED_DONE = "settled_done"
    """It was `unknown`; a read or an operator found that it was carried out."""
    SETTLED_ABSENT = "settled_absent"
    """It was `unknown`; a read or an operator found that it was not."""

    @property
    def open(self) -> bool:
        """Whether the outcome is still open."""
        return self in OPEN

    @property
    def succeeded(self) -> bool:
        """Whether the operation was certainly carried out."""
        return self in (IntentState.CONFIRMED, IntentState.SETTLED_DONE)


OPEN = (IntentState.INTENDED, IntentState.SENT, IntentState.UNKNOWN)
ENDED = tuple(state for state in IntentState if state not in OPEN)


AT_THE_DOOR = (ErrorKind.RATE_LIMIT, ErrorKind.AUTHENTICATION, ErrorKind.TRY_LATER)
"""Refusals that probably came before anything was done: after a read the write may be tried again."""


class Resolution(enum.StrEnum):
    """What a read at the vendor shows about a write whose answer was lost."""

    SUCCEEDED = "succeeded"
    """It was carried out."""
    ABSENT = "absent"
    """Not found so far."""
    UNDECIDED = "undecided"
    """No read can show it."""


class Reading(NamedTuple):
    """A reading of the clocks: this machine's, its seconds since boot, and the server's if known."""

    wall: float
    boot: str | None = None
    uptime: float | None = None
    served: float | None = None

    @property
    def values(self) -> dict[str, float | str | None]:
        """Return the values for a row."""
        return {"wrote": self.wall, "boot": self.boot, "uptime": self.uptime, "served": self.served}


@attrs.define(kw_only=True)
class Intent(Result):
    """One row of the journal. Times are seconds since 1970."""

    id: str
    """Its id in the journal."""
    scope: str
    """Where the natural key is unique: the vendor, or the vendor and the sub-account.

    Empty in a row of an earlier version whose writer is not known.
    """
    operation: str
    """The call's name without its generation, such as "alibaba.refunds.create"."""
    natural_key: dict[str, Any]
    """The arguments that make two writes the same one."""
    digest: str
    """The SHA-256 of all arguments."""
    facts: dict[str, Any]
    """What resolving needs, such as the waybill."""
    state: IntentState
    """Its state."""
    session: str = ""
    """The session (opening of the journal) that wrote it."""
    created: float
    """When it began, by the server's clock if that is known."""
    updated: float
    """When it last changed."""
    attempts: int = 0
    """How many times it was sent."""
    request_id: str | None = None
    """The vendor's id of the last request."""
    result: str | None = None
    """The id that the vendor assigned, such as the refund's."""
    resolution: Resolution | None = None
    """What the last read at the vendor showed, if there was one."""
    error_kind: ErrorKind | None = None
    """What ended the call, if it did not succeed."""
    remarks: list[str] = attrs.field(factory=list)
    """Remarks for people, oldest first. No decision depends on them."""
    vendor: str = ""
    """The vendor it went to: host and path prefix."""
    user_id: str = ""
    """The sub-account that wrote it."""
    account: str = ""
    """The hash that earlier versions used for the writer."""
    wrote: float = 0.0
    """When the write was last in flight: added, sent, or lost."""
    boot: str | None = None
    """The machine's boot at that time; with `uptime` a clock that nobody can set."""
    uptime: float | None = None
    """Seconds between that boot and that time."""
    served: float | None = None
    """The server's time then, in seconds since 1970, if known."""
    resolver: str | None = None
    """The run of a program that resolved it."""
    extra: bool = False
    """Whether files of earlier versions had a newer open intent with the same key."""

    @property
    def doubtful(self) -> bool:
        """Whether it was given up but may have been carried out.

        Either a read found nothing, or a throttle or an authentication error ended it, which may come after
        it was carried out. A throttle that `Codes.refused` names certainly came before; its `resolution` says
        so.
        """
        if self.state is IntentState.SETTLED_ABSENT:
            return True
        return self._refused_at_the_door and self.resolution is None

    @property
    def _refused_at_the_door(self) -> bool:
        return self.state is IntentState.REJECTED and self.error_kind in AT_THE_DOOR

    def may_become(self, state: IntentState) -> bool:
        """Whether the intent may change to this state.

        A write that a throttle or login refused, or that was found absent, may prove to have been carried
        out; no other final state changes.
        """
        given_up = self.state is IntentState.SETTLED_ABSENT or self._refused_at_the_door
        return self.state.open or (state is IntentState.SETTLED_DONE and given_up)


def duplicate_of(earlier: Intent, intent: Intent) -> DuplicateIntentError:
    """Return the error for a write that another write blocks."""
    moment = datetime.fromtimestamp(earlier.created, UTC).isoformat(sep=" ", timespec="minutes")
    facts = "".join(f", {name} {value}" for name, value in earlier.facts.items())
    same = earlier.natural_key == intent.natural_key
    named = f"{earlier.id[:12]} of {moment}{facts}"
    if not earlier.state.open:
        what = f"the same {earlier.operation} was carried out before (intent {named})"
        step = NextStep.ALLOW_REPEAT
        advice = "to carry it out a second time, pass allow_repeat=True (--allow-repeat)"
    else:
        about = "the same" if same else "about the same thing"
        what = f"another {earlier.operation}, {about}, is still open (intent {named}, {earlier.state})"
        step = NextStep.RESOLVE
        advice = f"resolve it first: pandapon journal resolve {earlier.id[:12]} --wait"
        if not same:
            advice += "; to send another one, pass allow_second=True (--allow-second)"
    return DuplicateIntentError(
        f"{what}; nothing was sent; {advice}",
        intent_id=earlier.id,
        state=str(earlier.state),
        result=earlier.result,
        next_step=step,
    )
