"""The rows that the tables of the corpus have, and how they are written as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from typing import Any

# The first refunds of Sandbox(refunds=400, seed=7): platform, refund id, order id, fen, status.
TRUTH = (
    ("1688", "TQ200000001442695041", "2540000001442695041", 97689, "waitselleragree"),
    ("taobao", "115289488050", "1024136225289488050", 9168, "100"),
    ("1688", "TQ228272449136281059", "2548272449136281059", 196189, "refundsuccess"),
    ("taobao", "112983074068", "1022408672983074068", 91150, "20"),
    ("1688", "TQ256544896829867077", "2546544896829867077", 59085, "waitsellerreceive"),
    ("taobao", "110676660086", "1020681120676660086", 39736, "30"),
)
NAMES = ("平台", "退款编号", "订单编号", "退款金额(元)", "退款状态")
GOOD: list[Any] = [[refund, fen, None] for _, refund, _, fen, _ in TRUTH]
TAOBAO = [[refund, fen, None] for platform, refund, _, fen, _ in TRUTH if platform == "taobao"]


def yuan(fen: int) -> str:
    return f"{fen // 100}.{fen % 100:02d}"


def texts(form: Callable[[int], Any] = yuan) -> list[list[Any]]:
    """The true rows under NAMES; `form` writes the amount."""
    return [[platform, refund, order, form(fen), status] for platform, refund, order, fen, status in TRUTH]


def csv_text(rows: Sequence[Sequence[Any]], **style: Any) -> str:
    file = io.StringIO(newline="")
    csv.writer(file, **{"lineterminator": "\r\n", **style}).writerows(rows)
    return file.getvalue()


HEADER = list(NAMES)
RETURNS = ["退款编号", "快递公司", "快递单号", "退货说明"]
