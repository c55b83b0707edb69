"""Cells: ids never lose a digit, amounts never pass through a float, nothing is guessed."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pandapon_async.tables.amounts import amount_fen
from pandapon_async.tables.cells import (
    BadCell,
    Refused,
    blank,
    currency_code,
    id_text,
    no_value,
    plain_text,
    platform_name,
    platform_of_id,
    refund_id_text,
    shown,
    tidy,
    unwrap,
)
from pandapon_async.tables.moments import moment_text

FULL_WIDTH = str.maketrans("0123456789TQ,.-", "０１２３４５６７８９ＴＱ，．－")

digits = st.from_regex(r"[0-9]{1,20}", fullmatch=True)
fen = st.integers(-(10**13), 10**13)


@given(digits, st.sampled_from(["{}", "'{}", '="{}"', "\t{} ", "\u3000{}\u200b", "\ufeff{}", " '{}"]))
def test_ids_keep_every_digit_under_any_wrapper(text: str, wrapper: str) -> None:
    assert id_text(wrapper.format(text)) == text
    assert id_text(wrapper.format(text.translate(FULL_WIDTH))) == text


@given(digits)
def test_refund_ids_of_both_platforms(text: str) -> None:
    assert refund_id_text(f"ＴＱ{text}", "1688") == f"TQ{text}"
    assert refund_id_text(text, "taobao") == text
    assert platform_of_id(f"TQ{text}") == "1688"
    assert platform_of_id(text) == "taobao"


@given(st.integers(10**15, 10**20))
def test_a_spreadsheets_number_of_more_than_15_digits_is_corrupt(number: int) -> None:
    with pytest.raises(Refused, match="already corrupt"):
        id_text(Decimal(number))
    assert id_text(number) == str(number)  # an integer column of Parquet is exact


@given(st.integers(0, 10**15 - 1))
def test_a_spreadsheets_number_of_15_digits_is_an_id(number: int) -> None:
    assert id_text(Decimal(number)) == str(number)
    assert id_text(f"{number}.0") == str(number)


@pytest.mark.parametrize(
    "cell",
    [
        "1.02251E+18",
        "1E18",
        Decimal("1.0225052904083956E+18"),
        "1022505290408395575.0",
        Decimal("12.5"),
        Decimal(-3),
        datetime(2024, 5, 1, tzinfo=UTC),
    ],
)
def test_corrupt_ids_are_refused(cell: str | Decimal | datetime) -> None:
    with pytest.raises(Refused):
        id_text(cell)


@pytest.mark.parametrize("cell", ["TQ", "TQ12 34", "tq123", "TQ12x", "123", "", None, "TQ" + "1" * 21])
def test_what_is_no_refund_id_of_1688(cell: str | None) -> None:
    with pytest.raises(Refused):
        refund_id_text(cell, "1688")


@pytest.mark.parametrize("cell", [None, "", "AB12", "12-34"])
def test_platform_is_not_guessed_from_another_form(cell: str | None) -> None:
    with pytest.raises(Refused):
        platform_of_id(cell)


@given(fen)
def test_yuan_and_fen_agree(amount: int) -> None:
    sign = "-" if amount < 0 else ""
    yuan = f"{sign}{abs(amount) // 100}.{abs(amount) % 100:02d}"
    with_commas = f"{sign}{abs(amount) // 100:,}.{abs(amount) % 100:02d}"
    assert amount_fen(yuan, "yuan") == amount
    assert amount_fen(with_commas, "yuan") == amount
    assert amount_fen(f"￥{with_commas}", "yuan") == amount
    assert amount_fen(f" ¥ {with_commas}\t", "yuan") == amount
    assert amount_fen(with_commas.translate(FULL_WIDTH), "yuan") == amount
    assert amount_fen(str(amount), "fen") == amount
    assert amount_fen(f"{amount}.00", "fen") == amount
    assert amount_fen(amount, "fen") == amount
    assert amount_fen(Decimal(amount), "fen") == amount


@given(st.integers(0, 10**12))
def test_a_number_cell_is_read_as_the_spreadsheet_shows_it(amount: int) -> None:
    stored = Decimal(repr(amount / 100))  # what a spreadsheet writes into its file
    assert amount_fen(stored, "yuan") == amount


@pytest.mark.parametrize("stored", ["1.1000000000000001", "0.30000000000000004", "19.989999999999998"])
def test_the_noise_of_a_stored_number_is_not_a_third_decimal(stored: str) -> None:
    assert amount_fen(Decimal(stored), "yuan") == round(Decimal(stored) * 100)


@pytest.mark.parametrize(
    ("cell", "unit"),
    [
        ("12.345", "yuan"),
        ("12.500", "yuan"),
        ("1.250", "yuan"),
        ("12.50001", "yuan"),
        ("12,50", "yuan"),
        ("1,25,000", "yuan"),
        ("12.5x", "fen"),
        ("12.5", "fen"),
        ("1.000", "fen"),
        ("-¥-5", "yuan"),
        ("(5.00", "yuan"),
        ("-(5.00)", "yuan"),
        ("-5.00-", "yuan"),
        ("5元", "fen"),
        ("5分", "yuan"),
        ("$5.00", "yuan"),
        ("5万", "yuan"),
        ("1 250,00", "yuan"),
        ("元", "yuan"),
        (".", "yuan"),
        ("NaN", "fen"),
        ("1e3", "fen"),
        ("٣", "fen"),
        ("", "fen"),
        (None, "fen"),
        ("9" * 17, "fen"),
        ("0" * 16 + "12", "fen"),  # so long a number is an id
        (10**16, "fen"),
        (Decimal("1E+40"), "fen"),
        (Decimal("12.345"), "yuan"),
        (Decimal("0.5"), "fen"),
        (datetime(2024, 5, 1, tzinfo=UTC), "fen"),
    ],
)
def test_what_is_no_amount(cell: object, unit: str) -> None:
    with pytest.raises(Refused) as refused:
        amount_fen(cell, unit)  # type: ignore[arg-type]
    assert "x" not in str(refused.value).split()  # the cell itself is never repeated


@pytest.mark.parametrize(
    ("cell", "fen"),
    [
        ("12.50元", 1250), ("12.50 元", 1250), ("12元整", 1200), ("RMB 12", 1200), ("CNY510.86", 51086),
        ("人民币568.61", 56861), ("568.61 RMB", 56861), ("(12.50)", -1250), ("（12.50）", -1250),
        ("12.50-", -1250), ("\u22121,450.15", -145015), ("＋218.83", 21883), (".50", 50), ("-.5", -50),
        ("`976.89", 97689), ("'976.89", 97689),
        ('="976.89"', 97689), ("976.89\t", 97689), ("914.5900", 91459), ("1,256.350", 125635), ("0.500", 50),
        ("¥-5", -500), ("￥ 590.85", 59085),
    ],
)  # fmt: skip
def test_amounts_whose_meaning_is_sure(cell: str, fen: int) -> None:
    assert amount_fen(cell, "yuan") == fen


def test_the_unit_in_a_cell_agrees_with_its_column() -> None:
    assert amount_fen("1250分", "fen") == 1250
    with pytest.raises(Refused, match="is in 元, but its column is in fen"):
        amount_fen("12元", "fen")


@pytest.mark.parametrize(
    "cell",
    [
        "#N/A", "#VALUE!", "#NAME?", "#REF!", "#DIV/0!", "#SPILL!", "Err:502", "NULL", "nan", "None",
        "-", "--", "—", "/", "无", "待补", "TRUE", "false", "N/A", "\\N", "<NA>", "＃N/A", " - ", '="#N/A"',
        "?", "否",
    ],
)  # fmt: skip
def test_what_holds_no_value(cell: str) -> None:
    assert no_value(cell)


@pytest.mark.parametrize(
    "cell",
    ["SF", "0", "1-2", "¥", "退款成功", "#12 store", "no", "Nanjing", None, "", " ", 5, Decimal("1.5")],
)
def test_what_may_hold_a_value(cell: object) -> None:
    assert no_value(cell) is None  # type: ignore[arg-type]


def test_a_bad_cell_says_why() -> None:
    assert no_value(BadCell("#N/A", "is an error")) == "is an error"


def test_a_cell_is_quoted_on_one_line_and_short() -> None:
    assert shown("a\x1b[31m\nb") == "'a [31m b'"
    assert len(shown("x" * 500)) == 42


@given(st.text(max_size=40))
def test_any_text_is_an_amount_or_refused(text: str) -> None:
    try:
        found = amount_fen(text, "fen")
    except Refused:
        with pytest.raises(Refused) as refused:
            amount_fen(text, "fen")
        assert len(text) < 3 or text.isspace() or text not in str(refused.value)
    else:
        assert type(found) is int
        assert amount_fen(text, "yuan") == 100 * found


@given(st.text(max_size=60))
def test_any_text_is_an_id_or_refused(text: str) -> None:
    try:
        found = id_text(text)
    except Refused:
        return
    assert found is None or found == found.strip()
    assert (plain_text(text) is None) == blank(unwrap(tidy(text)))


@pytest.mark.parametrize(
    ("cell", "platform"),
    [
        ("1688", "1688"),
        (Decimal(1688), "1688"),
        (1688, "1688"),
        ("阿里巴巴", "1688"),
        ("Alibaba", "1688"),
        ("淘宝", "taobao"),
        (" TaoBao ", "taobao"),
    ],
)
def test_platforms_by_name(cell: object, platform: str) -> None:
    assert platform_name(cell) == platform  # type: ignore[arg-type]


@pytest.mark.parametrize("cell", [None, "", "0", "小红书"])
def test_other_platforms_are_refused(cell: object) -> None:
    with pytest.raises(Refused):
        platform_name(cell)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cell", "code"), [("cny", "CNY"), ("RMB", "CNY"), ("人民币", "CNY"), ("￥", "CNY"), ("ＵＳＤ", "USD")]
)
def test_currencies(cell: str, code: str) -> None:
    assert currency_code(cell) == code


@pytest.mark.parametrize("cell", [None, "", "250.00", "dollars", "C1Y"])
def test_what_is_no_currency(cell: str | None) -> None:
    with pytest.raises(Refused):
        currency_code(cell)


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2024-05-01T10:00:00+08:00", "2024-05-01T10:00:00+08:00"),
        ("2024/5/1 9:05", "2024-05-01T09:05:00+08:00"),
        ("2024年5月1日", "2024-05-01T00:00:00+08:00"),
        ("1714528800000", "2024-05-01T02:00:00+00:00"),
        (1714528800000, "2024-05-01T02:00:00+00:00"),
        (Decimal(1714528800000), "2024-05-01T02:00:00+00:00"),
        ("20240501100000000+0800", "2024-05-01T10:00:00+08:00"),
        ("20240501100000", "2024-05-01T10:00:00+08:00"),
        (Decimal(20240501100000), "2024-05-01T10:00:00+08:00"),
        (20240501100000, "2024-05-01T10:00:00+08:00"),
        ("20240501", "2024-05-01T00:00:00+08:00"),
        ("`2024-05-01 10:00:00", "2024-05-01T10:00:00+08:00"),
        ("9999-12-31", None),
        (datetime(9999, 12, 31), None),
        ("0001-01-01", None),
        ("2024-05-01 10:00:00 Mars/Phobos", None),
        ("20241301100000", None),
        (Decimal("45413.4166666667"), "2024-05-01T10:00:00+08:00"),
        (datetime(2024, 5, 1, 10), "2024-05-01T10:00:00+08:00"),
        (datetime(2024, 5, 1, 10, tzinfo=UTC), "2024-05-01T10:00:00+00:00"),
        ("yesterday", None),
        ("2024-13-45", None),
        (Decimal("1E+30"), None),
        (Decimal(5), None),
        (None, None),
    ],
)
def test_times(cell: object, moment: str | None) -> None:
    assert moment_text(cell) == moment  # type: ignore[arg-type]


def test_days_may_count_from_1904() -> None:
    assert moment_text(Decimal(43951), date(1904, 1, 1)) == "2024-05-01T00:00:00+08:00"


def test_plain_text_is_one_line_of_bounded_length() -> None:
    assert plain_text(" a\n\tb ") == "a b"
    assert plain_text(Decimal("100.0")) == "100"
    assert plain_text(Decimal("1.5")) == "1.5"
    assert plain_text(datetime(2024, 5, 1, tzinfo=UTC)) == "2024-05-01T00:00:00+00:00"
    assert len(plain_text("x" * 1000) or "") == 120
