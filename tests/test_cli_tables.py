"""Tables at the command: which file ends how, what is told, and what an unforeseen error leaves."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from pandapon_async.reconcile import reading
from pandapon_async.sandbox import Sandbox
from tests.support.command import Ended, Shell

FOLDER = Path(__file__).parent / "data" / "tables"


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Shell:
    return Shell(monkeypatch, capsys, tmp_path)


async def reconciled(shell: Shell, name: str, *more: str) -> Ended:
    async with Sandbox(refunds=400, seed=7) as server:
        shell.use(server)
        command = ("reconcile", str(FOLDER / name), "--out", "out", "--as-of", "2023-08-16", *more)
        return await shell.beside(*command)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("n_ids_numbers.xlsx", ()),
        ("gbk_half_char.csv", ()),
        ("dec_s4.parquet", ()),
        ("s_cover_first.xlsx", ()),
        ("s_all.xlsx", ("--all-sheets",)),
        ("s_named.xlsx", ("--sheet", "一月", "--sheet", "二月")),
        ("t_sum.csv", ()),
        ("q_none.tsv", ("--quoting", "none")),
        ("q_multiline_meant.csv", ("--multiline", "备注")),
        ("alipay_bill.csv", ("--map", "amount_yuan=商家实收（元）", "--negative")),
        ("c_positions.csv", ("--map", "refund_id=#2", "--map", "amount_yuan=4", "--map", "status=5")),
    ],
)
async def test_a_table_that_is_read_matches(shell: Shell, name: str, more: tuple[str, ...]) -> None:
    ended = await reconciled(shell, name, *more)
    assert ended.code == 0, ended.err
    summary = json.loads(ended.out)
    assert summary["verdicts"]["matched"] == summary["rows"] == 6
    for note in summary["notes"]:
        assert f"note: {note}" in ended.err


@pytest.mark.parametrize(
    "name",
    ["quote_pair_last_col.csv", "split_sheets.xlsx", "float32_ids.parquet", "header_only.csv", "f_old.xls",
     "html_table.xls", "f_empty.csv", "f_reference.xlsx", "f_two.zip", "torn.parquet", "torn.gz",
     "no such.csv"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["reconcile", "returns plan", "refunds plan"])
async def test_a_file_that_cannot_be_used_ends_with_2(
    shell: Shell, tmp_path: Path, name: str, command: str
) -> None:
    (tmp_path / "torn.parquet").write_bytes((FOLDER / "dec_s4.parquet").read_bytes()[:900])
    (tmp_path / "torn.gz").write_bytes((FOLDER / "f_packed.csv.gz").read_bytes()[:60])
    path = FOLDER / name if (FOLDER / name).exists() else tmp_path / name
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        ended = await shell.beside(*command.split(), str(path), "--out", "out/x")
        assert not list(server.log)
    assert ended.code == 2, ended.err
    assert ended.err.count("\n") < 4
    assert "Traceback" not in ended.err


async def test_unreadable_rows_are_judged(shell: Shell) -> None:
    ended = await reconciled(shell, "v_ledger.csv")
    assert ended.code == 1
    assert json.loads(ended.out)["verdicts"]["unreadable"] == 2


async def test_an_unknown_state_is_refused_with_the_list(shell: Shell) -> None:
    ended = await reconciled(shell, "c_word.csv", "--status-map", "处理中了=agreed")
    assert ended.code == 2
    assert "--status-map 处理中了=agreed: unknown state; known: waitselleragree" in ended.err


async def test_an_unknown_word_is_told_once_with_the_option(shell: Shell) -> None:
    ended = await reconciled(shell, "c_word.csv")
    assert ended.code == 1
    assert ended.err.count("--status-map 处理中了=STATE") == 1


@pytest.mark.parametrize("word", ["Done", " done\u3000", "ＤＯＮＥ", "DONE"])
@pytest.mark.parametrize("state", ["RefundSuccess", "退款成功", "REFUND_SUCCESS"])
async def test_neither_case_nor_width_makes_another_word(
    shell: Shell, tmp_path: Path, word: str, state: str
) -> None:
    (tmp_path / "ledger.csv").write_text(
        f"退款编号,退款金额(元),退款状态\nTQ228272449136281059,1961.89,{word}\n", encoding="utf-8"
    )
    async with Sandbox(refunds=400, seed=7) as server:
        shell.use(server)
        ended = await shell.beside("reconcile", "ledger.csv", "--out", "out", "--status-map", f"done={state}")
    assert ended.code == 0, ended.err


async def test_a_word_that_is_mapped_for_the_other_platform_is_told_so(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "ledger.csv").write_text(
        "退款编号,退款金额(元),退款状态\n115289488050,91.68,a=b\n", encoding="utf-8"
    )
    run = ("reconcile", "ledger.csv", "--out", "out")
    async with Sandbox(refunds=400, seed=7) as server:
        shell.use(server)
        told = await shell.beside(*run, "--status-map", "a=b=refundsuccess")
        right = await shell.beside(*run, "--status-map", "a=b=refundsuccess", "--status-map", "a=b=100")
    assert (told.code, right.code) == (1, 0)
    assert "'a=b' is mapped to no state of taobao (1 row); define it with --status-map a=b=STATE" in told.err


@pytest.mark.parametrize("option", ["--map", "--set"])
def test_a_field_said_twice_is_refused(shell: Shell, option: str) -> None:
    said = (option, "refund_id=a", option, "refund_id=b")
    ended = shell("returns", "plan", "t.csv", "--dry-run", *said)
    assert ended.code == 2
    assert "refund_id is said twice: 'a' and 'b'" in ended.err


async def test_carriers_that_are_not_known_are_told(shell: Shell, tmp_path: Path) -> None:
    rows = [f"TQ2000000{at},{code},SF100{at},已寄出" for at, code in enumerate(("SF", "SF", "YTO", "ZZZ"))]
    (tmp_path / "returns.csv").write_text(
        "退款编号,快递公司,快递单号,退货说明\n" + "\n".join(rows), encoding="utf-8"
    )
    (tmp_path / "codes.csv").write_text("code,name\nSF,顺丰\nYTO\t圆通\n", encoding="gb18030")
    plan = ("returns", "plan", "returns.csv", "--offline", "--dry-run")
    async with Sandbox(refunds=1) as server:
        shell.use(server)
        told = await shell.beside(*plan)
        listed = await shell.beside(*plan, "--carriers", "codes.csv")
        silent = await shell.beside(*plan, "--any-carrier")
        missing = await shell.beside(*plan, "--carriers", "none.csv")
    assert [told.code, listed.code, silent.code, missing.code] == [0, 0, 0, 2]
    assert "no list: 'SF' in 2 rows from row 2 on, 'YTO' in row 4, 'ZZZ' in row 5; check" in told.err
    assert "no list: 'ZZZ' in row 5;" in listed.err
    assert "carriers" not in silent.err


async def test_negative_amounts_are_told_with_the_option(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "ledger.csv").write_text(
        "退款编号,退款金额(元)\n115289488050,-91.68\nTQ228272449136281059,1961.89\n", encoding="utf-8"
    )
    plain = await shell.beside("reconcile", "ledger.csv", "--dry-run")
    negative = await shell.beside("reconcile", "ledger.csv", "--dry-run", "--negative")
    assert "1 row has a negative amount; if this ledger writes refunds" in plain.out
    assert "1 row has a positive amount, which --negative reads as below zero" in negative.out


@pytest.mark.parametrize(
    ("listed", "unknown"),
    [
        (b"YTO\r\nSF", ""),
        (b"\xef\xbb\xbf# ours\n\tYTO\nSF # express\n", ""),
        ("圆通速递,YTO\n顺丰,SF\n".encode("gb18030"), ""),
        ("名称,编码\nYuantong,YTO\nShunfeng,SF\n".encode("utf-16"), ""),
        (b"YTO\n", "'SF' in row 3"),
        (b"YTO,SF\n", "codes.txt, line 1: 'YTO,SF' has 2 codes; write one code per line"),
        (b"\n \n", "codes.txt has no codes; write one per line"),
        (b"PK\x03\x04", "codes.txt is not a text file"),
        (bytes(range(64)), "codes.txt is not a text file"),
    ],
)
def test_a_list_of_carriers_is_read_in_full_or_refused(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, listed: bytes, unknown: str
) -> None:
    (tmp_path / "codes.txt").write_bytes(listed)
    (tmp_path / "returns.csv").write_text(
        "refund_id,carrier,waybill\nTQ20000001,YTO,SF1001\nTQ20000002,SF,SF1002\n"
    )
    for name in ("ACCESS_KEY", "ACCESS_SECRET", "USER_ID"):
        monkeypatch.setenv(f"PANDAPON_{name}", "1")
    ended = shell("returns", "plan", "returns.csv", "--offline", "--dry-run", "--carriers", "codes.txt")
    assert ended.code == (2 if "codes.txt" in unknown else 0)
    assert unknown in ended.err
    assert ("unknown carriers" in ended.err) == ("row" in unknown)


async def test_rows_that_fail_keep_what_is_known(shell: Shell, tmp_path: Path) -> None:
    ended = await reconciled(shell, "c_known_kept.csv")
    assert ended.code == 1
    with (tmp_path / "out" / "exceptions.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    amounts = {row["reason"].split(": ", 1)[1]: (row["order_id"], row["ledger_amount_yuan"]) for row in rows}
    assert any("'112983-074068' is not a refund id of taobao" in why for why in amounts)
    assert ('="1024136225289488050"', "91.68") in [
        kept for why, kept in amounts.items() if "is not 1688 or Taobao" in why
    ]
    assert "911.50" in [amount for _, amount in amounts.values()]


async def test_an_unforeseen_error_is_70_and_one_line_to_report(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*_: Any) -> Any:
        raise KeyError("王小明 13800138000")

    monkeypatch.setattr(reading, "open_table", broken)
    ended = await reconciled(shell, "header_only.csv")
    assert ended.code == 70
    (line,) = ended.err.splitlines()
    assert line.startswith("error: unforeseen KeyError in ")
    assert "reading.py:" in line
    assert "138" not in line
