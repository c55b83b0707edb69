"""Read one cell of a table: ids, names, currencies, platforms.

Tables come from spreadsheets, and spreadsheets silently corrupt ids and money. So nothing here uses a float,
nothing is guessed from the size of a number, and a refused cell has a reason. A cell can be filled and still
have no value: #N/A, NULL, -, 无. `no_value` detects these.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal

from pandapon_async.tables.number_formats import adds_to

__all__ = [
    "CERTAIN_ID",
    "AmountUnit",
    "BadCell",
    "Cell",
    "DateNumber",
    "FormattedNumber",
    "Platform",
    "Refused",
    "blank",
    "currency_code",
    "id_text",
    "no_value",
    "plain_text",
    "platform_name",
    "platform_of_id",
    "refund_id_text",
    "shown",
    "tidy",
    "unwrap",
]

Platform = Literal["1688", "taobao"]
AmountUnit = Literal["fen", "yuan"]


class DateNumber(Decimal):
    """A number that its workbook shows as a date: days since its first day, never an amount."""

    __slots__ = ()


class FormattedNumber(Decimal):
    """A number that its workbook shows in a format that changes or adds to its digits: 0.00%, 000000."""

    format: str

    def __new__(cls, number: Decimal, code: str) -> FormattedNumber:
        """`number` is what is stored, `code` the number format."""
        cell = super().__new__(cls, number)
        cell.format = code
        return cell


class BadCell(str):
    """A cell without a value: the text is what the spreadsheet shows, `why` is the reason."""

    why: str

    def __new__(cls, text: str, why: str) -> BadCell:
        """`text` is what a spreadsheet shows, `why` is the end of a sentence about the cell."""
        cell = super().__new__(cls, text)
        cell.why = why
        return cell


Cell = str | int | Decimal | datetime | None
"""Text, an exact whole number, a spreadsheet's number (exact to 15 digits only), a time, or None."""

SURE_DIGITS = 15
"""How many digits of a number a spreadsheet keeps."""
LONGEST_TEXT = 120
LONGEST_SHOWN = 40
REMEMBERED = 4096
"""How many texts are cached: a column of platforms, shops or states has few."""
BROKEN = "\ufffd"
"""The character for bytes of the file that are not a character."""

