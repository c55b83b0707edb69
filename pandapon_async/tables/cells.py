"""What one cell of a ledger says: ids, amounts, currencies, platforms, times.

Ledgers come out of spreadsheets, and spreadsheets break ids and money quietly. So nothing here goes
through a float, nothing is guessed from the size of a number, and a cell that cannot be read says
why. The reason never repeats the cell: in a row whose columns are shifted it may be somebody's phone.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Context, Decimal
from typing import Literal

from pandapon_async.core.model import BEIJING, parse_moment

__all__ = [
    "AmountUnit",
    "Cell",
    "Platform",
    "Refused",
    "amount_fen",
    "blank",
    "currency_code",
    "id_text",
    "moment_text",
    "plain_text",
    "platform_name",
    "platform_of_id",
    "refund_id_text",
]

Platform = Literal["1688", "taobao"]
AmountUnit = Literal["fen", "yuan"]

Cell = str | int | Decimal | datetime | None
"""Text, an exact whole number, a spreadsheet's number (sure to 15 digits only), a time, or nothing."""

SURE_DIGITS = 15
"""How many digits of a number a spreadsheet keeps."""
LARGEST_FEN = 10**15
LONGEST_TEXT = 120

_WIDTHS = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: " ", 0xFFE5: "¥"}
_INVISIBLE = dict.fromkeys(
    [0xFEFF, 0x00AD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2065)]
)
_TIDY = {**_WIDTHS, **_INVISIBLE}
_FORMULA_TEXT = re.compile(r'="([^"]*)"')
_SHORTENED = re.compile(r"\d(\.\d+)?[eE]\+?\d+", re.ASCII)
_WHOLE_FLOAT = re.compile(r"(\d+)\.0+", re.ASCII)
_AMOUNT = re.compile(r"([+-]?)¥?\s*([+-]?)(\d+|\d{1,3}(?:,\d{3})+)(?:\.(\d+))?", re.ASCII)
_DAY = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2}))?)?", re.ASCII
)
_REFUND_IDS: dict[Platform, re.Pattern[str]] = {
    "1688": re.compile(r"TQ[0-9]{1,20}", re.ASCII),
    "taobao": re.compile(r"[0-9]{1,20}", re.ASCII),
}
_REFUND_ID_FORMS: dict[Platform, str] = {"1688": "TQ and up to 20 digits", "taobao": "up to 20 digits"}

