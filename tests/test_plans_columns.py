"""Which column is which: guessed by name, named by --map, or given for all rows by --set."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.plans.columns import inferred, resolver
from pandapon_async.plans.options import PlanOptions
from pandapon_async.plans.plan_types import REFUNDS, RETURNS, PlanType
from pandapon_async.tables.cells import AmountUnit
from pandapon_async.tables.columns import Columns

CONTRACT = [
    *("order_id", "order_entry_ids", "dispute_request", "apply_payment_fen", "apply_carriage_fen"),
    *("reason_id", "description", "goods_status", "vouchers", "shop", "currency"),
]
NEEDED = ["order_id", "goods_status", "description", "reason_id", "apply_payment_fen"]


def resolve(
    kind: PlanType,
    names: list[str],
    mapping: Mapping[str, str] | None = None,
    constants: Mapping[str, str] | None = None,
    amount_unit: AmountUnit | None = None,
) -> Columns:
    options = PlanOptions(map=mapping or {}, constants=constants or {}, amount_unit=amount_unit)
    return resolver(kind, options).resolve(names)


def refused(*arguments: Any, **more: Any) -> str:
    with pytest.raises(InvalidArgumentError) as caught:
        resolve(*arguments, **more)
    return str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        ["refund_id", "logistics_company_no", "freight_bill", "description", "vouchers", "shop"],
        ["Refund ID", "Carrier", "Waybill No.", "Remark", "Images", "Store"],
        ["退款编号", "快递公司代码", "退货快递单号", "退货说明", "凭证", "店铺"],
        ["售后单号", "物流公司", "运单号", "说明", "图片", "店铺名称"],
        ["退款單號", "物流公司編碼", "快遞單號", "退貨說明", "憑證圖片", "店鋪名稱"],
    ],
)
def test_columns_of_returns_are_known_by_name(names: list[str]) -> None:
    expected = ["refund_id", "logistics_company_no", "freight_bill", "description", "vouchers", "shop"]
    assert resolve(RETURNS, names).named() == dict(zip(expected, names, strict=True))


@pytest.mark.parametrize(
    "names",
    [
        CONTRACT,
        ["订单号", "子订单号", "退款类型", "申请退款金额(分)", "退运费(分)", "退款原因ID", "退款说明",
         "货物状态", "凭证图片", "店铺", "币种"],
    ],
)  # fmt: skip
def test_columns_of_refunds_are_known_by_name(names: list[str]) -> None:
    columns = resolve(REFUNDS, names)
    expected = [name.removesuffix("_fen") for name in CONTRACT]
    assert columns.named() == dict(zip(expected, names, strict=True))
    assert columns.units == {"apply_payment": "fen", "apply_carriage": "fen"}
    assert inferred(REFUNDS, columns) == []


def test_a_reason_may_be_given_in_words() -> None:
    names = ["reason" if name == "reason_id" else name for name in CONTRACT]
    assert "reason" in resolve(REFUNDS, names).positions


def test_what_is_not_there_is_inferred_only_where_that_is_harmless() -> None:
    names = [name for name in CONTRACT if name not in ("apply_carriage_fen", "currency", "vouchers", "shop")]
    assert inferred(REFUNDS, resolve(REFUNDS, names)) == [
        "no apply_carriage column: 0 for all rows",
        "no currency column: CNY for all rows",
    ]


@pytest.mark.parametrize(
    "missing", ["order_id", "goods_status", "description", "reason_id", "apply_payment_fen"]
)
def test_a_column_that_the_call_needs_must_be_there(missing: str) -> None:
    message = refused(REFUNDS, [name for name in CONTRACT if name != missing])
    assert f"no {missing.removesuffix('_fen')} column" in message
    assert "Columns: " in message


def test_a_value_for_all_rows_stands_for_a_column() -> None:
    names = [
        name for name in CONTRACT if name not in ("goods_status", "dispute_request", "apply_carriage_fen")
    ]
    columns = resolve(
        REFUNDS,
        names,
        constants={
            "goods_status": "aftersaleBuyerReceived",
            "dispute_request": "退货退款",
            "apply_carriage_yuan": "1.50",
        },
    )
    assert columns.constants == {
        "goods_status": "aftersaleBuyerReceived",
        "dispute_request": "returnRefund",
        "apply_carriage": 150,
    }
    assert inferred(REFUNDS, columns) == []


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({"colour": "red"}, "unknown field colour"),
        ({"apply_payment": "12"}, "apply_payment_fen or apply_payment_yuan"),
        ({"apply_payment_fen": "1.5"}, "is not a whole number of fen"),
        ({"currency": "USD"}, "in CNY"),
    ],
)
def test_a_value_for_all_rows_is_read_like_a_cell(constants: dict[str, str], message: str) -> None:
    assert message in refused(REFUNDS, CONTRACT, constants=constants)


@pytest.mark.parametrize("mapping", [{}, {"logistics_company_no": "carrier"}])
def test_a_value_for_all_rows_never_replaces_a_column(mapping: dict[str, str]) -> None:
    names, constants = ["refund_id", "carrier", "waybill"], {"logistics_company_no": "SF"}
    message = refused(RETURNS, names, mapping, constants)
    assert "the table has the column carrier for it" in message
    assert "--map logistics_company_no=" in message
    assert resolve(RETURNS, names, {"logistics_company_no": ""}, constants).constants == constants


def test_the_unit_of_money_is_never_guessed() -> None:
    names = [name.removesuffix("_fen") for name in CONTRACT]
    assert "does not state its unit" in refused(REFUNDS, names)
    assert resolve(REFUNDS, names, amount_unit="yuan").units["apply_payment"] == "yuan"
    mapped = resolve(
        REFUNDS, names, {"apply_payment_yuan": "apply_payment", "apply_carriage_fen": "apply_carriage"}
    )
    assert mapped.units == {"apply_payment": "yuan", "apply_carriage": "fen"}
    assert "must agree" in refused(REFUNDS, CONTRACT, amount_unit="yuan")
    assert "must agree" in refused(REFUNDS, CONTRACT, {"apply_payment_yuan": "apply_payment_fen"})


def test_two_columns_that_could_be_one_field_are_a_question() -> None:
    names = ["refund_id", "退款编号", "carrier", "waybill"]
    assert "more than one column could be refund_id" in refused(RETURNS, names)
    assert resolve(RETURNS, names, {"refund_id": "退款编号"}).positions["refund_id"] == 1


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ({"refund_id": "nothing like it"}, "matches no column"),
        ({"refund_id": "x"}, "more than one column"),
        ({"refund": "refund_id"}, "unknown field"),
    ],
)
def test_a_mapping_must_name_one_column(mapping: dict[str, str], message: str) -> None:
    assert message in refused(RETURNS, ["refund_id", "carrier", "waybill", "x", "x"], mapping)


def test_an_empty_name_says_that_there_is_no_such_column() -> None:
    names = ["refund_id", "carrier", "waybill", "remark"]
    assert "description" not in resolve(RETURNS, names, {"description": ""}).positions
    assert "no freight_bill column" in refused(RETURNS, names, {"freight_bill": ""})


def test_one_field_mapped_twice_is_refused() -> None:
    mapping = {"apply_payment_fen": "order_id", "apply_payment_yuan": "reason_id"}
    assert "has apply_payment twice" in refused(REFUNDS, CONTRACT, mapping)
