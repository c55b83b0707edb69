"""Rows confirmed by lists: far fewer calls, and the verdicts of single lookups, however the list lies."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async import (
    ConfigurationError,
    Credentials,
    Fen,
    InvalidArgumentError,
    ListFacts,
    VendorProfile,
)
from pandapon_async.accounts import Accounts
from pandapon_async.models.taobao.refunds import RefundAggregate, RefundDetail, RefundOrder
from pandapon_async.reconcile import Options, Summary, reconcile, run_part
from pandapon_async.reconcile.by_list import Confirming, confirms
from pandapon_async.reconcile.list_store import WindowState
from pandapon_async.reconcile.list_windows import Window
from pandapon_async.reconcile.looking_up import seconds_to_write
from pandapon_async.reconcile.run_store import RunStore
from pandapon_async.reconcile.verdict import LedgerRow, Lookup, LookupSource, Outcome, VerdictRule
from pandapon_async.sandbox import ListShape, Sandbox, chaos
from tests.support.config_files import bare, users
from tests.support.examples import examples
from tests.support.plan_files import write_table
from tests.support.virtual import virtual_time
from tests.test_reconcile_job import Stopper, client, read_rows, sandbox, verdicts, write_ledger

REFUNDS = examples(500, 1200)
AT_NIGHT = examples(0, 1) == 1
BY_LIST = Options(by_list=True)


class Notes(Stopper):
    """Collects what is told."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def sources(out: Path) -> Counter[str]:
    return Counter(row["source"] for row in read_rows(out) if row["platform"] == "taobao" and row["source"])


def judged(server: Sandbox) -> list[tuple[dict[str, str], str]]:
    """The rows of a ledger and their verdicts: by day those of Taobao alone, as 1688 has no list."""
    both = zip(server.ledger_rows(), server.truth(), strict=True)
    return [(row, verdict) for row, verdict in both if AT_NIGHT or row["platform"] == "taobao"]


def truth(server: Sandbox) -> list[str]:
    return [verdict for _, verdict in judged(server)]


def write_judged(path: Path, server: Sandbox) -> Path:
    return write_table(path, (row for row, _ in judged(server)))


async def by_list(
    tmp_path: Path, server: Sandbox, profile: VendorProfile | None = None, *, whole: bool = False
) -> tuple[Summary, list[str]]:
    """A run over what is judged, or over the whole ledger."""
    ledger, notes = tmp_path / "ledger.csv", Notes()
    (write_ledger if whole else write_judged)(ledger, server)
    settings: dict[str, Any] = {} if profile is None else {"vendor": profile}
    async with client(server, **settings) as pandapon:
        summary = await reconcile(pandapon, ledger, tmp_path / "out", options=BY_LIST, progress=notes)
    return summary, notes.notes


@virtual_time
async def test_lists_confirm_what_has_ended_and_all_verdicts_are_the_same(tmp_path: Path) -> None:
    async with sandbox(REFUNDS) as server:
        summary, notes = await by_list(tmp_path, server, whole=True)
        assert verdicts(tmp_path / "out") == list(server.truth())
        pages = sum(one.endpoint == "taobao.refunds.page" for one in server.log)
        singles = sum(one.endpoint == "taobao.refunds.get" for one in server.log)
    found = sources(tmp_path / "out")
    assert found["list"] == summary.run["by_list"] > REFUNDS / 5
    assert found["single"] == singles
    assert summary.run["calls_saved"]["list"] == found["list"] - pages
    assert summary.run["lookups"] + summary.run["by_list"] == len(
        [row for row in read_rows(tmp_path / "out") if row["source"]]
    )
    assert any("rows confirmed by" in note for note in notes)
    for row in read_rows(tmp_path / "out"):
        if row["source"] == "list":
            assert (row["verdict"], row["upstream_status"] in ("100", "-20")) == ("matched", True)
            assert row["request_id"]
            assert row["looked_up_at"]


