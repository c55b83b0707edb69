"""Taobao after-sales ("reverse orders"); the vendor marks all of them "in development"."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from pandapon_async.core.model import Unread
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.call import MOST_ITEMS, At, Call, Resource, call, paged
from pandapon_async.declare.endpoint import Evidence, Scope, Stage
from pandapon_async.declare.fields import (
    EnumField,
    IntegerField,
    NonEmpty,
    OrderIdText,
    Reference,
    RefundIdTaobao,
    TimestampField,
)
from pandapon_async.models.taobao.refunds import (
    CancelledRefund,
    GoodsStatus,
    RefundDetail,
    RefundPage,
    RefundRender,
    RefundStatus,
    RefundType,
    listed_refund_id,
)

__all__ = ["Refunds"]


class Refunds(Resource):
    """Check what can be refunded, follow reverse orders, write to the seller, cancel."""

    @call(
        "GET",
        v1=At(
            "/open/order/refund/query",
            "https://doc-vnm.pandapon.com/api-250496551",
            stage=Stage.IN_DEVELOPMENT,
        ),
        v2=At("/v2/taobao/order/refund/query", "https://doc-cnv2.pandapon.com/api-288803036"),
        safety=Safety.READ,
    )
    def get(self, *, refund_id: RefundIdTaobao) -> Call[RefundDetail]:
        """Read one reverse order with its order line and logistics; amounts are fen."""
        ...

    @call(
        "POST",
        v1=At(
            "/open/order/refund/queryList",
            "https://doc-vnm.pandapon.com/api-250496545",
            stage=Stage.IN_DEVELOPMENT,
        ),
        v2=At(
            "/v2/taobao/order/refund/queryList",
            "https://doc-env2.pandapon.com/api-289121004",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.READ,
    )
    def page(
        self,
        *,
        page_no: Annotated[int, IntegerField(0)] = 1,
        page_size: Annotated[int, IntegerField(1, MOST_ITEMS)] = 50,
        refund_id: RefundIdTaobao | None = None,
        purchase_order_id: OrderIdText | None = None,
        sales_order_id: Reference | None = None,
        refund_status: Annotated[RefundStatus | int | None, EnumField(RefundStatus, open=True)] = None,
        refund_start_time: Annotated[datetime | int | None, TimestampField(of_list=True)] = None,
        refund_end_time: Annotated[datetime | int | None, TimestampField(of_list=True)] = None,
    ) -> Call[RefundPage]:
        """Read one page of the matching reverse orders; `pages` iterates over all of them.

        Pages count from 1, unless `VendorProfile.list` sets 0. The times are aware datetimes or epoch
        milliseconds; `VendorProfile.list` sets whether they limit when a refund was applied for or when it
        last changed, and whether they are seconds on the wire. The vendor names no maximum page size; 200 is
        this client's limit.
        """
        ...

    pages: Final = paged(page, by_profile=True, identity=listed_refund_id)
    """Iterate over all reverse orders that match a filter, page after page."""

    @call(
        "GET",
        v1=At(
            "/open/order/refund/cancel/{refundId}",
            "https://doc.pandapon.com/api-250313087",
            stage=Stage.IN_DEVELOPMENT,
        ),
        v2=At("/v2/taobao/order/refund/cancel/{refundId}", "https://doc-env2.pandapon.com/api-289121008"),
        safety=Safety.CHECKED,
        confirmed_by="cancelSuccess",
        key=("refundId",),
        scope=Scope.PLATFORM,
    )
    def cancel(self, *, refund_id: RefundIdTaobao) -> Call[CancelledRefund]:
        """Cancel a reverse order permanently. A GET that writes: never resent after a lost answer."""
        ...

    @call(
        "POST",
        v1=At(
            "/open/order/refund/render",
            "https://doc-en.pandapon.com/api-263477620",
            stage=Stage.IN_DEVELOPMENT,
            evidence=Evidence.INFERRED,
        ),
        v2=At("/v2/taobao/order/refund/render", "https://doc-cnv2.pandapon.com/api-288803028"),
        safety=Safety.READ,
    )
    def render(
        self,
        *,
        sub_order_id: OrderIdText,
        refund_type: Annotated[RefundType | int, EnumField(RefundType, open=True)],
        goods_status: Annotated[GoodsStatus | int, EnumField(GoodsStatus, open=True)],
    ) -> Call[RefundRender]:
        """Read the options of a reverse order for one sub-order: reasons, maximum (fen); opens nothing.

        The page does not list the numbers of type and goods status; these come from the upstream, and others
        are accepted.
        """
        ...

    @call(
        "POST",
        v1=At(
            "/open/order/refund/submit/message",
            "https://doc-en.pandapon.com/api-263477624",
            stage=Stage.IN_DEVELOPMENT,
        ),
        v2=At(
            "/v2/taobao/order/refund/submit/message",
            "https://doc-env2.pandapon.com/api-289121009",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.ONCE,
        key=("refundId", "refundMessage"),
        scope=Scope.PLATFORM,
    )
    def post_message(
        self,
        *,
        refund_id: RefundIdTaobao,
        refund_message: NonEmpty,
        refund_images: NonEmpty | None = None,
    ) -> Call[Unread]:
        """Write a message to the seller of a reverse order. Never sent twice, or the seller reads it twice.

        The page shows neither the form of the text `refund_images` nor the answer.
        """
        ...
