"""What a list of Taobao refunds may look like, and how it may lie: no page of the vendor shows its answer.

A list that leaves out, invents, lags behind or ends too early looks like any other, and a job that believes
it judges rows wrongly. So a sandbox plays each of these; which refunds they hit hangs on the refund alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import attrs

from pandapon_async.sandbox.envelope import Refusal
from pandapon_async.sandbox.numbering import REFUND, TAOBAO, draws
from pandapon_async.sandbox.refunds import FAR_MS, RefundState
from pandapon_async.sandbox.states import MOVES
from pandapon_async.sandbox.wire_taobao import refund_taobao

__all__ = ["ListShape"]

INVENTED = 6 * 10**9 + 1  # refunds from this number on never exist; odd, so that they are Taobao's


def _per_mille(_: object, attribute: attrs.Attribute[int], value: int) -> None:
    if not 0 <= value <= 1000:
        raise ValueError(f"{attribute.name} is per mille: from 0 to 1000")


@attrs.define(frozen=True, kw_only=True)
class ListShape:
    """The form of a list's answers, and what is wrong with it. By default nothing is."""

    answer: Literal["object", "array"] = "object"
    """Whether the items stand in a field, with a total beside it, or are the data themselves."""
    item: Literal["detail", "flat", "ids"] = "detail"
    """An item is as a single answer ("detail"), has the refund's fields at once ("flat"), or its id alone."""
    total: Literal["true", "none", "low", "capped"] = "true"
    """The number of all items: the right one, none, half of it, or what `deepest` leaves of it."""
    deepest: int | None = None
    """How many items of one query can be reached at most, however many there are."""
    beyond: Literal["empty", "repeat", "refuse"] = "empty"
    """What follows the last page: an empty one, the last one again, or a refusal."""
    largest_asked: int | None = None
    """The largest `pageSize` that is not refused; None: a larger one is cut, as the profile says."""
    without: tuple[str, ...] = ()
    """Fields that items lack, by their wire names: ("refundFee", "currency")."""
    stale: int = attrs.field(default=0, validator=_per_mille)
    """Of a thousand refunds, how many are shown in a state before their present one."""
    wrong: int = attrs.field(default=0, validator=_per_mille)
    """Of a thousand refunds, how many are shown with another amount."""
    leaves_out: int = attrs.field(default=0, validator=_per_mille)
    """Of a thousand refunds, how many no list shows."""
    invents: int = attrs.field(default=0, validator=_per_mille)
    """To a thousand refunds, how many are added that do not exist."""
    ignores_window: bool = False
    """Whether start and end are not looked at."""

    def shown(self, numbers: Sequence[int]) -> Sequence[int]:
        """Of the refunds that match, those that a list shows at all."""
        return [one for one in numbers if not self._hit(one, "leaves out", self.leaves_out)]

    def reach(self, total: int) -> int:
        """How many of so many items can be reached."""
        return total if self.deepest is None else min(total, self.deepest)

    def check(self, page_size: int | None) -> None:
        """Refuse a page that is too large, where this list does."""
        if self.largest_asked is not None and (page_size or 0) > self.largest_asked:
            raise Refusal(400, f"pageSize is at most {self.largest_asked}")

    def data(self, refunds: Sequence[RefundState], total: int, field: str, now_ms: int) -> Any:
        """The answer's data for the refunds of one page."""
        items = [item for refund in refunds for item in self._items(refund, now_ms)]
        if self.answer == "array":
            return items
        said = {"true": total, "none": None, "low": total // 2, "capped": self.reach(total)}[self.total]
        return {"total": said, field: items}

    def _items(self, refund: RefundState, now_ms: int) -> Iterator[dict[str, Any]]:
        if self._hit(refund.number, "stale", self.stale):
            refund = attrs.evolve(refund, status=_before(refund), deadline_ms=refund.deadline_ms or FAR_MS)
        if self._hit(refund.number, "wrong", self.wrong):
            refund = attrs.evolve(refund, apply_payment=refund.apply_payment + 100)
        yield self._item(refund, now_ms)
        if self._hit(refund.number, "invents", self.invents):
            yield self._item(
                attrs.evolve(refund, refund_id=REFUND[TAOBAO].text(INVENTED + refund.number - 1)), now_ms
            )

    def _item(self, refund: RefundState, now_ms: int) -> dict[str, Any]:
        detail = refund_taobao(refund, now_ms)
        order: dict[str, Any] = detail["refundOrderAggregate"]["refundOrder"]
        for name in self.without:
            order.pop(name, None)
            detail.pop(name, None)
        if self.item == "ids":
            return {"refundId": refund.refund_id}
        if self.item == "flat":
            return {**order, **({"currency": detail["currency"]} if "currency" in detail else {})}
        return detail

    @staticmethod
    def _hit(number: int, what: str, share: int) -> bool:
        return share > 0 and draws(number, what)[0] % 1000 < share


def _before(refund: RefundState) -> Any:
    """A state from which one step leads to the present one; the present one if there is none."""
    moves = MOVES[TAOBAO]
    return next((state for state, after in moves.items() if refund.status in after), refund.status)
