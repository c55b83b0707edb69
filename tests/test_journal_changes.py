"""Groups of changes in few statements: the same as one after the other, and true whenever it crashes."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.journal.changes import Add, Sending, Settle, carry_out
from pandapon_async.journal.journal import Journal, _new_id
from pandapon_async.journal.store import Intent, IntentState, JournalStore
from pandapon_async.storage.batch_writer import one_by_one
from tests.support.server import FaultServer, ok

ENDS = [state for state in IntentState if state not in (IntentState.INTENDED, IntentState.SENT)]
numbers = st.integers(0, 5)


def intent(number: int, key: int, state: IntentState = IntentState.INTENDED) -> Intent:
    return Intent(
        id=f"id-{number}",
        account="a",
        operation="o",
        natural_key={"k": key},
        digest="d",
        facts={"f": [number]},
        state=state,
        session="",
        created=float(number),
        updated=0.0,
    )


def add(number: int, key: int, once: bool, sent: bool) -> Add:
    return Add(intent(number, key, IntentState.SENT if sent else IntentState.INTENDED), once)


changes = st.one_of(
    st.builds(add, numbers, st.integers(0, 2), st.booleans(), st.booleans()),
    st.builds(lambda number: Sending(f"id-{number}", 1.0), numbers),
    st.builds(
        lambda number, state, result: Settle(f"id-{number}", state, 2.0, None, result, None),
        numbers,
        st.sampled_from(ENDS),
        st.sampled_from([None, "TQ1"]),
    ),
    st.builds(lambda: lambda store: tuple(one.id for one in store.find(None, None))),
)


def played(before: list[Any], group: list[Any], way: Any) -> tuple[dict[int, Any], list[tuple[Any, ...]]]:
    """What each change of a group gave, and the rows afterwards."""
    store = JournalStore(":memory:", "s")
    store.begin(durable=False)
    one_by_one(store, before)
    store.commit()
    store.begin(durable=False)
    results = [one.id if isinstance(one, Intent) else one for one in way(store, list(group))]
    store.commit()
    rows = store._connection.execute("SELECT * FROM intents ORDER BY id").fetchall()
    store.close()
    return {id(change): result for change, result in zip(group, results, strict=True)}, rows


def in_order(group: list[Any]) -> list[Any]:
    """The order in which a group counts as done: an end makes room for a beginning of the same moment."""
    pieces: list[list[Any]] = [[]]
    seen: set[str] = set()
    for change in group:
        subject = change.intent.id if isinstance(change, Add) else getattr(change, "id", None)
        if subject is None or subject in seen:
            pieces.append([])
            seen = set()
        if subject is not None:
            seen.add(subject)
        pieces[-1].append(change)
        if subject is None:
            pieces.append([])
    rank = (Settle, Sending, Add)
    ordered = []
    for piece in pieces:
        ordered += sorted(piece, key=lambda one: rank.index(type(one)) if type(one) in rank else 0)
    return ordered


def unique(drawn: list[Any], seen: set[str]) -> list[Any]:
    """Ids are made at random and never come twice: a second one of the same number is left out."""
    kept = []
    for change in drawn:
        if isinstance(change, Add):
            if change.intent.id in seen:
                continue
            seen.add(change.intent.id)
        kept.append(change)
    return kept


@given(st.lists(changes, max_size=8), st.lists(changes, max_size=8))
def test_a_group_does_what_its_changes_do_one_after_the_other(first: list[Any], then: list[Any]) -> None:
    seen: set[str] = set()
    before, group = unique(first, seen), unique(then, seen)
    # As they came, or, if none was refused, with the ends before the beginnings.
    assert played(before, group, carry_out) in (
        played(before, group, one_by_one),
        played(before, in_order(group), one_by_one),
    )


def test_the_refused_one_of_a_group_is_told_of_the_first() -> None:
    store = JournalStore(":memory:", "s")
    store.begin(durable=True)
    first, second, third = (add(number, key, False, True) for number, key in ((1, 1), (2, 1), (3, 2)))
    results = carry_out(store, [first, second, third])
    store.commit()
    assert [found and found.id for found in results] == [None, "id-1", None]
    store.begin(durable=True)
    succeeded = Settle("id-1", IntentState.CONFIRMED, 1.0, None, "TQ1", None)
    assert carry_out(store, [succeeded, Sending("id-3", 1.0)]) == [True, True]
    store.commit()
    store.begin(durable=True)
    again = carry_out(store, [add(4, 1, True, True), add(5, 1, False, True), Sending("id-1", 2.0)])
    store.commit()
    assert again[0].result == "TQ1"
    assert again[1:] == [None, False]
    store.close()


def test_a_key_that_is_settled_in_the_same_group_is_free(tmp_path: Path) -> None:
    """A call is cancelled and made again at once: the end of the first is noted before the second."""
    store = JournalStore(str(tmp_path / "journal.sqlite"), "s")
    store.begin(durable=False)
    one_by_one(store, [add(1, 1, True, True)])
    ended = Settle("id-1", IntentState.NOT_SENT, 1.0, None, None, "cancelled")
    assert carry_out(store, [ended, add(2, 1, True, True)]) == [True, None]
    store.commit()
    store.close()


def test_indexes_of_an_earlier_file_give_way(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    JournalStore(str(path)).close()
    db = sqlite3.connect(path)
    db.executescript(
        "DROP INDEX one_open_per_key; DROP INDEX open_by_session;"
        "CREATE INDEX by_state ON intents (state, created);"
        "CREATE UNIQUE INDEX one_open_intent ON intents (account, operation, natural_key)"
        " WHERE state IN ('intended', 'sent', 'unknown');"
    )
    db.close()
    store = JournalStore(str(path))
    names = store._connection.execute("SELECT name FROM sqlite_master WHERE sql LIKE 'CREATE%INDEX%'")
    assert {name for (name,) in names} == {"one_open_per_key", "open_by_session"}
    plan = str(
        store._connection.execute(
            "EXPLAIN QUERY PLAN SELECT DISTINCT session FROM intents"
            " WHERE state IN ('intended', 'sent', 'unknown') AND state <> 'unknown'"
        ).fetchall()
    )
    assert "open_by_session" in plan
    store.close()


# A client in a process of its own that is killed before or after a given commit of its journal.
CHILD = """
import asyncio, os, signal, sys
from pandapon_async import Client, Credentials, Settings
from pandapon_async.journal.store import JournalStore

