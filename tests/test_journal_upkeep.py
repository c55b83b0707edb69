"""A journal in old age: pruned without losing what matters, looked through, settled where rows are gone."""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import time
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async.errors import ConfigurationError, ErrorKind, JournalUnavailableError
from pandapon_async.journal import Intent, IntentState, Journal, Resolution, WriteKey
from pandapon_async.journal.file_format import FILE_FORMAT
from pandapon_async.journal.prune import Pruned, prunable, prune
from pandapon_async.journal.rows import COLUMNS, row_of
from pandapon_async.journal.store import JournalStore
from pandapon_async.storage.damage import with_checksum
from tests.support import plan_files
from tests.support.bench import bench
from tests.support.command import Shell
from tests.support.damage import spoil
from tests.support.virtual import virtual_time

NOW = 2_000_000_000.0
DAY = 86_400.0


def fill(path: Path, *intents: Intent) -> None:
    store = JournalStore(str(path), "s")
    store.begin(durable=False)
    insert = (
        f"INSERT INTO intents ({', '.join(COLUMNS)}, checksum) VALUES ({', '.join('?' * len(COLUMNS))}, ?)"
    )
    store._connection.executemany(insert, [with_checksum(row_of(one)) for one in intents])
    store._connection.executemany(
        "INSERT INTO subjects VALUES (?, ?, ?)", [with_checksum((f"o {one.id}", one.id)) for one in intents]
    )
    store.commit()
    store.close()


def old(number: int, state: IntentState, days: float, **changes: Any) -> Intent:
    moment = NOW - days * DAY
    facts: dict[str, Any] = {
        "id": f"{number:032x}",
        "scope": "vendor",
        "operation": "o",
        "natural_key": {"k": number},
        "digest": "d",
        "facts": {},
        "state": state,
        "created": moment,
        "updated": moment,
        "wrote": moment,
        "attempts": 1,
    }
    return Intent(**{**facts, **changes})


AT_THE_DOOR = {"error_kind": ErrorKind.RATE_LIMIT}
CASES = [
    # state, days since the write, other columns, days asked for, whether it goes
    (IntentState.CONFIRMED, 401, {}, 400, True),
    (IntentState.CONFIRMED, 399, {}, 400, False),
    (IntentState.CONFIRMED, 401, {"updated": NOW - DAY}, 400, False),
    (IntentState.SETTLED_DONE, 401, {}, 400, True),
    (IntentState.REJECTED, 401, {}, 400, True),
    (IntentState.NOT_SENT, 401, {"attempts": 0}, 400, True),
    (IntentState.UNKNOWN, 401, {}, 400, False),
    (IntentState.SENT, 401, {"session": "another"}, 400, False),
    (IntentState.SETTLED_ABSENT, 401, {}, 400, True),
    (IntentState.SETTLED_ABSENT, 44, {}, 30, False),
    (IntentState.SETTLED_ABSENT, 46, {}, 30, True),
    (IntentState.SETTLED_ABSENT, 46, {"wrote": NOW - 44 * DAY}, 30, False),
    (IntentState.REJECTED, 44, AT_THE_DOOR, 30, False),
    (IntentState.REJECTED, 44, {**AT_THE_DOOR, "resolution": Resolution.ABSENT}, 30, True),
    (IntentState.REJECTED, 46, AT_THE_DOOR, 30, True),
]


@pytest.mark.parametrize(("state", "days", "changes", "asked", "goes"), CASES)
async def test_what_ended_long_ago_goes_and_all_else_stays(
    tmp_path: Path, state: IntentState, days: float, changes: dict[str, Any], asked: float, goes: bool
) -> None:
    path, out = tmp_path / "journal.sqlite", tmp_path / "out.jsonl"
    one = old(1, state, days, **changes)
    fill(path, one)
    journal = Journal(path)
    identity, mark = await journal.identity(), await journal.mark()
    assert await prunable(journal, NOW - asked * DAY, NOW) == goes
    assert await journal.get(one.id) is not None, "counting changes nothing"
    assert await prune(journal, NOW - asked * DAY, NOW, out) == Pruned(int(goes), out if goes else None)
    assert (await journal.get(one.id) is None) == goes
    assert (await journal.identity(), await journal.mark()) == (identity, mark)
    assert await journal.was_sent(one.id) == bool(one.attempts), "a plan may know its last write by the id"
    assert not await journal.was_sent("0" * 32)
    await journal.check()
    await journal.aclose()
    db = sqlite3.connect(path)
    (subjects,) = db.execute("SELECT count(*) FROM subjects").fetchone()
    db.close()
    assert subjects == (not goes)
    assert out.exists() == goes
    if goes:
        assert json.loads(out.read_text()) == attrs.asdict(one), "all that the journal knew"
        assert stat.S_IMODE(out.stat().st_mode) == 0o600


