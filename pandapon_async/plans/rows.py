"""One row of a plan: what it is to do, where it stands, and how its states follow from the journal's."""

from __future__ import annotations

import enum
from typing import Any

import attrs

from pandapon_async.journal.store import Intent, IntentState

__all__ = ["PlanRow", "RowState", "state_of"]


class RowState(enum.StrEnum):
    """Where a row stands."""

    PLANNED = "planned"  # to be sent
    APPLYING = "applying"  # begun, and not known to have ended
    CONFIRMED = "confirmed"  # the vendor said yes
    SETTLED_DONE = "settled_done"  # was unknown; it landed
    UNKNOWN = "unknown"  # sent, and nobody knows what became of it
    SETTLED_ABSENT = "settled_absent"  # was unknown; it did not land. Sent again only if told to
    REJECTED = "rejected"  # the vendor said no
    NOT_SENT = "not_sent"  # tried, and surely not carried out: will be tried again
    REFUSED = "refused"  # by the plan: it will not be sent

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
        return self in (RowState.REJECTED, RowState.NOT_SENT, RowState.SETTLED_ABSENT)


_JSON = {"json": True}


@attrs.define(kw_only=True)
class PlanRow:
    """A row. `row` is its number as a spreadsheet shows it.

    `arguments` are those of the call, without the images; `pictures` the digests of these, in order. `key`
    is its natural key, as the journal knows it; `touches` the order lines it is about; `reason_text` the
    reason of an application as long as its id is not known. `column` and `reason` say why it was refused,
    or what went wrong; `note` what else is worth knowing; `checked` whether the vendor was asked about it.
    `before` is the newest intent of the same key that was there before this row was sent. `error` is the
    kind of a failure and the vendor's code, `vendor_message` what the platform said, kept only if asked for.
    """

    row: int
    state: RowState = RowState.PLANNED
    shop: str | None = None
    amount_fen: int | None = None
    currency: str | None = None
    arguments: dict[str, Any] = attrs.field(factory=dict, metadata=_JSON)
    pictures: list[str] = attrs.field(factory=list, metadata=_JSON)
    key: dict[str, Any] | None = attrs.field(default=None, metadata=_JSON)
    touches: list[str] = attrs.field(factory=list, metadata=_JSON)
    reason_text: str | None = None
    column: str | None = None
    reason: str | None = None
    note: str | None = None
    checked: bool = attrs.field(default=False, converter=bool)
    before: str | None = None
    intent_id: str | None = None
    request_id: str | None = None
    result: str | None = None
    error: str | None = None
    vendor_message: str | None = None
    updated: float | None = None

    def add_note(self, text: str) -> None:
        """Something else that is worth knowing."""
        self.note = text if not self.note else f"{self.note}; {text}"


_AT_THE_DOOR = "AuthenticationError"
"""What the journal notes of a refusal that came before anything was looked at: to be tried again."""

_STATES = {
    IntentState.CONFIRMED: RowState.CONFIRMED,
    IntentState.REJECTED: RowState.REJECTED,
    IntentState.NOT_SENT: RowState.NOT_SENT,
    IntentState.SETTLED_DONE: RowState.SETTLED_DONE,
    IntentState.SETTLED_ABSENT: RowState.SETTLED_ABSENT,
}


def state_of(intent: Intent) -> RowState:
    """Where a row stands whose write is this intent; what is still open there is unknown here."""
    if intent.state is IntentState.REJECTED and (intent.note or "").startswith(_AT_THE_DOOR):
        return RowState.NOT_SENT
    return _STATES.get(intent.state, RowState.UNKNOWN)
