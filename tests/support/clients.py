"""Clients for tests: no quota, no chance, short ways."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from pandapon_async import Client, Credentials, RetryPolicy, Settings
from tests.support.virtual import LoopClock

SECRET = "canary-secret-7f3a"
KEY = "canary-key-91bc"
CREDENTIALS = Credentials(access_key=KEY, access_secret=SECRET, user_id="77001")
REFUND = "TQ201808300000001"
JPEG = b"\xff\xd8\xff\xe0" + bytes(range(256)) * 8


def settings(url: str, **changes: Any) -> Settings:
    """Settings for a test server; the clock is the running loop's."""
    given: dict[str, Any] = {"base_url": url, "rate": None, "clock": LoopClock(), "retry": RetryPolicy()}
    return Settings(**{**given, **changes})


def client(url: str, session: aiohttp.ClientSession | None = None, **changes: Any) -> Client:
    """A client of a test server."""
    return Client(CREDENTIALS, settings(url, **changes), session=session)


@asynccontextmanager
async def borrowing(wanted: bool) -> AsyncIterator[aiohttp.ClientSession | None]:
    """A session to lend to a client, if that is wanted."""
    if not wanted:
        yield None
        return
    async with aiohttp.ClientSession() as session:
        yield session


def at_rest(client: Client, *, idle: int | None = None) -> None:
    """Assert that nothing is held or waiting: slots, permits, tasks, connections."""
    pipeline = client._pipeline
    assert pipeline.slots.free == client.settings.concurrency
    assert len(pipeline.slots._queue) == 0
    assert client.limiter.waiting == 0
    assert not pipeline.timers._futures
    session = pipeline.session._session
    if session is not None and session.connector is not None and not session.closed:
        assert not session.connector._acquired, "a connection is still taken"
        if idle is not None:
            assert sum(map(len, session.connector._conns.values())) <= idle
