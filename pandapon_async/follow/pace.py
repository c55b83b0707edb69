"""How often a refund is looked at: rarely, often near its deadline, and soon after a push or a failure.

1,000 refunds at 6 hours are 4,000 calls a day; all of them every 15 minutes would be 96,000, for changes of
which most come from a push anyway or wait for a deadline that is days away.
"""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

import attrs

from pandapon_async.errors import ConfigurationError
from pandapon_async.follow.changes import Seen

__all__ = ["Pace"]


def _positive(_: Any, attribute: attrs.Attribute[timedelta], value: timedelta) -> None:
    if not isinstance(value, timedelta) or value <= timedelta(0):
        raise ConfigurationError(f"{attribute.name} must be a timedelta above zero")


@attrs.frozen(kw_only=True)
class Pace:
    """The times between two looks at a refund."""

    usual: timedelta = attrs.field(default=timedelta(hours=6), validator=_positive)
    """Between two looks, where no deadline is near."""
    near: timedelta = attrs.field(default=timedelta(minutes=15), validator=_positive)
    """Between two looks near a deadline, and after a push that showed nothing new, or a failed look."""
    window: timedelta = attrs.field(default=timedelta(days=1), validator=_positive)
    """How long before and after its deadline a refund is near it."""

    def next_look(self, refund_id: str, now: float, seen: Seen | None, *, soon: bool = False) -> float:
        """When to look again, in seconds since 1970.

        Args:
            refund_id: spreads the looks of many refunds, always by the same part of the usual time.
            now: seconds since 1970.
            seen: where it stands.
            soon: look again at the near pace, whatever the deadline.
        """
        near, window = self.near.total_seconds(), self.window.total_seconds()
        spread = int.from_bytes(hashlib.sha256(refund_id.encode()).digest()[:4]) / 2**32
        usual = now + self.usual.total_seconds() * (1 - spread / 10)
        if soon:
            return min(usual, now + near)
        if seen is None or seen.deadline is None:
            return usual
        deadline = datetime.fromisoformat(seen.deadline).timestamp()
        if now < deadline - window:
            return min(usual, deadline - window)
        return min(usual, now + near) if now < deadline + window else usual
