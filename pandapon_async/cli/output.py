"""How results are printed: for people on a terminal, one line of JSON each when piped.

All that the command writes goes through here: `main` runs under `plain_output`, which spells out control
characters in whatever is printed, and rich draws with the `Console` of this module, which does the same with
what it is given. So nobody has to think of it where the vendor's words are printed.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, TextIO

import typer
from rich.console import Console as RichConsole
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from pandapon_async.plain_text import visible
from pandapon_async.progress import ConsoleProgress, NullProgress, Progress

__all__ = [
    "Console",
    "OutputError",
    "as_json",
    "ask",
    "confirmed",
    "for_people",
    "note",
    "plain_output",
    "print_lines",
    "print_result",
    "print_table",
    "progress",
    "quiet",
]


class OutputError(Exception):
    """stdout took no more: its reader has gone (`| head`), or the disk that it goes to is full."""

    def __init__(self, error: OSError) -> None:
        self.reason = None if isinstance(error, BrokenPipeError) else error.strerror
        super().__init__(self.reason)


class _Stream:
    """A text stream whose failures are those of our output, and of no library that happens to write."""

    def __init__(self, stream: TextIO | None, *, matters: bool) -> None:
        # Closed before we began: nobody wants to read it.
        self._stream = stream or open(os.devnull, "w")  # noqa: SIM115
        self._matters = matters

    def write(self, text: str) -> int:
        """Write it. Raises OutputError if that fails, unless it does not matter."""
        with self._told():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is kept back, in the same way."""
        with self._told():
            self._stream.flush()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):  # what is still kept back would fail again when Python ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if self._matters:
                raise OutputError(error) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _PlainStream:
    """A text stream that spells out control characters. Rich finds the stream itself by the name it uses."""

    def __init__(self, stream: _Stream) -> None:
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
    """While this lasts, nothing that is printed controls a terminal, and stderr never fails."""
    out, err = sys.stdout, sys.stderr
    sys.stdout = _PlainStream(_Stream(out, matters=True))
    sys.stderr = _PlainStream(_Stream(err, matters=False))
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


def ask(question: str) -> str:
    """What the person at the keyboard types, asked on stderr. The end of the input stops the command."""
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline()
    if not typed:
        raise typer.Abort
    return typed.strip()


def confirmed(question: str) -> bool:
    """Whether that person says yes; nothing typed means no."""
    while (answer := ask(f"{question} [y/N]").lower()) not in ("", "n", "no", "y", "yes"):
        print(f"{answer!r} is neither y nor n", file=sys.stderr)
    return answer.startswith("y")


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
