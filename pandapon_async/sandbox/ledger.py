"""A ledger as a back office would keep it, with planted differences, and the truth about every row.

Row i is about refund i, so a ledger of any length is computed row by row and never held. The truth is
that of the sandbox as it was made: what callers change afterwards makes rows drift that did not before.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

from pandapon_async.sandbox.numbering import draws, refund_id
from pandapon_async.sandbox.planted import Planted, planted
from pandapon_async.sandbox.refunds import RefundState, generate
from pandapon_async.sandbox.states import MOVES

__all__ = ["COLUMNS", "csv_chunks", "ledger_rows", "truth"]

COLUMNS: tuple[str, ...] = (
    "platform",
    "shop",
    "refund_id",
    "order_id",
    "amount_fen",
    "currency",
    "status",
    "applied_at",
)

SHOPS = ("义乌优品店", "广州仓", "晋江鞋业", "SHOP-04", "杭州 A 店", "深圳数码")
GHOSTS = 4 * 10**9  # refunds from this number on never exist; even, so the platform stays the same
_BEIJING = timezone(timedelta(hours=8))

Row = dict[str, str]


def ledger_rows(seed: int, rows: int) -> Iterator[Row]:
    """The first `rows` rows, all values as text, by column."""
    return (_row(seed, index)[0] for index in range(rows))


def truth(seed: int, rows: int) -> Iterator[str]:
    """The verdict that a reconciliation must reach for each of these rows, in the same order."""
    return (_row(seed, index)[1].value for index in range(rows))


def csv_chunks(seed: int, rows: int, size: int = 500) -> Iterator[str]:
    """The ledger as CSV with a header, in pieces of `size` rows."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    for index, row in enumerate(ledger_rows(seed, rows), start=1):
        writer.writerow(row)
        if index % size == 0:
            yield text.getvalue()
            text.seek(0)
            text.truncate()
    if text.tell():
        yield text.getvalue()


def _row(seed: int, index: int) -> tuple[Row, Planted]:
    """One row and the truth about it."""
    draw = draws(seed, index)
    kind = planted(draw[0])
    if kind is Planted.DUPLICATE_LOCAL:
        origin = _origin(seed, index, draw[11])
        if origin is None:
            return _true_row(generate(seed, index)), Planted.MATCHED
        return _row(seed, origin)[0], kind
    refund = generate(seed, index)
    row = _true_row(refund)
    _plant(row, kind, refund, draw[11])
    return row, kind


def _origin(seed: int, index: int, draw: int) -> int | None:
    """An earlier row to repeat: one that can be read and is not a repeat itself."""
    for earlier in range(index - 1 - draw % 50, -1, -1):
        if planted(draws(seed, earlier)[0]) not in (Planted.DUPLICATE_LOCAL, Planted.UNREADABLE):
            return earlier
    return None


def _true_row(refund: RefundState) -> Row:
    applied = datetime.fromtimestamp(refund.applied_ms // 1000, UTC).astimezone(_BEIJING)
    known = refund.status in MOVES[refund.platform]
    return {
        "platform": refund.platform,
        "shop": SHOPS[refund.salt % len(SHOPS)],
        "refund_id": refund.refund_id,
        "order_id": refund.order_id,
        "amount_fen": str(refund.amount),
        "currency": refund.currency,
        "status": str(refund.status if known else next(iter(MOVES[refund.platform]))),
        "applied_at": applied.isoformat(),
    }


def _plant(row: Row, kind: Planted, refund: RefundState, draw: int) -> None:
    """Make the row differ as planned; a deadline or an unknown state was planted in the refund itself."""
    if kind is Planted.AMOUNT_MISMATCH:
        row["amount_fen"] = str(refund.amount + 1 + draw % 5_000)
    elif kind is Planted.STATUS_DRIFT:
        others = [status for status in MOVES[refund.platform] if status != refund.status]
        row["status"] = str(others[draw % len(others)])
    elif kind is Planted.MISSING_UPSTREAM:
        row["refund_id"] = refund_id(GHOSTS + refund.number)
    elif kind is Planted.CURRENCY_MISMATCH:
        row["currency"] = ("USD", "EUR", "VND")[draw % 3]
    elif kind is Planted.UNREADABLE:
        _spoil(row, draw)


def _spoil(row: Row, draw: int) -> None:
    """What spreadsheets and people do to a row: typing errors, gaps, blanks, ids turned into numbers."""
    identifier = row["refund_id"]
    if draw % 4 == 0:
        row["amount_fen"] = "12.5x"
    elif draw % 4 == 1:
        row["refund_id"] = ""
    elif draw % 4 == 2:
        row["refund_id"] = f"{identifier[:5]} {identifier[5:]}"
    else:
        row["refund_id"] = f"{identifier.removeprefix('TQ')[0]}.{identifier[-4:]}E+11"
