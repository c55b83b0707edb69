"""Opening a journal on a disk shared with others: locks, leftovers, what stands in its place."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from pandapon_async import Client, Credentials, JournalUnavailableError, Settings
from pandapon_async.journal import WriteKey
from pandapon_async.journal import sessions as journals
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.store import JournalStore
from pandapon_async.storage import sqlite_file
from tests.support.journals import noted
from tests.support.virtual import LoopClock, virtual_time


def test_opening_waits_for_another_process_that_is_opening_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = str(tmp_path / "journal.sqlite")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("CREATE TABLE t (a)")
    other.execute("DROP TABLE t")
    waited: list[float] = []
    connect = sqlite3.connect

    class Impatient(sqlite3.Connection):
        """Gives up at once, as SQLite does when two switch to the log at the same time."""

        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql == "PRAGMA journal_mode = WAL" and len(waited) < 2:
                busy = sqlite3.OperationalError("database is locked")
                busy.sqlite_errorcode = sqlite3.SQLITE_BUSY
                raise busy
            return super().execute(sql, *arguments)

    monkeypatch.setattr(
        sqlite3, "connect", lambda *given, **more: connect(*given, **{**more, "factory": Impatient})
    )
    monkeypatch.setattr(time, "sleep", waited.append)
    other.close()
    JournalStore(path, "s").close()
    assert len(waited) == 2
    waited.clear()
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.0)
    with pytest.raises(JournalUnavailableError, match="locked"):
        JournalStore(path, "s")
    assert waited == []


@virtual_time
async def _clears_away(folder: Path) -> None:
    path = folder / "journal.sqlite"
    old, held, young = (Path(f"{path}.{name}.lock") for name in ("old", "held", "young"))
    for file in (old, held, young):
        file.touch()
    long_ago = time.time() - journals.STALE_SECONDS - 60
    os.utime(old, (long_ago, long_ago))
    with FileLock(held, thread_local=False):
        os.utime(held, (long_ago, long_ago))
        journal = Journal(path, clock=LoopClock())
        await journal.open()
        assert not old.exists(), "what a killed process left is cleared away"
        assert held.exists(), "a living process keeps its lock"
        assert young.exists(), "it may be of one that is just opening"
        await journal.aclose()


def test_locks_that_killed_processes_left_are_cleared_away(tmp_path: Path) -> None:
    _clears_away(tmp_path)


@virtual_time
async def _fails_to_open(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "journal.sqlite"

    def fails(*_: object) -> int:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(JournalStore, "sessions", fails)
    journal = Journal(path, clock=LoopClock())
    with pytest.raises(JournalUnavailableError):
        await journal.open()
    assert list(folder.glob("*.lock")) == [], "the lock of a session that never began"
    monkeypatch.undo()
    await journal.open()
    assert await journal.counts() == {}
    await journal.aclose()
    await asyncio.sleep(0)


def test_a_journal_that_cannot_look_at_earlier_sessions_can_be_opened_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fails_to_open(tmp_path, monkeypatch)


@virtual_time
async def _has_no_file(folder: Path) -> None:
    (folder / "journal.sqlite").mkdir()
    journal = Journal(folder / "journal.sqlite", clock=LoopClock())
    with pytest.raises(JournalUnavailableError):
        await journal.open()
    assert list(folder.glob("*.lock")) == []
    await journal.aclose()


def test_a_folder_in_the_journals_place_leaves_no_lock(tmp_path: Path) -> None:
    _has_no_file(tmp_path)


@virtual_time
async def _has_the_same_id(folder: Path) -> None:
    journal = Journal(folder / "journal.sqlite", clock=LoopClock())
    first = await noted(journal, natural_key={"refund_id": "1"}, once=True)
    second = journal.draft(WriteKey("vendor", "o", {"refund_id": "2"}), facts={}, digest="0")
    second.id = first.id
    with pytest.raises(JournalUnavailableError):
        await journal.add(second, once=True)
    assert [intent.natural_key for intent in await journal.find()] == [{"refund_id": "1"}]
    await journal.aclose()


def test_a_row_that_cannot_be_written_is_no_duplicate_and_nothing_may_be_sent(tmp_path: Path) -> None:
    _has_the_same_id(tmp_path)


async def test_the_automatic_folder_is_its_owners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = tmp_path / "pandapon-async"
    for made in (False, True):
        if made:
            folder.chmod(0o755)
        async with Client(Credentials("key", "secret", "1"), Settings()) as pandapon:
            await pandapon.journal.open()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("rows", "left", "checks"),
    [
        (1, None, [True]),
        (3, None, [False]),
        (6, None, []),
        (1, ".killed.lock", [True]),
        (6, ".killed.lock", [False]),
        (6, "-wal", [False]),
    ],
)
async def test_how_much_is_checked_at_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, left: str | None, checks: list[bool]
) -> None:
    """All of a small one, the pages of a larger one, of a large one nothing unless somebody was killed."""
    monkeypatch.setattr("pandapon_async.journal.store.THOROUGH_ROWS", 2)
    monkeypatch.setattr("pandapon_async.journal.store.QUICK_ROWS", 4)
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    for number in range(rows):
        await noted(journal, natural_key={"k": number})
    await journal.aclose()
    if left is not None:
        Path(f"{path}{left}").write_bytes(b"\0" * 32)
    made: list[bool] = []
    monkeypatch.setattr(JournalStore, "check", lambda _, *, thorough: made.append(thorough))
    again = Journal(path)
    await again.open()
    assert made == checks
    other = Journal(path)
    await other.open()
    if left != ".killed.lock":  # which is young, and may be of one that is just opening
        assert made[len(checks) :] == (checks if rows < 4 else []), (
            "the first one is alive, and has checked it"
        )
    await other.aclose()
    await again.aclose()
