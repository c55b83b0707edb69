"""The plan: a SQLite file that holds every row of a table, what is to be done with it, and what was done.

It is written once by `plan`, under another name until it is complete, and from then on only its states
change. Each change is committed on its own, so what is in it survives kill -9. Money is safe even if the
last changes are lost with the machine: before a row is sent, the journal is asked, and the journal is
flushed to the disk.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import attrs
import orjson

from pandapon_async.errors import ConfigurationError
from pandapon_async.plans.rows import PlanRow, RowState
from pandapon_async.plans.voucher_files import PlannedPicture

__all__ = ["PlanFile", "StoredPicture"]

APPLICATION_ID = 0x5050706C  # "PPpl": marks the file as ours
FORMAT = 1

_COLUMNS = tuple(field.name for field in attrs.fields(PlanRow))
_JSON = frozenset(field.name for field in attrs.fields(PlanRow) if field.metadata.get("json"))
_SCHEMA = f"""
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE rows (row INTEGER PRIMARY KEY, {", ".join(_COLUMNS[1:])});
CREATE UNIQUE INDEX one_row_per_key ON rows (key) WHERE key IS NOT NULL AND state <> 'refused';
CREATE INDEX by_state ON rows (state, row);
CREATE TABLE touched (name TEXT PRIMARY KEY, row INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE pictures (digest TEXT PRIMARY KEY, path TEXT NOT NULL, size INTEGER NOT NULL, url TEXT,
                       error TEXT) WITHOUT ROWID;
CREATE TABLE used (row INTEGER NOT NULL, digest TEXT NOT NULL, PRIMARY KEY (digest, row)) WITHOUT ROWID;
"""
_LACKING = "FROM pictures JOIN used USING (digest) JOIN rows USING (row) WHERE url IS NULL AND state IN ({})"
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM rows"


@attrs.frozen
class StoredPicture(PlannedPicture):
    """An image of the plan: its `url` once it is uploaded, `error` if it could not be."""

    url: str | None = None
    error: str | None = None


class PlanFile:
    """The file. All methods block. Use `PlanFile.create` or `PlanFile.open`; close it when done."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection

    @classmethod
    def create(cls, path: Path) -> Self:
        """A new plan at `path`, which must not exist."""
        with _said_plainly(path):
            # Its owner's alone: what is to be sent can name people. SQLite's own files follow it.
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            connection = _connect(path)
            try:
                # Nobody else sees it yet, and half of one is thrown away: nothing of it need be safe.
                connection.execute("PRAGMA journal_mode = OFF")
                connection.execute("PRAGMA synchronous = OFF")
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {FORMAT}")
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    @classmethod
    def open(cls, path: Path) -> Self:
        """An existing plan. Raises ConfigurationError if it is none, or another version's."""
        if not path.is_file():
            raise ConfigurationError(f"no such plan: {path}")
        with _said_plainly(path):
            connection = _connect(path)
            try:
                if connection.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
                    raise ConfigurationError(f"{path} is no plan")
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != FORMAT:
                    raise ConfigurationError(
                        f"{path} was written by another version of this program (format {version}, not "
                        f"{FORMAT}); apply it there, or plan anew"
                    )
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    def write_ahead(self, *, durable: bool) -> None:
        """Make each change a single append. `durable` lets every one of them survive a power cut."""
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")

    def complete(self) -> None:
        """Everything is in it: flush it to the disk and close it."""
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA journal_mode = DELETE")
        self.set({"complete": True})
        self.close()

    def close(self) -> None:
        """Give the file back. May be called twice."""
        self._db.close()

    def get(self, name: str) -> Any:
        """A fact of the plan, as it was set; None if it never was."""
        found = self._db.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()
        return None if found is None else orjson.loads(found[0])

    def set(self, facts: Mapping[str, Any]) -> None:
        """Set facts of the plan, all or none."""
        with self._transaction():
            for name, value in facts.items():
                self._db.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, _text(value)))

    def add(self, rows: Iterable[tuple[PlanRow, list[PlannedPicture]]]) -> int:
        """Keep rows with their images, all or none; gives their number.

        A row with the natural key of an earlier one is refused, one that touches the same thing is noted.
        """
        count = 0
        with self._transaction():
            for row, pictures in rows:
                if row.state is RowState.PLANNED:
                    self._refuse_duplicate(row)
                if row.state is RowState.PLANNED:
                    self._note_touched(row)
                    self._keep_pictures(row, pictures)
                self._db.execute(
                    f"INSERT INTO rows ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})",
                    [_stored(name, getattr(row, name)) for name in _COLUMNS],
                )
                count += 1
        return count

    def _refuse_duplicate(self, row: PlanRow) -> None:
        if row.key is None:
            return
        query = "SELECT row FROM rows WHERE key = ? AND state <> 'refused' AND row <> ?"
        earlier = self._db.execute(query, (_text(row.key), row.row)).fetchone()
        if earlier is not None:
            row.state, row.reason = RowState.REFUSED, f"the same as row {earlier[0]}"
            row.column = ""

    def _note_touched(self, row: PlanRow) -> None:
        others = []
        for name in row.touches:
            added = self._db.execute("INSERT OR IGNORE INTO touched VALUES (?, ?)", (name, row.row))
            if not added.rowcount:
                query = "SELECT row FROM touched WHERE name = ?"
                others.append(self._db.execute(query, (name,)).fetchone()[0])
        if others:
            row.add_note(f"row {min(others)} is about the same order line")

    def _keep_pictures(self, row: PlanRow, pictures: list[PlannedPicture]) -> None:
        for picture in pictures:
            self._db.execute(
                "INSERT OR IGNORE INTO pictures (digest, path, size) VALUES (?, ?, ?)",
                (picture.digest, picture.path, picture.size),
            )
            self._db.execute("INSERT OR IGNORE INTO used VALUES (?, ?)", (row.row, picture.digest))

    def change(self, row: int, **facts: Any) -> None:
        """Change a row; only what is given changes."""
        values = [_stored(name, value) for name, value in facts.items()]
        changes = ", ".join(f"{name} = ?" for name in facts)
        self._db.execute(f"UPDATE rows SET {changes} WHERE row = ?", (*values, row))

    def recheck_key(self, row: PlanRow) -> bool:
        """Keep a row whose natural key was not known before; refuse it if another row has that key."""
        with self._transaction():
            self._refuse_duplicate(row)
            if row.state is RowState.REFUSED:
                self.change(row.row, state=row.state, reason=row.reason, column=row.column)
            else:
                self.change(row.row, key=row.key, arguments=row.arguments)
        return row.state is not RowState.REFUSED

    def page(self, states: Iterable[RowState], after: int, limit: int = 500) -> list[PlanRow]:
        """Up to `limit` rows in these states behind row `after`, in order."""
        wanted = [state.value for state in states]
        rows = self._db.execute(
            f"{_SELECT} WHERE state IN ({', '.join('?' * len(wanted))}) AND row > ? ORDER BY row LIMIT ?",
            (*wanted, after, limit),
        ).fetchall()
        return [_row(values) for values in rows]

    def count(self, states: Iterable[RowState]) -> int:
        """How many rows stand in these states."""
        wanted = [state.value for state in states]
        query = f"SELECT count(*) FROM rows WHERE state IN ({_marks(wanted)})"
        return int(self._db.execute(query, wanted).fetchone()[0])

    def amounts(self, states: Iterable[RowState]) -> tuple[int, int, int]:
        """Of the rows in these states the sum in fen, the largest, and how many show no amount."""
        wanted = [state.value for state in states]
        query = (
            "SELECT coalesce(sum(amount_fen), 0), coalesce(max(amount_fen), 0), count(*) - count(amount_fen)"
            f" FROM rows WHERE state IN ({_marks(wanted)})"
        )
        total, largest, unknown = self._db.execute(query, wanted).fetchone()
        return total, largest, unknown

    def rows(self) -> Iterator[PlanRow]:
        """Every row, in order; streamed."""
        for values in self._db.execute(f"{_SELECT} ORDER BY row"):
            yield _row(values)

    def select(self, query: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """The answer to a question of `overview`."""
        return self._db.execute(query, tuple(values)).fetchall()

    def pictures(self, digests: Iterable[str]) -> dict[str, StoredPicture]:
        """The images of these digests."""
        wanted = list(digests)
        query = f"SELECT path, digest, size, url, error FROM pictures WHERE digest IN ({_marks(wanted)})"
        return {values[1]: StoredPicture(*values) for values in self._db.execute(query, wanted)}

    def pictures_to_upload(
        self, states: Iterable[RowState], after: str, limit: int = 500
    ) -> list[StoredPicture]:
        """Images without url that rows in these states need, behind digest `after`."""
        wanted = [state.value for state in states]
        lacking = _LACKING.format(_marks(wanted))
        rows = self._db.execute(
            f"SELECT DISTINCT path, pictures.digest, size, url, pictures.error {lacking}"
            " AND pictures.digest > ? ORDER BY pictures.digest LIMIT ?",
            (*wanted, after, limit),
        ).fetchall()
        return [StoredPicture(*values) for values in rows]

    def count_pictures_to_upload(self, states: Iterable[RowState]) -> int:
        """How many images without url rows in these states need."""
        wanted = [state.value for state in states]
        query = f"SELECT count(DISTINCT pictures.digest) {_LACKING.format(_marks(wanted))}"
        return int(self._db.execute(query, wanted).fetchone()[0])

    def uploaded(self, digest: str, url: str | None, error: str | None) -> None:
        """An image has its url, or could not be uploaded."""
        self._db.execute("UPDATE pictures SET url = ?, error = ? WHERE digest = ?", (url, error, digest))

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


@attrs.frozen
class _Transaction:
    """All statements inside, or none."""

    db: sqlite3.Connection

    def __enter__(self) -> None:
        self.db.execute("BEGIN")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.db.execute("COMMIT" if kind is None else "ROLLBACK")


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None, timeout=10.0, check_same_thread=False)


@contextlib.contextmanager
def _said_plainly(path: Path) -> Iterator[None]:
    try:
        yield
    except FileExistsError:
        raise ConfigurationError(f"{path} exists; a plan is never overwritten") from None
    except sqlite3.DatabaseError as error:
        raise ConfigurationError(f"{path} cannot be used as a plan: {error}") from None


def _marks(values: list[str]) -> str:
    return ", ".join("?" * len(values))


def _text(value: Any) -> str:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def _stored(name: str, value: Any) -> Any:
    if name in _JSON and value is not None:
        return _text(value)
    return value.value if isinstance(value, RowState) else value


def _row(values: tuple[Any, ...]) -> PlanRow:
    facts = dict(zip(_COLUMNS, values, strict=True))
    for name in _JSON:
        if facts[name] is not None:
            facts[name] = orjson.loads(facts[name])
    facts["state"] = RowState(facts["state"])
    return PlanRow(**facts)
