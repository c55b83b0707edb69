"""A refund message tells what became of a create whose answer was lost.

No call finds a refund by the wish that made it, so the message is the one sure sign. This is a handler
for such messages; whose journal it settles is for the caller to say, with three small functions.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import attrs

from pandapon_async.callbacks.bodies import RefundChange
from pandapon_async.callbacks.messages import Message
from pandapon_async.errors import PandaponError
from pandapon_async.journal.intent import OPEN, IntentState, Resolution
from pandapon_async.journal.journal import Journal

__all__ = ["CreateUnderWay", "FoundCreate", "Settled", "journal_settler", "settle_creates"]

CLOCK_TOLERANCE = 600.0
"""Seconds that the vendor's clock and ours may differ; it accepts no more from us."""

CREATE = "alibaba.refunds.create"

FIRST_STATUS = "waitselleragree"

log: Final = logging.getLogger("pandapon_async")


class Settled(enum.StrEnum):
    """What a message did to the journal."""

    SETTLED = "settled"
    NOTHING = "nothing"  # it concerns no create that is open
    LEFT = "left"  # it may concern one, but that is not sure enough


@attrs.define(frozen=True)
class FoundCreate:
    """A create that is open in the journal. `under_way`: its answer may still come.

    `created` is when it was written down, in seconds since 1970.
    """

    intent_id: str
    created: float
    under_way: bool = False


class CreateUnderWay(PandaponError):
    """The message came before the answer of the call that made it; it is handled again in a moment."""

    retryable = True


FindCreates = Callable[[str], Awaitable[Sequence[FoundCreate]]]
"""order id -> the creates of refunds for this order that are open in the journal."""

IsTaken = Callable[[str, str], Awaitable[bool]]
"""(intent id, refund id) -> whether the journal holds the refund already as the result of another create."""

Resolve = Callable[[str, str, str], Awaitable[bool]]
"""(intent id, refund id, remark): note in the journal that the create succeeded; False if it was settled."""

Confirm = Callable[[str, str], Awaitable[bool]]
"""(intent id, refund id) -> whether the refund, read from the vendor, is the one that the create wanted."""


def settle_creates(
    find: FindCreates, taken: IsTaken, resolve: Resolve, confirm: Confirm | None = None
) -> Callable[[Message], Awaitable[Settled]]:
    """A handler for `receiver.on("1688", "refund")` that settles creates of unknown outcome.

    It settles only if exactly one open create of the order can be meant: the refund is not the result of
    another one, the message is not older than the create, and it is about the application itself (later
    messages can be about a form that somebody else opened) or `confirm` says that it is ours. A create
    that is still under way is waited for: CreateUnderWay makes the receiver call again later.
    """

    async def settle_create(message: Message) -> Settled:
        order_id, refund_id = message.order_id, message.refund_id
        if message.platform != "1688" or order_id is None or refund_id is None:
            return Settled.NOTHING
        creates = [one for one in await find(order_id) if _not_before(message, one)]
        creates = [one for one in creates if not await taken(one.intent_id, refund_id)]
        if not creates:
            return Settled.NOTHING
        if any(one.under_way for one in creates):
            raise CreateUnderWay("a create for this order is still under way")
        if confirm is not None:
            creates = [one for one in creates if await confirm(one.intent_id, refund_id)]
        elif not _is_application(message):
            return _left(message, "it is not about the application itself")
        if len(creates) != 1:
            return _left(message, f"{len(creates)} open creates of its order could be meant")
        note = f"callback {message.id[:12]} names the form"
        return Settled.SETTLED if await resolve(creates[0].intent_id, refund_id, note) else Settled.NOTHING

    return settle_create


def _not_before(message: Message, create: FoundCreate) -> bool:
    return message.moment is None or message.moment.timestamp() >= create.created - CLOCK_TOLERANCE


def _is_application(message: Message) -> bool:
    """Whether the form was just opened: the upstream's BUYER_APPLY_REFUND, or the first state."""
    change = message.content
    if not isinstance(change, RefundChange):
        return False
    if change.refund_action is not None:
        return change.refund_action.upper().startswith("BUYER_APPLY_REFUND")
    return change.current_status == FIRST_STATUS


def _left(message: Message, why: str) -> Settled:
    log.warning("callback %s settles no create: %s", message.id[:12], why)
    return Settled.LEFT


def journal_settler(journal: Journal) -> Callable[[Message], Awaitable[Settled]]:
    """A handler that settles the creates of unknown outcome in this journal."""

    async def find(order_id: str) -> Sequence[FoundCreate]:
        return [
            FoundCreate(one.id, one.created, under_way=one.state is not IntentState.UNKNOWN)
            for one in await journal.find(OPEN)
            if one.operation == CREATE and str(one.natural_key.get("orderId")) == order_id
        ]

    async def taken(intent_id: str, refund_id: str) -> bool:
        intent = await journal.get(intent_id)
        return intent is not None and await journal.claimed(intent, refund_id)

    async def settle(intent_id: str, refund_id: str, why: str) -> bool:
        return await journal.resolve(
            intent_id,
            IntentState.SETTLED_DONE,
            result=refund_id,
            resolution=Resolution.SUCCEEDED,
            remark=why,
        )

    return settle_creates(find, taken, settle)
