"""The whole job against a sandbox: every row judged as planted, resumed without a lookup made twice."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import io
import json
import sqlite3
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import openpyxl
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pandapon_async import (
    AuthenticationError,
    Client,
    Clock,
    ConfigurationError,
    Credentials,
    InvalidArgumentError,
)
from pandapon_async.core.retry import RetryPolicy
from pandapon_async.errors import PandaponError
from pandapon_async.progress import ConsoleProgress, Counts, NullProgress
from pandapon_async.reconcile import (
    Options,
    Summary,
    Verdict,
    job,
    reconcile,
    rows_digest,
    state_path,
    writing,
)
from pandapon_async.reconcile.outputs import VARYING
from pandapon_async.sandbox import Fault, FaultKind, Sandbox, chaos
from pandapon_async.settings import Settings
from tests.support.examples import examples
from tests.support.virtual import LoopClock, virtual_time

REFUNDS = 300
RESUMED = examples(120, 300)
AS_OF = datetime(2024, 1, 1, tzinfo=UTC)
GET = "*.refunds.get"


class FreshClock(LoopClock):
    """The loop's clock with real nonces, as a test's second client must not repeat those of its first."""

    def nonce(self) -> str:
        return Clock.nonce(self)


def sandbox(refunds: int = REFUNDS, **settings: Any) -> Sandbox:
    return Sandbox(refunds=refunds, seed=7, clock=LoopClock(), sleep=asyncio.sleep, **settings)


def client(server: Sandbox, **changes: Any) -> Client:
    given = {"base_url": server.base_url, "rate": None, "clock": FreshClock(), "concurrency": 16}
    return Client(changes.pop("credentials", server.credentials), Settings(**{**given, **changes}))


def write_ledger(path: Path, server: Sandbox, rows: int | None = None) -> Path:
    lines = list(server.ledger_rows(rows))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def read_rows(out: Path) -> list[dict[str, str]]:
    with (out / "rows.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def verdicts(out: Path) -> list[str]:
    return [row["verdict"] for row in read_rows(out)]


def refunds_asked(server: Sandbox, ids: Iterable[str], since: int = 0) -> list[str]:
    """The refund ids that the server answered about, in order."""
    by_body = {hashlib.sha256(b'{"refundId":"%s"}' % refund.encode()).hexdigest(): refund for refund in ids}
    found = []
    for seen in list(server.log)[since:]:
        if seen.endpoint == "taobao.refunds.get":
            found.append(seen.path.partition("refundId=")[2])
        elif seen.endpoint == "alibaba.refunds.get":
            found.append(by_body[seen.digest or ""])
    return found


class Stopper(NullProgress):
    """Cancels the run when it has come so far."""

    def __init__(self, after: int | str) -> None:
        self.after = after
        self.count = 0

    def note(self, text: str) -> None:
        if isinstance(self.after, str) and text.startswith(self.after):
            self._cancel()

    def advance(self, *, failed: bool) -> None:
        self.count += 1
        if self.count == self.after:
            self._cancel()

    def _cancel(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()


@virtual_time
async def test_every_row_gets_the_verdict_that_was_planted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with sandbox(600) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server) as pandapon:
            summary = await reconcile(pandapon, ledger, out)
        assert verdicts(out) == list(server.truth())
        asked = len(refunds_asked(server, (row["refund_id"] for row in server.ledger_rows())))
    assert set(verdicts(out)) == {str(verdict) for verdict in Verdict} - {"unverified"}
    assert [row["row"] for row in read_rows(out)] == [str(number) for number in range(2, 602)]
    assert sum(summary.verdicts.values()) == summary.rows == 600
    assert summary.exit_code == 1
    left_out = summary.verdicts[Verdict.DUPLICATE_LOCAL] + summary.verdicts[Verdict.UNREADABLE]
    assert asked == summary.run["lookups"] == 600 - left_out
    assert sorted(file.name for file in out.iterdir()) == [
        ".pandapon.lock",
        "exceptions.csv",
        "report.html",
        "report.xlsx",
        "rows.csv",
        "rows.parquet",
        state_path(ledger, out).name,
        "summary.json",
    ]


@virtual_time
async def test_the_files_agree_with_each_other(tmp_path: Path) -> None:
    async with sandbox() as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server) as pandapon:
            summary = await reconcile(pandapon, ledger, tmp_path)
    rows, told = read_rows(tmp_path), json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert told == json.loads(json.dumps(summary.to_dict()))
    assert told["rows"] == len(rows) == REFUNDS == sum(told["verdicts"].values())
    assert told["verdicts"] == {str(verdict): verdicts(tmp_path).count(verdict) for verdict in Verdict}
    by_currency = [tally for part in told["currencies"].values() for tally in part.values()]
    assert sum(tally["rows"] for tally in by_currency) == REFUNDS
    ledger_fen = sum(int(row["ledger_amount_fen"] or 0) for row in rows)
    assert sum(tally["ledger_fen"] for tally in by_currency) == ledger_fen
    assert told["rows_digest"] == rows_digest(tmp_path / "rows.csv")
    assert all(row["request_id"] and row["looked_up_at"] for row in rows if row["verdict"] == "matched")
    with (tmp_path / "exceptions.csv").open(encoding="utf-8-sig", newline="") as file:
        listed = [row["row"] for row in csv.DictReader(file)]
    assert listed == [row["row"] for row in rows if row["verdict"] != "matched"]
    sheet = openpyxl.load_workbook(tmp_path / "report.xlsx").worksheets[1]
    numbers: list[Any] = [cells[0] for cells in sheet.iter_rows(min_row=2, values_only=True)]
    assert sorted(numbers) == list(map(int, listed))
    assert told["reports"]["report.html"] == {
        "rows": len(listed),
        "left_out": {"rows": 0, "at_stake_fen": {}},
    }
    assert told["run"]["seconds"] >= 0


@virtual_time
async def test_the_frame_has_types_and_every_fen(tmp_path: Path) -> None:
    async with sandbox() as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server) as pandapon:
            await reconcile(pandapon, ledger, tmp_path)
    frame, rows = polars.read_parquet(tmp_path / "rows.parquet"), read_rows(tmp_path)
    assert frame.height == len(rows)
    assert frame.schema["order_id"] == polars.String
    assert frame.schema["ledger_amount"] == polars.Decimal(38, 2)
    assert frame.schema["looked_up_at"] == polars.Datetime("ms", "UTC")
    for made, row in zip(frame.iter_rows(named=True), rows, strict=True):
        fen = "" if made["ledger_amount"] is None else str(int(made["ledger_amount"] * 100))
        assert (made["order_id"] or "", fen) == (row["order_id"], row["ledger_amount_fen"])
        assert (made["row"], made["verdict"]) == (int(row["row"]), row["verdict"])


@virtual_time
async def test_without_pyarrow_there_is_no_frame_and_the_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even one of an earlier run: it would belong to other rows."""
    async with sandbox() as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server) as pandapon:
            await reconcile(pandapon, ledger, tmp_path)
            assert (tmp_path / "rows.parquet").exists()
            for module in (job, writing):
                monkeypatch.setattr(module, "can_write_parquet", lambda: False)
            told = io.StringIO()
            await reconcile(pandapon, ledger, tmp_path, progress=ConsoleProgress(told))
    assert not (tmp_path / "rows.parquet").exists()
    assert "no rows.parquet: it needs pyarrow (pip install 'pandapon-async[reconcile]')" in told.getvalue()


