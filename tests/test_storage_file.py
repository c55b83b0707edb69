"""A store's file: whose it is, its format, who may read it, and what is said when it cannot be used."""

from __future__ import annotations

import errno
import multiprocessing
import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async.storage import sqlite_file
from pandapon_async.storage.sqlite_file import FileFormat, SqliteStore, link_into_place
from tests.support.examples import examples


class Unusable(Exception):
    """What this format raises."""


FIRST = FileFormat(
    name="notebook",
    application_id=0x50507878,
    number=1,
    schema="CREATE TABLE notes (text TEXT NOT NULL) STRICT;\nCREATE INDEX by_text ON notes (text);\n",
    first_table="notes",
    error=Unusable,
    page_size=2048,
)
THIRD = attrs.evolve(
    FIRST,
    number=3,
    schema="CREATE TABLE notes (text TEXT NOT NULL, size INTEGER, mark TEXT) STRICT;\n",
    upgrades={
        1: lambda db: db.execute("ALTER TABLE notes ADD COLUMN size INTEGER"),
        2: lambda db: db.execute("ALTER TABLE notes ADD COLUMN mark TEXT"),
    },
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "notes.sqlite"


def keep(path: Path, text: str, file_format: FileFormat = FIRST) -> None:
    connection = file_format.open(path)
    connection.execute("INSERT INTO notes (text) VALUES (?)", (text,))
    connection.close()


def texts(path: Path, file_format: FileFormat = FIRST) -> list[str]:
    connection = file_format.open(path)
    found = [text for (text,) in connection.execute("SELECT text FROM notes ORDER BY rowid")]
    connection.close()
    return found


def test_a_new_file_is_complete_marked_and_its_owners(path: Path) -> None:
    before = os.umask(0)
    try:
        connection = FIRST.open(path)
    finally:
        os.umask(before)
    connection.execute("INSERT INTO notes VALUES ('x')")
    files = list(path.parent.iterdir())
    assert {file.name for file in files} == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600] * 3
    assert connection.execute("PRAGMA application_id").fetchone() == (FIRST.application_id,)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert connection.execute("PRAGMA page_size").fetchone() == (2048,)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_an_empty_file_is_filled_or_is_damage(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with pytest.raises(Unusable, match="is empty"):
        attrs.evolve(FIRST, empty_is_damage=True).open(path)
    keep(path, "x")
    assert texts(path) == ["x"]


def _write_one(path: str, number: int, barrier: Any, results: Any) -> None:
    barrier.wait()
    try:
        keep(Path(path), str(number))
        results.put(None)
    except Exception as error:
        results.put(repr(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_processes_that_make_the_same_file_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    for round_ in range(examples(4, 10)):
        barrier, target = context.Barrier(4), tmp_path / f"{round_}.sqlite"
        processes = [
            context.Process(target=_write_one, args=(str(target), number, barrier, results))
            for number in range(4)
        ]
        for process in processes:
            process.start()
        assert [results.get(timeout=20) for _ in processes] == [None] * 4
        for process in processes:
            process.join()
        assert sorted(texts(target)) == ["0", "1", "2", "3"]
    assert not [file for file in tmp_path.iterdir() if file.name.endswith(".new")]


def test_a_file_that_is_there_is_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draft, path = tmp_path / "draft", tmp_path / "there"
    draft.write_text("new")
    path.write_text("old")

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    for _ in range(2):
        with pytest.raises(FileExistsError):
            link_into_place(draft, path)
        monkeypatch.setattr("os.link", no_links)
    assert path.read_text() == "old"
    link_into_place(draft, tmp_path / "elsewhere")
    assert (tmp_path / "elsewhere").read_text() == "new"


def test_drafts_of_killed_processes_are_cleared_away(path: Path) -> None:
    path.parent.mkdir()
    old, young = (path.with_name(f".{path.name}.{name}.new") for name in ("old", "young"))
    for file in (old, young):
        file.touch()
    long_ago = time.time() - 2 * sqlite_file.STALE_SECONDS
    os.utime(old, (long_ago, long_ago))
    keep(path, "x")
    assert (old.exists(), young.exists()) == (False, True)


def test_an_older_file_is_brought_up_step_by_step(path: Path) -> None:
    keep(path, "x")
    keep(path, "y", THIRD)
    assert texts(path, THIRD) == ["x", "y"]
    with pytest.raises(Unusable, match=r"has format 3; .* reads up to format 1: update"):
        FIRST.open(path)


def test_a_file_without_an_application_id_is_known_by_its_table(path: Path) -> None:
    keep(path, "x")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA application_id = 0")
    connection.close()
    assert texts(path, THIRD) == ["x"]
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA application_id").fetchone() == (FIRST.application_id,)
    connection.close()


def test_an_upgrade_that_fails_changes_nothing(path: Path) -> None:
    keep(path, "x")

    def failing(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM notes")
        connection.execute("no statement")

    with pytest.raises(Unusable, match="cannot be opened: the file is damaged"):
        attrs.evolve(THIRD, upgrades={1: THIRD.upgrades[1], 2: failing}).open(path)
    assert texts(path) == ["x"]


def test_a_format_that_is_not_read_any_more_is_refused(path: Path) -> None:
    keep(path, "x")
    with pytest.raises(Unusable, match="format 1, which this version"):
        attrs.evolve(THIRD, upgrades={2: THIRD.upgrades[2]}).open(path)


@pytest.mark.parametrize("statement", ["CREATE TABLE customers (name TEXT)", "PRAGMA application_id = 7"])
def test_another_programs_file_is_left_alone(path: Path, statement: str) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.close()
    before = path.read_bytes()
    with pytest.raises(Unusable, match="is not a notebook but another kind of database"):
        FIRST.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"no database at all" * 300, "it is not a SQLite database"), (b"SQLite format 3\0" + bytes(4000), "")],
)
def test_what_is_no_database_is_told_in_our_words(path: Path, content: bytes, reason: str) -> None:
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(Unusable, match=f"the notebook {path} cannot be opened: {reason}"):
        FIRST.open(path)
    assert path.read_bytes() == content


def test_a_damaged_page_is_told_in_our_words(path: Path) -> None:
    connection = FIRST.open(path)
    connection.executemany("INSERT INTO notes VALUES (?)", [(f"{number}" * 20,) for number in range(300)])
    connection.close()
    content = bytearray(path.read_bytes())
    content[4096:-2048] = b"x" * (len(content) - 6144)
    path.write_bytes(content)
    store = SqliteStore(path, FIRST, FIRST.open(path))
    with pytest.raises(sqlite3.DatabaseError) as caught:
        store._connection.execute("SELECT * FROM notes").fetchall()
    assert str(store.unavailable(caught.value)) == f"the notebook {path} cannot be used: the file is damaged"
    store.close()


def test_a_locked_file_is_waited_for_and_then_named(path: Path) -> None:
    held = FIRST.open(path, exclusive=True)
    with pytest.raises(Unusable, match="another process has locked it"):
        FIRST.open(path, patience=0.05)
    held.close()
    keep(path, "x")


def test_what_the_system_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unusable, match="cannot be opened"):
        FIRST.open(tmp_path / "file" / "notes.sqlite")
    with pytest.raises(Unusable, match="the file does not exist"):
        FIRST.open(tmp_path / "notes.sqlite", must_exist=True)
    assert not (tmp_path / "notes.sqlite").exists()


