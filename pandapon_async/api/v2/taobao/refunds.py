"""Taobao after-sales ("reverse orders"), second generation."""

from __future__ import annotations

from typing import Final

from pandapon_async.api.v1.taobao import refunds as first
from pandapon_async.declare.endpoint import Evidence, Resource, Stage, paged, twin

__all__ = ["Refunds"]


class Refunds(Resource):
    """See what can be asked back, follow reverse orders, write to the seller, cancel."""

    get: Final = twin(
        first.Refunds.get,
        "/v2/taobao/order/refund/query",
        room=__name__,
        stage=Stage.RELEASED,
        page="https://doc-cnv2.pandapon.com/api-288803036",
    )
    page: Final = twin(
        first.Refunds.page,
        "/v2/taobao/order/refund/queryList",
        room=__name__,
        stage=Stage.RELEASED,
        page="https://doc-env2.pandapon.com/api-289121004",
        evidence=Evidence.INFERRED,
    )
    pages: Final = paged(page)
    cancel: Final = twin(
        first.Refunds.cancel,
        "/v2/taobao/order/refund/cancel/{refundId}",
        room=__name__,
        stage=Stage.RELEASED,
        page="https://doc-env2.pandapon.com/api-289121008",
    )
    render: Final = twin(
        first.Refunds.render,
        "/v2/taobao/order/refund/render",
        room=__name__,
        stage=Stage.RELEASED,
        page="https://doc-cnv2.pandapon.com/api-288803028",
    )
    post_message: Final = twin(
        first.Refunds.post_message,
        "/v2/taobao/order/refund/submit/message",
        room=__name__,
        stage=Stage.RELEASED,
        page="https://doc-env2.pandapon.com/api-289121009",
        evidence=Evidence.INFERRED,
    )
