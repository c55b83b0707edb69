"""A lock for one run of a ledger on all machines: a second run is refused before its first lookup."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC

from pandapon_async.clock import Clock
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.errors import ConfigurationError
from pandapon_async.shared.database import Connection, Database

__all__ = ["only_run"]

SECONDS = 10.0
_HOLDER = """
SELECT client_addr::text, backend_start FROM pg_stat_activity WHERE pid = (
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
    AND ((classid::bigint << 32) | objid::bigint) = $1
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))
"""


@contextlib.asynccontextmanager
async def only_run(url: DatabaseUrl, clock: Clock, digest: str, what: str) -> AsyncIterator[None]:
    """Hold the lock of a run while the block lasts.

    A lost connection releases the lock; then a second run would repeat the lookups.

    Args:
        url: The shared database.
        clock: Time and timers.
        digest: What tells this run from others, such as the SHA-256 of its ledger.
        what: What it is called in the error.

    Raises:
        ConfigurationError: Another process has it; it says since when and from which address.
        DatabaseUnavailableError: The database is away.
    """
    key = int.from_bytes(hashlib.sha256(f"run {digest}".encode()).digest()[:8], "big", signed=True)
    database = Database(url, clock)

    async def take(connection: Connection) -> str | None:
        if await connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
            return None
        holder = await connection.fetchrow(_HOLDER, key)
        if holder is None:  # it has ended, or this role may not see it
            return "another process"
        address, since = holder
        where = f"a process at {address}" if address else "another process"
        return f"{where}, connected since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"

    try:
        if (who := await database.run(take, seconds=SECONDS)) is not None:
            raise ConfigurationError(f"{what} is in use by {who}; wait for it, or stop it")
        yield
    finally:
        await database.aclose()
