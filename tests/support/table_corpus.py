"""Makes the tables of tests/data/tables and what is to be read from them, beside each file as JSON.

    python -m tests.support.table_corpus

The files are as people have them: exports of portals, what spreadsheets and data programs write, and what
goes wrong on the way. What is expected is said here, case by case, and never taken from the reader.
"""

from __future__ import annotations

import gzip
import importlib
import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import openpyxl
import openpyxl.chart
import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.corpus_rows import GOOD, HEADER, RETURNS, TAOBAO, TRUTH, csv_text, texts, yuan
from tests.support.text_corpus import text_files

FOLDER = Path(__file__).parent.parent / "data" / "tables"


def workbook(*sheets: tuple[str, Sequence[Sequence[Any]]]) -> openpyxl.Workbook:
    book = openpyxl.Workbook()
    del book["Sheet"]
    for name, rows in sheets:
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(list(row))
    return book


def saved(book: openpyxl.Workbook) -> bytes:
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def parquet(columns: Mapping[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(dict(columns)), file, **options)
    return file.getvalue()


def repacked(data: bytes, change: Callable[[str, bytes], tuple[str, bytes]]) -> bytes:
    """A workbook with its parts changed: name and content."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as new:
        for info in old.infolist():
            new.writestr(*change(info.filename, old.read(info)))
    return file.getvalue()


def of_xlsxwriter(fill: Callable[[Any, Any], None]) -> bytes:
    file = io.BytesIO()
    book = importlib.import_module("xlsxwriter").Workbook(file, {"in_memory": True})
    fill(book, book.add_worksheet("退款"))
    book.close()
    return file.getvalue()


CASES: dict[str, tuple[bytes | None, dict[str, Any]]] = {}


def case(name: str, data: bytes | str | None, encoding: str = "utf-8", **expected: Any) -> None:
    """`data` is None for a file that was carried over and cannot be made again."""
    assert name not in CASES, name
    CASES[name] = data.encode(encoding) if isinstance(data, str) else data, expected


def carried_over() -> None:
    """The cases that failed when they were found."""
    case("quote_pair_last_col.csv", None, refused="between row 3 and row 5 .* swallow rows")
    case("refunds_chimera_title.csv", None, plan="refunds", refused="between row 4 and row 6 .* swallow rows")
    case(
        "returns_vlookup_error.xlsx",
        None,
        plan="returns",
        rows=[
            ["TQ284817344523453095", None, "'#N/A' is a spreadsheet error"],
            ["TQ226179582991383185", None, "'#VALUE!' is a spreadsheet error"],
            ["TQ239269373765727257", None, "'#NAME\\?' is a spreadsheet error"],
        ],
    )
    case("split_sheets.xlsx", None, refused="2 sheets have these columns: 退款1, 退款2; .*--all-sheets")
    case("ts_9999_shanghai.parquet", None, rows=GOOD)
    case("dec_s4.parquet", None, rows=GOOD)
    case("mssql_money.csv", None, rows=GOOD)
    case(
        "float32_ids.parquet", None, refused="column refund_id is stored as float32, which has 7 exact digits"
    )
    case("n_ids_numbers.xlsx", None, rows=GOOD, notes=["order_id: 6 cells cannot be read"])
    case("gbk_half_char.csv", None, rows=GOOD, notes=["not gb18030.*: 1"])
    case("header_only.csv", None, refused="no rows below its column names")
    for name in ("r_SharedStrings_case", "r_workbook2", "r_dot_target"):
        case(f"{name}.xlsx", None, rows=GOOD)
    alipay = {"map": {"amount_yuan": "商家实收（元）"}, "negative": True}
    more = [["118370246104", 51086, None], ["116063832122", 56861, None], ["113757418140", 21883, None]]
    counted = ["rows above the column names, not read: 4", "rows of totals at the end, not read: 3"]
    case("alipay_bill.csv", None, options=alipay, rows=[*TAOBAO, *more], notes=counted)
    case("s_cover_first.xlsx", None, rows=GOOD, notes=["sheet read: 退款明细", "not read: 说明"])
    case("html_table.xls", None, refused=r"is a web page \(HTML\).*save it as .xlsx or as CSV")
    case("alipay_download.zip", None, rows=GOOD)
    case("utf16le_bom.csv", None, rows=GOOD)
    case("dup_header_order.csv", None, rows=GOOD, notes=["--map order_id=#3 or --map order_id=#4"])
    never = "is a formula without a stored result: open the workbook, save it once"
    case("f_formula_nocache.xlsx", None, rows=[[refund, None, never] for refund, _, _ in GOOD])
    case(
        "amount_forms.csv",
        None,
        rows=[
            *([refund, fen * (-1 if refund in ("TQ228272449136281059", "112983074068") else 1), None]
              for refund, fen, _ in GOOD),
            ["TQ284817344523453095", 127391, None],
            ["118370246104", 51086, None],
            ["TQ213089792217039113", 38035, None],
            ["116063832122", 56861, None],
            ["TQ241362239910625131", -145015, None],
            ["113757418140", 21883, None],
            ["TQ269634687604211149", 91459, None],
            ["111451004158", 125635, None],
            ["TQ297907135297797167", 6947, None],
            ["119144590176", None, "has another currency than CNY"],
        ],
    )  # fmt: skip
    tmall = [*TAOBAO, *more]
    case("tmall_refunds_gb18030.csv", None, options={"amount_unit": "yuan"}, rows=tmall)


def quotation_marks() -> None:
    """1. What quotation marks swallow, and what they do not."""
    rows = [[*row, ""] for row in texts()]
    names = [*HEADER, "备注"]
    remarks = [*rows]
    remarks[1] = [*rows[1][:5], "客户说太小\n要退回, 已同意"]
    case("q_two_lines.csv", csv_text([names, *remarks]), rows=GOOD)
    plain = csv_text([names, *rows])
    for name, first, second in (("next", 1, 2), ("far", 1, 5), ("tab", 0, 3)):
        lines = plain.splitlines()
        lines[first + 1] += '"大'
        lines[second + 1] += '"'
        text = "\r\n".join(lines) + "\r\n"
        text = text.replace(",", "\t") if name == "tab" else text
        case(f"q_pair_{name}.csv", text, refused="pair up wrongly between row .* swallow rows")
    middle = [["平台", "退款编号", "备注", "退款金额(元)", "退款状态"]]
    middle += [[row[0], row[1], "", row[3], row[4]] for row in texts()]
    lines = csv_text(middle).splitlines()
    lines[2] = lines[2].replace("050,,", '050,"5寸,')
    lines[3] = lines[3].replace("059,,", '059,5寸",')
    case("q_pair_middle.csv", "\r\n".join(lines), refused="between row 3 and row 4")
    case(
        "q_multiline_meant.csv",
        csv_text([names, [*texts()[0], "补发单号\n2544000000000000103"], *rows[1:]]),
        options={"multiline": ("备注",)},
        rows=GOOD,
    )
    case(
        "q_multiline_id.csv",
        csv_text([names, [*texts()[0], "补发单号\n2544000000000000103"], *rows[1:]]),
        refused="'2544000000000000103' begins one.*--multiline",
    )
    short = """退款编号,退款金额(元),备注,仓库,操作人
115289488050,91.68,"客户说太小
112983074068,911.50
110676660086,397.36,大小"
"""
    case("q_short_rows.csv", short, refused="'112983074068' begins one")
    header = csv_text([names, *rows]).replace(",备注", ',"备注', 1).replace("100,", '100,"', 1)
    case("q_header.csv", header, refused="between row 1 and row 3 .* swallow rows")
    unclosed = plain.replace("100,", '100,"客', 1)
    case("q_unclosed.csv", unclosed, refused="opened in row 3 .* is not closed")
    inches = [[*row, '27" 显示器' if at % 2 else ""] for at, row in enumerate(texts())]
    tsv = "\r\n".join("\t".join(row) for row in [names, *inches])
    case("q_inches.tsv", tsv, rows=GOOD)
    tsv = "\r\n".join(
        "\t".join(row)
        for row in [names, *[[*row[:5], '"' if at in (1, 3) else ""] for at, row in enumerate(rows)]]
    )
    case("q_none.tsv", tsv, options={"quoting": "none"}, rows=GOOD)
    blanks = "\r\n".join(" , ".join(f'"{cell}"' for cell in row) for row in [HEADER, *texts()])
    case("q_blanks_around.csv", blanks, rows=GOOD)
    tabs = "\r\n".join(",".join(f'"{cell}"\t' for cell in row) for row in [HEADER, *texts()])
    case("q_tabs_after.csv", tabs, rows=GOOD)
    broken = csv_text([names, *rows]).replace("100,", '100,"好"的', 1)
    marks = [*GOOD[:1], ["115289488050", None, "quotation marks are broken"], *GOOD[2:]]
    case(
        "q_broken_in_line.csv",
        broken,
        rows=[marks[0], [None, None, "quotation marks are broken"], *marks[2:]],
    )
    joined = (
        csv_text([names, *rows])
        .replace("taobao,112983074068,", 'taobao,"112983074068,', 1)
        .replace("911.50,20,", '911.50,20",', 1)
    )
    case("q_columns_joined.csv", joined, rows=[*GOOD[:3], [None, None, "join columns"], *GOOD[4:]])


def no_values() -> None:
    """2. Cells that are filled and hold no value."""
    words = ["NULL", "nan", "None", "-", "—", "无", "待补", "TRUE", "#N/A", "SF"]
    rows = [[f"TQ{20000000 + at}", "SF", word, "已寄出"] for at, word in enumerate(words)]
    expected = [[row[0], None, "placeholder for|spreadsheet error|no digit"] for row in rows]
    case("v_words.csv", csv_text([RETURNS, *rows]), plan="returns", rows=expected)
    words = ["0", "00000000", "#¡DIV/0!", "Error 2042", "1900-01-00", "2023/8/1", "没有123", "待补(8月1日)"]
    rows = [[f"TQ{20000000 + at}", "SF", word, "已寄出"] for at, word in enumerate(words)]
    good = ["SF1", "JDVA00012345-1-1-", "773 1234 5678", "１２３４５"]
    rows += [[f"TQ{30000000 + at}", "SF", word, "已寄出"] for at, word in enumerate(good)]
    expected = [
        [row[0], None, "is not a waybill|is a spreadsheet error|is a date" if row[0] < "TQ3" else None]
        for row in rows
    ]
    case("v_waybills.csv", csv_text([RETURNS, *rows]), plan="returns", rows=expected)
    errors = [[row[1], row[0], *row[2:]] for row in texts()]
    errors[5][0] = "#N/A"
    case(
        "v_error_first.csv",
        csv_text([["退款编号", "平台", *HEADER[2:]], *errors]),
        rows=[*GOOD[:5], [None, GOOD[5][1], "'#N/A' is a spreadsheet error"]],
    )
    booleans: list[list[Any]] = [
        ["TQ20000000", "SF", True, "已寄出"],
        ["TQ20000001", "SF", "SF123", None],
        ["TQ20000002", "-", "SF1", "无"],
    ]
    case(
        "v_booleans.xlsx",
        saved(workbook(("Sheet", [RETURNS, *booleans]))),
        plan="returns",
        rows=[
            ["TQ20000000", None, "'TRUE' is a placeholder for a missing value"],
            ["TQ20000001", None, None],
            ["TQ20000002", None, "'-' is a placeholder for"],
        ],
    )
    ledger = [HEADER, *texts()]
    ledger[2] = ["taobao", "115289488050", "#N/A", "#DIV/0!", "100"]
    ledger[4] = ["taobao", "112983074068", "NULL", "911.50", "-"]
    case(
        "v_ledger.csv",
        csv_text(ledger),
        rows=[
            GOOD[0],
            ["115289488050", None, "'#DIV/0!' is a spreadsheet error"],
            GOOD[2],
            ["112983074068", 91150, "'-' is a placeholder for"],
            *GOOD[4:],
        ],
    )


def other_sheets() -> None:
    """3. What stands beside, above and below the table."""
    head, tail = [HEADER, *texts()[:3]], [HEADER, *texts()[3:]]
    both = workbook(("一月", head), ("二月", tail))
    case(
        "s_all.xlsx",
        saved(both),
        options={"all_sheets": True},
        rows=GOOD,
        notes=["20000002 is row 2 of 二月"],
    )
    covered = workbook(("说明", [["本表为七月退款"]]), ("一月", head), ("二月", tail))
    notes = ["other sheets, not read: 说明"]
    case("s_all_covered.xlsx", saved(covered), options={"all_sheets": True}, rows=GOOD, notes=notes)
    case("s_named.xlsx", saved(both), options={"sheet": ("一月", "二月")}, rows=GOOD)
    case(
        "s_one.xlsx",
        saved(both),
        options={"sheet": "二月"},
        rows=GOOD[3:],
        notes=["other sheets, not read: 一月"],
    )
    differ = workbook(("一月", head), ("二月", [["退款编号", "退款金额(元)"], ["TQ1", 1]]))
    case("s_differ.xlsx", saved(differ), options={"all_sheets": True}, refused="differ in their columns")
    hidden = workbook(("退款", [HEADER, *texts()]), ("旧", tail))
    hidden["旧"].sheet_state = "hidden"
    hidden["退款"].row_dimensions[3].hidden = True
    case(
        "s_hidden.xlsx", saved(hidden), rows=GOOD, notes=["hidden sheets, not read: 旧", "hidden rows, .*: 1"]
    )
    covered = workbook(("说明", [["打开隐藏的表", "x"]]), ("退款", [HEADER, *texts()]))
    covered["退款"].sheet_state = "hidden"
    case("s_only_hidden.xlsx", saved(covered), refused="--sheet '退款'")
    template = workbook(("退款", [HEADER, *texts()]), ("模板", [HEADER]))
    case("s_template.xlsx", saved(template), rows=GOOD, notes=["not read: 模板"])
    chart = workbook(("退款", [HEADER, *texts()]))
    figure = chart.create_chartsheet("图", 0)
    figure.add_chart(openpyxl.chart.BarChart())
    case("s_chart_first.xlsx", saved(chart), rows=GOOD)
    title: list[list[Any]] = [
        ["七月退款明细表"],
        ["制表人：财务部", None, "2023-08-01"],
        [],
        *[HEADER, *texts()],
    ]
    case("s_title.xlsx", saved(workbook(("Sheet", title))), rows=GOOD, notes=["above the column names.*: 2"])
    case("t_title.csv", csv_text([["七月退款"], ["导出时间", "2023-08-01"], HEADER, *texts()]), rows=GOOD)
    far = [[f"说明 {number}"] for number in range(40)]
    case("t_far.csv", csv_text([*far, HEADER, *texts()]), refused="no refund_id column.* --header-row 41")
    case("t_told.csv", csv_text([*far, HEADER, *texts()]), options={"header_row": 41}, rows=GOOD)
    unknown = [["七月退款"], ["甲", "乙", "丙", "丁", "戊"], *texts()]
    case("t_hint.csv", csv_text(unknown), refused="--header-row 2")
    sum_row = ["合计", "", "", "4930.17", ""]
    case(
        "t_sum.csv",
        csv_text([HEADER, *texts(), sum_row]),
        rows=GOOD,
        notes=["totals at the end, not read: 1"],
    )
    sum_row = ["", "Total:", "", "4930.17", ""]
    case("t_total_in_id.csv", csv_text([HEADER, *texts(), [], sum_row]), rows=GOOD, notes=["totals.*: 1"])
    for at, word in enumerate(("总 计", "合 计：", "總計", "共6条", "共 6 笔", "小计:")):
        end = [word, "", "", "4930.17", ""]
        case(
            f"t_word_{at}.csv", csv_text([HEADER, *texts(), end]), rows=GOOD, notes=["totals at the end.*: 1"]
        )
    subtotal = ["", "小计", "", "1068.57", ""]
    case(
        "t_subtotal.csv",
        csv_text(
            [
                ["店铺", *HEADER[1:]],
                *[["x", *row[1:]] for row in texts()[:2]],
                subtotal,
                *[["x", *row[1:]] for row in texts()[2:]],
            ]
        ),
        rows=[*GOOD[:2], [None, 106857, "is not a refund id"], *GOOD[2:]],
    )
    signed = [[], ["以上数据由系统导出"], ["制表人：张三", "", "", "", ""]]
    case("t_footers.csv", csv_text([HEADER, *texts(), *signed]), rows=GOOD, notes=["totals .*: 2"])
    wechat = [["交易时间", "商户退款单号", "退款金额", "退款状态"]]
    wechat += [
        ["`2023-07-04 11:00:58", f"`{row[1]}", f"`{row[3]}", "`100"] for row in texts() if row[0] == "taobao"
    ]
    wechat += [
        ["总交易单数", "应结订单总金额", "退款总金额", "手续费总金额"],
        ["`3", "`0.00", "`1400.54", "`0.00"],
    ]
    mapping = {"refund_id": "商户退款单号", "amount_yuan": "退款金额"}
    case(
        "t_wechat.csv",
        csv_text(wechat),
        options={"map": mapping, "platform": "taobao"},
        rows=TAOBAO,
        notes=["totals at the end, not read: 2"],
    )
    levels = [["平台", "退款", "", "", "订单编号"], ["", "编号", "金额(元)", "状态", ""]]
    levels += [[row[0], row[1], row[3], row[4], row[2]] for row in texts()]
    case("t_two_levels.csv", csv_text(levels), rows=GOOD, notes=["rows 1 and 2 are the column names"])


def odd_values() -> None:
    """4. One odd value costs one value."""
    refunds = [row[1] for row in TRUTH]
    fen = pa.array([row[3] for row in TRUTH], pa.int64())
    seconds = [1_688_000_000_000_000 + at for at in range(5)]
    mars = pa.array([*seconds, 2**62], pa.int64()).cast(pa.timestamp("us", "Mars/Phobos"), safe=False)
    case("o_mars.parquet", parquet({"refund_id": refunds, "amount_fen": fen, "applied_at": mars}), rows=GOOD)
    days = pa.array([0, 19_000, None, 2**31 - 1, -(2**31), 5], pa.int32()).cast(pa.date32())
    case("o_days.parquet", parquet({"refund_id": refunds, "amount_fen": fen, "applied_at": days}), rows=GOOD)
    nanoseconds = pa.array([2**63 - 1, *seconds], pa.int64()).cast(pa.timestamp("ns"))
    case(
        "o_ns.parquet",
        parquet({"refund_id": refunds, "amount_fen": fen, "applied_at": nanoseconds}),
        rows=GOOD,
    )
    dates = ["9999-12-31", "0000-00-00", "20230704110058", "2023-07-04T08:00:00Z", "昨天", "#N/A"]
    dated = [[*row, when] for row, when in zip(texts(), dates, strict=True)]
    case("o_dates.csv", csv_text([[*HEADER, "申请时间"], *dated]), rows=GOOD)
    spoilt = texts()
    spoilt[1][2] = "1.02414E+18"
    case("o_order_id.csv", csv_text([HEADER, *spoilt]), rows=GOOD, notes=["order_id: 1 cell cannot be read"])
    traditional = "平臺,退款編號,退款金額(元)\r\n" + "".join(
        f"{p},{r},{yuan(f)}\r\n" for p, r, _, f, _ in TRUTH
    )
    case("o_big5.csv", traditional, "big5", rows=GOOD)
    case("o_utf16_no_mark.csv", csv_text([HEADER, *texts()], delimiter="\t"), "utf-16-le", rows=GOOD)
    needed = csv_text([HEADER, *texts()]).encode("gb18030").replace(b"115289488050", b"11528\xff488050")
    case("o_broken_id.csv", needed, rows=[GOOD[0], [None, 9168, "contains broken bytes"], *GOOD[2:]])


def values() -> None:
    """5. Values, not forms."""
    forms: tuple[Callable[[int], str], ...] = (
        lambda fen: f"{yuan(fen)}元",
        lambda fen: f"RMB {fen / 100:,.2f}",
        lambda fen: f"￥{yuan(fen)}00",
        lambda fen: f"`{yuan(fen)}\t",
        lambda fen: f"'{fen / 100:,.2f}",
        lambda fen: f'="{yuan(fen)}"',
    )
    rows = [[*row[:3], form(row[3]), row[4]] for row, form in zip(texts(lambda fen: fen), forms, strict=True)]
    case("a_forms.csv", csv_text([HEADER, *rows]), rows=GOOD)
    signed = ["(976.89)", "91.68-", "\u22121,961.89", "-911.50", "－590.85", "-397.360"]
    minus = [[*row[:3], form, row[4]] for row, form in zip(texts(), signed, strict=True)]
    ambiguous = ["110676660086", None, "'-397.360' may use the point for thousands"]
    case(
        "a_negative.csv", csv_text([HEADER, *minus]), options={"negative": True}, rows=[*GOOD[:5], ambiguous]
    )
    wrong = [
        ["TQ200000001442695041", "12.345"],
        ["TQ228272449136281059", "1,25"],
        ["TQ256544896829867077", "12.5.0"],
    ]
    case(
        "a_wrong.csv",
        csv_text([["退款编号", "退款金额(元)"], *wrong]),
        rows=[
            [wrong[0][0], None, "'12.345' has more than two decimals"],
            [wrong[1][0], None, "'1,25' is not an amount"],
            [wrong[2][0], None, "'12.5.0' is not an amount"],
        ],
    )
    refunds, exact = [row[1] for row in TRUTH], [Decimal(row[3]) / 100 for row in TRUTH]
    for name, kind in (("128", pa.decimal128(38, 10)), ("256", pa.decimal256(60, 12))):
        amounts = pa.array([value.quantize(Decimal("0.01")) for value in exact]).cast(kind)
        case(f"a_decimal{name}.parquet", parquet({"refund_id": refunds, "amount_yuan": amounts}), rows=GOOD)
    third = pa.array([Decimal("1.005"), *exact[1:]], pa.decimal128(18, 3))
    expected = [[refunds[0], None, "'1.005' has more than two decimals"], *GOOD[1:]]
    case("a_third_decimal.parquet", parquet({"refund_id": refunds, "amount_yuan": third}), rows=expected)
    single = pa.array([float(value) for value in exact], pa.float32())
    case("a_float32_yuan.parquet", parquet({"refund_id": refunds, "amount_yuan": single}), rows=GOOD)
    fen32 = pa.array([float(row[3]) for row in TRUTH], pa.float32())
    case("a_float32_fen.parquet", parquet({"refund_id": refunds, "amount_fen": fen32}), refused="float32")
    unsigned = parquet(
        {
            "refund_id": pa.array(refunds).dictionary_encode(),
            "amount_fen": pa.array([row[3] for row in TRUTH], pa.uint64()),
        }
    )
    case("a_categories.parquet", unsigned, rows=GOOD)
    spark = parquet(
        {
            "refund_id": pa.array([refund.encode() for refund in refunds], pa.binary()),
            "amount_fen": pa.array([row[3] for row in TRUTH], pa.int32()),
        }
    )
    case("a_binary_text.parquet", spark, rows=GOOD)


def formats() -> None:
    """6. Workbooks as other programs pack them, and other files."""
    data = saved(workbook(("退款", [HEADER, *texts()])))
    upper = repacked(
        data, lambda name, part: (name.replace("xl/", "XL/") if name != "xl/workbook.xml" else name, part)
    )
    case("f_upper_case.xlsx", upper, rows=GOOD)
    back = repacked(
        data, lambda name, part: (name.replace("/", "\\") if name.startswith("xl") else name, part)
    )
    case("f_backslashes.xlsx", back, rows=GOOD)

    def moved(name: str, part: bytes) -> tuple[str, bytes]:
        if name == "_rels/.rels":
            part = part.replace(b"xl/workbook.xml", b"./book/main.xml")
        return name.replace("xl/_rels/workbook.xml.rels", "book/_rels/main.xml.rels").replace(
            "xl/workbook.xml", "book/main.xml"
        ), part

    case("f_moved.xlsx", repacked(data, moved), rows=GOOD)

    def reference(name: str, part: bytes) -> tuple[str, bytes]:
        return name, part.replace(b'r="B3"', b'r="B03"') if "sheet1" in name else part

    case("f_reference.xlsx", repacked(data, reference), refused="damaged workbook")

    def twice(name: str, part: bytes) -> tuple[str, bytes]:
        return name, part.replace(b'r="C3"', b'r="B3"') if "sheet1" in name else part

    case("f_cell_twice.xlsx", repacked(data, twice), refused="damaged workbook")

    def fill(book: Any, sheet: Any) -> None:
        for at, row in enumerate([HEADER, *texts(lambda fen: fen / 100)]):
            sheet.write_row(at, 0, row)

    case("f_xlsxwriter.xlsx", of_xlsxwriter(fill), rows=GOOD)
    text = csv_text([HEADER, *texts()])
    case("f_packed.csv.gz", gzip.compress(text.encode("gb18030"), mtime=0), rows=GOOD)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("a.csv", text)
        archive.writestr("b.csv", text)
    case("f_two.zip", packed.getvalue(), refused=r"has 2 files \(a.csv, b.csv\); unpack it")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("退款.xlsx", data)
        archive.writestr("__MACOSX/._退款.xlsx", b"x")
    case("f_workbook.zip", packed.getvalue(), rows=GOOD)
    ods = io.BytesIO()
    with zipfile.ZipFile(ods, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        archive.writestr("content.xml", "<x/>")
    case("f_calc.ods", ods.getvalue(), refused=r"LibreOffice \(.ods\).*save it as .xlsx")
    case(
        "f_binary.xlsb",
        repacked(data, lambda name, part: (name.replace("workbook.xml", "workbook.bin"), part)),
        refused=r"\.xlsb",
    )
    case(
        "f_old.xls",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600,
        refused=r"an old \.xls workbook: open it",
    )
    locked = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le")
    case("f_password.xlsx", locked, refused="a workbook with a password")
    xml = '<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n<Workbook/>'
    case("f_2003.xls", xml, refused=r"XML \(2003\)")
    case("f_archive.xls", "MIME-Version: 1.0\r\nContent-Type: multipart/related\r\n", refused="MHTML")
    case("f_feather.feather", b"ARROW1\0\0" + b"\0" * 40, refused="Feather")
    case("f_json.csv", '[{"refund_id": "TQ1"}]', refused="is JSON")
    case("f_empty.csv", b"", refused="is empty")
    case("f_empty.zip", b"PK\x05\x06" + b"\0" * 18, refused="is an empty archive")
    case("f_zeros.csv", b"\0" * 100, refused="is not text")
    case("f_utf32.csv", csv_text([HEADER, *texts()]), encoding="utf-32-le", rows=GOOD)


def columns() -> None:
    """7. Columns by the names of real exports, and by position."""

    pairs = (
        ("*退款编号", "退款金额(￥)"),
        ("退款编号(必填)", "买家退款金额（元）"),
        ("平台退款单号", "实退金额元"),
        ("售后单号 *", "申请退款金额【元】"),
        ("退款編號", "退款金額(元)"),
        ("refund_id（required）", "Refund Amount (yuan)"),
    )
    for at, (refund, amount) in enumerate(pairs):
        case(
            f"c_names_{at}.csv",
            csv_text([["平台", refund, "订单编号", amount, "退款状态"], *texts()]),
            rows=GOOD,
        )
    anonymous = [["甲", "乙", "丙", "丁", "戊"], *texts()]
    positions = {"platform": "#1", "refund_id": "#2", "amount_yuan": "4", "status": "5"}
    case("c_positions.csv", csv_text(anonymous), options={"map": positions}, rows=GOOD)
    twice = [["退款编号", "退款编号", "退款金额(元)"], *[[row[1], row[1], row[3]] for row in texts()]]
    case("c_id_twice.csv", csv_text(twice), refused="--map refund_id=#1 or --map refund_id=#2")
    case("c_id_second.csv", csv_text(twice), options={"map": {"refund_id": "#2"}}, rows=GOOD)
    words = texts()
    words[0][4] = "处理中了"
    case(
        "c_word.csv",
        csv_text([HEADER, *words]),
        rows=GOOD,
        notes=["'处理中了' is not known .*--status-map 处理中了=STATE"],
    )
    shifted = texts()
    shifted[1][3] = "1,091.68"
    text = csv_text([HEADER, *texts()]).replace("91.68,100", "1,091.68,100", 1)
    case(
        "c_shifted.csv",
        text,
        rows=[GOOD[0], ["115289488050", None, "the row has 6 cells, the header has 5"], *GOOD[2:]],
    )
    wrong = texts()
    wrong[1][0] = "小红书"
    wrong[3][1] = "112983-074068"
    case(
        "c_known_kept.csv",
        csv_text([HEADER, *wrong]),
        rows=[
            GOOD[0],
            ["115289488050", 9168, "is not 1688 or Taobao"],
            GOOD[2],
            [None, 91150, "'112983-074068' is not a refund id of taobao"],
            *GOOD[4:],
        ],
    )


for make in (carried_over, quotation_marks, no_values, other_sheets, odd_values, values, formats, columns):
    make()
text_files(case)


def main() -> None:
    """Write all files; workbooks, which hold the time they were made at, only where they are missing."""
    for name, (data, expected) in CASES.items():
        path = FOLDER / name
        if data is not None and not (path.exists() and data.startswith(b"PK")):
            path.write_bytes(data)
        (FOLDER / f"{name}.json").write_text(
            json.dumps(expected, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
        )
    known = {*CASES, *(f"{name}.json" for name in CASES)}
    for path in FOLDER.iterdir():
        if path.name not in known:
            print(f"not known here: {path.name}")


if __name__ == "__main__":
    main()
