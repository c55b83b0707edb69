"""What a long run needs of its client: how many calls at once, time to sit out a pause, whose they are."""

from __future__ import annotations

from pandapon_async.client import Client
from pandapon_async.settings import Settings

__all__ = ["account_of", "patient", "window"]


def account_of(client: Client) -> str:
    """Whose writes these are, as the journal knows it."""
    return client._pipeline.account


def patient(client: Client) -> Client:
    """The same client, with time enough for the longest pause that the vendor may ask for.

    Otherwise every call whose turn falls into such a pause would fail at once, thousands of them.
    """
    settings = client.settings
    return client.with_settings(timeout=settings.timeout + settings.retry.retry_after_maximum)


def window(settings: Settings) -> int:
    """How many calls on their way at once: no more than get their permit in half of their time."""
    if settings.rate is None:
        return settings.concurrency
    return max(1, min(settings.concurrency, int(settings.rate * settings.timeout / 2)))
