"""Split a ledger into parts that run anywhere: split, part, merge.

Splitting a ledger by position turns duplicates into matches: the two rows of one refund are in different
parts, and each looks like the only one. So parts are chosen by refund id, and everything about the whole
(duplicates, totals, the report) is done with all rows together, before and after the parts. A part only looks
up refunds and appends the results to a plain file next to its rows. If it is killed and run again, even on
another machine that sees the folder, it repeats no lookup. The merge judges all rows together, like a run of
the whole ledger.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import tempfile
import zlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from pandapon_async.accounts import Accounts
from pandapon_async.callbacks.messages import PLATFORMS
from pandapon_async.clock import Clock
from pandapon_async.core.json_values import Result
from pandapon_async.core.model import BEIJING
from pandapon_async.errors import ConfigurationError, InvalidArgumentError
from pandapon_async.progress import Progress
from pandapon_async.reconcile.ages import same_night
from pandapon_async.reconcile.ledger import LedgerReader
from pandapon_async.reconcile.options import Options
from pandapon_async.reconcile.reading import names_accounts, open_ledger, read_into
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.stoppable_thread import StoppableThread
from pandapon_async.reconcile.vendors import check_vendors
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource, Outcome
from pandapon_async.storage.files import Mark, clear_drafts, only_writer, whole_file
from pandapon_async.storage.record_file import RecordFile, read_records
from pandapon_async.tables.file_set import FileSet, name_of
from pandapon_async.tables.open import file_digest, usable

__all__ = ["MOST_PARTS", "PartLookups", "Split", "lookups_file", "rows_of", "split", "split_or_resume"]

MOST_PARTS = 1_000
_MARK = Mark('"made_by": "pandapon-async reconcile split"', "a split of a ledger")
_MADE_BY = "pandapon-async reconcile split"
_ENDED = Mark(f'"made_by": "{_MADE_BY}"', "the parts of a ledger")


def _tuple(values: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(values)  # a JSON file has lists


@attrs.frozen(kw_only=True)
class Split(Result):
    """The facts about a folder of parts."""

    id: str
    """The id of this split, which separates its lookups from those of an earlier split."""
    parts: int
    """The number of parts, numbered from 1."""
    digest: str
    """The SHA-256 of the ledger."""
    begun: float
    """When the ledger was split, in seconds since 1970: the start of the run."""
    as_of: str
    """The time for judging deadlines, in ISO 8601."""
    options: dict[str, Any]
    """How the ledger was read and is judged, from `Options.meaning`."""
    ledger: dict[str, Any]
    """The facts about the file."""
    inferred: tuple[str, ...] = attrs.field(converter=_tuple)
    """The assumptions about its columns."""
    notes: tuple[str, ...] = attrs.field(converter=_tuple)
    """Notes about it."""
    rows: tuple[int, ...] = attrs.field(converter=_tuple)
    """The number of rows of each part."""
    to_look_up: tuple[int, ...] = attrs.field(converter=_tuple)
    """The number of refunds that each part looks up."""
    by_account: bool = False
    """Whether the rows of an account are in one part."""
    finished: float | None = None
    """When every row was judged, in seconds since 1970; None: some still need a lookup."""

    def check_same(self, options: Options, by_account: bool, folder: Path) -> None:
        """Refuse to resume it with options that change its meaning."""
        meaning = options.meaning()
        changed = [name for name, value in self.options.items() if meaning[name] != value]
        if by_account != self.by_account:
            changed.append("by_account")
        if options.as_of is not None and options.as_of != datetime.fromisoformat(self.as_of):
            changed.append("as_of")
        if changed:
            raise ConfigurationError(
                f"{folder} was begun with another {', '.join(changed)}; use the same options, or start "
                "again with --fresh"
            )

    @classmethod
    def of(cls, folder: Path) -> Split:
        """Read it. Raises ConfigurationError if the folder has no parts."""
        path = folder / "split.json"
        try:
            found = json.loads(path.read_text("utf-8"))
            if found.pop("made_by", None) == _MADE_BY:
                return cls(**found)
        except FileNotFoundError:
            raise ConfigurationError(
                f"{folder} has no parts; create them with: pandapon reconcile split LEDGER --parts N "
                f"--out {folder}"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from None
        except (ValueError, TypeError, AttributeError):
            pass
        raise ConfigurationError(f"{path} is damaged or of another version; split the ledger again")

    def write(self, folder: Path) -> None:
        """Write it to its folder after the parts are complete."""
        with whole_file(folder / "split.json", _MARK) as file:
            json.dump({"made_by": _MADE_BY, **attrs.asdict(self)}, file, ensure_ascii=False, indent=1)

    def finish(self, folder: Path, now: float) -> None:
        """Record that every row was judged: the next run looks up everything again."""
        attrs.evolve(self, finished=now).write(folder)


async def split_or_resume(
    ledger: Path,
    out: Path,
    parts: int,
    *,
    options: Options,
    accounts: Accounts | None,
    by_account: bool,
    clock: Clock,
    progress: Progress,
) -> tuple[Split, Path]:
    """Return the parts of a ledger, in a folder below `out`: those of an interrupted run, or new ones.

    As for `reconcile`, a run is resumed up to 12 hours after its start; later `Options.reuse` decides which
    of its lookups count. Returns the split and its folder.

    Raises:
        InvalidArgumentError: The ledger or an option cannot work.
        ConfigurationError: The run to resume was begun with other options.
    """
    thread, now = StoppableThread(), clock.wall()

    def known() -> tuple[Split | None, Path]:
        with usable(ledger):
            FileSet.of(ledger).check_out(out)
            folder = out.absolute() / f"parts-{file_digest(ledger, thread.check)[:12]}"
        if options.fresh or not (folder / "split.json").exists():
            return None, folder
        found = Split.of(folder)
        if found.finished is None and same_night(found.begun, now):
            found.check_same(options, by_account, folder)
            return found, folder
        if options.reuse is None or found.options != options.meaning() or found.by_account != by_account:
            return None, folder
        anew = attrs.evolve(found, begun=now, as_of=_as_of(options, now), finished=None)
        anew.write(folder)
        return anew, folder

    found, folder = await thread.run(known)
    if found is not None:
        progress.note(f"resuming {found.parts} parts in {folder}; --fresh starts again")
        return found, folder
    progress.note(f"splitting {name_of(ledger)} into {parts} parts")
    made = await split(
        ledger, folder, parts, options=options, accounts=accounts, by_account=by_account, clock=clock
    )
    for text in made.notes:
        progress.note(f"note: {text}")
    return made, folder


def _as_of(options: Options, now: float) -> str:
    return (options.as_of or datetime.fromtimestamp(now, UTC)).astimezone(BEIJING).isoformat()


async def split(
    ledger: str | Path,
    out: str | Path,
    parts: int,
    *,
    options: Options | None = None,
    accounts: Accounts | None = None,
    by_account: bool = False,
    clock: Clock | None = None,
) -> Split:
    """Read a ledger and write its parts into a folder. Makes no call.

    Args:
        ledger: A CSV, XLSX or Parquet file; a folder or a pattern of CSV or Parquet files.
        out: The folder, which has no parts of another ledger in it.
        parts: How many, from 1 to 1,000.
        options: How the ledger is read and judged; applies to the parts and the merge.
        accounts: The accounts whose names or shops are in the rows.
        by_account: Whether to keep the rows of an account together, so that a part needs only one account.
        clock: The time.

    Returns: what split.json holds.

    Raises:
        InvalidArgumentError: The ledger or an option cannot work.
        ConfigurationError: The folder has other content.
    """
    thread, begun = StoppableThread(), (clock or Clock()).wall()
    given = (Path(ledger), Path(out), parts, options or Options(), accounts, by_account)
    return await thread.run(lambda: _split(*given, begun, thread.check))


def _split(
    ledger: Path,
    folder: Path,
    parts: int,
    options: Options,
    accounts: Accounts | None,
    by_account: bool,
    begun: float,
    check: Callable[[], None],
) -> Split:
    if not 1 <= parts <= MOST_PARTS:
        raise InvalidArgumentError(f"{parts} parts: 1 to {MOST_PARTS:,} can be made", argument="parts")
    with usable(ledger):
        FileSet.of(ledger).check_out(folder)
        digest = file_digest(ledger, check)
    table = open_ledger(ledger, options)
    routed = accounts is not None and names_accounts(table, accounts)
    if by_account and not routed:
        raise InvalidArgumentError(
            "--by-account: no column and no entry of [shops] in the configuration names an account",
            argument="by_account",
        )
    reader = LedgerReader(table, options, accounts.account_of if accounts is not None and routed else None)
    folder.mkdir(parents=True, exist_ok=True)
    with only_writer(folder), tempfile.TemporaryDirectory(prefix="pandapon-") as scratch:
        _MARK.check(folder / "split.json")
        clear_drafts(folder)
        _clear(folder)
        with contextlib.closing(RunStore.open(Path(scratch) / "state.sqlite")) as state:
            notes = read_into(state, reader, ledger, digest, check)
            written = _write_parts(folder, state, parts, by_account, check)
            made = Split(
                id=secrets.token_hex(8),
                parts=parts,
                digest=digest,
                begun=begun,
                as_of=_as_of(options, begun),
                options=options.meaning(),
                ledger=state.get("ledger"),
                inferred=state.get("inferred"),
                notes=tuple(notes),
                rows=tuple(count for count, _ in written),
                to_look_up=tuple(count for _, count in written),
                by_account=by_account,
            )
        made.write(folder)
    return made


def _clear(folder: Path) -> None:
    """Remove the parts of an earlier split; without split.json a folder does not count as one."""
    if (folder / "split.json").exists():
        for path in (*folder.glob("part-*.rows"), *folder.glob("part-*.lookups")):
            path.unlink()
        for platform in PLATFORMS:
            _ended(folder, platform).unlink(missing_ok=True)
        (folder / "split.json").unlink()
    elif strange := next(folder.glob("part-*"), None):
        raise ConfigurationError(f"{strange} was not written by a split of a ledger; choose another --out")


def _write_parts(
    folder: Path, state: RunStore, parts: int, by_account: bool, check: Callable[[], None]
) -> list[tuple[int, int]]:
    """Write every row to its part; return the number of rows and of lookups of each part."""
    counts = [[0, 0] for _ in range(parts)]
    with contextlib.ExitStack() as files:
        opened = [files.enter_context(RecordFile.open(_rows(folder, number + 1))) for number in range(parts)]
        for row, _ in state.joined():
            number = _part_of(row, parts, by_account)
            opened[number].append(attrs.asdict(row))
            counts[number][0] += 1
            counts[number][1] += row.problem is None and row.duplicate_of is None
            if row.row % 1_000 == 0:
                check()
        for file in opened:
            file.flush()
    return [(rows, asked) for rows, asked in counts]


def _part_of(row: LedgerRow, parts: int, by_account: bool) -> int:
    """Choose the part by the refund, never by the position, so that the rows of one refund stay together."""
    whose = row.account if by_account and row.account is not None else f"{row.platform}\0{row.refund_id}"
    about = whose if row.refund_id is not None or by_account else f"row {row.row}"
    return zlib.crc32(about.encode("utf-8", "surrogatepass")) % parts


def _rows(folder: Path, part: int) -> Path:
    return folder / f"part-{part:04}.rows"


def lookups_file(folder: Path, part: int) -> Path:
    """The file to which a part appends its lookups."""
    return folder / f"part-{part:04}.lookups"


def end_reuse(folder: Path, split_id: str, platforms: Iterable[str]) -> None:
    """Announce to all parts that no earlier lookup of these platforms is reused."""
    for platform in platforms:
        with whole_file(_ended(folder, platform), _ENDED) as file:
            json.dump({"made_by": _MADE_BY, "reuse_ended": platform, "split": split_id}, file)


def ended_reuse(folder: Path, split_id: str) -> list[str]:
    """Return the platforms for which a part found an outdated lookup."""
    found = []
    for platform in PLATFORMS:
        with contextlib.suppress(FileNotFoundError):
            if json.loads(_ended(folder, platform).read_text("utf-8"))["split"] == split_id:
                found.append(platform)
    return found


def _ended(folder: Path, platform: str) -> Path:
    return folder / f"reuse-ended-{platform}.json"


def rows_of(folder: Path, found: Split, part: int) -> list[LedgerRow]:
    """Read the rows of a part. Raises ConfigurationError if some are missing."""
    path = _rows(folder, part)
    rows = [LedgerRow(**record) for record in read_records(path)]
    if len(rows) != found.rows[part - 1]:
        raise ConfigurationError(
            f"{path} has {len(rows):,} of {found.rows[part - 1]:,} rows; copy it again, "
            "or split the ledger again"
        )
    return rows


@attrs.define
class PartLookups:
    """The content of a part's file: the lookups that count, the place of ids, the end of its last run."""

    found: dict[int, Lookup] = attrs.field(factory=dict)
    ended: dict[str, Any] | None = None
    places: dict[str, str] = attrs.field(factory=dict)
    scopes: dict[str, str] = attrs.field(factory=dict)
    """The scopes of its lookups by account ("" for all rows), if later runs may reuse them."""
    vendors: list[str] | None = None
    """Whose answers its lookups are; None: an earlier version wrote them."""

    @classmethod
    def of(cls, path: Path, records: Iterable[Any], split_id: str) -> PartLookups:
        """Read the records: each run begins with the time from which earlier lookups count."""
        read = cls()
        for record in records:
            if "begun" in record:
                if record["split"] != split_id:
                    raise ConfigurationError(
                        f"{path} belongs to another split of a ledger; remove it, and it is created again"
                    )
                oldest = record["oldest"]
                read.found = {
                    row: one for row, one in read.found.items() if oldest is not None and _counts(one, oldest)
                }
                if read.found and "vendors" in record:
                    helps = "remove it, and all are looked up again"
                    check_vendors(str(path), read.vendors, record["vendors"], helps)
                read.vendors = record.get("vendors", read.vendors)
                read.ended = None
                read.scopes |= record.get("scopes", {})
            elif "ended" in record:
                read.ended = record["ended"]
            elif "places" in record:
                read.places = record["places"]
            else:
                lookup = Lookup(**record["lookup"])
                lookup.outcome, lookup.source = Outcome(lookup.outcome), LookupSource(lookup.source)
                read.found[record["row"]] = lookup
        return read


def _counts(lookup: Lookup, oldest: str) -> bool:
    return lookup.outcome is not Outcome.FAILED and (lookup.looked_up_at or "") >= oldest
