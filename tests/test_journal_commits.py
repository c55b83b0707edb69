"""How the journal commits: in groups, durably before sending, and never lost to a cancelled task."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.errors import ErrorKind, JournalUnavailableError
from pandapon_async.journal.intent import Intent, IntentState
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.store import JournalStore
from tests.support.blocking import nothing_blocks  # noqa: F401  (a fixture that is used by all)
from tests.support.journals import noted
from tests.support.stores import NewJournal


async def intend(journal: Journal, number: int) -> Intent:
    return await noted(journal, operation="o", natural_key={"k": number}, facts={}, once=False)


async def traced(journal: Journal) -> list[str]:
    """The statements that the journal's connection carries out from now on."""
    statements: list[str] = []
    await journal._run(lambda store: store._connection.set_trace_callback(statements.append))
    statements.clear()
    return statements


class Gate:
    """Holds the journal's thread at the beginning of a commit until it is opened."""

    def __init__(self, journal: Journal) -> None:
        assert journal._store is not None
        self._begin = journal._store.begin
        self.reached = threading.Event()
        self.opened = threading.Event()
        journal._store.begin = self._wait  # type: ignore[method-assign]

    def _wait(self, *, durable: bool) -> None:
        self.reached.set()
        assert self.opened.wait(10)
        self._begin(durable=durable)


@pytest.mark.of_files
async def test_many_writes_share_few_commits(new_journal: NewJournal) -> None:
    journal = new_journal()
    statements = await traced(journal)
    await asyncio.gather(*(intend(journal, number) for number in range(200)))
    assert statements.count("COMMIT") <= 3
    assert len(await journal.find()) == 200
    await journal.aclose()


