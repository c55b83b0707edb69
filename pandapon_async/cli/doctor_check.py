"""What the doctor writes down, and what its checks may know of each other."""

from __future__ import annotations

from pathlib import Path

import attrs

from pandapon_async.settings import Credentials, Settings

__all__ = ["Check", "DoctorContext"]


@attrs.define
class Check:
    """What one check found: `state` is "ok", "warning" or "bad"; `advice` is what to do, if anything."""

    name: str
    state: str
    found: str
    advice: str = ""


@attrs.define
class DoctorContext:
    """What is examined, and what was found so far.

    `rate` is what a throttle has left of the rate, `journal` the file where writes are noted; None if not so.
    """

    settings: Settings
    credentials: Credentials | None = None
    without_key: str = ""
    rate: float | None = None
    journal: Path | None = None
    checks: list[Check] = attrs.field(factory=list)

    def failed(self, *names: str) -> str | None:
        """The first of these checks that went badly: what stands on it need not be tried."""
        bad = {check.name for check in self.checks if check.state == "bad"}
        return next((name for name in names if name in bad), None)
