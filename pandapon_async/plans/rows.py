"""One row of a plan: its write, its state, and how the state follows from the journal's."""

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
    """The state of a row."""

    PLANNED = "planned"
    """Not sent yet."""
    APPLYING = "applying"
    """Begun, and its end is not known."""
    CONFIRMED = "confirmed"
    """The vendor accepted it."""
    SETTLED_DONE = "settled_done"
    """It was unknown; a later read showed that it succeeded."""
    UNKNOWN = "unknown"
    """Sent, and the result is not known."""
    SETTLED_ABSENT = "settled_absent"
    """It was unknown; a later read did not show it. Sent again only on request."""
    REJECTED = "rejected"
    """The vendor refused it."""
    NOT_SENT = "not_sent"
    """Tried and certainly not carried out; it will be tried again."""
    DUPLICATE = "duplicate"
    """Refused by our own journal: the same write was made with other details before."""
    HELD = "held"
    """Not sent, because another write about its order line is open. Every apply checks again."""
    REFUSED = "refused"
    """Refused while planning; it will not be sent."""

    @property
    def done(self) -> bool:
        """Whether it was certainly carried out."""
        return self in (RowState.CONFIRMED, RowState.SETTLED_DONE)

    @property
    def open(self) -> bool:
        """Whether it may have been carried out, without a known result."""
        return self in (RowState.APPLYING, RowState.UNKNOWN)

    @property
    def failed(self) -> bool:
        """Whether it ended without being carried out."""
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
    """Its state."""
    shop: str | None = None
    """The shop in the table, for people."""
    amount_fen: int | None = None
    """The amount in fen; None if it is not known."""
    currency: str | None = None
    """The currency of `amount_fen`."""
    arguments: dict[str, Any] = attrs.field(factory=dict, metadata={**_JSON, "personal": True})
    """The arguments of the call, without the images."""
    pictures: list[str] = attrs.field(factory=list, metadata=_JSON)
    """The SHA-256 digests of its images, in order."""
    key: dict[str, Any] | None = attrs.field(default=None, metadata=_JSON)
    """Its natural key in the journal."""
    touches: list[str] = attrs.field(factory=list, metadata=_JSON)
    """Its order lines."""
    reason_text: str | None = None
    """The name of an application's reason while the reason's id is not known."""
    column: str | None = None
    """The column that the refusal is about."""
    reason: str | None = None
    """Why it was refused or failed."""
    remarks: list[str] = attrs.field(factory=list, metadata=_JSON)
    """Remarks, which are only ever added."""
    checked: bool = attrs.field(default=False, converter=bool)
    """Whether it was checked with the vendor before it was sent."""
    uncertain: bool = attrs.field(default=False, converter=bool)
    """Whether it may have been sent without a trace in the journal; then it is read before it is sent."""
    before: str | None = None
    """The newest intent with the same key from before this row was sent."""
    intent_id: str | None = None
    """The id of its intent in the journal."""
    request_id: str | None = None
    """The vendor's id of the request."""
    result: str | None = None
    """The id that the vendor assigned."""
    resolution: Resolution | None = None
    """What the last read showed about a write with an unknown outcome; None without a read."""
    resolution_note: str | None = None
    """The evidence of the last read, or why it failed."""
    error_kind: ErrorKind | None = None
    """What ended the write."""
    error_code: str | None = None
    """The vendor's code of a failure."""
    vendor_message: str | None = attrs.field(default=None, metadata={"personal": True})
    """The platform's message about a refusal; kept only on request, because it may name people."""
    updated: float | None = None
    """When it last changed, in seconds since 1970."""

    @property
    def note(self) -> str | None:
        """The remarks and the result of the last read, in one text for people."""
        parts = list(self.remarks)
        if self.resolution_note is not None:
            shown = self.resolution.value if self.resolution is not None and self.state.open else None
            parts.append(": ".join(filter(None, (shown, self.resolution_note))))
        return "; ".join(parts) or None

    @property
    def error(self) -> str | None:
        """What ended the write, with the vendor's code, for people."""
        return " ".join(filter(None, (self.error_kind, self.error_code))) or None

    def add_remark(self, text: str) -> None:
        """Add a remark."""
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
    """Return the state of a row from its intent. An open intent means an unknown row."""
    if intent.state is IntentState.REJECTED and intent.error_kind in AT_THE_DOOR:
        return RowState.NOT_SENT
    return _STATES.get(intent.state, RowState.UNKNOWN)


def last_look(intent: Intent) -> tuple[Resolution | None, str | None]:
    """Record what the last read of the write showed, and its evidence."""
    return intent.resolution, intent.remarks[-1] if intent.remarks else None
