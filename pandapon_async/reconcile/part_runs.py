"""Run and merge the parts of a ledger; `parts` explains them."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from pandapon_async.accounts import Accounts
from pandapon_async.client import Client
from pandapon_async.clock import Clock
from pandapon_async.core.json_values import Result
from pandapon_async.errors import InvalidArgumentError, PandaponError
from pandapon_async.progress import NullProgress, Progress
from pandapon_async.reconcile.ages import oldest_allowed, same_night, stamp
from pandapon_async.reconcile.calls_saved import CallsSaved
from pandapon_async.reconcile.looking_up import COUNTERS, LookingUp, counters
from pandapon_async.reconcile.lookup_store import LOOKUPS, LookupStore, Scope, scopes_of
from pandapon_async.reconcile.options import LONGEST_REUSE, Options
from pandapon_async.reconcile.outputs import check_directory, lookup_age
from pandapon_async.reconcile.parts import (
    PartLookups,
    Split,
    end_reuse,
    ended_reuse,
    lookups_file,
    rows_of,
)
from pandapon_async.reconcile.probe import SAMPLE, check_found
from pandapon_async.reconcile.reuse import Reuse, Reused
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.stoppable_thread import StoppableThread
from pandapon_async.reconcile.summary import Summary
from pandapon_async.reconcile.vendors import vendors_asked
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource, VerdictRule
from pandapon_async.reconcile.words import language_of
from pandapon_async.reconcile.writing import write_outputs
from pandapon_async.settings.vendor import FreightReading
from pandapon_async.storage.files import clear_drafts, only_writer
from pandapon_async.storage.record_file import RecordFile, read_records

__all__ = ["IncompletePartsError", "PartResult", "merge", "run_part"]


class IncompletePartsError(PandaponError):
    """Parts of a ledger are incomplete; nothing was merged."""


@attrs.frozen(kw_only=True)
class PartResult(Result):
    """The result of running one part."""

    part: int
    """Its number, from 1."""
    rows: int
    """The number of its rows."""
    lookups_before: int
    """How many lookups of earlier runs of the part were reused."""
    lookups: int
    """How many refunds were looked up in this run."""
    failed: int
    """How many lookups failed: their rows will be unverified."""
    left: int = 0
    """How many were not looked up because of `Options.stop_at`: their rows will be unverified."""


async def run_part(
    client: Client | Accounts,
    folder: str | Path,
    part: int,
    *,
    options: Options | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> PartResult:
    """Look up the refunds of one part; lookups of earlier runs are not repeated.

    Args:
        client: The client or the accounts that make the calls.
        folder: The folder of the parts.
        part: The number of the part, from 1.
        options: `concurrency`, `second_pass`, `accept_missing`, `stop_at`, and what is used again: `reuse`,
            `reuse_final`, `recheck`, `callbacks`, `lookups` (by default lookups.sqlite in the folder); the
            split said the rest.
        progress: Receives the progress.
        clock: The clock; by default the client's.

    Returns: how many lookups were made and used again.

    Raises:
        InvalidArgumentError: The part does not exist.
        ConfigurationError: The folder or the part cannot be used, or another process runs the part.
        AuthenticationError: The vendor refused the account. Finished lookups are kept.
    """
    folder, options, progress = Path(folder), options or Options(), progress or NullProgress()
    options.refuse_lists()
    thread = StoppableThread()
    found = await thread.run(lambda: Split.of(folder))
    if not 1 <= part <= found.parts:
        raise InvalidArgumentError(
            f"there is no part {part}; the parts are 1 to {found.parts}", argument="part"
        )
    accounts = client if isinstance(client, Accounts) else None
    held = contextlib.ExitStack()
    try:
        rows = await thread.run(lambda: rows_of(folder, found, part))
        asked = [row for row in rows if row.problem is None and row.duplicate_of is None]
        if accounts is not None and asked and all(row.account is None for row in asked):
            client, accounts = accounts.only(), None
        lead = client if isinstance(client, Client) else client.client(client.names[0])
        work = LookingUp(lead, accounts, options, progress, clock or lead.settings.clock, thread)
        work.least_tried = SAMPLE
        return await _run_part(work, found, folder, part, rows, held)
    finally:
        progress.end()
        await thread.run(held.close)


async def _run_part(
    work: LookingUp, found: Split, folder: Path, part: int, rows: list[LedgerRow], held: contextlib.ExitStack
) -> PartResult:
    path, started = lookups_file(folder, part), work.clock.wall()
    file, state = await work.thread.run(lambda: (held.enter_context(RecordFile.open(path)), _scratch(held)))
    begun = found.begun if same_night(found.begun, started) else None
    silent = work.options.callbacks is not None  # then only refunds without a push are reused
    oldest = oldest_allowed(begun, started, None if silent else work.options.reuse)
    first = stamp(oldest) if oldest != math.inf else None
    beginning: dict[str, Any] = {"split": found.id, "begun": started, "oldest": first}
    beginning["vendors"] = await work.thread.run(lambda: vendors_asked(work.client, work.accounts))
    scopes: dict[str | None, Scope] = {}
    if work.options.remembers:
        accounts = sorted({row.account for row in rows if row.account is not None})
        scopes = scopes_of(work.client, work.accounts, accounts)
        beginning["scopes"] = {name or "": scope.digest for name, scope in scopes.items()}
    before = PartLookups.of(path, (*file.records, beginning), found.id)
    await work.thread.run(lambda: file.append(beginning))
    await work.thread.run(lambda: _fill(state, rows, before.found.items()))
    ended_so_far = await work.thread.run(lambda: ended_reuse(folder, found.id))
    state.set({"places": before.places, "reuse_ended": ended_so_far})
    if scopes:
        work.reuse = await work.thread.run(
            lambda: _reuse(folder, found, work.options, scopes, started, held, work.thread.check)
        )

    async def keep(row: int, lookup: Lookup) -> None:
        await work.thread.run(lambda: file.append({"row": row, "lookup": attrs.asdict(lookup)}))

    async def keep_places(places: dict[str, str]) -> None:
        await work.thread.run(lambda: file.append({"places": places}))

    async def end_everywhere(platforms: list[str]) -> None:
        await work.thread.run(lambda: end_reuse(folder, found.id, platforms))

    work.kept, work.placed, work.reuse_ended = keep, keep_places, end_everywhere
    counts = {"lookups_before": len(before.found), "lookups": 0, "second_pass": 0}
    counted = counters(work.statistics)
    await work.run(state, counts)
    made = {name: count - counted[name] for name, count in counters(work.statistics).items()}
    times = {"started_at": started, "finished_at": work.clock.wall()}
    ended = {**times, **counts, **made, "calls_saved": work.saved.to_dict()}
    if work.reuse is not None:
        ended["reuse"] = work.reuse.result.to_dict()

    def end() -> int:
        file.append({"ended": ended})
        file.flush()
        return state.left()[0]

    left = await work.thread.run(end)
    return PartResult(
        part=part,
        rows=len(rows),
        lookups_before=counts["lookups_before"],
        lookups=counts["lookups"],
        failed=state.failures(),
        left=left,
    )


def _reuse(
    folder: Path,
    found: Split,
    options: Options,
    scopes: Mapping[str | None, Scope],
    now: float,
    held: contextlib.ExitStack,
    check: Callable[[], None],
) -> Reuse | None:
    """Return the reuse of earlier nights' lookups; None before the first night that keeps any."""
    path = options.lookups or folder / LOOKUPS
    if not path.is_file():
        return None
    store = held.enter_context(contextlib.closing(LookupStore.open(path, must_exist=True)))
    reuse = Reuse.of(store, scopes, options, found.begun, now, check)
    reuse.ended_elsewhere = lambda: ended_reuse(folder, found.id)
    return reuse