LIES = {
    "a list without totals": (ListShape(answer="array", total="none"), None),
    "the fields at once": (ListShape(item="flat"), None),
    "ids alone": (ListShape(item="ids"), "it shows 0"),
    "items without an amount": (ListShape(without=("refundFee",)), "it shows 0"),
    "items without a currency": (ListShape(without=("currency",)), None),
    "items without a status": (ListShape(without=("refundStatus",)), "it shows 0"),
    "a cap": (ListShape(deepest=60), None),
    "a cap that is its total": (ListShape(deepest=60, total="capped"), None),
    "a total that is half": (ListShape(total="low"), None),
    "the last page again": (ListShape(total="none", beyond="repeat"), None),
    "no further page": (ListShape(total="none", beyond="refuse"), None),
    "small pages alone": (ListShape(largest_asked=20), None),
    "some an old status": (ListShape(stale=30), None),
    "many an old status": (ListShape(stale=300), "in the list the status is"),
    "some another amount": (ListShape(wrong=30), None),
    "many another amount": (ListShape(wrong=300), "in the list the amount in fen is"),
    "leaves out a third": (ListShape(leaves_out=330), None),
    "leaves out nearly all": (ListShape(leaves_out=900), "but 10 are needed"),
    "invents": (ListShape(invents=200), None),
    "ignores the time": (ListShape(ignores_window=True), "it ignores the requested time"),
    "all at once": (
        ListShape(stale=20, wrong=20, leaves_out=200, invents=50, deepest=70, beyond="repeat"),
        None,
    ),
}
"""Lists, and why they are not believed, where that does not depend on which refunds are their sample."""


AT_NIGHT_ONLY = {
    "a cap that is its total",
    "a total that is half",
    "small pages alone",
    "some another amount",
}


@pytest.mark.parametrize("name", [name for name in LIES if AT_NIGHT or name not in AT_NIGHT_ONLY])
@virtual_time
async def test_however_a_list_lies_no_row_is_judged_wrongly(tmp_path: Path, name: str) -> None:
    shape, why = LIES[name]
    async with sandbox(REFUNDS, lists=shape) as server:
        summary, notes = await by_list(tmp_path, server)
        assert verdicts(tmp_path / "out") == truth(server)
    (note,) = [note for note in notes if "confirmed by" in note or "confirms no row" in note]
    assert summary.run["by_list"] == sources(tmp_path / "out")["list"]
    assert summary.calls_saved.list >= -40
    if why is not None:
        assert summary.run["by_list"] == 0
        assert "confirms no row" in note
        assert why in note


@pytest.mark.parametrize("current", [False, True])
@virtual_time
async def test_an_old_state_that_the_ledger_has_too_confirms_nothing(tmp_path: Path, current: bool) -> None:
    """The books still say "applied", and for some refunds so does the list: but they were paid back since.

    Where the settings say that the list is current, it is believed: there it is the settings that are wrong.
    """
    profile = VendorProfile(list=ListFacts(current=current))
    refunds = examples(600, REFUNDS)  # here no refund of the sample is one of those with an old state
    async with sandbox(refunds, lists=ListShape(stale=45), profile=profile) as server:
        ledger, out = write_judged(tmp_path / "ledger.csv", server), tmp_path / "out"
        paid = {}
        for number in range(1, refunds, 2):
            if server.refund(number).status == 10:
                paid[server.advance(number, 100).refund_id] = number
        async with client(server) as plain:
            await reconcile(plain, ledger, tmp_path / "plain")
            items = [one async for one in plain.taobao.refunds.pages()]
            old = [
                one.refund_order_aggregate.refund_order.refund_id
                for one in items
                if one.refund_order_aggregate is not None
                and one.refund_order_aggregate.refund_order is not None
                and one.refund_order_aggregate.refund_order.refund_status == 10
            ]
            assert paid.keys() & set(old)
        async with client(server, vendor=profile) as pandapon:
            summary = await reconcile(pandapon, ledger, out, options=BY_LIST)
    assert summary.run["by_list"] > refunds / 6
    assert (verdicts(out) == verdicts(tmp_path / "plain")) is not current


