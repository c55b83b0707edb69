"""Record the results of rows in the plan.

The result of a write is read in one place only, the journal, whether the call returned, failed, or its
process was killed. An exception adds a text, never a result.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import attrs

from pandapon_async.client import Client
from pandapon_async.declare.arguments import encode_arguments
from pandapon_async.errors import (
    ApiError,
    OutcomeUnknownError,
    PandaponError,
    RejectedError,
    error_kind_of,
)
from pandapon_async.journal import Intent, IntentState, Resolution
from pandapon_async.journal.resolve import ResolvedOutcome
from pandapon_async.plans.async_plan_file import AsyncPlanFile
from pandapon_async.plans.options import ApplyOptions
from pandapon_async.plans.plan_types import PlanKind, PlanType
from pandapon_async.plans.refusals import meaning_of
from pandapon_async.plans.rows import PlanRow, RowState, last_look, state_of

__all__ = ["NOTHING_WRONG", "RowRecorder", "last_look_columns", "moment"]

ALREADY = {PlanKind.RETURNS: "4007", PlanKind.REFUNDS: "5010"}
"""The upstream's code for a state that does not allow the write, perhaps after our own."""


@attrs.define(eq=False)
class RowRecorder:
    """Reads the journal about rows and records their states in the plan."""

    client: Client
    plan_file: AsyncPlanFile
    plan_type: PlanType
    options: ApplyOptions
    planned_at: float
    """When the plan was created, in seconds since 1970: none of its rows was sent before."""
    settled_now: set[int] = attrs.field(factory=set)
    """Rows that this run settled as absent; it does not send them again."""

    async def intents(self, row: PlanRow) -> list[Intent]:
        """Return the journal's intents with the row's natural key, newest first."""
        assert row.key is not None, "a row without a natural key is never planned"
        endpoint = self.plan_type.endpoint
        scope = self.client.writer.scope(endpoint.scope)
        return await self.client.journal.with_key(scope, endpoint.name, row.key)

    def same_write(self, row: PlanRow, intent: Intent) -> bool:
        """Whether the other write has the same details as this row (such as the waybill)."""
        endpoint = self.plan_type.endpoint
        facts = encode_arguments(endpoint.parameters, row.arguments)
        return all(intent.facts.get(name) == facts.get(name) for name in endpoint.facts)

    async def learn(self, row: PlanRow, error: PandaponError | None) -> RowState:
        """Set the row's state from the journal; `error` is the error of the call, if it failed."""
        since: list[Intent] = []
        for intent in await self.intents(row):
            if intent.id == row.before:
                break
            since.append(intent)
        decisive = self._most_telling(row, since)
        if row.uncertain and error is None and not (decisive and _surely_ours(decisive)):
            await self.change(
                row,
                state=RowState.UNKNOWN,
                uncertain=True,
                intent_id=None,
                reason="it was begun, but this journal does not know whether it was sent",
            )
            return row.state
        if decisive is not None:
            return await self.ended(row, decisive, error)
        reason = "it was interrupted before it began" if error is None else str(error)
        await self.change(row, state=RowState.NOT_SENT, reason=reason, **_error_columns(error))
        return row.state

    def _most_telling(self, row: PlanRow, intents: list[Intent]) -> Intent | None:
        """Return the write since the row was begun that settles it; the newest is not always ours.

        Another process may have begun the same write at the same time; a success counts for both.
        """
        same = [intent for intent in intents if self.same_write(row, intent)]
        succeeded = (intent for intent in same if intent.state.succeeded)
        still_open = (intent for intent in same if intent.state.open)
        return next(succeeded, None) or next(still_open, None) or next(iter(same), None)

    async def ended(self, row: PlanRow, intent: Intent, error: PandaponError | None = None) -> RowState:
        """Record what the journal says about the row's write. `error` is the call's error, if it failed."""
        state = state_of(intent)
        facts: dict[str, Any] = {**NOTHING_WRONG, "intent_id": intent.id, "request_id": intent.request_id}
        if state in (RowState.SETTLED_DONE, RowState.SETTLED_ABSENT):
            facts |= last_look_columns(intent)
        if intent.natural_key != row.key:  # an operator's statement about a write that the journal has lost
            facts["uncertain"] = True
        if state is RowState.SETTLED_ABSENT and row.state is not RowState.SETTLED_ABSENT:
            self.settled_now.add(row.row)
        result, code = intent.result, ALREADY[self.plan_type.name]
        if state is RowState.REJECTED and _code_of(error) == code:
            seen = await self._look_for_ours(row)
            if seen is not None and seen.resolution is Resolution.SUCCEEDED:
                state, result = RowState.SETTLED_DONE, seen.result
                facts["resolution"] = Resolution.SUCCEEDED
                facts["resolution_note"] = f"refused with {code}, and ours was accepted before: {seen.note}"
            elif self.plan_type.name is PlanKind.REFUNDS:
                state = RowState.HELD
        if state.done:
            facts["result"] = result
        else:
            facts["reason"] = self._why(state, error, intent)
            facts |= _error_columns(error) if error is not None else {"error_kind": intent.error_kind}
            facts["vendor_message"] = _message_of(error) if self.options.vendor_message else None
        await self.change(row, state=state, **facts)
        return row.state

    def _why(self, state: RowState, error: PandaponError | None, intent: Intent) -> str:
        """Explain a row's state for people."""
        if state is RowState.SETTLED_ABSENT:
            # What was seen, when, and the age of the write then, as recorded by the program that resolved it.
            seen = intent.remarks[-1] if intent.remarks else f"not found at {moment(intent.updated)}"
            return f"{seen}. Use --resend-absent to check again and send it if it is still absent"
        if state is RowState.UNKNOWN:
            if intent.state is not IntentState.UNKNOWN:
                return "the same write is in flight elsewhere"
            lost = "the answer was lost or unclear" if error is not None else "it was interrupted"
            return f"{lost}: it may have been carried out"
        code = _code_of(error)
        known = meaning_of(self.plan_type, code)
        if state is RowState.HELD:
            return f"held back: {known} (code {code}). The next apply reads the order and tries again"
        if known is not None:
            again = ". The next apply reads the form and tries again" if state is RowState.NOT_SENT else ""
            return f"{known} (code {code}){again}"
        return str(error) if error is not None else f"refused ({intent.error_kind or 'reason unknown'})"

    async def _look_for_ours(self, row: PlanRow) -> ResolvedOutcome | None:
        """Return what the vendor shows about the row's write; None if it could not be read."""
        try:
            return await self.shown(row)
        except PandaponError:
            return None

    async def shown(self, row: PlanRow) -> ResolvedOutcome:
        """Return what the vendor shows about the row's write, whoever made it."""
        name = self.plan_type.endpoint.name
        return await self.client.look_up(name, row.arguments, since=self.planned_at)

    async def change(self, row: PlanRow, **facts: Any) -> None:
        """Change a row in the plan."""
        facts |= {"updated": self.client.settings.clock.wall(), "remarks": row.remarks}
        for name, value in facts.items():
            setattr(row, name, value)
        await self.plan_file.change(row.row, **facts)