def write_xlsx(path: Path, rows: list[dict[str, str]]) -> None:
    workbook = openpyxl.Workbook()
    sheet = workbook.worksheets[0]
    sheet.append(list(rows[0]))
    for row in rows:
        sheet.append(list(row.values()))
    workbook.save(path)


def write_parquet(path: Path, rows: list[dict[str, str]]) -> None:
    pq.write_table(pa.table({name: [row[name] for row in rows] for name in rows[0]}), path)


@pytest.mark.parametrize("write", [write_xlsx, write_parquet])
@virtual_time
async def test_other_formats_come_to_the_same(
    tmp_path: Path, write: Callable[[Path, list[dict[str, str]]], None]
) -> None:
    async with sandbox(150) as server:
        write(tmp_path / "ledger", list(server.ledger_rows()))
        async with client(server) as pandapon:
            await reconcile(pandapon, tmp_path / "ledger", tmp_path / "out")
        assert verdicts(tmp_path / "out") == list(server.truth())


@virtual_time
async def test_faults_change_no_verdict(tmp_path: Path) -> None:
    async with sandbox(examples(120, REFUNDS), faults=chaos(0.2)) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server) as pandapon:
            summary = await reconcile(pandapon, ledger, tmp_path / "out")
        assert verdicts(tmp_path / "out") == list(server.truth())
    assert summary.run["retried"] > 10


