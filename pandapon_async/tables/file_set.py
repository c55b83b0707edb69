"""Several files as one table: a folder, or the files that match a pattern.

Jobs that write tables in parts leave other files in the folder too: marks (`_SUCCESS`), checksums (`.crc`),
unfinished drafts. A draft taken for a part would duplicate rows; a renamed part ignored silently would be
missing. So a file that is not a part by its name is ignored and reported, and a file that seems to hold rows
but cannot be read with the others is refused.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from pathlib import Path

import attrs

from pandapon_async.errors import InvalidArgumentError

__all__ = ["SPAN", "FileSet", "listed", "name_of", "place_of"]

SPAN = 10_000_000
"""With several sheets or files, row 3 of the second one has the number 20000003."""
MOST_FILES = 10_000
NAMED = 5
"""How many files a note lists."""
_PART = re.compile(r".+\.(csv|tsv|txt|parquet|pq|parq)(\.(gz|zip))?", re.IGNORECASE)
_WORKBOOK = re.compile(r".+\.(xlsx|xlsm|xlsb|xls|ods|et)", re.IGNORECASE)
_TEMPORARY = re.compile(
    r"[._~].*|.*(~|\.(crc|tmp|temp|partial|part|crdownload|download|inprogress|swp|bak))", re.I
)
_PATTERN = re.compile(r"[*?\[]")


@attrs.frozen
class FileSet:
    """The files of a table, in the order of their names and of its rows."""

    path: Path
    """The user's path: a file, a folder or a pattern."""
    files: tuple[Path, ...]
    """The files."""
    names: tuple[str, ...] = ()
    """The name of each file in messages; empty for a single file."""
    passed_over: tuple[str, ...] = ()
    """Other files that are not read."""

    @classmethod
    def of(cls, path: Path, argument: str = "ledger") -> FileSet:
        """Find the files of a table.

        Raises InvalidArgumentError if there is no file, or one that cannot be read with the others.
        """
        if path.is_dir():
            return cls._chosen(path, sorted(path.iterdir()), argument, only_parts=True)
        if not path.exists() and _PATTERN.search(str(path)):
            found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207  # of any folder
            if not found:
                raise InvalidArgumentError(f"no file matches {path}", argument=argument)
            return cls._chosen(path, found, argument, only_parts=False)
        if not path.is_file():
            raise InvalidArgumentError(f"the {argument} {path} does not exist", argument=argument)
        return cls(path, (path,))

    @classmethod
    def _chosen(cls, path: Path, found: Sequence[Path], argument: str, *, only_parts: bool) -> FileSet:
        files: list[Path] = []
        passed_over: list[Path] = []
        for one in found:
            is_part = one.is_file() and not _TEMPORARY.fullmatch(one.name)
            if is_part and _WORKBOOK.fullmatch(one.name):
                raise InvalidArgumentError(
                    f"{one} is a workbook: the files of one table must be CSV or Parquet. Read it "
                    f"separately, or select the others by a pattern, such as '{one.parent / '*.csv'}'",
                    argument=argument,
                )
            (files if is_part and (_PART.fullmatch(one.name) or not only_parts) else passed_over).append(one)
        folder = path if only_parts else Path(os.path.commonpath([one.parent for one in found]))
        others = tuple(f"{one.relative_to(folder).as_posix()}{'/' * one.is_dir()}" for one in passed_over)
        if not files:
            raise InvalidArgumentError(_nothing(path, others), argument=argument)
        if len(files) > MOST_FILES:
            raise InvalidArgumentError(
                f"{path} has {len(files):,} files; one table can have at most {MOST_FILES:,}",
                argument=argument,
            )
        names = tuple(one.relative_to(folder).as_posix() for one in files)
        return cls(path, tuple(files), names, others)

    def check_out(self, out: Path) -> None:
        """Refuse to write into the folder of the files: the next run would read the results as rows."""
        if self.names and out.exists() and any(out.samefile(one.parent) for one in self.files):
            raise InvalidArgumentError(
                f"{out} holds the files of the ledger; choose another folder for the results", argument="out"
            )

    def notes(self) -> list[str]:
        """Notes for people: which files were read, and which were not."""
        if not self.names:
            return []
        last = len(self.names)
        numbered = (
            f"; rows are numbered by file: {last * SPAN + 2} is row 2 of {self.names[-1]}" if last > 1 else ""
        )
        notes = [f"files read: {listed(self.names)}{numbered}"]
        if self.passed_over:
            notes.append(f"not read: {listed(self.passed_over)}")
        return notes


def _nothing(path: Path, others: Sequence[str]) -> str:
    if not others:
        return f"{path} is an empty folder"
    deeper = next(
        (name for name in others if name.endswith("/") and not _TEMPORARY.fullmatch(name[:-1])), None
    )
    hint = (
        f"; select the files in its subfolders by a pattern, such as '{path / '*' / '*.csv'}'"
        if deeper
        else ""
    )
    return f"{path} has no .csv or .parquet file, only {listed(others)}{hint}"


def listed(names: Sequence[str]) -> str:
    """List the first few names and the number of the others.

    >>> listed(["a", "b"]), listed(list("abcdefgh"))
    ('a, b', 'a, b, c, d, e and 3 more')
    """
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def place_of(row: int, files: Sequence[str] = ()) -> str:
    """Name the place of a row for people.

    >>> place_of(7), place_of(20_000_003, ["a.csv", "b.csv"])
    ('row 7', 'row 3 of b.csv')
    """
    if not files:
        return f"row {row}"
    number, row = divmod(row, SPAN)
    return f"row {row} of {files[number - 1]}"


def name_of(path: Path) -> str:
    """The name of a table in reports; the current folder has no name of its own."""
    return path.name or path.resolve().name
