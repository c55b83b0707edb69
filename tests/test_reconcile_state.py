"""The state file: what is recorded stays, whatever happens next; nobody else gets in."""

from __future__ import annotations

import shutil
import sqlite3
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandapon_async.errors import ConfigurationError, ErrorKind
from pandapon_async.reconcile.run_store import Pending, RunStore
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource, Outcome
from pandapon_async.tables.open import file_digest


def row(number: int, refund_id: str | None = None, **facts: object) -> LedgerRow:
    return LedgerRow(row=number, platform="1688", refund_id=refund_id or f"TQ{number}", **facts)  # type: ignore[arg-type]


def lookup(outcome: Outcome = Outcome.FOUND, **facts: object) -> Lookup:
    return Lookup(outcome=outcome, **facts)  # type: ignore[arg-type]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "state.sqlite"


def test_facts_survive(path: Path) -> None:
    state = RunStore.open(path)
    assert state.get("digest") is None
    state.set({"digest": "ab", "options": {"map": {"金额": None}}})
    state.close()
    state.close()
    state = RunStore.open(path)
    assert (state.get("digest"), state.get("options")) == ("ab", {"map": {"金额": None}})
    state.close()
    assert [file.name for file in path.parent.iterdir()] == ["state.sqlite"]


def test_it_is_in_wal_mode_and_locked(path: Path) -> None:
    state = RunStore.open(path)
    assert state._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    with pytest.raises(ConfigurationError, match="another process has locked it"):
        RunStore.open(path)
    state.close()
    RunStore.open(path).close()


