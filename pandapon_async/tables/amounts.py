"""Amounts: from a cell to whole fen, never through a float.

A spreadsheet's number is read as the spreadsheet shows it. Text is read if its meaning is certain: signs,
brackets, ¥ and 元, thousands commas. Text that could mean two amounts is refused: 12.500 is twelve and a half
in some countries and twelve thousand five hundred in others.
"""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Context, Decimal

from pandapon_async.tables.cells import (
    SURE_DIGITS,
    AmountUnit,
    Cell,
    DateNumber,
    FormattedNumber,
    Refused,
    blank,
    tidy,
    unwrap,
)
from pandapon_async.tables.number_formats import OTHER_CURRENCY, is_percentage, other_currency

__all__ = ["amount_fen"]

LARGEST_FEN = 10**15
_MINUS = {0x2212: "-", 0xFE63: "-"}
_AMOUNT = re.compile(
    r"""(?P<open>\()?\s*(?P<sign>[+-])?\s*(?:(?:CN|RMB)?¥|RMB|CNY|人民币)?\s*(?P<inner>[+-])?\s*
    (?P<whole>[0-9]{1,3}(?:,[0-9]{3})+|[0-9]*)(?:\.(?P<decimals>[0-9]+))?
    \s*(?P<unit>元整?|圆|分|RMB|CNY|人民币)?\s*(?P<last>-)?\s*(?P<close>\))?""",
    re.VERBOSE | re.IGNORECASE,
)


def amount_fen(cell: Cell, unit: AmountUnit) -> int:
    """Read an amount in fen. `unit` is the unit of the cell.

    Fen must be whole, and yuan may have at most two decimals other than 0. A spreadsheet's number is read
    with 15 digits. Raises Refused for anything else and for an empty cell.
    """
    if blank(cell):
        raise Refused("no amount")
    if isinstance(cell, datetime | DateNumber):
        raise Refused("is a date, not an amount; if it is an amount, give the column a number format")
    if isinstance(cell, FormattedNumber):
        _check_format(cell.format)
    if isinstance(cell, Decimal):
        fen = _fen_of_number(cell, unit)
    elif isinstance(cell, int):
        fen = cell * 100 if unit == "yuan" else cell
    else:
        text = tidy(cell or "")
        if text.isascii() and text.isdigit() and len(text) <= SURE_DIGITS:  # most are like this
            fen = int(text) if unit == "fen" else int(text) * 100
        else:
            fen = _fen_of_text(unwrap(text.translate(_MINUS)), unit)
    if abs(fen) > LARGEST_FEN:
        raise Refused("is too large for an amount")
    return fen


def _check_format(code: str) -> None:
    if is_percentage(code):
        raise Refused("is shown as a percentage; if it is an amount, give the column a number format")
    if other_currency(code):
        raise Refused(f"has another currency than CNY: the workbook shows it in the format {code}")


def _fen_of_number(number: Decimal, unit: AmountUnit) -> int:
    if number.adjusted() > SURE_DIGITS:
        raise Refused("is too large for an amount")
    rounded = Context(prec=SURE_DIGITS).plus(number)  # 1.1 is stored as 1.1000000000000001
    if number and not rounded:
        raise Refused("has more decimals than an amount of money")  # 1e-9999999 would be rounded to 0
    fen = rounded.scaleb(2) if unit == "yuan" else rounded
    if fen != fen.to_integral_value():
        raise Refused("has more than two decimals" if unit == "yuan" else "is not a whole number of fen")
    return int(fen)


def _fen_of_text(text: str, unit: AmountUnit) -> int:
    match = _AMOUNT.fullmatch(text)
    if match is None or not (match["whole"] or match["decimals"]):
        if OTHER_CURRENCY.search(text):
            raise Refused("has another currency than CNY")
        raise Refused("is not an amount such as 1,250.00")
    signs = [match["sign"], match["inner"], match["last"], match["open"]]
    if bool(match["open"]) != bool(match["close"]) or sum(map(bool, signs)) > 1:
        raise Refused("has more than one sign")
    if (match["unit"] == "分" and unit == "yuan") or (match["unit"] or "").startswith(("元", "圆")) > (
        unit == "yuan"
    ):
        raise Refused(f"is in {match['unit']}, but its column is in {unit}")
    whole, decimals = match["whole"].replace(",", ""), match["decimals"] or ""
    if len(whole) > SURE_DIGITS + 1:
        raise Refused("is too large for an amount")
    fen = _fen_of_digits(whole, decimals, unit, sure="," in match["whole"] or whole in ("", "0"))
    return -fen if "-" in signs or match["open"] else fen


def _fen_of_digits(whole: str, decimals: str, unit: AmountUnit, *, sure: bool) -> int:
    """`sure`: the point is certainly not a thousands separator."""
    if decimals[2:].strip("0"):
        raise Refused("has more than two decimals")
    if unit == "fen" and decimals.strip("0"):
        raise Refused("is not a whole number of fen")
    if len(decimals) == 3 and not sure:
        raise Refused("may use the point for thousands; write two decimals")
    fen = int(whole or "0")
    return fen if unit == "fen" else fen * 100 + int(decimals[:2].ljust(2, "0"))
