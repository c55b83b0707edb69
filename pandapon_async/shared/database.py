"""Two connections to the shared database, and the check that no pooler changes their behaviour.

Locks that show which processes are alive, and notices that wake others, belong to a server connection. A
pooler in transaction mode gives a client another connection for every statement: then no client holds the
lock, no client gets the notice, and no statement fails. So the two connections of a client check each other
when they are opened: the lock of one is refused to the other, and a notice of one reaches the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import secrets
import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

from pandapon_async.clock import Clock, time_limit
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.errors import ConfigurationError, PandaponError
from pandapon_async.shared.schema import SCHEMA, VERSION

__all__ = ["KEY_CLASS", "Connection", "Database", "DatabaseUnavailableError", "check_driver"]

T = TypeVar("T")
Connection = Any
"""A connection of asyncpg, which has no types."""
LOWEST_SERVER: Final = 140_000
CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 1.0
DRIVERS_SECONDS: Final = 60
"""Seconds; the driver's own limit, by the system's clock. Ours is shorter."""
HEARD_SECONDS: Final = 2.0
"""Seconds that a notice may take from one connection to the other."""
LOCK_CLASS: Final = 1_346_457_156
"""The first number of our advisory locks: "PAND"."""
KEY_CLASS: Final = LOCK_CLASS + 1
"""The first number of the locks of keys of messages; the second is the key's hash."""
UPGRADE_LOCK: Final = 1
"""The lock that every client holds shared, and a change of the schema holds exclusively."""
_REFUSED: Final = "PNDP1"
"""The error code of the probe for a refused lock, the expected result."""

