"""The rows of the journal: what may be begun, what stands in its way, and what a crash leaves."""

from __future__ import annotations

import asyncio
import functools
import json
import os
import re
import signal
import sqlite3
import sys
from asyncio.subprocess import PIPE
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pandapon_async.errors import DuplicateIntentError, ErrorKind, JournalUnavailableError
from pandapon_async.journal import Intent, IntentState, Journal, Resolution
from pandapon_async.journal.identity import Writer
from pandapon_async.journal.store import Added, JournalStore, Reading
from pandapon_async.storage.damage import DamagedRowError
from tests.support.examples import examples
from tests.support.journals import at, noted
from tests.support.server import FaultServer, ok
from tests.support.stores import Place

ENDS = [state for state in IntentState if state not in (IntentState.INTENDED, IntentState.SENT)]
IN_THE_WAY = {IntentState.CONFIRMED, IntentState.SETTLED_DONE}
numbers = st.integers(0, 5)


@pytest.fixture(scope="module", params=["file", "database"])
def place(request: pytest.FixtureRequest) -> Place:
    """Where the journal is."""
    return Place(None if request.param == "file" else request.getfixturevalue("postgres").url)


def intent(number: int, key: int, state: IntentState = IntentState.INTENDED) -> Intent:
    return Intent(
        scope="vendor",
        digest="d",
        id=f"id-{number}",
        operation="o",
        natural_key={"k": key},
        facts={"f": [number]},
        state=state,
        session="",
        created=float(number),
        updated=0.0,
    )


@attrs.define
class Model:
    """The rule of the journal once more, by hand: at most one open intent per key, once is once."""

    rows: dict[str, Intent] = attrs.field(factory=dict)

    def add(self, new: Intent, once: bool) -> bool:
        same = [one for one in self.rows.values() if one.natural_key == new.natural_key]
        if any(one.state.open or (once and one.state in IN_THE_WAY) for one in same):
            return False
        self.rows[new.id] = attrs.evolve(new)
        return True

    def sending(self, number: int) -> bool:
        row = self.rows.get(f"id-{number}")
        if row is None or row.state not in (IntentState.INTENDED, IntentState.SENT):
            return False
        row.state = IntentState.SENT
        return True

    def resolve(self, number: int, state: IntentState) -> bool:
        row = self.rows.get(f"id-{number}")
        if row is None:
            return False
        turned_out = row.state is IntentState.SETTLED_ABSENT and state is IntentState.SETTLED_DONE
        if not row.state.open and not turned_out:
            return False
        row.state = state
        return True


changes = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 2), st.booleans(), st.booleans()),
    st.tuples(st.just("sending"), numbers),
    st.tuples(st.just("resolve"), numbers, st.sampled_from(ENDS)),
)


@settings(max_examples=examples(20, 2000))
@given(st.lists(st.lists(changes, min_size=1, max_size=6), max_size=6))
def test_however_changes_share_commits_the_rule_holds(
    place: Place, groups: list[list[tuple[Any, ...]]]
) -> None:
    """Each inner list shares a transaction; what is refused is told what stands in its way."""
    store, model, number = place.store(), Model(), 0
    for group in groups:
        store.begin(durable=True)
        for what, *arguments in group:
            if what == "add":
                key, once, sent = arguments
                new = intent(number, key, IntentState.SENT if sent else IntentState.INTENDED)
                number += 1
                earlier = store.add(new, once).blocking
                assert (earlier is None) == model.add(new, once)
                assert earlier is None or earlier.natural_key == new.natural_key
            elif what == "sending":
                assert store.sending(f"id-{arguments[0]}", at(1.0)) == model.sending(*arguments)
            else:
                assert store.resolve(f"id-{arguments[0]}", arguments[1], at(2.0)) == model.resolve(*arguments)
        store.commit()
    assert {one.id: one.state for one in store.find(None, None)} == {
        name: row.state for name, row in model.rows.items()
    }
    store.close()


def changed(store: JournalStore, *works: Callable[[JournalStore], Any]) -> list[Any]:
    store.begin(durable=True)
    results = [work(store) for work in works]
    store.commit()
    return results


