"""The ways in which disks, restores and editors spoil a file."""

from __future__ import annotations

import random
import re
from pathlib import Path

__all__ = ["BATCHES", "spoil"]

BATCHES = range(0, 120, 12)
"""Where batches of a dozen seeds begin: the first is for every day, all are for the night."""

_WORDS = re.compile(rb"[0-9]{3,}|[a-z_]{5,}")


def spoil(path: Path, seed: int) -> bytes:
    """Damage a file in one of five ways; gives what it is now."""
    chance = random.Random(seed)
    data = bytearray(path.read_bytes())
    kind = seed % 5
    if kind == 0:  # a stretch of other bytes
        start = chance.randrange(len(data) - 600)
        data[start : start + 600] = chance.randbytes(600)
    elif kind == 1:  # cut short
        del data[chance.randrange(100, len(data)) :]
    elif kind == 2:  # a block of zeros
        start = chance.randrange(len(data) // 4096) * 4096
        data[start : start + 4096] = bytes(4096)
    elif kind == 3:  # some bits
        for _ in range(40):
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    else:  # one letter or digit: what stands there is well formed, and SQLite itself sees nothing
        found = chance.choice(list(_WORDS.finditer(data, 4096)))
        at = chance.randrange(*found.span())
        others = b"0123456789" if data[at] in b"0123456789" else b"abcdefghijklmnopqrstuvwxyz_"
        data[at] = chance.choice(others.replace(bytes([data[at]]), b""))
    path.write_bytes(bytes(data))
    return bytes(data)
