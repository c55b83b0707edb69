"""`pandapon calibrate`: a few reads find out what no page says; prints a section for pandapon.toml."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Annotated

import aiohttp
import attrs
import typer

from pandapon_async.calibration import Calibration
from pandapon_async.calibration import calibrate as find_out
from pandapon_async.cli.doctor_network import skew_of
from pandapon_async.cli.output import for_people, note, print_result, print_table
from pandapon_async.core.clock_skew import Skew
from pandapon_async.errors import ConfigurationError
from pandapon_async.plain_text import one_line
from pandapon_async.settings import Credentials, Settings, SettingsArguments

__all__ = ["calibrate"]


def calibrate(
    refund_id: Annotated[
        str | None, typer.Option(metavar="TQ...", help="A 1688 refund that the account can see.")
    ] = None,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the section to a new file.")
    ] = None,
    base_url: Annotated[str | None, typer.Option(help="Another PandaPon, such as a sandbox.")] = None,
) -> None:
    """Find out with at most 20 reads how this vendor signs, where arguments go, and what its codes mean.

    Writes nothing to the vendor, makes at most two calls a second, and stops at the first throttle and before
    a signature is refused twice. Prints names and types of fields, never values, and a section [vendor] with
    the proven settings. Exit codes: 0 done, 2 usage, 3 stopped early, 4 no signature is accepted.
    """
    given: SettingsArguments = {} if base_url is None else {"base_url": base_url}
    credentials, settings = Credentials.from_env(), Settings.from_env(**given)
    if write is not None and write.exists():
        raise ConfigurationError(
            f"{write} exists; --write creates a new file and never changes an existing one"
        )
    result = asyncio.run(_run(credentials, settings, refund_id))
    _tell(result)
    section = result.to_toml()
    if write is not None and result.accepted:
        _write(write, section)
        note(f"written to {write}; copy its sections into your pandapon.toml")
    raise typer.Exit(0 if result.stopped is None else 3 if result.accepted else 4)


async def _run(credentials: Credentials, settings: Settings, refund_id: str | None) -> Calibration:
    skew: Skew | None = None
    with contextlib.suppress(aiohttp.ClientError, OSError, TimeoutError):  # the first signed call reports it
        skew = await skew_of(settings)
    return await find_out(credentials, settings, skew=skew, refund_id=refund_id)


def _tell(result: Calibration) -> None:
    facts = [
        {name: one_line(text) for name, text in attrs.asdict(finding).items()} for finding in result.findings
    ]
    if for_people():
        print_table(("name", "found", "why"), facts)
        print(f"\n{result.to_toml()}")
    else:
        print_result(
            {"findings": facts, "calls": result.calls, "stopped": result.stopped, "vendor": result.vendor}
        )
    note(f"{result.calls} calls" + (f"; stopped: {result.stopped}" if result.stopped else ""))


def _write(path: Path, section: str) -> None:
    try:
        with os.fdopen(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(
                "# Found by `pandapon calibrate`. Settings that it could not prove are not "
                f"listed.\n{section}"
            )
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else "it cannot be created"
        raise ConfigurationError(f"--write {path}: {reason}") from None
