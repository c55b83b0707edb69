"""Write files without losing a file of the user or exposing data to other users.

Five things go wrong otherwise: a killed run leaves half a file; two runs into one folder mix their files; a
link planted under the name of a draft redirects the writing; a user's file with the same name is overwritten;
and every user of the machine can read amounts and ids. So a file is written as a draft with a random name,
gets its own name when it is complete, replaces only a file with our mark, and is readable by its owner only.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import secrets
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Literal

import attrs

from pandapon_async.errors import ConfigurationError

__all__ = [
    "EVERYBODY",
    "Mark",
    "append_to",
    "clear_drafts",
    "make_private_folder",
    "mode_of",
    "only_writer",
    "sync_folder",
    "whole_binary_file",
    "whole_file",
]

OWNER_ONLY = 0o600
GROUP_READABLE = 0o640
EVERYBODY = 0o644
"""For files without private data, such as the description of the calls."""
_LOOKED_AT = 1024
_LOOKED_AT_FROM_BEHIND = 1 << 16
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
_DRAFT = re.compile(r"\..+\.[0-9a-f]{16}\.partial")


@attrs.frozen
class Mark:
    """How to recognise our files: by words at the beginning or end, or in the properties of a workbook."""

    words: str
    made_by: str
    """The writer of such files; completes the message "was not written by"."""
    where: Literal["head", "tail", "properties"] = "head"
    """The first 1,024 bytes, the last 65,536 (Parquet), or the core properties of a package (XLSX)."""

    def check(self, path: Path, option: str = "--out") -> None:
        """Refuse to replace a file that is not ours. A missing or empty file may be replaced.

        Raises:
            ConfigurationError: The file is not ours; the message names the file and the option.
        """
        try:
            found = path.lstat()
        except FileNotFoundError:
            return
        except OSError as error:
            raise _unusable(path, error) from None
        if stat.S_ISLNK(found.st_mode):
            raise ConfigurationError(f"{path} is a link; remove it, or choose another {option}")
        if not stat.S_ISREG(found.st_mode):
            raise ConfigurationError(f"{path} is not a file; choose another {option}")
        if found.st_size and self.words.encode() not in _marked_part(path, self.where):
            raise ConfigurationError(f"{path} was not written by {self.made_by}; choose another {option}")

    def remove(self, path: Path) -> None:
        """Remove an outdated file of ours, if it exists."""
        self.check(path)
        path.unlink(missing_ok=True)

    def stands_in(self, path: Path) -> bool:
        """Whether the file exists and has the mark."""
        found = path.lstat()
        return stat.S_ISREG(found.st_mode) and self.words.encode() in _marked_part(path, self.where)


def _marked_part(path: Path, where: str) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | _NO_LINK)
    except OSError as error:
        raise _unusable(path, error) from None
    with open(descriptor, "rb") as file:
        if where == "properties":
            return _core_properties(file)
        if where == "tail":
            file.seek(max(0, os.fstat(file.fileno()).st_size - _LOOKED_AT_FROM_BEHIND))
            return file.read(_LOOKED_AT_FROM_BEHIND)
        return file.read(_LOOKED_AT)


def _core_properties(file: IO[bytes]) -> bytes:
    import zipfile

    try:
        with zipfile.ZipFile(file) as package, package.open("docProps/core.xml") as properties:
            return properties.read(_LOOKED_AT_FROM_BEHIND)
    except (
        zipfile.BadZipFile,
        zlib.error,
        KeyError,
        EOFError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ):
        return b""  # not a workbook, or a damaged one: it does not count as ours


def mode_of(group_readable: bool) -> int:
    """The permissions of results: for the owner only, or also readable by the group."""
    return GROUP_READABLE if group_readable else OWNER_ONLY


@contextlib.contextmanager
def whole_file(
    path: Path, mark: Mark, *, mode: int = OWNER_ONLY, encoding: str = "utf-8"
) -> Iterator[IO[str]]:
    """Write a text file that gets its name only when it is complete and on disk.

    Args:
        path: The file; an existing one is replaced if it has `mark`.
        mark: How to recognise files of this kind.
        mode: The permissions, see `mode_of`.
        encoding: "utf-8", or "utf-8-sig" for a byte order mark.

    Raises: ConfigurationError if what is there is not ours, before anything is written and again before it is
    replaced.
    """
    with whole_binary_file(path, mark, mode=mode) as binary:
        file = io.TextIOWrapper(binary, encoding=encoding, newline="")
        try:
            yield file
        finally:
            file.detach()  # flushes it first


@contextlib.contextmanager
def whole_binary_file(path: Path, mark: Mark, *, mode: int = OWNER_ONLY) -> Iterator[IO[bytes]]:
    """Write a binary file, see `whole_file`."""
    mark.check(path)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY | _NO_LINK, OWNER_ONLY)
    except (FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise _unusable(path, error) from None
    try:
        with open(descriptor, "wb") as file:
            _set_mode(descriptor, mode)
            yield file
            file.flush()
            os.fsync(descriptor)
        mark.check(path)
        draft.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        draft.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a disk that is full does not say of which file
        raise


@contextlib.contextmanager
def append_to(path: Path, *, mode: int = OWNER_ONLY) -> Iterator[int]:
    """Open a file for appending, create it if necessary, and do not follow links; return the descriptor."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | _NO_LINK, OWNER_ONLY)
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        _set_mode(descriptor, mode)
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep other processes from writing the same file or into the same folder.

    Raises: ConfigurationError at once if another one does; it is `retryable`, as that one will end.
    """
    from filelock import FileLock, Timeout

    name = path / ".pandapon.lock" if path.is_dir() else path.with_name(f".{path.name}.lock")
    lock = FileLock(name, mode=OWNER_ONLY, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise ConfigurationError(
            f"{path} is being written by another process; wait for it, or choose another --out",
            retryable=True,
        ) from None
    except OSError as error:
        raise _unusable(path, error) from None
    try:
        yield
    finally:
        lock.release()


def clear_drafts(folder: Path) -> None:
    """Remove the drafts of killed runs in a folder that only this process writes into."""
    for found in folder.glob(".*.partial"):
        if _DRAFT.fullmatch(found.name):
            with contextlib.suppress(OSError):
                found.unlink()


def make_private_folder(folder: Path) -> None:
    """Create a folder that only its owner may enter, or restrict the owner's existing folder."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "nt" and stat.S_IMODE(folder.stat().st_mode) & 0o077:
        with contextlib.suppress(PermissionError):  # it belongs to another user
            folder.chmod(0o700)


def _set_mode(descriptor: int, mode: int) -> None:
    """Set permissions regardless of the umask. A file of another owner keeps its permissions."""
    if os.name != "nt":
        with contextlib.suppress(PermissionError):
            os.fchmod(descriptor, mode)


def sync_folder(folder: Path) -> None:
    """Flush the new name to disk as well. Windows has no such call."""
    if os.name != "nt":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unusable(path: Path, error: OSError) -> ConfigurationError:
    if error.errno == errno.ELOOP:
        return ConfigurationError(f"{path} is a link; remove it, or choose another --out")
    return ConfigurationError(f"{path} cannot be used: {error.strerror or type(error).__name__}")
