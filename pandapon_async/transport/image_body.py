"""Request bodies with an image: encoded piece by piece while they are sent.

Building a JSON body with a 1 MB image by `json.dumps` costs a hundred times more than streaming it and holds
the image four times in memory. Here the text around the image is built once, the length is known in advance,
and the image is encoded in pieces.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from pandapon_async.core.json_codec import dumps
from pandapon_async.errors import InvalidArgumentError, Outcome
from pandapon_async.images import Image

__all__ = ["ImageBody"]

PIECE = 192 * 1024  # most bytes of source per write; a multiple of 3, so the pieces need no padding
SMALLEST_PIECE = 12 * 1024
TOGETHER = 3 * 1024 * 1024  # most bytes of source of all uploads together; many uploads use smaller pieces
_MARK = "@image@"


class ImageBody(payload.Payload):
    """The body of the JSON object `fields`, which contains an `Image`. Every attempt needs a new one."""

    # The uploads of this process, counted from their start; otherwise the first of many would use large
    # pieces.
    _all: ClassVar[weakref.WeakSet[ImageBody]] = weakref.WeakSet()

    def __init__(self, fields: Mapping[str, Any]) -> None:
        image = next(value for value in fields.values() if isinstance(value, Image))
        around = dumps({name: _MARK if value is image else value for name, value in fields.items()})
        self._head, self._tail = around.split(_MARK.encode(), 1)
        self._image = image
        self.failure: InvalidArgumentError | None = None
        super().__init__(image, content_type="application/json")
        self._all.add(self)

    @property
    def size(self) -> int:
        """The exact length of the body."""
        return len(self._head) + (self._image.size + 2) // 3 * 4 + len(self._tail)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Required by the base class; the library never calls it."""
        raise TypeError("an image body can only be streamed")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body. If the file changed since its check, `failure` holds the error."""
        import pybase64

        position = 0
        first: os.stat_result | None = None
        try:
            while position < self._image.size:
                piece, first = await self._read(position, first)
                if position == 0:
                    await writer.write(self._head)
                position += len(piece)
                await writer.write(pybase64.b64encode(piece))
        except _Unreadable as reason:
            self.failure = InvalidArgumentError(str(reason), argument="image")
            # After a part was sent the outcome is unknown; before that nothing was sent.
            self.failure.outcome = Outcome.UNKNOWN if position else Outcome.NOT_SENT
            raise
        await writer.write(self._tail)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the body; its length is known, so the limit never applies."""
        await self.write(writer)

    async def _read(
        self, position: int, first: os.stat_result | None
    ) -> tuple[bytes | memoryview, os.stat_result | None]:
        """Read the next piece; record the state of the file at the first one."""
        source, size = self._image.source, self._image.size
        piece = max(SMALLEST_PIECE, min(PIECE, TOGETHER // len(self._all))) // 3 * 3
        end = min(position + piece, size)
        if isinstance(source, Path):
            return await asyncio.to_thread(_read_file, source, position, end, size, first)
        return memoryview(source)[position:end], None


class _Unreadable(Exception):
    """The file is gone or has changed since its check."""


def _read_file(
    path: Path, position: int, end: int, size: int, first: os.stat_result | None
) -> tuple[bytes, os.stat_result]:
    """Opens and closes the file itself, so a cancelled call leaves no file open."""
    try:
        with path.open("rb") as file:
            now = os.fstat(file.fileno())
            if now.st_size != size or (first is not None and _identity(now) != _identity(first)):
                raise _Unreadable("the image file changed while it was waiting or being sent")
            file.seek(position)
            piece = file.read(end - position)
    except OSError as error:
        raise _Unreadable(f"the image file cannot be read any more ({type(error).__name__})") from None
    if len(piece) != end - position:
        raise _Unreadable("the image file changed while it was being sent")
    return piece, now


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_dev, status.st_ino, status.st_mtime_ns
