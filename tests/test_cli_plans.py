"""`pandapon returns` and `pandapon refunds`: what they say, ask, refuse, and how they end."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from pandapon_async.cli import plan_options
from pandapon_async.money import Fen
from pandapon_async.sandbox import Sandbox
from tests.support import plan_files
from tests.support.command import Ended, Shell
from tests.support.warm import interpreter

RETURNED = "reset_after:1.0:endpoint=*.return_goods:times=1,reset_before:1.0:endpoint=*.return_goods:times=1"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


def facts(ended: Ended) -> dict[str, Any]:
    (line,) = ended.out.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def returns(server: Sandbox, folder: Path, count: int, *more: dict[str, str]) -> Path:
    rows = plan_files.return_rows(plan_files.returnable(server, count))
    return plan_files.write_table(folder / "returns.csv", [*rows, *more])


async def test_the_way_of_a_plan(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        bad = {**plan_files.return_rows(["TQ1"])[0], "freight_bill": ""}
        returns(server, tmp_path, 4, bad)
        planned = await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
        assert (planned.code, len(server.effects)) == (1, 0)
        assert "To carry it out:\n  pandapon returns apply plan.db" in planned.err
        found = facts(planned)
        assert found["states"] == {"planned": 4, "refused": 1}
        (row,) = found["refused"]
        assert (row["row"], row["column"], row["id"]) == (6, "freight_bill", "TQ1")
        assert row["reason"] == "freight_bill is required"
        assert len(found["largest"]) == 4
        shown = await shell.beside("returns", "show", "plan.db")
        assert facts(shown)["planned"] == found["planned"]
        tried = await shell.beside("returns", "apply", "plan.db", "--dry-run")
        assert (tried.code, len(server.effects)) == (0, 0)
        assert "CNY" in tried.err
        applied = await shell.beside("returns", "apply", "plan.db", "--yes", "--max-total", "99999999yuan")
        assert (applied.code, facts(applied)["states"]) == (1, {"confirmed": 4, "refused": 1})
        assert len(plan_files.effects_per_key(server, "return_goods")) == 4
        lines = plan_files.results_of(tmp_path / "plan.db.results.jsonl")
        assert [(line["row"], line["state"]) for line in lines] == [
            (2, "confirmed"), (3, "confirmed"), (4, "confirmed"), (5, "confirmed"), (6, "refused"),
        ]  # fmt: skip
        assert (tmp_path / "journal.sqlite").is_file(), "towards loopback the journal lies beside the plan"


async def test_unknown_outcomes_end_with_advice(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=400, faults=RETURNED) as server:
        shell.use(server)
        returns(server, tmp_path, 4)
        await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
        first = await shell.beside(
            "returns", "apply", "plan.db", "--yes", "--no-wait", "--settle-after", "0.2"
        )
        assert first.code == 3
        assert facts(first)["states"] == {"confirmed": 2, "settled_done": 1, "unknown": 1}
        assert "1 row with an unknown outcome, which will not be sent again" in first.err
        assert "pandapon journal resolve INTENT --as done|absent" in first.err
        assert "Continue with:\n  pandapon returns apply plan.db --yes" in first.err
        second = await shell.beside("returns", "apply", "plan.db", "--yes", "--settle-after", "0.2")
        assert (second.code, facts(second)["states"]["settled_absent"]) == (1, 1)
        (absent,) = facts(second)["problems"]
        assert f"{absent['reason']} {absent['note']}".count("not found at") == 1
        assert "add --resend-absent" in second.err
        third = await shell.beside(
            "returns", "apply", "plan.db", "--yes", "--resend-absent", "--settle-after", "0.2"
        )
        assert (third.code, facts(third)["done"]) == (0, 4)
        assert set(plan_files.effects_per_key(server, "return_goods").values()) == {1}


@pytest.mark.parametrize("count", [0, 1])
async def test_a_plan_of_nothing_says_so(shell: Shell, tmp_path: Path, count: int) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        row = {**plan_files.return_rows(["TQ1"])[0], "freight_bill": ""}
        table = plan_files.write_table(tmp_path / "returns.csv", [row])
        if not count:
            table.write_text(table.read_text().splitlines()[0] + "\n")
        ended = await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
    assert ended.code == (1 if count else 2)
    said = (
        "no row can be sent; correct the table and create the plan again"
        if count
        else "has no rows below its column names"
    )
    assert said in ended.err
    assert "To carry it out" not in ended.err


async def test_a_plan_over_its_limit_is_refused_before_anybody_is_asked(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        returns(server, tmp_path, 2)
        await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
        ended = await shell.beside("returns", "apply", "plan.db", "--max-total", "1")
        assert (ended.code, len(server.effects)) == (2, 0)
    assert "--max-total is 1 fen (0.01 yuan); nothing was sent" in ended.err
    assert "--yes" not in ended.err


async def test_without_a_terminal_it_wants_a_yes(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        returns(server, tmp_path, 2)
        await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
        ended = await shell.beside("returns", "apply", "plan.db")
        assert (ended.code, len(server.effects)) == (2, 0)
        assert "add --yes" in ended.err


def terminal(server: Sandbox, folder: Path, answer: bytes, *arguments: str) -> tuple[int, str]:
    """Run `pandapon` on a terminal of its own, answer its question, and see what it shows."""
    screen, side = pty.openpty()
    command = [interpreter(), "-c", plan_files.PROGRAM, *arguments]
    given = plan_files.environment(server, COLUMNS="120", TERM="dumb")
    process = subprocess.Popen(
        command, cwd=folder, env=given, stdin=side, stdout=side, stderr=side, start_new_session=True
    )
    os.close(side)
    shown, answered = b"", False
    while True:
        try:
            piece = os.read(screen, 65536)
        except OSError:
            break
        if not piece:
            break
        shown += piece
        if b"[y/N]" in shown and not answered:
            os.write(screen, answer)
            answered = True
    os.close(screen)
    return process.wait(), shown.decode()


async def test_on_a_terminal_it_asks(tmp_path: Path) -> None:
    async with Sandbox(refunds=400) as server:
        rows = plan_files.write_table(tmp_path / "refunds.csv", plan_files.refund_rows(3))
        await plan_files.run(server, "refunds", "plan", rows, "--out", tmp_path / "plan.db")
        command = ("refunds", "apply", "plan.db")
        code, shown = await asyncio.to_thread(terminal, server, tmp_path, b"n\n", *command)
        assert (code, len(server.effects)) == (3, 0), shown
        assert "Send 3 refund applications (CNY 15.03)? [y/N]" in shown
        assert "nothing was sent" in shown
        code, shown = await asyncio.to_thread(terminal, server, tmp_path, b"y\n", *command)
        assert (code, len(server.effects)) == (0, 3)
        assert "all in CNY" in shown
        assert "confirmed" in shown


async def test_ctrl_c_ends_in_good_order_and_says_how_to_go_on(tmp_path: Path) -> None:
    async with Sandbox(refunds=2_000, faults="latency:1.0:endpoint=*.return_goods:delay=0.05") as server:
        table = returns(server, tmp_path, 40)
        await plan_files.run(server, "returns", "plan", table, "--out", tmp_path / "plan.db")
        before = len(server.log)
        process = await plan_files.start(
            server, "returns", "apply", tmp_path / "plan.db", "--yes", "--concurrency", 4
        )
        await plan_files.seen(server, before + 10, process)
        process.send_signal(signal.SIGINT)
        code, out, err = await plan_files.finish(process)
        assert code == 3
        assert "stopping: no new rows are sent" in err
        assert "Continue with:" in err
        states = json.loads(out)["states"]
        assert set(states) == {"planned", "confirmed"}
        assert states["confirmed"] == len(server.effects) < 25
        assert len(plan_files.results_of(tmp_path / "plan.db.results.jsonl")) == 40


async def test_two_processes_apply_one_plan(tmp_path: Path) -> None:
    async with Sandbox(refunds=2_000, faults="latency:1.0:endpoint=*.return_goods:delay=0.05") as server:
        table = returns(server, tmp_path, 60)
        await plan_files.run(server, "returns", "plan", table, "--out", tmp_path / "plan.db")
        command = ("returns", "apply", tmp_path / "plan.db", "--yes", "--concurrency", 2)
        processes = [await plan_files.start(server, *command) for _ in range(2)]
        ended = await asyncio.gather(*map(plan_files.finish, processes))
        (first, second) = sorted(ended)
        assert (first[0], second[0]) == (0, 2)
        assert " is applying " in second[2]
        assert "Wait for it, or stop it" in second[2]
        assert json.loads(first[1])["done"] == 60
        succeeded = plan_files.effects_per_key(server, "return_goods")
        assert (len(succeeded), set(succeeded.values())) == (60, {1})


async def test_a_wrong_secret_ends_with_its_own_code(shell: Shell, tmp_path: Path, monkeypatch: Any) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        returns(server, tmp_path, 2)
        await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
        monkeypatch.setenv("PANDAPON_ACCESS_SECRET", "not-the-secret")
        planned = await shell.beside("returns", "plan", "returns.csv", "--out", "other.db")
        applied = await shell.beside("returns", "apply", "plan.db", "--yes")
    assert (planned.code, applied.code) == (4, 4)
    assert "No plan was written" in planned.err
    assert not (tmp_path / "other.db").exists()
    assert "PANDAPON_ACCESS_SECRET" in applied.err
    assert "not-the-secret" not in planned.err + planned.out + applied.err + applied.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("returns", "plan", "returns.csv"), "name the plan with --out"),
        (("returns", "plan", "nope.csv", "--out", "p.db"), "the table nope.csv does not exist"),
        (("returns", "plan", "returns.csv", "--out", "p.db", "--map", "refund_id"), "has no '='"),
        (("returns", "plan", "returns.csv", "--out", "taken.db"), "never overwritten"),
        (("returns", "show", "returns.csv"), "is not a SQLite database"),
        (("returns", "apply", "nope.db"), "the plan nope.db does not exist"),
        (("refunds", "apply", "plan.db", "--yes"), "is a plan of returns: use `pandapon returns`"),
        (("returns", "apply", "plan.db", "--yes", "--max-total", "50.00"), "fen are whole numbers"),
        (("returns", "apply", "plan.db", "--yes", "--max-each", "much"), "is not an amount; write"),
    ],
)
def test_usage(shell: Shell, tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    for name in ("ACCESS_KEY", "ACCESS_SECRET", "USER_ID"):
        os.environ[f"PANDAPON_{name}"] = "x"
    try:
        plan_files.write_table(tmp_path / "returns.csv", plan_files.return_rows(["TQ1"]))
        (tmp_path / "taken.db").write_text("mine")
        shell("returns", "plan", "returns.csv", "--out", "plan.db", "--offline")
        ended = shell(*arguments)
    finally:
        for name in ("ACCESS_KEY", "ACCESS_SECRET", "USER_ID"):
            del os.environ[f"PANDAPON_{name}"]
    assert ended.code == 2
    assert message in " ".join(ended.err.replace("│", " ").split())


def test_a_dry_run_of_planning_needs_no_out(shell: Shell, tmp_path: Path, monkeypatch: Any) -> None:
    for name in ("ACCESS_KEY", "ACCESS_SECRET", "USER_ID"):
        monkeypatch.setenv(f"PANDAPON_{name}", "x")
    plan_files.write_table(tmp_path / "returns.csv", plan_files.return_rows(["TQ1"]))
    ended = shell("returns", "plan", "returns.csv", "--offline", "--dry-run")
    assert (ended.code, facts(ended)["plan"]) == (0, None)
    assert [path.name for path in tmp_path.iterdir()] == ["returns.csv"]


async def test_rows_that_could_not_be_checked_end_with_code_3(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        returns(server, tmp_path, 1)
        plan_files.misbehave(server, "throttle_429:1.0:retry_after=3600")
        ended = await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
    assert (ended.code, facts(ended)["unchecked"]) == (3, 1)
    assert "not checked: the refund form could not be read (rate_limit)" in ended.out


@pytest.mark.parametrize(
    ("text", "amount"),
    [("500", 500), ("500fen", 500), ("500 分", 500), ("5yuan", 500), ("5.5 yuan", 550), ("0.05元", 5)],
)
def test_amounts_of_limits(text: str, amount: int) -> None:
    assert plan_options.fen(text, "--max-total") == Fen(amount)


@pytest.mark.parametrize("text", ["5.00", "5.005yuan", "-5", "five", "5usd", "", "1e5"])
def test_amounts_that_could_be_mistaken_are_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        plan_options.fen(text, "--max-total")


async def test_people_see_tables(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    async with Sandbox(refunds=2_000, faults=RETURNED) as server:
        shell.use(server)
        more = [{**row, "refund_id": "nonsense"} for row in plan_files.return_rows(["x"] * 30)]
        table = returns(server, tmp_path, 4, *more)
        rows = [
            {**row, "shop": f"[red]shop {number}"} for number, row in enumerate(plan_files.read_table(table))
        ]
        plan_files.write_table(table, rows)
        planned = await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
        assert "returns.csv: 34 rows, 4 planned, 30 refused" in planned.out
        assert "[red]shop 2" in planned.out, "what a table says is no markup"
        assert "and 10 more (in the plan and in the JSON)" in planned.out
        first = await shell.beside("returns", "apply", "plan.db", "--yes", "--no-wait")
        assert "it may have been carried out; absent: " in first.out
        shown = await shell.beside("returns", "show", "plan.db")
        assert "applied before: 2 confirmed, 1 settled_done, 1 unknown" in shown.out
        assert "to be sent now: 0 rows" in shown.out
        offline = await shell.beside("returns", "plan", "returns.csv", "--offline", "--dry-run")
        assert "4 rows with an unknown amount" in offline.out
        assert "note: offline: no request to the vendor" in offline.out


async def test_another_journal_ends_apply_before_anybody_is_asked(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        returns(server, tmp_path, 3)
        await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
        for asked in ((), ("--yes",), ("--dry-run",)):
            ended = await shell.beside("returns", "apply", "plan.db", *asked, "--journal", "other.sqlite")
            assert (ended.code, len(server.effects)) == (2, 0)
            assert f"belongs to the journal {tmp_path / 'journal.sqlite'}" in ended.err
            assert "other.sqlite does not exist" in ended.err
            assert "--adopt-journal" in ended.err
        assert not (tmp_path / "other.sqlite").exists()
        more = ("--yes", "--adopt-journal", "--settle-after", "0.1")
        adopted = await shell.beside("returns", "apply", "plan.db", *more, "--journal", "other.sqlite")
        assert (adopted.code, facts(adopted)["states"]) == (0, {"confirmed": 3})
        assert "because writes sent elsewhere may still appear" in adopted.err


async def test_a_plan_for_a_machine_that_is_not_chosen_yet(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        returns(server, tmp_path, 2)
        await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db", "--journal-none")
        assert not (tmp_path / "journal.sqlite").exists()
        shutil.copy(tmp_path / "plan.db", tmp_path / "copy.db")
        read = ("--yes", "--settle-after", "0.1")
        applied = await shell.beside("returns", "apply", "plan.db", *read, "--journal", "first.sqlite")
        assert (applied.code, facts(applied)["states"]) == (0, {"confirmed": 2})
        assert "belongs to no journal yet" in applied.err
        assert "--never-applied" in applied.err
        copied = await shell.beside("returns", "apply", "copy.db", *read, "--journal", "second.sqlite")
        assert (copied.code, facts(copied)["states"]) == (0, {"settled_done": 2})
        again = await shell.beside("returns", "apply", "plan.db", "--yes", "--journal", "second.sqlite")
        assert again.code == 2


async def test_a_wrong_key_touches_no_row(shell: Shell, tmp_path: Path, monkeypatch: Any) -> None:
    async with Sandbox(refunds=2_000) as server:
        shell.use(server)
        table = plan_files.write_table(tmp_path / "refunds.csv", plan_files.refund_rows(200))
        await shell.beside("refunds", "plan", table.name, "--out", "plan.db", "--offline")
        before, asked = plan_files.rows_of(tmp_path / "plan.db"), len(server.log)
        monkeypatch.setenv("PANDAPON_ACCESS_KEY", "nobody")
        ended = await shell.beside("refunds", "apply", "plan.db", "--yes")
        assert ended.code == 4
        assert plan_files.rows_of(tmp_path / "plan.db") == before
        assert len(server.log) == asked + 1, "one read, and no write"


async def test_a_vendor_that_cannot_be_read_is_sent_nothing(shell: Shell, tmp_path: Path) -> None:
    async with Sandbox(refunds=400, faults="error_502_html:1.0:endpoint=*.orders.get") as server:
        shell.use(server)
        table = plan_files.write_table(tmp_path / "refunds.csv", plan_files.refund_rows(20))
        await shell.beside("refunds", "plan", table.name, "--out", "plan.db", "--offline")
        before = plan_files.rows_of(tmp_path / "plan.db")
        ended = await shell.beside("refunds", "apply", "plan.db", "--yes")
        assert (ended.code, len(server.effects)) == (3, 0)
        assert "stopped early: no read from the vendor succeeded, so nothing was sent" in ended.err
        assert plan_files.rows_of(tmp_path / "plan.db") == before


@pytest.mark.parametrize("content", [b"", b"not a database" * 100])
async def test_a_damaged_journal_is_set_aside_only_when_told(
    shell: Shell, tmp_path: Path, content: bytes
) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        returns(server, tmp_path, 3)
        await shell.beside("returns", "plan", "returns.csv", "--out", "plan.db")
        command = ("returns", "apply", "plan.db", "--yes", "--settle-after", "0.1")
        healthy = await shell.beside(*command, "--new-journal")
        assert (healthy.code, len(server.effects)) == (2, 0)
        assert "is sound: --new-journal is for a damaged one" in healthy.err
        for path in tmp_path.glob("journal.sqlite*"):
            path.unlink()
        (tmp_path / "journal.sqlite").write_bytes(content)
        damaged = await shell.beside(*command)
        assert (damaged.code, len(server.effects)) == (2, 0)
        assert "--new-journal" in damaged.err
        refused = await shell.beside(*command, "--new-journal")
        assert refused.code == 2, "the plan belongs to the lost one"
        (aside,) = tmp_path.glob("journal.sqlite.damaged-*")
        assert aside.read_bytes() == content
        adopted = await shell.beside(*command, "--adopt-journal")
        assert (adopted.code, facts(adopted)["states"]) == (0, {"confirmed": 3})


async def test_every_command_that_writes_down_says_what_to_do_about_a_damaged_journal(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Sandbox(refunds=400) as server:
        shell.use(server)
        returns(server, tmp_path, 3)
        journal = tmp_path / "kept.sqlite"
        monkeypatch.setenv("PANDAPON_JOURNAL", str(journal))
        refund_id = plan_files.returnable(server, 4)[-1]
        call = ("call", "alibaba.refunds.return_goods", f"refund_id={refund_id}", "--yes")
        for number, command in enumerate(
            (
                ("returns", "plan", "returns.csv", "--out", "plan.db"),
                (*call, "logistics_company_no=SF", "freight_bill=SF9000000001"),
            )
        ):
            for path in tmp_path.glob("kept.sqlite*"):
                path.unlink()
            journal.write_bytes(b"")
            damaged = await shell.beside(*command)
            assert (damaged.code, len(server.effects)) == (2, 0), damaged.err
            assert "Restore the newest copy of the journal" in damaged.err
            ended = await shell.beside(*command, "--new-journal")
            assert (ended.code, f"renamed to {journal}.damaged-" in ended.err) == (0, True), ended.err
            assert len(server.effects) == number
