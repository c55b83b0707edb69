"""`pandapon doctor`: find out why something does not work. Each check reports what it saw and the advice."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated

import attrs
import typer

from pandapon_async.cli import doctor_local as local
from pandapon_async.cli import doctor_network as network
from pandapon_async.cli.doctor_check import Check, DoctorContext
from pandapon_async.cli.output import for_people
from pandapon_async.errors import ConfigurationError
from pandapon_async.settings import Credentials, Settings, SettingsArguments

__all__ = ["doctor"]


def doctor(
    base_url: Annotated[str | None, typer.Option(help="Another PandaPon, such as a sandbox.")] = None,
    online: Annotated[bool, typer.Option(help="Also make one signed read.")] = True,
) -> None:
    """Check clock, network, TLS, key, quota, journal, disk and versions; suggest what to do."""
    given: SettingsArguments = {} if base_url is None else {"base_url": base_url}
    try:
        settings = Settings.from_env(**given)
    except ConfigurationError as error:
        wrong = Check("settings", "bad", str(error), "correct the environment or the .env file")
        checks = [local.versions(), wrong]
    else:
        checks = asyncio.run(_examine(_context(settings), online))
    if for_people():
        _show(checks)
    else:
        for check in checks:
            sys.stdout.write(json.dumps(attrs.asdict(check), ensure_ascii=False) + "\n")
    raise typer.Exit(1 if any(check.state == "bad" for check in checks) else 0)


def _context(settings: Settings) -> DoctorContext:
    context = DoctorContext(settings, checks=[local.versions()])
    try:
        context.credentials = Credentials.from_env()
    except ConfigurationError as error:
        context.without_key = str(error)
    return context


async def _examine(context: DoctorContext, online: bool) -> list[Check]:
    steps: list[Callable[[DoctorContext], Awaitable[Check]]] = [network.dns, network.tls, network.clock]
    if online:
        steps.append(network.key)
    steps += [local.rate, local.journal, local.disk]
    for step in steps:
        context.checks.append(await step(context))
    return context.checks


def _show(checks: list[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    from pandapon_async.cli.console import Console

    colours = {"ok": "green", "warning": "yellow", "bad": "red"}
    table = Table(show_edge=False)
    for column in ("check", "", "found", "what to do"):
        table.add_column(column, overflow="fold")
    for check in checks:
        state = Text(check.state, style=colours[check.state])
        table.add_row(
            check.name, state, Text(check.found), Text(check.advice)
        )  # the text may contain [brackets]
    Console().print(table)
