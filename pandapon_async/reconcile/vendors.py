"""The vendors whose answers a run gets: lookups of two vendors are never mixed.

Otherwise a trial on a sandbox, resumed with the real address in the same folder, would let the sandbox
decide rows of the real books.
"""

from __future__ import annotations

from pandapon_async.accounts import Accounts
from pandapon_async.client import Client
from pandapon_async.core.vendor import vendor_of
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import Settings

__all__ = ["check_vendors", "vendors_asked"]


def vendors_asked(client: Client, accounts: Accounts | None) -> list[str]:
    """Return the vendors that a run asks, in order. It reads the settings of all accounts, which blocks."""
    if accounts is None:
        return [_vendor(client.settings)]
    return sorted({_vendor(accounts.settings_of(name)) for name in accounts.names})


def check_vendors(place: str, known: list[str] | None, asked: list[str], what_helps: str) -> None:
    """Raise ConfigurationError if the lookups in a file are from other vendors. None: it does not say."""
    if known not in (None, asked):
        raise ConfigurationError(
            f"{place} has lookups from {', '.join(known or ())}, but this run asks {', '.join(asked)}; "
            f"{what_helps}"
        )


def _vendor(settings: Settings) -> str:
    """Return a vendor. A sandbox on this machine has another port each time."""
    vendor = vendor_of(settings.vendor_id, settings.base_url)
    return "localhost" if vendor.partition(":")[0] == "localhost" else vendor
