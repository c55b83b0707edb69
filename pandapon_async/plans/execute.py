"""Send one row: never begun while the journal or the vendor has a write like it."""

from __future__ import annotations

from typing import Any

import attrs

from pandapon_async.api.registry import operations
from pandapon_async.errors import (
    AuthenticationError,
    DuplicateIntentError,
    ErrorKind,
    JournalUnavailableError,
    NextStep,
    PandaponError,
    RateLimitError,
)
from pandapon_async.journal import Intent
from pandapon_async.plans.checks import Checks
from pandapon_async.plans.line_rule import LineRule
from pandapon_async.plans.looking import RowLooker
from pandapon_async.plans.record import NOTHING_WRONG, RowRecorder, moment
from pandapon_async.plans.rows import PlanRow, RowState

__all__ = ["RowSender"]


@attrs.define(eq=False)
class RowSender:
    """Sends the rows of a plan and records their results in it."""

    record: RowRecorder
    looker: RowLooker
    line_rule: LineRule
    checks: Checks
    too_young: dict[int, float] = attrs.field(factory=dict)
    """Rows that may be sent when an earlier write is old enough, with the seconds until then."""

    async def send(self, row: PlanRow) -> RowState:
        """Send a row, unless the same write is known; return the row's new state.

        Raises AuthenticationError and JournalUnavailableError, after which no other row can be sent either.
        """
        record = self.record
        self.too_young.pop(row.row, None)
        if row.row in record.settled_now:
            return row.state
        urls = await self._urls(row)
        if urls is None:
            return row.state
        earlier = await record.intents(row)
        known = self._forbidding(earlier)
        if known is not None:
            return await self._take_over(row, known)
        if (why := await self._held_back(row)) is not None:
            return await self._hold(row, why)
        forgotten = row.intent_id is not None and all(one.id != row.intent_id for one in earlier)
        if (row.uncertain or forgotten) and not await self.looker.may_send(row):
            return row.state
        return await self._call(row, urls, earlier[0].id if earlier else None)

    async def _held_back(self, row: PlanRow) -> str | None:
        """Return why the row must wait for another form of its order line, or None."""
        why = await self.line_rule.holds_back(row)
        if why is None and row.state is RowState.HELD and not self.record.options.allow_second:
            why = await self.checks.open_form(row)
        return why

    async def _call(self, row: PlanRow, urls: list[str], before: str | None) -> RowState:
        record = self.record
        was, intent_id = row.state, row.intent_id
        await record.change(
            row, state=RowState.APPLYING, before=before, intent_id=None, uncertain=False, **NOTHING_WRONG
        )
        arguments = {**row.arguments, "vouchers": urls} if urls else row.arguments
        error: PandaponError | None = None
        try:
            endpoint = record.plan_type.endpoint
            await record.client.call(operations()[endpoint.name], arguments, generation=endpoint.generation)
        except DuplicateIntentError as duplicate:
            # Another process began it between our check and our write, or the client found it at the vendor.
            other = await record.client.journal.get(duplicate.intent_id or "")
            if other is not None and other.natural_key != row.key:
                return await self._hold(row, self.line_rule.told(other))
            if other is not None and (other.state.open or other.state.succeeded):
                return await self._take_over(row, other)
            error = duplicate
        except PandaponError as failure:
            error = failure
        if (seconds := self._seconds_to_wait(error)) is not None:
            self.too_young[row.row] = seconds
        try:
            state = await record.learn(row, error)
            if was is RowState.SETTLED_ABSENT and state is RowState.NOT_SENT:  # its state is unchanged
                await record.change(row, state=was, intent_id=intent_id)
            if isinstance(error, AuthenticationError | JournalUnavailableError):
                raise error
            return state
        finally:
            del error  # it references this frame

    def _seconds_to_wait(self, error: PandaponError | None) -> float | None:
        """Return the seconds until a throttled row may be sent; None if it may not."""
        if not isinstance(error, RateLimitError | DuplicateIntentError):
            return None
        if error.next_step is NextStep.WAIT:
            return error.retry_after
        if error.next_step is None and isinstance(error, RateLimitError):
            return self.record.client.settings.settle_after
        return None

    def _forbidding(self, intents: list[Intent]) -> Intent | None:
        """Return the intent that blocks another one with its key: an open one first, then a success."""
        for intent in intents:
            if intent.state.open:
                return intent
        if self.record.options.allow_repeat:
            return None
        return next((intent for intent in intents if intent.state.succeeded), None)

    async def _take_over(self, row: PlanRow, intent: Intent) -> RowState:
        """Give the row the result of the same write that was begun elsewhere."""
        record = self.record
        if record.same_write(row, intent):
            row.add_remark("not sent: the journal has this write already")
            return await record.ended(row, intent)
        particulars = ", ".join(f"{name} {value}" for name, value in intent.facts.items())
        await record.change(
            row,
            state=RowState.DUPLICATE,
            intent_id=intent.id,
            error_kind=ErrorKind.DUPLICATE_INTENT,
            error_code=None,
            reason=f"the journal has this write with other details: {particulars or 'none'}, written "
            f"{moment(intent.created)} (intent {intent.id[:12]}, {intent.state.value}). To send this "
            "one as well, apply with --allow-repeat",
        )
        return row.state

    async def _hold(self, row: PlanRow, why: str) -> RowState:
        await self.record.change(row, **{**NOTHING_WRONG, "state": RowState.HELD, "reason": why})
        return row.state

    async def _urls(self, row: PlanRow) -> list[str] | None:
        """Return the urls of the row's images; None, with the row not sent, if an upload failed."""
        if not row.pictures:
            return []
        found = await self.record.plan_file.do(lambda file: file.pictures(row.pictures))
        urls: list[str] = []
        for number, digest in enumerate(row.pictures, start=1):
            picture = found[digest]
            if picture.url is None:
                why = picture.error or "not tried yet"
                columns: dict[str, Any] = {"state": RowState.NOT_SENT, "error_kind": ErrorKind.IMAGE}
                await self.record.change(
                    row, **columns, reason=f"image {number} could not be uploaded: {why}"
                )
                return None
            urls.append(picture.url)
        return urls
