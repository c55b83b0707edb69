"""Several files that are one table: a folder, or the files that a pattern names.

Jobs that write tables in parts leave more in a folder than the parts: marks (`_SUCCESS`), checksums (`.crc`),
drafts of what is still being written. Taken for a part, a draft puts its rows in twice; passed over in
silence, a part that was renamed is missing. So what is no part by its name is passed over and told, and what
looks like rows that cannot be read along is refused.
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
"""Where several sheets or files are read, row 3 of the second one is row 20000003."""
MOST_FILES = 10_000
NAMED = 5
"""Files that a note names."""
_PART = re.compile(r".+\.(csv|tsv|txt|parquet|pq|parq)(\.(gz|zip))?", re.IGNORECASE)
_WORKBOOK = re.compile(r".+\.(xlsx|xlsm|xlsb|xls|ods|et)", re.IGNORECASE)
_TEMPORARY = re.compile(
    r"[._~].*|.*(~|\.(crc|tmp|temp|partial|part|crdownload|download|inprogress|swp|bak))", re.I
)
_PATTERN = re.compile(r"[*?\[]")


@attrs.frozen
class FileSet:
    """The files of a table in the order of their names, which is the order of its rows."""

    path: Path
    """What was asked for: a file, a folder or a pattern."""
    files: tuple[Path, ...]
    """The files."""
    names: tuple[str, ...] = ()
    """What each is called in messages; none for a file that stands alone."""
    passed_over: tuple[str, ...] = ()
    """What is there as well, and is not read."""

    @classmethod
    def of(cls, path: Path, argument: str = "ledger") -> FileSet:
        """Find the files of a table.

        Raises InvalidArgumentError if there is none, or one that cannot be read along with others.
        """
        if path.is_dir():
            return cls._chosen(path, sorted(path.iterdir()), argument, only_parts=True)
        if not path.exists() and _PATTERN.search(str(path)):
            found = sorted(map(Path, glob.glob(str(path), recursive=True)))  # noqa: PTH207  # of any folder
            if not found:
                raise InvalidArgumentError(f"no file matches {path}", argument=argument)
            return cls._chosen(path, found, argument, only_parts=False)
        if not path.is_file():
            raise InvalidArgumentError(f"no such {argument}: {path}", argument=argument)
        return cls(path, (path,))

    @classmethod
    def _chosen(cls, path: Path, found: Sequence[Path], argument: str, *, only_parts: bool) -> FileSet:
        files: list[Path] = []
        passed_over: list[Path] = []
        for one in found:
            is_part = one.is_file() and not _TEMPORARY.fullmatch(one.name)
            if is_part and _WORKBOOK.fullmatch(one.name):
                raise InvalidArgumentError(
                    f"{one} is a workbook: the files of one table are CSV or Parquet. Read it by itself, or "
                    f"name the others by a pattern, such as '{one.parent / '*.csv'}'",
                    argument=argument,
                )
            (files if is_part and (_PART.fullmatch(one.name) or not only_parts) else passed_over).append(one)
        folder = path if only_parts else Path(os.path.commonpath([one.parent for one in found]))
        others = tuple(f"{one.relative_to(folder).as_posix()}{'/' * one.is_dir()}" for one in passed_over)
        if not files:
            raise InvalidArgumentError(_nothing(path, others), argument=argument)
        if len(files) > MOST_FILES:
            raise InvalidArgumentError(
                f"{path}: {len(files):,} files, and at most {MOST_FILES:,} can be one table",
                argument=argument,
            )
        names = tuple(one.relative_to(folder).as_posix() for one in files)
        return cls(path, tuple(files), names, others)

    def check_out(self, out: Path) -> None:
        """Refuse to write into the folder of several files: the next run would take the results for rows."""
        if self.names and out.exists() and any(out.samefile(one.parent) for one in self.files):
            raise InvalidArgumentError(
                f"{out} holds the files of the ledger; results need another folder", argument="out"
            )

    def notes(self) -> list[str]:
        """What people should know: which files were read, and which were not."""
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
    hint = f"; name the files in its folders by a pattern, such as '{path / '*' / '*.csv'}'" if deeper else ""
    return f"{path} has no file that ends in .csv or .parquet, but {listed(others)}{hint}"


def listed(names: Sequence[str]) -> str:
    """The first few names, and how many more there are.

    >>> listed(["a", "b"]), listed(list("abcdefgh"))
    ('a, b', 'a, b, c, d, e and 3 more')
    """
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def place_of(row: int, files: Sequence[str] = ()) -> str:
    """Where a row stands, for people.

    >>> place_of(7), place_of(20_000_003, ["a.csv", "b.csv"])
    ('row 7', 'row 3 of b.csv')
    """
    if not files:
        return f"row {row}"
    number, row = divmod(row, SPAN)
    return f"row {row} of {files[number - 1]}"


def name_of(path: Path) -> str:
    """What reports call a table; the folder one stands in has no name of its own."""
    return path.name or path.resolve().name
