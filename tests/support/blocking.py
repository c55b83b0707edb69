"""A fixture that fails a test in which anything blocks the event loop; import it into a test module."""

from __future__ import annotations

from collections.abc import Iterator

import cattrs  # noqa: F401  (the library imports these two on first use, which reads files: once)
import pytest
import tenacity.asyncio  # noqa: F401
from blockbuster import BlockBuster, blockbuster_ctx

__all__ = ["nothing_blocks"]


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[BlockBuster]:
    """Any blocking call made inside the loop raises BlockingError."""
    with blockbuster_ctx() as watch:
        yield watch