def _scratch(held: contextlib.ExitStack) -> RunStore:
    """Open a state that `held` removes: the lasting data of a part is in its plain files."""
    folder = held.enter_context(tempfile.TemporaryDirectory(prefix="pandapon-"))
    return held.enter_context(contextlib.closing(RunStore.open(Path(folder) / "state.sqlite")))


def _fill(state: RunStore, rows: Iterable[LedgerRow], lookups: Iterable[tuple[int, Lookup]]) -> None:
    state.add_rows(rows, marked=True)
    with state.transaction():
        for row, lookup in lookups:
            state.record(row, lookup)


async def merge(
    folder: str | Path,
    out: str | Path,
    *,
    options: Options | None = None,
    freight: FreightReading = "ask",
    clock: Clock | None = None,
) -> Summary:
    """Judge the rows of all parts and write the files of the run, as if the ledger had not been split.

    Args:
        folder: The folder of the parts.
        out: The folder for the reports, as for `reconcile`.
        options: `accept_missing`, `report_rows`, `language`, `group_readable`, `lookups`; the split said
            the rest.
        freight: Whether freight is added to a refund's amount, included in it, or a question.
        clock: The time.

    Returns: the summary that summary.json holds.

    Raises:
        IncompletePartsError: Parts are missing or incomplete. Nothing is written.
        NothingFoundError: None of a platform's refunds was found. Nothing is written.
        ConfigurationError: A folder or a part cannot be used.
    """
    folder, out, options, clock = Path(folder), Path(out), options or Options(), clock or Clock()
    thread, ended = StoppableThread(), datetime.fromtimestamp(clock.wall(), UTC)

    def work() -> Summary:
        found = Split.of(folder)
        check_directory(out)
        with contextlib.ExitStack() as held:
            state = _scratch(held)
            parts = _gather(found, folder, state, thread.check)
            out.mkdir(parents=True, exist_ok=True)
            held.enter_context(only_writer(out))
            clear_drafts(out)
            if not options.accept_missing:
                check_found(state)
            state.set({"ledger": found.ledger, "options": found.options, "as_of": found.as_of})
            state.set({"inferred": list(found.inferred), "notes": list(found.notes)})
            rule = VerdictRule(
                as_of=datetime.fromisoformat(found.as_of),
                basis=found.options["amount_basis"],
                tolerance_fen=found.options["tolerance_fen"],
                freight=freight,
            )
            summary = write_outputs(
                out,
                state,
                rule,
                run=_run_of(found, parts, state, ended),
                ended=ended,
                report_rows=options.report_rows,
                language=language_of(options.language),
                group_readable=options.group_readable,
                check=thread.check,
            )
            if not summary.totals.unverified:
                _remember(options.lookups or folder / LOOKUPS, parts, state, ended.timestamp(), thread.check)
            return summary

    return await thread.run(work)


