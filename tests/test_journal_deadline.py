"""The journal under a call's deadline: it may be slow, locked by another process, or another process's."""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from pandapon_async import (
    DeadlineExceededError,
    JournalUnavailableError,
    Outcome,
    OutcomeUnknownError,
    RejectedError,
    Safety,
)
from pandapon_async.journal.intent import IntentState
from pandapon_async.journal.journal import Journal
from pandapon_async.journal.store import JournalStore
from tests.support import faults
from tests.support.clients import at_rest, client
from tests.support.server import Behaviour, FaultServer, answer, envelope, http, ok
from tests.support.virtual import LoopClock, outcome, virtual_time

SLOW = 60.0


class SlowJournal(Journal):
    """Takes a minute for the changes that are named."""

    def __init__(self, *slow: str) -> None:
        super().__init__(clock=LoopClock())
        self.slow = slow

    async def _wait(self, what: str) -> None:
        if what in self.slow:
            await asyncio.sleep(SLOW)

    async def add(self, *arguments: Any, **more: Any) -> None:
        await self._wait("add")
        await super().add(*arguments, **more)

    async def sending(self, *arguments: Any, **more: Any) -> None:
        await self._wait("sending")
        await super().sending(*arguments, **more)

    def resolve_soon(self, *arguments: Any, **more: Any) -> asyncio.Future[bool] | None:
        return asyncio.ensure_future(self._resolve(*arguments, **more))

    async def _resolve(self, *arguments: Any, **more: Any) -> bool:
        await self._wait("resolve")
        noted = super().resolve_soon(*arguments, **more)
        return noted is not None and await noted


def now() -> float:
    return asyncio.get_running_loop().time()


@pytest.mark.parametrize("what", ["add", "sending"])
@virtual_time
async def test_before_the_first_byte_the_deadline_means_that_nothing_was_sent(what: str) -> None:
    journal = SlowJournal(what)
    async with FaultServer() as server, client(server.url, timeout=5, journal=journal) as pandapon:
        if what == "sending":
            pandapon.limiter.pause(1)  # so that the intent is noted before the sending
        begun = now()
        error = await outcome(pandapon.request("POST", "/thing"))
        assert type(error) is DeadlineExceededError
        assert error.outcome is Outcome.NOT_SENT
        assert now() - begun == pytest.approx(5, abs=0.02)
        assert server.requests == []
        await asyncio.sleep(2 * SLOW)
        assert {intent.state for intent in await journal.find()} <= {IntentState.NOT_SENT}
        at_rest(pandapon)
    await journal.aclose()


REFUSED = answer(http(envelope({"success": False, "errorCode": "X"})))


@pytest.mark.parametrize(
    ("behaviour", "kind", "state"),
    [
        (ok(), type(None), IntentState.CONFIRMED),
        (REFUSED, RejectedError, IntentState.REJECTED),
        (faults.close_before_answer, OutcomeUnknownError, IntentState.UNKNOWN),
    ],
    ids=["yes", "no", "lost"],
)
@virtual_time
async def test_an_answer_that_arrived_is_given_at_the_deadline_at_the_latest(
    behaviour: Behaviour, kind: type[BaseException], state: IntentState, caplog: pytest.LogCaptureFixture
) -> None:
    journal = SlowJournal("resolve")
    async with FaultServer(behaviour) as server:
        pandapon = client(server.url, timeout=5, journal=journal)
        begun = now()
        with caplog.at_level(logging.WARNING, "pandapon_async"):
            assert type(await outcome(pandapon.request("POST", "/thing"))) is kind
        assert now() - begun == pytest.approx(5, abs=0.02)
        assert "recorded after its call has ended" in caplog.text
        assert await journal.counts() == {IntentState.SENT: 1}
        at_rest(pandapon)
        begun = now()
        await pandapon.aclose()
        assert now() - begun == pytest.approx(2, abs=0.02)
        await asyncio.sleep(SLOW)
        assert await journal.counts() == {state: 1}, "the note goes on in the background"
    await journal.aclose()


@virtual_time
async def test_closing_waits_for_a_note_that_takes_a_second() -> None:
    journal = SlowJournal("resolve")
    async with FaultServer() as server:
        pandapon = client(server.url, timeout=SLOW - 1, journal=journal)
        await pandapon.request("POST", "/thing")
        begun = now()
        await pandapon.aclose()
        assert now() - begun == pytest.approx(1, abs=0.02)
        assert await journal.counts() == {IntentState.CONFIRMED: 1}
    await journal.aclose()


