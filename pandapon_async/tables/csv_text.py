"""The encoding of a CSV file, decided from the whole file.

Bytes are rarely valid UTF-8 by accident but nearly always valid GB18030, so they are tried in this order. A
broken byte does not fail the file; it is marked in its place. It does not change the encoding either: read as
GB18030, a file in UTF-8 with one broken byte would have other texts in every row.

Where both GB18030 and Big5 are possible, the encoding whose characters are common ones is the likelier. The
column names decide before that.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from pandapon_async.errors import InvalidArgumentError

__all__ = ["Encodings", "encodings_of"]

BLOCK = 1 << 18
COMMON: Mapping[str, tuple[str, range]] = {
    "gb18030": ("gb2312", range(0xB0, 0xD8)),
    "big5hkscs": ("big5", range(0xA4, 0xC7)),
}
"""The first bytes of the common characters, by encoding, in the smaller encoding that has them."""
FEW = 2
JUDGED = 20_000
"""How many characters are enough to judge an encoding by."""
_CHINESE = re.compile("[\u3001-\u9fff\uff01-\uff5e]")
_LETTERS = re.compile("[^\x00-\x7f\u2000-\u303f\uff00-\uffef\xa0-\xbf]")
TOLERATED, ONE_IN = 20, 200
"""A file with more broken places than this, in number and by share of its bytes, is not text."""


@attrs.frozen
class Encodings:
    """The possible encodings of a file, the likeliest first.

    `broken` is the number of broken places by encoding, `doubtful` are those whose texts look wrong.
    """

    names: tuple[str, ...]
    broken: Mapping[str, int] = attrs.field(factory=dict)
    doubtful: frozenset[str] = frozenset()

    def notes(self, chosen: str | None) -> list[str]:
        """Notes about the chosen encoding, one sentence each."""
        notes = []
        if chosen is not None and (count := self.broken.get(chosen)):
            notes.append(f"bytes that are not {chosen}, marked with \ufffd: {count:,}")
        if chosen in self.doubtful:
            notes.append(
                f"read as {chosen}, but its texts look wrong; if they are, save the file as CSV in UTF-8"
            )
        return notes


def encodings_of(path: Path, name: str | None = None) -> Encodings:
    """Return the possible encodings of a file. Raises InvalidArgumentError if it is not text.

    `name` is the name for messages, if the file has another one for people.
    """
    said = name or path.name
    with path.open("rb") as file:
        head = file.read(1 << 14)
    if wide := _wide(head):
        return Encodings((wide,), {wide: _broken(path, wide)})
    if head.count(0) * 4 > len(head):
        raise InvalidArgumentError(
            f"{said} is not text, because it consists mostly of zero bytes; export the table again"
        )
    if _broken(path, "utf-8-sig", first=True) == 0:
        return Encodings(("utf-8-sig",))
    if (broken := _broken_of_utf8(path)) is not None:
        return Encodings(("utf-8-sig",), {"utf-8-sig": broken})
    if sound := [name for name in COMMON if _broken(path, name, first=True) == 0]:
        return _ranked(path, dict.fromkeys(sound, 0))
    counts = {name: _broken(path, name) for name in ("utf-8-sig", *COMMON)}
    size = path.stat().st_size
    possible = {name: count for name, count in counts.items() if count <= TOLERATED or count * ONE_IN <= size}
    if not possible:
        places = " nor ".join(
            f"{title} (byte {_first_broken(path, name)} breaks it)"
            for title, name in (("UTF-8", "utf-8-sig"), ("GB18030", "gb18030"))
        )
        raise InvalidArgumentError(f"{said} is neither {places}; save it as CSV in UTF-8")
    return _ranked(path, possible)


def _ranked(path: Path, broken: Mapping[str, int]) -> Encodings:
    """Order possible encodings by the share of common characters, then by broken places."""
    judged = {name: _common_share(path, name) for name in broken}
    names = sorted(broken, key=lambda name: (-round(judged[name] or 0.0, 1), broken[name]))
    doubtful = {name for name, share in judged.items() if share is not None and share < 0.5}
    return Encodings(tuple(names), dict(broken), frozenset(doubtful))


def _common_share(path: Path, name: str) -> float | None:
    """Return the share of common characters among the first ones; None for too few to tell."""
    if name not in COMMON:
        return None
    smaller, first_bytes = COMMON[name]
    decoder = codecs.getincrementaldecoder(name)("replace")
    common = seen = 0
    for block in _blocks(path):
        for letter in _LETTERS.findall(decoder.decode(block, final=not block)):
            seen += 1
            encoded = letter.encode(smaller, "ignore")
            common += bool(encoded) and encoded[0] in first_bytes
        if seen > JUDGED:
            break
    return common / seen if seen >= FEW else None


def _broken_of_utf8(path: Path) -> int | None:
    """Count the broken places of a file in UTF-8; None if it is in another encoding.

    Chinese characters have three bytes of a strict form in UTF-8, which other encodings hardly ever have. So
    it is UTF-8 if they are more than the broken places.
    """
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    broken = chinese = 0
    for block in _blocks(path):
        text = decoder.decode(block, final=not block)
        broken += text.count("\ufffd")
        chinese += len(_CHINESE.findall(text))
        if broken > max(TOLERATED, chinese):
            return None
    return broken if chinese > broken else None


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
