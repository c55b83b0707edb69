"""The common interface of all readers: sheets, their first rows, all their rows.

All of them stream: memory does not grow with the number of rows. A row that cannot be split into cells is
passed on with its problem, never dropped.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from typing import Any, Protocol

import attrs

from pandapon_async.tables.cells import Cell
from pandapon_async.tables.headers import SEARCHED, HeadRow

__all__ = ["RawRow", "Sheet", "Source"]

RawRow = tuple[int, Any, str | None]
"""A row's number as a spreadsheet shows it, its cells in the form of the source, and its problem if any."""


@attrs.frozen
class Sheet:
    """A sheet of a workbook; other formats have one, without a name."""

    name: str
    visible: bool = True
    part: str = ""


class Source(Protocol):
    """A file that is open for reading."""

    format: str
    encoding: str | None
    day_zero: date
    sheets: Sequence[Sheet]

    def head(self, sheet: Sheet, first: int = 1, most: int = SEARCHED) -> Sequence[HeadRow]:
        """Return up to `most` non-empty rows from row `first` on."""
        ...

    def rows(self, sheet: Sheet, names: Sequence[str], last: int, wanted: Sequence[int]) -> Iterator[RawRow]:
        """Iterate over the rows below row `last`, which has the column names `names`."""
        ...

    def pick(self, cells: Any, wanted: Sequence[int]) -> Sequence[Cell]:
        """Return the cells of the wanted columns."""
        ...

    def is_blank(self, cells: Any) -> bool:
        """Whether a row is empty."""
        ...

    def filled(self, cells: Any) -> Iterable[Cell]:
        """Return the cells of a row, as far as the source has them."""
        ...

    def notes(self) -> Sequence[str]:
        """Notes about the rows read so far, one sentence each."""
        ...