_WIDTHS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0xFFE5: "¥"}
_INVISIBLE = dict.fromkeys(
    [0xFEFF, 0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065)]
)
_TIDY = {**_WIDTHS, **_INVISIBLE}
_FORMULA_TEXT = re.compile(r'="([^"]*)"')
_WRAPPERS = ('="', "'", "`")
_SHORTENED = re.compile(r"\d(\.\d+)?[eE]\+?\d+", re.ASCII)
_WHOLE_FLOAT = re.compile(r"(\d+)\.0+", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
CERTAIN_ID = re.compile(r"T[QD][0-9]+|[0-9]{15,}", re.ASCII)
"""What is an id of a refund or an order wherever it stands; a shorter number may be something else."""
_REFUND_IDS: dict[Platform, re.Pattern[str]] = {
    "1688": re.compile(r"T[QD][0-9]{1,20}", re.ASCII),
    "taobao": re.compile(r"[0-9]{1,20}", re.ASCII),
}
_REFUND_ID_FORMS: dict[Platform, str] = {"1688": "TQ or TD and up to 20 digits", "taobao": "up to 20 digits"}

_LONGEST_NO_VALUE = 16
_NO_VALUES = frozenset((
    "null", "(null)", "<null>", "[null]", "none", "<none>", "nan", "<nan>", "nat", "<nat>", "nil", "na",
    "n/a", "<na>", "n.a.", "undefined", "\\n", "#", "unknown", "pending", "tbd", "todo", "true", "false",
    "-nan", "inf", "-inf", "infinity", "missing", "blank",
    "是", "否", "无", "無", "暂无", "暫無", "没有", "沒有", "空", "空白", "待补", "待補", "待补充", "待定",
    "待填", "待填写", "待确认", "待查", "未知", "未填", "未填写", "不详", "缺", "缺失", "暂缺", "略", "同上",
    "无单号", "暂无单号", "没有单号",
))  # fmt: skip
_ERROR = re.compile(
    r"#[A-Z][A-Z0-9/_]*[!?]?|#N/A(?: N/A)+|#[^\W\d_][\w/]*[!?]|#¡[A-Z/0-9]+!|err(?:or)?[ :][0-9]{3,4}",
    re.IGNORECASE,
)

PLATFORM_NAMES: dict[str, Platform] = {
    **dict.fromkeys(("1688", "1688.com", "alibaba", "alibaba1688", "阿里巴巴", "阿里", "1688平台"), "1688"),
    **dict.fromkeys(
        ("taobao", "taobao.com", "tb", "淘宝", "淘宝网", "taoworld", "淘宝平台", "tmall", "天猫"), "taobao"
    ),
}

CURRENCY_NAMES: dict[str, str] = {
    **dict.fromkeys(("RMB", "¥", "元", "人民币", "CNY"), "CNY"),
    **dict.fromkeys(("美元", "US$"), "USD"),
    **dict.fromkeys(("欧元", "€"), "EUR"),
    **dict.fromkeys(("港币", "港元", "HK$"), "HKD"),
    **dict.fromkeys(("日元", "円"), "JPY"),
    **dict.fromkeys(("越南盾", "₫"), "VND"),
}


class Refused(ValueError):
    """Why a cell cannot be used, for the person who keeps the table."""


def tidy(text: str) -> str:
    """Convert full-width characters, drop invisible ones, and strip surrounding spaces and TABs.

    >>> tidy("\\t１２３ \\u200b")
    '123'
    """
    return text.strip() if text.isascii() else text.translate(_TIDY).strip()


def unwrap(text: str) -> str:
    """Remove the wrapper that protects a text from a spreadsheet.

    >>> unwrap('="123"'), unwrap("'123"), unwrap("`123")
    ('123', '123', '123')
    """
    if not text.startswith(_WRAPPERS):
        return text
    if wrapped := _FORMULA_TEXT.fullmatch(text):
        text = wrapped[1].strip()
    return text.removeprefix("'").removeprefix("`").strip()


def blank(cell: Cell) -> bool:
    """Whether the cell is empty."""
    return cell is None or (isinstance(cell, str) and not tidy(cell))


def no_value(cell: Cell) -> str | None:
    """Why a filled cell has no value, as the end of a sentence; None if it may have one."""
    if isinstance(cell, BadCell):
        return cell.why
    if not isinstance(cell, str) or len(cell) > _LONGEST_NO_VALUE or cell.isdigit():
        return None
    return _no_value_in(cell)


@lru_cache(maxsize=REMEMBERED)
def _no_value_in(cell: str) -> str | None:
    text = unwrap(tidy(cell))
    if not text:
        return None
    if _ERROR.fullmatch(text):
        return "is a spreadsheet error, not a value"
    if text.lower() in _NO_VALUES or not (any(map(str.isalnum, text)) or text in CURRENCY_NAMES):
        return "is a placeholder for a missing value"
    return None


def shown(cell: Cell) -> str:
    """Quote a cell for a message: one line, shortened.

    >>> shown("12.345")
    "'12.345'"
    """
    text = _CONTROL.sub(" ", cell.isoformat() if isinstance(cell, datetime) else _digits(cell)).strip()
    return f"'{text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + '…'}'"


def plain_text(cell: Cell) -> str | None:
    """Read a cell as tidy text on one line without wrapper, at most 120 characters; None if empty."""
    if cell is None:
        return None
    return _plain(cell.isoformat() if isinstance(cell, datetime) else _digits(cell))


@lru_cache(maxsize=REMEMBERED)
def _plain(text: str) -> str | None:
    return " ".join(unwrap(tidy(text)).split())[:LONGEST_TEXT] or None


def _digits(cell: Cell) -> str:
    """Write a number in plain digits (without exponent if it is short enough); text stays unchanged."""
    if isinstance(cell, Decimal) and abs(cell.adjusted()) <= SURE_DIGITS:
        return str(int(cell)) if cell == cell.to_integral_value() else str(cell)
    return str(cell)


def id_text(cell: Cell) -> str | None:
    """Read an id as text; None if empty.

    Wrappers that protect ids from spreadsheets are removed: `'123`, `="123"`. Raises Refused for a number
    that a spreadsheet has already shortened, for dates, control characters and broken bytes.
    """
    if blank(cell):
        return None
    if isinstance(cell, datetime | DateNumber):
        raise Refused("is a date, not an id")
    if isinstance(cell, Decimal):
        return _id_of_number(cell)
    text = unwrap(tidy(str(cell)))
    if text.isascii() and text.isdigit():
        return text
    if _SHORTENED.fullmatch(text):
        raise Refused("was shortened to scientific notation by a spreadsheet, so the id is already corrupt")
    if whole := _WHOLE_FLOAT.fullmatch(text):
        return _id_of_number(Decimal(whole[1]))
    if BROKEN in text:
        raise Refused("contains broken bytes")
    if _CONTROL.search(text):
        raise Refused("contains control characters")
    return text or None


def _id_of_number(number: Decimal) -> str:
    if number.adjusted() >= SURE_DIGITS:
        raise Refused(
            f"is a number of {number.adjusted() + 1} digits; spreadsheets keep {SURE_DIGITS}, so the id "
            "is already corrupt (store ids in text cells)"
        )
    if number != number.to_integral_value() or number < 0:
        raise Refused("is a number, but not an id")
    digits = str(int(number))
    if isinstance(number, FormattedNumber) and adds_to(digits, number.format):
        raise Refused(
            f"is a number that the workbook shows in the format {number.format}, so with other characters "
            "than it stores (store ids in text cells)"
        )
    return digits


def refund_id_text(cell: Cell, platform: Platform) -> str:
    """Read a refund id in the form of its platform. Raises Refused otherwise, also if empty."""
    text = id_text(cell)
    if text is None:
        raise Refused("no refund id")
    if not _REFUND_IDS[platform].fullmatch(text):
        raise Refused(f"is not a refund id of {platform} ({_REFUND_ID_FORMS[platform]})")
    return text


def platform_of_id(cell: Cell) -> Platform:
    """Return the platform of an id by its form: TQ... and TD... are 1688, only digits are Taobao."""
    text = id_text(cell)
    if text is None:
        raise Refused("no refund id")
    for platform, form in _REFUND_IDS.items():
        if form.fullmatch(text):
            return platform
    raise Refused("is not a refund id of 1688 (TQ or TD and digits) or Taobao (digits)")


def platform_name(cell: Cell) -> Platform:
    """Read the platform in a cell. Raises Refused for anything else."""
    text = plain_text(cell)
    if text is None:
        raise Refused("no platform")
    name = PLATFORM_NAMES.get(text.lower())
    if name is None:
        raise Refused("is not 1688 or Taobao")
    return name


def currency_code(cell: Cell) -> str:
    """Read the three-letter code of a currency. Raises Refused for anything else."""
    text = plain_text(cell)
    if text is None:
        raise Refused("no currency")
    code = CURRENCY_NAMES.get(text.upper(), text.upper())
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise Refused("is not a currency code such as CNY")
    return code
