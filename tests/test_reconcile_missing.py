"""Refunds that the ledger lacks: all of them found, none invented, whatever the list is like."""

from __future__ import annotations

import asyncio
import csv
import json
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import attrs
import openpyxl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import InvalidArgumentError, ListFacts, VendorProfile
from pandapon_async.callbacks import MessageState, MessageStore
from pandapon_async.callbacks.store import Entry
from pandapon_async.reconcile import LackingVerdict, MissingSummary, Options, Summary, reconcile
from pandapon_async.reconcile.find_missing import Finding, Lacking, MissingRange, judge_lacking
from pandapon_async.reconcile.list_store import Listed
from pandapon_async.reconcile.list_windows import DAY_MS, start_of
from pandapon_async.reconcile.looking_up import seconds_to_write
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, Outcome
from pandapon_async.sandbox import Fault, FaultKind, ListShape, Sandbox, chaos
from pandapon_async.sandbox.ledger import SHOPS
from tests.support.examples import examples
from tests.support.plan_files import write_table
from tests.support.virtual import virtual_time
from tests.test_reconcile_job import client, read_rows, sandbox, verdicts

REFUNDS = examples(500, 1200)
EVERY = examples(20, 40)
AT_NIGHT = examples(0, 1) == 1
nightly = pytest.mark.nightly
FIND = Options(find_missing=True, whole_account=True)
BOTH = Options(find_missing=True, whole_account=True, by_list=True)
INNER = (1_688_140_800_000 + 86_400_000, 1_688_140_800_000 + 44 * 86_400_000)
"""Applied from 2 July to 13 August 2023: the ledger begins on 1 July and ends on 14 August."""


def ledger_without(path: Path, server: Sandbox) -> Path:
    """The ledger without every so many Taobao refunds, but for those of its first and its last day.

    By day its rows are those of Taobao alone, as 1688 has no list.
    """
    rows = [
        row
        for number, row in enumerate(server.ledger_rows())
        if (number % (2 * EVERY) != 1 or not INNER[0] <= server.refund(number).applied_ms < INNER[1])
        and (AT_NIGHT or row["platform"] == "taobao")
    ]
    return write_table(path, rows)


def lacking(server: Sandbox, ledger: Path) -> tuple[set[str], set[str]]:
    """The truth: the Taobao refunds that no row names, inside the time and in the days at its edges."""
    with ledger.open(encoding="utf-8", newline="") as file:
        named = {row["refund_id"] for row in csv.DictReader(file)}
    absent = [
        server.refund(number)
        for number in range(1, REFUNDS, 2)
        if server.refund(number).refund_id not in named
    ]
    inner = {one.refund_id for one in absent if INNER[0] <= one.applied_ms < INNER[1]}
    return inner, {one.refund_id for one in absent} - inner


def told(out: Path) -> dict[str, set[str]]:
    """The refunds in missing.csv, by verdict."""
    found: dict[str, set[str]] = {str(verdict): set() for verdict in LackingVerdict}
    with (out / "missing.csv").open(encoding="utf-8-sig", newline="") as file:
        for row in csv.DictReader(file):
            found[row["verdict"]].add(row["refund_id"].strip('="'))
    return found


async def find(
    tmp_path: Path,
    server: Sandbox,
    ledger: Path,
    options: Options = FIND,
    profile: VendorProfile | None = None,
) -> tuple[Summary, MissingSummary]:
    settings: dict[str, Any] = {} if profile is None else {"vendor": profile}
    async with client(server, **settings) as pandapon:
        summary = await reconcile(pandapon, ledger, tmp_path / "out", options=options)
    assert summary.missing is not None
    return summary, summary.missing


