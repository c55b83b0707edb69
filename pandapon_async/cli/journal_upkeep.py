"""`pandapon journal check`, `salvage` and `prune`: check, repair and shrink the file."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pandapon_async.cli.journal_named import named_journal
from pandapon_async.cli.new_journal import ADVICE
from pandapon_async.cli.output import confirmed
from pandapon_async.cli.plan_options import BaseUrl, JournalFile, Yes, age, given
from pandapon_async.core.database_url import is_database_address
from pandapon_async.errors import ConfigurationError, InvalidArgumentError

__all__ = ["check", "prune", "salvage"]

NAMED = 20
"""How many damaged rows are listed on a terminal."""


def a_file(file: Path | None) -> Path | None:
    """Refuse the address of a database: it may hold a password, and messages name the file."""
    if file is not None and is_database_address(file):
        raise ConfigurationError("FILE must be the file of a journal, not the address of a database")
    return file


def check(
    file: Annotated[
        Path | None,
        typer.Argument(
            callback=a_file, help="The journal; default: the one in the settings.", show_default=False
        ),
    ] = None,
    journal: JournalFile = None,
    base_url: BaseUrl = None,
) -> None:
    """Check every page, every index and the checksum of every row of a journal; changes nothing.

    Exit codes: 0 it is sound, 2 it is damaged or cannot be read.
    """
    from pandapon_async.journal.file_format import FILE_FORMAT

    path = file or Path(_path(journal, base_url))
    if not path.is_file() and not path.is_symlink():
        raise ConfigurationError(f"the journal {path} does not exist: no write was recorded there yet")
    found = FILE_FORMAT.examine(path)
    if not sys.stdout.isatty():
        said = {"journal": str(path), "format": found.number, "sound": found.sound, "faults": found.faults}
        sys.stdout.write(json.dumps({**said, "damaged": found.damaged}, ensure_ascii=False) + "\n")
    if found.sound:
        _say(f"{path} is sound." if found.number == FILE_FORMAT.number else _old(path, found.number))
        return
    if found.faults:
        _say(f"{path}: {found.faults} errors in its pages and indexes.")
    for table, rows in found.damaged.items():
        more = f" and {len(rows) - NAMED:,} more" if len(rows) > NAMED else ""
        _say(f"{path}: changed in {table}: {', '.join(rows[:NAMED])}{more}.")
    _say(ADVICE)
    if "intents" in found.damaged:
        _say(
            "To settle a write whose row is lost, if a plan has its id: pandapon journal resolve ID --as "
            "done|absent --note '...'"
        )
    raise typer.Exit(2)


def _old(path: Path, number: int) -> str:
    return (
        f"the pages and indexes of {path} are sound; it has format {number}, whose rows get checksums "
        "when it is opened for the next write."
    )


def salvage(
    file: Annotated[
        Path, typer.Argument(callback=a_file, help="The damaged journal, as renamed by --new-journal.")
    ],
    journal: JournalFile = None,
    base_url: BaseUrl = None,
) -> None:
    """Copy the sound rows of a damaged journal to the current one, which is created if necessary.

    Writes that may still be open are then known again and block a second one. Plans of the damaged journal
    still need --adopt-journal, because some of their rows may be lost.

    Exit codes: 0 all rows were sound, 3 some are lost.
    """
    from pandapon_async.journal.adopt import salvage_file

    current = named_journal(given(journal=journal, base_url=base_url))
    path = Path(_path(journal, base_url))
    if not file.is_file():
        raise ConfigurationError(f"the journal {file} does not exist")
    if path.is_file() and path.samefile(file):
        raise ConfigurationError(f"{file} is the current journal; rename it first with --new-journal")

    async def work() -> tuple[int, bool]:
        async with contextlib.aclosing(current):
            return await current.alone(lambda store: salvage_file(store, file))

    taken, more = asyncio.run(work())
    _say(f"{taken:,} rows of {file} are in {path} now." + (" Others are lost." if more else ""))
    raise typer.Exit(3 if more else 0)


def prune(
    older_than: Annotated[
        str, typer.Option(metavar="AGE", help="Remove writes that ended longer ago than this, such as 400d.")
    ],
    yes: Yes = False,
    journal: JournalFile = None,
    base_url: BaseUrl = None,
) -> None:
    """Remove old writes from the journal, after exporting them to a file of JSON lines next to it.

    Only ended writes are removed. A write that was found absent stays for 45 days, because it may still
    appear. A removed write no longer blocks a repeat: the same write counts as a new one.
    """
    from pandapon_async.journal.prune import prunable
    from pandapon_async.journal.prune import prune as take_out

    seconds = age(older_than, "--older-than")
    current = named_journal(given(journal=journal, base_url=base_url))
    path = current.path
    if not current.in_file:
        raise ConfigurationError(f"the journal is in {path}, but prune needs one in a file (--journal FILE)")
    if not Path(path).is_file():
        raise ConfigurationError(f"the journal {path} does not exist: no write was recorded there yet")
    _, now = current.clocks()
    stamp = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%S")
    out = Path(f"{path}.pruned-{stamp}.jsonl")

    async def work() -> int | None:
        async with contextlib.aclosing(current):
            count = await prunable(current, now - seconds, now)
            moment = datetime.fromtimestamp(now - seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
            _say(f"{count:,} writes ended before {moment}.")
            if not count:
                return 0
            if not (yes or await asyncio.to_thread(_sure, count, out)):
                return None
            return (await take_out(current, now - seconds, now, out)).intents

    count = asyncio.run(work())
    _say(f"{count:,} removed; they are in {out}." if count else "nothing was removed.")
    if count is None:
        raise typer.Exit(3)


def _sure(count: int, out: Path) -> bool:
    if not sys.stdin.isatty():
        raise InvalidArgumentError("no terminal to ask on; add --yes to confirm", argument="yes")
    return confirmed(f"Export {count:,} writes to {out} and remove them?")


def _path(journal: Path | None, base_url: str | None) -> str:
    """Return the journal in the settings."""
    found = named_journal(given(journal=journal, base_url=base_url))
    if not found.in_file:
        raise ConfigurationError(f"the journal is in {found.path}; check it with: pandapon shared check")
    return found.path


def _say(text: str) -> None:
    print(text, file=sys.stderr)