@virtual_time
async def test_a_long_pause_fails_nothing(tmp_path: Path) -> None:
    """The vendor asks for 45 seconds of silence, more than a lookup's own time."""
    throttle = Fault(FaultKind.THROTTLE_429, 0.05, times=3, retry_after=45.0)
    async with sandbox(120, faults=[throttle]) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, timeout=10.0, rate=50.0) as pandapon:
            summary = await reconcile(pandapon, ledger, tmp_path / "out")
            assert pandapon.statistics.throttled >= 1
            assert pandapon.limiter.paused_seconds > 40
    assert summary.verdicts[Verdict.UNVERIFIED] == 0
    assert summary.run["second_pass"] == 0


@virtual_time
async def test_a_slow_rate_needs_no_more_in_flight_than_it_serves(tmp_path: Path) -> None:
    async with sandbox(100) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, timeout=4.0, rate=0.5, concurrency=100) as pandapon:
            summary = await reconcile(pandapon, ledger, tmp_path / "out")
    assert summary.verdicts[Verdict.UNVERIFIED] == 0


# Resuming


async def undisturbed(tmp_path: Path, server: Sandbox, ledger: Path) -> Summary:
    async with client(server) as pandapon:
        return await reconcile(pandapon, ledger, tmp_path / "undisturbed", options=Options(as_of=AS_OF))


def recorded(state: Path) -> set[str]:
    """The refund ids whose lookups a state file holds."""
    with sqlite3.connect(state) as db:
        found = {row[0] for row in db.execute("SELECT refund_id FROM ledger JOIN lookups USING (row)")}
    db.close()
    return found


