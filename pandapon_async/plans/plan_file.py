"""The plan: an SQLite file with every row of a table, its write, and its result.

`plan` writes it once, under another name until it is complete; afterwards only states change. Each change is
committed by itself, so it survives kill -9. Money is safe even if the machine loses the last changes: before
a row is sent, the journal is checked, and the journal is flushed to disk.
"""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs
import orjson

from pandapon_async.errors import ConfigurationError, ErrorKind
from pandapon_async.journal import Resolution
from pandapon_async.plans.plan_format import COLUMNS, FORMAT, JSON_COLUMNS
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.voucher_files import PlannedPicture
from pandapon_async.storage.damage import DamagedRowError, with_checksum
from pandapon_async.storage.sqlite_file import SqliteStore, set_journal_mode

__all__ = ["PlanFile", "StoredPicture"]

_LACKING = "FROM pictures JOIN used USING (digest) JOIN rows USING (row) WHERE url IS NULL AND state IN ({})"
_SELECT = f"SELECT {', '.join(COLUMNS)}, checksum FROM rows"
_PICTURE = ", ".join(f"pictures.{name}" for name in (*FORMAT.checked["pictures"], "checksum"))
THOROUGH_ROWS = 20_000
"""Up to this many rows every opening checks indexes and checksums; with more, only a sending run does."""


@attrs.frozen
class StoredPicture(PlannedPicture):
    """An image of the plan: its `url` after the upload, or its `error`."""

    url: str | None = None
    error: str | None = None


