"""A refund message tells what became of an application whose answer was lost.

No call finds a refund by the application that made it, and a message names the form: so it is often the first
sign. But another program, or a person at the console, may have opened that form, for another line of the
order. So the form is read, and settles only an application whose lines, amounts and time are its own.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from pandapon_async.callbacks.messages import Message
from pandapon_async.errors import NotFoundError, PandaponError
from pandapon_async.journal.identity import Writer
from pandapon_async.journal.intent import Intent, IntentState, Resolution
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.resolve import (
    CLOCK_TOLERANCE,
    LOOKED_AT_AGAIN,
    Reader,
    is_ours,
    resolve_outcome,
)
from pandapon_async.settings import Settings

__all__ = ["CreateUnderWay", "Settled", "SettlingClient", "journal_settler", "settler_by_key"]

CREATE = "alibaba.refunds.create"

log: Final = logging.getLogger("pandapon_async")


class Settled(enum.StrEnum):
    """What a message did to the journal."""

    SETTLED = "settled"
    """An intent was settled as done."""
    NOTHING = "nothing"
    """It concerns no application that is open or was given up."""
    LEFT = "left"
    """It may concern an application, but that is not sure enough."""


class CreateUnderWay(PandaponError):
    """The message came before the answer of the call that made it; it is handled again in a moment."""

    retryable = True
    """True: the message is handled again later."""


class SettlingClient(Reader, Protocol):
    """What a client has that settles by messages: the calls that read, the journal, whose writes they are."""

    @property
    def journal(self) -> Journal:
        """The journal to settle in."""
        ...

    @property
    def writer(self) -> Writer:
        """The vendor that it reads from."""
        ...

    @property
    def settings(self) -> Settings:
        """Its settings; the clock is one of them."""
        ...


def journal_settler(client: SettlingClient) -> Callable[[Message], Awaitable[Settled]]:
    """A handler for `receiver.on("1688", "refund")` that settles applications of unknown outcome.

    It settles only if exactly one application can be meant: one of the order, not older than the message,
    whose lines, amounts and time are those of the form that the message names, and whose form is not the
    result of another one. An application that is still under way is waited for: CreateUnderWay makes the
    receiver call again later, as does an error while the form is read.
    """

    async def settle(message: Message) -> Settled:
        order_id, refund_id = message.order_id, message.refund_id
        if message.platform != "1688" or order_id is None or refund_id is None:
            return Settled.NOTHING
        creates = [one for one in await _creates(client, order_id) if _not_before(message, one)]
        creates = [one for one in creates if not await client.journal.claimed(one, refund_id)]
        if not creates:
            return Settled.NOTHING
        if any(one.state in (IntentState.INTENDED, IntentState.SENT) for one in creates):
            raise CreateUnderWay("an application for this order is still under way")
        ours = await _ours(client, creates, refund_id)
        if len(ours) != 1:
            log.warning(
                "callback %s settles no application: its form is that of %d of the %d open ones of the order",
                message.id[:12],
                len(ours),
                len(creates),
            )
            return Settled.LEFT
        noted = await client.journal.resolve(
            ours[0].id,
            IntentState.SETTLED_DONE,
            result=refund_id,
            resolution=Resolution.SUCCEEDED,
            remark=f"callback {message.id[:12]} names the form",
        )
        return Settled.SETTLED if noted else Settled.NOTHING

    return settle


def settler_by_key(clients: Mapping[str, SettlingClient]) -> Callable[[Message], Awaitable[Settled]]:
    """The same for the messages of several accounts: each is settled with the client of its own.

    Args:
        clients: By the access key that a message is signed with.
    """
    settlers = {key: journal_settler(client) for key, client in clients.items()}

    async def settle_by_key(message: Message) -> Settled:
        settle = settlers.get(message.access_key or "")
        if settle is None:
            log.warning("callback %s settles no application: its key is of no account", message.id[:12])
            return Settled.LEFT
        return await settle(message)

    return settle_by_key


async def _creates(client: SettlingClient, order_id: str) -> list[Intent]:
    """The applications for an order that may still turn out to be done, refusals at the door among them."""
    since = client.settings.clock.wall() - LOOKED_AT_AGAIN
    found = await client.journal.about_any(client.writer.vendor, CREATE, f"{order_id}/")
    return [
        one
        for one in found
        if one.vendor == client.writer.vendor and (one.state.open or (one.doubtful and one.created >= since))
    ]


async def _ours(client: SettlingClient, creates: list[Intent], refund_id: str) -> list[Intent]:
    """Those whose form it is: as the form shows it with its lines, or the order's lines do."""
    try:
        refund = await client.alibaba.refunds.get(refund_id=refund_id)
    except NotFoundError:
        return []
    if refund.order_entry_id_list:
        return [one for one in creates if is_ours(refund, one)]
    outcomes = [(one, await resolve_outcome(client, client.journal, one)) for one in creates]
    return [one for one, outcome in outcomes if outcome.result == refund_id]


def _not_before(message: Message, create: Intent) -> bool:
    return message.moment is None or message.moment.timestamp() >= create.created - CLOCK_TOLERANCE
