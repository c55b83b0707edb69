"""Images to upload: checked from their bytes before anything is sent, read only when sent.

A path is opened when its turn comes, so ten thousand queued uploads hold ten thousand paths and
not ten thousand images.
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

ImageSource = bytes | bytearray | memoryview | str | os.PathLike[str] | IO[bytes]


def image_format(head: bytes) -> str | None:
    """The format that the first bytes say, or None.

    >>> image_format(b"GIF89a...")
    'gif'
    """
    for signature, name in TYPE_SIGNATURES:
        if head.startswith(signature):
            return name
    return None


@attrs.define(frozen=True, repr=False)
class Image:
    """One image: where its bytes are, how many, and what they are."""

    source: bytes | Path
    size: int
    format: str

    @classmethod
    def open(cls, source: Any, *, maximum_bytes: int, formats: tuple[str, ...]) -> Self:
        """Check an image given as bytes, path or binary file.

        Raises ValueError with what would be right. A file object is read here, since it cannot be
        read twice and a retry needs the bytes again.
        """
        if isinstance(source, str | os.PathLike):
            path = Path(source)
            if not path.is_file():
                raise ValueError(f"no such image file: {path.name}")
            size = path.stat().st_size
            with path.open("rb") as file:
                head = file.read(16)
            kept: bytes | Path = path
        else:
            kept = _bytes_of(source, maximum_bytes)
            size, head = len(kept), kept[:16]
        found = image_format(head)
        if size == 0:
            raise ValueError("the image is empty")
        if found is None or found not in formats:
            is_now = found or "no known image format (a base64 text must be decoded first)"
            raise ValueError(f"must be one of {', '.join(formats)} by its first bytes; it is {is_now}")
        if size > maximum_bytes:
            raise ValueError(f"must have at most {maximum_bytes} bytes, has {size}")
        return cls(kept, size, found)

    def read(self) -> bytes:
        """All bytes; raises ValueError if the file changed its size since it was checked."""
        data = self.source if isinstance(self.source, bytes) else self.source.read_bytes()
        if len(data) != self.size:
            raise ValueError("the image file changed while it was waiting")
        return data

    def digest(self) -> str:
        """SHA-256 of the bytes, hex; the same image has the same digest under any name."""
        return hashlib.sha256(self.read()).hexdigest()

    def __repr__(self) -> str:
        return f"Image({self.format}, {self.size} bytes)"


def _bytes_of(source: Any, maximum_bytes: int) -> bytes:
    if isinstance(source, bytes | bytearray | memoryview):
        return bytes(source)
    read = getattr(source, "read", None)
    if read is None:
        raise ValueError(f"must be bytes, a path or a binary file, not {type(source).__name__}")
    file: IO[bytes] = source
    data = file.read(maximum_bytes + 1)
    if not isinstance(data, bytes):
        raise ValueError("the file must be opened in binary mode ('rb')")
    return data
