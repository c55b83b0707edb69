"""Check a row with the vendor before it is sent: existence, permission and amount.

Only reads. A negative answer refuses the row. Without a clear answer the row stays planned with a note,
because the vendor checks everything again when the row is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable
from decimal import Decimal
from typing import Any, Generic, TypeVar

import attrs

from pandapon_async.client import Client
from pandapon_async.core.lenient import CannotBeSeenError, Fields, visible
from pandapon_async.errors import (
    ApiError,
    AuthenticationError,
    NotFoundError,
    Outcome,
    PandaponError,
    RateLimitError,
    error_kind_of,
)
from pandapon_async.journal.resolve import carries_waybill
from pandapon_async.models.alibaba.orders import Order, OrderBaseInfo, OrderItem
from pandapon_async.models.alibaba.refunds import GoodsStatus, Refund, RefundReason, RefundStatus
from pandapon_async.money import Fen
from pandapon_async.plans.plan_types import PlanKind, PlanType
from pandapon_async.plans.rows import PlanRow
from pandapon_async.tables.cells import plain_text

__all__ = ["CheckResult", "Checks"]

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

RETURN_READS: Fields = {Refund: ("apply_payment", "status", "freight_bill")}
REASON_READS: Fields = {RefundReason: ("id", "name", "need_voucher", "no_refund_carriage")}
AMOUNT_READS: Fields = {
    Order: ("product_items", "base_info"),
    OrderItem: (
        *("sub_item_id", "item_amount", "refund", "refund_status"),
        *("refund_id", "refund_id_for_as"),
    ),
    OrderBaseInfo: ("shipping_fee",),
}
FORM_READS: Fields = {Refund: ("status",)}
"""The fields that the checks of a return, a reason, an amount and an earlier form read."""

REMEMBERED = 1_000
"""How many answers are kept for later rows; the rows of one order are mostly adjacent."""


@attrs.define
class CheckResult:
    """The result of a check."""

    refused: bool = False
    """Whether the row must not be sent because of `field`."""
    held: bool = False
    """Whether the row must wait because another form of its order line is open."""
    field: str = ""
    reason: str | None = None
    """Why the row is refused or held."""
    amount_fen: int | None = None
    currency: str | None = None
    reason_id: int | None = None
    """The id of a reason that the table has by name."""
    remarks: list[str] = attrs.field(factory=list)
    """Remarks that are not a reason to refuse."""
    checked: bool = True

    def not_checked(self, why: str) -> None:
        """Record something that could not be checked."""
        self.checked = False
        self.remarks.append(f"not checked: {why}")


class _Refused(Exception):
    def __init__(self, field: str, reason: str) -> None:
        super().__init__(reason)
        self.field = field


class Checks:
    """The checks of one plan; answers that several rows need are requested once."""

    def __init__(self, client: Client, plan_type: PlanType) -> None:
        self._client = client
        self._plan_type = plan_type
        self._orders = _Shared[str, Order](self._order)
        self._reasons = _Shared[tuple[str, tuple[str, ...], str], list[RefundReason]](self._offered)

    async def check(self, row: PlanRow) -> CheckResult:
        """Make the checks of a row. Raises AuthenticationError only."""
        result = CheckResult()
        returns = self._plan_type.name is PlanKind.RETURNS
        steps = (self._check_return,) if returns else (self._check_reason, self._check_amount)
        try:
            for step in steps:
                try:
                    await step(row, result)
                except CannotBeSeenError as unseen:
                    if row.reason_text is not None and result.reason_id is None and not returns:
                        raise _Refused("reason", f"the id of this reason {unseen}") from None
                    result.not_checked(str(unseen))
        except _Refused as refused:
            result.refused, result.field, result.reason = True, refused.field, str(refused)
        return result

    def close(self) -> None:
        """Cancel the requests that are still running."""
        self._orders.close()
        self._reasons.close()

    async def _order(self, order_id: str) -> Order:
        return await self._client.v1.alibaba.orders.get(order_id=order_id)

    async def _offered(self, key: tuple[str, tuple[str, ...], str]) -> list[RefundReason]:
        order_id, lines, goods_status = key
        return await self._client.v1.alibaba.refunds.reasons(
            order_id=order_id, order_entry_ids=lines, goods_status=GoodsStatus(goods_status)
        )

    async def _check_return(self, row: PlanRow, result: CheckResult) -> None:
        try:
            found = await self._client.v1.alibaba.refunds.get(refund_id=row.arguments["refund_id"])
        except PandaponError as error:
            _not_answered(error, result, "refund_id", "refund form")
            return
        refund = visible(found, RETURN_READS)
        result.amount_fen, result.currency = refund.apply_payment, "CNY"
        if refund.apply_payment is None:
            result.remarks.append("the refund form shows no amount")
        if refund.status is RefundStatus.WAIT_BUYER_SEND:
            return
        if carries_waybill(refund, row.arguments["freight_bill"]):
            raise _Refused("refund_id", "was sent back already, with the same waybill")
        if refund.status is None:
            raise _Refused("refund_id", "the vendor's answer about this refund form has no state")
        stands = refund.status.value if isinstance(refund.status, RefundStatus) else "unknown"
        raise _Refused(
            "refund_id",
            f"the status is {stands}, but goods can be returned only at {RefundStatus.WAIT_BUYER_SEND.value}",
        )

    async def _check_reason(self, row: PlanRow, result: CheckResult) -> None:
        """Check that the reason is offered for these lines, and its rules on vouchers and freight."""
        arguments = row.arguments
        lines = tuple(sorted(arguments["order_entry_ids"]))
        try:
            offered = await self._reasons.get((arguments["order_id"], lines, arguments["goods_status"]))
        except PandaponError as error:
            if row.reason_text is not None:
                raise _Refused("reason", "the id of this reason could not be looked up; try again") from None
            _not_answered(error, result, "order_id", "reasons")
            return
        reason = _chosen([visible(one, REASON_READS) for one in offered], row)
        result.reason_id = reason.id
        if reason.need_voucher and not row.pictures:
            raise _Refused("vouchers", "this reason needs at least one voucher")
        if reason.no_refund_carriage and arguments["apply_carriage"]:
            raise _Refused("apply_carriage", "must be 0: this reason refunds no freight")

    async def _check_amount(self, row: PlanRow, result: CheckResult) -> None:
        try:
            order = visible(await self._orders.get(row.arguments["order_id"]), AMOUNT_READS)
        except PandaponError as error:
            _not_answered(error, result, "order_id", "order")
            return
        lines = _lines_of(order, row)
        paid = _sum(line.item_amount for line in lines)
        refunded = _sum(line.refund or Decimal(0) for line in lines)
        if paid is None or refunded is None:
            result.not_checked("the order does not show what was paid")
            return
        freight = order.base_info.shipping_fee if order.base_info else None
        freight_paid = None if freight is None else _sum([freight])
        if self._client.settings.vendor.freight == "added":
            _compare_added(row, paid - refunded, freight_paid, result)
        else:
            _compare(row, paid - refunded, freight_paid, result)
        try:
            why = await self._open_form(lines)
        except PandaponError as error:
            _not_answered(error, result, "order_id", "refund form that the order names")
        else:
            result.held, result.reason = why is not None, why

    async def _open_form(self, lines: list[OrderItem]) -> str | None:
        """Return the reason if a form is open for one of these lines, or None.

        An order may not show the state of its forms; forms that it only names are read.
        """
        named: dict[str, None] = {}
        for line in lines:
            if isinstance(line.refund_status, RefundStatus):
                if line.refund_status.in_progress:
                    return _told(line.refund_status)
                continue
            named |= dict.fromkeys(filter(None, (line.refund_id, line.refund_id_for_as)))
        for refund_id in named:
            try:
                form = visible(await self._client.v1.alibaba.refunds.get(refund_id=refund_id), FORM_READS)
            except NotFoundError:
                continue
            if isinstance(form.status, RefundStatus) and form.status.in_progress:
                return _told(form.status, refund_id)
        return None

    async def open_form(self, row: PlanRow) -> str | None:
        """Return why the order's forms still hold back a row, or None. Raises AuthenticationError."""
        try:
            order = visible(await self._orders.get(row.arguments["order_id"]), AMOUNT_READS)
            return await self._open_form(_lines_of(order, row))
        except AuthenticationError:
            raise
        except CannotBeSeenError as unseen:
            return f"held back: an open form {unseen}; --allow-second sends another one"
        except PandaponError as error:
            return f"held back: order and forms could not be read ({error_kind_of(error)}); apply again"
        except _Refused:
            return None  # the order does not have this line: the vendor says so when the row is sent


