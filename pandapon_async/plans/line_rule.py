"""One order line, one refund form: what holds an application back.

Two applications for a line with different amounts are two writes for the journal, and two refunds for the
seller. So when an application is planned, and right before it is sent, the journal is asked for every write
about its order lines. An open one holds the row back. One that succeeded is looked up by its refund id: an
open or refunded form holds the row back, a closed or refused one lets it pass.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from pandapon_async.client import Client
from pandapon_async.errors import AuthenticationError, JournalUnavailableError, PandaponError, error_kind_of
from pandapon_async.journal import Intent
from pandapon_async.models.alibaba.refunds import RefundStatus
from pandapon_async.money import Fen
from pandapon_async.plans.plan_types import PlanType
from pandapon_async.plans.record import moment
from pandapon_async.plans.rows import PlanRow

__all__ = ["LineRule"]


@attrs.define(eq=False)
class LineRule:
    """The rule, for the rows of one plan. With `allow_second` nothing is held back."""

    client: Client
    plan_type: PlanType
    allow_second: bool
    may_read: bool = True
    """Whether earlier applications may be looked up at the vendor."""

    async def holds_back(self, row: PlanRow) -> str | None:
        """Why the row must wait, or None. Raises AuthenticationError and JournalUnavailableError."""
        if self.allow_second or not row.touches:
            return None
        key = self.client.write_key(self.plan_type.endpoint.name, row.arguments)
        for intent in await self.client.journal.about(key):
            if intent.natural_key == row.key:
                continue
            if intent.state.open:
                return self.told(intent)
            if intent.state.succeeded and (why := await self._earlier_form(row, intent)) is not None:
                return why
        return None

    def told(self, intent: Intent) -> str:
        """What an open intent is about, and what helps."""
        return (
            f"held back: {_described(intent)}, is open. It goes out once that one is settled, or with "
            "--allow-second"
        )

    async def _earlier_form(self, row: PlanRow, intent: Intent) -> str | None:
        """Why the form that an earlier application opened holds the row back, or None."""
        what = f"held back: {_described(intent)}, opened the form {intent.result or 'that the journal lacks'}"
        if not intent.result or not self.may_read:
            return f"{what}; --allow-second sends another one"
        try:
            refund = await self.client.v1.alibaba.refunds.get(refund_id=intent.result)
        except (AuthenticationError, JournalUnavailableError):
            raise
        except PandaponError as error:
            return f"{what}, which could not be read ({error_kind_of(error)}); apply again"
        status = refund.status  # strict: an answer in which it cannot be read fails
        if isinstance(status, RefundStatus) and not (
            status.in_progress or status is RefundStatus.REFUND_SUCCESS
        ):
            row.add_remark(
                f"an earlier application for this order line, {intent.result}, was closed or refused"
            )
            return None
        shown = status.value if isinstance(status, RefundStatus) else "an unknown status"
        return f"{what}, which stands at {shown}; --allow-second sends another one"


def _described(intent: Intent) -> str:
    return (
        f"an application of {_amount(intent.natural_key)} for this order line, written "
        f"{moment(intent.created)} (intent {intent.id[:12]})"
    )


def _amount(key: Mapping[str, Any]) -> str:
    fen = key.get("applyPayment")
    return f"{Fen(fen).yuan} yuan" if isinstance(fen, int) else "an unknown amount"
