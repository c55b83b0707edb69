"""The calls that a run did not need, by what made up for them."""

from __future__ import annotations

import attrs

from pandapon_async.core.json_values import Result

__all__ = ["CallsSaved"]


@attrs.define
class CallsSaved(Result):
    """Single lookups that were not made, less the calls that it took to do without them."""

    list: int = 0
    """By lists of refunds: the rows that a list confirmed, less the pages that were read; below 0 if those
    were more."""
    reuse: int = 0
    """By lookups of a complete run before this one."""
    push: int = 0
    """By lookups that are used again because nothing was pushed since."""

    def add(self, other: CallsSaved) -> None:
        """Add those of another part."""
        for name in attrs.fields_dict(CallsSaved):
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __str__(self) -> str:
        """As the terminal says it: "1,200 by list, 30 by reuse"; empty if there are none."""
        return ", ".join(f"{count:,} by {name}" for name, count in self.to_dict().items() if count)
