"""Records in a plain file that only grows: a line each, with its length and a checksum.

The parts of a job lie in a folder that several machines share, often a network file system, where a SQLite
file is not safe. A process that is killed, or a machine that loses power, leaves at most one broken line at
the end: it is cut off when the file is opened again, and its record counts as never written. A broken line
anywhere else is damage, and is named.
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
"""Characters before a record: its length and its checksum, 8 hex digits each, and a blank after each."""


@attrs.frozen
class RecordFile:
    """A file of records, open for this process alone."""

    path: Path
    records: list[Any]
    """What was in it when it was opened."""
    _descriptor: int = attrs.field(repr=False)

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: Path) -> Iterator[RecordFile]:
        """Open or begin a file; nobody else may write it meanwhile.

        Raises: ConfigurationError if another process has it, if it cannot be used, or if it is damaged.
        """
        with only_writer(path), append_to(path) as descriptor:
            records, good = _read(path)
            if good < path.stat().st_size:
                os.ftruncate(descriptor, good)
            yield cls(path, records, descriptor)

    def append(self, record: Any) -> None:
        """Add a record of JSON's types. Once this returns, the end of the process does not lose it."""
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
        os.write(self._descriptor, b"%08x %08x %s\n" % (len(text), zlib.crc32(text), text))

    def flush(self) -> None:
        """Wait until what was added is on the disk, so that a power cut does not lose it either."""
        os.fsync(self._descriptor)


def read_records(path: Path) -> list[Any]:
    """The records of a file, which is left as it is; none if there is no file.

    Raises: ConfigurationError if it cannot be read, or if it is damaged.
    """
    return _read(path)[0] if path.exists() else []


def _read(path: Path) -> tuple[list[Any], int]:
    """The records, and how many bytes of the file they are."""
    records: list[Any] = []
    good = 0
    try:
        with path.open("rb") as file:
            broken = 0
            for number, line in enumerate(file, 1):
                if broken:
                    raise ConfigurationError(
                        f"{path} is damaged in line {broken}; nothing of it is used. "
                        "Remove it: what it holds is looked up again"
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
