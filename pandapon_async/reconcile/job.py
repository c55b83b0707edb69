"""The nightly job: read a ledger, look up every refund, judge every row, write reports and rows.

The order is fixed: check everything that can be refused, read the ledger into the state, look up what is not
yet known, then judge and write everything at once. Verdicts depend on the state alone, so a run that was
killed and resumed writes the same files as one that was not.
"""

from __future__ import annotations

import contextlib
import uuid
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from pandapon_async.accounts import Accounts
from pandapon_async.client import Client
from pandapon_async.clock import Clock
from pandapon_async.core.model import BEIJING
from pandapon_async.errors import ConfigurationError
from pandapon_async.events import Observed
from pandapon_async.progress import NullProgress, Progress
from pandapon_async.reconcile.ages import forget_old, same_night
from pandapon_async.reconcile.find_missing import MissingRange, range_of
from pandapon_async.reconcile.ledger import LedgerReader
from pandapon_async.reconcile.lists import check_lists
from pandapon_async.reconcile.looking_up import LookingUp, counters
from pandapon_async.reconcile.lookup_store import LOOKUPS, LookupStore, LookupsUnusableError, scopes_of
from pandapon_async.reconcile.options import Language, Options
from pandapon_async.reconcile.outputs import check_directory, lookup_age
from pandapon_async.reconcile.parquet_rows import NO_PARQUET, can_write_parquet
from pandapon_async.reconcile.reading import names_accounts, open_ledger, read_into
from pandapon_async.reconcile.reuse import Reuse
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.stoppable_thread import StoppableThread
from pandapon_async.reconcile.summary import Summary
from pandapon_async.reconcile.vendors import check_vendors, vendors_asked
from pandapon_async.reconcile.verdict import VerdictRule
from pandapon_async.reconcile.words import language_of
from pandapon_async.reconcile.writing import write_outputs
from pandapon_async.storage.damage import FILE_ERRORS, is_damage
from pandapon_async.storage.files import clear_drafts, only_writer
from pandapon_async.tables.file_set import FileSet, name_of
from pandapon_async.tables.given import Rows, table_file_off_loop
from pandapon_async.tables.open import file_digest, usable

__all__ = ["reconcile", "state_path"]


async def reconcile(
    client: Client | Accounts,
    ledger: Rows,
    out: str | Path,
    *,
    options: Options | None = None,
    state: str | Path | None = None,
    progress: Progress | None = None,
    clock: Clock | None = None,
) -> Summary:
    """Compare a ledger with the platforms, refund by refund, as `pandapon reconcile` does.

    The same call resumes a run that was interrupted or left rows unverified, up to 12 hours after its start:
    it looks up only what is missing or failed. Later, and after a complete run, it looks up everything again,
    except what `Options.reuse` allows to be older. rows.csv has the age of each lookup.

    Args:
        client: The client. With `Accounts` each row is looked up with the account in its column `account`, or
            the account of its shop in [shops]; the rows of a refused account are not looked up, the others
            continue.
        ledger: A CSV, XLSX or Parquet file; a folder or a pattern of CSV or Parquet files; or mappings of
            column names to values (text, int, Decimal, datetime, None); or an Arrow stream: a frame of
            pandas, Polars, DuckDB or PyArrow. Ids must be text or whole numbers, as in files.
        out: The folder for the reports, rows.csv, rows.parquet, exceptions.csv and summary.json.
        options: How the ledger is read and judged.
        state: The file that stores finished lookups; by default in `out`, named by the ledger's digest.
        progress: Receives the progress.
        clock: The clock of the run; by default the client's.

    Returns:
        Counts and sums; `Summary.results()` iterates over the judged rows.

    Raises:
        InvalidArgumentError: The ledger or the options cannot work. Nothing was looked up.
        ConfigurationError: The state or the folder belongs to another run, or with `Settings.shared` another
            machine runs this ledger. Nothing was looked up.
        NothingFoundError: None of the first refunds was found.
        AuthenticationError: The vendor refused the account. Finished lookups are always kept.
    """
    async with table_file_off_loop(ledger) as path:
        job = _Job(client, path, Path(out), options or Options(), progress or NullProgress(), clock)
        return await job.run(None if state is None else Path(state))


def state_path(ledger: str | Path, out: str | Path) -> Path:
    """The default path of a run's state."""
    return _state_path(Path(out), file_digest(Path(ledger)))


def _state_path(out: Path, digest: str) -> Path:
    return out / f"state-{digest[:12]}.sqlite"


