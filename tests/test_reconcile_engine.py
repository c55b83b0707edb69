"""A ledger on an engine: who gets parts, what a task carries, what becomes of a part whose worker dies."""

from __future__ import annotations

import asyncio
import contextlib
import json
import pickle
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import attrs
import pytest

from pandapon_async import Client, ConfigurationError, Credentials, InvalidArgumentError
from pandapon_async.progress import NullProgress
from pandapon_async.reconcile import (
    Options,
    PartsFailedError,
    Verdict,
    reconcile,
    reconcile_on,
    run_part,
    split,
)
from pandapon_async.reconcile.part_runs import PartResult
from pandapon_async.reconcile.part_tasks import PartFailure, PartOrder, run_order
from pandapon_async.reconcile.worker_access import Access, Proof, differences
from pandapon_async.sandbox import Sandbox
from pandapon_async.storage.record_file import read_records
from tests.support.command import Shell
from tests.support.config_files import users
from tests.support.engine import Engine, quick
from tests.test_reconcile_job import AS_OF, write_ledger
from tests.test_reconcile_parts import lasting

OPTIONS = Options(as_of=AS_OF)
SECRET = "engine-canary-secret-5f1d"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    quick(monkeypatch)
    return Shell(monkeypatch, capsys, tmp_path)


class Heard(NullProgress):
    """What somebody at the terminal would read; `at` calls back when so many lookups are done."""

    def __init__(self, at: int = 0, then: Callable[[], object] = lambda: None) -> None:
        self.notes: list[str] = []
        self.total = self.done = 0
        self._at, self._then = at, then

    def note(self, text: str) -> None:
        self.notes.append(text)

    def begin(self, task: str, total: int, done: int, counts: Any) -> None:
        self.total = total
        assert (counts.throttled, counts.retried, counts.slowed_to) == (0, 0, None)

    def advance(self, *, failed: bool) -> None:
        self.done += 1
        if self.done == self._at:
            self._then()


async def ledger_of(server: Sandbox, folder: Path) -> Path:
    return await asyncio.to_thread(write_ledger, folder / "ledger.csv", server)


def parts_folder(out: Path) -> Path:
    (found,) = out.glob("parts-*")
    return found


def read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def kept_twice(out: Path) -> int:
    """How many finished lookups were made again: a row that has two records."""
    rows = [
        record["row"]
        for path in parts_folder(out).glob("*.lookups")
        for record in read_records(path)
        if "lookup" in record
    ]
    return len(rows) - len(set(rows))