async def test_a_prune_that_is_cut_short_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk after the first of three batches: each intent is in the export, the journal, or both."""
    path, out = tmp_path / "journal.sqlite", tmp_path / "out.jsonl"
    intents = [old(number, IntentState.CONFIRMED, 500) for number in range(1, 8)]
    fill(path, *intents)
    monkeypatch.setattr("pandapon_async.journal.prune.BATCH", 3)
    journal = Journal(path)
    sync, calls = os.fsync, []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 2:  # the file and its folder of the first batch
            raise OSError(28, "No space left on device")
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            await prune(journal, NOW - 400 * DAY, NOW, out)
    kept = {one.id for one in await journal.find()}
    exported = {json.loads(line)["id"] for line in out.read_text().splitlines()}
    assert kept == {one.id for one in intents[3:]}
    assert kept | exported == {one.id for one in intents}
    assert await prune(journal, NOW - 400 * DAY, NOW, out) == Pruned(4, out)
    assert await journal.find() == []
    await journal.aclose()


async def test_a_damaged_row_is_not_pruned(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    fill(path, old(1, IntentState.CONFIRMED, 500))
    journal = Journal(path)
    await journal.open()
    db = sqlite3.connect(path)
    with db:
        db.execute("UPDATE intents SET result = 'TQ9'")
    db.close()
    with pytest.raises(JournalUnavailableError, match="damaged"):
        await prune(journal, NOW - 400 * DAY, NOW, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    await journal.aclose()


async def test_the_latest_are_the_open_ones_and_the_newest_others(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    states = [IntentState.UNKNOWN, *[IntentState.CONFIRMED] * 5, IntentState.UNKNOWN, IntentState.REJECTED]
    fill(path, *(old(number, state, 1) for number, state in enumerate(states)))
    journal = Journal(path)

    async def numbers(*given: Any) -> list[int]:
        return [one.natural_key["k"] for one in await journal.latest(*given)]

    assert await numbers(None, 3) == [0, 4, 5, 6, 7]
    assert await numbers([IntentState.CONFIRMED], 2) == [4, 5]
    assert await numbers([IntentState.UNKNOWN], 1) == [0, 6]
    await journal.aclose()


def many(path: Path, count: int, unknown: int) -> None:
    names = [IntentState.UNKNOWN] * unknown + [IntentState.CONFIRMED] * (count - unknown)
    fill(path, *(old(number, state, 1, session="ended") for number, state in enumerate(names)))


async def test_a_long_journal_is_listed_at_once(tmp_path: Path) -> None:
    """It took 5 s for these."""
    path = tmp_path / "journal.sqlite"
    many(path, 20_000, 2_000)
    journal = Journal(path)
    await journal.open()
    begun = time.perf_counter()
    found = await journal.latest(None, 50)
    seconds = time.perf_counter() - begun
    await journal.aclose()
    assert len(found) == 2_050
    assert seconds < 1.0


@pytest.mark.nightly
async def test_a_million_intents_open_at_once_after_a_clean_end(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    many(path, 1_000_000, 10)
    begun = time.perf_counter()
    journal = Journal(path)
    await journal.open()
    seconds = time.perf_counter() - begun
    await journal.aclose()
    assert seconds < 1.0


@virtual_time
async def _goes_on(folder: Path) -> None:
    """A plan whose newest write is not in its journal any more goes on; one of a lost row does not."""
    async with bench(folder, rows=3) as made:
        await made.apply()
        async with made.client() as client:
            now = client.settings.clock.wall()
            pruned = await prune(client.journal, now + 1, now + 46 * DAY, folder / "out.jsonl")
            assert pruned.intents == 3
        journal = folder / "journal.sqlite"
        content = journal.read_bytes()
        db = sqlite3.connect(journal)
        with db:
            db.execute("DELETE FROM pruned")
        db.close()
        with pytest.raises(ConfigurationError, match="is an older copy"):
            await made.apply()
        journal.write_bytes(content)
        assert (await made.apply()).exit_code == 0
        assert list(made.succeeded.values()) == [1] * 3


def test_a_plan_goes_on_with_a_pruned_journal(tmp_path: Path) -> None:
    _goes_on(tmp_path)


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    shell = Shell(monkeypatch, capsys, tmp_path)
    for name in ("ACCESS_KEY", "ACCESS_SECRET", "USER_ID"):
        monkeypatch.setenv(f"PANDAPON_{name}", "1234567890123456")
    return shell


def test_check_from_the_shell(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    missing = shell("journal", "check", "journal.sqlite")
    assert (missing.code, "the journal journal.sqlite does not exist" in missing.err) == (2, True)
    fill(path, old(1, IntentState.CONFIRMED, 1), old(2, IntentState.UNKNOWN, 1))
    sound = shell("journal", "check", "journal.sqlite")
    assert (sound.code, sound.err.strip()) == (0, "journal.sqlite is sound.")
    assert json.loads(sound.out)["sound"] is True
    db = sqlite3.connect(path)
    with db:
        db.execute("UPDATE intents SET state = 'rejected' WHERE state = 'unknown'")
    db.close()
    before = path.read_bytes()
    damaged = shell("journal", "check", "--journal", "journal.sqlite")
    assert damaged.code == 2
    assert json.loads(damaged.out)["damaged"] == {"intents": [f"{2:032x}"]}
    assert f"journal.sqlite: changed in intents: {2:032x}." in damaged.err
    assert "Restore the newest copy" in damaged.err
    assert path.read_bytes() == before
    for command in (("journal", "list"), ("journal", "prune", "--older-than", "1d", "--yes")):
        ended = shell(*command, "--journal", "journal.sqlite")
        assert ended.code == 2
        assert "run `pandapon journal check journal.sqlite` to see what can be done" in ended.err
    path.write_bytes(before[:5000])
    cut = shell("journal", "check", "journal.sqlite")
    assert cut.code == 2
    path.write_bytes(b"")
    assert shell("journal", "check", "journal.sqlite").code == 2


async def test_what_is_sound_in_a_damaged_journal_is_brought_over(shell: Shell, tmp_path: Path) -> None:
    """An open write of a call, which no plan knows of, stands in the way of a second one again."""
    path, aside = tmp_path / "journal.sqlite", tmp_path / "aside.sqlite"
    states = [IntentState.UNKNOWN, IntentState.CONFIRMED, IntentState.CONFIRMED, IntentState.SENT]
    fill(aside, *(old(number, state, 1) for number, state in enumerate(states)))
    db = sqlite3.connect(aside)
    with db:
        db.execute("UPDATE intents SET state = 'not_sent' WHERE id = ?", (f"{2:032x}",))
    db.close()
    before = aside.read_bytes()
    command = ("journal", "salvage", "aside.sqlite", "--journal", "journal.sqlite")
    for taken in (3, 0):
        ended = await shell.beside(*command)
        assert ended.code == 3
        assert f"{taken} rows of aside.sqlite are in journal.sqlite now. Others are lost." in ended.err
    assert aside.read_bytes() == before
    journal = Journal(path)
    found = {one.natural_key["k"]: one.state for one in await journal.find()}
    assert found == {0: IntentState.UNKNOWN, 1: IntentState.CONFIRMED, 3: IntentState.UNKNOWN}
    (about,) = await journal.about(WriteKey("vendor", "o", {"k": 9}, (f"o {0:032x}",)))
    assert about.id == f"{0:032x}"
    db = sqlite3.connect(aside)
    (identity,) = db.execute("SELECT id FROM identity").fetchone()
    db.close()
    assert identity not in await journal.identities()
    await journal.aclose()
    assert FILE_FORMAT.examine(path).sound
    assert (await shell.beside("journal", "salvage", "journal.sqlite", *command[3:])).code == 2
    assert (await shell.beside("journal", "salvage", "nowhere", *command[3:])).code == 2


@pytest.mark.parametrize("seed", range(10))
def test_as_much_as_can_be_read_is_brought_over(shell: Shell, tmp_path: Path, seed: int) -> None:
    aside = tmp_path / "aside.sqlite"
    fill(aside, *(old(number, IntentState.CONFIRMED, 1, facts={"n": number}) for number in range(60)))
    spoil(aside, seed)
    ended = shell("journal", "salvage", "aside.sqlite", "--journal", "journal.sqlite")
    assert ended.code in (0, 2, 3), ended.err
    if ended.code != 2:
        listed = shell("journal", "export", "--journal", "journal.sqlite").out.splitlines()
        assert all(line["facts"] == {"n": line["natural_key"]["k"]} for line in map(json.loads, listed))
        assert len(listed) == 60 or ended.code == 3


def test_prune_from_the_shell(shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    now = time.time()
    fill(path, *(old(n, IntentState.CONFIRMED, 0, created=1.0, updated=1.0, wrote=1.0) for n in (1, 2)))
    fill(path, old(3, IntentState.CONFIRMED, 0, created=now, updated=now, wrote=now))
    command = ("journal", "prune", "--journal", "journal.sqlite", "--older-than")
    assert shell(*command, "old").code == 2
    asked = shell(*command, "400d")
    assert asked.code == 2
    assert "2 writes ended before" in asked.err
    assert "add --yes" in asked.err
    done = shell(*command, "400d", "--yes")
    assert done.code == 0
    (out,) = tmp_path.glob("journal.sqlite.pruned-*.jsonl")
    assert f"2 removed; they are in {out.name}." in done.err
    assert len(out.read_text().splitlines()) == 2
    again = shell(*command, "400d", "--yes")
    assert (again.code, "nothing was removed" in again.err) == (0, True)
    assert FILE_FORMAT.examine(path).sound


@pytest.mark.parametrize(("word", "state"), [("done", "settled_done"), ("absent", "settled_absent")])
def test_an_intent_that_is_gone_is_settled_by_hand(
    shell: Shell, tmp_path: Path, word: str, state: str
) -> None:
    lost = "0123456789abcdef" * 2
    command = ("journal", "resolve", lost, "--as", word, "--note", "seen in the console")
    ended = shell(*command, "--yes", "--journal", "journal.sqlite")
    assert ended.code == 0, ended.err
    assert f"journal.sqlite has no intent {lost}" in ended.err
    (line,) = map(json.loads, shell("journal", "list", "--journal", "journal.sqlite").out.splitlines())
    assert (line["id"], line["state"]) == (lost, state)
    assert f"said {word}: seen in the console" in line["remarks"][0]
    beginning = shell(
        "journal", "resolve", "0123", "--as", word, "--note", "x", "--yes", "--journal", "other"
    )
    assert beginning.code == 2
    assert not (tmp_path / "other").exists()


@virtual_time
async def _row_of_a_lost_intent(folder: Path) -> None:
    """No read shows it so far, the journal is gone, and an operator saw in the console that it was done."""
    async with bench(folder, rows=2) as made:
        plan_files.misbehave(made.server, "reset_before:1.0:endpoint=*.return_goods:times=1")
        await made.apply(wait=False, concurrency=1, stop_after_failures=1)
        (row,) = [row for row in plan_files.rows_of(made.plan) if row["state"] == "unknown"]
        for file in folder.glob("journal.sqlite*"):
            file.unlink()
        async with made.client() as client:
            await client.journal.settle_lost(row["intent_id"], client.writer, done=True, note="seen")
        result = await made.apply(adopt_journal=True)
        assert result.exit_code == 0
        assert made.states == {"confirmed": 1, "settled_done": 1}
        assert list(made.succeeded.values()) == [1], "the other row's; nothing is sent against the word"


def test_a_row_whose_intent_is_gone_takes_the_operators_word(tmp_path: Path) -> None:
    _row_of_a_lost_intent(tmp_path)
