"""Why a refund may be asked for on 1688: the reasons per state of the goods, and what each demands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["GOODS_STATUSES", "Reason", "reasons_for"]

GOODS_STATUSES: Mapping[str, tuple[int, ...]] = {
    "refundWaitSellerSend": (20006, 20022, 20002, 20003, 20004, 20005),
    "refundWaitBuyerReceive": (20006, 20022, 20023),
    "refundBuyerReceived": (20006, 20022, 20023, 20021, 20028),
    "aftersaleBuyerNotReceived": (20022, 20023),
    "aftersaleBuyerReceived": (20022, 20023, 20021, 20028),
}
"""The states of the goods that the vendor's page lists, with the reasons offered in each."""

RECEIVED = ("refundBuyerReceived", "aftersaleBuyerReceived")


@attrs.define(frozen=True)
class Reason:
    """One reason. `no_refund_carriage`: freight cannot be asked back with it."""

    id: int
    name: str
    need_voucher: bool
    no_refund_carriage: bool
    tip: str | None = None

    def wire(self) -> dict[str, Any]:
        """As the vendor's page shows it."""
        return {
            "id": self.id,
            "name": self.name,
            "needVoucher": self.need_voucher,
            "noRefundCarriage": self.no_refund_carriage,
            "tip": self.tip,
        }


REASONS: Mapping[int, Reason] = {
    reason.id: reason
    for reason in (
        # Ids, names and vouchers of these are those that a public program of the upstream knows.
        Reason(20006, "不想买了/等不及/拍错", False, True, "运费不退"),
        Reason(20002, "卖家缺货", False, False),
        Reason(20003, "卖家不支持在线交易", False, False),
        Reason(20004, "未按约定时间发货", True, False),
        Reason(20005, "卖家调价", False, False),
        Reason(20021, "颜色/图案/款式不符", True, False),
        Reason(20022, "协商一致退款", False, False),
        Reason(20023, "少货/未收到货", False, False),
        Reason(20028, "商品质量问题", True, False, "请上传凭证"),
    )
}


def reasons_for(goods_status: str) -> list[Reason]:
    """The reasons offered for goods in this state; none for a state that does not exist."""
    return [REASONS[number] for number in GOODS_STATUSES.get(goods_status, ())]
