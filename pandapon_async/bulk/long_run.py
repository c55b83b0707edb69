"""The client of a long run: how many calls at once, and enough time for a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandapon_async.settings import Settings

if TYPE_CHECKING:
    from pandapon_async.client import Client

__all__ = ["calls_at_once", "with_patience"]


def with_patience(client: Client) -> Client:
    """Return the client with a timeout that covers the longest pause the vendor may ask for.

    Otherwise every call during such a pause would fail at once, thousands of them.
    """
    settings = client.settings
    return client.with_settings(timeout=settings.timeout + settings.retry.retry_after_maximum)


def calls_at_once(settings: Settings) -> int:
    """How many calls to begin at once: those that get a permit within half of their timeout."""
    if settings.rate is None:
        return settings.concurrency
    return max(1, min(settings.concurrency, int(settings.rate * settings.timeout / 2)))
