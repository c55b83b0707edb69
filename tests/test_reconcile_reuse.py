"""What is final stays final: earlier lookups are used again, within limits, and the verdicts are the same."""

from __future__ import annotations

import asyncio
import csv
import itertools
import sqlite3
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pandapon_async import Client, ConfigurationError, Credentials, InvalidArgumentError
from pandapon_async.core.codes import Codes
from pandapon_async.core.retry import RetryPolicy
from pandapon_async.progress import NullProgress
from pandapon_async.reconcile import (
    LedgerRow,
    Lookup,
    LookupSource,
    Options,
    Outcome,
    Summary,
    Verdict,
    reconcile,
)
from pandapon_async.reconcile.lookup_store import LookupStore, LookupsUnusableError, Scope
from pandapon_async.reconcile.reuse import changed, is_settled
from pandapon_async.sandbox import Sandbox
from pandapon_async.settings import Settings
from tests.support.examples import examples
from tests.support.virtual import virtual_time
from tests.test_reconcile_job import (
    FreshClock,
    Stopper,
    client,
    read_rows,
    refunds_asked,
    sandbox,
    write_ledger,
)

AS_OF = datetime(2024, 1, 1, tzinfo=UTC)
DAY = 86_400.0
ROWS = examples(150, 300)
MONTH = timedelta(days=30)


def options(**changes: Any) -> Options:
    return Options(**{"as_of": AS_OF, "reuse_final": MONTH, "accept_missing": True, **changes})


def plain(**changes: Any) -> Options:
    return options(reuse_final=None, **changes)


async def night(
    server: Sandbox, ledger: Path, out: Path, given: Options | None = None, **changes: Any
) -> Summary:
    """A run with a client of its own, as every night has; and a day passes."""
    async with client(server, **changes) as pandapon:
        summary = await reconcile(pandapon, ledger, out, options=given or options())
    await asyncio.sleep(DAY)
    return summary


def sources(out: Path) -> Counter[str]:
    return Counter(row["source"] for row in read_rows(out))


def rewrite(ledger: Path, change: Callable[[int, dict[str, str]], None]) -> None:
    """Change rows of a ledger; a comment of the night makes it another file in any case."""
    with ledger.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for number, row in enumerate(rows, start=2):
        change(number, row)
    with ledger.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def another_night(ledger: Path) -> None:
    """The same refunds in another file, as a ledger is another one every night."""
    rewrite(ledger, lambda number, row: row.update(shop=row["shop"] + "'"))


