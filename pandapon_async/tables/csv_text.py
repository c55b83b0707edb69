"""The encoding of a CSV file, decided from the whole file.

Bytes are rarely valid UTF-8 by accident but nearly always valid GB18030, so they are tried in this order. A
broken byte does not fail the file; it is marked in its place.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from pathlib import Path

import attrs

from pandapon_async.errors import InvalidArgumentError

__all__ = ["Encodings", "encodings_of"]

BLOCK = 1 << 18
TRIED = ("utf-8-sig", "gb18030")
TOLERATED, ONE_IN = 20, 200
"""A file with more broken places than this, in number and by share of its bytes, is not text."""


@attrs.frozen
class Encodings:
    """The possible encodings of a file, the likeliest first, and its number of broken bytes."""

    names: tuple[str, ...]
    broken: int = 0


def encodings_of(path: Path) -> Encodings:
    """Return the possible encodings of a file. Raises InvalidArgumentError if it is not text."""
    with path.open("rb") as file:
        head = file.read(1 << 14)
    if wide := _wide(head):
        return Encodings((wide,), _broken(path, wide))
    if head.count(0) * 4 > len(head):
        raise InvalidArgumentError(
            f"{path.name} is not text, because it consists mostly of zero bytes; export the table again"
        )
    if _broken(path, "utf-8-sig", first=True) == 0:
        return Encodings(("utf-8-sig",))
    if sound := [name for name in ("gb18030", "big5hkscs") if _broken(path, name, first=True) == 0]:
        return Encodings(tuple(sound))
    broken, _, name = min((_broken(path, name), order, name) for order, name in enumerate(TRIED))
    if broken > TOLERATED and broken * ONE_IN > path.stat().st_size:
        places = " nor ".join(
            f"{title} (byte {_first_broken(path, name)} breaks it)"
            for title, name in (("UTF-8", "utf-8-sig"), ("GB18030", "gb18030"))
        )
        raise InvalidArgumentError(f"{path.name} is neither {places}; save it as CSV in UTF-8")
    return Encodings((name,), broken)


def _wide(head: bytes) -> str | None:
    """Detect UTF-16 or UTF-32 by the byte order mark or by the positions of zero bytes."""
    for mark, name in (
        (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
    ):  # fmt: skip
        if head.startswith(mark):
            return name
    if len(head) >= 8:
        if not any(head[2::4] + head[3::4]) and any(head[::4]):
            return "utf-32-le"
        if not any(head[::4] + head[1::4]) and any(head[3::4]):
            return "utf-32-be"
    pairs = len(head) // 2
    even, odd = head[::2].count(0), head[1::2].count(0)
    if pairs and odd * 5 > pairs and odd > 3 * even:
        return "utf-16-le"
    if pairs and even * 5 > pairs and even > 3 * odd:
        return "utf-16-be"
    return None


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block
        yield b""


def _broken(path: Path, encoding: str, *, first: bool = False) -> int:
    """Count the broken places of a file in an encoding; at most one with `first`, which is faster."""
    decoder = codecs.getincrementaldecoder(encoding)("strict" if first else "replace")
    broken = 0
    for block in _blocks(path):
        try:
            broken += decoder.decode(block, final=not block).count("\ufffd")
        except UnicodeDecodeError:
            return 1
    return 0 if first else broken


def _first_broken(path: Path, encoding: str) -> int:
    decoder = codecs.getincrementaldecoder(encoding)("strict")
    read = 0
    for block in _blocks(path):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(block, final=not block)
        except UnicodeDecodeError as error:
            return read - pending + error.start
        read += len(block)
    return read
