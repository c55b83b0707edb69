"""Taobao after-sales ("reverse orders"), second generation."""

from __future__ import annotations

from pandapon_async.api.v1.taobao import refunds as first
from pandapon_async.endpoint import Group, Stage, twin

__all__ = ["Refunds"]


class Refunds(Group):
    """Follow reverse orders, and cancel them."""

    get = twin(
        first.Refunds.get,
        "/v2/taobao/order/refund/query",
        room=__name__,
        stage=Stage.RELEASED,
        page="https://doc-cnv2.pandapon.com/api-288803036",
    )
    cancel = twin(
        first.Refunds.cancel,
        "/v2/taobao/order/refund/cancel/{refundId}",
        room=__name__,
        stage=Stage.RELEASED,
        page="https://doc-env2.pandapon.com/api-289121008",
    )