def test_a_file_is_created_only_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "notes.sqlite"
    connection = FIRST.create(path)
    connection.execute("INSERT INTO notes VALUES ('x')")
    connection.close()
    with pytest.raises(Unusable, match="cannot be made: File exists"):
        FIRST.create(path)
    assert texts(path) == ["x"]


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    store = SqliteStore(path, FIRST, FIRST.open(path))
    with store.transaction():
        store._connection.execute("INSERT INTO notes VALUES ('x')")
    with pytest.raises(sqlite3.IntegrityError), store.transaction():
        store._connection.executemany("INSERT INTO notes VALUES (?)", [("y",), (None,)])
    store.close()
    store.close()
    assert texts(path) == ["x"]


def test_a_link_to_nothing_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.symlink_to(path.with_name("elsewhere"))
    with pytest.raises(Unusable, match="a link to a file that does not exist; remove the link"):
        FIRST.open(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_the_answer_of_the_file_system_is_read(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it cannot keep a write-ahead log SQLite does not fail: it goes on without, and says so."""

    class Stubborn(sqlite3.Connection):
        def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
            return super().execute(statement.replace("journal_mode = WAL", "journal_mode"), *values)

    connect = sqlite3.connect
    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **named: connect(*given, **{**named, "factory": Stubborn})
    )
    with pytest.raises(
        Unusable, match="does not support SQLite's write-ahead log; put the file on a local disk"
    ):
        FIRST.open(path)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(
    "address", ["postgresql://u:word@db.example/x", Path("postgres://u:word@db.example/x")]
)
def test_an_address_is_not_a_file_and_its_password_is_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str | Path
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Unusable, match="must be a file here") as caught:
        FIRST.open(address)
    with pytest.raises(Unusable, match="must be a file here"), FIRST.reading(address):
        pass
    assert "word" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [], "no folder of that name"
