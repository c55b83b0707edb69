"""What fuzzing stands on: targets, the patience with a single case, and damage to bytes.

Three things hold of all targets: no error but our own, no case that takes seconds, and where there is a slow
and obvious reader, the same result.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import attrs
from hypothesis import strategies as st

PATIENCE = 3.0
"""Seconds of this process's own work that a single case may take, on a machine with other things to do."""


@attrs.frozen
class Target:
    """Where cases come from, what holds of each, and how many there are in a night."""

    cases: st.SearchStrategy[Any]
    check: Callable[[Any], None]
    nightly: int
    seed: Callable[[bytes], Any] | None = None  # a case out of bytes, for a fuzzer that is led by coverage
    runs: int = 20_000  # of that fuzzer


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    """Fails what took long, in this process's own time."""
    begun = time.process_time()
    yield
    took = time.process_time() - begun
    assert took < PATIENCE, f"{took:.1f} seconds"


@st.composite
def damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Bytes as they are, or cut, with some of them changed, doubled or left out."""
    data = bytearray(draw(whole))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        change = draw(st.integers(0, 4))
        if change == 0:
            del data[at:]
        elif change == 1:
            del data[at : at + draw(st.integers(1, 8))]
        elif change == 2:
            data[at:at] = draw(st.binary(max_size=4))
        elif change == 3:
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
        else:
            data[at:at] = data[at : at + draw(st.integers(1, 30))]
    return bytes(data)