def _gather(found: Split, folder: Path, state: RunStore, check: Callable[[], None]) -> list[PartLookups]:
    """Read all rows and lookups into one state, a part at a time; return the other facts of the parts."""
    parts: list[PartLookups] = []
    missing: list[str] = []
    platforms = ended_reuse(folder, found.id)
    for number, asked in enumerate(found.to_look_up, 1):
        path = lookups_file(folder, number)
        part = PartLookups.of(path, read_records(path), found.id)
        if asked and (part.ended is None or part.ended["started_at"] < found.begun):
            missing.append(f"part {number} ({len(part.found):,} of {asked:,} looked up)")
        elif not missing:
            rows = rows_of(folder, found, number)
            if platforms:
                _check_reuse(number, folder, rows, part, platforms)
            _fill(state, rows, part.found.items())
        part.found = {}  # one part at a time
        parts.append(part)
        check()
    if missing:
        shown = ", ".join(missing[:10]) + (f" and {len(missing) - 10} more" if len(missing) > 10 else "")
        first = missing[0].split()[1]
        raise IncompletePartsError(
            f"{len(missing)} of {found.parts} parts are not complete: {shown}. Nothing was merged. Run "
            f"them, for example: pandapon reconcile part {first} --in {folder}"
        )
    return parts


def _check_reuse(
    number: int, folder: Path, rows: list[LedgerRow], part: PartLookups, platforms: list[str]
) -> None:
    """Refuse reused lookups of a platform for which another part found an outdated one."""
    for row in rows:
        lookup = part.found.get(row.row)
        if lookup is not None and lookup.source is LookupSource.REUSED and row.platform in platforms:
            raise IncompletePartsError(
                f"part {number} reused earlier lookups of {row.platform} before another part found a "
                f"changed refund. Nothing was merged. Run it again: pandapon reconcile part {number} "
                f"--in {folder}"
            )


def _remember(
    path: Path, parts: list[PartLookups], state: RunStore, now: float, check: Callable[[], None]
) -> None:
    """Store the lookups of a complete run for later ones, if its parts keep any."""
    scopes: dict[str, str | None] = {}
    for part in parts:
        for account, digest in part.scopes.items():
            scopes[account] = digest if scopes.setdefault(account, digest) == digest else None
    if not scopes:
        return

    def scope_of(row: LedgerRow) -> str | None:
        return scopes.get(row.account or "") or scopes.get("")

    oldest = stamp(now - LONGEST_REUSE.total_seconds())
    with contextlib.closing(LookupStore.open(path)) as store, contextlib.closing(state.joined()) as rows:
        store.remember(rows, scope_of, oldest, check)


def _run_of(found: Split, parts: list[PartLookups], state: RunStore, ended: datetime) -> dict[str, Any]:
    """Return the calls and times of the run: the sums over the last run of every part."""
    runs = [part.ended for part in parts if part.ended is not None]
    names = ("lookups_before", "lookups", "second_pass", *COUNTERS)
    oldest, saved = state.oldest_lookup(), CallsSaved()
    for run in runs:
        saved.add(CallsSaved(**run.get("calls_saved", {})))
    return {
        "started_at": datetime.fromtimestamp(found.begun, UTC).isoformat(timespec="seconds"),
        "finished_at": ended.isoformat(timespec="seconds"),
        **{name: sum(run.get(name, 0) for run in runs) for name in names},
        "oldest_lookup_age_s": None if oldest is None else lookup_age(oldest, ended),
        "calls_saved": saved.to_dict(),
        "seconds": round(ended.timestamp() - found.begun, 3),
        "parts": found.parts,
        **_reuse_of(runs),
    }


def _reuse_of(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what all parts reused, if they may."""
    found = [Reused(**run["reuse"]) for run in runs if "reuse" in run]
    total = Reused()
    for one in found:
        total.add(one)
    return {"reuse": total.to_dict()} if found else {}
