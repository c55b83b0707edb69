"""Times: from a cell to ISO 8601 with a zone, or None.

Times are only used for the age of open refunds, so an unreadable one loses the age, not the row.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from decimal import Decimal

from pandapon_async.core.model import BEIJING, parse_moment
from pandapon_async.tables.cells import SURE_DIGITS, Cell, blank, tidy, unwrap

__all__ = ["DAY_ZERO", "moment_text"]

DAY_ZERO = date(1899, 12, 30)
"""The first day of most workbooks."""
YEARS = range(1970, 2200)
"""9999-12-31 and 0001-01-01 mean an unknown time."""
_DAY = re.compile(
    r"(\d{4})[-/.年](\d{1,2})[-/.月](\d{1,2})日?(?:[ T]+(\d{1,2}):(\d{2})(?::(\d{2})(?:\.\d+)?)?)?", re.ASCII
)
_COMPACT_DAY = re.compile(r"(\d{4})(\d{2})(\d{2})", re.ASCII)


def moment_text(cell: Cell, day_zero: date = DAY_ZERO) -> str | None:
    """Read a time as ISO 8601 with zone; None if the cell has none.

    A time without a zone is Beijing time. A spreadsheet's number counts days since `day_zero`.
    """
    try:
        moment = _moment(cell, day_zero)
    except (ValueError, OverflowError):
        return None
    return None if moment is None or moment.year not in YEARS else moment.isoformat(timespec="seconds")


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
    text = unwrap(tidy(cell or ""))
    if day := _DAY.fullmatch(text) or _COMPACT_DAY.fullmatch(text):
        parts = (*day.groups(), *(None,) * 3)[:6]
        year, month, date_, hour, minute, second = (int(part or 0) for part in parts)
        return datetime(year, month, date_, hour, minute, second, tzinfo=BEIJING)
    return parse_moment(text)