def test_a_state_of_the_third_format_keeps_its_lookups_and_says_that_they_have_no_freight(path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(FORMATS / "run-3.sqlite", path)
    state = RunStore.open(path)
    state.check(thorough=True)
    found = [looked_up for _, looked_up in state.joined() if looked_up is not None]
    assert Counter(one.outcome for one in found) == {Outcome.FOUND: 8, Outcome.MISSING: 1}
    assert {(one.applied_freight_fen, one.problems) for one in found} == {(None, None)}
    assert state.get("begun") is not None
    assert state.get("keeps_freight") is None
    state.close()


def test_a_state_of_the_sixth_format_has_single_lookups_alone(path: Path) -> None:
    path.parent.mkdir()
    shutil.copy(FORMATS / "run-6.sqlite", path)
    state = RunStore.open(path)
    state.check(thorough=True)
    found = {row.row: looked_up for row, looked_up in state.joined()}
    assert [looked_up and looked_up.outcome for looked_up in found.values()] == [*Outcome, None]
    assert {one.source for one in found.values() if one is not None} == {LookupSource.SINGLE}
    assert found[1] is not None
    assert (found[1].status, found[1].applied_fen, found[1].request_id) == ("20", 1200, "r1")
    state.record(3, lookup(source=LookupSource.LIST, looked_up_at="t"))
    assert [one.source for one in state.lookups_of([3])] == [LookupSource.LIST]
    assert (state.get("digest"), state.get("keeps_freight")) == ("ab" * 32, True)
    state.close()


def test_rows_come_back_in_order_with_their_lookups(path: Path) -> None:
    state = RunStore.open(path)
    rows = [
        row(2, shop="店", amount_fen=10**15, currency="CNY", status="x"),
        row(5),
        row(3, problem="no", column="a"),
    ]
    assert state.add_rows(rows) == 3
    kept = lookup(
        status="refundsuccess", applied_fen=1, retryable=False, request_id="r", attempts=2, looked_up_at="t"
    )
    state.record(5, kept)
    assert list(state.joined()) == [(rows[0], None), (rows[2], None), (rows[1], kept)]
    assert (state.to_look_up(), state.looked_up()) == (2, 1)
    state.close()


def test_later_rows_of_a_refund_are_duplicates(path: Path) -> None:
    state = RunStore.open(path)
    state.add_rows([row(1, "TQ1", problem="no amount"), row(2, "TQ1")])
    taobao = LedgerRow(row=4, platform="taobao", refund_id="TQ1")
    state.add_rows([row(3, "TQ1"), taobao, row(5, "TQ1")])
    assert [found.duplicate_of for found, _ in state.joined()] == [None, None, 2, None, 2]
    assert list(state.pending()) == [Pending(2, "1688", "TQ1"), Pending(4, "taobao", "TQ1")]
    state.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(st.lists(st.sampled_from(Outcome), max_size=12), st.integers(1, 4))
def test_nothing_finished_is_pending_again(tmp_path: Path, outcomes: list[Outcome], page: int) -> None:
    """Whatever was recorded before a stop, the next start asks for exactly the rest."""
    path = tmp_path / "state.sqlite"
    path.unlink(missing_ok=True)
    state = RunStore.open(path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pandapon_async.reconcile.run_store.PAGE", page)
        state.add_rows(row(number) for number in range(1, 16))
        for item, outcome in zip(state.pending(), outcomes, strict=False):
            state.record(item.row, lookup(outcome, retryable=True))
        state.close()
        state = RunStore.open(path)
        failed = [at for at, outcome in enumerate(outcomes, start=1) if outcome is Outcome.FAILED]
        assert [item.row for item in state.failed_in_passing()] == failed
        assert state.passing_failures() == len(failed) == state.forget_failures()
        assert [item.row for item in state.pending()] == failed + list(range(len(outcomes) + 1, 16))
        state.close()


def test_what_cannot_pass_is_not_asked_a_second_time(path: Path) -> None:
    state = RunStore.open(path)
    state.add_rows([row(1), row(2)])
    state.record(1, lookup(Outcome.FAILED, retryable=True))
    state.record(2, lookup(Outcome.FAILED, retryable=False))
    asked = []
    for item in state.failed_in_passing():
        asked.append(item.row)
        state.record(item.row, lookup(Outcome.FAILED, retryable=True))
    assert asked == [1]
    state.close()


def test_a_transaction_is_all_or_nothing(path: Path) -> None:
    state = RunStore.open(path)
    with pytest.raises(sqlite3.IntegrityError):
        state.add_rows([row(1), row(2), row(1)])
    assert list(state.joined()) == []
    state.add_rows([row(1)])
    state.forget_rows()
    state.add_rows([row(1)])
    assert [found.duplicate_of for found, _ in state.joined()] == [None]
    state.set({"digest": "x"})
    state.clear()
    assert state.get("digest") is None
    assert state.to_look_up() == 0
    state.close()


def test_other_files_are_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"platform,refund_id\n" * 100)
    with pytest.raises(ConfigurationError, match="it is not a SQLite database"):
        RunStore.open(path)
    path.unlink()
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE accounts (name)")
    other.close()
    with pytest.raises(ConfigurationError, match="another kind of database"):
        RunStore.open(path)


def test_another_version_is_refused(path: Path) -> None:
    RunStore.open(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(
        ConfigurationError, match="has format 99; this version of pandapon-async reads up to format 7"
    ):
        RunStore.open(path)


FORMATS = Path(__file__).parent / "data" / "formats"


def test_a_state_of_the_first_format_is_read_and_counts_the_same(path: Path) -> None:
    """Written by a run of the first edition over run-1-ledger.csv; one of its lookups had failed."""
    path.parent.mkdir()
    shutil.copy(FORMATS / "run-1.sqlite", path)
    state = RunStore.open(path)
    found = {row.row: looked_up for row, looked_up in state.joined()}
    assert len(found) == 11
    outcomes = Counter(looked_up and looked_up.outcome for looked_up in found.values())
    assert outcomes == {Outcome.FOUND: 7, Outcome.MISSING: 1, Outcome.FAILED: 1, None: 2}
    failed = found[4]
    assert failed is not None
    assert (failed.error, failed.error_kind, failed.retryable) == (
        "lookup failed: connection lost",
        ErrorKind.OTHER,
        True,
    )
    assert state.get("digest") == file_digest(FORMATS / "run-1-ledger.csv")
    state.close()
    RunStore.open(path).close()