class PlanFile(SqliteStore):
    """The file. All methods block. Use `PlanFile.create` or `PlanFile.open`; close it when done."""

    @classmethod
    def create(cls, path: Path) -> Self:
        """Create a new plan at `path`. Raises ConfigurationError if the file exists."""
        if path.exists():
            raise ConfigurationError(f"{path} exists, and a plan is never overwritten; choose another --out")
        # No other process sees it yet, and an incomplete plan is deleted, so it need not survive a crash.
        return cls(path, FORMAT, FORMAT.create(path))

    @classmethod
    def open(cls, path: Path, *, thorough: bool = False) -> Self:
        """Open an existing plan; with `thorough` check all of it, however large it is.

        Raises: ConfigurationError if the file is not a plan that can be used.
        """
        if not path.is_file() and not path.is_symlink():
            raise ConfigurationError(f"the plan {path} does not exist")
        file = cls(path, FORMAT, FORMAT.open(path, write_ahead=False, must_exist=True))
        try:
            with FORMAT.failing(path, "opened"):
                (last,) = file._connection.execute("SELECT coalesce(max(row), 0) FROM rows").fetchone()
                file.check(thorough=thorough or last <= THOROUGH_ROWS)
        except BaseException:
            file.close()
            raise
        return file

    @classmethod
    @contextlib.contextmanager
    def reading(cls, path: Path) -> Iterator[Self]:
        """Open an existing plan and close it at the end. Raises ConfigurationError if it cannot be used."""
        with contextlib.closing(cls.open(path)) as file, FORMAT.failing(path, "read"):
            yield file

    def write_ahead(self, *, durable: bool) -> None:
        """Make each change a single append. With `durable` each of them survives a power cut."""
        set_journal_mode(self._connection, "WAL")
        self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")

    def raise_mark(self, mark: int, newest: str) -> None:
        """Store the journal's mark and the id of its write; survives a power cut."""
        # The level is set for the connection; changes of rows are cheaper and may be lost.
        (level,) = self._connection.execute("PRAGMA synchronous").fetchone()
        self._connection.execute("PRAGMA synchronous = FULL")
        try:
            self.set({"journal_mark": mark, "journal_newest": newest})
        finally:
            self._connection.execute(f"PRAGMA synchronous = {level}")

    def doubt(self, states: Sequence[RowState]) -> None:
        """Mark rows in these states: they are read before they are sent."""
        with self.transaction():
            after = -1
            while page := self.page(states, after):
                for row in page:
                    self.change(row.row, uncertain=True)
                after = page[-1].row

    def complete(self) -> None:
        """Flush the complete plan to disk and close it."""
        self._connection.execute("PRAGMA synchronous = FULL")
        set_journal_mode(self._connection, "DELETE")
        self.set({"complete": True})
        self.close()

    def get(self, name: str) -> Any:
        """Return a fact of the plan; None if it was never set."""
        query = "SELECT name, value, checksum FROM facts WHERE name = ?"
        found = self._connection.execute(query, (name,)).fetchone()
        return None if found is None else orjson.loads(self.checked(found)[1])

    def set(self, facts: Mapping[str, Any]) -> None:
        """Set facts of the plan, all or none."""
        with self.transaction():
            for name, value in facts.items():
                values = with_checksum((name, _text(value)))
                self._connection.execute("INSERT OR REPLACE INTO facts VALUES (?, ?, ?)", values)

    def add(self, rows: Iterable[tuple[PlanRow, list[PlannedPicture]]]) -> int:
        """Add rows with their images, all or none. Returns their number.

        A row with the natural key of an earlier row is refused; one with the same subject gets a remark.
        """
        count = 0
        with self.transaction():
            for row, pictures in rows:
                if row.state is RowState.PLANNED:
                    self._refuse_duplicate(row)
                if row.state is RowState.PLANNED:
                    self._note_touched(row)
                    self._keep_pictures(row, pictures)
                self._connection.execute(
                    f"INSERT INTO rows ({', '.join(COLUMNS)}, checksum)"
                    f" VALUES ({', '.join('?' * len(COLUMNS))}, ?)",
                    with_checksum(tuple(_stored(name, getattr(row, name)) for name in COLUMNS)),
                )
                count += 1
        return count

    def _refuse_duplicate(self, row: PlanRow) -> None:
        if row.key is None:
            return
        query = "SELECT row FROM rows WHERE key = ? AND state <> 'refused' AND row <> ?"
        earlier = self._connection.execute(query, (_text(row.key), row.row)).fetchone()
        if earlier is not None:
            row.state, row.reason = RowState.REFUSED, f"the same as row {earlier[0]}"
            row.column = ""

    def _note_touched(self, row: PlanRow) -> None:
        others = []
        for name in row.touches:
            values = with_checksum((name, row.row))
            added = self._connection.execute("INSERT OR IGNORE INTO touched VALUES (?, ?, ?)", values)
            if not added.rowcount:
                query = "SELECT row FROM touched WHERE name = ?"
                others.append(self._connection.execute(query, (name,)).fetchone()[0])
        if others:
            row.add_remark(f"row {min(others)} is about the same order line")

    def _keep_pictures(self, row: PlanRow, pictures: list[PlannedPicture]) -> None:
        for picture in pictures:
            self._connection.execute(
                "INSERT OR IGNORE INTO pictures VALUES (?, ?, ?, ?, ?, ?)",
                with_checksum((picture.digest, picture.path, picture.size, None, None)),
            )
            values = with_checksum((row.row, picture.digest))
            self._connection.execute("INSERT OR IGNORE INTO used VALUES (?, ?, ?)", values)

    def change(self, row: int, **facts: Any) -> None:
        """Change a row; only the passed values change."""
        found = self._connection.execute(f"{_SELECT} WHERE row = ?", (row,)).fetchone()
        if found is None:
            raise DamagedRowError(f"{self.path}: {row}")
        changed = {name: _stored(name, value) for name, value in facts.items()}
        before = zip(COLUMNS, self.checked(found), strict=True)
        *_, checksum = with_checksum(tuple([changed.get(name, value) for name, value in before]))
        self._connection.execute(
            f"UPDATE rows SET {', '.join(f'{name} = ?' for name in changed)}, checksum = ? WHERE row = ?",
            (*changed.values(), checksum, row),
        )

    def recheck_key(self, row: PlanRow) -> bool:
        """Set the natural key of a row that lacked it; refuse the row if another row has the key."""
        with self.transaction():
            self._refuse_duplicate(row)
            if row.state is RowState.REFUSED:
                self.change(row.row, state=row.state, reason=row.reason, column=row.column)
            else:
                self.change(row.row, key=row.key, arguments=row.arguments)
        return row.state is not RowState.REFUSED

    def page(self, states: Iterable[RowState], after: int, limit: int = 500) -> list[PlanRow]:
        """Return up to `limit` rows in these states after row `after`, in order."""
        wanted = [state.value for state in states]
        rows = self._connection.execute(
            f"{_SELECT} WHERE state IN ({', '.join('?' * len(wanted))}) AND row > ? ORDER BY row LIMIT ?",
            (*wanted, after, limit),
        ).fetchall()
        return [_row(self.checked(values)) for values in rows]

    def count(self, states: Iterable[RowState]) -> int:
        """Count the rows in these states."""
        wanted = [state.value for state in states]
        query = f"SELECT count(*) FROM rows WHERE state IN ({_marks(wanted)})"
        return int(self._connection.execute(query, wanted).fetchone()[0])

    def count_doubtful(self, states: Iterable[RowState]) -> int:
        """Count the rows in these states that must be read before they are sent."""
        wanted = [state.value for state in states]
        query = f"SELECT count(*) FROM rows WHERE uncertain AND state IN ({_marks(wanted)})"
        return int(self._connection.execute(query, wanted).fetchone()[0])

    def amounts(self, states: Iterable[RowState], *, freight_added: bool = False) -> tuple[int, int, int]:
        """Return the sum in fen, the largest amount and the number of unknown amounts of rows in these
        states.

        `freight_added` adds the freight of each row to its amount.
        """
        wanted = [state.value for state in states]
        freight = "coalesce(json_extract(arguments, '$.apply_carriage'), 0)" if freight_added else "0"
        query = (
            f"SELECT coalesce(sum(amount_fen + {freight}), 0), coalesce(max(amount_fen + {freight}), 0), "
            f"count(*) - count(amount_fen) FROM rows WHERE state IN ({_marks(wanted)})"
        )
        total, largest, unknown = self._connection.execute(query, wanted).fetchone()
        return total, largest, unknown

    def rows(self) -> Iterator[PlanRow]:
        """Iterate over all rows in order; streamed."""
        for values in self._connection.execute(f"{_SELECT} ORDER BY row"):
            yield _row(self.checked(values))

    def select(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query by `summary`."""
        return self._connection.execute(query, tuple(values)).fetchall()

    def pictures(self, digests: Iterable[str]) -> dict[str, StoredPicture]:
        """Return the images with these digests."""
        wanted = list(digests)
        query = f"SELECT {_PICTURE} FROM pictures WHERE digest IN ({_marks(wanted)})"
        found = map(self._picture, self._connection.execute(query, wanted))
        return {picture.digest: picture for picture in found}

    def _picture(self, row: tuple[Any, ...]) -> StoredPicture:
        return StoredPicture(**dict(zip(FORMAT.checked["pictures"], self.checked(row), strict=True)))

    def pictures_to_upload(
        self, states: Iterable[RowState], after: str, limit: int = 500
    ) -> list[StoredPicture]:
        """Return images without url that rows in these states need, after digest `after`."""
        wanted = [state.value for state in states]
        lacking = _LACKING.format(_marks(wanted))
        rows = self._connection.execute(
            f"SELECT DISTINCT {_PICTURE} {lacking} AND pictures.digest > ? ORDER BY pictures.digest LIMIT ?",
            (*wanted, after, limit),
        ).fetchall()
        return [self._picture(values) for values in rows]

    def count_pictures_to_upload(self, states: Iterable[RowState]) -> int:
        """Count the images without url that rows in these states need."""
        wanted = [state.value for state in states]
        query = f"SELECT count(DISTINCT pictures.digest) {_LACKING.format(_marks(wanted))}"
        return int(self._connection.execute(query, wanted).fetchone()[0])

    def uploaded(self, digest: str, url: str | None, error: str | None) -> None:
        """Record the url of an image, or the error of its upload."""
        picture = self.pictures([digest]).get(digest)
        if picture is None:
            raise DamagedRowError(f"{self.path}: {digest}")
        *_, checksum = with_checksum((digest, picture.path, picture.size, url, error))
        self._connection.execute(
            "UPDATE pictures SET url = ?, error = ?, checksum = ? WHERE digest = ?",
            (url, error, checksum, digest),
        )


def _marks(values: list[str]) -> str:
    return ", ".join("?" * len(values))


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _stored(name: str, value: Any) -> Any:
    if name in JSON_COLUMNS and value is not None:
        return _text(value)
    return value.value if isinstance(value, enum.Enum) else value


def _row(values: tuple[Any, ...]) -> PlanRow:
    facts = dict(zip(COLUMNS, values, strict=True))
    for name in JSON_COLUMNS:
        if facts[name] is not None:
            facts[name] = orjson.loads(facts[name])
    facts["state"] = RowState(facts["state"])
    for name, kind in (("resolution", Resolution), ("error_kind", ErrorKind)):
        if facts[name] is not None:
            facts[name] = kind(facts[name])
    return PlanRow(**facts)
