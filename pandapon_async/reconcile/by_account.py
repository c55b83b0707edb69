"""Lookups of several accounts side by side: each at the pace of its own quota, in whatever order they come.

In the order of rows a ledger that is sorted by shop would use one account's quota after the other: a hundred
accounts with ten calls a second each would take as long as one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from pandapon_async.bulk.long_run import calls_at_once
from pandapon_async.client import Client
from pandapon_async.errors import AuthenticationError
from pandapon_async.progress import Progress

__all__ = ["fetch_by_account"]

MOST_AT_ONCE: Final = 512
"""Lookups under way over all accounts: each holds a connection."""

Fetch = Callable[[Client, str, int], Awaitable[None]]
"""Looks up the rows of an account with a client, so many at once."""


async def fetch_by_account(
    clients: Mapping[str, Client], lead: Client, fetch: Fetch, concurrency: int | None, progress: Progress
) -> None:
    """Look up the rows of every account.

    Args:
        clients: By the name of the account.
        lead: The client whose corrections of calls hold, where it was found that a call needs one.
        fetch: Looks up the rows of one account.
        concurrency: How many lookups at once over all accounts; None decides by the rates.
        progress: Is told of an account that is refused.

    Raises:
        AuthenticationError: Of an account that was refused, after the others have ended.
    """
    share = max(1, (concurrency or MOST_AT_ONCE) // max(1, len(clients)))
    refused: list[AuthenticationError] = []

    async def of(name: str, client: Client) -> None:
        found = lead.settings.vendor.overrides
        if found != client.settings.vendor.overrides:
            client = client.with_settings(overrides={**client.settings.vendor.overrides, **found})
        try:
            await fetch(client, name, min(share, calls_at_once(client.settings)))
        except AuthenticationError as error:
            progress.note(f"account {name}: the vendor refused it; its rows are left, the others go on")
            refused.append(error)

    async with asyncio.TaskGroup() as group:
        for name, client in clients.items():
            group.create_task(of(name, client))
    if refused:
        raise refused[0]
