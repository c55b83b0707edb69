"""What a long run needs of its client: how many calls at once, and time to sit out a pause."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pandapon_async.settings import Settings

if TYPE_CHECKING:
    from pandapon_async.client import Client

__all__ = ["calls_at_once", "with_patience"]


def with_patience(client: Client) -> Client:
    """The same client with time for the longest pause that the vendor may ask for.

    Otherwise every call whose turn falls into such a pause would fail at once, thousands of them.
    """
    settings = client.settings
    return client.with_settings(timeout=settings.timeout + settings.retry.retry_after_maximum)


def calls_at_once(settings: Settings) -> int:
    """How many calls to begin at once: no more than get their permit in half of their time."""
    if settings.rate is None:
        return settings.concurrency
    return max(1, min(settings.concurrency, int(settings.rate * settings.timeout / 2)))
