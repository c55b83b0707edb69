"""What one cell of a table says: ids, names, currencies, platforms.

Tables come out of spreadsheets, and spreadsheets break ids and money quietly. So nothing here goes
through a float, nothing is guessed from the size of a number, and a cell that cannot be read says why.
A cell can be filled and hold no value all the same: #N/A, NULL, -, 无. `no_value` tells.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Literal

__all__ = [
    "AmountUnit",
    "BadCell",
    "Cell",
    "DateNumber",
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
    """A number that its workbook shows as a date: days since its first one, never an amount."""

    __slots__ = ()


class BadCell(str):
    """A cell that holds no value: the text is what the spreadsheet shows, `why` says what is wrong."""

    why: str

    def __new__(cls, text: str, why: str) -> BadCell:
        """`text` as a spreadsheet shows it, `why` as the end of a sentence about the cell."""
        cell = super().__new__(cls, text)
        cell.why = why
        return cell


Cell = str | int | Decimal | datetime | None
"""Text, an exact whole number, a spreadsheet's number (sure to 15 digits only), a time, or nothing."""

SURE_DIGITS = 15
"""How many digits of a number a spreadsheet keeps."""
LONGEST_TEXT = 120
LONGEST_SHOWN = 40
REMEMBERED = 4096
"""Texts whose reading is kept: a column of platforms, shops or states has few."""
BROKEN = "\ufffd"
"""Stands in a text where the bytes of the file are not a character."""

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
_REFUND_IDS: dict[Platform, re.Pattern[str]] = {
    "1688": re.compile(r"T[QD][0-9]{1,20}", re.ASCII),
    "taobao": re.compile(r"[0-9]{1,20}", re.ASCII),
}
_REFUND_ID_FORMS: dict[Platform, str] = {"1688": "TQ or TD and up to 20 digits", "taobao": "up to 20 digits"}

_LONGEST_NO_VALUE = 16
_NO_VALUES = frozenset((
    "null", "(null)", "<null>", "[null]", "none", "<none>", "nan", "<nan>", "nat", "<nat>", "nil", "na",
    "n/a", "<na>", "n.a.", "undefined", "\\n", "#", "unknown", "pending", "tbd", "todo", "true", "false",
    "是", "否", "无", "無", "暂无", "暫無", "没有", "沒有", "空", "空白", "待补", "待補", "待补充", "待定",
    "待填", "待填写", "待确认", "待查", "未知", "未填", "未填写", "不详", "缺", "缺失",
))  # fmt: skip
_ERROR = re.compile(r"#[A-Z][A-Z0-9/_]*[!?]?|#¡[A-Z/0-9]+!|err(?:or)?[ :][0-9]{3,4}", re.IGNORECASE)

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
    """Why a cell cannot be used, in words for the person who keeps the table."""


def tidy(text: str) -> str:
    """Full-width signs made plain, invisible characters dropped, surrounding blanks and TABs stripped.

    >>> tidy("\\t１２３ \\u200b")
    '123'
    """
    return text.strip() if text.isascii() else text.translate(_TIDY).strip()


def unwrap(text: str) -> str:
    """A tidy text without what keeps a spreadsheet from eating it.

    >>> unwrap('="123"'), unwrap("'123"), unwrap("`123")
    ('123', '123', '123')
    """
    if not text.startswith(_WRAPPERS):
        return text
    if wrapped := _FORMULA_TEXT.fullmatch(text):
        text = wrapped[1].strip()
    return text.removeprefix("'").removeprefix("`").strip()


def blank(cell: Cell) -> bool:
    """Whether there is nothing in the cell."""
    return cell is None or (isinstance(cell, str) and not tidy(cell))


def no_value(cell: Cell) -> str | None:
    """Why a cell that is filled holds no value, as the end of a sentence; None if it may hold one."""
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
        return "is an error of the spreadsheet, not a value"
    if text.lower() in _NO_VALUES or not (any(map(str.isalnum, text)) or text in CURRENCY_NAMES):
        return "stands for a value that is not there"
    return None


