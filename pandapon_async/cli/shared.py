"""`pandapon shared`: manage the database that processes and machines share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, TypeVar

import typer

from pandapon_async.cli.output import for_people, note, print_lines, print_result, print_table
from pandapon_async.clock import Clock
from pandapon_async.core.database_url import DatabaseUrl
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import Settings
from pandapon_async.shared.database import Database
from pandapon_async.shared.upkeep import Report, create, inspect
from pandapon_async.shared.upkeep import upgrade as upgrade_schema

__all__ = ["shared_app"]

T = TypeVar("T")

shared_app: Final = typer.Typer(
    help="The database that processes and machines share.",
    pretty_exceptions_enable=False,
)
_Shared = Annotated[
    str | None,
    typer.Option(
        "--shared",
        help="Address: postgresql://user@host/database; default: PANDAPON_SHARED or the configuration. The "
        "password is better kept in PGPASSWORD or PostgreSQL's password file.",
        show_default=False,
    ),
]


@shared_app.command()
def init(
    shared: _Shared = None,
    grant: Annotated[
        str | None, typer.Option("--grant", help="Role that gets the minimum rights of a client.")
    ] = None,
) -> None:
    """Create the schema `pandapon` for roles that may not; can be repeated.

    Exit codes: 0 it exists, 2 it cannot be created, 3 the database is unreachable.
    """
    database = _database(shared)
    created = _run(database, lambda: create(database, grant))
    note(f"the schema pandapon {'was created' if created else 'exists already'} in {database.url}")
    if grant is not None:
        note(f"{grant} may use it")


@shared_app.command()
def check(shared: _Shared = None) -> None:
    """Connect with every check of a client, and show the connected clients and the quotas.

    Exit codes: 0 it can be used, 2 it cannot, 3 it is unreachable.
    """
    database = _database(shared)
    report = _run(database, lambda: inspect(database))
    if for_people():
        print_table(("check", "found"), _rows(database.url, report))
    else:
        print_lines(_rows(database.url, report))


@shared_app.command()
def upgrade(shared: _Shared = None) -> None:
    """Upgrade the schema to this version of the program; refused while clients are connected.

    Exit codes: 0 it is up to date, 2 it cannot be upgraded, 3 the database is unreachable.
    """
    database = _database(shared)
    before, after = _run(database, lambda: upgrade_schema(database))
    print_result({"before": before, "after": after})


def _database(shared: str | None) -> Database:
    settings = Settings.from_env() if shared is None else Settings.from_env(shared=shared)
    url = settings.shared
    if url is None:
        raise ConfigurationError(
            "no shared database is configured: use --shared postgresql://user@host/database, or set "
            "PANDAPON_SHARED"
        )
    return Database(url, Clock())


def _run(database: Database, work: Callable[[], Awaitable[T]]) -> T:
    async def opened() -> T:
        try:
            return await work()
        finally:
            await database.aclose()

    return asyncio.run(opened())


def _rows(url: DatabaseUrl, report: Report) -> list[dict[str, Any]]:
    rows = [
        ("database", str(url)),
        ("server", f"PostgreSQL {report.server}"),
        ("connection", "encrypted" if report.tls else "not encrypted"),
        ("session connections", "checked with two connections"),
        ("schema", f"version {report.schema}"),
        ("other clients", str(report.connected)),
    ]
    for quota in report.quotas:
        paused = f", paused for {quota['paused']:.1f} s" if quota["paused"] else ""
        rows.append((f"quota {quota['name']}", f"{quota['rate']:g} calls per second{paused}"))
    return [{"check": name, "found": found} for name, found in rows]