@virtual_time
async def test_a_cancelled_call_leaves_its_answer_noted() -> None:
    journal = SlowJournal("resolve")
    async with FaultServer() as server, client(server.url, timeout=300, journal=journal) as pandapon:
        writing = asyncio.ensure_future(pandapon.request("POST", "/thing", safety=Safety.ONCE))
        await asyncio.sleep(1)
        writing.cancel()
        await asyncio.wait([writing])
        assert writing.cancelled()
        await asyncio.sleep(SLOW)
        assert await journal.counts() == {IntentState.CONFIRMED: 1}
    await journal.aclose()


class LockedFile(JournalStore):
    """Another process has the file locked for longer than SQLite waits, as soon as there is an outcome."""

    def resolve(self, *arguments: Any, **more: Any) -> bool:
        raise busy()


def busy() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


@pytest.mark.parametrize("end", ["yes", "cancelled"])
@virtual_time
async def test_an_outcome_that_cannot_be_noted_is_told(
    end: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pandapon_async.journal.sessions.JournalStore", LockedFile)
    journal = Journal(clock=LoopClock())
    behaviour = ok() if end == "yes" else faults.half_open
    async with FaultServer(behaviour) as server, client(server.url, journal=journal) as pandapon:
        with caplog.at_level(logging.ERROR, "pandapon_async"):
            writing = asyncio.ensure_future(outcome(pandapon.request("POST", "/thing")))
            if end == "cancelled":
                await asyncio.sleep(1)
                writing.cancel()
            await asyncio.wait([writing])
            await asyncio.sleep(1)
        (intent,) = await journal.find()
        assert intent.state is IntentState.SENT
        noted = "confirmed" if end == "yes" else "unknown"
        assert (
            f"intent {intent.id} is {noted}, but that could not be recorded: another process has"
            in caplog.text
        )
        assert "stays `sent` and becomes `unknown` at the next start" in caplog.text
        assert "nothing was sent" not in caplog.text
    await journal.aclose()


@virtual_time
async def test_closing_ends_a_call_whose_note_does_not_end() -> None:
    """And everything that closing waits for, it waits for within the same two seconds."""
    journal = SlowJournal("resolve")
    async with FaultServer(faults.half_open) as server:
        pandapon = client(server.url, timeout=300, journal=journal)
        writing = asyncio.ensure_future(outcome(pandapon.request("POST", "/thing")))
        await asyncio.sleep(1)
        begun = now()
        await pandapon.aclose()
        assert now() - begun == pytest.approx(2, abs=0.02)
        assert writing.done()
        assert type(await writing) is OutcomeUnknownError
        await asyncio.sleep(2 * SLOW)
    await journal.aclose()


@virtual_time
async def test_many_slow_notes_are_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    journal = SlowJournal("resolve")
    async with FaultServer() as server, client(server.url, timeout=5, journal=journal) as pandapon:
        with caplog.at_level(logging.WARNING, "pandapon_async"):
            await asyncio.gather(*(pandapon.request("POST", f"/{number}") for number in range(20)))
            assert caplog.text.count("the journal is slow") == 1
            await asyncio.sleep(2 * SLOW)
            await pandapon.request("POST", "/later")
            assert caplog.text.count("the journal is slow") == 2
        await asyncio.sleep(2 * SLOW)
    await journal.aclose()


async def test_a_journal_that_was_opened_before_a_fork_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    await journal.open()
    parent = os.getpid()
    monkeypatch.setattr(os, "getpid", lambda: parent + 1)
    for use in (journal.counts, journal.open):
        with pytest.raises(
            JournalUnavailableError, match=f"process {parent} opened this Journal before a fork"
        ):
            await use()
    monkeypatch.undo()
    assert await journal.counts() == {}
    await journal.aclose()


async def test_a_journal_that_was_only_made_before_a_fork_is_the_childs_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(tmp_path / "journal.sqlite")
    other = os.getpid() + 1
    monkeypatch.setattr(os, "getpid", lambda: other)
    assert await journal.counts() == {}
    await journal.aclose()
