"""What people see in a workbook is what is read: formats of numbers, formulas, merged cells, damage."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from pandapon_async.errors import InvalidArgumentError
from pandapon_async.plans.plan_types import RETURNS
from pandapon_async.tables.cells import Refused
from tests.support.fuzz_ledgers import PARTS, SHEET, workbook
from tests.support.tables import ledger_rows, open_ledger, records

RELATIONS = "xl/_rels/workbook.xml.rels"
FORMATS = [
    "yyyy-mm-dd",
    "000000000000",
    '"TQ"0',
    "0.00%",
    "[$USD] 0.00",
    '"US$"0.00',
    "[$¥-804]0.00",
    '0"元"',
]
STYLED = {
    RELATIONS: '<Relationships><Relationship Id="a" Target="worksheets/sheet1.xml"/>'
    '<Relationship Id="b" Type="x/styles" Target="styles.xml"/></Relationships>',
    "xl/styles.xml": "<styleSheet><numFmts>"
    + "".join(
        f"<numFmt numFmtId='{number}' formatCode='{code}'/>" for number, code in enumerate(FORMATS, start=164)
    )
    + "</numFmts><cellXfs><xf/>"
    + "".join(f"<xf numFmtId='{number}'/>" for number in (*range(164, 164 + len(FORMATS)), 10, 44))
    + "</cellXfs></styleSheet>",
}
HEADER = "".join(
    f'<c t="inlineStr"><is><t>{name}</t></is></c>' for name in ("refund_id", "amount_yuan", "status")
)


def written(path: Path, *rows: str, after: str = "", **parts: str) -> Path:
    """A workbook with these rows of cells below the names of a ledger's columns."""
    body = "".join(f"<row>{row}</row>" for row in (HEADER, *rows))
    xml = f"<worksheet><sheetData>{body}</sheetData>{after}</worksheet>"
    path.write_bytes(workbook({**PARTS, **STYLED, SHEET: xml, **parts}))
    return path


def row(identifier: str = "<v>115289488050</v>", amount: str = "<v>12.5</v>", style: int = 0) -> str:
    return f'<c s="{style}">{identifier}</c><c s="{style}">{amount}</c><c><v>100</v></c>'


@pytest.mark.parametrize(
    ("code", "id_fits", "amount_fits"),
    [
        (None, True, True),
        ("yyyy-mm-dd", False, False),
        ("000000000000", True, True),  # the id has twelve digits
        ('"TQ"0', False, True),
        ("0.00%", True, False),
        ("[$USD] 0.00", True, False),
        ('"US$"0.00', False, False),
        ("[$¥-804]0.00", True, True),
        ('0"元"', False, True),
    ],
)
def test_a_number_is_read_as_it_is_shown_or_refused(
    tmp_path: Path, code: str | None, id_fits: bool, amount_fits: bool
) -> None:
    style = 0 if code is None else FORMATS.index(code) + 1
    path = written(
        tmp_path / "t.xlsx",
        f'<c s="{style}"><v>115289488050</v></c><c><v>12.5</v></c><c><v>100</v></c>',
        f'<c><v>115289488050</v></c><c s="{style}"><v>12.5</v></c><c><v>100</v></c>',
    )
    found = ledger_rows(path)
    assert [one.problem is None for one in found] == [id_fits, amount_fits]
    for one in found:
        assert one.problem is None or "'115289488050' " in one.problem or "'12.5' " in one.problem


def test_zeros_that_only_the_format_has_are_not_lost(tmp_path: Path) -> None:
    short = '<c s="2"><v>1289488050</v></c><c><v>12.5</v></c><c><v>100</v></c>'
    (found,) = ledger_rows(written(tmp_path / "t.xlsx", short))
    assert found.refund_id is None
    assert found.problem == (
        "'1289488050' is a number that the workbook shows in the format 000000000000, so with other "
        "characters than it stores (store ids in text cells)"
    )


def test_built_in_percentages_are_refused_and_built_in_currencies_are_the_readers_own(tmp_path: Path) -> None:
    percent, currency = len(FORMATS) + 1, len(FORMATS) + 2
    found = ledger_rows(written(tmp_path / "t.xlsx", row(style=percent), row(style=currency)))
    assert [one.amount_fen for one in found] == [None, 1250]
    assert "is shown as a percentage" in (found[0].problem or "")


def test_a_date_is_not_a_waybill(tmp_path: Path) -> None:
    path = written(tmp_path / "t.xlsx", row(identifier="<v>45115</v>", style=1))
    cell = records(path)[0].cells[0]
    waybill = next(spec for spec in RETURNS.fields if spec.name == "freight_bill")
    with pytest.raises(Refused, match="is a date"):
        waybill.value(cell)


