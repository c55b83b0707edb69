"""Look up rows at the vendor: how a row ended, and whether an uncertain one was sent before.

Nothing here sends a write. A read that shows the write is believed at once. A read that does not is believed
only after the write had time to arrive and appear (`Settings.settle_after`).
"""

from __future__ import annotations

import attrs

from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    DecodeError,
    JournalUnavailableError,
    Outcome,
    PandaponError,
    RateLimitError,
    error_kind_of,
)
from pandapon_async.journal import IntentState, Resolution
from pandapon_async.journal.resolve import ResolvedOutcome
from pandapon_async.plans.checks import Checks
from pandapon_async.plans.plan_types import PlanKind
from pandapon_async.plans.record import NOTHING_WRONG, RowRecorder, last_look_columns, moment
from pandapon_async.plans.rows import PlanRow, RowState

__all__ = ["RowLooker"]


@attrs.define(eq=False)
class RowLooker:
    """Looks up rows and records the results in the plan."""

    record: RowRecorder
    checks: Checks
    began: float
    """The start of this run, in monotonic seconds."""

    async def look_up(self, row: PlanRow) -> RowState:
        """Take over what the journal knows about a row that an earlier run left open. Makes no request."""
        return await self.record.learn(row, None)

    async def resolve(self, row: PlanRow) -> RowState:
        """Resolve a row with an unknown outcome by reading the state.

        Raises AuthenticationError and JournalUnavailableError. Every other failed read leaves it unknown.
        """
        client = self.record.client
        intent = None if row.intent_id is None else await client.journal.get(row.intent_id)
        if intent is None:
            return await self._resolve_without_intent(row)
        if not intent.state.open:  # settled by another process meanwhile
            return await self.record.ended(row, intent)
        try:
            intent = await client.resolve(intent.id)
        except (AuthenticationError, JournalUnavailableError):
            raise
        except PandaponError as error:
            return await self._not_read(row, error)
        if intent.state is IntentState.UNKNOWN:
            await self.record.change(row, **last_look_columns(intent))
            return row.state
        return await self.record.ended(row, intent)

    async def look_again(self, row: PlanRow) -> RowState:
        """Check whether an absent row has appeared since. A failed read changes nothing."""
        record = self.record
        intent = None if row.intent_id is None else await record.client.journal.get(row.intent_id)
        if intent is None:
            return row.state if row.uncertain else await self._resolve_without_intent(row)
        try:
            intent = await record.client.resolve(intent.id)
        except (AuthenticationError, JournalUnavailableError):
            raise
        except PandaponError:
            return row.state
        return await record.ended(row, intent)

    async def _resolve_without_intent(self, row: PlanRow) -> RowState:
        """Look up a row that was begun with a journal that is not in use: only the vendor knows it."""
        try:
            seen = await self.record.shown(row)
        except (AuthenticationError, JournalUnavailableError):
            raise
        except PandaponError as error:
            return await self._not_read(row, error)
        if seen.resolution is Resolution.SUCCEEDED:
            return await self.found(row, seen)
        state = row.state
        if seen.resolution is Resolution.ABSENT and self.absence_is_believed:
            state = RowState.SETTLED_ABSENT
            self.record.settled_now.add(row.row)
        await self.record.change(row, state=state, resolution=seen.resolution, resolution_note=seen.note)
        return row.state

    async def _not_read(self, row: PlanRow, error: PandaponError) -> RowState:
        note = f"could not be looked up ({error_kind_of(error)})"
        await self.record.change(row, resolution=None, resolution_note=note)
        return row.state

    async def may_send(self, row: PlanRow) -> bool:
        """Whether an uncertain row is certainly not at the vendor; if not, record what the read showed.

        Raises AuthenticationError and JournalUnavailableError.
        """
        try:
            seen = await self.record.shown(row)
        except (AuthenticationError, JournalUnavailableError):
            raise
        except PandaponError as error:
            await self._keep_back(row, None, f"it could not be read before sending ({error_kind_of(error)})")
            return False
        now = moment(self.record.client.settings.clock.wall())
        if seen.resolution is Resolution.SUCCEEDED:
            await self.found(row, seen)
            return False
        if seen.resolution is Resolution.ABSENT:
            if self.absence_is_believed:
                row.add_remark(f"read before sending: not there at {now}")
                return True
            await self._keep_back(
                row, seen, "not found, but too soon after the start of the run to be believed"
            )
            return False
        one_form = row.touches and not self.record.options.allow_second
        if one_form and (why := await self.checks.open_form(row)) is not None:
            await self.record.change(row, **{**NOTHING_WRONG, "state": RowState.HELD, "reason": why})
            return False
        if self.record.options.never_applied:
            row.add_remark(f"sent without a read at {now}, because the operator used --never-applied")
            return True
        why = (
            "it may have been sent before, and no read can show that; if nobody else applied this plan, "
            "use --never-applied to send it"
        )
        await self._keep_back(row, seen, why)
        return False

    async def found(self, row: PlanRow, seen: ResolvedOutcome) -> RowState:
        """Record that the vendor shows the row's write."""
        await self.record.change(
            row,
            state=RowState.SETTLED_DONE,
            uncertain=False,
            reason=None,
            result=seen.result,
            resolution=seen.resolution,
            resolution_note=seen.note,
        )
        return row.state

    async def _keep_back(self, row: PlanRow, seen: ResolvedOutcome | None, reason: str) -> None:
        await self.record.change(
            row,
            state=row.state if row.state is RowState.SETTLED_ABSENT else RowState.NOT_SENT,
            uncertain=True,
            reason=reason,
            resolution=None if seen is None else seen.resolution,
            resolution_note=None if seen is None else seen.note,
        )

    @property
    def absence_is_believed(self) -> bool:
        """Whether writes from before this run had time to appear."""
        settings = self.record.client.settings
        return settings.clock.now() - self.began >= settings.settle_after

    async def try_read(self, row: PlanRow) -> str | None:
        """Read the row's subject; return why the vendor cannot be read, if so.

        An unknown form counts as an answer, too. Raises AuthenticationError.
        """
        client, arguments = self.record.client, row.arguments
        try:
            if self.record.plan_type.name is PlanKind.RETURNS:
                await client.v1.alibaba.refunds.get(refund_id=arguments["refund_id"])
            else:
                await client.v1.alibaba.orders.get(order_id=arguments["order_id"])
        except AuthenticationError:
            raise
        except PandaponError as error:
            return None if _is_an_answer(error) else str(error)
        return None


def _is_an_answer(error: PandaponError) -> bool:
    """Whether the vendor itself answered, about this thing only."""
    if isinstance(error, DecodeError):
        return True
    if not isinstance(error, ApiError) or isinstance(error, RateLimitError):
        return False
    answered = error.outcome is Outcome.ANSWERED and error.code is not None
    return answered and (error.http_status is None or 200 <= error.http_status < 300)
