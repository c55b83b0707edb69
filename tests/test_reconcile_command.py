"""`pandapon reconcile` as a process: its exit codes, its words, and what kill -9 does to it."""

from __future__ import annotations

import asyncio
import csv
import hashlib
import importlib
import json
import os
import re
import signal
import sqlite3
import sys
import time
from asyncio.subprocess import PIPE, Process
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from pandapon_async import Client, Settings
from pandapon_async.cli.exit_codes import exit_code
from pandapon_async.reconcile import Options, Summary, reconcile, rows_digest, state_path
from pandapon_async.reconcile.prometheus import write_metrics
from pandapon_async.reconcile.summary import Totals
from pandapon_async.sandbox import Sandbox
from tests.support.examples import examples

command = importlib.import_module("pandapon_async.cli.reconcile")  # the package has a function of this name
PROGRAM = "from pandapon_async.cli import main; main()"
REFUNDS = 240


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.csv"
    lines = list(Sandbox(refunds=REFUNDS, seed=7).ledger_rows())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


def environment(server: Sandbox | None, **changes: str) -> dict[str, str]:
    given = {name: value for name, value in os.environ.items() if not name.startswith("PANDAPON_")}
    if server is not None:
        given |= {
            "PANDAPON_ACCESS_KEY": server.credentials.access_key,
            "PANDAPON_ACCESS_SECRET": server.credentials.access_secret,
            "PANDAPON_USER_ID": server.credentials.user_id,
            "PANDAPON_BASE_URL": server.base_url,
            "PANDAPON_RATE": "none",
        }
    return given | changes


async def start(server: Sandbox, *arguments: object) -> Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        "reconcile",
        *map(str, arguments),
        env=environment(server),
        stdout=PIPE,
        stderr=PIPE,
    )


async def seen(server: Sandbox, requests: int) -> None:
    """Until the server has seen so many requests; another process makes them."""
    while len(server.log) < requests:  # noqa: ASYNC110 (no event tells of it)
        await asyncio.sleep(0.002)


def recorded(state: Path) -> set[str]:
    db = sqlite3.connect(state)
    found = {row[0] for row in db.execute("SELECT refund_id FROM ledger JOIN lookups USING (row)")}
    db.close()
    return found


def asked(server: Sandbox, ids: set[str], since: int) -> set[str]:
    by_body = {hashlib.sha256(b'{"refundId":"%s"}' % refund.encode()).hexdigest(): refund for refund in ids}
    log = list(server.log)[since:]
    return {by_body.get(entry.digest or "") or entry.path.partition("refundId=")[2] for entry in log}


