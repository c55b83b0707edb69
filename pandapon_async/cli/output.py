"""How results are printed: for people on a terminal, one line of JSON each when piped.

All that the command writes goes through here: `main` runs under `plain_output`, which spells out control
characters in whatever is printed, and rich draws with the `Console` of this module, which does the same with
what it is given. So nobody has to think of it where the vendor's words are printed.
"""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TextIO

from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pandapon_async.plain_text import visible
from pandapon_async.progress import ConsoleProgress, NullProgress, Progress

__all__ = [
    "Console",
    "as_json",
    "for_people",
    "note",
    "plain_output",
    "print_lines",
    "print_result",
    "print_table",
    "progress",
    "quiet",
]


class _PlainStream:
    """A text stream that spells out control characters. Rich finds the stream itself by the name it uses."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write the text as it may be shown."""
        self.rich_proxied_file.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write them one after the other."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """While this lasts, nothing that is printed controls a terminal."""
    out, err = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _PlainStream(out), _PlainStream(err)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


class Console(RichConsole):
    """Rich's console, whose only control characters are its own."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """The segments to draw."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else visible(text), style, control)


as_json: ContextVar[bool | None] = ContextVar("as_json", default=None)
"""What `--json` and `--no-json` said; None: the terminal decides."""
quiet: ContextVar[bool] = ContextVar("quiet", default=False)
"""Whether `--quiet` was said: errors and results only."""


def for_people() -> bool:
    """Whether a person reads stdout."""
    chosen = as_json.get()
    return sys.stdout.isatty() if chosen is None else not chosen


def note(text: str) -> None:
    """Tell the person at the keyboard; never mixed into what a program reads."""
    if not quiet.get():
        print(f"note: {text}", file=sys.stderr)


def progress() -> Progress:
    """Shows on stderr how far a job is, unless it is to be quiet."""
    return NullProgress() if quiet.get() else ConsoleProgress(sys.stderr)


def print_result(value: Any) -> None:
    """One JSON value: over many lines on a terminal, on one line when piped."""
    if for_people():
        Console().print_json(json.dumps(value, ensure_ascii=False))
    else:
        print_lines([value])


def print_lines(rows: Iterable[Any]) -> None:
    """JSON lines."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


def print_table(heads: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """A table; what has no value is shown as a dash."""
    heads = tuple(heads)
    table = Table(show_edge=False, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(row[head] or "-")) for head in heads))
    Console().print(table)
