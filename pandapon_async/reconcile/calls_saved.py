"""The calls that a run saved, by the means."""

from __future__ import annotations

import attrs

from pandapon_async.core.json_values import Result

__all__ = ["CallsSaved"]


@attrs.define
class CallsSaved(Result):
    """Single lookups that were not made, minus the calls that replaced them."""

    list: int = 0
    """By lists of refunds: confirmed rows minus pages read; below 0 if there were more pages."""
    reuse: int = 0
    """By lookups of a complete run before this one."""
    push: int = 0
    """By lookups that are reused because nothing was pushed since."""

    def add(self, other: CallsSaved) -> None:
        """Add the numbers of another part."""
        for name in attrs.fields_dict(CallsSaved):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        """Format for the terminal: "1,200 by list, 30 by reuse"; empty if there are none."""
        return ", ".join(f"{count:,} by {name}" for name, count in self.to_dict().items() if count)
