"""Check with a few lookups that the platform finds anything, before thousands of lookups.

If the vendor expects the refund's id in another place, or the key belongs to another company, the vendor
finds nothing, and a night of lookups reports every refund as missing. So ten rows of each platform, spread
over the ledger by their digest, are looked up first. If none of them is found, the other place of the
argument is tried; if that finds nothing either, the run stops and reports what to check.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from typing import Any

import attrs

from pandapon_async.client import Client
from pandapon_async.errors import ErrorKind, PandaponError
from pandapon_async.progress import Progress
from pandapon_async.reconcile.run_store import Pending, RunStore
from pandapon_async.reconcile.verdict import Lookup, Outcome
from pandapon_async.settings import Override
from pandapon_async.tables.cells import Platform

__all__ = ["SAMPLE", "NothingFoundError", "Probe", "check_found"]

SAMPLE = 10
"""How many rows of a platform are looked up first."""
UNSURE: dict[Platform, str] = {"1688": "alibaba.refunds.get"}
"""The calls for which two pages disagree about the place of the id."""

Fetch = Callable[[Client, Iterable[Pending]], Awaitable[object]]
"""Looks up rows with a client and stores the results."""


class NothingFoundError(PandaponError):
    """None of the first refunds was found in either place of the id; nothing is judged."""


@attrs.define
class Probe:
    """The first lookups. `client` is the client for the following ones."""

    client: Client
    state: RunStore
    fetch: Fetch
    progress: Progress
    in_thread: Callable[[Callable[[], Any]], Awaitable[Any]]
    """Runs slow functions off the loop."""
    least: int = 1
    """Platforms with fewer rows are not probed: of a few, all may be missing."""
    looked_up: list[Pending] = attrs.field(factory=list)
    """The rows that were looked up."""
    places: dict[str, str] = attrs.field(factory=dict)
    """The place of ids by the name of the call, as far as this run or the resumed one knows it."""

    async def run(self) -> None:
        """Look up the samples. Raises NothingFoundError, with no lookup stored, if nothing is found."""
        state = self.state
        self.places = state.get("places") or {}
        for name, place in self.places.items():
            self.client = self._with(name, place)
        chosen = await self.in_thread(lambda: samples(state.to_try(), state.platforms_found()))
        for platform, rows in chosen.items():
            if len(rows) < self.least:
                continue
            found = await self._look_up(self.client, rows)
            self.looked_up += rows
            if any(map(_shows_something, found)):
                continue
            where = await self._elsewhere(platform, rows)
            if where is None:
                await self.in_thread(state.forget_all_lookups)
                raise NothingFoundError(_nothing(platform, found))
            self.progress.note(
                f"{platform}: refunds are found with their id in the {where}; to set it, configure "
                f"overrides of {UNSURE[platform]} with arguments = {where!r}"
            )

    async def _look_up(self, client: Client, rows: Sequence[Pending]) -> list[Lookup]:
        await self.fetch(client, rows)
        found: list[Lookup] = await self.in_thread(lambda: self.state.lookups_of([row.row for row in rows]))
        return found

    async def _elsewhere(self, platform: Platform, rows: Sequence[Pending]) -> str | None:
        """Return the other place of the id, if refunds are found with it."""
        name = UNSURE.get(platform)
        if name is None:
            return None
        now = self.client.settings.vendor.overrides.get(name)
        where = "body" if now is not None and now.arguments == "query" else "query"
        other = self._with(name, where)
        if not any(map(_shows_something, await self._look_up(other, rows))):
            return None
        self.client = other
        self.places = {**self.places, name: where}
        return where

    def _with(self, name: str, place: Any) -> Client:
        """Return the client with the id of a call in this place."""
        overrides = self.client.settings.vendor.overrides
        moved = attrs.evolve(overrides.get(name) or Override(), arguments=place)
        return self.client.with_settings(overrides={**overrides, name: moved})


def check_found(state: RunStore) -> None:
    """Refuse to judge if nothing of a platform was found. Raises NothingFoundError."""
    shown = state.platforms_found()
    of: dict[Platform, list[Lookup]] = {}
    for row, lookup in state.joined():
        if lookup is not None and row.platform is not None and row.platform not in shown:
            of.setdefault(row.platform, []).append(lookup)
    for platform, found in of.items():
        if not any(map(_shows_something, found)):
            raise NothingFoundError(_nothing(platform, found))


def samples(pending: Iterable[Pending], found: Collection[Platform]) -> dict[Platform, list[Pending]]:
    """Return the rows to look up first, of each platform without any found refund."""
    first: dict[Platform, list[tuple[int, int, Pending]]] = {}
    for row in pending:
        if row.platform in found:
            continue
        heap = first.setdefault(row.platform, [])
        digest = int.from_bytes(hashlib.sha256(row.refund_id.encode()).digest()[:8], "big")
        entry = (-digest, -row.row, row)
        if len(heap) < SAMPLE:
            heapq.heappush(heap, entry)
        elif entry > heap[0]:
            heapq.heapreplace(heap, entry)
    return {
        platform: sorted((row for *_, row in heap), key=lambda row: row.row)
        for platform, heap in first.items()
    }


def _shows_something(lookup: Lookup) -> bool:
    """Whether a lookup found a refund, or failed without evidence about the place of the id."""
    if lookup.outcome is Outcome.FAILED:
        refused = lookup.error_kind == ErrorKind.API and not lookup.retryable
        return lookup.error_kind != ErrorKind.EMPTY and not refused
    return lookup.outcome is Outcome.FOUND


def _nothing(platform: Platform, found: Sequence[Lookup]) -> str:
    missing = sum(one.outcome is Outcome.MISSING for one in found)
    empty = sum(one.error_kind == ErrorKind.EMPTY for one in found)
    refused = len(found) - missing - empty
    counts = {"not known": missing, "answered without data": empty, "refused": refused}
    told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    of = "the refund" if len(found) == 1 else f"the {len(found)} refunds"
    tried = f", nor with the id in the other place ({UNSURE[platform]})" if platform in UNSURE else ""
    return (
        f"{platform}: none of {of} looked up first was found ({told}){tried}. Nothing is judged. Check "
        "that the key belongs to the account of this ledger and that the column has refund ids; "
        "`pandapon calibrate --refund-id ID` shows what the vendor accepts. If they really are missing, "
        "continue with --accept-missing"
    )
