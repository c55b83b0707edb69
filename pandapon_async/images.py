"""Images to upload: checked by their first bytes before anything is sent, read only when sent.

A path is opened when its turn comes, so ten thousand queued uploads hold ten thousand paths, not ten thousand
images.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import IO, Any, Self

import attrs

__all__ = ["Image", "ImageSource", "image_format"]

TYPE_SIGNATURES: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "jpeg"),
    (b"\x89PNG\r\n\x1a\n", "png"),
    (b"GIF87a", "gif"),
    (b"GIF89a", "gif"),
    (b"BM", "bmp"),
)

_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "heic"),
    **dict.fromkeys((b"avif", b"avis"), "avif"),
}
"""The brands in ISO container files from iPhones and newer cameras."""
_HELP = {
    "webp": "; compress=True (--compress) converts it to JPEG",
    "heic": ", the format of iPhone photos; save it as JPEG first",
    "avif": "; save it as JPEG first",
}

ImageSource = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]


def image_format(head: bytes) -> str | None:
    """Return the format that the first bytes show, or None.

    >>> image_format(b"GIF89a...")
    'gif'
    """
    for signature, name in TYPE_SIGNATURES:
        if head.startswith(signature):
            return name
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "webp"
    return _BRANDS.get(head[8:12]) if head[4:8] == b"ftyp" else None


@attrs.define(frozen=True, repr=False)
class Image:
    """One image: the source of its bytes, their number and their format."""

    source: bytes | Path
    """The bytes, or the file from which they are read on sending."""
    size: int
    """The size in bytes."""
    format: str
    """The format: "jpeg", "png", "gif", "bmp" or "webp"."""

    @classmethod
    def open(cls, source: Any, *, maximum_bytes: int, formats: tuple[str, ...]) -> Self:
        """Check an image from bytes, a path or a binary file.

        Raises ValueError with the accepted form. A file object is read here, because a retry needs the bytes
        again and it cannot be read twice.
        """
        if isinstance(source, str | os.PathLike):
            kept: bytes | Path
            kept, size, head = _look_into(source)
        else:
            kept = _bytes_of(source, maximum_bytes)
            size, head = len(kept), kept[:16]
        found = image_format(head)
        if size == 0:
            raise ValueError("is empty")
        if found is None or found not in formats:
            is_now = found or "not a known image format (a base64 text must be decoded first)"
            helps = _HELP.get(found or "", "")
            raise ValueError(f"must be one of {', '.join(formats)}; by its first bytes it is {is_now}{helps}")
        if size > maximum_bytes:
            raise ValueError(f"must have at most {maximum_bytes} bytes, but has {size}")
        return cls(kept, size, found)

    def read(self) -> bytes:
        """Return all bytes; raises ValueError if the file changed its size since the check or is gone."""
        if isinstance(self.source, bytes):
            return self.source
        try:
            with self.source.open("rb") as file:
                data = file.read(self.size + 1)
        except OSError:
            data = b""
        if len(data) != self.size:
            raise ValueError("changed while it was waiting")
        return data

    def digest(self) -> str:
        """The SHA-256 of the bytes in hex; the same image has the same digest under any name."""
        return hashlib.sha256(self.read()).hexdigest()

    def __repr__(self) -> str:
        return f"Image({self.format}, {self.size} bytes)"


def _look_into(source: str | os.PathLike[str]) -> tuple[Path, int, bytes]:
    """Return path, size and first bytes of a file. No error quotes the path: it may name a person."""
    try:
        path = Path(source)
        if path.is_file():
            with path.open("rb") as file:
                return path, os.fstat(file.fileno()).st_size, file.read(16)
    except (OSError, TypeError):  # no permission; a base64 text that is too long for a name; bytes
        pass
    hint = " (a base64 text must be decoded first)" if isinstance(source, str) else ""
    raise ValueError(f"must be the path of an image file that can be read{hint}")


def _bytes_of(source: Any, maximum_bytes: int) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    if getattr(source, "read", None) is None:
        raise ValueError(f"must be bytes, a path or a binary file, not {type(source).__name__}")
    file: IO[bytes] = source
    kept = bytearray()
    try:
        # A pipe or an unbuffered file may return less than all its bytes.
        while len(kept) <= maximum_bytes and (piece := file.read(maximum_bytes + 1 - len(kept))):
            if not isinstance(piece, bytes):
                raise TypeError
            kept += piece
    except TypeError:
        raise ValueError("the file must be opened in binary mode ('rb')") from None
    except (OSError, ValueError):
        raise ValueError("the file could not be read (closed?)") from None
    return bytes(kept)