SHAPES = {
    "as single answers": (ListFacts(), ListShape()),
    "a bare list, capped, without totals": (ListFacts(), ListShape(answer="array", total="none", deepest=60)),
    "the fields at once, in seconds": (
        ListFacts(unit="s", first_page=0, items="refundPage", largest_page=20),
        ListShape(item="flat", total="low", beyond="repeat"),
    ),
    "ids alone, by the time of change": (ListFacts(time="modified"), ListShape(item="ids", beyond="refuse")),
    "invents": (ListFacts(time="applied"), ListShape(invents=100)),
    "old states": (ListFacts(time="applied"), ListShape(stale=400, wrong=300)),
}


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *(pytest.param(name, FIND, id=f"{name}, alone") for name in SHAPES),
        pytest.param("as single answers", BOTH, id="as single answers, by list"),
        pytest.param("invents", BOTH, id="invents, by list"),
        *(
            pytest.param(name, BOTH, id=f"{name}, by list", marks=nightly)
            for name in SHAPES
            if name not in ("as single answers", "invents")
        ),
    ],
)
@virtual_time
async def test_what_the_ledger_lacks_is_found_and_nothing_else(
    tmp_path: Path, name: str, options: Options
) -> None:
    facts, shape = SHAPES[name]
    profile = VendorProfile(list=facts)
    async with sandbox(REFUNDS, profile=profile, lists=shape) as server:
        ledger = ledger_without(tmp_path / "ledger.csv", server)
        inner, edge = lacking(server, ledger)
        assert len(inner) >= REFUNDS // 60
        summary, missing = await find(tmp_path, server, ledger, options, profile)
    found = told(tmp_path / "out")
    assert found["missing_local"] | found["edge"] == inner | edge
    if facts.time == "modified" and shape.item == "ids":  # nobody says when they were applied for
        assert found["missing_local"] == set()
    else:
        assert found["missing_local"] == inner
    assert (found["unverified"], missing.asks, missing.incomplete) == (set(), False, ())
    assert missing.verdicts[LackingVerdict.MISSING_LOCAL] == len(found["missing_local"])
    assert (missing.invented > 0) is (name == "invents")
    assert summary.exit_code == 1


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("as single answers", marks=nightly),
        pytest.param("a bare list, capped, without totals", marks=nightly),
        "invents",
    ],
)
@virtual_time
async def test_faults_and_kills_hide_nothing_and_invent_nothing(tmp_path: Path, name: str) -> None:
    """Cut off four times on the way, through faults; the last run finds all of it."""
    facts, shape = SHAPES[name]
    profile, out = VendorProfile(list=facts), tmp_path / "out"
    async with sandbox(REFUNDS, profile=profile, lists=shape, faults=chaos(0.05)) as server:
        ledger = ledger_without(tmp_path / "ledger.csv", server)
        inner, edge = lacking(server, ledger)
        for more in (30, 20, REFUNDS // 6, REFUNDS // 3):
            async with client(server, vendor=profile) as pandapon:
                running = asyncio.ensure_future(reconcile(pandapon, ledger, out, options=BOTH))
                end = len(server.log) + more
                while len(server.log) < end and not running.done():  # noqa: ASYNC110 (virtual time)
                    await asyncio.sleep(0.01)
                running.cancel()
                await asyncio.wait([running])
        for _ in range(6):
            summary, missing = await find(tmp_path, server, ledger, BOTH, profile)
            if summary.exit_code != 3:
                break
    found = told(out)
    assert (found["missing_local"], found["edge"], found["unverified"]) == (inner, edge, set())
    assert (summary.exit_code, missing.incomplete) == (1, ())


@virtual_time
async def test_the_ledger_of_one_shop_of_three_is_asked_about(tmp_path: Path) -> None:
    async with sandbox(REFUNDS) as server:
        shops = [row for row in server.ledger_rows() if SHOPS.index(row["shop"]) < 2]
        rows = [row for row in shops if AT_NIGHT or row["platform"] == "taobao"]
        ledger = write_table(tmp_path / "ledger.csv", rows)
        summary, missing = await find(tmp_path, server, ledger)
        asked = {one.path.partition("refundId=")[2] for one in server.log}
        ids = {row["refund_id"] for row in rows}
        assert {one for one in asked if one} <= ids, "nothing that lacks was looked up"
        assert (missing.asks, missing.looked_up, summary.exit_code) == (True, False, 3)
        assert 0.6 < missing.lacking / missing.named < 0.75
        assert told(tmp_path / "out")["missing_local"] == set()
        page = (tmp_path / "out" / "report.html").read_text("utf-8")
        assert "Is it complete, and of the whole account?" in page
        assert "--accept-missing looks them up" in page
        options = attrs.evolve(FIND, accept_missing=True)
        summary, missing = await find(tmp_path, server, ledger, options)
        assert told(tmp_path / "out")["missing_local"] == lacking(server, ledger)[0]
    assert (missing.asks, missing.looked_up, summary.exit_code) == (True, True, 1)


@virtual_time
async def test_a_list_that_leaves_out_what_exists_is_no_proof_that_nothing_lacks(tmp_path: Path) -> None:
    async with sandbox(REFUNDS, lists=ListShape(leaves_out=100)) as server:
        ledger = ledger_without(tmp_path / "ledger.csv", server)
        summary, missing = await find(tmp_path, server, ledger)
        assert told(tmp_path / "out")["missing_local"] <= lacking(server, ledger)[0]
    (why,) = missing.incomplete
    assert "the list leaves out" in why
    assert summary.exit_code == 3


@pytest.mark.parametrize("shape", [ListShape(ignores_window=True), ListShape(answer="array", item="ids")])
@virtual_time
async def test_a_list_that_cannot_be_read_is_told(tmp_path: Path, shape: ListShape) -> None:
    faults = [] if shape.ignores_window else [Fault(FaultKind.ERROR_500, 1.0, "*.taobao.refunds.page")]
    async with sandbox(100, lists=shape, faults=faults) as server:
        ledger = write_table(tmp_path / "ledger.csv", server.ledger_rows())
        summary, missing = await find(tmp_path, server, ledger)
        assert verdicts(tmp_path / "out") == list(server.truth())
    assert missing.incomplete
    assert summary.exit_code == 3


@virtual_time
async def test_all_files_tell_it(tmp_path: Path) -> None:
    async with sandbox(REFUNDS) as server:
        ledger = ledger_without(tmp_path / "ledger.csv", server)
        summary, missing = await find(tmp_path, server, ledger, attrs.evolve(FIND, language="zh"))
        inner, _ = lacking(server, ledger)
        by_id = {one.refund_id: one for one in map(server.refund, range(1, REFUNDS, 2))}
    out = tmp_path / "out"
    assert (out / "missing.csv").read_bytes().startswith(b"\xef\xbb\xbfverdict,reason,")
    with (out / "missing.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["verdict"] == "missing_local"]
    for row in rows:
        refund = by_id[row["refund_id"].strip('="')]
        assert (
            row["platform_amount_yuan"] == f"{refund.apply_payment // 100}.{refund.apply_payment % 100:02d}"
        )
        assert row["platform_status"] == str(refund.status)
        assert datetime.fromisoformat(row["applied_from"]).timestamp() * 1000 <= refund.applied_ms
        assert refund.applied_ms <= datetime.fromisoformat(row["applied_until"]).timestamp() * 1000
        assert row["request_id"]
        assert row["looked_up_at"]
    told_there = json.loads((out / "summary.json").read_text("utf-8"))["missing_local"]
    assert told_there["verdicts"]["missing_local"] == len(inner) == len(rows)
    assert told_there["amounts_fen"] == {"CNY": sum(by_id[one].apply_payment for one in inner)}
    assert (told_there["since"], told_there["until"]) == ("2023-07-01", "2023-08-14")
    page = (out / "report.html").read_text("utf-8")
    assert "账本缺少的退款" in page
    assert f"账本缺少平台上的 {len(inner)} 笔退款" in page
    assert all(one in page for one in inner)
    book = openpyxl.load_workbook(out / "report.xlsx")
    cells = {cell.value for line in book["账本缺少"].iter_rows() for cell in line}
    assert inner <= cells
    assert summary.to_dict()["missing_local"] == told_there
    assert missing.outside == 0
    # a run that does not search leaves no file of an earlier one behind
    async with sandbox(REFUNDS) as server, client(server) as pandapon:
        later = await reconcile(pandapon, ledger, out)
    assert (later.missing, (out / "missing.csv").exists()) == (None, False)


@virtual_time
async def test_the_days_that_are_said_are_searched(tmp_path: Path) -> None:
    async with sandbox(REFUNDS) as server:
        ledger = ledger_without(tmp_path / "ledger.csv", server)
        inner, edge = lacking(server, ledger)
        days = {one.refund_id: day_of(one.applied_ms) for one in map(server.refund, range(1, REFUNDS, 2))}
        first = min(days[one] for one in inner)  # so that one of the refunds is at an edge
        last = first + timedelta(days=10)
        options = attrs.evolve(FIND, since=first, until=last)
        _, missing = await find(tmp_path, server, ledger, options)
    found = told(tmp_path / "out")
    assert found["missing_local"] == {one for one in inner | edge if first < days[one] < last}
    assert found["edge"] == {one for one in inner | edge if days[one] in (first, last)}
    assert found["missing_local"]
    assert found["edge"]
    assert missing.named < REFUNDS / 5


def day_of(milliseconds: int) -> date:
    return (datetime.fromtimestamp(milliseconds / 1000, UTC) + timedelta(hours=8)).date()


@virtual_time
async def test_without_dates_nothing_is_sent(tmp_path: Path) -> None:
    async with sandbox(40) as server:
        rows = [{**row, "applied_at": ""} for row in server.ledger_rows()]
        ledger = write_table(tmp_path / "ledger.csv", rows)
        async with client(server) as pandapon:
            with pytest.raises(InvalidArgumentError, match="--since 2026-01-31"):
                await reconcile(pandapon, ledger, tmp_path / "out", options=FIND)
            options = attrs.evolve(FIND, since=date(2023, 7, 1))
            with pytest.raises(InvalidArgumentError, match="--until 2026-01-31"):
                await reconcile(pandapon, ledger, tmp_path / "out", options=options)
        wild = write_table(
            tmp_path / "wild.csv", [{**row, "applied_at": f"20{row['refund_id'][-2:]}-01-01"} for row in rows]
        )
        async with client(server) as pandapon:
            with pytest.raises(InvalidArgumentError, match="more than 730 days"):
                await reconcile(pandapon, wild, tmp_path / "out", options=FIND)
        assert server.counters.requests == 0


MOMENTS = st.one_of(
    st.none(), st.integers(0, 12).map(lambda days: start_of(date(2023, 7, 1)) + days * DAY_MS)
)


@given(MOMENTS, MOMENTS, MOMENTS, st.sampled_from([*Outcome, None]), st.booleans())
def test_a_lacking_refund_is_missing_only_if_it_surely_belongs_to_the_time(
    earliest: int | None, latest: int | None, created: int | None, outcome: Outcome | None, applied: bool
) -> None:
    """The time is 3 to 9 July, so that 4 to 8 July are inside."""
    asked = MissingRange(date(2023, 7, 3), date(2023, 7, 9))
    lookup = None if outcome is None else Lookup(outcome=outcome, applied_fen=5)
    one = Listed("taobao", "1", None, earliest, latest, created, lookup)
    found = judge_lacking(one, asked, applied=applied)
    if outcome is Outcome.MISSING:
        assert found is None
    elif outcome is not Outcome.FOUND:
        assert found is not None
        assert found.verdict is LackingVerdict.UNVERIFIED
    else:
        first = earliest if applied else created
        inside = start_of(date(2023, 7, 4)), start_of(date(2023, 7, 9))
        surely = first is not None and latest is not None and inside[0] <= first <= latest <= inside[1]
        assert (found is not None and found.verdict is LackingVerdict.MISSING_LOCAL) is surely
        beyond = first is not None and first >= start_of(date(2023, 7, 10))
        before = latest is not None and latest < start_of(date(2023, 7, 3))
        assert (found is None) is (beyond or before)


@virtual_time
async def test_a_search_that_was_stopped_in_time_says_so(tmp_path: Path) -> None:
    async with sandbox(REFUNDS, rate=20) as server:
        ledger = ledger_without(tmp_path / "ledger.csv", server)
        async with client(server, rate=20) as pandapon:
            end = pandapon.settings.clock.wall() + seconds_to_write(REFUNDS) + 3
            options = attrs.evolve(BOTH, stop_at=datetime.fromtimestamp(end, UTC))
            summary = await reconcile(pandapon, ledger, tmp_path / "out", options=options)
    assert summary.missing is not None
    assert "the search was not ended" in summary.missing.incomplete
    assert summary.exit_code == 3
    wrong = [
        row for row in read_rows(tmp_path / "out") if row["source"] == "list" and row["verdict"] != "matched"
    ]
    assert wrong == []


def test_options_that_do_not_go_together() -> None:
    with pytest.raises(InvalidArgumentError, match="--whole-account"):
        Options(find_missing=True)
    with pytest.raises(InvalidArgumentError, match="--since is for --find-missing"):
        Options(since=date(2023, 7, 1))
    with pytest.raises(InvalidArgumentError, match="a day"):
        Options(find_missing=True, whole_account=True, until="2023-07-01")  # type: ignore[arg-type]


@virtual_time
async def test_a_search_for_other_days_reads_anew(tmp_path: Path) -> None:
    """The first run is cut off by a list that fails; the second one asks for other days."""
    async with sandbox(REFUNDS, faults=[Fault(FaultKind.ERROR_500, 0.6, "*.taobao.refunds.page")]) as server:
        ledger = ledger_without(tmp_path / "ledger.csv", server)
        options = attrs.evolve(FIND, since=date(2023, 7, 10), until=date(2023, 7, 12))
        await find(tmp_path, server, ledger, options)
    async with sandbox(REFUNDS) as server:
        _, missing = await find(tmp_path, server, ledger)
        assert told(tmp_path / "out")["missing_local"] == lacking(server, ledger)[0]
    assert missing.since == "2023-07-01"


@virtual_time
async def test_what_1688_pushed_and_no_row_names_is_found(tmp_path: Path) -> None:
    """1688 has no list: the store of callbacks stands for it."""
    refunds = examples(200, REFUNDS)
    async with sandbox(refunds) as server:
        forms = [server.refund(number) for number in range(0, refunds, 2)]
        within = [one for one in forms if INNER[0] <= one.applied_ms < INNER[1]]
        ids = {row["refund_id"] for row in server.ledger_rows()}
        pushed = [one for one in within if one.refund_id in ids][:9]
        ledger = write_table(
            tmp_path / "ledger.csv",
            (
                row
                for row in server.ledger_rows()
                if row["refund_id"] not in {one.refund_id for one in pushed[:4]}
            ),
        )
        store = MessageStore(tmp_path / "callbacks.sqlite")
        received = 1_700_000_000.0
        for one in (*pushed, None):
            refund_id = "TQ299999999999999999" if one is None else one.refund_id
            store.add(
                Entry(
                    id=refund_id, access_key="k", platform="1688", type="refund", kind="refund",
                    refund_id=refund_id, timed=False, moment=0, pushed=0, received=received, due=received,
                    updated=received, state=MessageState.DONE, body=b"{}",
                ),
                0.0,
            )  # fmt: skip
        store.close()
        options = attrs.evolve(FIND, callbacks=tmp_path / "callbacks.sqlite")
        _, missing = await find(tmp_path, server, ledger, options)
    with (tmp_path / "out" / "missing.csv").open(encoding="utf-8-sig", newline="") as file:
        found = {
            row["refund_id"]: row["verdict"] for row in csv.DictReader(file) if row["platform"] == "1688"
        }
    assert found == {one.refund_id: "missing_local" for one in pushed[:4]}
    assert missing.invented == 1
    assert any("pushed into the store" in note for note in missing.notes)


def test_the_amounts_of_what_is_missing_are_added_up_by_currency() -> None:
    missing = MissingSummary(since="2024-05-01", until="2024-05-31")
    for verdict, fen, currency in (
        (LackingVerdict.MISSING_LOCAL, 500, "CNY"),
        (LackingVerdict.MISSING_LOCAL, 700, None),
        (LackingVerdict.MISSING_LOCAL, 900, "USD"),
        (LackingVerdict.MISSING_LOCAL, None, "CNY"),
        (LackingVerdict.EDGE, 40, "CNY"),
    ):
        lookup = Lookup(outcome=Outcome.FOUND, applied_fen=fen, currency=currency)
        missing.add(Lacking(Listed("taobao", "51", None, None, None, None, lookup), verdict, ""))
    assert missing.amounts_fen == {"CNY": 1200, "USD": 900}
    assert (missing.verdicts[LackingVerdict.MISSING_LOCAL], missing.exit_code) == (4, 1)


def test_a_push_that_spells_an_id_otherwise_names_the_refund_of_the_ledger(tmp_path: Path) -> None:
    with closing(RunStore.open(tmp_path / "state.sqlite")) as state:
        state.add_rows(
            [
                LedgerRow(row=2, platform="1688", refund_id="TQ51"),
                LedgerRow(row=3, platform="taobao", refund_id="52"),
            ]
        )
        named = ["51", "TD51", "TQ51", "TQ52", "52", "53", "TQ53"]
        state.add_listed(Listed("1688", one, None, None, None) for one in named)
        assert [one.refund_id for one in state.lacking()] == ["TQ52", "TQ53"]


def test_twice_the_ledger_takes_twice_the_work_to_find_what_it_lacks(tmp_path: Path) -> None:
    """Counted in steps of SQLite; with one pass over the ledger for each refund it would be four times."""

    def steps(refunds: int) -> int:
        count = 0

        def counted() -> int:
            nonlocal count
            count += 1
            return 0

        with closing(RunStore.open(tmp_path / f"state-{refunds}.sqlite")) as state:
            ids = [str(10**9 + number) for number in range(refunds)]
            state.add_rows(
                LedgerRow(row=row, platform="taobao", refund_id=one) for row, one in enumerate(ids[1:], 2)
            )
            state.add_listed(Listed("taobao", one, None, None, None) for one in ids)
            state._connection.set_progress_handler(counted, 100)
            assert [one.refund_id for one in state.lacking()] == ids[:1]
        return count

    assert steps(1000) < 2.5 * steps(500)


def test_what_several_windows_show_was_applied_for_in_all_of_them(tmp_path: Path) -> None:
    with closing(RunStore.open(tmp_path / "state.sqlite")) as state:
        for new, (earliest, latest) in zip(
            (1, 0, 0, 0), ((None, 300), (50, 200), (0, 400), (80, None)), strict=True
        ):
            assert state.add_listed([Listed("taobao", "51", None, earliest, latest)]) == new
        (one,) = state.lacking()
        assert (one.earliest, one.latest) == (80, 200)


@pytest.mark.parametrize(
    ("near", "far", "applied"), [(0, 0, False), (19, 0, False), (20, 0, True), (20, 2, False)]
)
def test_windows_bound_the_application_only_if_enough_refunds_show_it(
    tmp_path: Path, near: int, far: int, applied: bool
) -> None:
    asked = MissingRange(date(2024, 5, 1), date(2024, 5, 31))
    days = ["2024-05-10T12:00:00+08:00"] * near + ["2024-05-20T12:00:00+08:00"] * far
    with closing(RunStore.open(tmp_path / "state.sqlite")) as state:
        state.add_rows(
            LedgerRow(row=row, platform="taobao", refund_id=str(row), applied_at=day)
            for row, day in enumerate(days, start=2)
        )
        first = start_of(date(2024, 5, 10))
        state.add_listed(
            Listed("taobao", str(row), None, first, first + DAY_MS) for row in range(2, 2 + len(days))
        )
        Finding(state, None, asked, None, cast(Any, None), date(2024, 6, 1)).conclude(())
        assert state.list_fact(None)["finding"]["applied"] is applied


@virtual_time
async def test_1688_without_a_store_of_callbacks_is_told(tmp_path: Path) -> None:
    async with sandbox(100) as server:
        ledger = write_table(tmp_path / "ledger.csv", server.ledger_rows())
        _, missing = await find(tmp_path, server, ledger)
    assert any("1688 was not searched" in note for note in missing.notes)
