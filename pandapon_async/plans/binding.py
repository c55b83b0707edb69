"""Bind a plan to its journal and to the journal's progress.

Only the journal knows what was sent. With another journal, an empty one, or one restored from a backup, a
plan would send everything again: 40 of 40 applications from a second machine, 20 of 20 after a restore. So a
plan keeps the identity of its journal and the journal's mark, a counter that grows with each write. The
plan's copy of the mark is on disk before the bytes of a write are sent. A journal with a lower mark is an
older copy and is refused. If other programs write to a restored copy, it may pass the mark. So the plan also
keeps the id of the newest write that the journal knew, and refuses a journal without that write.

The past of a plan that was never bound, or whose journal was in memory and is gone, is not known: its rows
are read before they are sent.

A restore of plan and journal together cannot be detected. `ApplyOptions.check_first` is for that case.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import attrs

from pandapon_async.client import Client
from pandapon_async.errors import ConfigurationError, JournalUnavailableError
from pandapon_async.journal import Journal
from pandapon_async.journal.identity import Writer
from pandapon_async.plans.async_plan_file import AsyncPlanFile
from pandapon_async.plans.plan_file import PlanFile
from pandapon_async.storage import IN_MEMORY

__all__ = [
    "Binding",
    "MarkKeeper",
    "binding_of",
    "binding_with",
    "check_binding",
    "check_journal",
    "check_writer",
    "journal_state",
]


@attrs.frozen
class Binding:
    """The facts about a journal that a plan stores."""

    identity: str
    mark: int
    path: str
    newest: str | None = None
    """The newest write that was sent with it."""
    adopted: tuple[str, ...] = ()
    """The identities of adopted journals."""

    def facts(self) -> dict[str, Any]:
        """Return the form that the plan stores."""
        return {
            "journal_id": self.identity,
            "journal_mark": self.mark,
            "journal": self.path,
            "journal_newest": self.newest,
        }

    def is_of(self, other: Binding) -> bool:
        """Whether that journal is this one, or was adopted by it."""
        return other.identity in (self.identity, *self.adopted)


async def journal_state(journal: Journal) -> Binding | None:
    """Return the journal in use; None if it is in memory or does not exist. Creates no file."""
    if not await journal.exists():
        return None
    return await binding_with(journal)


async def binding_with(journal: Journal) -> Binding:
    """Return the facts about the journal for the plan; creates its file if necessary."""
    identity, *adopted = await journal.identities()
    newest = await journal.newest_sent()
    return Binding(identity, await journal.mark(), await journal.place(), newest, tuple(adopted))


def binding_of(file: PlanFile) -> Binding | None:
    """Return the journal that a plan belongs to; None if it is not bound yet."""
    identity = file.get("journal_id")
    if identity is None:
        return None
    newest = file.get("journal_newest")
    return Binding(identity, file.get("journal_mark") or 0, file.get("journal") or "", newest)


async def check_journal(client: Client, plan: str | Path) -> None:
    """Raise ConfigurationError if the client's journal is not the plan's own, or is an older copy of it."""
    path = Path(plan)

    def read() -> Binding | None:
        with PlanFile.reading(path) as file:
            return binding_of(file)

    await check_binding(path, await asyncio.to_thread(read), client.journal)


def check_writer(file: PlanFile, plan: Path, writer: Writer) -> None:
    """Raise ConfigurationError if the plan was made for another vendor or another user id.

    A rotated key is accepted. A plan of format 1 knows its user id only together with the key.
    """
    vendor, user_id = file.get("vendor"), file.get("user_id")
    if vendor != writer.vendor:
        raise ConfigurationError(f"{plan} was made for {vendor}; this client talks to {writer.vendor}")
    if user_id is None and file.get("account") != writer.legacy:
        raise ConfigurationError(
            f"an earlier version made {plan} for another access key or user id; create the plan again"
        )
    if user_id not in (None, writer.user_id):
        raise ConfigurationError(
            f"{plan} was made for the user id {user_id}, but this client uses {writer.user_id}: set "
            f"PANDAPON_USER_ID={user_id}, or create the plan again"
        )


async def check_binding(plan: Path, bound: Binding | None, journal: Journal) -> None:
    """Raise ConfigurationError if the journal in use is not the plan's own, or an older copy of it."""
    if bound is None or bound.path == IN_MEMORY:
        return
    used, where = await journal_state(journal), journal.path
    if used is None or not used.is_of(bound):
        remedy = await asyncio.to_thread(_remedy, bound, used, where)
        raise ConfigurationError(
            f"{plan} belongs to the journal {bound.path}, and only that one knows what was sent; "
            f"{remedy}, use --adopt-journal: then every row is read before it is sent"
        )
    if used.identity == bound.identity and used.mark < bound.mark:
        lacks = f"it ends at write {used.mark}, but {plan} has sent up to write {bound.mark}"
    elif bound.newest is not None and not await journal.was_sent(bound.newest):
        lacks = f"{plan} knows a write (intent {bound.newest[:12]}) that it does not have"
    else:
        return
    raise ConfigurationError(
        f"the journal {where} is an older copy: {lacks}. Nothing was sent. Restore the newest copy, or "
        "use --adopt-journal: then every row is read before it is sent"
    )


def _remedy(bound: Binding, used: Binding | None, where: str) -> str:
    """Return what is wrong with the journal in use, and the advice. Blocks."""
    if where != bound.path and Path(where).absolute() != Path(bound.path):
        what = f"{where} does not exist" if used is None else f"the journal in use, {where}, is another one"
        return f"{what}. Nothing was sent. Use --journal {bound.path}. If that journal is lost"
    if used is None:
        return "it does not exist. Nothing was sent. Restore its newest copy. If there is none"
    return "another journal is in its place. Nothing was sent. Restore the original one. If it is lost"


class MarkKeeper:
    """Keeps the plan's copy of the journal's mark ahead of the writes that are sent.

    One commit serves all writes that wait at the same time.
    """

    def __init__(self, plan_file: AsyncPlanFile, mark: int) -> None:
        self._plan_file = plan_file
        self._kept = mark
        self._wanted = mark, ""
        self._saving: asyncio.Task[None] | None = None

    async def __call__(self, mark: int, intent_id: str) -> None:
        """Store the mark before the bytes of this write are sent."""
        self._wanted = max(self._wanted, (mark, intent_id))
        while self._kept < mark:
            if self._saving is None:
                self._saving = asyncio.create_task(self._save())
                self._saving.add_done_callback(_retrieve)
            # One waiter may be cancelled; the others still need the commit.
            await asyncio.shield(self._saving)

    async def _save(self) -> None:
        mark, newest = self._wanted
        try:
            await self._plan_file.do(lambda file: file.raise_mark(mark, newest))
            self._kept = max(self._kept, mark)
        except ConfigurationError as error:
            raise JournalUnavailableError(f"{error}; nothing was sent") from error
        finally:
            self._saving = None

    async def aclose(self) -> None:
        """Wait for a running commit."""
        if self._saving is not None:
            await asyncio.wait([self._saving])


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
