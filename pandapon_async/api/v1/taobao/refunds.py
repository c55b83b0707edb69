"""Taobao after-sales ("reverse orders"), first generation; the vendor marks all of it "in development"."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pandapon_async.arguments import Choice, Integer, Moment, OrderIdText, RefundIdTaobao, Text
from pandapon_async.endpoint import Call, Group, Safety, Stage, call, paged
from pandapon_async.models.taobao.refunds import CancelledRefund, RefundDetail, RefundPage, RefundStatus

__all__ = ["Refunds"]


class Refunds(Group):
    """Follow reverse orders, and cancel them."""

    @call(
        "GET",
        "/open/order/refund/query",
        safety=Safety.READ,
        stage=Stage.IN_DEVELOPMENT,
        page="https://doc-vnm.pandapon.com/api-250496551",
    )
    def get(self, *, refund_id: RefundIdTaobao) -> Call[RefundDetail]:
        """One reverse order with its order line and logistics; amounts are fen."""
        ...

    @call(
        "POST",
        "/open/order/refund/queryList",
        safety=Safety.READ,
        stage=Stage.IN_DEVELOPMENT,
        page="https://doc-vnm.pandapon.com/api-250496545",
    )
    def page(
        self,
        *,
        page_no: Annotated[int, Integer(1)] = 1,
        page_size: Annotated[int, Integer(1, 200)] = 50,
        refund_id: RefundIdTaobao | None = None,
        purchase_order_id: OrderIdText | None = None,
        sales_order_id: Annotated[str | None, Text(1, 64)] = None,
        refund_status: Annotated[RefundStatus | int | None, Choice(RefundStatus, open=True)] = None,
        refund_start_time: Annotated[datetime | int | None, Moment()] = None,
        refund_end_time: Annotated[datetime | int | None, Moment()] = None,
    ) -> Call[RefundPage]:
        """One page of the reverse orders that match; `pages` goes through all of them.

        Pages count from 1. The times bound when the refund was asked for: aware datetimes or epoch
        milliseconds. The vendor names no largest page; 200 is this client's own bound.
        """
        ...

    pages = paged(page)

    @call(
        "GET",
        "/open/order/refund/cancel/{refundId}",
        safety=Safety.CHECKED,
        stage=Stage.IN_DEVELOPMENT,
        confirmed_by="cancelSuccess",
        page="https://doc.pandapon.com/api-250313087",
    )
    def cancel(self, *, refund_id: RefundIdTaobao) -> Call[CancelledRefund]:
        """Cancel a reverse order, for good. A GET that writes: never resent after a lost answer."""
        ...
