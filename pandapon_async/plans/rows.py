"""One row of a plan: what it is to do, where it stands, and how its states follow from the journal's."""

from __future__ import annotations

import enum
from typing import Any

import attrs

from pandapon_async.core.json_values import Result
from pandapon_async.errors import ErrorKind
from pandapon_async.journal import Intent, IntentState, Resolution
from pandapon_async.journal.intent import AT_THE_DOOR

__all__ = ["PlanRow", "RowState", "state_of"]


class RowState(enum.StrEnum):
    """Where a row stands."""

    PLANNED = "planned"
    """To be sent."""
    APPLYING = "applying"
    """Begun, and not known to have ended."""
    CONFIRMED = "confirmed"
    """The vendor said yes."""
    SETTLED_DONE = "settled_done"
    """Was unknown; the state, read afterwards, shows that it succeeded."""
    UNKNOWN = "unknown"
    """Sent, and nobody knows what became of it."""
    SETTLED_ABSENT = "settled_absent"
    """Was unknown; the state, read afterwards, does not show it. Sent again only on request."""
    REJECTED = "rejected"
    """The vendor said no."""
    NOT_SENT = "not_sent"
    """Tried, and surely not carried out: it will be tried again."""
    DUPLICATE = "duplicate"
    """Refused by our own journal: the same thing was written with other particulars before."""
    HELD = "held"
    """Not sent: something else about its order line is open. Every apply checks again."""
    REFUSED = "refused"
    """Refused by the plan: it will not be sent."""

    @property
    def done(self) -> bool:
        """Whether it surely was carried out."""
        return self in (RowState.CONFIRMED, RowState.SETTLED_DONE)

    @property
    def open(self) -> bool:
        """Whether it may have been carried out, and nobody knows."""
        return self in (RowState.APPLYING, RowState.UNKNOWN)

    @property
    def failed(self) -> bool:
        """Whether it ended, and was not carried out."""
        return self in _FAILED


_FAILED = frozenset(
    {RowState.REJECTED, RowState.NOT_SENT, RowState.SETTLED_ABSENT, RowState.DUPLICATE, RowState.HELD}
)
_JSON = {"json": True}


@attrs.define(kw_only=True)
class PlanRow(Result):
    """A row of a plan."""

    row: int
    """Its number as a spreadsheet shows it."""
    state: RowState = RowState.PLANNED
    """Where it stands."""
    shop: str | None = None
    """The shop that the table names, for people."""
    amount_fen: int | None = None
    """How much money it is about; None if that is not known."""
    currency: str | None = None
    """The currency of `amount_fen`."""
    arguments: dict[str, Any] = attrs.field(factory=dict, metadata={**_JSON, "personal": True})
    """The arguments of the call, without the images."""
    pictures: list[str] = attrs.field(factory=list, metadata=_JSON)
    """The SHA-256 digests of its images, in order."""
    key: dict[str, Any] | None = attrs.field(default=None, metadata=_JSON)
    """Its natural key, as the journal knows it."""
    touches: list[str] = attrs.field(factory=list, metadata=_JSON)
    """The order lines that it is about."""
    reason_text: str | None = None
    """The name of an application's reason, as long as the reason's id is not known."""
    column: str | None = None
    """The column for which it was refused."""
    reason: str | None = None
    """Why it was refused, or what went wrong."""
    remarks: list[str] = attrs.field(factory=list, metadata=_JSON)
    """What else is worth knowing. Remarks are only ever added."""
    checked: bool = attrs.field(default=False, converter=bool)
    """Whether the vendor was asked about it before it was sent."""
    uncertain: bool = attrs.field(default=False, converter=bool)
    """Whether it may have been sent without a trace in the journal: it is read before it is sent."""
    before: str | None = None
    """The newest intent of the same key that existed before this row was sent."""
    intent_id: str | None = None
    """The journal's intent of its write."""
    request_id: str | None = None
    """The request that the vendor can look up."""
    result: str | None = None
    """The id that the vendor gave."""
    resolution: Resolution | None = None
    """What the last look at a write of unknown outcome showed; None if nothing was read."""
    resolution_note: str | None = None
    """What the last look rests on, or why nothing could be read."""
    error_kind: ErrorKind | None = None
    """What ended the write."""
    error_code: str | None = None
    """The vendor's code of a failure."""
    vendor_message: str | None = attrs.field(default=None, metadata={"personal": True})
    """What the platform said of a refusal; kept only on request, as it may name people."""
    updated: float | None = None
    """When it changed last, in seconds since 1970."""

    @property
    def note(self) -> str | None:
        """The remarks and the last look, in one text for people."""
        parts = list(self.remarks)
        if self.resolution_note is not None:
            shown = self.resolution.value if self.resolution is not None and self.state.open else None
            parts.append(": ".join(filter(None, (shown, self.resolution_note))))
        return "; ".join(parts) or None

    @property
    def error(self) -> str | None:
        """What ended the write with the vendor's code, for people."""
        return " ".join(filter(None, (self.error_kind, self.error_code))) or None

    def add_remark(self, text: str) -> None:
        """Keep something else that is worth knowing."""
        if text not in self.remarks:
            self.remarks = [*self.remarks, text]


_STATES = {
    IntentState.CONFIRMED: RowState.CONFIRMED,
    IntentState.REJECTED: RowState.REJECTED,
    IntentState.NOT_SENT: RowState.NOT_SENT,
    IntentState.SETTLED_DONE: RowState.SETTLED_DONE,
    IntentState.SETTLED_ABSENT: RowState.SETTLED_ABSENT,
}


def state_of(intent: Intent) -> RowState:
    """Where a row stands whose write is this intent. What is still open there is unknown here."""
    if intent.state is IntentState.REJECTED and intent.error_kind in AT_THE_DOOR:
        return RowState.NOT_SENT
    return _STATES.get(intent.state, RowState.UNKNOWN)


def last_look(intent: Intent) -> tuple[Resolution | None, str | None]:
    """What the last look at the write showed, and what it rests on."""
    return intent.resolution, intent.remarks[-1] if intent.remarks else None
