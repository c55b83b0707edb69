"""One order line, one refund form: the rule that holds back a second application.

Two applications for one line with different amounts are two writes for the journal and two refunds for the
seller. So when an application is planned, and right before it is sent, the journal is searched for every
write about its order lines. An open write holds back the row. A successful one is looked up by its refund id:
an open or refunded form holds back the row, a closed or refused form does not.
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
    """The rule for the rows of one plan. With `allow_second` it holds back nothing."""

    client: Client
    plan_type: PlanType
    allow_second: bool
    may_read: bool = True
    """Whether earlier applications may be looked up at the vendor."""

    async def holds_back(self, row: PlanRow) -> str | None:
        """Return why the row must wait, or None. Raises AuthenticationError and JournalUnavailableError."""
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
        """Describe an open intent and the remedy."""
        return (
            f"held back: {_described(intent)}, is open. The row is sent when that one is resolved, or "
            "with --allow-second"
        )

    async def _earlier_form(self, row: PlanRow, intent: Intent) -> str | None:
        """Return why the form of an earlier application holds back the row, or None."""
        what = f"held back: {_described(intent)}, opened the form {intent.result or 'that the journal lacks'}"
        if not intent.result or not self.may_read:
            return f"{what}; use --allow-second to send another one"
        try:
            refund = await self.client.v1.alibaba.refunds.get(refund_id=intent.result)
        except (AuthenticationError, JournalUnavailableError):
            raise
        except PandaponError as error:
            return f"{what}, which could not be read ({error_kind_of(error)}); apply again"
        status = refund.status  # strict: an answer with an unreadable status fails
        if isinstance(status, RefundStatus) and not (
            status.in_progress or status is RefundStatus.REFUND_SUCCESS
        ):
            row.add_remark(
                f"an earlier application for this order line, {intent.result}, was closed or refused"
            )
            return None
        shown = status.value if isinstance(status, RefundStatus) else "unknown"
        return f"{what}, whose status is {shown}; use --allow-second to send another one"


def _described(intent: Intent) -> str:
    return (
        f"an application of {_amount(intent.natural_key)} for this order line, written "
        f"{moment(intent.created)} (intent {intent.id[:12]})"
    )


def _amount(key: Mapping[str, Any]) -> str:
    fen = key.get("applyPayment")
    return f"{Fen(fen).yuan} yuan" if isinstance(fen, int) else "an unknown amount"
