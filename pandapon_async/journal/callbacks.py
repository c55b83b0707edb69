"""Settle refund applications with a lost answer from refund messages.

No call finds a refund form by its application, but a message names the form, so the message is often the
first sign of it. However, another program or a person at the console may have opened that form, for another
line of the order. So the form is read, and it settles an application only if lines, amounts and time match.
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
    """The effect of a message on the journal."""

    SETTLED = "settled"
    """An intent was settled as done."""
    NOTHING = "nothing"
    """No open or given-up application matches."""
    LEFT = "left"
    """It may concern an application, but that is not certain enough."""


class CreateUnderWay(PandaponError):
    """The message came before the answer to its call; the receiver handles it again shortly."""

    retryable = True
    """True: the message is handled again later."""


class SettlingClient(Reader, Protocol):
    """What settling needs of a client: the reading calls, the journal, and the writer."""

    @property
    def journal(self) -> Journal:
        """The journal to settle in."""
        ...

    @property
    def writer(self) -> Writer:
        """The vendor that the client reads from."""
        ...

    @property
    def settings(self) -> Settings:
        """The client's settings, with its clock."""
        ...


def journal_settler(client: SettlingClient) -> Callable[[Message], Awaitable[Settled]]:
    """Make a handler for `receiver.on("1688", "refund")` that settles applications with unknown outcome.

    It settles an application only if exactly one matches: it belongs to the order, was sent before the
    message, has the lines, amounts and time of the form that the message names, and that form is not the
    result of another application. While an application is still in flight, CreateUnderWay makes the receiver
    call again later; so does an error while reading the form.
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
            raise CreateUnderWay("an application for this order is still in flight")
        ours = await _ours(client, creates, refund_id)
        if len(ours) != 1:
            log.warning(
                "callback %s settles no application: its form matches %d of the %d open applications of "
                "the order",
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
    """Make a handler for several accounts: each message is settled with its own account's client.

    Args:
        clients: The client of each account, by the access key that signs its messages.
    """
    settlers = {key: journal_settler(client) for key, client in clients.items()}

    async def settle_by_key(message: Message) -> Settled:
        settle = settlers.get(message.access_key or "")
        if settle is None:
            log.warning("callback %s settles no application: no account has its key", message.id[:12])
            return Settled.LEFT
        return await settle(message)

    return settle_by_key


async def _creates(client: SettlingClient, order_id: str) -> list[Intent]:
    """The order's applications that may still prove to be done, also those that a throttle refused."""
    since = client.settings.clock.wall() - LOOKED_AT_AGAIN
    found = await client.journal.about_any(client.writer.vendor, CREATE, f"{order_id}/")
    return [
        one
        for one in found
        if one.vendor == client.writer.vendor and (one.state.open or (one.doubtful and one.created >= since))
    ]


async def _ours(client: SettlingClient, creates: list[Intent], refund_id: str) -> list[Intent]:
    """The applications that match the form, by its own lines or by the order's lines."""
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