@pytest.mark.parametrize(
    "stops",
    [
        pytest.param(["reading"], marks=pytest.mark.nightly),
        pytest.param([1], marks=pytest.mark.nightly),
        pytest.param([RESUMED // 2], marks=pytest.mark.nightly),
        pytest.param([1, 2, 3, 5, 8, 13, 21, 34, 55], marks=pytest.mark.nightly),
        ["reading", 1, 2, 3, 5, 8],
        pytest.param(["writing"], marks=pytest.mark.nightly),
        [RESUMED // 3, "writing", "writing"],
    ],
    ids=str,
)
@virtual_time
async def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, stops: list[int | str]) -> None:
    out = tmp_path / "out"
    async with sandbox(RESUMED) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        ids = [row["refund_id"] for row in server.ledger_rows()]
        expected = await undisturbed(tmp_path, server, ledger)
        known: set[str] = set()
        for stop in stops:
            seen = len(server.log)
            async with client(server) as pandapon:
                with pytest.raises(asyncio.CancelledError):
                    await reconcile(
                        pandapon, ledger, out, options=Options(as_of=AS_OF), progress=Stopper(stop)
                    )
                asyncio.current_task().uncancel()  # type: ignore[union-attr]
            assert not known & set(refunds_asked(server, ids, seen))
            known = recorded(state_path(ledger, out))
            assert not list(out.glob(".*.partial"))
            assert stop == "writing" or not (out / "rows.csv").exists()
        seen = len(server.log)
        async with client(server) as pandapon:
            summary = await reconcile(pandapon, ledger, out, options=Options(as_of=AS_OF))
        assert not known & set(refunds_asked(server, ids, seen))
    assert summary.run["lookups_before"] == len(known)
    assert summary.run["lookups"] + len(known) == expected.run["lookups"]
    assert summary.rows_digest == expected.rows_digest
    assert [list(row.values())[:-VARYING] for row in read_rows(out)] == [
        list(row.values())[:-VARYING] for row in read_rows(tmp_path / "undisturbed")
    ]


@virtual_time
async def test_a_finished_run_is_not_believed_again_unless_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with sandbox(60) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server) as pandapon:
            first = await reconcile(pandapon, ledger, out)
            seen = len(server.log)
            again = await reconcile(pandapon, ledger, out)
            assert len(server.log) == 2 * seen
            await asyncio.sleep(1800)
            reused = await reconcile(pandapon, ledger, out, options=Options(reuse=timedelta(hours=1)))
            assert len(server.log) == 2 * seen
            ages = [int(row["lookup_age_s"]) for row in read_rows(out) if row["looked_up_at"]]
            assert 1800 <= min(ages) <= max(ages) == reused.run["oldest_lookup_age_s"] < 1900
            await asyncio.sleep(3600)
            late = await reconcile(pandapon, ledger, out, options=Options(reuse=timedelta(hours=1)))
            assert len(server.log) == 3 * seen
            await reconcile(pandapon, ledger, out, options=Options(fresh=True))
            assert len(server.log) == 4 * seen
    assert first.rows_digest == again.rows_digest == reused.rows_digest == late.rows_digest
    assert (reused.run["lookups"], reused.run["lookups_before"]) == (0, first.run["lookups"])
    assert (again.run["lookups"], again.run["oldest_lookup_age_s"]) == (first.run["lookups"], None)


@virtual_time
async def test_lookups_are_reused_for_the_same_question_only(tmp_path: Path) -> None:
    """The row numbers of another ledger, or of other columns, would name other refunds."""
    out, state = tmp_path / "out", tmp_path / "run.sqlite"
    reuse = timedelta(days=9)
    async with sandbox(60) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        other = tmp_path / "other.csv"
        other.write_bytes(ledger.read_bytes().replace(b"\n", b"\n\n", 1))
        async with client(server) as pandapon:
            first = await reconcile(pandapon, ledger, out, state=state)
            for path, options in (
                (ledger, Options(reuse=reuse, platform="1688")),
                (other, Options(reuse=reuse)),
            ):
                run = (await reconcile(pandapon, path, out, state=state, options=options)).run
                assert (run["lookups_before"], run["lookups"] > 0) == (0, True)
    assert first.run["lookups"] > 0


class Notes(NullProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)


@virtual_time
async def test_the_next_night_the_same_ledger_is_looked_up_anew(tmp_path: Path) -> None:
    out, notes = tmp_path / "out", Notes()
    async with sandbox(60) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server) as pandapon:
            first = await reconcile(pandapon, ledger, out)
            refund = server.find("1688", "waitbuyersend")
            await pandapon.v1.alibaba.refunds.return_goods(
                refund_id=refund.refund_id, logistics_company_no="SF", freight_bill="SF1"
            )
            await asyncio.sleep(24 * 3600)
            second = await reconcile(pandapon, ledger, out, progress=notes)
    assert second.run["lookups"] == first.run["lookups"]
    assert second.verdicts[Verdict.STATUS_DRIFT] == first.verdicts[Verdict.STATUS_DRIFT] + 1
    assert "lookups of an earlier run are too old and are repeated; --reuse AGE uses them" in notes.said[0]


@virtual_time
async def test_lookups_of_another_vendor_are_never_mixed_in(tmp_path: Path) -> None:
    """A trial on a sandbox and then the real thing into the same folder: the trial must not decide a row."""
    out = tmp_path / "out"
    async with sandbox(60, faults="error_500:1:endpoint=*taobao.refunds.get") as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, retry=RetryPolicy(attempts=1)) as pandapon:
            assert (await reconcile(pandapon, ledger, out)).exit_code == 3
        asked = len(server.log)
        async with client(server, vendor_id="api.example") as pandapon:
            for options in (Options(), Options(reuse=timedelta(hours=1))):
                with pytest.raises(ConfigurationError, match="lookups from localhost, but this run asks api"):
                    await reconcile(pandapon, ledger, out, options=options)
        assert len(server.log) == asked
        async with client(server, retry=RetryPolicy(attempts=1)) as pandapon:
            again = await reconcile(pandapon, ledger, out)
            assert again.run["lookups_before"] > 0


@virtual_time
@pytest.mark.parametrize(("hours", "reuse", "resumed"), [(11, None, True), (13, None, False), (13, 14, True)])
async def test_what_was_interrupted_is_resumed_for_a_night(
    tmp_path: Path, hours: int, reuse: int | None, resumed: bool
) -> None:
    out, notes = tmp_path / "out", Notes()
    options = Options(reuse=None if reuse is None else timedelta(hours=reuse))
    async with sandbox(60, faults="error_500:1:endpoint=*taobao.refunds.get") as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, retry=RetryPolicy(attempts=1)) as pandapon:
            first = await reconcile(pandapon, ledger, out)
            await asyncio.sleep(hours * 3600)
            second = await reconcile(pandapon, ledger, out, progress=notes, options=options)
    assert first.totals.unverified
    assert (second.run["lookups_before"] > 0) is resumed
    assert (second.run["oldest_lookup_age_s"] is not None) is resumed
    said = [note for note in notes.said if note.startswith("reusing ")]
    assert len(said) == resumed
    assert all(note.endswith("; --fresh repeats them") for note in said)
    ages = [int(row["lookup_age_s"]) for row in read_rows(out) if row["looked_up_at"]]
    assert (max(ages) >= hours * 3600) is resumed