PLATFORM_NAMES: dict[str, Platform] = {
    **dict.fromkeys(("1688", "1688.com", "alibaba", "alibaba1688", "阿里巴巴", "阿里", "1688平台"), "1688"),
    **dict.fromkeys(("taobao", "taobao.com", "tb", "淘宝", "淘宝网", "taoworld", "淘宝平台"), "taobao"),
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
    """Why a cell cannot be used, in words for the person who keeps the ledger."""


def tidy(text: str) -> str:
    """Full-width signs made plain, invisible characters dropped, surrounding blanks and TABs stripped.

    >>> tidy("\\t１２３ \\u200b")
    '123'
    """
    return text.translate(_TIDY).strip()


def blank(cell: Cell) -> bool:
    """Whether there is nothing in the cell."""
    return cell is None or (isinstance(cell, str) and not tidy(cell))


def plain_text(cell: Cell) -> str | None:
    """The cell as tidy text on one line, at most 120 characters; None if blank."""
    if blank(cell):
        return None
    text = cell.isoformat() if isinstance(cell, datetime) else tidy(_digits(cell))
    return " ".join(text.split())[:LONGEST_TEXT]


def _digits(cell: Cell) -> str:
    """A number in plain digits (no exponent), text as it is."""
    if isinstance(cell, Decimal):
        if cell.adjusted() <= SURE_DIGITS and cell == cell.to_integral_value():
            return str(int(cell))
        return str(cell)
    return str(cell)


def id_text(cell: Cell) -> str | None:
    """An id as text; None if blank.

    The wrappers with which spreadsheets are kept from eating ids are taken off: `'123`, `="123"`.
    Raises Refused for a number that a spreadsheet has already shortened, and for dates.
    """
    if blank(cell):
        return None
    if isinstance(cell, Decimal):
        return _id_of_number(cell)
    if isinstance(cell, datetime):
        raise Refused("is a date, not an id")
    text = tidy(str(cell))
    if wrapped := _FORMULA_TEXT.fullmatch(text):
        text = wrapped[1].strip()
    text = text.removeprefix("'").strip()
    if _SHORTENED.fullmatch(text):
        raise Refused("a spreadsheet has shortened the id to scientific notation: it is already corrupt")
    if whole := _WHOLE_FLOAT.fullmatch(text):
        return _id_of_number(Decimal(whole[1]))
    return text or None


def _id_of_number(number: Decimal) -> str:
    if number.adjusted() >= SURE_DIGITS:
        raise Refused(
            f"a number of {number.adjusted() + 1} digits; spreadsheets keep {SURE_DIGITS}, "
            "so the id is already corrupt (keep ids in text cells)"
        )
    if number != number.to_integral_value() or number < 0:
        raise Refused("a number that is no id")
    return str(int(number))


def refund_id_text(cell: Cell, platform: Platform) -> str:
    """A refund id in the form its platform gives it. Raises Refused otherwise, also when blank."""
    text = id_text(cell)
    if text is None:
        raise Refused("no refund id")
    if not _REFUND_IDS[platform].fullmatch(text):
        raise Refused(f"no refund id of {platform} ({_REFUND_ID_FORMS[platform]})")
    return text


def platform_of_id(cell: Cell) -> Platform:
    """The platform that an id's form belongs to: TQ... is 1688, digits alone are Taobao."""
    text = id_text(cell)
    if text is None:
        raise Refused("no refund id")
    for platform, form in _REFUND_IDS.items():
        if form.fullmatch(text):
            return platform
    raise Refused("neither a refund id of 1688 (TQ and digits) nor of Taobao (digits)")


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
    if not re.fullmatch(r"[A-Z]{3}", code, re.ASCII):
        raise Refused("no currency code such as CNY")
    return code


def amount_fen(cell: Cell, unit: AmountUnit) -> int:
    """An amount in fen. `unit` is what the cell counts in.

    Text may have a sign, ¥, thousands commas and full-width digits. Fen must be whole, yuan have at
    most two decimals. A spreadsheet's number is read as the spreadsheet shows it: 15 digits.
    Raises Refused for anything else, and when blank.
    """
    if blank(cell):
        raise Refused("no amount")
    if isinstance(cell, datetime):
        raise Refused("is a date, not an amount")
    if isinstance(cell, Decimal):
        fen = _fen_of_number(cell, unit)
    elif isinstance(cell, int):
        fen = cell * 100 if unit == "yuan" else cell
    else:
        fen = _fen_of_text(tidy(cell or ""), unit)
    if abs(fen) > LARGEST_FEN:
        raise Refused("an amount beyond all measure")
    return fen


def _fen_of_number(number: Decimal, unit: AmountUnit) -> int:
    if number.adjusted() > SURE_DIGITS:
        raise Refused("an amount beyond all measure")
    shown = Context(prec=SURE_DIGITS).plus(number)  # 1.1 is stored as 1.1000000000000001
    if number and not shown:
        raise Refused("more decimals than money has")  # 1e-9999999 would be rounded to nothing
    fen = shown.scaleb(2) if unit == "yuan" else shown
    if fen != fen.to_integral_value():
        raise Refused("more than two decimals" if unit == "yuan" else "fen are whole numbers")
    return int(fen)


def _fen_of_text(text: str, unit: AmountUnit) -> int:
    match = _AMOUNT.fullmatch(text)
    if match is None or (match[1] and match[2]):
        raise Refused("no amount such as 1,250.00")
    whole = match[3].replace(",", "")
    decimals = match[4] or ""
    if len(whole) > SURE_DIGITS + 1:
        raise Refused("an amount beyond all measure")
    if len(decimals) > 2:
        raise Refused("more than two decimals")
    if unit == "fen" and decimals.strip("0"):
        raise Refused("fen are whole numbers")
    fen = int(whole) if unit == "fen" else int(whole) * 100 + int(decimals.ljust(2, "0"))
    return -fen if "-" in (match[1], match[2]) else fen


def moment_text(cell: Cell, day_zero: date = date(1899, 12, 30)) -> str | None:
    """When something happened, in ISO 8601 with zone; None if the cell does not say it.

    A time without a zone is Beijing's. A spreadsheet's number is days since `day_zero`. Times serve the
    age of open refunds alone, so one that cannot be read costs the age and not the row.
    """
    try:
        moment = _moment(cell, day_zero)
    except (ValueError, OverflowError):
        return None
    return None if moment is None else moment.isoformat(timespec="seconds")


def _moment(cell: Cell, day_zero: date) -> datetime | None:
    if blank(cell):
        return None
    if isinstance(cell, datetime):
        return cell if cell.tzinfo else cell.replace(tzinfo=BEIJING)
    if isinstance(cell, Decimal):
        if not 20_000 < cell < 80_000:
            return parse_moment(int(cell)) if cell.adjusted() < SURE_DIGITS else None
        seconds = int((cell * 86_400).to_integral_value())
        return datetime.combine(day_zero, datetime.min.time(), BEIJING) + timedelta(seconds=seconds)
    if isinstance(cell, int):
        return parse_moment(cell)
    text = tidy(cell or "")
    if day := _DAY.fullmatch(text):
        year, month, date_, hour, minute, second = (int(part or 0) for part in day.groups())
        return datetime(year, month, date_, hour, minute, second, tzinfo=BEIJING)
    return parse_moment(text)
