"""Resolve a write whose answer was lost: read the state and decide succeeded, absent or undecided.

An answer can get lost after the vendor carried out the write. Measured with 150 refund applications of which
10 % of the answers were lost: 15 writes had an unknown outcome, and all 15 had been carried out. Sending them
again would have opened 15 second refunds, and reporting them as failed would have been wrong 15 times. The
vendor has no idempotency keys, so only a read can tell.

A read can mislead as well. A request that was lost on our side may still be on its way on theirs, and a
platform of many machines may show a write late. "Not found" is therefore not "not carried out".

So there is one rule per operation, based on what a read can show:

- *Succeeded* is believed at once.
- *Absent* is believed only `Settings.settle_after` seconds (60 by default) after the write, and checked again
  for 45 days.
- *Undecided* is the result if no read can show the write. The rule then names what helps: the callback, or
  an operator who checks the vendor's console.

The fields that each rule reads are listed next to it. If one of them has another type than documented, the
rule reports that it cannot be seen; it never guesses.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import attrs

from pandapon_async.clock import duration
from pandapon_async.core.json_values import Result
from pandapon_async.core.lenient import CannotBeSeenError, Fields, visible
from pandapon_async.declare.call import Call
from pandapon_async.errors import (
    AuthenticationError,
    InvalidArgumentError,
    JournalUnavailableError,
    NotFoundError,
    PandaponError,
)
from pandapon_async.journal.ages import Ages, seconds_left
from pandapon_async.journal.identity import Writer
from pandapon_async.journal.intent import Intent, IntentState, Resolution
from pandapon_async.journal.journal import Journal
from pandapon_async.models.alibaba.orders import Order, OrderBaseInfo, OrderItem, OrderStatus
from pandapon_async.models.alibaba.refunds import Refund
from pandapon_async.models.alibaba.refunds import RefundStatus as AlibabaStatus
from pandapon_async.models.taobao.refunds import RefundAggregate, RefundDetail, RefundOrder
from pandapon_async.models.taobao.refunds import RefundStatus as TaobaoStatus
from pandapon_async.settings import Settings

__all__ = ["Reader", "ResolvedOutcome", "Resolver", "carries_waybill", "is_ours", "judge", "resolve_outcome"]

CLOCK_TOLERANCE = 600.0  # seconds that our clock and the vendor's may differ; the vendor accepts no more


class _Orders(Protocol):
    def get(self, *, order_id: Any) -> Call[Order]: ...


class _Refunds(Protocol):
    def get(self, *, refund_id: str) -> Call[Refund]: ...


class _TaobaoRefunds(Protocol):
    def get(self, *, refund_id: str) -> Call[RefundDetail]: ...


class _Alibaba(Protocol):
    @property
    def orders(self) -> _Orders: ...
    @property
    def refunds(self) -> _Refunds: ...


class _Taobao(Protocol):
    @property
    def refunds(self) -> _TaobaoRefunds: ...


class Reader(Protocol):
    """The calls that the rules need; a client has them."""

    @property
    def alibaba(self) -> _Alibaba:
        """`orders.get` and `refunds.get` of 1688."""
        ...

    @property
    def taobao(self) -> _Taobao:
        """`refunds.get` of Taobao."""
        ...


@attrs.define(frozen=True)
class ResolvedOutcome(Result):
    """What a read shows about a write."""

    resolution: Resolution
    """What the read shows."""
    note: str
    """The reason, for people."""
    result: str | None = None
    """The id that the vendor assigned, if any."""


Rule = Callable[[Reader, Journal, Intent], Awaitable[ResolvedOutcome]]


async def resolve_outcome(reader: Reader, journal: Journal, intent: Intent) -> ResolvedOutcome:
    """Read the state that an intent was to change, and return what it shows."""
    rule = _RULES.get(intent.operation)
    if rule is None:
        return ResolvedOutcome(
            Resolution.UNDECIDED, "no call shows whether it was carried out; check the vendor's console"
        )
    try:
        return await rule(reader, journal, intent)
    except CannotBeSeenError as unseen:
        return ResolvedOutcome(Resolution.UNDECIDED, str(unseen))


LOOKED_AT_AGAIN = 45 * 86_400.0
"""Seconds after the write; until then a write that was found absent is checked again."""


def judge(
    outcome: ResolvedOutcome,
    intent: Intent,
    reader: Writer,
    age: float,
    settle_after: float,
    *,
    as_account: bool = False,
) -> IntentState | None:
    """Return the state that an outcome proves; None if it proves nothing yet.

    A form that is ours proves success, whoever reads it. Absence proves something only for the sub-account
    that wrote the intent, or with `as_account`, and only `settle_after` seconds after the write.
    """
    if outcome.resolution is Resolution.SUCCEEDED:
        return IntentState.SETTLED_DONE
    may_see = as_account or reader.user_id == intent.user_id
    if outcome.resolution is Resolution.ABSENT and may_see and age >= settle_after:
        return IntentState.SETTLED_ABSENT
    return None


@attrs.frozen
class Resolver:
    """Resolves writes: reads the state with one client and records the result in the journal."""

    reader: Reader
    """The calls that read the vendor's state."""
    journal: Journal
    """The journal with the intents."""
    writer: Writer
    """The writer whose client reads."""
    ages: Ages
    """The ages of writes."""
    settings: Settings
    """The settings, such as `settle_after`."""

    async def resolve(self, intent: Intent, *, as_account: bool = False, dry_run: bool = False) -> Intent:
        """Check an intent and return it afterwards; unchanged if it is neither unknown nor absent."""
        absent = intent.state is IntentState.SETTLED_ABSENT
        if intent.state is not IntentState.UNKNOWN and not (absent and self._is_young(intent)):
            return intent
        if intent.vendor != self.writer.vendor:
            where = intent.vendor or "a vendor that an earlier version did not record"
            return attrs.evolve(intent, resolution=None, remarks=[*intent.remarks, f"it was sent to {where}"])
        try:
            outcome = await resolve_outcome(self.reader, self.journal, intent)
        except (AuthenticationError, JournalUnavailableError):
            raise
        except PandaponError:
            if absent:
                return intent  # it keeps its state; checking again only finds a write that arrived since
            raise
        age, settings = self.ages.of(intent), self.settings
        as_account = as_account or settings.any_account
        state = judge(outcome, intent, self.writer, age, settings.settle_after, as_account=as_account)
        if absent and state is not IntentState.SETTLED_DONE:
            return intent
        remark = outcome.note
        if state is IntentState.SETTLED_ABSENT:
            remark = f"{self._not_found(intent, age)} ({remark})"
        if state is None or dry_run:
            return attrs.evolve(
                intent,
                state=state or intent.state,
                resolution=outcome.resolution,
                result=outcome.result or intent.result,
                remarks=[*intent.remarks, remark],
            )
        await self.journal.resolve(
            intent.id, state, result=outcome.result, resolution=outcome.resolution, remark=remark
        )
        return await self.journal.get(intent.id) or intent

    def seconds_until_absent(self, intent: Intent) -> float:
        """Seconds until an operator's statement of absence is accepted; 0 for now."""
        return seconds_left(self.ages.of(intent), self.settings.settle_after)

    async def take_word(
        self, intent: Intent, *, done: bool, note: str, result: str | None = None, dry_run: bool = False
    ) -> Intent:
        """Settle an intent by an operator's statement. Raises InvalidArgumentError if it may not be."""
        if intent.state is not IntentState.UNKNOWN:
            raise InvalidArgumentError(
                f"intent {intent.id} is {intent.state}; only an intent with unknown outcome can be "
                "settled by hand",
                argument="intent_id",
            )
        if not done and (left := self.seconds_until_absent(intent)):
            raise InvalidArgumentError(
                f"intent {intent.id[:12]} may still arrive: its absence is believed "
                f"{duration(self.settings.settle_after)} after the write at the earliest, in "
                f"{duration(left)}; try again then, or wait (wait=True, --wait)",
                argument="done",
            )
        state = IntentState.SETTLED_DONE if done else IntentState.SETTLED_ABSENT
        resolution = Resolution.SUCCEEDED if done else Resolution.ABSENT
        if dry_run:
            remarks = [*intent.remarks, note]
            return attrs.evolve(intent, state=state, resolution=resolution, result=result, remarks=remarks)
        await self.journal.resolve(intent.id, state, resolution=resolution, remark=note, result=result)
        return await self.journal.get(intent.id) or intent

    def _is_young(self, intent: Intent) -> bool:
        return intent.created >= self.settings.clock.wall() - LOOKED_AT_AGAIN

    def _not_found(self, intent: Intent, age: float) -> str:
        moment = datetime.fromtimestamp(self.settings.clock.wall(), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        found = f"not found at {moment}, {round(age)} s after the write; it may have arrived since"
        if self.writer.user_id != intent.user_id:
            found += f"; read as user {self.writer.user_id}, as_account was set"
        return found


RETURNED: Fields = {Refund: ("freight_bill", "status", "buyer_send_goods")}


async def _returned(reader: Reader, journal: Journal, intent: Intent) -> ResolvedOutcome:
    """Resolve a 1688 goods return: the form has our waybill, or is past waiting for the goods."""
    try:
        found = await reader.alibaba.refunds.get(refund_id=intent.natural_key["refundId"])
    except NotFoundError:
        return ResolvedOutcome(Resolution.UNDECIDED, "the vendor does not know the form")
    refund = visible(found, RETURNED)
    if carries_waybill(refund, intent.facts.get("freightBill")):
        return ResolvedOutcome(Resolution.SUCCEEDED, "the form has our waybill")
    if refund.freight_bill:
        return ResolvedOutcome(Resolution.ABSENT, "the form has another waybill than ours")
    if refund.status is AlibabaStatus.WAIT_SELLER_RECEIVE or refund.buyer_send_goods:
        return ResolvedOutcome(Resolution.SUCCEEDED, "the form shows that the goods were sent")
    if refund.status in (AlibabaStatus.WAIT_BUYER_SEND, AlibabaStatus.WAIT_SELLER_AGREE):
        where = AlibabaStatus(refund.status).value
        return ResolvedOutcome(Resolution.ABSENT, f"the form is still {where}, without a waybill")
    # Refunded, closed or sent back to the buyer: ours may have been accepted before and is not shown.
    return ResolvedOutcome(Resolution.UNDECIDED, "the form is in a later state and shows no waybill")


def carries_waybill(refund: Refund, freight_bill: Any) -> bool:
    """Whether a refund form shows this waybill; spaces and case are ignored."""
    if not refund.freight_bill or not isinstance(freight_bill, str):
        return False
    return _plain(refund.freight_bill) == _plain(freight_bill)


def _plain(freight_bill: str) -> str:
    return "".join(freight_bill.split()).upper()


CANCELLED_TAOBAO: Fields = {
    RefundDetail: ("refund_order_aggregate",),
    RefundAggregate: ("refund_order",),
    RefundOrder: ("refund_status",),
}


async def _cancelled_taobao(reader: Reader, journal: Journal, intent: Intent) -> ResolvedOutcome:
    """Resolve a Taobao cancellation: the reverse order is closed."""
    found = await reader.taobao.refunds.get(refund_id=intent.natural_key["refundId"])
    detail = visible(found, CANCELLED_TAOBAO)
    order = detail.refund_order_aggregate and detail.refund_order_aggregate.refund_order
    status = order.refund_status if order else None
    if status is TaobaoStatus.CLOSED:
        return ResolvedOutcome(Resolution.SUCCEEDED, "the reverse order is closed")
    if isinstance(status, TaobaoStatus):
        return ResolvedOutcome(Resolution.ABSENT, f"the reverse order has status {int(status)}")
    return ResolvedOutcome(Resolution.UNDECIDED, "this version does not know the reverse order's status")


CANCELLED_ORDER: Fields = {Order: ("base_info",), OrderBaseInfo: ("status",)}


async def _cancelled_order(reader: Reader, journal: Journal, intent: Intent) -> ResolvedOutcome:
    """Resolve a 1688 order cancellation: the order is cancelled."""
    found = await reader.alibaba.orders.get(order_id=intent.natural_key["orderId"])
    order = visible(found, CANCELLED_ORDER)
    status = order.base_info.status if order.base_info else None
    if status in (OrderStatus.CANCEL, OrderStatus.TERMINATED):
        return ResolvedOutcome(Resolution.SUCCEEDED, f"the order has status {OrderStatus(status).value}")
    if isinstance(status, OrderStatus):
        return ResolvedOutcome(Resolution.ABSENT, f"the order has status {status.value}")
    return ResolvedOutcome(Resolution.UNDECIDED, "the order's status is not shown")


CREATED: Fields = {Order: ("product_items",), OrderItem: ("sub_item_id", "refund_id", "refund_id_for_as")}
FORM: Fields = {
    Refund: (
        "apply_payment", "apply_carriage", "apply_reason_id", "order_entry_id_list", "gmt_apply", "gmt_create"
    )
}  # fmt: skip


async def _created(reader: Reader, journal: Journal, intent: Intent) -> ResolvedOutcome:
    """Resolve a 1688 refund application: the order's lines name their refund form, if the vendor shows it.

    It is not known whether the vendor does. So a line without any refund field proves nothing.
    """
    key = intent.natural_key
    response = await reader.alibaba.orders.get(order_id=key["orderId"]).with_response()
    order = visible(response.value, CREATED)
    ours = set(map(str, key["orderEntryIds"]))
    lines = [line for line in order.product_items or () if line.sub_item_id in ours]
    candidates = {refund for line in lines for refund in (line.refund_id, line.refund_id_for_as) if refund}
    for refund_id in sorted(candidates):
        if await journal.claimed(intent, refund_id):
            continue
        try:
            refund = await reader.alibaba.refunds.get(refund_id=refund_id)
        except NotFoundError:
            continue
        if is_ours(refund, intent):
            return ResolvedOutcome(Resolution.SUCCEEDED, "the order names a form with our amounts", refund_id)
    if candidates:
        return ResolvedOutcome(
            Resolution.UNDECIDED,
            f"the order names {', '.join(sorted(candidates))}, which does not match ours",
        )
    if {line.sub_item_id for line in lines} == ours and _lines_tell(response.data):
        return ResolvedOutcome(Resolution.ABSENT, "the order's lines name no refund form")
    return ResolvedOutcome(
        Resolution.UNDECIDED,
        "the order does not show its refund forms; wait for the callback, or check the vendor's console",
    )


def is_ours(refund: Refund, intent: Intent) -> bool:
    """Whether a form is ours: amounts and time must match, and reason and lines if the form shows them.

    A form in which one of these fields cannot be seen does not count as ours.
    """
    try:
        return _shows_ours(visible(refund, FORM), intent)
    except CannotBeSeenError:
        return False


def _shows_ours(refund: Refund, intent: Intent) -> bool:
    key = intent.natural_key
    since = refund.gmt_apply or refund.gmt_create
    lines = refund.order_entry_id_list
    return (
        refund.apply_payment == key["applyPayment"]
        and (refund.apply_carriage or 0) == key["applyCarriage"]
        and (refund.apply_reason_id is None or refund.apply_reason_id == key["applyReasonId"])
        and (not lines or set(lines) == set(map(str, key["orderEntryIds"])))
        and since is not None
        and since.timestamp() >= intent.created - CLOCK_TOLERANCE
    )


def _lines_tell(data: Any) -> bool:
    """Whether the answer's lines have a field for a refund form, even an empty one."""
    lines = data.get("productItems") if isinstance(data, Mapping) else None
    if not isinstance(lines, list) or not lines:
        return False
    return all(isinstance(line, Mapping) and "refundId" in line for line in lines)


_RULES: Mapping[str, Rule] = {
    "alibaba.refunds.return_goods": _returned,
    "alibaba.refunds.create": _created,
    "alibaba.orders.cancel": _cancelled_order,
    "taobao.refunds.cancel": _cancelled_taobao,
}