def test_the_refused_one_of_a_group_is_told_of_the_first(place: Place) -> None:
    store = place.store()
    first, second, third = (intent(*pair, IntentState.SENT) for pair in ((1, 1), (2, 1), (3, 2)))
    results = changed(
        store, *(lambda store, one=one: store.add(one, False) for one in (first, second, third))
    )
    assert [found.blocking and found.blocking.id for found in results] == [None, "id-1", None]
    store.close()


@pytest.mark.parametrize("state", [IntentState.CONFIRMED, IntentState.SETTLED_DONE])
async def test_what_succeeded_stands_in_the_way_also_within_one_commit(
    place: Place, state: IntentState
) -> None:
    """Its end and the next attempts at it are noted by one commit, beside other writes."""
    await asyncio.to_thread(lambda: place.store().close())
    journal = place.journal()
    first = await noted(journal, natural_key={"k": 1}, once=True)
    await journal.sending(first)
    await journal.resolve(first.id, IntentState.UNKNOWN)
    results = await asyncio.gather(
        noted(journal, natural_key={"k": 2}, once=True),
        journal.resolve(first.id, state, result="TQ1"),
        noted(journal, natural_key={"k": 1}, once=True),
        noted(journal, natural_key={"k": 3}, once=True),
        noted(journal, natural_key={"k": 1}, once=True),
        return_exceptions=True,
    )
    kinds = [type(result) for result in results]
    assert kinds == [Intent, bool, DuplicateIntentError, Intent, DuplicateIntentError]
    refused = results[4]
    assert isinstance(refused, DuplicateIntentError)
    assert (refused.intent_id, refused.state, refused.result) == (first.id, state, "TQ1")
    await journal.aclose()


def test_a_key_that_is_settled_in_the_same_group_is_free(place: Place) -> None:
    """A call is cancelled and made again at once: the end of the first is noted before the second."""
    store = place.store()
    changed(store, lambda store: store.add(intent(1, 1, IntentState.SENT), True))
    results = changed(
        store,
        lambda store: store.resolve("id-1", IntentState.NOT_SENT, at(1.0)),
        lambda store: store.add(intent(2, 1), True),
    )
    assert results == [True, Added()]
    store.close()