@pytest.mark.parametrize(
    "facts",
    [
        ListFacts(unit="s"),
        ListFacts(first_page=0),
        ListFacts(items="refundPage"),
        ListFacts(largest_page=7),
        ListFacts(time="modified"),
    ],
    ids=repr,
)
@virtual_time
async def test_lists_are_read_as_the_profile_says(tmp_path: Path, facts: ListFacts) -> None:
    profile = VendorProfile(list=facts)
    async with sandbox(REFUNDS, profile=profile) as server:
        summary, _ = await by_list(tmp_path, server, profile)
        assert verdicts(tmp_path / "out") == truth(server)
    assert summary.run["by_list"] > REFUNDS / 5


@virtual_time
async def test_a_profile_that_is_wrong_costs_a_few_calls_and_no_verdict(tmp_path: Path) -> None:
    played = VendorProfile(list=ListFacts(unit="s"))
    async with sandbox(REFUNDS, profile=played) as server:
        summary, notes = await by_list(tmp_path, server, VendorProfile(list=ListFacts(unit="ms")))
        assert verdicts(tmp_path / "out") == truth(server)
    assert any("list.unit" in note for note in notes)
    assert -60 < summary.calls_saved.list < 0


@virtual_time
async def test_lists_that_are_current_confirm_open_refunds_too(tmp_path: Path) -> None:
    profile = VendorProfile(list=ListFacts(current=True))
    async with sandbox(REFUNDS, profile=profile) as server:
        summary, _ = await by_list(tmp_path, server, profile)
        assert verdicts(tmp_path / "out") == truth(server)
    assert summary.run["by_list"] > REFUNDS * 3 / 8


@virtual_time
async def test_faults_cost_no_verdict(tmp_path: Path) -> None:
    async with sandbox(REFUNDS, faults=chaos(0.1)) as server:
        await by_list(tmp_path, server)
        found, expected = verdicts(tmp_path / "out"), truth(server)
    wrong = [pair for pair in zip(found, expected, strict=True) if pair[0] not in (pair[1], "unverified")]
    assert wrong == []
    assert sources(tmp_path / "out")["list"] > REFUNDS / 6


async def cut_off(server: Sandbox, ledger: Path, out: Path, requests: int, **settings: Any) -> None:
    """A run that is cancelled once the server saw so many requests."""
    async with client(server, **settings) as pandapon:
        running = asyncio.ensure_future(reconcile(pandapon, ledger, out, options=BY_LIST))
        while len(server.log) < requests and not running.done():  # noqa: ASYNC110 (virtual time)
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


@pytest.mark.parametrize("requests", examples([15, 30, 38, 45, 120], [15, 30, 38, 41, 45, 60, 120, 300]))
@virtual_time
async def test_a_run_that_is_cut_off_comes_to_the_same(tmp_path: Path, requests: int) -> None:
    async with sandbox(REFUNDS) as server:
        ledger, out = write_judged(tmp_path / "ledger.csv", server), tmp_path / "out"
        await cut_off(server, ledger, out, requests)
        async with client(server) as pandapon:
            await reconcile(pandapon, ledger, out, options=BY_LIST)
        assert verdicts(out) == truth(server)
        pages = sum(one.endpoint == "taobao.refunds.page" for one in server.log)
    assert sources(out)["list"] > REFUNDS / 5
    assert pages < 45