def _told(status: RefundStatus, refund_id: str | None = None) -> str:
    form = ", ".join(filter(None, (refund_id, status.value)))
    return (
        f"held back: a refund form of this order line is open already ({form}); use --allow-second to "
        "send another one"
    )


def _not_answered(error: PandaponError, result: CheckResult, field: str, what: str) -> None:
    """A missing answer leaves the row unchecked; a negative answer refuses it."""
    if isinstance(error, AuthenticationError):
        raise error
    if isinstance(error, NotFoundError):
        if error.empty:
            raise _Refused(field, f"the vendor's answer about this {what} is empty")
        raise _Refused(field, f"the vendor does not know the {what}")
    if (
        isinstance(error, ApiError)
        and error.outcome is Outcome.ANSWERED
        and not isinstance(error, RateLimitError)
    ):
        raise _Refused(field, f"the vendor refuses to show the {what} (code {error.code})")
    result.not_checked(f"the {what} could not be read ({error_kind_of(error)})")


def _chosen(offered: list[RefundReason], row: PlanRow) -> RefundReason:
    names = ", ".join(f"{reason.id} {reason.name}" for reason in offered) or "none"
    if row.reason_text is None:
        wanted = row.arguments["apply_reason_id"]
        for reason in offered:
            if reason.id == wanted:
                return reason
        raise _Refused("reason_id", f"is not offered for these goods; offered: {names}")
    found = [reason for reason in offered if plain_text(reason.name) == row.reason_text and reason.id]
    if len(found) != 1:
        raise _Refused("reason", f"is not offered for these goods; offered: {names}")
    return found[0]


