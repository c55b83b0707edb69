"""The results of the doctor's checks, and the context that they share."""

from __future__ import annotations

from pathlib import Path

import attrs

from pandapon_async.settings import Credentials, Settings

__all__ = ["Check", "DoctorContext"]


@attrs.define
class Check:
    """The result of one check: `state` is "ok", "warning" or "bad"; `advice` is what to do, if anything."""

    name: str
    state: str
    found: str
    advice: str = ""


@attrs.define
class DoctorContext:
    """The settings under examination, and the results so far.

    `rate` is the rate after a throttle, `journal` the file that records writes; each may be None.
    """

    settings: Settings
    credentials: Credentials | None = None
    without_key: str = ""
    rate: float | None = None
    journal: Path | None = None
    checks: list[Check] = attrs.field(factory=list)

    def failed(self, *names: str) -> str | None:
        """Return the first failed check of these: dependent checks need not be tried."""
        bad = {check.name for check in self.checks if check.state == "bad"}
        return next((name for name in names if name in bad), None)