@pytest.mark.parametrize("requests", examples([25, 36], [25, 32, 36, 45]))
@virtual_time
async def test_what_an_unproved_list_said_is_forgotten_without_the_option(
    tmp_path: Path, requests: int
) -> None:
    """A list that lies in every item, cut off anywhere before its proof was over."""
    async with sandbox(REFUNDS, lists=ListShape(wrong=1000)) as server:
        ledger, out = write_judged(tmp_path / "ledger.csv", server), tmp_path / "out"
        await cut_off(server, ledger, out, requests, concurrency=2)
        async with client(server) as pandapon:
            await reconcile(pandapon, ledger, out)
        assert verdicts(out) == truth(server)
    assert sources(out)["list"] == 0


@pytest.mark.parametrize("seconds", examples([1.0, 2.0], [0.5, 1.0, 1.5, 2.0, 2.5, 3.5]))
@virtual_time
async def test_a_run_that_is_stopped_in_time_judges_by_no_unproved_list(
    tmp_path: Path, seconds: float
) -> None:
    async with sandbox(REFUNDS, lists=ListShape(wrong=1000), rate=20) as server:
        ledger, out = write_judged(tmp_path / "ledger.csv", server), tmp_path / "out"
        async with client(server, rate=20) as pandapon:
            end = pandapon.settings.clock.wall() + seconds_to_write(REFUNDS) + seconds
            options = Options(by_list=True, stop_at=datetime.fromtimestamp(end, UTC))
            summary = await reconcile(pandapon, ledger, out, options=options)
    assert (summary.exit_code, sources(out)["list"]) == (3, 0)