@virtual_time
async def test_a_lookup_from_the_future_has_no_age(tmp_path: Path) -> None:
    """The machine's clock was ahead by a year, and was set right."""
    out = tmp_path / "out"
    async with sandbox(60, faults="error_500:1:endpoint=*taobao.refunds.get") as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, retry=RetryPolicy(attempts=1)) as pandapon:

            class Ahead(LoopClock):
                def wall(self) -> float:
                    return super().wall() + 365 * 86_400

            await reconcile(pandapon, ledger, out, clock=Ahead())
            options = Options(reuse=timedelta(days=999))
            second = await reconcile(pandapon, ledger, out, options=options)
    assert second.run["lookups_before"] == 0


@virtual_time
async def test_now_is_that_of_the_first_start(tmp_path: Path) -> None:
    out, state = tmp_path / "out", tmp_path / "s.sqlite"
    far = Options(as_of=datetime(2100, 1, 1, tzinfo=UTC))
    async with sandbox(60, faults="error_500:1:endpoint=*taobao.refunds.get") as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, retry=RetryPolicy(attempts=1)) as pandapon:
            first = await reconcile(pandapon, ledger, out, options=far, state=state)
            again = await reconcile(pandapon, ledger, out, state=state)
            with pytest.raises(ConfigurationError, match="judges deadlines as of 2100"):
                await reconcile(pandapon, ledger, out, options=Options(as_of=AS_OF), state=state)
    assert first.verdicts == again.verdicts
    assert first.verdicts[Verdict.TIMED_OUT] > 5


# Failures


@virtual_time
async def test_a_failed_lookup_is_unverified_and_retried_by_the_next_run(tmp_path: Path) -> None:
    out = tmp_path / "out"
    retry = RetryPolicy(attempts=1)
    broken = Fault(FaultKind.ERROR_502_HTML, 1.0, endpoint="alibaba.refunds.get")
    async with sandbox(120, faults=[broken]) as server:
        truth = list(server.truth())
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, retry=retry) as pandapon:
            summary = await reconcile(pandapon, ledger, out)
    for row, expected in zip(read_rows(out), truth, strict=True):
        on_1688 = row["platform"] == "1688" and expected not in ("unreadable", "duplicate_local")
        assert row["verdict"] == ("unverified" if on_1688 else expected)
    assert summary.exit_code == 3
    assert summary.run["second_pass"] == summary.verdicts[Verdict.UNVERIFIED] > 20
    reasons = {row["reason"] for row in read_rows(out) if row["verdict"] == "unverified"}
    assert reasons == {"lookup failed: HTTP 502: the answer cannot be read"}
    async with sandbox(120) as server, client(server) as pandapon:
        resumed = await reconcile(pandapon, ledger, out)
        assert verdicts(out) == truth
        assert resumed.run["lookups"] == summary.verdicts[Verdict.UNVERIFIED] == len(server.log)


@pytest.mark.parametrize("second_pass", [True, False])
@virtual_time
async def test_the_second_pass(tmp_path: Path, second_pass: bool) -> None:
    passing = Fault(FaultKind.ERROR_502_HTML, 1.0, endpoint=GET, times=25)
    async with sandbox(120, faults=[passing]) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        async with client(server, retry=RetryPolicy(attempts=1)) as pandapon:
            summary = await reconcile(
                pandapon, ledger, tmp_path / "out", options=Options(second_pass=second_pass)
            )
        if second_pass:
            assert verdicts(tmp_path / "out") == list(server.truth())
    assert summary.run["second_pass"] == (25 if second_pass else 0)
    assert summary.verdicts[Verdict.UNVERIFIED] == (0 if second_pass else 25)


