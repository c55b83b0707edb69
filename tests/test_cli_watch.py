"""`pandapon refunds watch`: what it says, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pandapon_async.sandbox import Sandbox
from tests.support.command import Shell


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


async def test_refunds_that_have_ended_are_said_and_end_it(shell: Shell) -> None:
    async with Sandbox(refunds=200) as server:
        shell.use(server)
        done, closed = server.find("1688", "refundsuccess"), server.find("taobao", -20)
        ended = await shell.beside("refunds", "watch", done.refund_id, closed.refund_id)
        assert ended.code == 0
        said = {line["refund_id"]: line for line in map(json.loads, ended.out.splitlines())}
        assert said[done.refund_id]["state"] == "refund success"
        assert said[done.refund_id]["after"]["refunded_fen"] == done.refund_payment
        ended = await shell.beside("refunds", "watch", done.refund_id, closed.refund_id, "--for", "退款成功")
        assert ended.code == 1
        assert "1 ended in a state that was not waited for" in ended.err
        people = await shell.beside("refunds", "watch", done.refund_id, "--no-json")
        assert f"{done.refund_id}  refund success, ¥" in people.out


async def test_a_table_is_watched_until_time_is_up_and_the_next_run_resumes(shell: Shell) -> None:
    async with Sandbox(refunds=200) as server:
        shell.use(server)
        going, done = server.find("1688", "waitsellerreceive"), server.find("1688", "refundsuccess")
        lines = [f"{one.refund_id},1688" for one in (going, done, going)]
        (shell.folder / "ids.csv").write_text("\n".join(["退款编号,平台", *lines]), "utf-8")
        arguments = ("refunds", "watch", "ids.csv", "--state", "watch.sqlite", "--stop-after", "1s")
        ended = await shell.beside(*arguments)
        assert (ended.code, len(ended.out.splitlines())) == (3, 2)
        assert "1 still going on; the same command resumes" in ended.err
        ended = await shell.beside(*arguments)
        assert (ended.code, ended.out) == (3, "")
        server.advance(going.number, "refundsuccess")
        ended = await shell.beside(*arguments[:-1], "50s", "--every", "1s")
        assert (ended.code, json.loads(ended.out)["state"]) == (0, "refund success")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("退款编号\nTQ1\nTQx\n", "ids.csv, row 3, column 退款编号: 'TQx' is not a refund id of 1688"),
        ("order_id\n1\n", "ids.csv: no refund_id column"),
        ("refund_id\n", "ids.csv has no rows below its column names"),
        ("refund_id,platform\n12,1688\n", "row 2, column refund_id: '12' is not a refund id of 1688"),
    ],
)
def test_a_table_that_cannot_be_watched_is_refused(shell: Shell, table: str, said: str) -> None:
    (shell.folder / "ids.csv").write_text(table, "utf-8")
    ended = shell("refunds", "watch", "ids.csv")
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("abc",), "'abc' is not a refund id of 1688"),
        (("TQ1", "--for", "gone"), "'gone' is not a state; known: waitselleragree"),
        (("TQ1", "--every", "often"), "'often' is not an age"),
        (("TQ1", "--stuck-after", "0d"), "must be above zero"),
    ],
)
def test_what_cannot_work_is_refused(shell: Shell, arguments: tuple[str, ...], said: str) -> None:
    for name in ("KEY", "SECRET"):
        shell._monkeypatch.setenv(f"PANDAPON_ACCESS_{name}", "x")
    shell._monkeypatch.setenv("PANDAPON_USER_ID", "1")
    ended = shell("refunds", "watch", *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err


async def test_a_refused_key_ends_it_with_its_own_code(shell: Shell) -> None:
    async with Sandbox(refunds=10) as server:
        shell.use(server)
        shell._monkeypatch.setenv("PANDAPON_ACCESS_SECRET", "no")
        ended = await shell.beside("refunds", "watch", next(server.refund_ids("1688")))
        assert (ended.code, ended.out) == (4, "")
        assert "Check, in this order" in ended.err


async def test_the_sheet_of_a_workbook_is_chosen_and_the_others_are_told(shell: Shell) -> None:
    table = Path(__file__).parent / "data" / "tables" / "split_sheets.xlsx"
    async with Sandbox(refunds=400, seed=7) as server:
        shell.use(server)
        watch = ("refunds", "watch", str(table), "--stop-after", "1s")
        asked = await shell.beside(*watch)
        assert asked.code == 2
        assert "--sheet '退款1'" in asked.err
        ended = await shell.beside(*watch, "--sheet", "退款1")
        assert len(ended.out.splitlines()) == 3
        assert "note: other sheets, not read: 退款2" in ended.err
