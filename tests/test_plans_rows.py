"""What is checked of a row without asking anybody: cells, images, and the rules of the call itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async import Client, ConfigurationError, InvalidArgumentError, plans
from pandapon_async.errors import PandaponError
from pandapon_async.plans import PlanOptions, PlanSummary, RowState, voucher_files
from pandapon_async.plans.voucher_files import Pictures
from tests.support import plan_files
from tests.support.clients import client

RETURN = {
    "refund_id": "TQ1",
    "logistics_company_no": "SF",
    "freight_bill": "SF1",
    "vouchers": "",
    "description": "",
}
REFUND = plan_files.refund_rows(1)[0]


def offline() -> Client:
    return client("http://127.0.0.1:9")


async def planned(kind: str, table: Path, **options: Any) -> PlanSummary:
    async with offline() as pandapon:
        return await plans.create(
            pandapon,
            kind,
            table,
            table.with_name("plan.db"),
            options=PlanOptions(offline=True, **options),
        )


async def only(kind: str, folder: Path, row: dict[str, Any], **options: Any) -> dict[str, Any]:
    """The one row of a table, as it is in the plan."""
    await planned(kind, plan_files.write_table(folder / "table.csv", [row]), **options)
    (found,) = plan_files.rows_of(folder / "plan.db")
    return found


async def test_a_good_row_is_planned(tmp_path: Path) -> None:
    row = await only("returns", tmp_path, {**RETURN, "description": " 包装，完好 ", "shop": "东仓"})
    assert (row["state"], row["reason"], row["row"], row["shop"]) == ("planned", None, 2, "东仓")
    assert row["arguments"] == (
        '{"description":"包装，完好","freight_bill":"SF1","logistics_company_no":"SF","refund_id":"TQ1"}'
    )
    assert row["key"] == '{"refundId":"TQ1"}'


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"refund_id": ""}, "refund_id", "is required"),
        ({"refund_id": "110000235001"}, "refund_id", "must be an id such as TQ"),
        ({"refund_id": "TQ 12"}, "refund_id", "no spaces"),
        ({"freight_bill": ""}, "freight_bill", "is required"),
        ({"freight_bill": "7.3123E+15"}, "freight_bill", "already corrupt"),
        ({"freight_bill": "1" * 65}, "freight_bill", "must have 1 to 64 characters"),
        ({"logistics_company_no": ""}, "logistics_company_no", "is required"),
        ({"description": "x"}, "description", "must have 2 to 200 characters"),
        ({"description": "x" * 201}, "description", "must have 2 to 200 characters"),
        ({"vouchers": "nope.jpg"}, "vouchers", "does not exist"),
    ],
)
async def test_a_return_that_breaks_a_rule_is_refused(
    tmp_path: Path, changes: dict[str, str], column: str, reason: str
) -> None:
    row = await only("returns", tmp_path, {**RETURN, **changes})
    assert (row["state"], row["column"]) == ("refused", column)
    assert reason in row["reason"]


@pytest.mark.parametrize(
    ("changes", "column", "reason"),
    [
        ({"order_id": "x1"}, "order_id", "must be an id"),
        ({"order_id": "0"}, "order_id", "between 1 and"),
        ({"order_entry_ids": ""}, "order_entry_ids", "is required"),
        ({"order_entry_ids": "12;x"}, "order_entry_ids", "item 1"),
        ({"apply_payment_fen": "-5"}, "apply_payment_fen", "must be >= 0"),
        ({"apply_payment_fen": "12.5"}, "apply_payment_fen", "is not a whole number of fen"),
        ({"apply_payment_fen": ""}, "apply_payment_fen", "no amount"),
        ({"apply_carriage_fen": "a few"}, "apply_carriage_fen", "is not an amount such as"),
        ({"reason_id": "soon"}, "reason_id", "must be a whole number"),
        ({"reason_id": ""}, "reason_id", "is required"),
        ({"goods_status": "lost"}, "goods_status", "must be one of refundWaitSellerSend"),
        ({"dispute_request": "exchange"}, "dispute_request", "must be one of refund, returnRefund"),
        ({"currency": "USD"}, "currency", "in CNY"),
        ({"currency": ""}, "currency", "no currency"),
        ({"description": ""}, "description", "is required"),
    ],
)
async def test_an_application_that_breaks_a_rule_is_refused(
    tmp_path: Path, changes: dict[str, str], column: str, reason: str
) -> None:
    row = await only("refunds", tmp_path, {**REFUND, **changes})
    assert (row["state"], row["column"]) == ("refused", column)
    assert reason in row["reason"]


@pytest.mark.parametrize("entries", ["12;13", "12,13", "12|13", "12；13", "12、 13", "'12;='13'", "12\n13"])
async def test_several_lines_stand_in_one_cell(tmp_path: Path, entries: str) -> None:
    row = await only("refunds", tmp_path, {**REFUND, "order_entry_ids": entries.replace("='13'", "'13")})
    assert '"order_entry_ids":["12","13"]' in row["arguments"]
    assert '"orderEntryIds":[12,13]' in row["key"]


async def test_money_in_yuan_becomes_fen(tmp_path: Path) -> None:
    changed = {name.replace("_fen", "_yuan"): value for name, value in REFUND.items()}
    row = await only("refunds", tmp_path, {**changed, "apply_payment_yuan": "¥1,234.5"})
    assert row["amount_fen"] == 123_450


async def test_an_empty_cell_is_no_zero_but_a_missing_column_of_freight_is(tmp_path: Path) -> None:
    without = {name: value for name, value in REFUND.items() if name != "apply_carriage_fen"}
    row = await only("refunds", tmp_path, without)
    assert '"apply_carriage":0' in row["arguments"]
    other = tmp_path / "other"
    other.mkdir()
    assert (await only("refunds", other, {**REFUND, "apply_carriage_fen": ""}))["state"] == "refused"


async def test_the_second_of_two_equal_rows_is_refused(tmp_path: Path) -> None:
    rows = [
        {**REFUND, "order_entry_ids": "12;13"},
        {**REFUND, "order_entry_ids": "13|12", "description": "other words"},
        {**REFUND, "order_entry_ids": "12;13", "apply_payment_fen": "501"},
        {**REFUND, "order_entry_ids": "14"},
    ]
    summary = await planned("refunds", plan_files.write_table(tmp_path / "t.csv", rows))
    found = plan_files.rows_of(tmp_path / "plan.db")
    assert [row["state"] for row in found] == ["planned", "refused", "planned", "planned"]
    assert found[1]["reason"] == "the same as row 2"
    assert [(note.row, note.reason) for note in summary.notes] == [(4, "row 2 is about the same order line")]


async def test_a_reason_in_words_needs_the_vendor(tmp_path: Path) -> None:
    changed = {("reason" if name == "reason_id" else name): value for name, value in REFUND.items()}
    row = await only("refunds", tmp_path, {**changed, "reason": "协商一致退款"})
    assert (row["state"], row["column"]) == ("refused", "reason")
    assert "plan without --offline" in row["reason"]


async def test_every_row_ends_in_one_place_and_the_money_adds_up(tmp_path: Path) -> None:
    rows = plan_files.refund_rows(30)
    for number in range(0, 30, 7):
        rows[number]["goods_status"] = "lost"
    summary = await planned("refunds", plan_files.write_table(tmp_path / "t.csv", rows))
    assert (summary.rows, summary.states[RowState.PLANNED], summary.states[RowState.REFUSED]) == (
        30,
        25,
        5,
    )
    wanted = sum(500 + number for number in range(30) if number % 7)
    (all_,) = summary.planned
    assert (all_.rows, all_.amount_fen, all_.currency) == (25, wanted, "CNY")
    assert sum(shop.amount_fen for shop in summary.shops) == wanted
    assert sum(shop.rows for shop in summary.shops) == 25
    assert [row[3] for row in summary.largest] == [529, 527, 526, 525, 524, 523, 522, 520, 519, 518]
    assert [refusal.row for refusal in summary.refused] == [2, 9, 16, 23, 30]
    assert summary.offline
    assert summary.unchecked == 25
    assert "no request to the vendor" in summary.inferred[-1]


async def test_a_workbook_is_read_as_well(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(["退款编号", "快递公司代码", "运单号", "说明"])
    sheet.append(["TQ12", "SF", 1234567890123456789, "完好无损"])
    sheet.append(["TQ14", "SF", 123456, "完好无损"])
    sheet.append(["TQ13", "SF", "1234567890123456789", "完好无损"])
    book.save(tmp_path / "t.xlsx")
    await planned("returns", tmp_path / "t.xlsx")
    found = plan_files.rows_of(tmp_path / "plan.db")
    assert [row["state"] for row in found] == ["refused", "planned", "planned"]
    assert "already corrupt" in found[0]["reason"]
    assert '"freight_bill":"123456"' in found[1]["arguments"]


async def test_records_that_cannot_be_taken_apart_are_refused_rows(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("refund_id,carrier,waybill\nTQ1,SF,1,and more\n\nTQ2,SF,2\n", encoding="utf-8")
    await planned("returns", table)
    found = plan_files.rows_of(tmp_path / "plan.db")
    assert [(row["row"], row["state"]) for row in found] == [(2, "refused"), (4, "planned")]
    assert "the row has 4 cells, the header has 3" in found[0]["reason"]


async def test_numbers_in_a_sheet_are_ids_and_no_images(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    names = list(REFUND)
    sheet.append(names)
    sheet.append([{**REFUND, "order_entry_ids": 12, "reason_id": 20022.0}[name] for name in names])
    sheet.append([{**REFUND, "order_entry_ids": 13, "vouchers": 7}[name] for name in names])
    book.save(tmp_path / "t.xlsx")
    await planned("refunds", tmp_path / "t.xlsx")
    found = plan_files.rows_of(tmp_path / "plan.db")
    assert [row["state"] for row in found] == ["planned", "refused"]
    assert '"order_entry_ids":["12"]' in found[0]["arguments"]
    assert '"apply_reason_id":20022' in found[0]["arguments"]
    assert "not the path of an image" in found[1]["reason"]


def picture(path: Path, content: bytes = plan_files.JPEG + b"x" * 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def link(path: Path, target: Path) -> None:
    path.symlink_to(target)


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("a.jpg", None),
        ("a.jpg; b.jpg", None),
        ("a.jpg|b.jpg,", None),
        ("sub\\c.jpg", None),
        ("with, comma.jpg", None),
        ("{folder}/a.jpg", None),
        ("../outside.jpg", "is outside the images folder"),
        ("{outside}/outside.jpg", "is outside the images folder"),
        ("link.jpg", "is outside the images folder"),
        ("a.jpg;nope.jpg", "image 2 of 2: does not exist"),
        ("sub", "does not exist"),
        ("a.jpg\0", "not the path of a file"),
        ("text.jpg", "must be one of jpeg, png, gif, bmp; by its first bytes it is not"),
        ("empty.jpg", "is empty"),
        ("large.jpg", "must have at most 999999 bytes, but has 1048577"),
        (";".join(["a.jpg", "b.jpg"] * 6), "must have 1 to 10 items, has 12"),
    ],
)
async def test_images_are_looked_into(tmp_path: Path, cell: str, reason: str | None) -> None:
    folder = tmp_path / "images"
    for name in ("a.jpg", "b.jpg", "sub/c.jpg", "with, comma.jpg"):
        picture(folder / name)
    picture(folder / "text.jpg", b"not an image")
    picture(folder / "empty.jpg", b"")
    picture(folder / "large.jpg", plan_files.JPEG + bytes(1_048_577 - 4))
    outside = picture(tmp_path / "outside.jpg")
    link(folder / "link.jpg", outside)
    cell = cell.replace("{folder}", str(folder)).replace("{outside}", str(tmp_path))
    row = await only("returns", tmp_path, {**RETURN, "vouchers": cell}, images=folder)
    assert row["state"] == ("planned" if reason is None else "refused"), row["reason"]
    if reason is not None:
        assert reason in row["reason"]
        assert row["column"] == "vouchers"
        assert "nope" not in row["reason"]


async def test_a_refused_row_keeps_its_id_and_its_amount(tmp_path: Path) -> None:
    rows = [
        {**REFUND, "vouchers": "none.jpg", "shop": "东仓"},
        {**plan_files.refund_rows(2)[1], "goods_status": "收到了"},
    ]
    overview = await planned("refunds", plan_files.write_table(tmp_path / "table.csv", rows))
    for refused, row in zip(overview.refused, rows, strict=True):
        assert (refused.id, refused.amount_fen) == (row["order_id"], int(row["apply_payment_fen"]))
        assert refused.currency == "CNY"
    assert overview.refused[0].shop == "东仓"
    assert overview.refused[1].column == "goods_status"


async def test_an_image_under_many_names_is_one_image(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg", "c.jpg"):
        picture(tmp_path / name)
    picture(tmp_path / "d.jpg", plan_files.JPEG + b"other")
    rows = [
        {**RETURN, "refund_id": f"TQ{number}", "vouchers": names}
        for number, names in enumerate(["a.jpg;b.jpg", "c.jpg", "d.jpg", "a.jpg"], start=1)
    ]
    summary = await planned("returns", plan_files.write_table(tmp_path / "t.csv", rows))
    assert (summary.pictures, summary.picture_bytes) == (2, 104 + 9)


async def test_reasons_never_repeat_what_was_in_the_cell(tmp_path: Path) -> None:
    rows = [
        {**REFUND, **dict.fromkeys([name], "13800138000 王小明")}
        for name in REFUND
        if name not in ("shop", "description")
    ]
    summary = await planned("refunds", plan_files.write_table(tmp_path / "t.csv", rows))
    assert summary.states[RowState.REFUSED] == len(rows)
    said = " ".join(refusal.reason for refusal in summary.refused)
    assert "138" not in said
    assert "王" not in said


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("exchanges", {}, "unknown plan type"),
        ("returns", {"map": {"refund_id": "nope"}}, "matches no column"),
        ("returns", {"sheet": "one"}, "has no sheets"),
        ("returns", {"images": Path("/nowhere/at/all")}, "does not exist; check --images"),
    ],
)
async def test_what_cannot_work_is_refused_at_once(
    tmp_path: Path, kind: str, options: dict[str, Any], message: str
) -> None:
    table = plan_files.write_table(tmp_path / "t.csv", [RETURN])
    with pytest.raises(PandaponError, match=message):
        await planned(kind, table, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


async def test_a_plan_is_never_overwritten(tmp_path: Path) -> None:
    table = plan_files.write_table(tmp_path / "t.csv", [RETURN])
    (tmp_path / "plan.db").write_text("mine")
    with pytest.raises(ConfigurationError, match="never overwritten"):
        await planned("returns", table)
    assert (tmp_path / "plan.db").read_text() == "mine"


async def test_a_table_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgumentError, match=r"the table .* does not exist"):
        await planned("returns", tmp_path / "t.csv")


async def test_a_dry_run_leaves_nothing(tmp_path: Path) -> None:
    table = plan_files.write_table(tmp_path / "t.csv", [RETURN])
    async with offline() as pandapon:
        summary = await plans.create(pandapon, "returns", table, None, options=PlanOptions(offline=True))
    assert summary.states[RowState.PLANNED] == 1
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@given(text=st.text(max_size=30))
def test_any_text_in_any_cell_makes_a_row_and_no_error(text: str) -> None:
    from pandapon_async.plans.columns import resolver
    from pandapon_async.plans.plan_types import REFUNDS
    from pandapon_async.plans.row_parser import RowParser
    from pandapon_async.tables.table import Record

    names = list(REFUND)
    columns = resolver(REFUNDS, PlanOptions()).resolve(names)
    for at in range(len(names)):

        class Table:
            def records(self, at: int = at) -> Any:
                places = columns.positions.values()
                yield Record(2, [text if place == at else REFUND[names[place]] for place in places])

        reader = RowParser(REFUNDS, Table(), columns, Pictures(Path("/nowhere")))  # type: ignore[arg-type]
        ((row, _),) = reader.rows()
        assert row.state in (RowState.PLANNED, RowState.REFUSED)
        assert (row.reason is None) == (row.state is RowState.PLANNED)


def test_images_are_looked_at_again_when_the_memory_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voucher_files, "REMEMBERED", 2)
    names = plan_files.write_images(tmp_path, 3)
    looked = Pictures(tmp_path)
    first = [looked.of_cell(name)[0].digest for name in names]
    assert len(looked._seen) == 2
    assert [looked.of_cell(name)[0].digest for name in names] == first
    assert len(set(first)) == 3


def test_an_image_that_cannot_be_read_is_refused_in_words(tmp_path: Path) -> None:
    plan_files.write_images(tmp_path, 1)
    looked = Pictures(tmp_path)

    class Broken:
        def open(self, _: object) -> object:
            raise PermissionError(13, "Permission denied")

    looked._rule = Broken()  # type: ignore[assignment]
    assert looked._look("proof-0.jpg") == "cannot be read (Permission denied)"


def test_a_state_is_done_open_failed_or_waits_to_be_sent() -> None:
    kinds = {
        "done": {"confirmed", "settled_done"},
        "open": {"applying", "unknown"},
        "failed": {"rejected", "not_sent", "settled_absent", "duplicate", "held"},
        "neither": {"planned", "refused"},
    }
    for kind in ("done", "open", "failed"):
        assert {state.value for state in RowState if getattr(state, kind)} == kinds[kind]
    assert set().union(*kinds.values()) == {state.value for state in RowState}
