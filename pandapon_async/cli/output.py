"""How results are printed: for people on a terminal, one line of JSON each when piped."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["for_people", "note", "print_lines", "print_result", "print_table"]


def for_people() -> bool:
    """Whether a person reads stdout."""
    return sys.stdout.isatty()


def note(text: str) -> None:
    """Tell the person at the keyboard; never mixed into what a program reads."""
    print(f"note: {text}", file=sys.stderr)


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