class _Job:
    """One run, step by step."""

    def __init__(
        self,
        client: Client | Accounts,
        ledger: Path,
        out: Path,
        options: Options,
        progress: Progress,
        clock: Clock | None,
    ) -> None:
        self._accounts = client if isinstance(client, Accounts) else None
        if not isinstance(client, Accounts):
            self._client = client
        self._ledger = ledger
        self._out = out
        self._options = options
        self._progress = progress
        self._clock = clock or client.settings.clock
        self._shared = client.settings.shared
        self._thread = StoppableThread()
        self._language: Language = language_of(options.language or client.settings.language)
        self._aside = ""

    async def run(self, state_file: Path | None) -> Summary:
        digest = await self._thread.run(self._check_files)
        if self._shared is None:
            return await self._run_alone(digest, state_file)
        # Imported here: most programs share nothing.
        from pandapon_async.shared.runs import only_run

        async with only_run(self._shared, self._clock, digest, f"the ledger {self._ledger}"):
            return await self._run_alone(digest, state_file)

    async def _run_alone(self, digest: str, state_file: Path | None) -> Summary:
        reader = await self._thread.run(self._open_ledger)
        path = state_file or _state_path(self._out, digest)
        opened: list[RunStore] = []
        with contextlib.ExitStack() as held:  # filled by the thread, even if this is cancelled meanwhile
            held.callback(self._progress.end)
            try:
                await self._thread.run(lambda: self._take(path, held, opened))
                summary = await self._run(opened[0], reader, digest, held)
                if (observed := Observed.of(self._client.settings.observer)) is not None:
                    observed.tell("reconciled", summary)
                return summary
            except LookupsUnusableError:
                raise
            except (ConfigurationError, *FILE_ERRORS) as error:
                if not is_damage(error):
                    raise
            ours = await self._thread.run(lambda: RunStore.made(path))
            raise ConfigurationError(
                f"the state file {path} is damaged and not used. "
                + ("--fresh renames it and looks up everything again" if ours else "Choose another --state")
            )

    def _take(self, path: Path, held: contextlib.ExitStack, opened: list[RunStore]) -> None:
        """Lock the folder and the state for this run; `held` releases them."""
        try:
            self._out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            why = error.strerror or type(error).__name__
            raise ConfigurationError(f"{self._out} cannot be created: {why}; choose another --out") from None
        held.enter_context(only_writer(self._out))
        clear_drafts(self._out)
        state = self._open_anew(path) if self._options.fresh else self._open(path)
        held.callback(state.close)
        opened.append(state)

    def _open(self, path: Path) -> RunStore:
        state = RunStore.open(path)
        try:
            state.check(thorough=False)
        except BaseException:
            state.close()
            raise
        return state

    def _open_anew(self, path: Path) -> RunStore:
        """Return an empty state. A damaged one is renamed, only if it is certainly ours."""
        try:
            state = self._open(path)
            state.clear()
        except (ConfigurationError, *FILE_ERRORS) as error:
            if not is_damage(error) or not RunStore.made(path):
                raise
        else:
            return state
        aside = path.with_name(f"{path.name}.damaged-{uuid.uuid4().hex[:8]}")
        path.replace(aside)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        self._aside = f"{path.name} is damaged: it was renamed to {aside.name}, and a new one was created"
        return self._open(path)

    def _check_files(self) -> str:
        """Refuse impossible input; return the ledger's digest."""
        with usable(self._ledger):
            FileSet.of(self._ledger).check_out(self._out)
            check_directory(self._out)
            return file_digest(self._ledger, self._thread.check)

    def _open_ledger(self) -> LedgerReader:
        """Refuse unreadable input before the run leaves any trace."""
        table = open_ledger(self._ledger, self._options)
        if self._accounts is not None:
            if not names_accounts(table, self._accounts):
                self._client, self._accounts = self._accounts.only(), None
            else:
                self._client = self._accounts.client(self._accounts.names[0])
        if self._options.by_list or self._options.find_missing:
            check_lists(self._client)
        route = None if self._accounts is None else self._accounts.account_of
        return LedgerReader(table, self._options, route)

    async def _run(
        self, state: RunStore, reader: LedgerReader, digest: str, held: contextlib.ExitStack
    ) -> Summary:
        started = self._now()
        if self._aside:
            self._progress.note(self._aside)
        dropped = await self._thread.run(lambda: self._begin_or_resume(state, digest, started))
        if dropped:
            self._progress.note(
                f"{dropped:,} lookups of an earlier run are too old and are repeated; --reuse AGE uses them"
            )
        if state.get("ledger") is None:
            self._progress.note(f"reading {name_of(self._ledger)}")
            read = partial(read_into, state, reader, self._ledger, digest, self._thread.check)
            for note in await self._thread.run(read):
                self._progress.note(f"note: {note}")
        counts = {"lookups_before": 0, "lookups": 0, "second_pass": 0}
        state.forget_failures()
        counts["lookups_before"] = state.looked_up()
        oldest = state.oldest_lookup()
        looking_up = LookingUp(
            self._client, self._accounts, self._options, self._progress, self._clock, self._thread
        )
        if self._options.by_list:
            looking_up.rule = self._rule(state)
        if self._options.remembers:
            opening = partial(self._open_reuse, state, started.timestamp(), held)
            looking_up.reuse = await self._thread.run(opening)
        looking_up.missing = await self._thread.run(lambda: self._range(state))
        before = counters(looking_up.statistics)
        await looking_up.run(state, counts)
        work = {name: count - before[name] for name, count in counters(looking_up.statistics).items()}
        ended = self._now()
        run = {"started_at": _moment(started), "finished_at": _moment(ended), **counts, **work}
        run["calls_saved"] = looking_up.saved.to_dict()
        if looking_up.reuse is not None:
            run["reuse"] = looking_up.reuse.result.to_dict()
        if looking_up.stopped:
            left, fen = await self._thread.run(state.left)
            run["stopped"] = {"left": left, "ledger_fen": fen}
        run["oldest_lookup_age_s"] = None if oldest is None else lookup_age(oldest, ended)
        run["seconds"] = round((ended - started).total_seconds(), 3)
        self._progress.note("writing reports, rows and summary")
        if not can_write_parquet():
            self._progress.note(NO_PARQUET)
        summary = await self._thread.run(lambda: self._write(state, run, ended))
        if not summary.totals.unverified and looking_up.reuse is not None:
            await self._remember(state, looking_up.reuse)
        if summary.exit_code < 3:
            state.set({"finished": self._clock.wall()})
        return summary

    def _open_reuse(self, state: RunStore, now: float, held: contextlib.ExitStack) -> Reuse:
        """Return the reuse of earlier lookups. Raises before any lookup if a file cannot be used."""
        path = self._options.lookups or Path(state.path).with_name(LOOKUPS)
        store = LookupStore.open(path)
        held.callback(store.close)
        scopes = scopes_of(self._client, self._accounts, state.accounts())
        return Reuse.of(store, scopes, self._options, state.get("begun"), now, self._thread.check)

    async def _remember(self, state: RunStore, reuse: Reuse) -> None:
        now = self._clock.wall()
        try:
            await self._thread.run(lambda: reuse.remember(state, now))
        except LookupsUnusableError as error:
            self._progress.note(f"note: {error}; the next run cannot reuse the lookups of this one")

    def _begin_or_resume(self, state: RunStore, digest: str, started: datetime) -> int:
        """Resume the run of the state, or begin a new one with the reusable lookups.

        Returns the number of lookups that were too old.
        """
        meaning, now = self._options.meaning(), started.timestamp()
        known, begun = state.get("digest"), state.get("begun")
        resumed = not state.get("finished") and same_night(begun, now)
        vendors = vendors_asked(self._client, self._accounts)
        if (resumed or self._options.reuse is not None) and state.looked_up():
            helps = "choose another --out or --state, or start again with --fresh"
            check_vendors(state.path, state.get("vendors"), vendors, helps)
        if known is not None and resumed:
            self._check_same(state, digest)
            state.set({"vendors": vendors})
        else:
            if known is not None and (known != digest or state.get("options") != meaning):
                state.clear()
            as_of = (self._options.as_of or started).astimezone(BEIJING).isoformat()
            facts = {"digest": digest, "options": meaning, "as_of": as_of, "begun": now, "finished": None}
            state.set({**facts, "vendors": vendors, "reuse_ended": None})
            state.forget_lists()
        if not state.get("keeps_freight"):  # its lookups, if any, are from an earlier version
            state.set({"keeps_freight": True})
            return state.forget_all_lookups()
        reuse = None if self._options.callbacks is not None else self._options.reuse
        return forget_old(state, begun if resumed else None, now, reuse)

    def _check_same(self, state: RunStore, digest: str) -> None:
        """Refuse to resume a run of another ledger or with other rules of judgement."""
        if state.get("digest") != digest:
            raise ConfigurationError(
                f"{state.path} belongs to another ledger (or this one was changed since); choose another "
                "state file with --state, or start again with --fresh"
            )
        meaning = self._options.meaning()
        if changed := [name for name, value in state.get("options").items() if meaning[name] != value]:
            raise ConfigurationError(
                f"{state.path} was begun with another {', '.join(changed)}; use the same options, choose "
                "another state file with --state, or start again with --fresh"
            )
        if self._options.as_of is not None and self._options.as_of != _as_of(state):
            raise ConfigurationError(
                f"{state.path} judges deadlines as of {state.get('as_of')}; omit --as-of, or start again "
                "with --fresh"
            )

    def _write(self, state: RunStore, run: dict[str, Any], ended: datetime) -> Summary:
        return write_outputs(
            self._out,
            state,
            self._rule(state),
            run=run,
            ended=ended,
            report_rows=self._options.report_rows,
            language=self._language,
            group_readable=self._options.group_readable,
            check=self._thread.check,
        )

    def _range(self, state: RunStore) -> MissingRange | None:
        """The days to search for what the ledger lacks, if any; what was read for other days is dropped."""
        asked = range_of(self._options, state.dates()) if self._options.find_missing else None
        days = None if asked is None else [str(asked.since), str(asked.until)]
        if asked is not None and days != state.get("missing_range"):
            state.forget_lists()
        state.set({"missing_range": days, "pushes_read": None, "lacking_looked_up": None})
        return asked

    def _rule(self, state: RunStore) -> VerdictRule:
        return VerdictRule(
            as_of=_as_of(state),
            basis=self._options.amount_basis,
            tolerance_fen=self._options.tolerance_fen,
            freight=self._client.settings.vendor.freight,
        )

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._clock.wall(), UTC)


def _as_of(state: RunStore) -> datetime:
    return datetime.fromisoformat(state.get("as_of"))


def _moment(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")