def shown(cell: Cell) -> str:
    """A cell as a message quotes it: one line, shortened.

    >>> shown("12.345")
    "'12.345'"
    """
    text = _CONTROL.sub(" ", cell.isoformat() if isinstance(cell, datetime) else _digits(cell)).strip()
    return f"'{text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + '…'}'"


def plain_text(cell: Cell) -> str | None:
    """The cell as tidy text on one line, at most 120 characters; None if blank."""
    if cell is None:
        return None
    return _plain(cell.isoformat() if isinstance(cell, datetime) else _digits(cell))


@lru_cache(maxsize=REMEMBERED)
def _plain(text: str) -> str | None:
    return " ".join(tidy(text).split())[:LONGEST_TEXT] or None


def _digits(cell: Cell) -> str:
    """A number in plain digits (no exponent where it is short enough), text as it is."""
    if isinstance(cell, Decimal) and abs(cell.adjusted()) <= SURE_DIGITS:
        return str(int(cell)) if cell == cell.to_integral_value() else str(cell)
    return str(cell)


def id_text(cell: Cell) -> str | None:
    """An id as text; None if blank.

    The wrappers with which spreadsheets are kept from eating ids are taken off: `'123`, `="123"`.
    Raises Refused for a number that a spreadsheet has already shortened, for dates and broken bytes.
    """
    if blank(cell):
        return None
    if isinstance(cell, Decimal):
        return _id_of_number(cell)
    if isinstance(cell, datetime):
        raise Refused("is a date, not an id")
    text = unwrap(tidy(str(cell)))
    if text.isascii() and text.isdigit():
        return text
    if _SHORTENED.fullmatch(text):
        raise Refused("was shortened to scientific notation by a spreadsheet: the id is already corrupt")
    if whole := _WHOLE_FLOAT.fullmatch(text):
        return _id_of_number(Decimal(whole[1]))
    if BROKEN in text:
        raise Refused("has broken bytes in it")
    return text or None


def _id_of_number(number: Decimal) -> str:
    if number.adjusted() >= SURE_DIGITS:
        raise Refused(
            f"is a number of {number.adjusted() + 1} digits; spreadsheets keep {SURE_DIGITS}, "
            "so the id is already corrupt (keep ids in text cells)"
        )
    if number != number.to_integral_value() or number < 0:
        raise Refused("is a number, but not an id")
    return str(int(number))


def refund_id_text(cell: Cell, platform: Platform) -> str:
    """A refund id in the form its platform gives it. Raises Refused otherwise, also when blank."""
    text = id_text(cell)
    if text is None:
        raise Refused("no refund id")
    if not _REFUND_IDS[platform].fullmatch(text):
        raise Refused(f"is not a refund id of {platform} ({_REFUND_ID_FORMS[platform]})")
    return text


def platform_of_id(cell: Cell) -> Platform:
    """The platform that an id's form belongs to: TQ... and TD... are 1688, digits alone are Taobao."""
    text = id_text(cell)
    if text is None:
        raise Refused("no refund id")
    for platform, form in _REFUND_IDS.items():
        if form.fullmatch(text):
            return platform
    raise Refused("is neither a refund id of 1688 (TQ or TD and digits) nor of Taobao (digits)")


def platform_name(cell: Cell) -> Platform:
    """The platform that a cell names. Raises Refused if it names neither."""
    text = plain_text(cell)
    if text is None:
        raise Refused("no platform")
    name = PLATFORM_NAMES.get(text.lower())
    if name is None:
        raise Refused("names neither 1688 nor Taobao")
    return name


def currency_code(cell: Cell) -> str:
    """The three-letter code of a currency. Raises Refused if the cell names none."""
    text = plain_text(cell)
    if text is None:
        raise Refused("no currency")
    code = CURRENCY_NAMES.get(text.upper(), text.upper())
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise Refused("is not a currency code such as CNY")
    return code