async def test_what_is_about_to_be_sent_is_flushed_to_the_disk(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    statements = await traced(journal)
    intent = await intend(journal, 1)
    before = len(statements)
    await journal.sending(intent)
    assert statements[before:][:2] == ["PRAGMA synchronous = FULL", "BEGIN IMMEDIATE"]
    await journal.resolve(intent.id, IntentState.CONFIRMED)
    assert "PRAGMA synchronous = NORMAL" in statements[before + 2 :]
    await journal.aclose()


@pytest.mark.of_files
async def test_one_durable_change_makes_its_whole_group_durable(new_journal: NewJournal) -> None:
    journal = new_journal()
    intent = await intend(journal, 1)
    statements = await traced(journal)
    await asyncio.gather(intend(journal, 2), journal.sending(intent), intend(journal, 3))
    assert [text for text in statements if text.startswith("PRAGMA")] == ["PRAGMA synchronous = FULL"]
    await journal.aclose()


async def test_cancelling_all_tasks_hangs_nobody(new_journal: NewJournal) -> None:
    """Shut-down code often cancels every task there is; the journal's own work must outlive it."""
    journal = new_journal()
    await journal.open()
    gate = Gate(journal)
    others = asyncio.all_tasks()
    writing = asyncio.create_task(intend(journal, 1))
    await asyncio.to_thread(gate.reached.wait)
    for task in asyncio.all_tasks() - others - {writing}:
        task.cancel()
    await asyncio.sleep(0)
    gate.opened.set()
    intent = await asyncio.wait_for(writing, 5)
    assert (await journal.find())[0].id == intent.id
    await journal.aclose()


def test_a_loop_that_ends_in_the_middle_does_not_stop_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")

    async def begin() -> Gate:
        await intend(journal, 1)
        gate = Gate(journal)
        journal.resolve_soon("nothing", IntentState.NOT_SENT, error_kind=ErrorKind.CANCELLED)
        await asyncio.to_thread(gate.reached.wait)
        return gate

    async def go_on() -> int:
        await intend(journal, 2)
        found = len(await journal.find())
        await journal.aclose()
        return found

    gate = asyncio.run(begin())
    gate.opened.set()
    assert asyncio.run(go_on()) == 2


async def test_a_cancelled_intent_is_not_left_open(new_journal: NewJournal) -> None:
    journal = new_journal()
    await journal.open()
    gate = Gate(journal)
    writing = asyncio.create_task(intend(journal, 1))
    await asyncio.to_thread(gate.reached.wait)
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    gate.opened.set()
    (found,) = await journal.find()
    assert found.state is IntentState.NOT_SENT
    await journal.aclose()


async def test_what_waits_when_the_journal_closes_is_written(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    intent = await intend(journal, 1)
    await journal.sending(intent)
    journal.resolve_soon(intent.id, IntentState.UNKNOWN, error_kind=ErrorKind.CANCELLED)
    await journal.aclose()
    await journal.aclose()
    again = Journal(path)
    found = await again.get(intent.id)
    assert found is not None
    assert (found.state, found.error_kind) == (IntentState.UNKNOWN, ErrorKind.CANCELLED)
    await again.aclose()


async def test_closing_while_it_opens_leaves_nothing_open(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = Journal(path)
    opening = asyncio.create_task(journal.open())
    await asyncio.sleep(0)
    await journal.aclose()
    await asyncio.gather(opening, return_exceptions=True)
    assert journal._store is None
    left = await asyncio.to_thread(lambda: {file.name for file in tmp_path.iterdir()})
    assert left <= {"journal.sqlite"}


async def test_a_cancelled_opening_does_not_disturb_the_next(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    first = asyncio.create_task(intend(journal, 1))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await intend(journal, 1)).state is IntentState.INTENDED
    await journal.aclose()


async def test_a_change_that_fails_alone_fails_alone(new_journal: NewJournal) -> None:
    journal = new_journal()
    await journal.open()

    def broken(_: JournalStore) -> Any:
        raise ValueError("a row that cannot be read")

    results = await asyncio.gather(
        intend(journal, 1), journal._run(broken), intend(journal, 2), return_exceptions=True
    )
    assert isinstance(results[1], ValueError)
    assert [isinstance(result, Intent) for result in results] == [True, False, True]
    assert len(await journal.find()) == 2
    await journal.aclose()


async def test_a_group_whose_commit_fails_is_undone_as_a_whole(
    new_journal: NewJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sqlite3

    journal = new_journal()
    await journal.open()
    assert journal._store is not None

    def fail() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(journal._store, "commit", fail)
        results = await asyncio.gather(*(intend(journal, n) for n in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [JournalUnavailableError] * 3
    assert await journal.find() == []
    await journal.aclose()


async def test_the_first_answer_stays(new_journal: NewJournal) -> None:
    journal = new_journal()
    intent = await intend(journal, 1)
    await journal.sending(intent)
    assert await journal.resolve(intent.id, IntentState.CONFIRMED, result="TQ1")
    assert not await journal.resolve(intent.id, IntentState.SETTLED_ABSENT, remark="too late")
    found = await journal.get(intent.id)
    assert found is not None
    assert (found.state, found.result, found.remarks) == (IntentState.CONFIRMED, "TQ1", [])
    with pytest.raises(JournalUnavailableError, match="another program settled"):
        await journal.sending(intent)
    await journal.aclose()


@pytest.mark.of_files
async def test_a_look_fails_no_write_and_opens_nothing(new_journal: NewJournal) -> None:
    """Metrics are read while writes go on; a damaged index must not cost one of them."""
    journal = new_journal()
    counted: list[Any] = []
    journal.count_open_soon(counted.append)
    assert counted == [None], "it was not open"
    await intend(journal, 1)

    def damaged(store: JournalStore) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    journal._writer.look(damaged, counted.append)
    journal.count_open_soon(counted.append)
    await asyncio.gather(*(intend(journal, number) for number in range(2, 12)))
    while len(counted) < 3:  # noqa: ASYNC110 (the journal answers in this loop)
        await asyncio.sleep(0.001)
    assert counted[1] is None
    assert counted[2][IntentState.INTENDED] >= 1
    assert len(await journal.find()) == 11
    await asyncio.to_thread(journal.count_open_soon, counted.append)
    await journal.aclose()
    for _ in range(20):
        await asyncio.sleep(0.001)
    assert len(counted) == 4
    journal.count_open_soon(counted.append)
    await asyncio.sleep(0)
    assert counted[4] is None
    assert not journal._writer.is_open
