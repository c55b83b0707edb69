"""The journal's file: who may open it, what it refuses, and what survives in it."""

from __future__ import annotations

import asyncio
import multiprocessing
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.errors import DuplicateIntentError, JournalUnavailableError
from pandapon_async.journal.intent import IntentState
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.store import JournalStore
from pandapon_async.storage import sqlite_file
from tests.support.examples import examples
from tests.support.journals import noted

KEY = {"refundId": "TQ1"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def content_of(path: Path) -> bytes:
    return path.read_bytes()


async def intend(journal: Journal, key: dict[str, Any] | None = None, *, once: bool = False) -> Any:
    return await noted(
        journal,
        operation="alibaba.refunds.return_goods",
        natural_key=KEY if key is None else key,
        facts={"freightBill": "SF1"},
        once=once,
    )


async def test_a_directory_that_cannot_be_made_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    journal = Journal(tmp_path / "file" / "journal.sqlite")
    with pytest.raises(JournalUnavailableError, match="cannot be opened"):
        await intend(journal)
    await journal.aclose()


async def test_a_lock_file_that_cannot_be_made_is_said_so(path: Path) -> None:
    journal = Journal(path)
    await asyncio.to_thread(Path(f"{path}.{journal._next_session}.lock").mkdir)
    with pytest.raises(JournalUnavailableError, match="cannot be opened"):
        await intend(journal)
    await journal.aclose()


@pytest.mark.parametrize("content", [b"no database at all" * 300, b"SQLite format 3\0" + bytes(4000)])
async def test_what_is_no_database_is_said_so(path: Path, content: bytes) -> None:
    write(path, content)
    journal = Journal(path)
    with pytest.raises(JournalUnavailableError, match="cannot be opened"):
        await intend(journal)
    await journal.aclose()
    assert content_of(path) == content


async def test_a_database_of_something_else_is_left_alone(path: Path) -> None:
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE customers (name TEXT)")
    db.close()
    before = content_of(path)
    journal = Journal(path)
    with pytest.raises(JournalUnavailableError, match="another kind of database"):
        await intend(journal)
    await journal.aclose()
    assert content_of(path) == before


async def test_a_journal_of_another_version_is_left_alone(path: Path) -> None:
    JournalStore(str(path)).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    journal = Journal(path)
    with pytest.raises(JournalUnavailableError, match="format 99"):
        await intend(journal)
    await journal.aclose()


async def test_a_failed_opening_is_tried_again(path: Path) -> None:
    write(path, b"no database at all" * 300)
    journal = Journal(path)
    with pytest.raises(JournalUnavailableError):
        await intend(journal)
    write(path, b"")
    with pytest.raises(JournalUnavailableError, match="damaged: it is empty"):
        await intend(journal)
    path.unlink()
    assert (await intend(journal)).state is IntentState.INTENDED
    await journal.aclose()


def _open_and_write(path: str, barrier: Any, results: Any) -> None:
    barrier.wait()
    try:
        opened = JournalStore(path)
        opened.begin(durable=True)
        opened.commit()
        opened.close()
        results.put(None)
    except Exception as error:
        results.put(repr(error))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_many_processes_make_the_same_new_file_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    for number in range(examples(4, 12)):
        barrier = context.Barrier(5)
        target = str(tmp_path / f"{number}.sqlite")
        processes = [
            context.Process(target=_open_and_write, args=(target, barrier, results)) for _ in range(5)
        ]
        for process in processes:
            process.start()
        assert [results.get(timeout=20) for _ in processes] == [None] * 5
        for process in processes:
            process.join()


def _intend_once(path: str, barrier: Any, results: Any) -> None:
    async def write() -> str:
        journal = Journal(path)
        await journal.open()
        await asyncio.to_thread(barrier.wait)
        try:
            await journal.sending(await intend(journal))
            return "wrote"
        except DuplicateIntentError as duplicate:
            return str(duplicate.state)
        finally:
            await asyncio.to_thread(barrier.wait)
            await journal.aclose()

    results.put(asyncio.run(write()))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_of_many_processes_at_once_one_writes(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    results, barrier = context.Queue(), context.Barrier(4)
    processes = [context.Process(target=_intend_once, args=(str(path), barrier, results)) for _ in range(4)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=20) for _ in processes]
    for process in processes:
        process.join()
    assert outcomes.count("wrote") == 1, outcomes
    assert set(outcomes) <= {"wrote", "intended", "sent"}


async def test_a_locked_file_stops_the_write(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_file, "PATIENCE", 0.05)
    journal = Journal(path)
    await journal.open()

    def lock() -> sqlite3.Connection:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        db.execute("BEGIN EXCLUSIVE")
        return db

    other = await asyncio.to_thread(lock)
    with pytest.raises(JournalUnavailableError, match="locked"):
        await intend(journal)
    await asyncio.to_thread(other.close)
    intent = await intend(journal)
    other = await asyncio.to_thread(lock)
    with pytest.raises(JournalUnavailableError, match="locked"):
        await journal.sending(intent)
    await asyncio.to_thread(other.close)
    found = await journal.get(intent.id)
    assert found is not None
    assert found.state is IntentState.INTENDED
    await journal.aclose()


async def test_a_full_disk_stops_the_write(path: Path) -> None:
    journal = Journal(path)
    await journal.open()

    def fill() -> None:
        assert journal._store is not None
        db = journal._store._connection
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        db.execute(f"PRAGMA max_page_count = {pages}")

    await asyncio.to_thread(fill)
    many = [intend(journal, {"refundId": f"TQ{n}", "padding": "x" * 500}) for n in range(100)]
    with pytest.raises(JournalUnavailableError, match="full"):
        await asyncio.gather(*many)
    await journal.aclose()


async def test_intents_of_an_ended_process_are_buried(path: Path) -> None:
    first = Journal(path)
    sent, intended = await intend(first, {"k": 1}), await intend(first, {"k": 2})
    await first.sending(sent)
    second = Journal(path)
    await second.open()  # the first one lives: nothing changes
    assert [intent.state for intent in await second.find()] == [IntentState.SENT, IntentState.INTENDED]
    await second.aclose()
    await first.aclose()
    third = Journal(path)
    states = {intent.id: intent.state for intent in await third.find()}
    assert states == {sent.id: IntentState.UNKNOWN, intended.id: IntentState.NOT_SENT}
    await third.aclose()


async def test_a_journal_opened_again_buries_what_it_left_itself(path: Path) -> None:
    journal = Journal(path)
    intent = await intend(journal)
    await journal.sending(intent)
    await journal.aclose()
    found = await journal.get(intent.id)
    assert found is not None
    assert found.state is IntentState.UNKNOWN
    await journal.aclose()


async def test_lock_files_do_not_pile_up(path: Path) -> None:
    for _ in range(3):
        journal = Journal(path)
        await intend(journal, {"k": 1})
        await journal.aclose()
    left = await asyncio.to_thread(lambda: sorted(file.name for file in path.parent.iterdir()))
    assert left == ["journal.sqlite"]


async def test_an_open_intent_refuses_a_second_one_also_from_another_journal(path: Path) -> None:
    first, second = Journal(path), Journal(path)
    intent = await intend(first)
    for journal in (first, second):
        with pytest.raises(DuplicateIntentError) as caught:
            await intend(journal)
        assert (caught.value.intent_id, caught.value.state) == (intent.id, "intended")
    await first.resolve(intent.id, IntentState.NOT_SENT)
    again = await intend(second)
    assert again.id != intent.id
    await first.aclose()
    await second.aclose()


async def test_what_may_happen_once_is_refused_after_it_happened(path: Path) -> None:
    journal = Journal(path)
    intent = await intend(journal, once=True)
    await journal.resolve(intent.id, IntentState.CONFIRMED, result="TQ77")
    with pytest.raises(DuplicateIntentError) as caught:
        await intend(journal, once=True)
    assert caught.value.result == "TQ77"
    assert (await intend(journal, once=False)).id != intent.id
    await journal.aclose()


async def test_every_journal_file_has_an_identity_of_its_own(path: Path, tmp_path: Path) -> None:
    journal, other, memory = Journal(path), Journal(tmp_path / "other.sqlite"), Journal()
    names = {await journal.identity(), await other.identity(), await memory.identity()}
    assert len(names) == 3
    await journal.aclose()
    reopened = Journal(path)
    assert await reopened.identity() in names
    for each in (other, memory, reopened):
        await each.aclose()


async def test_intents_are_found_by_their_natural_key_newest_first(path: Path) -> None:
    journal = Journal(path)
    first = await intend(journal, {"b": 1, "a": [2]})
    await journal.resolve(first.id, IntentState.SETTLED_ABSENT)
    second = await intend(journal, {"a": [2], "b": 1})
    await intend(journal, {"a": [2], "b": 2})
    found = await journal.with_key("vendor", "alibaba.refunds.return_goods", {"b": 1, "a": [2]})
    assert [intent.id for intent in found] == [second.id, first.id]
    assert await journal.with_key("another", "alibaba.refunds.return_goods", {"b": 1, "a": [2]}) == []
    await journal.aclose()


async def test_intents_come_in_pages(path: Path) -> None:
    journal = Journal(path)
    made = [(await intend(journal, {"k": number})).id for number in range(7)]
    await journal.resolve(made[3], IntentState.NOT_SENT)
    found = [intent.id async for intent in journal.all(page=2)]
    assert found == made
    states = [IntentState.INTENDED]
    assert [intent.id async for intent in journal.all(states, page=2)] == made[:3] + made[4:]
    await journal.aclose()