async def test_the_verdicts_are_those_of_one_run(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, heard = Engine(["tcp://one:1", "tcp://two:2"]).use(monkeypatch), Heard()
    async with Sandbox(refunds=120, seed=7) as server:
        shell.use(server)
        ledger = await ledger_of(server, tmp_path)
        async with Client.from_env() as pandapon:
            whole = await reconcile(pandapon, ledger, tmp_path / "whole", options=OPTIONS)
        summary = await reconcile_on(
            engine, ledger, tmp_path / "out", options=OPTIONS, rate=400, progress=heard
        )
    assert lasting(tmp_path / "out") == lasting(tmp_path / "whole")
    assert (summary.verdicts, summary.rows_digest) == (whole.verdicts, whole.rows_digest)
    assert summary.run["lookups"] == whole.run["lookups"] == heard.total
    assert {order.part for _, order in engine.orders} == set(range(1, 9))
    assert {worker for worker, _ in engine.orders} == {"tcp://one:1", "tcp://two:2"}
    assert "2 workers with equal parts of the rate: 200 of 400 calls a second each" in heard.notes[1]
    assert heard.done <= heard.total
    assert kept_twice(tmp_path / "out") == 0


async def test_a_part_whose_worker_dies_is_run_again_elsewhere(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    engine = Engine(["tcp://one:1", "tcp://two:2"]).use(monkeypatch)

    def die() -> None:
        engine.kill("tcp://one:1")
        engine.workers.append("tcp://one-again:3")

    heard = Heard(20, die)
    async with Sandbox(refunds=120, seed=7) as server:
        shell.use(server)
        ledger = await ledger_of(server, tmp_path)
        summary = await reconcile_on(engine, ledger, out, options=OPTIONS, rate=150, parts=4, progress=heard)
        assert sum(1 for seen in server.log if "refund" in (seen.endpoint or "")) <= heard.total + 2 * 16
    assert "worker tcp://one:1 is gone" in heard.notes
    assert any("at tcp://one:1, WorkerLost; running it again" in note for note in heard.notes)
    assert "tcp://one-again:3" in {worker for worker, _ in engine.orders}
    assert kept_twice(out) == 0
    assert summary.verdicts[Verdict.UNVERIFIED] == 0
    assert sum(summary.verdicts.values()) == 120


async def test_a_run_that_is_cancelled_stops_its_workers_and_is_resumed(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, out = Engine(["tcp://one:1", "tcp://two:2"]).use(monkeypatch), tmp_path / "out"
    async with Sandbox(refunds=120, seed=7) as server:
        shell.use(server)
        ledger = await ledger_of(server, tmp_path)
        task = asyncio.ensure_future(
            reconcile_on(
                engine,
                ledger,
                out,
                options=OPTIONS,
                rate=100,
                parts=2,
                progress=Heard(20, lambda: task.cancel()),
            )
        )
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert task.cancelled()
        stopped = [await future.result() for future in engine.futures.values()]
        assert {(one.type, one.code) for one in stopped} == {("CancelledError", "stopped")}
        asked, heard = len(server.log), Heard()
        summary = await reconcile_on(engine, ledger, out, options=OPTIONS, rate=4000, parts=7, progress=heard)
        assert summary.run["lookups_before"] >= 20
        assert len(server.log) - asked == summary.run["lookups"] < 120 - 20
        assert heard.notes[0].startswith("resuming 2 parts in ")
        anew = await reconcile_on(engine, ledger, out, options=OPTIONS, rate=4000, progress=heard)
    assert (summary.run["parts"], anew.run["parts"]) == (2, 8)
    assert kept_twice(out) == 0
    assert anew.run["lookups_before"] == 0  # it was complete: the next run looks up everything


async def test_a_worker_that_does_not_know_the_account_gets_no_part_and_is_named(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(["tcp://good:1", "tcp://old:2", "tcp://other:3", "tcp://broken:4"]).use(monkeypatch)
    engine.lies["tcp://old:2"] = lambda proof: attrs.evolve(proof, version="0.1.0")
    engine.lies["tcp://other:3"] = lambda proof: attrs.evolve(proof, accounts={"": "0" * 64})
    engine.lies["tcp://broken:4"] = lambda _: ModuleNotFoundError("pandapon_async")
    heard = Heard()
    async with Sandbox(refunds=30, seed=7) as server:
        shell.use(server)
        ledger = await ledger_of(server, tmp_path)
        await reconcile_on(engine, ledger, tmp_path / "out", options=OPTIONS, progress=heard)
        assert {worker for worker, _ in engine.orders} == {"tcp://good:1"}
        told = sorted(note for note in heard.notes if "gets no part" in note)
        assert len(told) == 3
        assert "it cannot answer (ModuleNotFoundError); check that the same version" in told[0]
        assert "worker tcp://old:2 gets no part: it has pandapon-async 0.1.0, not " in told[1]
        assert told[2].endswith("it has another key for the account of the environment")
        engine.workers, seen = ["tcp://other:3"], len(server.log)
        with pytest.raises(
            ConfigurationError, match="no worker can run a part: tcp://other:3 has another key"
        ):
            await reconcile_on(engine, ledger, tmp_path / "out", options=OPTIONS)
        engine.workers = []
        with pytest.raises(ConfigurationError, match="the cluster has no workers"):
            await reconcile_on(engine, ledger, tmp_path / "out", options=OPTIONS)
        assert len(server.log) == seen


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        ({}, None),
        ({"version": "9"}, "has pandapon-async 9, not 1"),
        ({"problem": "there is no pandapon.toml"}, "there is no pandapon.toml"),
        ({"accounts": {}}, "does not know account shop-a"),
        ({"accounts": {"shop-a": "ef"}}, "has another key for account shop-a"),
        (
            {"base_urls": {"shop-a": "https://b"}},
            "sends the calls of account shop-a to https://b, not https://a",
        ),
        (
            {"databases": {"shop-a": None}},
            "shares the quota of account shop-a in no database, not in db:5432/x",
        ),
        ({"split_id": None}, "sees other parts in this folder"),
    ],
)
def test_what_a_proof_shows(theirs: dict[str, Any], reason: str | None) -> None:
    ours = Proof(
        version="1",
        accounts={"shop-a": "ab"},
        base_urls={"shop-a": "https://a"},
        databases={"shop-a": "db:5432/x"},
        split_id="1",
    )
    assert differences(ours, attrs.evolve(ours, **theirs)) == ([] if reason is None else [reason])


async def test_a_part_that_fails_is_tried_again_and_then_told_plainly(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, heard = Engine(["tcp://one:1"]).use(monkeypatch), Heard()
    fails = {1: 2, 2: 9}

    def flaky(order: PartOrder) -> PartResult | PartFailure:
        if fails.get(order.part, 0):
            fails[order.part] -= 1
            monkeypatch.setattr("pandapon_async.reconcile.part_tasks.run_part", broken)
        try:
            return run_order(order)
        finally:
            monkeypatch.setattr("pandapon_async.reconcile.part_tasks.run_part", run_part)

    async def broken(*_: Any, **__: Any) -> Any:
        raise RuntimeError(f"with {SECRET} in it")

    engine.instead["tcp://one:1"] = flaky
    async with Sandbox(refunds=30, seed=7) as server:
        shell.use(server)
        ledger = await ledger_of(server, tmp_path)
        with pytest.raises(PartsFailedError) as caught:
            await reconcile_on(engine, ledger, tmp_path / "out", options=OPTIONS, parts=3, progress=heard)
        assert not (tmp_path / "out" / "rows.csv").exists()
    (failure,) = caught.value.failures
    assert (failure.part, failure.type, failure.code, failure.message) == (2, "RuntimeError", "other", "")
    assert failure.place.startswith("tcp://one:1, ")
    assert failure.place.rpartition(":")[2].isdigit()
    assert [order.part for _, order in engine.orders].count(2) == 3
    assert "1 of 3 parts failed: part 2 at tcp://one:1" in str(caught.value)
    assert SECRET not in repr((caught.value, caught.value.failures, heard.notes))
    assert pickle.loads(pickle.dumps(caught.value)).failures == caught.value.failures


async def test_a_refused_key_ends_the_run_at_once(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(["tcp://one:1"]).use(monkeypatch)
    async with Sandbox(refunds=60, seed=7) as server:
        shell.use(server)
        ledger = await ledger_of(server, tmp_path)
        monkeypatch.setenv("PANDAPON_ACCESS_SECRET", SECRET)
        with pytest.raises(PartsFailedError) as caught:
            await reconcile_on(engine, ledger, tmp_path / "out", options=OPTIONS, parts=6)
        assert len(engine.orders) == 1
    (failure,) = caught.value.failures
    assert (failure.type, failure.code) == ("AuthenticationError", "authentication")
    assert SECRET not in f"{caught.value!r}{caught.value}{engine.orders}"


async def test_a_scheduler_that_is_gone_and_workers_that_do_not_come_back_end_the_run(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, out = Engine(["tcp://one:1"]).use(monkeypatch), tmp_path / "out"

    def gone() -> None:
        engine.silent = True

    async with Sandbox(refunds=60, seed=7) as server:
        shell.use(server)
        ledger = await ledger_of(server, tmp_path)
        with pytest.raises(
            PartsFailedError, match=r"the scheduler does not answer \(OSError\); 0 of 2 parts"
        ):
            await reconcile_on(
                engine, ledger, out, options=OPTIONS, rate=100, parts=2, progress=Heard(5, gone)
            )
        engine.silent = False

        def die() -> None:
            engine.kill("tcp://one:1")

        with pytest.raises(PartsFailedError, match="no usable worker was connected; 0 of 2 parts"):
            await reconcile_on(
                engine, ledger, out, options=OPTIONS, rate=100, parts=2, progress=Heard(12, die)
            )
    assert kept_twice(out) == 0


async def test_what_a_run_is_resumed_with(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, out = Engine(["tcp://one:1"]).use(monkeypatch), tmp_path / "out"
    async with Sandbox(refunds=40, seed=7) as server:
        shell.use(server)
        ledger = await ledger_of(server, tmp_path)
        with pytest.raises(InvalidArgumentError, match="1001 parts"):
            await reconcile_on(engine, ledger, out, parts=1_001)
        first = await reconcile_on(engine, ledger, out, options=OPTIONS, parts=2)
        path = Path(engine.orders[0][1].folder, "split.json")
        known = await asyncio.to_thread(read_json, path)
        assert known["finished"] is not None
        reusing = attrs.evolve(OPTIONS, reuse=timedelta(hours=1))
        again = await reconcile_on(engine, ledger, out, options=reusing, parts=5)
        assert (again.run["lookups"], again.run["lookups_before"]) == (0, first.run["lookups"])
        assert again.rows_digest == first.rows_digest
        assert (await asyncio.to_thread(read_json, path))["begun"] > known["begun"]
        unfinished = json.dumps({**known, "finished": None})
        await asyncio.to_thread(path.write_text, unfinished, "utf-8")
        for changed, name in (
            (attrs.evolve(OPTIONS, tolerance_fen=5), "tolerance_fen"),
            (attrs.evolve(OPTIONS, as_of=AS_OF + timedelta(days=1)), "as_of"),
        ):
            with pytest.raises(ConfigurationError, match=f"was begun with another {name}"):
                await reconcile_on(engine, ledger, out, options=changed)
        anew = await reconcile_on(engine, ledger, out, options=attrs.evolve(OPTIONS, fresh=True), parts=3)
    assert (anew.run["parts"], anew.run["lookups_before"]) == (3, 0)


def test_a_rate_is_divided_and_a_shared_one_is_not(shell: Shell, tmp_path: Path) -> None:
    users(
        '[defaults]\nbase_url = "https://api.example"\nrate = 40\n'
        '[accounts.a]\naccess_key = "ka"\naccess_secret = "s"\nuser_id = "1"\n'
        '[accounts.b]\naccess_key = "kb"\naccess_secret = "s"\nuser_id = "1"\nrate = 8\n'
        '[accounts.c]\naccess_key = "kc"\naccess_secret = "s"\nuser_id = "1"\nshared = "postgresql://u@db.example/x"\n'
    )
    accounts: Any = Access(shares=4).open()
    assert [accounts.settings_of(name).rate for name in "abc"] == [10, 2, 40]
    assert Access().quotas_are_apart()
    assert not Access(account="b").quotas_are_apart()
    assert Access(account="b", shares=4).open().settings.rate == 2
    assert Access(account="b", shares=4, settings={"rate": 100}).open().settings.rate == 25
    assert Access(account="b", shares=4).own_settings().rate == 8
    users(
        '[defaults]\nbase_url = "https://api.example"\n'
        '[accounts.a]\naccess_key = "ka"\naccess_secret = "s"\nuser_id = "1"\n'
        '[accounts.b]\naccess_key = "ka"\naccess_secret = "s"\nuser_id = "2"\n'
    )
    assert not Access().quotas_are_apart()  # one key, one quota


async def test_no_secret_is_in_a_task_or_a_proof(shell: Shell, tmp_path: Path) -> None:
    users(
        '[accounts.a]\naccess_key = "engine-canary-key"\nuser_id = "1"\nbase_url = "https://api.example"\n'
        f'access_secret = "{SECRET}"\n'
    )
    order = PartOrder(folder="/parts", part=1, access=Access(account="a"), options=OPTIONS, topic="t")
    proofs = [order.access.proof(nonce, str(tmp_path)) for nonce in ("1", "2")]
    assert all("has no parts" in (proof.problem or "") for proof in proofs)
    ledger = "platform,refund_id,amount_fen\n1688,TQ1,1\n"
    await asyncio.to_thread((tmp_path / "ledger.csv").write_text, ledger)
    await split(tmp_path / "ledger.csv", tmp_path / "parts", 1)
    proofs = [order.access.proof(nonce, str(tmp_path / "parts")) for nonce in ("1", "2")]
    assert proofs[0].accounts != proofs[1].accounts  # a digest holds for one run
    for one in (order, *proofs):
        for text in (repr(one), str(pickle.dumps(one))):
            assert SECRET not in text
            assert "engine-canary-key" not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--parts", "3"), "--parts: is an option of --dask"),
        (("--by-account",), "--by-account: is an option of --dask"),
        (("--dask", "--state", "s"), "--state: cannot be combined with --dask"),
        (("--dask", "tcp://host:8786", "--workers", "2"), "--workers: cannot be combined with the address"),
    ],
)
def test_options_that_do_not_go_together(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    ended = shell("reconcile", "ledger.csv", "--out", "out", *arguments)
    assert (ended.code, said in ended.err) == (2, True), ended.err


async def test_accounts_that_are_kept_together_have_their_whole_rate(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, heard = Engine(["tcp://one:1", "tcp://two:2"]).use(monkeypatch), Heard()
    keys = [Credentials(f"key-{name}", "secret-of-both", user) for name, user in (("a", "21"), ("b", "22"))]
    async with Sandbox(refunds=40, seed=7, accounts=keys) as server:
        text = f'[defaults]\nbase_url = "{server.base_url}"\nrate = 500\n' + "".join(
            f'[accounts.{key.access_key}]\naccess_key = "{key.access_key}"\n'
            f'access_secret = "{key.access_secret}"\nuser_id = "{key.user_id}"\n'
            for key in keys
        )
        await asyncio.to_thread(users, text)
        lines = [
            f"{row['platform']},{row['refund_id']},{row['amount_fen']},key-{'ab'[at % 2]}"
            for at, row in enumerate(server.ledger_rows())
        ]
        ledger = tmp_path / "ledger.csv"
        await asyncio.to_thread(
            ledger.write_text, "\n".join(["platform,refund_id,amount_fen,account", *lines])
        )
        apart = await reconcile_on(
            engine, ledger, tmp_path / "apart", options=OPTIONS, parts=4, by_account=True, progress=heard
        )
        together = await reconcile_on(engine, ledger, tmp_path / "together", options=OPTIONS, parts=4)
    assert "each account is in one part, which has the whole rate of its accounts" in heard.notes
    assert {order.access.shares for _, order in engine.orders[:4]} == {1}
    assert {order.access.shares for _, order in engine.orders[4:]} == {2}
    assert apart.rows_digest == together.rows_digest
    assert apart.verdicts[Verdict.UNVERIFIED] == 0


def test_without_dask_the_command_says_what_to_install(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    ended = shell("reconcile", "--dask", "ledger.csv", "--out", "out")
    assert ended.code == 2
    assert "--dask needs Dask: pip install 'pandapon-async[dask]'" in ended.err
