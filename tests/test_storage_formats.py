"""Files that earlier versions wrote are opened: the same states, the same counts, the same meaning.

The files in tests/data/formats were written by the last version before the change, by scripts of a few
lines that called its own stores: journal-1 (every state, every kind of note, two accounts, and what a killed
process left behind), journal-2 and journal-3 (the same, brought up), callbacks-1 (every state, a dropped
copy, a message that was being handled), callbacks-2 (two messages that were handled, with a time of their
push and without).
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import attrs
import pytest

from pandapon_async.callbacks import MessageState, MessageStore
from pandapon_async.callbacks.store import Entry
from pandapon_async.errors import ErrorKind
from pandapon_async.journal import IntentState, Journal, Resolution, WriteKey

FORMATS = Path(__file__).parent / "data" / "formats"
DONE, ABSENT, UNKNOWN = IntentState.SETTLED_DONE, IntentState.SETTLED_ABSENT, IntentState.UNKNOWN
REJECTED, NOT_SENT = IntentState.REJECTED, IntentState.NOT_SENT


def copy_of(name: str, folder: Path) -> Path:
    return Path(shutil.copy(FORMATS / name, folder / name))


def old_rows(path: Path, query: str) -> dict[str, tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = {row[0]: row[1:] for row in connection.execute(query)}
    connection.close()
    return found


MEANINGS = {
    None: (None, None, []),
    "Rejected": (None, ErrorKind.REJECTED, []),
    "AuthenticationFailed (Rejected)": (None, ErrorKind.AUTHENTICATION, []),
    "Throttled": (None, ErrorKind.RATE_LIMIT, []),
    "NotSent": (None, ErrorKind.NOT_SENT, []),
    "DeadlineExceeded": (None, ErrorKind.DEADLINE, []),
    "OutcomeUnknown (ConnectionLost)": (None, ErrorKind.CONNECTION_LOST, []),
    "cancelled before it was sent": (None, ErrorKind.CANCELLED, []),
    "cancelled by the caller": (None, ErrorKind.CANCELLED, []),
    "the process ended before the answer was noted": (None, ErrorKind.PROCESS_ENDED, []),
    "the process ended before it was sent": (None, ErrorKind.PROCESS_ENDED, []),
    "landed: the order names a form with our amounts": (
        Resolution.SUCCEEDED,
        None,
        ["the order names a form with our amounts"],
    ),
    "absent: the order's lines name no refund form": (
        Resolution.ABSENT,
        None,
        ["the order's lines name no refund form"],
    ),
    "wei at 2025-11-28T03:00:00+00:00 said done: seen in the console": (
        Resolution.SUCCEEDED,
        None,
        ["wei at 2025-11-28T03:00:00+00:00 said done: seen in the console"],
    ),
    "wei at 2025-11-28T03:00:00+00:00 said absent: not in the console": (
        Resolution.ABSENT,
        None,
        ["wei at 2025-11-28T03:00:00+00:00 said absent: not in the console"],
    ),
    "callback aaaaaaaaaaaa names the form": (
        Resolution.SUCCEEDED,
        None,
        ["callback aaaaaaaaaaaa names the form"],
    ),
}


async def test_a_journal_of_format_1(tmp_path: Path) -> None:
    path = copy_of("journal-1.sqlite", tmp_path)
    before = old_rows(
        path, "SELECT id, state, result, request_id, attempts, created, note FROM intents ORDER BY rowid"
    )
    (identity,) = old_rows(path, "SELECT id FROM identity")
    journal = Journal(path)
    found = await journal.find()
    assert await journal.identity() == identity
    await journal.aclose()
    assert [one.id for one in found] == list(before)
    seen = set()
    for one in found:
        state, result, request_id, attempts, created, note = before[one.id]
        # What was under way belongs to a process that ended since.
        ended = {"sent": UNKNOWN, "intended": NOT_SENT}.get(str(state))
        assert one.state == (ended or state)
        assert (one.result, one.request_id, one.attempts, one.created) == (
            result,
            request_id,
            attempts,
            created,
        )
        expected = (None, ErrorKind.PROCESS_ENDED, []) if ended else MEANINGS[note]  # type: ignore[index]
        assert (one.resolution, one.error_kind, one.remarks) == expected
        seen.add(note)
    assert seen == set(MEANINGS), "the file holds every kind of note"
    assert {str(state) for state, *_ in before.values()} == {str(state) for state in IntentState}


async def test_a_journal_is_brought_up_once(tmp_path: Path) -> None:
    path = copy_of("journal-1.sqlite", tmp_path)
    for _ in range(2):
        journal = Journal(path)
        counts = await journal.counts()
        await journal.aclose()
        assert counts == {
            IntentState.CONFIRMED: 3, REJECTED: 3, NOT_SENT: 5, UNKNOWN: 8, DONE: 3, ABSENT: 2,
        }  # fmt: skip


@pytest.mark.parametrize("number", [2, 3])
async def test_a_journal_of_format_2_or_3(tmp_path: Path, number: int) -> None:
    """The second had no checksums. One write in it, by its payload alone, may be about any order."""
    path = copy_of(f"journal-{number}.sqlite", tmp_path)
    before = old_rows(path, "SELECT id, state, extra FROM intents")
    (identity,) = old_rows(path, "SELECT id FROM identity")
    (mark,) = old_rows(path, "SELECT mark FROM identity")
    for _ in range(2):
        journal = Journal(path)
        found = await journal.find()
        assert {one.id: (str(one.state), one.extra) for one in found} == before
        assert await journal.identity() == identity
        assert str(await journal.mark()) == str(mark)
        assert [len(await journal.extra()), len(await journal.unassigned())] == [1, 2]
        (unclear,) = await journal.about(WriteKey("x", "alibaba.orders.submit_to_pay", {}, ()))
        assert unclear.natural_key.keys() == {"payload"}
        await journal.aclose()
    assert old_rows(path, INDEXES) == old_rows(await made_now(tmp_path), INDEXES)


INDEXES = "SELECT name, sql FROM sqlite_master WHERE type = 'index'"


async def made_now(folder: Path) -> Path:
    path = folder / "new.sqlite"
    journal = Journal(path)
    await journal.counts()
    await journal.aclose()
    return path


def test_a_callbacks_store_of_format_1(tmp_path: Path) -> None:
    path = copy_of("callbacks-1.sqlite", tmp_path)
    before = old_rows(path, "SELECT id, state, note, attempts, copies, body FROM messages")
    store = MessageStore(path)
    found = store.find()
    unhandled = store.find(unhandled=True)
    counts = store.counts()
    store.close()
    assert {one.id: (one.state, one.note, one.attempts, one.copies, one.body) for one in found} == before
    assert [one.refund_id for one in unhandled] == ["TQ2"]
    assert [one.refund_id for one in found if one.unhandled] == ["TQ2"]
    assert counts == {
        MessageState.PENDING: 3,
        MessageState.HANDLING: 1,
        MessageState.DONE: 2,
        MessageState.DEAD: 2,
    }


def test_a_callbacks_store_of_format_2(tmp_path: Path) -> None:
    """It did not say which messages told when they were pushed: of its two, TQ1 did."""
    store = MessageStore(copy_of("callbacks-2.sqlite", tmp_path))
    found = store.find()
    assert {one.refund_id: one.stamped for one in found} == {"TQ1": True, "TQ2": False}
    for one in found:
        one.state = MessageState.PENDING
    later = max(one.updated for one in found) + 1
    assert store.forget(later) == 2
    names = [field.name for field in attrs.fields(Entry)]
    again = [Entry(**{name: getattr(one, name) for name in names}) for one in found]
    assert {one.refund_id: store.add(one, later) for one in again} == {"TQ1": True, "TQ2": False}
    store.close()


def test_a_callbacks_store_of_format_3(tmp_path: Path) -> None:
    """It had no checksums."""
    path = copy_of("callbacks-3.sqlite", tmp_path)
    before = old_rows(path, "SELECT id, state, body FROM messages")
    store = MessageStore(path)
    found = store.find()
    store.close()
    assert {one.id: (one.state, one.body) for one in found} == before
    assert not any(one.damaged for one in found)


@pytest.mark.parametrize("name", ["plan-1-refunds-journal.sqlite", "plan-1-returns-journal.sqlite"])
async def test_the_journals_of_old_plans(tmp_path: Path, name: str) -> None:
    path = copy_of(name, tmp_path)
    before = old_rows(path, "SELECT id, state FROM intents")
    journal = Journal(path)
    after = {one.id: (str(one.state),) for one in await journal.find()}
    await journal.aclose()
    assert after == before