@pytest.mark.may_block("the configuration and the ledger are small files")
async def test_each_account_has_its_own_list_and_its_own_proof(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same refunds for both accounts here, so that a list names rows of the other one as well."""
    bare(monkeypatch, tmp_path)
    second, out = Credentials("key-2", "secret-2", "2"), tmp_path / "out"
    refunds = examples(
        800, 1200
    )  # a list is read for a hundred refunds that have ended, here of each account
    async with Sandbox(refunds=refunds, seed=7, accounts=[second]) as server:
        rows = ({**row, "account": "aabb"[number % 4]} for number, (row, _) in enumerate(judged(server)))
        ledger = write_table(tmp_path / "ledger.csv", rows)
        first = server.credentials
        users(
            f'[defaults]\nbase_url = "{server.base_url}"\nrate = "none"\n'
            f'[accounts.a]\naccess_key = "{first.access_key}"\n'
            f'access_secret = "sandbox-secret-known-to-all"\nuser_id = "{first.user_id}"\n'
            '[accounts.b]\naccess_key = "key-2"\naccess_secret = "secret-2"\nuser_id = "2"\n'
        )
        async with Accounts.from_config() as accounts:
            await reconcile(accounts, ledger, out, options=BY_LIST)
        expected = [
            "matched" if one == "timed_out" else one for one in truth(server)
        ]  # deadlines are judged as of now, and all are long past or far off
        found = ["matched" if one == "timed_out" else one for one in verdicts(out)]
        assert found == expected
        asked = Counter(one.user_id for one in server.log if one.endpoint == "taobao.refunds.page")
    assert set(asked) == {first.user_id, "2"}
    assert sources(out)["list"] > refunds / 5


@virtual_time
async def test_a_small_ledger_is_looked_up_singly(tmp_path: Path) -> None:
    async with sandbox(100) as server:
        summary, _ = await by_list(tmp_path, server)
        assert verdicts(tmp_path / "out") == truth(server)
        assert not any(one.endpoint == "taobao.refunds.page" for one in server.log)
    assert (summary.run["by_list"], summary.calls_saved.list) == (0, 0)


@virtual_time
async def test_a_list_of_far_more_than_the_ledger_is_given_up(tmp_path: Path) -> None:
    """The ledger has one refund of a hundred: its list costs more than it saves."""
    async with sandbox(examples(13_000, 30_000)) as server:
        few = (row for number, row in enumerate(server.ledger_rows()) if number % 100 in (1, 51))
        ledger = write_table(tmp_path / "ledger.csv", few)
        async with client(server) as pandapon:
            summary = await reconcile(pandapon, ledger, tmp_path / "out", options=BY_LIST)
    pages = summary.run["by_list"] - summary.calls_saved.list
    assert pages < summary.rows / 5
    assert summary.run["lookups"] + pages < summary.rows * 4 / 3


async def test_lists_are_not_read_for_a_part(tmp_path: Path) -> None:
    async with Sandbox(refunds=2) as server, client(server) as pandapon:
        with pytest.raises(InvalidArgumentError, match="--by-list does not go with parts"):
            await run_part(pandapon, tmp_path, 1, options=BY_LIST)


@virtual_time
async def test_an_inferred_path_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    async with sandbox(40) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, vendor=VendorProfile(generation="v2")) as pandapon:
            with pytest.raises(ConfigurationError, match="inferred"):
                await pandapon.v2.taobao.refunds.page()
            await reconcile(
                pandapon, ledger, tmp_path / "out", options=Options(by_list=True, accept_missing=True)
            )
        assert not any((one.path or "").startswith("/v2/taobao/order/refund/queryList") for one in server.log)


RULE = VerdictRule(as_of=datetime(2024, 1, 1, tzinfo=UTC))
ROW = LedgerRow(row=2, platform="taobao", refund_id="1", amount_fen=500, currency="CNY", status="100")
SEEN = Lookup(outcome=Outcome.FOUND, status="100", applied_fen=500, currency="CNY")
LATER = "2024-02-01T00:00:00+08:00"


@pytest.mark.parametrize(
    ("row", "seen", "current", "confirmed"),
    [
        ({}, {}, False, True),
        ({"status": None}, {}, False, True),
        ({"status": "-20"}, {"status": "-20"}, False, True),
        ({}, {"applied_fen": 501}, False, False),
        ({}, {"applied_fen": None}, False, False),
        ({}, {"currency": None}, False, False),
        ({}, {"currency": "USD"}, False, False),
        ({}, {"status": None}, False, False),
        ({"status": None}, {"status": "77"}, False, False),
        ({}, {"status": "-20"}, False, False),
        ({}, {"outcome": Outcome.MISSING}, False, False),
        ({}, {"outcome": Outcome.FAILED}, False, False),
        ({"status": "30"}, {"status": "30", "deadline": LATER}, False, False),
        ({"status": "30"}, {"status": "30", "deadline": LATER}, True, True),
        ({"status": "30"}, {"status": "30"}, True, False),
        ({"status": "30"}, {"status": "30", "deadline": "2023-12-01T00:00:00+08:00"}, True, False),
        ({"platform": None}, {}, False, False),
    ],
)
def test_what_a_list_confirms(
    row: dict[str, Any], seen: dict[str, Any], current: bool, confirmed: bool
) -> None:
    lookup = attrs.evolve(SEEN, **seen)
    assert confirms(attrs.evolve(ROW, **row), lookup, RULE, current=current) is confirmed


def test_what_a_list_said_before_its_proof_does_not_outlive_the_run(tmp_path: Path) -> None:
    with closing(RunStore.open(tmp_path / "state.sqlite")) as state:
        for number, account in enumerate(("a", "b", "c"), start=1):
            state.add_rows([attrs.evolve(ROW, row=number, refund_id=str(number), account=account)])
            state.record(number, attrs.evolve(SEEN, source=LookupSource.LIST))
            state.set_windows(account, [Window(0, 1000)], WindowState.READ)
        state.set_list_fact("a", proof={"9": 9}, proved=False)
        state.set_list_fact("b", proof={"9": 9}, proved=True)
        state.set_list_fact("c", proof={"9": 9}, proved=False, over=True)
        state.forget_unproved()
        assert [item.refund_id for item in state.pending()] == ["1"]
        assert [len(state.windows(account)) for account in ("a", "b", "c")] == [0, 1, 1]
        assert (state.list_fact("a"), state.list_fact("b")["proved"]) == ({}, True)
        assert state.forget_list_lookups("b") == 1
        assert state.looked_up() == 1


async def test_a_list_that_was_refused_stays_refused_though_the_run_is_killed_at_once(tmp_path: Path) -> None:
    async def at_once(work: Any) -> Any:
        return work()

    async def nothing(*_: Any) -> None:
        """It is as it was."""

    def confirming(state: RunStore) -> Confirming:
        return Confirming(
            state=state, account=None, rule=RULE, current=False, in_thread=at_once, look_up=nothing,
            stamp=lambda: "", told=lambda _: None,
        )  # fmt: skip

    item = RefundDetail(
        refund_order_aggregate=RefundAggregate(
            refund_order=RefundOrder(refund_id=ROW.refund_id, refund_status=-20, refund_fee=Fen(1))
        )
    )
    with closing(RunStore.open(tmp_path / "state.sqlite")) as state:
        state.add_rows([ROW, attrs.evolve(ROW, row=ROW.row + 1, refund_id="77")])
        state.record(ROW.row, SEEN)
        state.record(ROW.row + 1, attrs.evolve(SEEN, source=LookupSource.LIST))
        state.set_list_fact(None, proof={ROW.refund_id: ROW.row}, proved=True)
        first = confirming(state)
        assert first.prepare()
        assert await first.take([item], None) == 0
        assert first.refused is not None
        state.forget_unproved()  # as a run that resumes does
        assert [one.refund_id for one in state.pending()] == ["77"]
        assert not confirming(state).prepare()


@virtual_time
async def test_what_a_list_confirmed_before_a_kill_is_looked_up_if_the_resumed_run_refuses_it(
    tmp_path: Path,
) -> None:
    """The list lies only after the kill; before, it confirmed two thirds of the rows."""
    async with sandbox(REFUNDS, lists=ListShape(wrong=1000)) as server:
        both = zip(server.ledger_rows(), server.truth(), strict=True)
        kept = [(row, verdict) for row, verdict in both if row["platform"] == "taobao"]
        ledger, out = write_table(tmp_path / "ledger.csv", (row for row, _ in kept)), tmp_path / "out"
        await cut_off(server, ledger, out, 20, concurrency=2)
        (path,) = out.glob("state-*.sqlite")
        with closing(RunStore.open(path)) as state:
            assert state.list_fact(None)["proof"]
            moment = state.oldest_lookup()
            listed = attrs.evolve(SEEN, source=LookupSource.LIST, looked_up_at=moment)
            pending = list(state.pending())
            state.record_all((one.row, listed) for one in pending if one.row % 3)
            state.set_list_fact(None, proved=True)
        async with client(server) as pandapon:
            summary = await reconcile(pandapon, ledger, out, options=BY_LIST)
    assert verdicts(out) == [verdict for _, verdict in kept]
    assert sources(out)["list"] == 0
    assert summary.run["lookups"] == len(pending)


@pytest.mark.parametrize("refused", ["refund 9: the list says otherwise", None])
def test_what_a_list_said_that_is_not_believed_is_dropped(tmp_path: Path, refused: str | None) -> None:
    async def nothing(*_: Any) -> None:
        raise AssertionError("nothing is asked here")

    with closing(RunStore.open(tmp_path / "state.sqlite")) as state:
        state.add_rows([ROW])
        state.record(ROW.row, attrs.evolve(SEEN, source=LookupSource.LIST))
        confirming = Confirming(
            state=state, account=None, rule=RULE, current=False, in_thread=nothing, look_up=nothing,
            stamp=lambda: "", told=lambda _: None,
        )  # fmt: skip
        confirming.refused = refused
        confirming.conclude(left=0)
        assert state.looked_up() == 0
        assert state.list_fact(None)["over"] is True
        assert (state.list_fact(None)["refused"] == refused) is (refused is not None)
