"""Text files of the corpus: what several oddities of CSV come to together; see table_corpus."""

from __future__ import annotations

from collections.abc import Callable

from tests.support.corpus_rows import GOOD, HEADER, RETURNS, csv_text, texts

Case = Callable[..., None]


def text_files(case: Case) -> None:
    """Add all cases."""
    _quotation_marks(case)
    _encodings(case)
    _around_the_table(case)
    _cells(case)


def _quotation_marks(case: Case) -> None:
    names = [*HEADER, "备注"]
    two_lines = [[*row, "太小, 退" if at else "太小\n要退回"] for at, row in enumerate(texts())]
    tabs = "\r\n".join(",".join(f'"{cell}"\t' for cell in row) for row in [names, *two_lines])
    case("q_tabs_and_lines.csv", tabs, rows=GOOD)
    blanks = "\r\n".join(" , ".join(f'"{cell}"' for cell in row) for row in [names, *two_lines])
    case("q_blanks_and_lines.csv", blanks, rows=GOOD)
    swallowed = tabs.replace('退"', "退", 1).replace('退"', '退" ', 1)
    case("q_tabs_swallow.csv", swallowed, refused="opened in row 3 .* is not closed")
    first = csv_text([["备注", *HEADER], *[["", *row] for row in texts()]]).replace("\n,1688", '\n",1688', 1)
    first = first.replace("\n,taobao", '\n",taobao', 1)
    case("q_pair_first.csv", first, refused="between row 2 and row 3 .* swallow rows")
    broken = [[row[0], f"{row[1]}\n", *row[2:]] for row in texts()]
    case("q_id_and_line.csv", csv_text([HEADER, *broken]), rows=GOOD)
    escaped = csv_text([[*HEADER[:2], "商品", *HEADER[2:]], *([*row[:2], "x", *row[2:]] for row in texts())])
    case("q_backslash.csv", escaped.replace(",x,", ',"27\\" 屏, 黑",'), rows=GOOD)
    title = csv_text([["七月退款\n(全部)"], HEADER, *texts()])
    case("q_title_lines.csv", title, rows=GOOD, notes=["above the column names, not read: 1"])
    plain = csv_text([HEADER, *texts()])
    case(
        "q_multiline_unknown.csv",
        plain,
        options={"multiline": ("备住",)},
        refused="--multiline 备住 matches no column. Columns: 平台, ",
    )


def _encodings(case: Case) -> None:
    english = [["platform", "refund_id", "remark", "amount_yuan"]]
    english += [[row[0], row[1], "颜色", row[3]] for row in texts()]
    half = csv_text(english).encode().replace("颜色".encode(), b"\xb0A" + "颜色".encode(), 1)
    case("o_utf8_half.csv", half, rows=GOOD, notes=["bytes that are not utf-8-sig, marked with .: 1"])
    traditional = [["平臺", "退款編號", "退款金額(元)", "備註"]]
    traditional += [[row[0], row[1], row[3], "客戶說太小"] for row in texts()]
    big5 = (
        csv_text(traditional)
        .encode("big5")
        .replace("客戶".encode("big5"), b"\xff" + "客戶".encode("big5"), 1)
    )
    case("o_big5_half.csv", big5, rows=GOOD, notes=["bytes that are not big5hkscs, marked with .: 1"])
    cyrillic = [["platform", "refund_id", "remark", "amount_yuan"]]
    cyrillic += [[row[0], row[1], "мало и поздно!", row[3]] for row in texts()]
    case("o_cyrillic.csv", csv_text(cyrillic), "cp1251", rows=GOOD, notes=["its texts look wrong"])


def _around_the_table(case: Case) -> None:
    lines = csv_text([HEADER, *texts()]).splitlines()
    marked = "\ufeff"
    joined = "\r\n".join([marked + lines[0], *lines[1:4], marked + lines[0], *lines[4:]])
    case("t_joined.csv", joined, rows=GOOD, notes=["repeated column names and ruled lines, not read: 1"])
    appended = "\r\n".join([*lines[:4], f'{marked}"taobao"{lines[4].removeprefix("taobao")}', *lines[5:]])
    case("t_appended.csv", appended, rows=GOOD)
    ruled = "\r\n".join([lines[0], ",".join(["-----"] * 5), *lines[1:], "", "(6 rows affected)"])
    notes = ["repeated column names and ruled lines, not read: 1", "totals at the end, not read: 1"]
    case("t_ruled.csv", ruled, rows=GOOD, notes=notes)
    english = "platform,refund_id,order_id,amount_yuan,status"
    languages = "\r\n".join([lines[0], english, *lines[1:]])
    case("t_two_languages.csv", languages, rows=GOOD, notes=["rows 1 and 2 are the column names"])
    printed = [["製表人：張三", "", "審核：李四"], ["第1頁"]]
    case("t_printed.csv", csv_text([HEADER, *texts(), *printed]), rows=GOOD, notes=["totals .*: 2"])
    signed = [["制表人：张三", "", "审核：李四"], ["签字："], ["第1页/共1页"], ["\x1a"]]
    case("t_signed.csv", csv_text([HEADER, *texts(), *signed]), rows=GOOD, notes=["totals .*: 3"])
    lost = ["taobao", "", "1020681120676660086", "合计 397.36", "30"]
    rows = [*GOOD[:5], [None, None, "is not an amount|no refund id"]]
    case("t_order_without_id.csv", csv_text([HEADER, *texts()[:5], lost]), rows=rows)
    caret = csv_text([HEADER, *texts()]).replace(",", "^")
    case("f_caret.csv", caret, refused="its columns are separated by '\\^', which is not supported")
    wrong_row = csv_text([["七月退款"], HEADER, *texts()])
    case("t_wrong_row.csv", wrong_row, options={"header_row": 4}, refused="--header-row 2")


def _cells(case: Case) -> None:
    names = [*HEADER, "备注"]
    cut = csv_text([names, *[[*row, ""] for row in texts()]]).replace("1961.89", "1,961.89")
    expected = [*GOOD[:2], [GOOD[2][0], None, "the row has 7 cells, the header has 6"], *GOOD[3:]]
    case("a_unquoted_thousands.csv", cut, rows=expected)
    ticks = [[f"`{cell}" for cell in row] for row in [HEADER, *texts()]]
    case("c_ticks.csv", csv_text(ticks), rows=GOOD)
    formulas = [[f'="{cell}"' for cell in row] for row in [HEADER, *texts()]]
    case("c_formulas.csv", csv_text(formulas), rows=GOOD)
    waybills = {
        "SF123\x00456": "contains control characters",
        "SF\x1b123": "contains control characters",
        "1/2": "'1/2' is a date",
        "Aug-23": "'Aug-23' is a date",
        "01-Aug": "'01-Aug' is a date",
        "12.50": "is a number with decimals",
        "73,123,456": "'73,123,456' is not one waybill",
        "SF123/SF124": "'SF123/SF124' is not one waybill",
        "#ЗНАЧ!": "'#ЗНАЧ!' is a spreadsheet error",
        "SF 123-1": None,
    }
    rows = [[f"TQ{20000000 + at}", "SF", word, "已寄出"] for at, word in enumerate(waybills)]
    expected = [[row[0], None, why] for row, why in zip(rows, waybills.values(), strict=True)]
    case("v_waybill_forms.csv", csv_text([RETURNS, *rows]), plan="returns", rows=expected)
