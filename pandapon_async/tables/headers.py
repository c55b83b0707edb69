"""Find the row of column names. Exports put titles and periods above it; some use two rows.

The row is recognised by its content: it has two or more fields, including the one that identifies a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

import attrs

from pandapon_async.tables.cells import Cell, blank, plain_text, tidy, unwrap
from pandapon_async.tables.columns import Resolver

__all__ = ["SEARCHED", "HeadRow", "Header", "find_header"]

SEARCHED = 30
"""The column names are searched in this many non-empty rows."""
FURTHER = 2_000
"""If they are not there, a message names their row if it is one of this many."""

HeadRow = tuple[int, Sequence[Cell]]
"""A row's number and its cells from the first column on."""


@attrs.frozen
class Header:
    """The column names. `first` and `last` are their rows, `above` is the number of rows before them.

    `sure`: the user set the row, or it was recognised; `better` is a candidate if it was not, and `more`: the
    table has rows below those that were searched.
    """

    first: int
    last: int
    names: tuple[str, ...]
    above: int = 0
    sure: bool = True
    better: int | None = None
    more: bool = False

    @property
    def hint(self) -> str:
        """The hint for the message about a missing column."""
        if self.better is not None:
            return f"Row {self.better} looks like column names: --header-row {self.better}. "
        if self.more:
            return (
                f"The names were searched in {FURTHER:,} rows; if they are further down, use --header-row N. "
            )
        return ""


def find_header(head: Sequence[HeadRow], resolver: Resolver, wanted: int | None) -> Header | None:
    """Find the column names in the first rows of a table; None if there is no row or not the wanted one."""
    rows = [(number, cells) for number, cells in head if not all(map(blank, cells))]
    if wanted is not None:
        told = next((cells for number, cells in rows if number == wanted), None)
        return None if told is None else Header(wanted, wanted, _names(told), wanted - 1)
    for at in range(len(rows)):
        if found := _header_at(rows, at, resolver):
            return found
    if not rows:
        return None
    number, cells = rows[0]
    return Header(
        number, number, _names(cells), sure=False, better=_better(rows, resolver), more=len(head) == SEARCHED
    )


def _header_at(rows: Sequence[HeadRow], at: int, resolver: Resolver) -> Header | None:
    """Return the header that begins in this row, if any: one row, otherwise two."""
    number, cells = rows[at]
    names = _names(cells)
    alone = resolver.recognised(names)
    below = rows[at + 1] if at + 1 < len(rows) else None
    if below is not None and below[0] == number + 1 and _may_be_names(below[1]):
        lower = _names(below[1])
        joined = _joined(names, lower, resolver)
        both = resolver.recognised(joined)
        again = resolver.recognised(lower)
        adds = len(both) > len(again)  # otherwise the upper row is a title
        is_data = resolver.identifier in alone and not _is_blank_under(resolver, names, below[1])
        below_groups = _is_below_groups(names, below[1])
        if _is_header(both, resolver) and adds and not is_data and (below_groups or len(both) >= len(alone)):
            return Header(number, below[0], joined, at)
        if _is_header(alone, resolver) and _is_header(again, resolver):  # names in two languages
            better = names if len(alone) >= len(again) else lower
            return Header(number, below[0], better, at)
    return Header(number, number, names, at) if _is_header(alone, resolver) else None


def _is_header(fields: set[str], resolver: Resolver) -> bool:
    return len(fields) >= 2 and resolver.identifier in fields


def _may_be_names(cells: Sequence[Cell]) -> bool:
    """Whether a row could be the lower one of two header rows: words without digits."""
    filled = [cell for cell in cells if not blank(cell)]
    return bool(filled) and all(isinstance(cell, str) and not any(map(str.isdigit, cell)) for cell in filled)


def _is_blank_under(resolver: Resolver, names: Sequence[str], below: Sequence[Cell]) -> bool:
    """Whether the identifying column is empty in the row below: then that is not a row of data."""
    for name, cell in zip(names, below, strict=False):
        if resolver.identifier in resolver.recognised([name]) and not blank(cell):
            return False
    return True


def _is_below_groups(upper: Sequence[str], below: Sequence[Cell]) -> bool:
    """Whether a row only has names below the names that span several columns, so is not a row of data."""
    groups: set[int] = set()
    for at, cell in enumerate(below):
        spanned = at > 0 and not (upper[at] if at < len(upper) else "") and not blank(cell)
        if spanned and (at - 1 in groups or (at - 1 < len(upper) and upper[at - 1])):
            groups |= {at - 1, at}
    return bool(groups) and all(blank(cell) or at in groups for at, cell in enumerate(below))


def _joined(upper: Sequence[str], lower: Sequence[str], resolver: Resolver) -> tuple[str, ...]:
    """Merge two header rows. A name merged over several columns is in the first of them.

    A lower name that says enough by itself stays as it is: 退款金额 below 金额.
    """
    names, over = [], ""
    for above, below in zip_longest(upper, lower, fillvalue=""):
        over = above or (over if below else "")
        both = f"{over}{below}" if below else above
        names.append(below if resolver.recognised([below]) > resolver.recognised([both]) else both)
    return tuple(names)


def _names(cells: Sequence[Cell]) -> tuple[str, ...]:
    return tuple(
        " ".join(unwrap(tidy(cell)).split()) if isinstance(cell, str) else plain_text(cell) or ""
        for cell in cells
    )


def _better(rows: Sequence[HeadRow], resolver: Resolver) -> int | None:
    """Return the row that looks most like column names, if it is not the first one."""
    scores = [(len(resolver.recognised(_names(cells))), number) for number, cells in rows]
    best, number = max(scores, key=lambda score: (score[0], -score[1]))
    if best:
        return number if number != rows[0][0] else None
    widths = [sum(not blank(cell) for cell in cells) for _, cells in rows]
    widest = max(range(len(rows)), key=lambda at: (widths[at], -at))
    return rows[widest][0] if widths[widest] >= max(3, 2 * widths[0]) else None
