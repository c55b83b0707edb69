"""A table in several files, read one after the other like one file.

All of them are opened before the first row is read, so a file that does not match the others is refused
before anything is done. Only one is open at a time, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.tables.file_set import SPAN, FileSet, listed
from pandapon_async.tables.table import Record, Table

__all__ = ["FilesTable"]


class FilesTable(Table):
    """The files of a table, all with the same column names."""

    def __init__(self, found: FileSet, identifier: str, open_one: Callable[[Path, str], Table]) -> None:
        self._open_one = open_one
        self._found = found
        self._said: dict[str, list[str]] = {}
        """The files of a note."""
        first = self._opened(0)
        super().__init__(found.path, first.source, first.sections, identifier, ())
        self.files: tuple[str, ...] = found.names
        encodings = {first.encoding: None}
        for at in range(1, len(found.files)):
            one = self._opened(at)
            self._check_same(first, one, at)
            encodings[one.encoding] = None
        known = [encoding for encoding in encodings if encoding is not None]
        self.encoding: str | None = ", ".join(known) or None

    def _opened(self, at: int) -> Table:
        name = self._found.names[at]
        try:
            table = self._open_one(self._found.files[at], name)
        except InvalidArgumentError as error:
            if name in str(error):
                raise
            raise InvalidArgumentError(f"{name}: {error}", argument=error.argument) from None
        if table.format == "xlsx":
            raise InvalidArgumentError(
                f"{name} is a workbook, despite its name; the files of one table must be CSV or Parquet"
            )
        return table

    def _check_same(self, first: Table, one: Table, at: int) -> None:
        name, other = self._found.names[0], self._found.names[at]
        if one.format != first.format:
            raise InvalidArgumentError(
                f"{name} is {first.format}, and {other} is {one.format}: the files of one table must "
                "have one format. Remove the files that do not belong to it, or select the others by a "
                "pattern"
            )
        names, others = first.sections[0].header.names, one.sections[0].header.names
        if names == others:
            return
        first_other = next((at for at, (a, b) in enumerate(zip(names, others, strict=False)) if a != b), None)
        if first_other is None:
            longer, rest = (
                (name, names[len(others) :]) if len(names) > len(others) else (other, others[len(names) :])
            )
            what = f"only {longer} has {listed(rest)}"
        else:
            pair = names[first_other] or "(no name)", others[first_other] or "(no name)"
            what = f"column {first_other + 1} is {pair[0]} and {pair[1]}"
        raise InvalidArgumentError(
            f"{name} and {other} differ in their column names: {what}. The files of one table must have "
            "the same columns"
        )

    def records(self) -> Iterator[Record]:
        """Iterate over the rows of all files."""
        self.blank_lines = self.totals = 0
        self._said = {}
        for at, name in enumerate(self.files):
            table = self._opened(at)
            for record in table.records():
                if record.row >= SPAN:
                    raise InvalidArgumentError(
                        f"{name} has {SPAN:,} rows or more; split it into several files"
                    )
                record.row += (at + 1) * SPAN
                yield record
            self.blank_lines: int = self.blank_lines + table.blank_lines
            self.totals: int = self.totals + table.totals
            for note in table.notes():
                self._said.setdefault(note, []).append(name)

    def notes(self) -> list[str]:
        """Notes: which files were read, and remarks about them."""
        said = [
            note if len(names) == len(self.files) > 1 else f"{listed(names)}: {note}"
            for note, names in self._said.items()
        ]
        return [*self._found.notes(), *said]