_POOLER: Final = (
    "a pooler in transaction mode is in front of it and loses locks and notices. Use the server's direct "
    "port, or session pooling"
)
_SETTINGS: Final = (
    "SET lock_timeout = '3s'; SET idle_in_transaction_session_timeout = '3s'; SET tcp_keepalives_idle = 10;"
    " SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
"""Limits the waits for a stopped process or an unreachable machine."""
_LOSSES: Final = ("08", "25006", "40", "53", "55P03", "57", "58")
"""The beginnings of the codes of transient errors."""


class DatabaseUnavailableError(PandaponError):
    """The shared database cannot be reached now, perhaps only for a short time."""


def check_driver() -> None:
    """Raise ConfigurationError if the driver is not installed."""
    if importlib.util.find_spec("asyncpg") is None:
        raise ConfigurationError(
            "a shared database needs asyncpg; install it with: pip install 'pandapon-async[postgres]'"
        )


class Database:
    """The shared database of one client: a connection that keeps its locks and gets notices.

    It opens on first use, and again after a loss.
    """

    def __init__(self, url: DatabaseUrl, clock: Clock, search_path: str = "pg_catalog") -> None:
        check_driver()
        self.url = url
        self._search_path = search_path
        self._clock = clock
        self._session: Connection | None = None
        self._opening = asyncio.Lock()
        self._busy = asyncio.Lock()
        self._listeners: dict[str, Callable[[str], None]] = {}

    def listen(self, channel: str, heard: Callable[[str], None]) -> None:
        """Call `heard` with the notices of a channel; call this before the first use."""
        self._listeners[channel] = heard

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, seconds: float) -> T:
        """Run a function with the connection, one at a time.

        Args:
            work: What is to be done.
            seconds: How long it may take; a connection that takes longer is given up.

        Raises:
            DatabaseUnavailableError: The database is away; what was begun may have been done.
            ConfigurationError: The address, the login, the schema or a pooler is not what it must be.
        """
        connection = self._session
        if connection is None or connection.is_closed():
            connection = await self._open()
        async with self._busy:
            with self._told(connection), time_limit(self._clock, seconds):
                return await work(connection)
        raise AssertionError("the connection's context raises")

    async def alone(self, work: Callable[[Connection], Awaitable[T]], *, seconds: float) -> T:
        """Run a function on a separate connection, without a client's checks; raises like `run`."""
        connection = await self._connect()
        try:
            with self._told(connection), time_limit(self._clock, seconds):
                return await work(connection)
        finally:
            connection.terminate()
        raise AssertionError("the connection's context raises")

    async def aclose(self) -> None:
        """Release the connection. May be called twice; a later use opens another one."""
        connection, self._session = self._session, None
        if connection is None or connection.is_closed():
            return
        try:
            with time_limit(self._clock, CLOSE_SECONDS):
                await connection.close(timeout=None)
        except (Exception, asyncio.CancelledError) as error:
            connection.terminate()
            if not isinstance(error, Exception):
                raise

    @contextlib.contextmanager
    def _told(self, *connections: Connection | None) -> Iterator[None]:
        """Convert errors of the driver to ours; close a connection with a failure.

        After an interrupted statement the state of the connection is not known.
        """
        try:
            yield
            return
        except BaseException as error:
            for connection in connections:
                if connection is not None:
                    connection.terminate()
            ours = self._explained(error)
            if ours is None:
                raise
        raise ours

    def _explained(self, error: BaseException) -> PandaponError | None:
        """Return our text for a driver's error, whose own may quote anything; None for other errors."""
        import asyncpg

        if isinstance(error, PandaponError):
            return None
        if isinstance(error, asyncpg.PostgresError):
            code = sqlstate_of(error) or "?"
            if code.startswith(_LOSSES):
                return self.unavailable(f"SQLSTATE {code}")
            if isinstance(error, asyncpg.InsufficientPrivilegeError):
                return self.unusable(
                    "this role may not use the schema pandapon; its owner can run: pandapon shared init "
                    "--grant ROLE"
                )
            return self.unusable(f"it refuses a statement (SQLSTATE {code})")
        if isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError):
            late = isinstance(error, TimeoutError)
            return self.unavailable("it does not answer in time" if late else "the connection was lost")
        return None

    def unavailable(self, why: str) -> DatabaseUnavailableError:
        """Return the error for an unreachable database."""
        return DatabaseUnavailableError(f"the shared database {self.url} is unreachable: {why}")

    def unusable(self, why: str) -> ConfigurationError:
        """Return the error for an unusable database."""
        return ConfigurationError(f"the shared database {self.url} cannot be used: {why}")

    async def _open(self) -> Connection:
        async with self._opening:
            if self._session is not None and not self._session.is_closed():
                return self._session
            connection = await self._connect()
            other = None
            try:
                other = await self._connect()
                with self._told(connection), time_limit(self._clock, CONNECT_SECONDS):
                    await self._prove(connection, other)
                    await self._check(connection)
                    for channel, heard in self._listeners.items():
                        await connection.add_listener(channel, _hearing(heard))
            except BaseException:
                connection.terminate()
                raise
            finally:
                if other is not None:
                    other.terminate()
            self._session = connection
            return connection

    async def _connect(self) -> Connection:
        """Open a connection without checks."""
        import asyncpg

        url = self.url
        try:
            with time_limit(self._clock, CONNECT_SECONDS):
                context = await asyncio.to_thread(_tls, url)
                connection = await asyncpg.connect(
                    host=url.host,
                    port=url.port,
                    user=url.user,
                    password=url.password,
                    database=url.database,
                    ssl=context,
                    timeout=DRIVERS_SECONDS,
                    server_settings={"application_name": "pandapon"},
                )
        except Exception as error:
            problem = self._refusal(error)
        else:
            with self._told(connection), time_limit(self._clock, CONNECT_SECONDS):
                await connection.execute(f"SET search_path = {self._search_path}; {_SETTINGS}")
            return connection
        raise problem

    def _refusal(self, error: Exception) -> Exception:
        """Return why there is no connection, in our words."""
        import asyncpg

        url = self.url
        if isinstance(error, ssl.SSLCertVerificationError):
            return self.unusable(
                "its certificate is not trusted for this host; name its issuer with sslrootcert=FILE"
            )
        if isinstance(error, ssl.SSLError):
            return self.unusable(f"the TLS handshake failed (sslmode={url.tls})")
        if type(error) is ConnectionError:
            return self.unusable(f"it does not support TLS, but sslmode={url.tls} requires it")
        if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            return self.unusable("it refuses the login; check user, password and its pg_hba.conf")
        if isinstance(error, asyncpg.InvalidCatalogNameError):
            return self.unusable("the database does not exist there")
        if isinstance(error, FileNotFoundError) and not url.host.startswith("/"):
            return self.unusable(f"{url.root_certificate} cannot be read (sslrootcert)")
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return self.unavailable("nothing listens at that address")
        return self._explained(error) or error

    async def _prove(self, one: Connection, other: Connection) -> None:
        """Raise ConfigurationError unless both are separate connections of the server."""
        import asyncpg

        channel, key = f"pandapon_probe_{secrets.token_hex(8)}", secrets.randbits(31)
        told = asyncio.Event()
        hear = _hearing(lambda _: told.set())
        refused = False
        try:
            await one.add_listener(channel, hear)
            await one.execute(f"SELECT pg_advisory_lock({LOCK_CLASS}, {key})")
            try:
                # Without prepared statements, which fail with a pooler before a lock does.
                await other.execute(
                    f"DO $$ BEGIN IF NOT pg_try_advisory_lock({LOCK_CLASS}, {key}) THEN"
                    f" RAISE EXCEPTION 'refused' USING ERRCODE = '{_REFUSED}'; END IF; END $$"
                )
            except asyncpg.PostgresError as error:
                if sqlstate_of(error) != _REFUSED:
                    raise
                refused = True
            await other.execute(f"NOTIFY {channel}")
            with contextlib.suppress(TimeoutError), time_limit(self._clock, HEARD_SECONDS):
                await told.wait()
            await one.execute(f"SELECT pg_advisory_unlock({LOCK_CLASS}, {key})")
            await one.remove_listener(channel, hear)
        except asyncpg.PostgresError as error:
            if sqlstate_of(error).startswith(_LOSSES):
                raise
            refused = False
        if not refused or not told.is_set():
            raise self.unusable(_POOLER)

    async def _check(self, connection: Connection) -> None:
        """Raise unless this client supports the server and the schema; create a missing schema."""
        await self.check_server(connection)
        if await self.version(connection) is None:
            await self.create(connection)
        await connection.execute(f"SELECT pg_advisory_lock_shared({LOCK_CLASS}, {UPGRADE_LOCK})")
        version = await self.version(connection)
        assert version is not None, "nothing removes a schema"
        if version > VERSION:
            raise self.unusable(
                f"a newer pandapon-async made its schema ({version}; this one knows {VERSION}); update"
            )
        if version < VERSION:
            raise self.unusable(
                f"its schema has version {version}, but {VERSION} is needed; stop all clients, then run: "
                "pandapon shared upgrade"
            )

    async def check_server(self, connection: Connection) -> None:
        """Raise unless the server is supported."""
        version = await connection.fetchval("SELECT current_setting('server_version_num')::int")
        if version < LOWEST_SERVER:
            raise self.unusable(f"it is PostgreSQL {version // 10_000}; version 14 or newer is needed")
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            raise self.unavailable("it is a replica, which accepts no changes")

    async def version(self, connection: Connection) -> int | None:
        """Return the version of the schema; None without a schema."""
        there = await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'format'"
            " AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'pandapon'))"
        )
        if not there:
            return None
        version: int = await connection.fetchval("SELECT version FROM pandapon.format")
        return version

    async def create(self, connection: Connection) -> bool:
        """Create the schema; return whether it was missing. Raises ConfigurationError without the right."""
        import asyncpg

        try:
            async with connection.transaction():
                await connection.execute(f"SELECT pg_advisory_xact_lock({LOCK_CLASS}, {UPGRADE_LOCK})")
                if await self.version(connection) is not None:
                    return False
                await connection.execute(SCHEMA)
                return True
        except asyncpg.InsufficientPrivilegeError:
            pass
        raise self.unusable(
            "it has no schema pandapon, and this role may not create it; run with a role that may: "
            "pandapon shared init --grant ROLE"
        )


def sqlstate_of(error: Exception) -> str:
    """Return the code of a database error, or ""; the driver sets it dynamically."""
    return getattr(error, "sqlstate", None) or ""


def _hearing(heard: Callable[[str], None]) -> Callable[..., None]:
    def called(connection: object, process: int, channel: str, payload: object) -> None:
        heard(str(payload))

    return called


def _tls(url: DatabaseUrl) -> ssl.SSLContext | bool:
    """Return the driver's TLS context. Reads files."""
    if url.tls == "disable":
        return False
    context = ssl.create_default_context(cafile=url.root_certificate)
    if url.tls != "verify-full":
        context.check_hostname = False
    if url.tls == "require" and url.root_certificate is None:
        context.verify_mode = ssl.CERT_NONE
    return context
