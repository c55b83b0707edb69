"""Plans and their runs as tables for people."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from pandapon_async.cli.console import Console
from pandapon_async.money import Fen
from pandapon_async.plans import ApplyResult, Money, PlanSummary, Refusal, RowState

__all__ = ["amount", "rows", "show_result", "show_summary", "what_it_does"]

SHOWN = 20
_DEEDS = {
    "returns": ("return of goods", "returns of goods"),
    "refunds": ("refund application", "refund applications"),
}
_AT_FIRST = (RowState.PLANNED, RowState.HELD, RowState.REFUSED)
_STYLES = {
    RowState.CONFIRMED: "green",
    RowState.SETTLED_DONE: "green",
    RowState.UNKNOWN: "red",
    RowState.APPLYING: "red",
}


def what_it_does(kind: str, count: int) -> str:
    """Return a count with its noun."""
    one, many = _DEEDS[kind]
    return f"{count:,} {one if count == 1 else many}"


def rows(count: int) -> str:
    """Return a number of rows in words."""
    return "1 row" if count == 1 else f"{count:,} rows"


def amount(fen: int, currency: str) -> str:
    """An amount for people."""
    return f"{currency} {Fen(fen).yuan:,.2f}"


def show_summary(console: Console, summary: PlanSummary) -> None:
    """Print the summary of a plan."""
    refused = summary.states[RowState.REFUSED]
    planned, held = summary.rows - refused, summary.states[RowState.HELD]
    held_back = f", {held:,} of them held back" if held else ""
    _say(
        console,
        f"{summary.source}: {rows(summary.rows)}, {planned:,} planned{held_back}, {refused:,} refused",
    )
    begun = {state: count for state, count in summary.states.items() if count and state not in _AT_FIRST}
    if begun:
        _say(console, "applied before: " + ", ".join(f"{n:,} {state.value}" for state, n in begun.items()))
        left = ", ".join(amount(money.amount_fen, money.currency) for money in summary.to_send)
        _say(console, f"to be sent now: {rows(summary.sendable)}" + (f", {left}" if left else ""))
    if planned:
        _money(console, summary)
        _largest(console, summary)
    _listed(console, "refused", summary.refused, refused)
    _listed(console, "remarks", summary.notes, summary.noted)
    if summary.pictures:
        size = summary.picture_bytes / 1024 / 1024
        there = f", {summary.pictures_uploaded:,} of them uploaded" if summary.pictures_uploaded else ""
        _say(console, f"images: {summary.pictures:,} different, {size:,.1f} MiB{there}")
    for note in summary.inferred:
        _say(console, f"note: {note}")
    if summary.unchecked and not summary.offline:
        _say(console, f"note: {rows(summary.unchecked)} of the plan could not be checked completely")


def _money(console: Console, summary: PlanSummary) -> None:
    table = Table(title="money", title_justify="left")
    table.add_column("shop")
    table.add_column("rows", justify="right")
    table.add_column("amount", justify="right")
    for shop in summary.shops[:SHOWN]:
        _money_row(table, shop.shop or "(no shop named)", shop)
    if len(summary.shops) > SHOWN:
        table.add_row(f"and {len(summary.shops) - SHOWN} more shops", "", "", style="dim")
    table.add_section()
    for total in summary.planned:
        _money_row(table, f"all in {total.currency}", total)
    console.print(table)


def _money_row(table: Table, name: str, money: Money) -> None:
    shown = amount(money.amount_fen, money.currency)
    if money.unknown:
        shown += f"  and {rows(money.unknown)} with an unknown amount"
    table.add_row(Text(name), f"{money.rows:,}", shown)


def _largest(console: Console, summary: PlanSummary) -> None:
    if not summary.largest:
        return
    table = Table(title="the largest", title_justify="left")
    table.add_column("row", justify="right")
    table.add_column("id")
    table.add_column("shop")
    table.add_column("amount", justify="right")
    for row, name, shop, fen, currency in summary.largest:
        table.add_row(str(row), Text(name), Text(shop or ""), amount(fen, currency))
    console.print(table)


def _listed(console: Console, title: str, rows: Iterable[Refusal], count: int) -> None:
    if not count:
        return
    table = Table(title=f"{title}: {count:,}", title_justify="left")
    table.add_column("row", justify="right")
    table.add_column("id", overflow="fold")
    table.add_column("column")
    table.add_column("reason")
    shown = list(rows)[:SHOWN]
    for refusal in shown:
        money = "" if refusal.amount_fen is None else amount(refusal.amount_fen, refusal.currency or "CNY")
        name = Text("\n".join(filter(None, (refusal.id, money))))
        table.add_row(str(refusal.row), name, Text(refusal.column), Text(refusal.reason))
    if count > len(shown):
        more = f"and {count - len(shown):,} more (in the plan and in the JSON)"
        table.add_row("", "", "", more, style="dim")
    console.print(table)


def show_result(console: Console, result: ApplyResult) -> None:
    """Print the state of a plan."""
    table = Table(title=Text(f"{result.source}: {rows(result.rows)}"), title_justify="left")
    table.add_column("state")
    table.add_column("rows", justify="right")
    table.add_column("amount", justify="right")
    for state, count in result.states.items():
        if count:
            sums = result.money.get(state, {})
            shown = ", ".join(amount(fen, currency) for currency, fen in sums.items())
            table.add_row(state.value, f"{count:,}", shown, style=_STYLES.get(state, "yellow"))
    console.print(table)
    if result.problems:
        problems = Table(title="needs attention", title_justify="left")
        for column in ("row", "state", "id", "intent", "reason"):
            problems.add_column(column, overflow="fold" if column in ("reason", "intent") else "ellipsis")
        for problem in result.problems:
            problems.add_row(
                str(problem.row),
                problem.state.value,
                Text(problem.id),
                (problem.intent_id or "")[:12],
                Text("; ".join(filter(None, (problem.reason, problem.note)))),
            )
        console.print(problems)
    if result.results:
        _say(console, f"results: {result.results}")


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
