"""One row's write: never begun while the journal knows of one like it, and its end taken from the journal.

What became of a write is read in one place only, the journal, whether the call came back, failed, or the
process that made it was killed. An exception adds words, never a verdict.
"""

from __future__ import annotations

from typing import Any

import attrs

from pandapon_async.client import Client
from pandapon_async.declare.endpoint import encode_arguments
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    DuplicateIntentError,
    JournalUnavailableError,
    OutcomeUnknownError,
    PandaponError,
    RateLimitError,
    RejectedError,
)
from pandapon_async.journal.resolve import carries_waybill
from pandapon_async.journal.store import Intent, IntentState
from pandapon_async.plans.async_plan_file import AsyncPlanFile
from pandapon_async.plans.plan_types import PlanKind, PlanType
from pandapon_async.plans.refusals import meaning_of
from pandapon_async.plans.rows import PlanRow, RowState, state_of

__all__ = ["Sender"]

ALREADY = "4007"
"""The upstream's code for a return in a state that does not allow it: perhaps because ours is in already."""


@attrs.define(eq=False)
class Sender:
    """Sends rows, finds out about those that were sent, and keeps what it learns in the plan."""

    client: Client
    desk: AsyncPlanFile
    kind: PlanType
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
            await self.client.call(self.kind.endpoint, arguments)
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

    async def settle(self, row: PlanRow) -> RowState:
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
            await self._change(row, note=f"could not be found out: {type(error).__name__}")
            return row.state
        if intent.state is IntentState.UNKNOWN:
            await self._change(row, note=intent.note)
            return row.state
        return await self._ended(row, intent)

    async def _intents(self, row: PlanRow) -> list[Intent]:
        assert row.key is not None, "a row without a natural key is never planned"
        return await self.client.journal.with_key(self.account, self.kind.endpoint.operation, row.key)

    def _decisive(self, intents: list[Intent]) -> Intent | None:
        """The intent that forbids another one of its key: an open one first, then one that landed."""
        for intent in intents:
            if intent.state.open:
                return intent
        if self.allow_repeat:
            return None
        return next((intent for intent in intents if intent.state.succeeded), None)

    async def _take_over(self, row: PlanRow, intent: Intent) -> RowState:
        """The same write was begun elsewhere: what became of that one is what became of this row."""
        if self._same_deed(row, intent):
            return await self._ended(row, intent, note="nothing was sent: the journal has this write already")
        await self._change(
            row,
            state=RowState.REJECTED,
            intent_id=intent.id,
            error="DuplicateIntentError",
            reason="the journal has another write for the same thing, with other particulars; if this one is "
            "meant as well, apply with --allow-repeat",
        )
        return row.state

    def _same_deed(self, row: PlanRow, intent: Intent) -> bool:
        """Whether the particulars of the other write (the waybill) are this row's too."""
        endpoint = self.kind.endpoint
        facts = encode_arguments(endpoint.parameters, row.arguments)
        return all(intent.facts.get(name) == facts.get(name) for name in endpoint.facts)

    async def _urls(self, row: PlanRow) -> list[str] | None:
        """The urls of the row's images; None, and the row is not sent, if one could not be uploaded."""
        if not row.pictures:
            return []
        found = await self.desk.do(lambda book: book.pictures(row.pictures))
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
        await self._change(row, state=RowState.NOT_SENT, reason=reason, error=_kind_of(error))
        return row.state

    def _most_telling(self, row: PlanRow, intents: list[Intent]) -> Intent | None:
        """Of the writes since this row was begun the one that settles it: the newest is not always ours.

        Another process may have begun the same one in the same moment; what landed, landed for both.
        """
        same = [intent for intent in intents if self._same_deed(row, intent)]
        succeeded = (intent for intent in same if intent.state.succeeded)
        still_open = (intent for intent in same if intent.state.open)
        return next(succeeded, None) or next(still_open, None) or next(iter(same), None)

    async def _ended(
        self, row: PlanRow, intent: Intent, error: PandaponError | None = None, note: str | None = None
    ) -> RowState:
        """Keep what the journal says of the row's write; `error` is how the call ended, if it did."""
        state = state_of(intent)
        if isinstance(error, RateLimitError) and error.before_execution:
            state = RowState.NOT_SENT
        if state is RowState.REJECTED and await self._is_in_already(row, error):
            state, note = (
                RowState.SETTLED_DONE,
                f"refused with {ALREADY}: the form carries our waybill already",
            )
        facts: dict[str, Any] = {**_NOTHING_WRONG, "intent_id": intent.id, "request_id": intent.request_id}
        if state.done:
            facts["result"] = intent.result
        else:
            facts |= {"reason": self._why(state, error, intent), "error": _kind_of(error) or intent.note}
            facts["vendor_message"] = _words_of(error) if self.vendor_message else None
        if note is not None or state in (RowState.SETTLED_DONE, RowState.SETTLED_ABSENT):
            facts["note"] = note or intent.note
        await self._change(row, state=state, **facts)
        return row.state

    def _why(self, state: RowState, error: PandaponError | None, intent: Intent) -> str:
        """Why a row stands where it stands, for people."""
        if state is RowState.SETTLED_ABSENT:
            return "it did not land; sent again only with --resend-absent"
        if state is RowState.UNKNOWN:
            if intent.state is not IntentState.UNKNOWN:
                return "the same write is under way elsewhere"
            lost = "the answer was lost or unclear" if error is not None else "it was interrupted"
            return f"{lost}: it may have been carried out"
        code = error.error_code if isinstance(error, RejectedError) else getattr(error, "code", None)
        known = meaning_of(self.kind, code)
        if known is not None:
            return f"{known} (code {code})"
        return str(error) if error is not None else f"refused ({intent.note or 'no more is known'})"

    async def _is_in_already(self, row: PlanRow, error: PandaponError | None) -> bool:
        if self.kind.name is not PlanKind.RETURNS or getattr(error, "error_code", None) != ALREADY:
            return False
        try:
            refund = await self.client.v1.alibaba.refunds.get(refund_id=row.arguments["refund_id"])
        except PandaponError:
            return False
        return carries_waybill(refund, row.arguments["freight_bill"])

    async def _change(self, row: PlanRow, **facts: Any) -> None:
        facts["updated"] = self.client.settings.clock.wall()
        for name, value in facts.items():
            setattr(row, name, value)
        await self.desk.change(row.row, **facts)


_NOTHING_WRONG: dict[str, Any] = {"reason": None, "column": None, "error": None, "vendor_message": None}


def _kind_of(error: PandaponError | None) -> str | None:
    """The kind of a failure, and the vendor's code if it gave one."""
    if error is None:
        return None
    cause = error.__cause__ if isinstance(error, OutcomeUnknownError) else None
    shown = cause if isinstance(cause, PandaponError) else error
    code = shown.error_code if isinstance(shown, RejectedError) else getattr(shown, "code", None)
    return f"{type(shown).__name__} {code}" if code is not None else type(shown).__name__


def _words_of(error: PandaponError | None) -> str | None:
    if isinstance(error, RejectedError) and error.error_info:
        return error.error_info
    return error.msg if isinstance(error, ApiError) else None