def _surely_ours(intent: Intent) -> bool:
    """Whether an intent with the row's key settles it, even in a journal that may have lost later ones."""
    return intent.state.open or intent.state.succeeded


NOTHING_WRONG: dict[str, Any] = dict.fromkeys(
    ("reason", "column", "error_kind", "error_code", "vendor_message", "resolution", "resolution_note")
)


def _error_columns(error: PandaponError | None) -> dict[str, Any]:
    """Return what ended the call, and the vendor's code if any."""
    if error is None:
        return {"error_kind": None, "error_code": None}
    return {"error_kind": error_kind_of(error), "error_code": _code_of(error)}


def _code_of(error: PandaponError | None) -> str | None:
    cause = error.__cause__ if isinstance(error, OutcomeUnknownError) else None
    shown = cause if isinstance(cause, PandaponError) else error
    if shown is not None and isinstance(shown.__cause__, RejectedError):  # distinguished by its inner code
        shown = shown.__cause__
    code = shown.error_code if isinstance(shown, RejectedError) else getattr(shown, "code", None)
    return None if code is None else str(code)


def _message_of(error: PandaponError | None) -> str | None:
    if isinstance(error, RejectedError) and error.error_info:
        return error.error_info
    return error.msg if isinstance(error, ApiError) else None


def moment(seconds: float) -> str:
    """Format seconds since 1970 for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def last_look_columns(intent: Intent) -> dict[str, Any]:
    """Return what the last read of the write showed, and its evidence."""
    resolution, note = last_look(intent)
    return {"resolution": resolution, "resolution_note": note}