async def test_kill_9_at_any_moment(tmp_path: Path, ledger: Path) -> None:
    out = tmp_path / "out"
    slow = (
        ledger,
        "--out",
        out,
        "--as-of",
        "2024-01-01T00:00:00+08:00",
        "--rate",
        "150",
        "--concurrency",
        "8",
    )
    async with Sandbox(refunds=REFUNDS, seed=7) as server:
        ids = {row["refund_id"] for row in server.ledger_rows()}
        for more in examples((70,), (40, 70)):
            known = recorded(state_path(ledger, out)) if out.exists() else set()
            before = len(server.log)
            process = await start(server, *slow)
            await seen(server, before + more)
            process.kill()
            await process.communicate()
            assert not asked(server, ids, before) & known
            assert not (out / "rows.csv").exists()
        known = recorded(state_path(ledger, out))
        assert 60 <= len(known) < REFUNDS
        before = len(server.log)
        resumed = await start(server, *slow)
        stdout, stderr = await resumed.communicate()
        assert not asked(server, ids, before) & known
        settings = Settings(base_url=server.base_url, rate=None)
        async with Client(server.credentials, settings) as pandapon:
            as_of = Options(as_of=datetime(2023, 12, 31, 16, tzinfo=UTC))
            expected = await reconcile(pandapon, ledger, tmp_path / "undisturbed", options=as_of)
    summary = json.loads(stdout)
    assert resumed.returncode == expected.exit_code == 1
    assert summary["rows_digest"] == expected.rows_digest == rows_digest(out / "rows.csv")
    assert summary["verdicts"] == expected.to_dict()["verdicts"]
    assert (
        f"{len(known)} of {len(known) + summary['run']['lookups']} lookups of an earlier run"
        in stderr.decode()
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_stops_cleanly_and_says_how_to_go_on(
    tmp_path: Path, ledger: Path, number: signal.Signals
) -> None:
    out = tmp_path / "the out"
    async with Sandbox(refunds=REFUNDS, seed=7) as server:
        process = await start(server, ledger, "--out", out, "--rate", "50", "--fresh")
        await seen(server, 20)
        process.send_signal(number)
        stdout, stderr = await process.communicate()
    assert process.returncode == 3
    assert stdout == b""
    assert f"Resume with:\n  pandapon reconcile {ledger} --out '{out}' --rate 50\n" in stderr.decode()
    assert "Traceback" not in stderr.decode()
    assert {file.name for file in out.iterdir()} == {state_path(ledger, out).name, ".pandapon.lock"}
    assert len(recorded(state_path(ledger, out))) >= 10


# In this process


@pytest.fixture
def runner(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.chdir(tmp_path)  # where there is no .env
    for name in [name for name in os.environ if name.startswith("PANDAPON_")]:
        monkeypatch.delenv(name)
    return CliRunner()


app = typer.Typer()
app.command()(command.reconcile)


async def invoke(runner: CliRunner, server: Sandbox, *arguments: object, **env: str) -> Any:
    return await asyncio.to_thread(
        runner.invoke, app, [str(argument) for argument in arguments], env=environment(server, **env)
    )


async def test_json_for_a_pipe(tmp_path: Path, ledger: Path, runner: CliRunner) -> None:
    async with Sandbox(refunds=REFUNDS, seed=7) as server:
        result = await invoke(runner, server, ledger, "--out", tmp_path / "out")
    assert result.exit_code == 1
    (line,) = result.stdout.splitlines()
    assert json.loads(line) == json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert "looking up:" in result.stderr


def series(file: Path) -> dict[str, str]:
    """The samples of a file for node_exporter, by name and labels."""
    lines = file.read_text(encoding="utf-8").splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    sample = re.compile(r"([a-z_]+){name=\"shop-a\"(?:,verdict=\"(\w+)\")?} ([0-9.]+)")
    found = [match.groups() for line in samples if (match := sample.fullmatch(line))]
    assert len(found) == len(samples)
    told = {line.split()[2] for line in lines if line.startswith("# TYPE") and line.endswith(" gauge")}
    assert told == {name for name, _, _ in found}
    return {f"{name} {verdict}" if verdict else name: value for name, verdict, value in found}


async def test_counts_for_node_exporter(tmp_path: Path, ledger: Path, runner: CliRunner) -> None:
    """Readable by all, as another user collects it; replaced by the next run, however that one ends."""
    file = tmp_path / "shop-a.prom"
    async with Sandbox(refunds=REFUNDS, seed=7) as server:
        result = await invoke(runner, server, ledger, "--out", tmp_path / "out", "--metrics", file)
        first = series(file)
        for out, changes, code in (
            ("b", {"PANDAPON_ACCESS_KEY": "other"}, 4),
            ("c", {"PANDAPON_RATE": "fast"}, 2),
        ):
            again = await invoke(
                runner, server, ledger, "--out", tmp_path / out, "--metrics", file, **changes
            )
            failed = series(file)
            ended = again.exception
            assert code == (ended.code if isinstance(ended, SystemExit) else exit_code(ended or typer.Exit()))
            assert failed.keys() == {
                "pandapon_reconcile_exit_code",
                "pandapon_reconcile_ended_timestamp_seconds",
            }
            assert failed["pandapon_reconcile_exit_code"] == str(code)
        nowhere = tmp_path / "none" / "a.prom"
        wrong = await invoke(runner, server, ledger, "--out", tmp_path / "d", "--metrics", nowhere)
        assert str(wrong.exception) == f"--metrics: the folder {nowhere.parent} does not exist"
        wrong = await invoke(runner, server, ledger, "--out", tmp_path / "d", "--metrics", tmp_path / "a.txt")
        assert str(wrong.exception) == "--metrics: node_exporter reads only files named *.prom, not a.txt"
        assert not (tmp_path / "d").exists()
    verdicts = json.loads(result.stdout)["verdicts"]
    assert {f"pandapon_reconcile_rows {verdict}": str(count) for verdict, count in verdicts.items()} == {
        name: value for name, value in first.items() if name.startswith("pandapon_reconcile_rows")
    }
    assert first["pandapon_reconcile_exit_code"] == "1"
    assert abs(float(first["pandapon_reconcile_ended_timestamp_seconds"]) - time.time()) < 60
    assert file.stat().st_mode & 0o777 == 0o644


def test_the_name_of_a_metrics_file_may_be_any(tmp_path: Path) -> None:
    file = tmp_path / os.fsdecode(b'a"b\\c\n\xff.prom')
    write_metrics(file, 70, 1.0)
    assert 'exit_code{name="a\\"b\\\\c\\n?"} 70\n' in file.read_text(encoding="utf-8")


async def test_options_reach_the_job(tmp_path: Path, runner: CliRunner) -> None:
    path = tmp_path / "ledger.csv"
    path.write_text("refund,sum\nTQ1,5.00\n", encoding="utf-8")
    options = (
        "--map",
        "amount=sum",
        "--amount-unit",
        "yuan",
        "--status-map",
        "done=refundsuccess",
        "--no-second-pass",
    )
    async with Sandbox(refunds=1, seed=7) as server:
        stopped = await invoke(runner, server, path, "--out", tmp_path / "out", *options)
        assert (stopped.exit_code, stopped.stdout) == (3, "")
        assert "none of the refund looked up first was found (1 not known)" in stopped.stderr
        assert "continue with --accept-missing" in stopped.stderr
        result = await invoke(runner, server, path, "--out", tmp_path / "out", "--accept-missing", *options)
        assert json.loads(result.stdout)["verdicts"]["missing_upstream"] == 1
    summary = json.loads(result.stdout)
    assert summary["options"]["status_map"] == {"done": ["refundsuccess"]}
    assert summary["ledger"]["columns"] == {"refund_id": "refund", "amount": "sum"}


def test_a_table_for_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary(
        ledger={"name": "[b]l.csv"},
        as_of="",
        options={},
        inferred=("so",),
        totals=Totals(),
        rows_digest="",
        run={"seconds": 61.2, "calls": 1_200, "retried": 3, "throttled": 2},
        reports={"report.html": {"rows": 2_000, "left_out": {"rows": 5, "at_stake_fen": {"CNY": 150}}}},
    )
    command._show(summary, tmp_path / "out")
    shown = capsys.readouterr().out
    assert "[b]l.csv: 0 rows" in shown
    assert "missing_upstream" in shown
    assert "note: so" in shown
    assert "at stake: ¥0.00" in shown
    assert "took 1 min 1 s: 1,200 calls, 3 retried, 2 throttled" in shown
    assert "report.html: 2,000 rows; omitted: 5, ¥1.50 at stake" in shown


async def test_everything_matched_is_0_and_unverified_is_3(tmp_path: Path, runner: CliRunner) -> None:
    path = tmp_path / "ledger.csv"
    async with Sandbox(refunds=5, seed=7) as server:
        refund = server.refund(0)
        lines = ["refund_id,amount_fen,status", f"{refund.refund_id},{refund.apply_payment},{refund.status}"]
        path.write_text("\n".join(lines), encoding="utf-8")
        assert (await invoke(runner, server, path, "--out", tmp_path / "out")).exit_code == 0
    closed = f"http://127.0.0.1:{server._address[1]}"
    options = ("--base-url", closed, "--fresh", "--no-second-pass")
    async with Sandbox(refunds=5, seed=7) as other:
        result = await invoke(runner, other, path, "--out", tmp_path / "out", *options)
    assert result.exit_code == 3
    assert json.loads(result.stdout)["verdicts"]["unverified"] == 1


async def test_refused_credentials_are_4_and_say_what_to_check(
    tmp_path: Path, ledger: Path, runner: CliRunner
) -> None:
    async with Sandbox(refunds=REFUNDS, seed=7) as server:
        result = await invoke(
            runner, server, ledger, "--out", tmp_path / "out", PANDAPON_ACCESS_SECRET="canary"
        )
    assert result.exit_code == 4
    assert "PANDAPON_USER_ID" in result.stderr
    assert "600 seconds" in result.stderr
    assert "canary" not in result.output


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--map", "refund_id"], "has no '='"),
        (["--as-of", "tomorrow"], "is not a time"),
        (["--amount-unit", "cent"], "--amount-unit"),
    ],
)
async def test_usage_errors(
    tmp_path: Path, ledger: Path, runner: CliRunner, options: list[str], words: str
) -> None:
    async with Sandbox(refunds=1, seed=7) as server:
        result = await invoke(runner, server, ledger, "--out", tmp_path / "out", *options)
    assert result.exit_code == 2
    assert words in result.stderr
    assert not (tmp_path / "out").exists()


async def test_a_full_disk_is_3_and_says_how_to_go_on(
    tmp_path: Path, ledger: Path, runner: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command.job, "reconcile", full)
    async with Sandbox(refunds=1, seed=7) as server:
        result = await invoke(runner, server, ledger, "--out", tmp_path / "out", "--as-of", "2024-01-01")
    assert result.exit_code == 3
    assert "No space left" in result.stderr
    assert "Resume with" in result.stderr
