"""Create, check and upgrade the schema of the shared database."""

from __future__ import annotations

from typing import Final

import attrs

from pandapon_async.core.rate import MARGIN
from pandapon_async.errors import ConfigurationError
from pandapon_async.shared.database import LOCK_CLASS, UPGRADE_LOCK, Connection, Database
from pandapon_async.shared.schema import UPGRADES, VERSION, grants

__all__ = ["Report", "create", "inspect", "upgrade"]

SECONDS: Final = 30.0
_ROLES: Final = """
SELECT rolname FROM pg_roles WHERE oid IN (
    SELECT grantee FROM pg_class, aclexplode(relacl)
    WHERE oid = 'pandapon.format'::regclass AND grantee <> relowner)
"""
"""The roles with rights from `pandapon shared init --grant`."""


@attrs.frozen
class Report:
    """The facts about a usable database."""

    server: str
    """The version of PostgreSQL."""
    tls: bool
    """Whether this connection is encrypted."""
    schema: int
    """The version of the schema."""
    connected: int
    """The number of other connected clients."""
    quotas: list[dict[str, float | str]]
    """Each quota: its name, calls per second, remaining seconds of a pause."""


async def create(database: Database, role: str | None) -> bool:
    """Create the schema if it is missing, and grant a role its rights; return whether it was created."""

    async def work(connection: Connection) -> bool:
        await database.check_server(connection)
        created = await database.create(connection)
        if role is not None:
            if not await connection.fetchval(
                "SELECT EXISTS (SELECT 1 FROM pg_roles WHERE rolname = $1)", role
            ):
                raise ConfigurationError(f"the database has no role {role[:60]!r}; create it first")
            await connection.execute(grants(role))
        return created

    return await database.alone(work, seconds=SECONDS)


async def inspect(database: Database) -> Report:
    """Open the database with every check of a client, and report on it."""

    async def work(connection: Connection) -> Report:
        quotas = await connection.fetch(
            "SELECT name, gap, greatest(0, paused_until - extract(epoch FROM clock_timestamp()))::float8"
            " FROM pandapon.quota ORDER BY name"
        )
        return Report(
            server=await connection.fetchval("SELECT current_setting('server_version')"),
            tls=bool(await connection.fetchval("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")),
            schema=VERSION,
            connected=await _connected(connection) - 1,
            quotas=[
                {"name": name, "rate": round((1 + MARGIN) / gap, 3), "paused": paused}
                for name, gap, paused in quotas
            ],
        )

    return await database.run(work, seconds=SECONDS)


async def upgrade(database: Database) -> tuple[int, int]:
    """Upgrade the schema to this version; return the versions before and after.

    Raises ConfigurationError while clients of the old version are connected.
    """

    async def work(connection: Connection) -> tuple[int, int]:
        await database.check_server(connection)
        before = await database.version(connection)
        if before is None:
            raise database.unusable("it has no schema pandapon; create it with: pandapon shared init")
        if before > VERSION:
            raise database.unusable(f"its schema is newer ({before}; this program supports {VERSION})")
        async with connection.transaction():
            if not await connection.fetchval(
                "SELECT pg_try_advisory_xact_lock($1, $2)", LOCK_CLASS, UPGRADE_LOCK
            ):
                count = await _connected(connection)
                raise database.unusable(f"{count} clients are connected; stop them, then upgrade")
            for version in range(before, VERSION):
                await connection.execute(UPGRADES[version])
                await connection.execute("UPDATE pandapon.format SET version = $1", version + 1)
            for role in await connection.fetch(_ROLES):
                await connection.execute(grants(role["rolname"]))
        return before, VERSION

    return await database.alone(work, seconds=SECONDS)


async def _connected(connection: Connection) -> int:
    """Count the connections of clients: each holds the lock that an upgrade needs."""
    count: int = await connection.fetchval(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = $1 AND objid = $2"
        " AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
        LOCK_CLASS,
        UPGRADE_LOCK,
    )
    return count
