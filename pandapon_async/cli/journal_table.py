"""The tables of `pandapon journal` on a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from pandapon_async.cli.console import Console
from pandapon_async.cli.journal_text import story
from pandapon_async.journal import Intent, IntentState, Journal

__all__ = ["show_facts", "show_table"]

_STYLES = {IntentState.UNKNOWN: "red", IntentState.SENT: "yellow", IntentState.INTENDED: "yellow"}


def show_facts(facts: Mapping[str, Any]) -> None:
    """Print one intent."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        shown = value if isinstance(value, str | int) else json.dumps(value, ensure_ascii=False)
        table.add_row(name, Text("" if value is None else str(shown)))
    Console().print(table)


def show_table(
    journal: Journal, shown: list[Intent], counts: dict[IntentState, int], states: list[IntentState] | None
) -> None:
    """Print intents as a table, and the count of each state."""
    wanted = sum(count for state, count in counts.items() if states is None or state in states)
    title = f"{journal.path}: {wanted:,} {'intent' if wanted == 1 else 'intents'}"
    if wanted > len(shown):
        title += f"; {len(shown):,} in this table"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("id", "since (UTC)", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("what", overflow="fold")
    for intent in shown:
        style = _STYLES.get(intent.state, "")
        since = datetime.fromtimestamp(intent.updated, UTC).strftime("%Y-%m-%d %H:%M")
        table.add_row(intent.id[:12], since, intent.state.value, Text(story(intent)), style=style)
    console = Console()
    console.print(table)
    in_all = ", ".join(f"{count:,} {state.value}" for state, count in counts.items())
    console.print(in_all or "empty", highlight=False)
