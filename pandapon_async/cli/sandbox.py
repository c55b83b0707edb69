"""`pandapon sandbox`: run a local PandaPon sandbox until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from pandapon_async.cli.usage import cannot_listen

if TYPE_CHECKING:
    from pandapon_async.sandbox import Fault, Sandbox
    from pandapon_async.settings import Credentials

__all__ = ["sandbox"]


def _rules(text: str) -> tuple[Fault, ...]:
    from pandapon_async.sandbox import parse_faults

    try:
        return parse_faults(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--faults") from None


def sandbox(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")
    ] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to listen on; the default is only this machine.")
    ] = "127.0.0.1",
    refunds: Annotated[int, typer.Option(min=0, max=10**9 - 1, help="The number of refunds.")] = 1000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same refunds, ledger and faults.")] = 7,
    rate: Annotated[
        float | None, typer.Option(min=0.001, help="Most calls in any second; default: no limit.")
    ] = None,
    faults: Annotated[
        str, typer.Option(help='Rules such as "reset_after:0.05,throttle_429:0.01" or "chaos:0.1".')
    ] = "",
    visible_after: Annotated[
        float, typer.Option(min=0, help="Seconds until reads show what a write changed.")
    ] = 0.0,
    not_found: Annotated[
        Literal["code", "null", "empty"],
        typer.Option(help="The answer for an unknown refund: code 404, or success without data."),
    ] = "code",
    freight: Annotated[
        Literal["added", "included"] | None,
        typer.Option(help="1688 refunds have freight, added to their amount or included in it."),
    ] = None,
    user_id: Annotated[
        list[str] | None, typer.Option(metavar="ID", help="Another sub-account of every key; repeatable.")
    ] = None,
    access_key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY", help="Another key with the same secret, as after a rotation; repeatable."
        ),
    ] = None,
    log_limit: Annotated[int, typer.Option(min=0, help="How many requests /_sandbox/log keeps.")] = 100_000,
    recorded: Annotated[
        list[Path] | None,
        typer.Option(help="A file of `pandapon record`, which answers all calls of its name; repeatable."),
    ] = None,
) -> None:
    """Run a local PandaPon sandbox until Ctrl-C.

    Prints the client's settings as lines for a .env file; the credentials are public test values.
    /_sandbox/log, effects, counters, ledger and truth show what happened.
    """
    from pandapon_async.sandbox import (
        Sandbox,
    )  # imported here, because every other command starts without a server

    served = Sandbox(
        accounts=_accounts(access_key or (), user_id or ()),
        visible_after=visible_after,
        not_found=not_found,
        freight=freight,
        host=host,
        port=port,
        refunds=refunds,
        seed=seed,
        rate=rate,
        faults=_rules(faults),
        log_limit=log_limit,
        recorded=recorded or (),
    )
    try:
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(_serve(served))
    except OSError as error:
        typer.echo(cannot_listen(host, port, error), err=True)
        raise typer.Exit(2) from None
    typer.echo(_summary(served), err=True)


def _accounts(keys: Iterable[str], user_ids: Iterable[str]) -> list[Credentials]:
    """Return every key with every sub-account."""
    from pandapon_async.sandbox.server import ACCESS_KEY, ACCESS_SECRET, USER_ID
    from pandapon_async.settings import Credentials

    return [
        Credentials(access_key, ACCESS_SECRET, user_id)
        for access_key in dict.fromkeys((ACCESS_KEY, *keys))
        for user_id in dict.fromkeys((USER_ID, *user_ids))
    ]


async def _serve(served: Sandbox) -> None:
    """Serve until SIGINT or SIGTERM."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows: there Ctrl-C ends asyncio.run
            loop.add_signal_handler(number, stopped.set)
    async with served:
        credentials = served.credentials
        typer.echo(f"PANDAPON_BASE_URL={served.base_url}")
        typer.echo(f"PANDAPON_ACCESS_KEY={credentials.access_key}")
        typer.echo(f"PANDAPON_ACCESS_SECRET={credentials.access_secret}")
        typer.echo(f"PANDAPON_USER_ID={credentials.user_id}")
        typer.echo(f"# ledger: {served.base_url}/_sandbox/ledger")
        await stopped.wait()


def _summary(served: Sandbox) -> str:
    counters = served.counters
    planted = ", ".join(f"{kind} {count}" for kind, count in sorted(counters.faults.items())) or "none"
    return (
        f"sandbox: {counters.requests} requests, {counters.rate_refused} refused by rate, faults {planted}, "
        f"{counters.nonces_repeated} nonces repeated, {len(served.effects)} effects"
    )
