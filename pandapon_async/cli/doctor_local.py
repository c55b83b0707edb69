"""The doctor's checks of this machine: versions, rate, journal, disk."""

from __future__ import annotations

import asyncio
import importlib.metadata
import os
import platform
import re
import shutil
from pathlib import Path

from pandapon_async import __version__
from pandapon_async.cli.doctor_check import Check, DoctorContext
from pandapon_async.cli.new_journal import ADVICE, is_damaged_journal
from pandapon_async.client import Client
from pandapon_async.errors import PandaponError
from pandapon_async.journal import IntentState, Journal
from pandapon_async.settings import is_loopback
from pandapon_async.storage import IN_MEMORY

__all__ = ["disk", "journal", "rate", "versions"]

PACKAGE = "pandapon-async"
DISK_WARNING = 100 * 1024 * 1024  # bytes


def versions() -> Check:
    """Check that the installed versions are new enough."""
    shown, old = [f"{PACKAGE} {__version__}"], []
    python = f"Python {platform.python_version()}"
    try:
        requirements = importlib.metadata.requires(PACKAGE) or ()
    except importlib.metadata.PackageNotFoundError:  # in a zipapp, or frozen into a program
        text = f"{python}, {shown[0]}, without the metadata that lists the required versions"
        return Check(
            "versions", "warning", text, f"install it with pip install {PACKAGE}, which compares them"
        )
    for requirement in requirements:
        plain = re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", requirement)
        if plain is None:
            continue  # of an extra, which is checked when it is used
        name, least = plain.groups()
        found = importlib.metadata.version(name)
        if _numbers(found) < _numbers(least):
            old.append(f"{name} {found} is older than {least}")
        if name in ("aiohttp", "attrs", "cattrs", "orjson"):
            shown.append(f"{name} {found}")
    text = f"{python}, {', '.join(shown)}"
    if old:
        return Check("versions", "bad", f"{'; '.join(old)} ({text})", f"pip install --upgrade {PACKAGE}")
    return Check("versions", "ok", text)


def _numbers(version: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", version)]


async def rate(context: DoctorContext) -> Check:
    """Check the rate of calls and the effect of throttles."""
    settings = context.settings
    if settings.rate is None:
        advice = "" if is_loopback(settings.base_url) else "set PANDAPON_RATE, because the vendor has a quota"
        return Check("rate", "warning", "no limit; throttles pause all calls", advice or "fine for a sandbox")
    found = f"{settings.rate:g} calls a second, {settings.concurrency} at once"
    if context.rate is not None:
        found += f"; a throttle just now lowered the rate to {context.rate:.3g} a second"
        return Check("rate", "warning", found, "another program uses the same quota; lower PANDAPON_RATE")
    adaptive = settings.adaptive_rate
    if settings.shared is not None:
        return Check("rate", "ok", f"{found}; shared in {settings.shared}, where a throttle pauses all")
    if adaptive is None:
        return Check("rate", "ok", f"{found}; throttles only pause it")
    least = adaptive.floor * settings.rate
    return Check("rate", "ok", f"{found}; throttles lower it to at least {least:.3g}")


async def journal(context: DoctorContext) -> Check:
    """Check the journal, and the writes with an unknown outcome."""
    if context.credentials is None:
        return Check("journal", "warning", "not checked: it belongs to an account", "see key")
    client = Client(context.credentials, context.settings)
    try:
        path = client.journal.path
        context.journal = Path(path) if client.journal.in_file else None
        return await _look(client)
    except PandaponError as error:
        advice = "choose another place with PANDAPON_JOURNAL"
        if is_damaged_journal(error):
            advice = f"{ADVICE} If it is not your journal, {advice}."
        return Check("journal", "bad", str(error), advice)
    finally:
        await client.aclose()


async def _look(client: Client) -> Check:
    path = client.journal.path
    if path == IN_MEMORY:
        if is_loopback(client.settings.base_url):
            return Check("journal", "ok", "in memory, as for every sandbox")
        advice = "name a file in PANDAPON_JOURNAL; after a crash nothing would know which writes were sent"
        return Check("journal", "warning", "in memory", advice)
    earlier = await asyncio.to_thread(client.journal.earlier_files)
    found = client.journal
    if (
        found.in_file
        and not earlier
        and (check := await asyncio.to_thread(_not_made_yet, Path(path))) is not None
    ):
        return check
    return await _look_into(found, path)


async def _look_into(journal: Journal, path: str) -> Check:
    """Check the content of the file, and what needs attention."""
    await journal.check()
    counts = await journal.counts()
    unknown = counts.get(IntentState.UNKNOWN, 0)
    found = f"{path}: {sum(counts.values())} writes, {unknown} with an unknown outcome"
    if others := await journal.not_ours():
        found += f"; {len(others)} journals of an earlier version block every write"
        return Check("journal", "bad", found, f"run `pandapon journal adopt {others[0]} --user-id ID`")
    if accounts := await journal.unassigned():
        found += f"; rows of {len(accounts)} unknown writers of an earlier version count for every account"
        return Check("journal", "warning", found, f"run `pandapon journal adopt {path} --user-id ID`")
    if extra := await journal.extra():
        ids = ", ".join(one.id[:12] for one in extra[:5])
        found += f"; {len(extra)} open writes have a newer open one with the same key ({ids})"
        return Check("journal", "warning", found, "resolve each of them: `pandapon journal resolve --all`")
    if unknown:
        return Check("journal", "warning", found, "run `pandapon journal resolve --all`")
    return Check("journal", "ok", found)


def _not_made_yet(path: Path) -> Check | None:
    """Check a journal file that does not exist; return None if it exists."""
    if path.is_file():
        return None
    folder = _existing(path.parent)
    if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
        return Check("journal", "ok", f"{path}: will be created with the first write")
    advice = "grant write permission, or choose another place with PANDAPON_JOURNAL"
    return Check(
        "journal", "bad", f"{path}: cannot be created, because {folder} is not a writable folder", advice
    )


async def disk(context: DoctorContext) -> Check:
    """Check the free space for the journal and for the files of jobs in this folder."""
    return await asyncio.to_thread(_room, context)


def _room(context: DoctorContext) -> Check:
    places = {"here": Path.cwd()}
    if context.journal is not None:
        places["for the journal"] = context.journal.parent
    found, short = [], False
    for name, place in places.items():
        free = shutil.disk_usage(_existing(place)).free
        short = short or free < DISK_WARNING
        found.append(f"{free / 2**30:.1f} GiB free {name}")
    return Check("disk", "warning" if short else "ok", ", ".join(found), "free some space" if short else "")


def _existing(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    folder = folder.absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())
