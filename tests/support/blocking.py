"""A fixture that fails a test in which anything blocks the event loop."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

# Loaded on first use by the library; importing reads files, which blocks, once.
import cattrs  # noqa: F401  # isort: skip
import tenacity.asyncio  # noqa: F401  # isort: skip


@pytest.fixture(autouse=True)
def nothing_blocks() -> Iterator[BlockBuster]:
    """Any blocking call made inside the loop raises BlockingError."""
    with blockbuster_ctx() as watch:
        # Our own server's `start_server` and the loop's self-pipe use blocking sockets nowhere; what is
        # let through here is asyncio's own: closing a loop joins its idle threads.
        yield watch