url, journal, moment, number = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
commits, commit = 0, JournalStore.commit

def dying(store):
    global commits
    commits += 1
    if commits == number and moment == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    commit(store)
    if commits == number and moment == "after":
        os.kill(os.getpid(), signal.SIGKILL)

async def main():
    settings = Settings(base_url=url, rate=None, concurrency=1, journal=journal)
    async with Client(Credentials("key", "secret", "1"), settings) as client:
        await client.journal.open()
        JournalStore.commit = dying
        await asyncio.gather(*(
            client.v1.alibaba.refunds.return_goods(
                refund_id=f"TQ{n}", logistics_company_no="SF", freight_bill="SF1")
            for n in (1, 2)))

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 7))
async def test_a_crash_at_any_commit_leaves_the_truth(tmp_path: Path, moment: str, number: int) -> None:
    """One write goes out at once, the other waits its turn: both ways into the journal are taken."""
    path = tmp_path / "journal.sqlite"
    async with FaultServer(then=ok({"success": True})) as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", CHILD, server.url, str(path), moment, str(number), stderr=PIPE,
            env={**os.environ, "PANDAPON_RATE": ""},
        )  # fmt: skip
        _, err = await process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0), err.decode()
        seen = {json.loads(request.body)["refundId"] for request in server.requests}
        assert len(server.requests) == len(seen)
    journal = Journal(path)
    states = {str(one.natural_key["refundId"]): one.state for one in await journal.find()}
    await journal.aclose()
    maybe = {IntentState.UNKNOWN, IntentState.CONFIRMED}
    for refund_id in ("TQ1", "TQ2"):
        state = states.get(refund_id)
        assert state in {None, IntentState.NOT_SENT, *maybe}
        if refund_id in seen:
            assert state in maybe
    if number == 1 and moment == "before":
        assert not seen
    if process.returncode == 0:
        assert set(states.values()) == {IntentState.CONFIRMED}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_process_draws_ids_of_its_own() -> None:
    here = [_new_id()]
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    process = context.Process(target=_several_ids, args=(results,))
    process.start()
    theirs = results.get(timeout=20)
    process.join()
    here += [_new_id() for _ in range(5)]
    assert len({*here, *theirs}) == 11


def _several_ids(results: Any) -> None:
    results.put([_new_id() for _ in range(5)])
