"""Credentials, settings and the vendor's profile: who calls, how, and what is known about the vendor."""

from pandapon_async.settings.credentials import Credentials
from pandapon_async.settings.settings import (
    AUTOMATIC,
    Observer,
    Settings,
    SettingsArguments,
    SettingsChanges,
    is_loopback,
)
from pandapon_async.settings.vendor import (
    FreightReading,
    ImageLimits,
    ListFacts,
    Override,
    QuotaScope,
    VendorProfile,
)

__all__ = [
    "AUTOMATIC",
    "Credentials",
    "FreightReading",
    "ImageLimits",
    "ListFacts",
    "Observer",
    "Override",
    "QuotaScope",
    "Settings",
    "SettingsArguments",
    "SettingsChanges",
    "VendorProfile",
    "is_loopback",
]
