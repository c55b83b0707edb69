"""The platforms behind the sandbox: what they hold, and what after-sales changes of it.

Every change of state leaves an effect, those of orders and carts (see `ordering`, `handlers`) as well.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs
import orjson

from pandapon_async.sandbox.applications import check_application, new_refund, order_key
from pandapon_async.sandbox.carts import Cart1688, TaobaoCart
from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.list_shapes import ListShape
from pandapon_async.sandbox.listing import TaobaoList
from pandapon_async.sandbox.numbering import ALIBABA, TAOBAO
from pandapon_async.sandbox.orders import OrderBook, OrderState
from pandapon_async.sandbox.records import Effect
from pandapon_async.sandbox.refunds import DAY_MS, RefundBook, RefundState
from pandapon_async.sandbox.replica import Replica
from pandapon_async.sandbox.states import Freight, Status, is_open, may_move
from pandapon_async.sandbox.taobao import Taobao
from pandapon_async.sandbox.vouchers import Vouchers, decode_image
from pandapon_async.settings import ImageLimits, ListFacts

__all__ = ["Call", "Refused", "Upstream"]


@attrs.define
class Refused(Exception):
    """An operation was understood and refused: the inner code and text of the answer."""

    code: str
    info: str


@attrs.define(frozen=True)
class Call:
    """The call that is being carried out.

    `user_id` is the sub-account that makes it (None: the platform itself), `hidden_for` how many seconds
    reads do not show what it changes, `moment` when it is carried out, if that is not now.
    """

    user_id: str | None = None
    hidden_for: float = 0.0
    moment: float | None = None


@attrs.define(eq=False)
class Belongings:
    """What each sub-account has of its own; orders and refunds are the same for all."""

    cart: Cart1688
    taobao_cart: TaobaoCart = attrs.field(factory=TaobaoCart)
    addresses: dict[int, Mapping[str, Any]] = attrs.field(factory=dict)


class Upstream:
    """1688 and Taobao: what the accounts have there, and what they did.

    `visible_after` is how many seconds reads do not show a change of a refund form or a 1688 order.
    """

    def __init__(
        self,
        seed: int,
        refunds: int,
        clock: Callable[[], float],
        visible_after: float = 0.0,
        freight: Freight | None = None,
        list_facts: ListFacts | None = None,
        list_shape: ListShape | None = None,
    ) -> None:
        self.refunds: RefundBook = RefundBook(seed, refunds, freight)
        self.list_facts = list_facts
        self.list_shape: ListShape = list_shape or ListShape()
        self.taobao_list: TaobaoList = TaobaoList(self.refunds, list_facts, list_shape)
        self.orders: OrderBook = OrderBook(self.refunds)
        self.taobao: Taobao = Taobao()
        self.bookings = 0
        self.vouchers: Vouchers = Vouchers()
        self.effects: list[Effect] = []
        self.visible_after = visible_after
        self.second_form_refused = False
        self.orders_name_refunds = True
        self.not_found = "code"
        self.images: ImageLimits | None = None
        self._clock = clock
        self._own: dict[str | None, Belongings] = {}
        self._call = Call(hidden_for=visible_after)
        self._replica: Replica | None = None
        self.refunds.on_change = self.orders.on_change = self._hide

    def clock(self) -> float:
        """The time at which this happens, in seconds."""
        return self._clock() if self._call.moment is None else self._call.moment

    def now_ms(self) -> int:
        """The same in epoch milliseconds."""
        return round(self.clock() * 1000)

    @contextlib.contextmanager
    def calling(self, call: Call) -> Iterator[None]:
        """Inside, what happens is the work of this call."""
        before, self._call = self._call, call
        try:
            yield
        finally:
            self._call = before

    @property
    def own(self) -> Belongings:
        """What the calling sub-account has of its own."""
        user_id = self._call.user_id
        if user_id not in self._own:
            self._own[user_id] = Belongings(Cart1688(self.refunds.seed))
        return self._own[user_id]

    def seen(self) -> Upstream:
        """The upstream as reads see it now."""
        if self._replica is not None and not self._replica.catch_up(self.clock()):
            self._replica = None
        if self._replica is None:
            return self
        seen = copy.copy(self)
        seen.refunds, seen.orders, seen.taobao_list = self._replica.books
        return seen

    def _hide(self, change: RefundState | OrderState) -> None:
        """Keep a change, which is about to be made, from being read too early."""
        self.seen()
        if self._replica is None and self._call.hidden_for > 0:
            self._replica = Replica(self.refunds, self.orders, self.list_facts, self.list_shape)
        if self._replica is not None:
            self._replica.hide(change, self.clock() + self._call.hidden_for)

    def open_refund(self, endpoint: str, arguments: Mapping[str, Any]) -> RefundState:
        """Open a 1688 refund form. The same application twice opens two: the client must prevent that."""
        order = self.orders.for_refund(str(arguments["orderId"]))
        check_application(arguments, self.vouchers, order, self.refunds.freight)
        if self.second_form_refused and self._has_open_form(arguments, order):
            raise Refusal(5010, "a line of this order has an open refund form")
        refund = new_refund(arguments, self.refunds, self.now_ms())
        self.refunds.put(refund)
        self.orders.put(order.refunded(refund.entry_ids, refund.refund_id))
        self.note(endpoint, "create", order_key(arguments), arguments, refund_id=refund.refund_id)
        return refund

    def _has_open_form(self, arguments: Mapping[str, Any], order: OrderState) -> bool:
        asked = set(map(str, arguments["orderEntryIds"]))
        forms = (
            self.refunds.find(line.refund_id, ALIBABA)
            for line in order.lines
            if line.refund_id and line.entry_id in asked
        )
        return any(form is not None and form.open for form in forms)

    def return_goods(self, endpoint: str, arguments: Mapping[str, Any]) -> RefundState:
        """The buyer sends the goods of a 1688 refund back; raises Refused with the upstream's code."""
        identifier = arguments["refundId"]
        company, freight_bill = arguments["logisticsCompanyNo"].strip(), arguments["freightBill"].strip()
        vouchers = arguments.get("vouchers") or []
        if not company or not freight_bill:
            raise Refused("4002", "logisticsCompanyNo and freightBill are required")
        if not (identifier.startswith("TQ") and identifier[2:].isdigit()):
            raise Refused("4008", "refundId must be TQ and digits")
        if len(vouchers) > 10 or not all(self.vouchers.knows(url) for url in vouchers):
            raise Refused("4003", "vouchers must be at most 10 urls that an upload answered")
        refund = self.refunds.find(identifier, ALIBABA)
        if refund is None:
            raise Refused("4005", "refund does not exist")
        if refund.status != "waitbuyersend":
            raise Refused("4007", "status does not allow return")
        refund = attrs.evolve(refund, logistics_company_no=company, freight_bill=freight_bill)
        return self._move(endpoint, "return_goods", refund, "waitsellerreceive", arguments)

    def cancel(self, endpoint: str, identifier: str) -> tuple[RefundState | None, bool]:
        """Close a Taobao refund: as it stands then (None if there is none), and whether this closed it."""
        refund = self.refunds.find(identifier, TAOBAO)
        if refund is None or not refund.open:
            return refund, False
        return self._move(endpoint, "cancel", refund, -20, {"refundId": identifier}), True

    def advance(self, number: int, status: Status) -> RefundState:
        """The platform's or the seller's own step; ValueError if no step leads from here to `status`."""
        refund = self.refunds.get(number)
        if not may_move(refund.platform, refund.status, status):
            raise ValueError(f"refund {number} cannot go from {refund.status} to {status}")
        return self._move(None, "advance", refund, status, {"status": status})

    def reopen(self, number: int, status: Status, *, silently: bool) -> RefundState:
        """Change a refund that has ended; ValueError if it has not."""
        refund = self.refunds.get(number)
        if refund.open:
            raise ValueError(f"refund {number} has not ended: it is {refund.status}")
        if not silently:
            return self._move(None, "advance", refund, status, {"status": status})
        moved = self._moved(refund, status)
        self.refunds.put(moved)
        return moved

    def upload(self, endpoint: str, field: str, image: str, key: str | None = None) -> str:
        """Take an image; its relative url. `key` is what it proves, where that is not the image itself."""
        digest, path = self.vouchers.keep(*decode_image(field, image, self.images if key is None else None))
        kind = "voucher" if key is None else "pay_certificate"
        user_id = self._call.user_id
        self.effects.append(Effect(self.clock(), endpoint, kind, key or digest, digest, user_id=user_id))
        return path

    def _move(
        self, endpoint: str | None, kind: str, refund: RefundState, status: Status, payload: Mapping[str, Any]
    ) -> RefundState:
        moved = self._moved(refund, status)
        self.refunds.put(moved)
        self.note(endpoint, kind, refund.refund_id, payload, refund_id=refund.refund_id)
        return moved

    def _moved(self, refund: RefundState, status: Status) -> RefundState:
        now = self.now_ms()
        return attrs.evolve(
            refund,
            status=status,
            modified_ms=now,
            deadline_ms=now + 7 * DAY_MS if is_open(refund.platform, status) else None,
            refund_payment=refund.apply_payment if status == "refundsuccess" else None,
        )

    def note(
        self,
        endpoint: str | None,
        kind: str,
        key: str | None,
        payload: Mapping[str, Any],
        *,
        refund_id: str | None = None,
        order_id: str | None = None,
    ) -> None:
        """Enter a change of state into the books; a wish without a name of its own has its digest for key."""
        digest = _digest(payload)
        self.effects.append(
            Effect(
                self.clock(),
                endpoint,
                kind,
                key or digest,
                digest,
                refund_id,
                order_id,
                self._call.user_id,
            )
        )


def _digest(payload: Mapping[str, Any]) -> str:
    return hashlib.sha256(orjson.dumps(payload, option=orjson.OPT_SORT_KEYS)).hexdigest()
