"""Columns: a guess must be the only one, a unit must be said."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.reconcile.columns import inferred, resolver
from pandapon_async.reconcile.options import AmountBasis, Options
from pandapon_async.tables.cells import tidy

SANDBOX = ("platform", "shop", "refund_id", "order_id", "amount_fen", "currency", "status", "applied_at")


def resolved(names: tuple[str, ...], **options: Any) -> dict[str, str]:
    columns = resolver(Options(**options)).resolve(names)
    return {**columns.named(), "unit": columns.units["amount"]}


def test_the_plain_case() -> None:
    columns = resolver(Options()).resolve(SANDBOX)
    assert columns.named() == {name.removesuffix("_fen"): name for name in SANDBOX}
    assert columns.units == {"amount": "fen"}
    assert inferred(columns, Options()) == []
    assert columns.name_of("shop") == "shop"


@pytest.mark.parametrize(
    ("amount", "unit"),
    [
        ("amount_yuan", "yuan"),
        ("Refund Amount (Fen)", "fen"),
        ("金额（元）", "yuan"),
        ("退款金额(分)", "fen"),
        ("退款金额(单位：元)", "yuan"),
        ("金额_分", "fen"),
        ("退款金额元", "yuan"),
    ],
)
def test_the_unit_in_the_name(amount: str, unit: str) -> None:
    assert resolved(("退款编号", amount))["unit"] == unit


def test_chinese_names() -> None:
    names = (
        "平台",
        "店铺名称",
        "退款单号",
        "订单编号",
        "退款金额(元)",
        "币种",
        "退款状态",
        "申请时间",
        "备注",
    )
    assert resolved(names) == {
        "platform": "平台",
        "shop": "店铺名称",
        "refund_id": "退款单号",
        "order_id": "订单编号",
        "amount": "退款金额(元)",
        "currency": "币种",
        "status": "退款状态",
        "applied_at": "申请时间",
        "unit": "yuan",
    }


def test_the_outright_name_wins_over_the_general_one() -> None:
    names = ("refund_id", "status", "refund status", "金额(元)", "退款金额(元)")
    assert resolved(names) | {"x": ""} == {
        "refund_id": "refund_id",
        "amount": "退款金额(元)",
        "status": "refund status",
        "unit": "yuan",
        "x": "",
    }


@pytest.mark.parametrize("names", [("amount_fen",), ("shop", "amount_fen", "sku"), ()])
def test_no_refund_column_lists_what_there_is(names: tuple[str, ...]) -> None:
    with pytest.raises(InvalidArgumentError, match="no refund_id column") as refused:
        resolved(names)
    assert all(name in str(refused.value) for name in names)
    assert "Recognised: " in str(refused.value)


def test_no_amount_column() -> None:
    with pytest.raises(InvalidArgumentError, match="no amount column"):
        resolved(("refund_id", "price"))


def test_two_columns_that_could_be_it_are_a_question() -> None:
    with pytest.raises(
        InvalidArgumentError, match="more than one column could be amount: amount_fen, amount_yuan;"
    ):
        resolved(("refund_id", "amount_fen", "amount_yuan"))
    assert (
        resolved(("refund_id", "amount_fen", "amount_yuan"), map={"amount": "amount_yuan"})["unit"] == "yuan"
    )
    with pytest.raises(InvalidArgumentError, match=r"退款金额.*实退金额"):
        resolved(("退款编号", "退款金额", "实退金额"), amount_unit="yuan")


def test_a_bare_amount_needs_its_unit() -> None:
    with pytest.raises(InvalidArgumentError, match=r"does not state its unit.*--amount-unit fen") as refused:
        resolved(("refund_id", "amount"))
    assert refused.value.argument == "amount_unit"
    assert resolved(("refund_id", "amount"), amount_unit="yuan")["unit"] == "yuan"
    assert resolved(("refund_id", "amount"), map={"amount_fen": "amount"})["unit"] == "fen"
    assert resolved(("refund_id", "金额"), amount_unit="fen")["unit"] == "fen"
    with pytest.raises(InvalidArgumentError, match="does not state its unit"):
        resolved(("refund_id", "金额(含税)"), map={"amount": "金额(含税)"})


@pytest.mark.parametrize(
    "options", [{"amount_unit": "yuan"}, {"map": {"amount_yuan": "amount_fen"}}], ids=["option", "map"]
)
def test_the_units_said_must_agree(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgumentError, match="in fen and in yuan"):
        resolved(("refund_id", "amount_fen"), **options)


def test_mapping() -> None:
    names = ("my id", "What", "amount_fen", "status", "店铺")
    mapping = {"refund_id": "MY_ID", "amount_yuan": "What", "status": "", "shop": ""}
    assert resolved(names, map=mapping) == {"refund_id": "my id", "amount": "What", "unit": "yuan"}


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"refund_id": "gone"}, "matches no column"),
        ({"refund_id": "twin"}, "matches more than one column"),
        ({"amount": "a", "amount_fen": "amount_fen"}, "has amount twice"),
    ],
)
def test_mapping_that_cannot_be(mapping: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        resolved(("refund_id", "twin", "twin", "a", "amount_fen"), map=mapping)


def test_what_was_concluded_is_said() -> None:
    notes = inferred(resolver(Options()).resolve(("refund_id", "amount_fen")), Options())
    assert len(notes) == 3
    assert "TQ" in notes[0]
    assert "CNY" in notes[1]
    assert "only amounts" in notes[2]
    options = Options(platform="1688")
    told = inferred(resolver(options).resolve(("refund_id", "amount_fen", "platform")), options)
    assert told[0] == "all rows are 1688, as set by --platform: column platform is not read"


@pytest.mark.parametrize(
    "name",
    [
        "*退款編號（必填）", "退款编号【必填】", "[退款编号]", "退款编号(必填项)", "退款编号（必填，TQ开头）",
        "★退款编号", "①退款编号", "1.退款编号", "退款编号↑", "\u200b退款\u3000编号", "退款编号(Refund ID)",
        "Refund ID 退款编号", "退款单号/Refund No.", "線上退款單號",
    ],
)  # fmt: skip
def test_marks_brackets_and_a_second_language_make_no_other_column(name: str) -> None:
    assert resolved((name, "退款金额【元】"))["refund_id"] == " ".join(tidy(name).split())


@pytest.mark.parametrize(
    "amount",
    ["退款金额(RMB)", "退款金额（人民币）", "退款金额[CNY]", "退款金额(元,必填)", "退款金额(人民币元)"],
)
def test_the_currency_in_brackets_says_yuan(amount: str) -> None:
    assert resolved(("退款编号", amount))["unit"] == "yuan"


@pytest.mark.parametrize(
    "amount",
    [
        "订单金额(元)", "买家实付(元)", "交易金额(元)", "商品金额(元)", "可退款金额(元)", "最大可退金额(元)",
        "退款运费(元)", "累计退款金额(元)", "退款金额占比", "退款金额(美元)", "退款金额(万元)", "退款数量",
    ],
)  # fmt: skip
def test_another_amount_is_never_the_refund(amount: str) -> None:
    with pytest.raises(InvalidArgumentError, match="no amount column"):
        resolved(("退款编号", amount))
    assert resolved(("退款编号", amount, "退款金额(元)"))["amount"] == "退款金额(元)"


@pytest.mark.parametrize(
    ("mapping", "problem"),
    [
        ({"refund_id": "退款编好"}, r"matches no column; did you mean 退款编号\? Columns: "),
        ({"refundid": "退款编号"}, "unknown field refundid in --map; did you mean refund_id"),
        ({"退款编号": "refund_id"}, "write the field first: --map refund_id=退款编号"),
        ({"amount": "#2", "freight": "#2"}, "退款金额.元. cannot be amount and freight at once"),
    ],
)
def test_a_mapping_that_is_wrong_says_what_is_meant(mapping: dict[str, str], problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        resolved(("退款编号", "退款金额(元)"), map=mapping)


@pytest.mark.parametrize(
    "mapping", [{}, {"refund_id": "#1", "amount_yuan": "#2"}, {"refund_id": "TQ200000001442695041"}]
)
def test_a_row_of_data_never_becomes_the_column_names(mapping: dict[str, str]) -> None:
    with pytest.raises(InvalidArgumentError, match="'TQ200000001442695041' stands where the names"):
        resolved(("TQ200000001442695041", "12.50"), map=mapping)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"status_map": {"done": ("refundsucess",)}}, "unknown state; did you mean refundsuccess"),
        ({"status_map": {"Done": ("100",), "done": ("20",)}}, "two states of taobao for done: 100 and 20"),
        ({"map": {"colour": "x"}}, "unknown field colour in --map. Known: platform"),
        ({"as_of": datetime(2024, 5, 1)}, "time zone"),
        ({"tolerance_fen": -1}, "a whole number, 0 or more"),
        ({"tolerance_fen": 0.5}, "a whole number, 0 or more"),
        ({"tolerance_fen": True}, "a whole number, 0 or more"),
    ],
)
def test_options_are_checked(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        Options(**options)


def test_options_that_change_the_meaning() -> None:
    plain = Options().meaning()
    assert Options(concurrency=3, fresh=True, second_pass=False, report_rows=1).meaning() == plain
    assert Options(amount_basis="applied").meaning()["amount_basis"] == AmountBasis.APPLIED
    assert Options(status_map={"b": ("refundsuccess", "100"), "a": ()}).meaning()["status_map"] == {
        "a": [],
        "b": ["100", "refundsuccess"],
    }