def _lines_of(order: Order, row: PlanRow) -> list[OrderItem]:
    """Return the row's lines of the order; empty if the order shows no lines at all."""
    shown = {line.sub_item_id: line for line in order.product_items or () if line.sub_item_id}
    wanted = dict.fromkeys(row.arguments["order_entry_ids"])
    if shown and not wanted.keys() <= shown.keys():
        raise _Refused("order_entry_ids", "the order does not have this line")
    return [shown[entry] for entry in wanted] if shown else []


def _sum(amounts: Iterable[Decimal | None]) -> int | None:
    """Add up yuan as fen; None if there is none, or one is missing or not an amount."""
    total, count = 0, 0
    for amount in amounts:
        if amount is None:
            return None
        try:
            total += Fen.from_yuan(amount)
        except (TypeError, ValueError):
            return None
        count += 1
    return total if count else None


def _compare(row: PlanRow, paid: int, freight_paid: int | None, result: CheckResult) -> None:
    """Refuse an amount above the paid one or, before shipping, any other amount."""
    payment, carriage = row.arguments["apply_payment"], row.arguments["apply_carriage"]
    if carriage > payment:
        raise _Refused("apply_carriage", "is more than the whole amount, which includes it")
    freight = _check_freight(carriage, freight_paid, result)
    if payment > paid + freight:
        raise _Refused("apply_payment", f"is {payment} fen, but at most {paid + freight} can be refunded")
    unshipped = row.arguments["goods_status"] == GoodsStatus.REFUND_WAIT_SELLER_SEND
    if unshipped and payment not in (paid, paid + freight):
        raise _Refused(
            "apply_payment",
            f"unshipped goods are refunded in full: write {paid} fen, or {paid + freight} with freight",
        )


def _check_freight(carriage: int, freight_paid: int | None, result: CheckResult) -> int:
    """Refuse more freight than was paid; return the paid freight."""
    if freight_paid is None:
        result.not_checked("the order does not show the freight")
    freight = carriage if freight_paid is None else freight_paid
    if carriage > freight:
        raise _Refused("apply_carriage", f"is {carriage} fen of freight, but only {freight} were paid")
    return freight


def _compare_added(row: PlanRow, paid: int, freight_paid: int | None, result: CheckResult) -> None:
    """Check an amount that excludes freight: it is that of the goods alone."""
    payment, carriage = row.arguments["apply_payment"], row.arguments["apply_carriage"]
    _check_freight(carriage, freight_paid, result)
    if payment > paid:
        raise _Refused("apply_payment", f"is {payment} fen of goods, but at most {paid} can be refunded")
    if row.arguments["goods_status"] == GoodsStatus.REFUND_WAIT_SELLER_SEND and payment != paid:
        raise _Refused("apply_payment", f"unshipped goods are refunded in full: write {paid} fen of goods")


class _Shared(Generic[K, V]):
    """Makes one lookup per key and shares its answer for a while; failures are not kept."""

    def __init__(self, look_up: Callable[[K], Coroutine[Any, Any, V]]) -> None:
        self._look_up = look_up
        self._tasks: dict[K, asyncio.Task[V]] = {}

    async def get(self, key: K) -> V:
        """Return the answer; raises the error of the lookup."""
        task = self._tasks.get(key)
        if task is None:
            while len(self._tasks) >= REMEMBERED:
                del self._tasks[next(iter(self._tasks))]
            task = self._tasks[key] = asyncio.create_task(self._look_up(key))
            task.add_done_callback(_looked_at)
        try:
            return await asyncio.shield(task)  # one of the waiters may be cancelled
        except PandaponError:
            if self._tasks.get(key) is task:
                del self._tasks[key]
            raise

    def close(self) -> None:
        """Cancel the running lookups."""
        for task in self._tasks.values():
            task.cancel()
        self._tasks.clear()


def _looked_at(task: asyncio.Task[Any]) -> None:
    if not task.cancelled():
        task.exception()
