"""One row's write: never begun while the journal knows of one like it, and its end taken from the journal.

What became of a write is read in one place only, the journal, whether the call came back, failed, or the
process that made it was killed. An exception adds words, never a verdict.
"""

from __future__ import annotations

from typing import Any

import attrs

from pandapon_async.api.registry import operations
from pandapon_async.client import Client
from pandapon_async.declare.arguments import encode_arguments
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    DuplicateIntentError,
    ErrorKind,
    JournalUnavailableError,
    OutcomeUnknownError,
    PandaponError,
    RejectedError,
    error_kind_of,
)
from pandapon_async.journal import Intent, IntentState, Resolution
from pandapon_async.journal.resolve import carries_waybill
from pandapon_async.plans.async_plan_file import AsyncPlanFile
from pandapon_async.plans.plan_types import PlanKind, PlanType
from pandapon_async.plans.refusals import meaning_of
from pandapon_async.plans.rows import PlanRow, RowState, last_look, state_of

__all__ = ["RowSender"]

ALREADY = "4007"
"""The upstream's code for a return in a state that does not allow it: perhaps because ours is in already."""


@attrs.define(eq=False)
class RowSender:
    """Sends rows, finds out about those that were sent, and keeps what it learns in the plan."""

    client: Client
    plan_file: AsyncPlanFile
    plan_type: PlanType
    account: str
    allow_repeat: bool
    vendor_message: bool

    async def send(self, row: PlanRow) -> RowState:
        """Send a row, unless the journal knows of the same write; gives where the row stands then.

        Raises AuthenticationError and JournalUnavailableError, after which no other row can be sent either.
        """
        urls = await self._urls(row)
        if urls is None:
            return row.state
        earlier = await self._intents(row)
        taken = self._decisive(earlier)
        if taken is not None:
            return await self._take_over(row, taken)
        before = earlier[0].id if earlier else None
        await self._change(row, state=RowState.APPLYING, before=before, intent_id=None, **_NOTHING_WRONG)
        arguments = {**row.arguments, "vouchers": urls} if urls else row.arguments
        error: PandaponError | None = None
        try:
            endpoint = self.plan_type.endpoint
            await self.client.call(operations()[endpoint.name], arguments, generation=endpoint.generation)
        except DuplicateIntentError as duplicate:
            # Begun by somebody else between our look and our write.
            other = await self.client.journal.get(duplicate.intent_id or "")
            if other is not None:
                return await self._take_over(row, other)
            error = duplicate
        except PandaponError as failure:
            error = failure
        try:
            state = await self._learn(row, error)
            if isinstance(error, AuthenticationError | JournalUnavailableError):
                raise error
            return state
        finally:
            del error  # it knows this frame

    async def look_up(self, row: PlanRow) -> RowState:
        """What the journal says of a row that an earlier run left open; sends nothing, reads nothing else."""
        return await self._learn(row, None)

    async def resolve(self, row: PlanRow) -> RowState:
        """Find out by reading the state what became of a row of unknown outcome.

        Raises AuthenticationError; every other failed read leaves the row unknown.
        """
        if row.intent_id is None:
            return await self.look_up(row)
        try:
            intent = await self.client.resolve(row.intent_id)
        except (AuthenticationError, JournalUnavailableError):
            raise
        except PandaponError as error:
            note = f"could not be looked up ({error_kind_of(error)})"
            await self._change(row, resolution=None, resolution_note=note)
            return row.state
        if intent.state is IntentState.UNKNOWN:
            await self._change(row, **_last_look(intent))
            return row.state
        return await self._ended(row, intent)

    async def _intents(self, row: PlanRow) -> list[Intent]:
        assert row.key is not None, "a row without a natural key is never planned"
        return await self.client.journal.with_key(
            self.client.writer.scope(self.plan_type.endpoint.scope), self.plan_type.endpoint.name, row.key
        )

    def _decisive(self, intents: list[Intent]) -> Intent | None:
        """The intent that forbids another one of its key: an open one first, then one that landed."""
        for intent in intents:
            if intent.state.open:
                return intent
        if self.allow_repeat:
            return None
        return next((intent for intent in intents if intent.state.succeeded), None)

    async def _take_over(self, row: PlanRow, intent: Intent) -> RowState:
        """The same write was begun elsewhere: the row takes its result."""
        if self._same_write(row, intent):
            row.add_remark("nothing was sent: the journal has this write already")
            return await self._ended(row, intent)
        await self._change(
            row,
            state=RowState.REJECTED,
            intent_id=intent.id,
            error_kind=ErrorKind.DUPLICATE_INTENT,
            error_code=None,
            reason="the journal has another write for the same thing, with other particulars; if this one is "
            "meant as well, apply with --allow-repeat",
        )
        return row.state

    def _same_write(self, row: PlanRow, intent: Intent) -> bool:
        """Whether the particulars of the other write (the waybill) are this row's too."""
        endpoint = self.plan_type.endpoint
        facts = encode_arguments(endpoint.parameters, row.arguments)
        return all(intent.facts.get(name) == facts.get(name) for name in endpoint.facts)

    async def _urls(self, row: PlanRow) -> list[str] | None:
        """The urls of the row's images; None, and the row is not sent, if one could not be uploaded."""
        if not row.pictures:
            return []
        found = await self.plan_file.do(lambda file: file.pictures(row.pictures))
        urls = []
        for number, digest in enumerate(row.pictures, start=1):
            picture = found[digest]
            if picture.url is None:
                why = picture.error or "not tried yet"
                await self._change(
                    row, state=RowState.NOT_SENT, reason=f"image {number} could not be uploaded: {why}"
                )
                return None
            urls.append(picture.url)
        return urls

    async def _learn(self, row: PlanRow, error: PandaponError | None) -> RowState:
        """Where the row stands by the journal; `error` is how the call ended, if it did."""
        since: list[Intent] = []
        for intent in await self._intents(row):
            if intent.id == row.before:
                break
            since.append(intent)
        if (decisive := self._most_telling(row, since)) is not None:
            return await self._ended(row, decisive, error)
        reason = "it was interrupted before it began" if error is None else str(error)
        await self._change(row, state=RowState.NOT_SENT, reason=reason, **_error_columns(error))
        return row.state

    def _most_telling(self, row: PlanRow, intents: list[Intent]) -> Intent | None:
        """Of the writes since this row was begun the one that settles it: the newest is not always ours.

        Another process may have begun the same one in the same moment; what landed, landed for both.
        """
        same = [intent for intent in intents if self._same_write(row, intent)]
        succeeded = (intent for intent in same if intent.state.succeeded)
        still_open = (intent for intent in same if intent.state.open)
        return next(succeeded, None) or next(still_open, None) or next(iter(same), None)

    async def _ended(self, row: PlanRow, intent: Intent, error: PandaponError | None = None) -> RowState:
        """Keep what the journal says of the row's write. `error` is how the call ended, if it did."""
        state = state_of(intent)
        facts: dict[str, Any] = {**_NOTHING_WRONG, "intent_id": intent.id, "request_id": intent.request_id}
        if state in (RowState.SETTLED_DONE, RowState.SETTLED_ABSENT):
            facts |= _last_look(intent)
        if state is RowState.REJECTED and await self._is_in_already(row, error):
            state = RowState.SETTLED_DONE
            facts["resolution"] = Resolution.SUCCEEDED
            facts["resolution_note"] = f"refused with {ALREADY}: the form carries our waybill already"
        if state.done:
            facts["result"] = intent.result
        else:
            facts["reason"] = self._why(state, error, intent)
            facts |= _error_columns(error) if error is not None else {"error_kind": intent.error_kind}
            facts["vendor_message"] = _message_of(error) if self.vendor_message else None
        await self._change(row, state=state, **facts)
        return row.state

    def _why(self, state: RowState, error: PandaponError | None, intent: Intent) -> str:
        """Why a row stands where it stands, for people."""
        if state is RowState.SETTLED_ABSENT:
            return "it was not found afterwards; sent again only with --resend-absent"
        if state is RowState.UNKNOWN:
            if intent.state is not IntentState.UNKNOWN:
                return "the same write is under way elsewhere"
            lost = "the answer was lost or unclear" if error is not None else "it was interrupted"
            return f"{lost}: it may have been carried out"
        code = _code_of(error)
        known = meaning_of(self.plan_type, code)
        if known is not None:
            return f"{known} (code {code})"
        return str(error) if error is not None else f"refused ({intent.error_kind or 'no more is known'})"

    async def _is_in_already(self, row: PlanRow, error: PandaponError | None) -> bool:
        if self.plan_type.name is not PlanKind.RETURNS or _code_of(error) != ALREADY:
            return False
        try:
            refund = await self.client.v1.alibaba.refunds.get(refund_id=row.arguments["refund_id"])
        except PandaponError:
            return False
        return carries_waybill(refund, row.arguments["freight_bill"])

    async def _change(self, row: PlanRow, **facts: Any) -> None:
        facts |= {"updated": self.client.settings.clock.wall(), "remarks": row.remarks}
        for name, value in facts.items():
            setattr(row, name, value)
        await self.plan_file.change(row.row, **facts)


_NOTHING_WRONG: dict[str, Any] = dict.fromkeys(
    ("reason", "column", "error_kind", "error_code", "vendor_message", "resolution", "resolution_note")
)


def _error_columns(error: PandaponError | None) -> dict[str, Any]:
    """What ended the call, and the vendor's code if it gave one."""
    if error is None:
        return {"error_kind": None, "error_code": None}
    return {"error_kind": error_kind_of(error), "error_code": _code_of(error)}


def _code_of(error: PandaponError | None) -> str | None:
    cause = error.__cause__ if isinstance(error, OutcomeUnknownError) else None
    shown = cause if isinstance(cause, PandaponError) else error
    code = shown.error_code if isinstance(shown, RejectedError) else getattr(shown, "code", None)
    return None if code is None else str(code)


def _message_of(error: PandaponError | None) -> str | None:
    if isinstance(error, RejectedError) and error.error_info:
        return error.error_info
    return error.msg if isinstance(error, ApiError) else None


def _last_look(intent: Intent) -> dict[str, Any]:
    """What the last look at the write showed, and what it rests on."""
    resolution, note = last_look(intent)
    return {"resolution": resolution, "resolution_note": note}