@pytest.mark.parametrize("asked", [True, False])
def test_a_formula_that_was_never_calculated_is_not_zero(tmp_path: Path, asked: bool) -> None:
    """xlsxwriter stores 0 for each formula, and asks Excel to calculate them."""
    calculate = '<calcPr fullCalcOnLoad="1"/>' if asked else ""
    book = PARTS["xl/workbook.xml"].replace("</workbook>", f"{calculate}</workbook>")
    formula = "<f>B9*2</f><v>0</v>"
    path = written(
        tmp_path / "t.xlsx", row(amount=formula), row(amount="<v>0</v>"), **{"xl/workbook.xml": book}
    )
    found = ledger_rows(path)
    assert [one.amount_fen for one in found] == [None if asked else 0, 0]
    assert not asked or "open the workbook, save it once" in (found[0].problem or "")


def test_merged_cells_are_named(tmp_path: Path) -> None:
    merged = (
        '<mergeCells><mergeCell ref="A1:C1"/><mergeCell ref="F2:F3"/><mergeCell ref="C2:C4"/></mergeCells>'
    )
    path = written(tmp_path / "t.xlsx", row(), "<c><v>115289488050</v></c><c><v>1</v></c>", after=merged)
    ledger = open_ledger(path)
    assert [one.problem for one in ledger.rows()] == [None, "no status"]
    assert ledger.notes() == [
        "merged cells have their value in their first row only, such as column status, rows 2 to 4: unmerge "
        "them and fill the rows"
    ]


def test_rows_without_a_height_are_hidden(tmp_path: Path) -> None:
    path = written(tmp_path / "t.xlsx", row())
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    parts[SHEET] = parts[SHEET].replace(b"</row><row>", b'</row><row ht="0" customHeight="1">')
    path.write_bytes(workbook(dict(parts)))
    ledger = open_ledger(path)
    assert len(list(ledger.rows())) == 1
    assert ledger.notes() == ["hidden rows, read like the others: 1"]


def test_only_the_data_of_a_sheet_is_data(tmp_path: Path) -> None:
    """Extensions of Excel below the data use the same names of elements."""
    after = '<extLst><ext><row r="99"><c r="Z1"><v>7</v></c></row></ext></extLst>'
    assert len(ledger_rows(written(tmp_path / "t.xlsx", row(), after=after))) == 1


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ('<c r="A0"><v>1</v></c>', "near row 2: a cell in row 2 has the reference 'A0'"),
        ('<c r="A3"><v>1</v></c>', "a cell in row 2 has the reference 'A3'"),
        ("<c><v>1</v><v>2</v></c>", "near row 2: a cell with two values"),
        ('<c t="inlineStr"><v>1</v><is><t>2</t></is></c>', "a cell with two values"),
        ('<c t="s"><v>77</v></c>', "a shared text is missing"),
        ('<c t="s"><v>-1</v></c>', "'-1' is not a whole number"),
        ('<c t="x"><v>1</v></c>', "a cell of the unknown type 'x'"),
        ('<c r="A2"><v>1</v></c><c r="A2"><v>2</v></c>', "two cells in column 1"),
        ("<c><v>1</c>", "sheet s breaks off near row 2"),
        ('</row><row r="1"><c><v>1</v></c>', "row 1 comes after row 2"),
    ],
)
def test_damage_has_its_place(tmp_path: Path, cell: str, why: str) -> None:
    path = written(tmp_path / "t.xlsx", cell)
    with pytest.raises(InvalidArgumentError) as error:
        ledger_rows(path)
    assert str(error.value).startswith("t.xlsx is a damaged workbook (sheet s")
    assert why in str(error.value)


def test_a_part_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "t.xlsx", row())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(SHEET.upper(), "<worksheet/>")
    with pytest.raises(InvalidArgumentError, match=r"it has the part sheet1\.xml twice"):
        ledger_rows(path)


def test_a_sheet_without_a_part_is_not_passed_over(tmp_path: Path) -> None:
    book = PARTS["xl/workbook.xml"].replace("</sheets>", '<sheet name="二月" r:id="zz"/></sheets>')
    path = written(tmp_path / "t.xlsx", row(), **{"xl/workbook.xml": book})
    with pytest.raises(InvalidArgumentError, match="the sheet 二月 is missing"):
        ledger_rows(path)


NAMES = ["refund_id", "amount_yuan", "status"]


def texts(*values: str) -> str:
    return "".join(f'<c t="inlineStr"><is><t>{value}</t></is></c>' for value in values)


def book(path: Path, **sheets: list[list[str]]) -> Path:
    """A workbook of sheets of texts."""
    named = "".join(f'<sheet name="{name}" r:id="{at}"/>' for at, name in enumerate(sheets))
    parts: dict[str, str | bytes] = {
        "xl/workbook.xml": f'<workbook xmlns:r="r"><sheets>{named}</sheets></workbook>',
        RELATIONS: "<Relationships>"
        + "".join(f'<Relationship Id="{at}" Target="{at}.xml"/>' for at in range(len(sheets)))
        + "</Relationships>",
    }
    for at, rows in enumerate(sheets.values()):
        body = "".join(f"<row>{texts(*cells)}</row>" for cells in rows)
        parts[f"xl/{at}.xml"] = f"<worksheet><sheetData>{body}</sheetData></worksheet>"
    path.write_bytes(workbook(parts))
    return path