@virtual_time
async def test_the_second_night_looks_up_only_what_is_not_final(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with sandbox(ROWS) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        first = await night(server, ledger, out)
        one = {row["refund_id"]: row for row in read_rows(out)}
        another_night(ledger)
        seen = len(server.log)
        second = await night(server, ledger, out)
        asked = len(server.log) - seen
        expected = await night(server, ledger, tmp_path / "plain", plain())
    assert first.run["calls_saved"] == {"list": 0, "reuse": 0, "push": 0}
    assert second.rows_digest == expected.rows_digest
    saved = second.run["calls_saved"]["reuse"]
    assert asked + saved == first.run["calls"] == second.run["calls"] + saved
    assert second.run["lookups"] == asked
    assert 0.5 < saved / first.run["calls"] < 0.65
    assert second.run["reuse"]["final"] == saved
    for row in read_rows(out):
        if row["source"] == LookupSource.REUSED:
            assert row["looked_up_at"] == one[row["refund_id"]]["looked_up_at"]
            assert DAY <= int(row["lookup_age_s"]) < DAY + 10
            assert row["upstream_status"] in ("refundsuccess", "refundclose", "100", "-20")
    assert sources(out)["reused"] == saved
    assert second.run["oldest_lookup_age_s"] is None or second.run["oldest_lookup_age_s"] >= DAY


@virtual_time
async def test_a_row_of_which_the_ledger_says_something_else_is_looked_up(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def change(number: int, row: dict[str, str]) -> None:
        if number % 3 == 0 and row["amount_fen"].isdecimal():
            row["amount_fen"] = str(int(row["amount_fen"]) + 1)
        if number % 3 == 1:
            row["status"] = "-20" if row["platform"] == "taobao" else "refundclose"

    async with sandbox(ROWS) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await night(server, ledger, out)
        before = {row["row"]: row for row in read_rows(out)}
        rewrite(ledger, change)
        await night(server, ledger, out)
    for row in read_rows(out):
        then = before[row["row"]]
        same = all(row[name] == then[name] for name in ("ledger_amount_fen", "ledger_status"))
        if row["source"] == "reused":
            assert same
    assert ROWS / 10 < sources(out)["reused"] < ROWS * 0.3


ELSEWHERE: dict[str, Callable[[Sandbox], dict[str, Any]]] = {
    "another user": lambda server: {"credentials": attrs.evolve(server.credentials, user_id="2")},
    "another profile": lambda server: {"codes": Codes(not_found=(404, 500))},
    "another vendor": lambda server: {"vendor_id": "gateway"},
}


@pytest.mark.parametrize("where", ELSEWHERE)
@virtual_time
async def test_nothing_is_used_of_another_vendor_account_or_profile(tmp_path: Path, where: str) -> None:
    async with sandbox(60) as server:
        server.admit(attrs.evolve(server.credentials, user_id="2"))
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        first = await night(server, ledger, tmp_path / "out")
        second = await night(server, ledger, tmp_path / "out", **ELSEWHERE[where](server))
        third = await night(server, ledger, tmp_path / "out")
    assert second.run["calls_saved"]["reuse"] == 0
    assert second.run["lookups"] == first.run["lookups"]
    assert third.run["calls_saved"]["reuse"] > 20, "and what is known of the first is still there"


@virtual_time
async def test_only_a_complete_run_is_remembered(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with sandbox(60, faults="error_502_html:1:endpoint=*taobao.refunds.get") as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, retry=RetryPolicy(attempts=1)) as pandapon:
            first = await reconcile(pandapon, ledger, out, options=options())
            await asyncio.sleep(DAY)
            second = await reconcile(pandapon, ledger, out, options=options())
    assert first.exit_code == second.exit_code == 3
    assert second.run["calls_saved"]["reuse"] == 0


@pytest.mark.nightly
@virtual_time
async def test_ages_end_spread_over_the_last_third_of_the_span(tmp_path: Path) -> None:
    async with sandbox(ROWS) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await night(server, ledger, tmp_path / "0")
        expired = []
        for number in range(1, 35):
            given = options(lookups=tmp_path / "0" / "lookups.sqlite", recheck=0.001)
            out = tmp_path / str(number)
            summary = await night(server, ledger, out, given)
            expired.append(summary.run["reuse"]["expired"])
    assert not any(expired[:19])
    assert sum(expired[19:30]) >= ROWS / 2
    assert max(expired[:30]) < ROWS / 7, "not all in one night"


@virtual_time
async def test_a_sample_is_looked_up_all_the_same_another_one_every_night(tmp_path: Path) -> None:
    samples: list[set[str]] = []
    given = options(recheck=20)
    async with sandbox(examples(200, ROWS)) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        ids = [row["refund_id"] for row in server.ledger_rows()]
        await night(server, ledger, tmp_path / "out", given)
        for _ in range(3):
            seen = len(server.log)
            summary = await night(server, ledger, tmp_path / "out", given)
            rechecked = summary.run["reuse"]["rechecked"]
            samples.append(set(refunds_asked(server, ids, seen)[:rechecked]))
            assert 0.1 < rechecked / (rechecked + summary.run["reuse"]["final"]) < 0.3
    assert all(one != other for one, other in itertools.pairwise(samples))


def finals(server: Sandbox, platform: str) -> list[int]:
    """The numbers of refunds that a verdict can be made of and that have ended."""
    rows = list(server.ledger_rows())
    truth = list(server.truth())
    found = []
    for number, row in enumerate(rows):
        refund = server.refund(number)
        if row["platform"] == platform == refund.platform and truth[number] == "matched" and not refund.open:
            found.append(number)
    return found


def unlike(server: Sandbox, number: int) -> Any:
    refund = server.refund(number)
    if refund.platform == "taobao":
        return 100 if refund.status == -20 else -20
    return "refundsuccess" if refund.status == "refundclose" else "refundclose"


class Notes(NullProgress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.mark.parametrize("platform", ["taobao", "1688"])
@virtual_time
async def test_one_final_refund_that_changed_ends_reuse_for_its_platform(
    tmp_path: Path, platform: str
) -> None:
    """Every tenth is looked up all the same; half of the finals have changed, so some are among those."""
    out, notes = tmp_path / "out", Notes()
    async with sandbox(ROWS) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await night(server, ledger, out)
        for number in finals(server, platform)[::2]:
            server.reopen(number, unlike(server, number), silently=True)
        async with client(server) as pandapon:
            summary = await reconcile(pandapon, ledger, out, options=options(recheck=10), progress=notes)
        expected = await night(server, ledger, tmp_path / "plain", plain())
        again = await night(server, ledger, out, options(recheck=10))
    assert summary.rows_digest == expected.rows_digest
    assert summary.verdicts[Verdict.STATUS_DRIFT] > ROWS / 15
    assert summary.run["reuse"]["ended"] == [platform]
    assert {one["platform"] for one in summary.run["reuse"]["changed"]} == {platform}
    left = Counter(row["platform"] for row in read_rows(out) if row["source"] == "reused")
    assert set(left) == {"taobao", "1688"} or left[platform] == 0
    told = [text for text in notes.texts if "WARNING" in text]
    assert len(told) == 1
    assert summary.run["reuse"]["changed"][0]["refund_id"] in told[0]
    assert again.run["reuse"]["ended"] == [], "what was found out is known to the next night"
    assert again.rows_digest == expected.rows_digest


@virtual_time
async def test_what_the_sample_misses_is_found_within_the_span(tmp_path: Path) -> None:
    out, found = tmp_path / "out", 0
    async with sandbox(20) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        await night(server, ledger, out)
        number = finals(server, "taobao")[0]
        server.reopen(number, unlike(server, number), silently=True)
        refund_id = server.refund(number).refund_id
        summary = None
        for nights in range(1, 40):
            summary = await night(server, ledger, out, options(recheck=0.001))
            if summary.run["reuse"]["ended"]:
                found = nights
                break
            (row,) = (row for row in read_rows(out) if row["refund_id"] == refund_id)
            assert (row["source"], row["verdict"]) == ("reused", "matched")
            assert int(row["lookup_age_s"]) >= nights * DAY
    assert 20 <= found <= 30
    assert summary is not None
    assert summary.run["reuse"]["changed"] == [{"platform": "taobao", "refund_id": refund_id}]
    assert summary.verdicts[Verdict.STATUS_DRIFT] > 0


@settings(
    max_examples=examples(5, 30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stops=st.lists(st.integers(1, 70) | st.sampled_from(["reading", "writing"]), max_size=4),
    recheck=st.sampled_from([0.001, 1, 30, 100]),
    turned=st.lists(st.integers(0, 30), max_size=3),
    seed=st.integers(0, 20),
)
def test_cut_off_anywhere_it_comes_to_what_a_plain_run_comes_to(
    tmp_path_factory: pytest.TempPathFactory,
    stops: list[int | str],
    recheck: float,
    turned: list[int],
    seed: int,
) -> None:
    """Nothing changed but what was looked up again; and every change that was found out ends the reuse."""
    folder = tmp_path_factory.mktemp("nights")

    async def nights() -> None:
        server = Sandbox(refunds=examples(50, 80), seed=seed, clock=FreshClock(), sleep=asyncio.sleep)
        async with server:
            ledger = write_ledger(folder / "ledger.csv", server)
            await night(server, ledger, folder / "out", options(recheck=recheck))
            candidates = [*finals(server, "taobao"), *finals(server, "1688")]
            if recheck == 100:  # then every change is found
                for at in turned:
                    number = candidates[at % len(candidates)]
                    server.reopen(number, unlike(server, number), silently=True)
            given = options(recheck=recheck)
            for stop in stops:
                async with client(server, concurrency=4) as pandapon:
                    task = asyncio.create_task(
                        reconcile(pandapon, ledger, folder / "out", options=given, progress=Stopper(stop))
                    )
                    await asyncio.wait([task])
            summary = await night(server, ledger, folder / "out", given)
            expected = await night(server, ledger, folder / "plain", plain())
            assert summary.rows_digest == expected.rows_digest

    virtual_time(nights)()


def lookup(**facts: Any) -> Lookup:
    return Lookup(**{"outcome": Outcome.FOUND, "status": "100", "applied_fen": 1, **facts})


@pytest.mark.parametrize(
    ("platform", "facts", "settled"),
    [
        ("taobao", {}, True),
        ("taobao", {"status": "-20"}, True),
        ("taobao", {"status": "-10"}, False),
        ("taobao", {"status": "0"}, False),
        ("taobao", {"status": "77"}, False),
        ("taobao", {"status": None}, False),
        ("taobao", {"applied_fen": None}, False),
        ("taobao", {"problems": "$.x"}, False),
        ("taobao", {"outcome": Outcome.MISSING}, False),
        ("1688", {"status": "refundsuccess", "refunded_fen": 1}, True),
        ("1688", {"status": "refundsuccess"}, False),
        ("1688", {"status": "refundclose"}, True),
        ("1688", {"status": "waitbuyermodify"}, False),
    ],
)
def test_settled_is_only_what_cannot_change(platform: Any, facts: dict[str, Any], settled: bool) -> None:
    assert is_settled(platform, lookup(**facts)) is settled


def test_changed_is_whatever_a_verdict_could_see() -> None:
    one = lookup(refunded_fen=1, applied_freight_fen=0, refunded_freight_fen=0, currency=None, deadline="a")
    for name in ("applied_fen", "refunded_fen", "applied_freight_fen", "refunded_freight_fen"):
        assert changed("taobao", one, attrs.evolve(one, **{name: 7})), name  # type: ignore[arg-type]
    for facts in ({"status": "-20"}, {"outcome": Outcome.MISSING}, {"currency": "USD"}):
        assert changed("taobao", one, attrs.evolve(one, **facts))
    for same in ({"currency": "CNY"}, {"deadline": "b"}, {"request_id": "x"}, {"attempts": 3}):
        assert not changed("taobao", one, attrs.evolve(one, **same))
    waiting = attrs.evolve(one, status="20")
    assert changed("taobao", waiting, attrs.evolve(waiting, deadline="b"))


SCOPE = Scope("scope", "key")


def remember(store: LookupStore, number: int, at: str, **facts: Any) -> None:
    row = LedgerRow(
        row=2, platform="taobao", refund_id=str(number), amount_fen=5, order_id=facts.pop("order_id", None)
    )
    store.remember([(row, lookup(looked_up_at=at, **facts))], lambda _: SCOPE.digest, "", lambda: None)


def test_a_run_that_took_longer_does_not_overwrite_a_later_lookup(tmp_path: Path) -> None:
    early, late = "2024-01-01T00:00:00.000+00:00", "2024-01-01T05:00:00.000+00:00"
    with closing(LookupStore.open(tmp_path / "lookups.sqlite")) as store:
        remember(store, 1, late, status="-20")
        remember(store, 1, early)
        remember(store, 1, early, outcome=Outcome.MISSING)
        known = store.find("scope", "taobao", "1")
        assert known is not None
        assert (known.lookup.status, known.lookup.looked_up_at) == ("-20", late)
        remember(store, 1, late.replace("05", "06"), outcome=Outcome.MISSING)
        assert store.find("scope", "taobao", "1") is None


def test_a_lookup_from_a_clock_that_was_ahead_does_not_outlast_later_ones(tmp_path: Path) -> None:
    ahead, late = "2024-01-02T00:00:00.000+00:00", "2024-01-01T05:00:00.000+00:00"
    with closing(LookupStore.open(tmp_path / "lookups.sqlite")) as store:
        remember(store, 1, ahead)
        remember(store, 2, ahead)
        row = LedgerRow(row=2, platform="taobao", refund_id="1", amount_fen=5)
        now = [(row, lookup(looked_up_at=late, status="-20"))]
        store.remember(now, lambda _: SCOPE.digest, "", lambda: None, "2024-01-01T06:00:00.000+00:00")
        known = store.find("scope", "taobao", "1")
        assert known is not None
        assert (known.lookup.status, known.lookup.looked_up_at) == ("-20", late)
        assert store.find("scope", "taobao", "2") is None


def test_old_lookups_leave_the_file(tmp_path: Path) -> None:
    with closing(LookupStore.open(tmp_path / "lookups.sqlite")) as store:
        remember(store, 1, "2024-01-01T00:00:00.000+00:00")
        remember(store, 2, "2025-01-01T00:00:00.000+00:00")
        store.remember([], lambda _: SCOPE.digest, "2024-06-01T00:00:00.000+00:00", lambda: None)
        assert [refund_id for _, _, refund_id in store.known()] == ["2"]


def test_a_lookup_that_was_changed_on_the_disk_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "lookups.sqlite"
    with closing(LookupStore.open(path)) as store:
        remember(store, 1, "2024-01-01T00:00:00.000+00:00")
    assert path.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE lookups SET applied_fen = 2")
        db.commit()
    with closing(LookupStore.open(path)) as store:
        assert store.find("scope", "taobao", "1") is None


@virtual_time
async def test_a_file_of_lookups_that_cannot_be_used_is_named_before_anything_is_looked_up(
    tmp_path: Path,
) -> None:
    async with sandbox(60) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        path = tmp_path / "lookups.sqlite"
        path.write_bytes(b"not a database at all" * 300)
        with pytest.raises(LookupsUnusableError, match=r"lookups file .*lookups\.sqlite cannot be opened"):
            await night(server, ledger, tmp_path / "out", options(lookups=path))
        with pytest.raises(ConfigurationError, match="nothing"):
            await night(server, ledger, tmp_path / "out", options(callbacks=tmp_path / "nothing.sqlite"))
        assert not server.log


@virtual_time
async def test_a_full_disk_at_the_end_costs_only_what_the_next_night_could_have_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = Notes()

    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    async with sandbox(60) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        monkeypatch.setattr(LookupStore, "_keep", full)
        async with client(server) as pandapon:
            summary = await reconcile(pandapon, ledger, tmp_path / "out", options=options(), progress=notes)
        monkeypatch.undo()
        await asyncio.sleep(DAY)
        second = await night(server, ledger, tmp_path / "out")
    assert summary.exit_code == 1
    assert any("the lookups file" in text for text in notes.texts)
    assert second.run["calls_saved"]["reuse"] == 0


@pytest.mark.parametrize(
    "given",
    [
        {"reuse_final": timedelta(0)},
        {"reuse_final": timedelta(days=400)},
        {"recheck": 0},
        {"recheck": 101},
        {"recheck": True},
    ],
)
def test_what_cannot_work_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match=next(iter(given))):
        Options(**given)


def test_a_scope_tells_whose_lookups_they_are_and_holds_no_secret(tmp_path: Path) -> None:
    def scope(credentials: Credentials, **changes: Any) -> str:
        return Scope.of(Client(credentials, Settings(base_url="https://h/", **changes))).digest

    one = Credentials(access_key="key-1", access_secret="secret-1", user_id="7")
    assert scope(one) == scope(attrs.evolve(one, access_secret="rotated"))
    assert scope(one) == scope(one, rate=7, timeout=3.0)
    others = [attrs.evolve(one, access_key="key-2"), attrs.evolve(one, user_id="8")]
    assert len({scope(one), *map(scope, others), scope(one, vendor_id="x"), scope(one, freight="added")}) == 5
    assert "key-1" not in repr(Scope.of(Client(one)))
