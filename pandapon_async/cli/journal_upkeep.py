"""`pandapon journal check`, `salvage` and `prune`: whether the file is sound, and how it stays small."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pandapon_async.cli.new_journal import ADVICE
from pandapon_async.cli.output import confirmed
from pandapon_async.cli.plan_options import BaseUrl, JournalFile, Yes, age, given
from pandapon_async.client import Client
from pandapon_async.errors import ConfigurationError, InvalidArgumentError
from pandapon_async.journal.adopt import salvage_file
from pandapon_async.journal.file_format import FILE_FORMAT
from pandapon_async.journal.prune import prunable
from pandapon_async.journal.prune import prune as take_out
from pandapon_async.storage.sqlite_file import IN_MEMORY

__all__ = ["check", "prune", "salvage"]

NAMED = 20
"""So many damaged rows are named on a terminal."""


def check(
    file: Annotated[
        Path | None, typer.Argument(help="The journal; default: the one of the settings.", show_default=False)
    ] = None,
    journal: JournalFile = None,
    base_url: BaseUrl = None,
) -> None:
    """Look whether a journal is sound: every page, every index, the checksum of every row. Changes nothing.

    Exit codes: 0 it is sound, 2 it is damaged or cannot be read.
    """
    path = file or Path(_path(journal, base_url))
    if not path.is_file() and not path.is_symlink():
        raise ConfigurationError(f"there is no journal at {path}: nothing was written with it yet")
    found = FILE_FORMAT.examine(path)
    if not sys.stdout.isatty():
        said = {"journal": str(path), "format": found.number, "sound": found.sound, "faults": found.faults}
        sys.stdout.write(json.dumps({**said, "damaged": found.damaged}, ensure_ascii=False) + "\n")
    if found.sound:
        _say(f"{path} is sound." if found.number == FILE_FORMAT.number else _old(path, found.number))
        return
    if found.faults:
        _say(f"{path}: {found.faults} faults in its pages and indexes.")
    for table, rows in found.damaged.items():
        more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
        _say(f"{path}: changed in {table}: {', '.join(rows[:NAMED])}{more}.")
    _say(ADVICE)
    if "intents" in found.damaged:
        _say(
            "What became of a write whose row is lost is settled by hand, if a plan knows it by its id: "
            "pandapon journal resolve ID --as done|absent --note '...'"
        )
    raise typer.Exit(2)


def _old(path: Path, number: int) -> str:
    return (
        f"the pages and indexes of {path} are sound; it has format {number}, whose rows have no checksums "
        "until it is opened for the next write."
    )


def salvage(
    file: Annotated[Path, typer.Argument(help="The damaged journal, as --new-journal set it aside.")],
    journal: JournalFile = None,
    base_url: BaseUrl = None,
) -> None:
    """Take the sound rows of a damaged journal into the present one, which is made if it is not there.

    What may still be open is then seen again, and stands in the way of a second one. Plans of the damaged
    journal need --adopt-journal all the same, as rows of theirs may be lost.

    Exit codes: 0 all rows were sound, 3 some are lost.
    """
    client = Client.from_env(**given(journal=journal, base_url=base_url))
    path = Path(_path(journal, base_url))
    if not file.is_file():
        raise ConfigurationError(f"there is no journal at {file}")
    if path.is_file() and path.samefile(file):
        raise ConfigurationError(f"{file} is the present journal; set it aside first, with --new-journal")

    async def work() -> tuple[int, bool]:
        async with client:
            return await client.journal.alone(lambda store: salvage_file(store, file))

    taken, more = asyncio.run(work())
    _say(f"{taken:,} rows of {file} are in {path} now." + (" Others are lost." if more else ""))
    raise typer.Exit(3 if more else 0)


def prune(
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Take out what ended longer ago, such as 400d.")
    ],
    yes: Yes = False,
    journal: JournalFile = None,
    base_url: BaseUrl = None,
) -> None:
    """Take old writes out of the journal, after exporting them to a file of JSON lines beside it.

    Only writes that ended go. What was found absent stays for 45 days, as it may still appear. A write that
    is gone stands in nobody's way: the same one would be taken for a new one.
    """
    seconds = age(older_than, "--older-than")
    client = Client.from_env(**given(journal=journal, base_url=base_url))
    path = client.journal.path
    if path == IN_MEMORY:
        raise ConfigurationError(
            "towards this machine itself the journal is in memory; name the file with --journal"
        )
    if not client.journal.in_file:
        raise ConfigurationError(f"the journal is in {path}; prune is for one in a file (--journal FILE)")
    if not Path(path).is_file():
        raise ConfigurationError(f"there is no journal at {path}: nothing was written with it yet")
    now = client.settings.clock.wall()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    out = Path(f"{path}.pruned-{stamp}.jsonl")

    async def work() -> int:
        async with client:
            count = await prunable(client.journal, now - seconds, now)
            moment = datetime.fromtimestamp(now - seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
            _say(f"{count:,} writes ended before {moment}.")
            if not count or not (yes or await asyncio.to_thread(_sure, count, out)):
                return 0
            return (await take_out(client.journal, now - seconds, now, out)).intents

    count = asyncio.run(work())
    _say(f"{count:,} taken out; they stand in {out}." if count else "nothing was taken out.")


def _sure(count: int, out: Path) -> bool:
    if not sys.stdin.isatty():
        raise InvalidArgumentError("there is no terminal to ask on: say --yes", argument="yes")
    return confirmed(f"Export {count:,} writes to {out} and take them out?")


def _path(journal: Path | None, base_url: str | None) -> str:
    """The journal that the settings lead to."""
    found = Client.from_env(**given(journal=journal, base_url=base_url)).journal
    path = found.path
    if path != IN_MEMORY and not found.in_file:
        raise ConfigurationError(f"the journal is in {path}; for that: pandapon shared check")
    if path == IN_MEMORY:
        raise ConfigurationError(
            "towards this machine itself the journal is in memory; name the file with --journal"
        )
    return path


def _say(text: str) -> None:
    print(text, file=sys.stderr)
