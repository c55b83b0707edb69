"""Two connections to the shared database, and the proof that they are what they seem.

Locks that say who is alive and notices that wake others belong to a connection of the server. A pooler in
transaction mode lends a client another connection for every statement: the lock is then held by nobody in
particular, the notice reaches nobody, and no statement fails. So the two connections of a client prove it to
each other when they are opened: a lock that one took is refused to the other, and what one tells the other
hears.
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
"""The driver's own limit, by the system's clock: ours comes first."""
HEARD_SECONDS: Final = 2.0
"""How long a notice may take from one connection to the other."""
LOCK_CLASS: Final = 1_346_457_156
"""The first number of our advisory locks: "PAND"."""
KEY_CLASS: Final = LOCK_CLASS + 1
"""The first number of the locks of keys of messages; the second is the key's hash."""
UPGRADE_LOCK: Final = 1
"""Held shared by everybody who is connected, exclusively by who creates or changes the schema."""
_REFUSED: Final = "PNDP1"
"""The code with which the probe says that a lock was refused, as it should be."""

_POOLER: Final = (
    "a pooler in transaction mode stands before it: locks and notices get lost there. Use the "
    "server's direct port, or session pooling"
)
_SETTINGS: Final = (
    "SET lock_timeout = '3s'; SET idle_in_transaction_session_timeout = '3s'; SET tcp_keepalives_idle = 10;"
    " SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)
"""So that nobody waits for long on a process that was stopped, or on a machine that is gone."""
_LOSSES: Final = ("08", "25006", "40", "53", "55P03", "57", "58")
"""Beginnings of the codes of errors that may be over in a moment."""


class DatabaseUnavailableError(PandaponError):
    """The shared database cannot be reached now; it may be back in a moment."""


def check_driver() -> None:
    """Raise ConfigurationError where the driver is not installed."""
    if importlib.util.find_spec("asyncpg") is None:
        raise ConfigurationError(
            "a shared database needs asyncpg; install it with: pip install 'pandapon-async[postgres]'"
        )


class Database:
    """The shared database as one client sees it: a connection that keeps its locks and hears notices.

    It is opened when it is first used, and again after it was lost.
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
        """Call `heard` with what is told on a channel; to be said before the first use."""
        self._listeners[channel] = heard

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, seconds: float) -> T:
        """Do something with the connection; one thing after the other.

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
        """Do something on a connection of its own, without a client's checks; raises like `run`."""
        connection = await self._connect()
        try:
            with self._told(connection), time_limit(self._clock, seconds):
                return await work(connection)
        finally:
            connection.terminate()
        raise AssertionError("the connection's context raises")

    async def aclose(self) -> None:
        """Give the connection back. May be called twice; what comes later opens another."""
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
        """Errors of the driver become ours; a connection on which something failed is given up.

        After an end in the middle nobody knows what it is about to hear.
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
        """What is told instead of an error of the driver, whose text may quote anything; None for others."""
        import asyncpg

        if isinstance(error, PandaponError):
            return None
        if isinstance(error, asyncpg.PostgresError):
            code = sqlstate_of(error) or "?"
            if code.startswith(_LOSSES):
                return self.unavailable(f"SQLSTATE {code}")
            if isinstance(error, asyncpg.InsufficientPrivilegeError):
                return self.unusable(
                    "this role may not use the schema pandapon; whoever made it can say: "
                    "pandapon shared init --grant ROLE"
                )
            return self.unusable(f"it refuses a statement (SQLSTATE {code})")
        if isinstance(error, OSError | TimeoutError | asyncpg.InterfaceError):
            late = isinstance(error, TimeoutError)
            return self.unavailable("it does not answer in time" if late else "the connection was lost")
        return None

    def unavailable(self, why: str) -> DatabaseUnavailableError:
        """The error for a database that is away."""
        return DatabaseUnavailableError(f"the shared database {self.url} is out of reach: {why}")

    def unusable(self, why: str) -> ConfigurationError:
        """The error for a database that cannot be used as it is."""
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
        """A connection that nobody has looked at yet."""
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
        """Why there is no connection: what to tell instead of the driver's words."""
        import asyncpg

        url = self.url
        if isinstance(error, ssl.SSLCertVerificationError):
            return self.unusable(
                "its certificate is not trusted for this host; sslrootcert=FILE names its issuer"
            )
        if isinstance(error, ssl.SSLError):
            return self.unusable(f"TLS fails with it (sslmode={url.tls})")
        if type(error) is ConnectionError:
            return self.unusable(f"it speaks no TLS, and sslmode={url.tls} asks for it")
        if isinstance(error, asyncpg.InvalidAuthorizationSpecificationError):
            return self.unusable("it refuses the login; look at user, password and its pg_hba.conf")
        if isinstance(error, asyncpg.InvalidCatalogNameError):
            return self.unusable("it has no such database")
        if isinstance(error, FileNotFoundError) and not url.host.startswith("/"):
            return self.unusable(f"{url.root_certificate} cannot be read (sslrootcert)")
        if isinstance(error, ConnectionRefusedError | FileNotFoundError):
            return self.unavailable("nothing listens there")
        return self._explained(error) or error

    async def _prove(self, one: Connection, other: Connection) -> None:
        """Raise ConfigurationError unless both are connections of the server, each for itself."""
        import asyncpg

        channel, key = f"pandapon_probe_{secrets.token_hex(8)}", secrets.randbits(31)
        told = asyncio.Event()
        hear = _hearing(lambda _: told.set())
        refused = False
        try:
            await one.add_listener(channel, hear)
            await one.execute(f"SELECT pg_advisory_lock({LOCK_CLASS}, {key})")
            try:
                # Without prepared statements, which a pooler breaks before it breaks a lock.
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
        """Raise unless server and schema are ones that this client works with; create what is missing."""
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
                f"its schema is of version {version}, and {VERSION} is needed; stop all clients, then: "
                "pandapon shared upgrade"
            )

    async def check_server(self, connection: Connection) -> None:
        """Raise unless this is a server that can be used."""
        version = await connection.fetchval("SELECT current_setting('server_version_num')::int")
        if version < LOWEST_SERVER:
            raise self.unusable(f"it is PostgreSQL {version // 10_000}; 14 is the oldest that can be used")
        if await connection.fetchval("SELECT pg_is_in_recovery()"):
            raise self.unavailable("it is a replica, which takes no changes")

    async def version(self, connection: Connection) -> int | None:
        """The version of the schema; None if there is none."""
        there = await connection.fetchval(
            "SELECT EXISTS (SELECT 1 FROM pg_class WHERE relname = 'format'"
            " AND relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'pandapon'))"
        )
        if not there:
            return None
        version: int = await connection.fetchval("SELECT version FROM pandapon.format")
        return version

    async def create(self, connection: Connection) -> bool:
        """Create the schema; whether it was not there. Raises ConfigurationError for a role that may not."""
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
            "it has no schema pandapon, and this role may not create one; with a role that may: "
            "pandapon shared init --grant ROLE"
        )


def sqlstate_of(error: Exception) -> str:
    """The code of what the database said, empty if it had none. The driver sets it unseen by checkers."""
    return getattr(error, "sqlstate", None) or ""


def _hearing(heard: Callable[[str], None]) -> Callable[..., None]:
    def called(connection: object, process: int, channel: str, payload: object) -> None:
        heard(str(payload))

    return called


def _tls(url: DatabaseUrl) -> ssl.SSLContext | bool:
    """What the driver is to ask for. Reads files."""
    if url.tls == "disable":
        return False
    context = ssl.create_default_context(cafile=url.root_certificate)
    if url.tls != "verify-full":
        context.check_hostname = False
    if url.tls == "require" and url.root_certificate is None:
        context.verify_mode = ssl.CERT_NONE
    return context