@virtual_time
async def test_refused_credentials_stop_the_run_and_record_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with sandbox() as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        wrong = Credentials(access_key=server.credentials.access_key, access_secret="wrong", user_id="1")
        async with client(server, credentials=wrong) as pandapon:
            with pytest.raises(AuthenticationError):
                await reconcile(pandapon, ledger, out)
        assert len(server.log) <= 16
        assert recorded(state_path(ledger, out)) == set()
        assert not (out / "rows.csv").exists()
        async with client(server) as pandapon:
            await reconcile(pandapon, ledger, out)
        assert verdicts(out) == list(server.truth())


# Refusals: before anything is looked up


async def refused(server: Sandbox, ledger: Path, out: Path, **arguments: Any) -> str:
    before = len(server.log)
    async with client(server) as pandapon:
        with pytest.raises(PandaponError) as error:
            await reconcile(pandapon, ledger, out, **arguments)
    assert isinstance(error.value, ConfigurationError | InvalidArgumentError)
    assert len(server.log) == before
    return str(error.value)


@virtual_time
async def test_what_cannot_work_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    out = tmp_path / "out"
    async with sandbox(10) as server:
        assert "does not exist" in await refused(server, tmp_path / "none.csv", out)
        bare = tmp_path / "bare.csv"
        bare.write_text("refund_id,amount\nTQ1,5\n", encoding="utf-8")
        assert "--amount-unit" in await refused(server, bare, out)
        assert not out.exists()
        out.mkdir()
        (out / "rows.csv").write_text("precious")
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        assert "was not written by a reconciliation" in await refused(server, ledger, out)
        assert (out / "rows.csv").read_text() == "precious"
        assert [file.name for file in out.iterdir()] == ["rows.csv"]


@virtual_time
async def test_a_state_is_for_one_ledger_and_one_meaning(tmp_path: Path) -> None:
    out, state = tmp_path / "out", tmp_path / "state.sqlite"
    async with sandbox(20, faults="error_500:1:endpoint=*taobao.refunds.get") as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        other = write_ledger(tmp_path / "other.csv", server, 10)
        async with client(server, retry=RetryPolicy(attempts=1)) as pandapon:
            assert (await reconcile(pandapon, ledger, out, state=state)).totals.unverified
            assert "belongs to another ledger" in await refused(server, other, out, state=state)
            changed = Options(amount_basis="applied", tolerance_fen=5)
            told = await refused(server, ledger, out, state=state, options=changed)
            assert "another amount_basis, tolerance_fen" in told
            options = Options(fresh=True, tolerance_fen=5)
            assert (await reconcile(pandapon, other, out, state=state, options=options)).rows == 10


@virtual_time
@pytest.mark.parametrize("other", ["ledger.csv", "another.csv"])
async def test_two_runs_at_once_do_not_share_a_folder(tmp_path: Path, other: str) -> None:
    out = tmp_path / "out"

    class Second(NullProgress):
        """Starts a second run in the middle of the first."""

        told = ""

        def begin(self, task: str, total: int, done: int, counts: Counts) -> None:
            self.task = asyncio.ensure_future(self.run())

        async def run(self) -> None:
            with pytest.raises(ConfigurationError) as error:
                await reconcile(pandapon, tmp_path / other, out)
            self.told = str(error.value)

    async with sandbox(60) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        (tmp_path / "another.csv").write_bytes(ledger.read_bytes() + b"\n")
        async with client(server) as pandapon:
            second = Second()
            await reconcile(pandapon, ledger, out, progress=second)
            await second.task
    assert "is being written by another process" in second.told


@virtual_time
async def test_a_ledger_that_changes_under_the_reader_is_refused(tmp_path: Path) -> None:
    class Meddler(NullProgress):
        def note(self, text: str) -> None:
            if text.startswith("reading"):
                with ledger.open("a", encoding="utf-8") as file:
                    file.write("\n")

    async with sandbox(10) as server:
        ledger = write_ledger(tmp_path / "ledger.csv", server)
        told = await refused(server, ledger, tmp_path / "out", progress=Meddler())
    assert "was changed while it was read" in told


@virtual_time
async def test_a_ledger_without_rows(tmp_path: Path) -> None:
    ledger = tmp_path / "ledger.csv"
    ledger.write_text("refund_id,amount_fen\n,\n", encoding="utf-8")
    async with sandbox(1) as server, client(server) as pandapon:
        with pytest.raises(InvalidArgumentError, match="has no rows below its column names"):
            await reconcile(pandapon, ledger, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.csv"]
