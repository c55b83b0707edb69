"""A blocking connection to the shared database, for a store on its own thread.

The stores use the same statements for a file and for the database. This module translates the differences. A
lost connection raises, so a group of changes is done completely or not at all.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

from pandapon_async.clock import Clock
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.errors import ConfigurationError
from pandapon_async.shared.database import Connection, Database, DatabaseUnavailableError
from pandapon_async.storage.damage import StoreLostError

__all__ = ["BlockingConnection", "durable_level", "session_key"]

T = TypeVar("T")
SECONDS: Final = 10.0
"""Seconds that a statement may take, including its wait for others."""

_WORDS: Final = (
    ("NOT extra", "extra = 0"),
    ("WHERE extra AND", "WHERE extra = 1 AND"),
    ("max(created, updated, wrote)", "greatest(created, updated, wrote)"),
    ("+rowid", "rowid"),
    ("+scope", "scope"),
)
"""Statements that PostgreSQL writes differently."""


@functools.lru_cache(maxsize=256)
def _translated(sql: str) -> str:
    """Translate a statement of a file's store to PostgreSQL."""
    if sql.startswith("INSERT OR IGNORE INTO"):
        sql = f"{sql.replace('INSERT OR IGNORE INTO', 'INSERT INTO')} ON CONFLICT DO NOTHING"
    for ours, theirs in _WORDS:
        sql = sql.replace(ours, theirs)
    first, *others = sql.split("?")
    return first + "".join(f"${number}{rest}" for number, rest in enumerate(others, 1))


class _Rows:
    """The result of a statement, with the interface of an SQLite cursor."""

    def __init__(self, rows: Sequence[Any], rowcount: int) -> None:
        self._rows = iter(rows)
        self.rowcount = rowcount

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)

    def __iter__(self) -> Iterator[Any]:
        return self._rows


class BlockingConnection:
    """The connection of a store's thread; all statements of a group use the same one."""

    def __init__(self, url: DatabaseUrl, clock: Clock) -> None:
        self._database = Database(url, clock, "pg_catalog, pandapon, pg_temp")
        self._loop = asyncio.new_event_loop()
        self._pinned: Connection = None

    @property
    def in_transaction(self) -> bool:
        """Whether a group is open. A group with a lost connection is not: the server has dropped it."""
        one = self._pinned
        return one is not None and not one.is_closed() and bool(one.is_in_transaction())

    def begin(self, statements: str, opened: Callable[[Connection], Awaitable[None]]) -> None:
        """Begin a group; `opened` is called with a new connection."""

        async def work(connection: Connection) -> None:
            if connection is not self._pinned:
                self._pinned = None
                await opened(connection)
                self._pinned = connection
            await connection.execute(statements)

        try:
            self.run(work)
        except StoreLostError:  # while it was idle; this group has done nothing yet
            self.run(work)

    def execute(self, sql: str, values: Sequence[Any] = ()) -> _Rows:
        """Carry out one statement."""
        statement = _translated(sql)
        if statement.endswith(f"LIMIT ${len(values)}") and values[-1] == -1:
            values = (*values[:-1], None)  # no limit

        async def work(connection: Connection) -> _Rows:
            if connection is None or connection is not self._pinned:
                raise StoreLostError("the connection was lost")
            if statement.startswith("SELECT") or " RETURNING " in statement:
                return _Rows([tuple(row) for row in await connection.fetch(statement, *values)], -1)
            status: str = await connection.execute(statement, *values)
            if statement == "COMMIT" and status != "COMMIT":
                raise StoreLostError("the database did not accept the change")
            *_, count = status.split()
            return _Rows((), int(count) if count.isdigit() else -1)

        return self.run(work)

    def executemany(self, sql: str, rows: Iterable[Sequence[Any]]) -> _Rows:
        """Carry out one statement for each of these rows."""
        return _Rows((), sum(self.execute(sql, row).rowcount for row in rows))

    def run(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Raises StoreLostError if the database is unreachable, ConfigurationError if it cannot be used."""
        try:
            return self._loop.run_until_complete(self._database.run(work, seconds=SECONDS))
        except DatabaseUnavailableError as error:
            why = str(error)
        raise StoreLostError(why)

    def close(self) -> None:
        """Release the connection. May be called twice."""
        if not self._loop.is_closed():
            self._loop.run_until_complete(self._database.aclose())
            self._loop.close()


async def durable_level(connection: Connection, what: str, where: str) -> str:
    """Return the `synchronous_commit` level at which a commit survives a power cut.

    Raises ConfigurationError for a server without such a level.
    """
    if await connection.fetchval("SELECT current_setting('fsync')") == "off":
        raise ConfigurationError(
            f"the shared database {where} cannot keep {what}: with fsync=off a power cut loses it"
        )
    level: str = await connection.fetchval("SELECT current_setting('synchronous_commit')")
    return "on" if level in ("off", "local") else level


def session_key(session: str) -> int:
    """Return the number of the lock that a session holds."""
    return int.from_bytes(bytes.fromhex(session)[:8], "big", signed=True)
