"""Print results: for people on a terminal, one line of JSON each when piped.

All output of the command goes through here: `main` runs under `plain_output`, which spells out control
characters in everything that is printed, and rich draws with the `Console` of `console`, which does the
same. So code that prints the vendor's messages does not need to handle it. Help and JSON do not load rich.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TextIO

import typer

from pandapon_async.plain_text import visible

if TYPE_CHECKING:
    from pandapon_async.progress import Progress

__all__ = [
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
    """stdout cannot be written: its reader has ended (`| head`), or its disk is full."""

    def __init__(self, error: OSError) -> None:
        self.reason: str | None = None if isinstance(error, BrokenPipeError) else error.strerror
        super().__init__(self.reason)


class _Stream:
    """A text stream that raises failures as OutputError, whichever library writes."""

    def __init__(self, stream: TextIO | None, *, matters: bool) -> None:
        # Closed before the start: nobody reads it.
        self._stream = stream or open(os.devnull, "w")  # noqa: SIM115
        self._matters = matters

    def write(self, text: str) -> int:
        """Write a text. Raises OutputError if that fails, unless the failure is irrelevant."""
        with self._told():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the buffer, in the same way."""
        with self._told():
            self._stream.flush()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):  # the rest of the buffer would fail again when Python ends
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
            if self._matters:
                raise OutputError(error) from None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _PlainStream:
    """A text stream that spells out control characters; rich reaches the inner stream by its attribute."""

    def __init__(self, stream: _Stream) -> None:
        self.rich_proxied_file = stream

    def write(self, text: str) -> int:
        """Write the text in its safe form."""
        self.rich_proxied_file.write(visible(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextlib.contextmanager
def plain_output() -> Iterator[None]:
    """Within this block no output controls the terminal, and stderr never fails."""
    out, err = sys.stdout, sys.stderr
    sys.stdout = _PlainStream(_Stream(out, matters=True))
    sys.stderr = _PlainStream(_Stream(err, matters=False))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = out, err


as_json: ContextVar[bool | None] = ContextVar("as_json", default=None)
"""The value of `--json` and `--no-json`; None: the terminal decides."""
quiet: ContextVar[bool] = ContextVar("quiet", default=False)
"""Whether `--quiet` was used: errors and results only."""


def for_people() -> bool:
    """Whether a person reads stdout."""
    chosen = as_json.get()
    return sys.stdout.isatty() if chosen is None else not chosen


def note(text: str) -> None:
    """Print a note to stderr, separate from the output that a program reads."""
    if not quiet.get():
        print(f"note: {text}", file=sys.stderr)


def ask(question: str) -> str:
    """Ask on stderr and return the typed answer. The end of the input stops the command."""
    print(f"{question}: ", end="", file=sys.stderr, flush=True)
    typed = sys.stdin.readline()
    if not typed:
        raise typer.Abort
    return typed.strip()


def confirmed(question: str) -> bool:
    """Ask for a yes or no; an empty answer means no."""
    while (answer := ask(f"{question} [y/N]").lower()) not in ("", "n", "no", "y", "yes"):
        print(f"{answer!r} is not y or n", file=sys.stderr)
    return answer.startswith("y")


def progress() -> Progress:
    """Return the progress display on stderr, unless the command is quiet."""
    from pandapon_async.progress import ConsoleProgress, NullProgress

    return NullProgress() if quiet.get() else ConsoleProgress(sys.stderr)


def print_result(value: Any) -> None:
    """Print a JSON value: on several lines on a terminal, on one line when piped."""
    if for_people():
        from pandapon_async.cli.console import Console

        Console().print_json(json.dumps(value, ensure_ascii=False))
    else:
        print_lines([value])


def print_lines(rows: Iterable[Any]) -> None:
    """Print JSON lines."""
    for row in rows:
        sys.stdout.write(json.dumps(row, ensure_ascii=False) + "\n")


def print_table(heads: Iterable[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Print a table; a missing value is a dash."""
    from rich.table import Table
    from rich.text import Text

    from pandapon_async.cli.console import Console

    heads = tuple(heads)
    table = Table(show_edge=False, pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(str(row[head] or "-")) for head in heads))
    Console().print(table)
