"""An append-only file of records: one line for each, with its length and a checksum.

The parts of a job are in a folder that several machines share, often a network file system, where an SQLite
file is not safe. A killed process, or a machine that loses power, leaves at most one broken line at the end.
The next opening cuts it off, and its record counts as never written. A broken line anywhere else is damage
and is reported.
"""

from __future__ import annotations

import contextlib
import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from pandapon_async.errors import ConfigurationError
from pandapon_async.storage.files import append_to, only_writer

__all__ = ["RecordFile", "read_records"]

_HEAD = 18
"""The characters before a record: its length and its checksum, 8 hex digits and a space each."""


@attrs.frozen
class RecordFile:
    """A file of records, open for this process only."""

    path: Path
    records: list[Any]
    """The records in the file when it was opened."""
    _descriptor: int = attrs.field(repr=False)

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[RecordFile]:
        """Open or create a file and lock it for this process.

        Raises:
            ConfigurationError: Another process uses the file, or it cannot be used or is damaged.
        """
        with only_writer(path), append_to(path) as descriptor:
            records, good = _read(path)
            if good < path.stat().st_size:
                os.ftruncate(descriptor, good)
            yield cls(path, records, descriptor)

    def append(self, record: Any) -> None:
        """Add a record of JSON types. After the return it survives the end of the process."""
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
        os.write(self._descriptor, b"%08x %08x %s\n" % (len(text), zlib.crc32(text), text))

    def flush(self) -> None:
        """Wait until all records are on disk, so they survive a power cut too."""
        os.fsync(self._descriptor)


def read_records(path: Path) -> list[Any]:
    """Read the records of a file without changing it; none if the file does not exist.

    Raises:
        ConfigurationError: The file cannot be read or is damaged.
    """
    return _read(path)[0] if path.exists() else []


def _read(path: Path) -> tuple[list[Any], int]:
    """Return the records and their length in bytes."""
    records: list[Any] = []
    good = 0
    try:
        with path.open("rb") as file:
            broken = 0
            for number, line in enumerate(file, 1):
                if broken:
                    raise ConfigurationError(
                        f"{path} is damaged in line {broken} and not used. Remove the file: its rows are "
                        "looked up again"
                    )
                text = line[_HEAD:-1]
                if line != b"%08x %08x %s\n" % (len(text), zlib.crc32(text), text):
                    broken = number
                    continue
                records.append(json.loads(text))
                good += len(line)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror or type(error).__name__}") from None
    return records, good