def test_remarks_are_added_and_nothing_that_is_known_is_lost(place: Place) -> None:
    store = place.store()
    changed(store, lambda store: store.add(intent(1, 1, IntentState.SENT), True))
    changed(
        store,
        lambda store: store.resolve(
            "id-1", IntentState.UNKNOWN, at(1.0), request_id="r-1",
            error_kind=ErrorKind.CONNECTION_LOST, remark="row 2 is about the same order line",
        ),
        lambda store: store.resolve(
            "id-1", IntentState.SETTLED_DONE, at(2.0), result="TQ1", resolution=Resolution.SUCCEEDED,
            remark='the form "carries" our waybill',
        ),
    )  # fmt: skip
    found = store.get("id-1")
    assert found is not None
    assert found.remarks == ["row 2 is about the same order line", 'the form "carries" our waybill']
    assert (found.request_id, found.result) == ("r-1", "TQ1")
    assert (found.error_kind, found.resolution) == (ErrorKind.CONNECTION_LOST, Resolution.SUCCEEDED)
    store.close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE intents SET state = 'confirmeX'", "UPDATE intents SET state = 'rejected'",
        "UPDATE intents SET facts = '{]'", "UPDATE intents SET remarks = 'x'",
        "UPDATE intents SET error_kind = 'x'", "UPDATE intents SET natural_key = '{\"k\":2}'",
        "UPDATE intents SET result = 'TQ2'", "UPDATE intents SET wrote = wrote + 1",
        "UPDATE intents SET checksum = NULL",
    ],
)  # fmt: skip
def test_a_row_that_was_changed_is_damage_and_stands_in_the_way(tmp_path: Path, damage: str) -> None:
    """Also where what stands there now could have been written: SQLite itself sees nothing."""
    path = tmp_path / "journal.sqlite"
    store = JournalStore(str(path))
    changed(store, lambda store: store.add(intent(1, 1), True))
    changed(store, lambda store: store.resolve("id-1", IntentState.CONFIRMED, at(1.0)))
    store._connection.execute(damage)
    works: list[Callable[[JournalStore], Any]] = [
        lambda store: store.find(None, None),
        lambda store: store.get("id-1"),
        lambda store: store.sending("id-1", at(1.0)),
        lambda store: store.resolve("id-1", IntentState.SETTLED_DONE, at(1.0)),
    ]
    if "natural_key" not in damage:
        works.append(lambda store: store.add(intent(2, 1), True))
    for work in works:
        with pytest.raises(DamagedRowError):
            work(store)
    store.close()
    with pytest.raises(JournalUnavailableError, match=r"damaged.*`pandapon journal check .*journal.sqlite`"):
        JournalStore(str(path))


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE identity SET mark = 0",
        "UPDATE identity SET id = 'x'",
        "DELETE FROM identity",
        "UPDATE subjects SET subject = 'o 2'",
        "UPDATE subjects SET intent = 'id-3' WHERE intent = 'id-1'",
        "UPDATE adopted SET identity = 'x'",
        "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'one_open_per_key'",
    ],
)
def test_what_stands_beside_the_rows_is_checked_too(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "journal.sqlite"
    store, other = JournalStore(str(path)), JournalStore(str(tmp_path / "other.sqlite"))
    changed(store, lambda store: store.add(intent(1, 1), True, ("o 1",)))
    changed(other, lambda store: store.add(intent(2, 2), True, ("o 1",)))
    changed(store, lambda store: store.take(other))
    other.close()
    store._connection.executescript(damage)
    store.close()
    with pytest.raises(JournalUnavailableError, match=r"damaged.*journal check"):
        JournalStore(str(path))


# A client in a process of its own that is killed before or after a given commit of its journal.
CHILD = """
import asyncio, os, signal, sys
from pandapon_async import Client, Credentials, Settings
from pandapon_async.journal.store import Added, JournalStore

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


BY_DAY = [("before", 1), ("after", 1), ("before", 3), ("after", 4), ("before", 6)]


@pytest.mark.parametrize(
    ("moment", "number"),
    [
        pytest.param(moment, number, marks=() if (moment, number) in BY_DAY else pytest.mark.nightly)
        for number in range(1, 7)
        for moment in ("before", "after")
    ],
)
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


class Strict(sqlite3.Connection):
    """As Python 3.14 has it: only anonymous places are filled from a sequence."""

    def execute(self, sql: str, values: Any = (), /) -> sqlite3.Cursor:
        assert not (re.search(r"\?\d|:\w", sql) and isinstance(values, Sequence)), sql
        return super().execute(sql, values)

    def executemany(self, sql: str, rows: Any, /) -> sqlite3.Cursor:
        rows = list(rows)
        assert not (re.search(r"\?\d|:\w", sql) and any(isinstance(row, Sequence) for row in rows)), sql
        return super().executemany(sql, rows)


def test_no_place_with_a_number_or_a_name_is_filled_from_a_sequence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, factory=Strict))
    store, other = (JournalStore(str(tmp_path / name), "s") for name in ("one.sqlite", "other.sqlite"))
    assert isinstance(store._connection, Strict)
    store.begin(durable=True)
    other.begin(durable=True)
    for number, state in enumerate(ENDS):
        assert store.add(intent(number, number), once=True) == Added()
        assert store.sending(f"id-{number}", Reading(1.0))
        assert store.resolve(f"id-{number}", state, Reading(2.0))
    assert store.add(intent(100, 0), once=True).blocking is not None
    store.add(intent(101, 101, IntentState.SENT), once=False)
    assert store.close_abandoned("s", Reading(3.0)) == 1
    store.commit()
    assert other.take(store) == len(ENDS) + 1
    old = attrs.evolve(intent(0, 0), id="old", scope="", account="hash")
    other.add(old, once=False)
    assert other.assign(Writer("vendor", "1", "hash"), "hash") == 1
    other.commit()
    store.close()
    other.close()
