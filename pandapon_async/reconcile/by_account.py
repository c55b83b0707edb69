"""Look up several accounts in parallel, each at the rate of its own quota.

In the order of rows, a ledger sorted by shop would use the quota of one account after the other: a hundred
accounts with ten calls a second each would be as slow as one.
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
"""The most lookups in flight over all accounts: each holds a connection."""

Fetch = Callable[[Client, str, int], Awaitable[None]]
"""Looks up the rows of an account with a client, this many at once."""


async def fetch_by_account(
    clients: Mapping[str, Client], lead: Client, fetch: Fetch, concurrency: int | None, progress: Progress
) -> None:
    """Look up the rows of every account.

    Args:
        clients: The clients by the name of the account.
        lead: The client whose corrections of calls apply to all.
        fetch: Looks up the rows of one account.
        concurrency: The most lookups at once over all accounts; None: by the rates.
        progress: Gets a note about a refused account.

    Raises:
        AuthenticationError: The vendor refused an account; raised after the others have ended.
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
            progress.note(
                f"account {name}: the vendor refused it; its rows are not looked up, the other accounts "
                "continue"
            )
            refused.append(error)

    async with asyncio.TaskGroup() as group:
        for name, client in clients.items():
            group.create_task(of(name, client))
    if refused:
        raise refused[0]
