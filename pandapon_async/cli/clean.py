"""`pandapon clean`: old reports and states of reconciliations."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pandapon_async.cli.output import confirmed
from pandapon_async.cli.plan_options import Yes, age
from pandapon_async.clock import Clock
from pandapon_async.errors import ConfigurationError, InvalidArgumentError
from pandapon_async.reconcile.clean import old_files, remove

__all__ = ["clean"]


def clean(
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Delete files older than this, such as 400d.")
    ],
    folder: Annotated[Path, typer.Argument(help="The folder to search, including its subfolders.")] = Path(),
    yes: Yes = False,
) -> None:
    """Delete old reports and states of `pandapon reconcile`; keep journals, plans and your own files.

    Files are recognised by their mark and listed before anything is deleted.
    """
    before = Clock().wall() - age(older_than, "--older-than")
    if not folder.is_dir():
        raise ConfigurationError(f"{folder} is not a folder")
    found = old_files(folder, before)
    for path in found:
        _say(f"  {path}")
    size = sum(path.lstat().st_size for path in found)
    _say(f"{len(found):,} files of reconciliations are older than {older_than} ({size / 1e6:.1f} MB).")
    if not found:
        _say("nothing was deleted.")
        return
    if not (yes or _sure(len(found))):
        _say("nothing was deleted.")
        raise typer.Exit(3)
    remove(found)
    _say(f"{len(found):,} deleted.")


def _sure(count: int) -> bool:
    if not sys.stdin.isatty():
        raise InvalidArgumentError("no terminal to ask on; add --yes to delete them", argument="yes")
    return confirmed(f"Delete these {count:,} files?")


def _say(text: str) -> None:
    print(text, file=sys.stderr)
