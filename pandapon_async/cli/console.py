"""The console that draws tables for people; in a module of its own, because rich takes long to load."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment

from pandapon_async.plain_text import visible

__all__ = ["Console"]


class Console(RichConsole):
    """Rich's console, which only writes its own control characters."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the segments to draw."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)