ROW = ["TQ1", "12.50", "refundsuccess"]
TITLES = [["说明"]] * 40


def test_the_advice_names_the_row_and_the_sheet(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", 说明=[["x"]], 明细=[*TITLES, NAMES, ROW])
    with pytest.raises(InvalidArgumentError, match=r"--sheet '明细' --header-row 41\. "):
        ledger_rows(path)
    assert len(ledger_rows(path, sheet=("明细",), header_row=41)) == 1
    with pytest.raises(InvalidArgumentError, match=r"Row 41 looks like column names: --header-row 41\. "):
        ledger_rows(path, sheet=("明细",), header_row=40)


def test_a_sheet_without_a_needed_column_is_only_named(tmp_path: Path) -> None:
    other = [["refund_id", "status"], ["TQ2", "refundsuccess"]]
    path = book(tmp_path / "t.xlsx", 一月=[NAMES, ROW], 二月=other)
    ledger = open_ledger(path)
    assert [one.refund_id for one in ledger.rows()] == ["TQ1"]
    assert "other sheets, not read: 二月" in ledger.notes()
    with pytest.raises(InvalidArgumentError, match=r"sheet 二月: no amount column found"):
        ledger_rows(path, all_sheets=True)


def test_a_sheet_is_found_in_any_case_and_read_once(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", Refunds=[NAMES, ROW], Other=[NAMES, ROW])
    assert len(ledger_rows(path, sheet=("refunds", "REFUNDS "))) == 1
    with pytest.raises(
        InvalidArgumentError, match=r"no sheet Refund; did you mean Refunds\? It has: Refunds, Other"
    ):
        ledger_rows(path, sheet=("Refund",))


def test_advice_can_be_pasted_whatever_the_name(tmp_path: Path) -> None:
    path = book(tmp_path / "t.xlsx", **{"O'Brien": [NAMES, ROW], "B": [NAMES, ROW]})
    with pytest.raises(InvalidArgumentError, match="""--sheet 'O'"'"'Brien' --sheet 'B'"""):
        ledger_rows(path)


@pytest.mark.parametrize(
    ("above", "row", "rows"),
    [
        (
            [["平台", "退款编号", "金额", "", "状态"], ["", "", "退款金额(元)", "订单金额(元)", ""]],
            0,
            "1 and 2",
        ),
        ([["", "", "金额", "", ""], ["平台", "退款编号", "退款金额(元)", "订单金额(元)", "退款状态"]], 1, ""),
    ],
)
def test_names_below_a_merged_name(tmp_path: Path, above: list[list[str]], row: int, rows: str) -> None:
    path = book(tmp_path / "t.xlsx", S=[*above, ["1688", "TQ1", "12.50", "99", "refundsuccess"]])
    ledger = open_ledger(path)
    assert [(one.refund_id, one.amount_fen) for one in ledger.rows()] == [("TQ1", 1250)]
    assert ledger.notes() == (
        [f"rows {rows} are the column names"] if rows else [f"rows above the column names, not read: {row}"]
    )


def test_two_amounts_below_one_name_are_asked_for(tmp_path: Path) -> None:
    names = [["平台", "退款编号", "金额(元)", "", "状态"], ["", "", "申请", "实退", ""]]
    path = book(tmp_path / "t.xlsx", S=[*names, ["1688", "TQ1", "12.50", "99", "refundsuccess"]])
    with pytest.raises(InvalidArgumentError, match=r"no amount column found.*金额\(元\)申请, 金额\(元\)实退"):
        ledger_rows(path)
    (found,) = ledger_rows(path, map={"amount_yuan": "金额(元)实退"})
    assert found.amount_fen == 9900


@pytest.mark.parametrize(
    "again",
    [NAMES, ["退款编号", "退款金额(元)", "状态"], ["必填", "(必填)", "选填"]],
    ids=["same", "Chinese", "hints"],
)
def test_names_and_hints_again_are_no_rows(tmp_path: Path, again: list[str]) -> None:
    first = [NAMES] if again[0] == "必填" else [NAMES, ROW]
    ledger = open_ledger(book(tmp_path / "t.xlsx", S=[*first, again, ROW]))
    assert {one.refund_id for one in ledger.rows()} == {"TQ1"}
    assert ledger.notes() == ["repeated column names and ruled lines, not read: 1"]


def test_another_table_below_is_refused(tmp_path: Path) -> None:
    path = book(
        tmp_path / "t.xlsx", S=[NAMES, ROW, ["订单编号", "退款编号", "状态"], ["12", "TQ2", "refundsuccess"]]
    )
    with pytest.raises(InvalidArgumentError, match=r"t\.xlsx, row 3 has column names in another order"):
        ledger_rows(path)
