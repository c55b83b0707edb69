"""Request bodies with an image in them: encoded piece by piece while they are sent.

A JSON body with a 1 MB image costs a hundred times more to build with `json.dumps` than to stream,
and holds the image four times in memory. Here the text around the image is made once, the length
is known beforehand, and the image passes through in pieces.
"""

from __future__ import annotations

import asyncio
import io
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import pybase64
from aiohttp import payload
from aiohttp.abc import AbstractStreamWriter

from pandapon_async.core.codec import dumps
from pandapon_async.images import Image

__all__ = ["ImageBody"]

PIECE = 192 * 1024  # bytes of source per write; a multiple of 3, so that pieces join without padding
_MARK = "@image@"


class ImageBody(payload.Payload):
    """The JSON object `fields`, one of whose values is an `Image`. Made anew for every attempt."""

    def __init__(self, fields: Mapping[str, Any]) -> None:
        image = next(value for value in fields.values() if isinstance(value, Image))
        around = dumps({name: _MARK if value is image else value for name, value in fields.items()})
        self._head, self._tail = around.split(_MARK.encode(), 1)
        self._image = image
        super().__init__(image, content_type="application/json")

    @property
    def size(self) -> int:
        """The exact length of the body."""
        return len(self._head) + (self._image.size + 2) // 3 * 4 + len(self._tail)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The whole body as text; nothing in the library asks for it."""
        raise TypeError("an image body is only ever streamed")

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Send the body. Raises OSError if the file is not what it was when it was checked."""
        await writer.write(self._head)
        file = await self._open()
        try:
            left = self._image.size
            while left:
                piece = await self._read(file, min(PIECE, left))
                if not piece:
                    raise OSError("the image file became shorter while it was waiting")
                left -= len(piece)
                await writer.write(pybase64.b64encode(piece))
        finally:
            file.close()
        await writer.write(self._tail)

    async def write_with_length(self, writer: AbstractStreamWriter, content_length: int | None) -> None:
        """Send the body; its length is always known, so a limit has nothing to cut."""
        await self.write(writer)

    async def _open(self) -> IO[bytes]:
        if isinstance(self._image.source, Path):
            return await asyncio.to_thread(self._image.source.open, "rb")
        return io.BytesIO(self._image.source)

    async def _read(self, file: IO[bytes], size: int) -> bytes:
        if isinstance(file, io.BytesIO):
            return file.read(size)
        return await asyncio.to_thread(_read_exactly, file, size)


def _read_exactly(file: IO[bytes], size: int) -> bytes:
    return file.read(size)
