"""Warehouse logistics: shipping from the warehouse in China to the customer abroad.

The pages of these calls list `timestamp` and `sign` in the query instead of headers and do not say how to
compute `sign`. They show no answers either, so the data is returned as plain JSON.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Annotated

from pandapon_async.core.model import Unread
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.call import At, Call, Resource, call
from pandapon_async.declare.endpoint import Evidence, Scope, Signing
from pandapon_async.declare.fields import IdText, IntegerField, ListField, NonEmpty, NumberField
from pandapon_async.models.freight import (
    BookedItem,
    FreightAddress,
    FreightItem,
    LogisticsUpdate,
    TmallOrder,
)

__all__ = ["Freight"]

OptionalAddress = Annotated[FreightAddress | None, ObjectField(FreightAddress)]


class Freight(Resource):
    """Estimate and book international shipping, and announce parcels to the warehouse."""

    @call(
        "POST",
        v1=At(
            "/open/pp/logistics/itemLogisticsPrice",
            "https://doc-en.pandapon.com/api-263477670",
            evidence=Evidence.INFERRED,
        ),
        v2=At("/v2/open/pp/logistics/itemLogisticsPrice", "https://doc-env2.pandapon.com/api-289121052"),
        safety=Safety.READ,
        signing=Signing.QUERY,
    )
    def estimate(
        self,
        *,
        item_id: IdText,
        sku_id: IdText,
        quantity: Annotated[int, IntegerField(1)],
        receiver_address: Annotated[FreightAddress, ObjectField(FreightAddress)],
        currency: NonEmpty,
        price: Annotated[Decimal | int | str, NumberField(as_text=True)],
    ) -> Call[Unread]:
        """Estimate the cost of shipping one product abroad.

        `price` is the product's price in `currency`; the page does not state its unit. It marks both as
        required but omits both in its example.
        """
        ...

    @call(
        "POST",
        v1=At("/open/pp/logistics/orderRenderFreight", "https://doc.pandapon.com/api-250313135"),
        v2=At("/v2/open/pp/logistics/orderRenderFreight", "https://doc-env2.pandapon.com/api-289121053"),
        safety=Safety.READ,
        signing=Signing.QUERY,
    )
    def preview(
        self,
        *,
        receiver_address: OptionalAddress = None,
        render_items: Annotated[Iterable[FreightItem] | None, ListField(ObjectField(FreightItem))] = None,
    ) -> Call[Unread]:
        """Estimate the cost of shipping these products abroad together; books nothing.

        The answer should contain the render id for `create_international_order`.
        """
        ...

    @call(
        "POST",
        v1=At("/open/pp/logistics/updateLogisticInfo", "https://doc.pandapon.com/api-250313136"),
        v2=At(
            "/v2/open/pp/logistics/updateLogisticInfo",
            "https://doc-env2.pandapon.com/api-289121054",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.CHECKED,
        signing=Signing.QUERY,
        key=("orderId", "tmallOrderId"),
        scope=Scope.PLATFORM,
    )
    def update_domestic_logistics(
        self,
        *,
        order_id: IdText | None = None,
        tmall_order_id: IdText | None = None,
        logistic_infos: Annotated[
            Iterable[LogisticsUpdate] | None, ListField(ObjectField(LogisticsUpdate))
        ] = None,
    ) -> Call[Unread]:
        """Announce to the warehouse which products of an order arrive under which waybills.

        The page marks nothing as required; identify the order by either id.
        """
        ...

    @call(
        "POST",
        v1=At("/open/pp/logistics/orderBookingFreight", "https://doc.pandapon.com/api-250313137"),
        v2=At(
            "/v2/open/pp/logistics/orderBookingFreight",
            "https://doc-env2.pandapon.com/api-289121055",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.ONCE,
        signing=Signing.QUERY,
        key=("renderId", "lineItems", "tmallOrderInfo"),
        scope=Scope.PLATFORM,
    )
    def create_international_order(
        self,
        *,
        render_id: IdText | None = None,
        receiver_address: OptionalAddress = None,
        line_items: Annotated[Iterable[BookedItem] | None, ListField(ObjectField(BookedItem))] = None,
        tmall_order_info: Annotated[TmallOrder | None, ObjectField(TmallOrder)] = None,
        remark: NonEmpty | None = None,
    ) -> Call[Unread]:
        """Book international shipping. This client never sends it twice: look up the order before a repeat.

        `render_id` comes from a preview, such as FF2024080200007. The page marks nothing as required.
        """
        ...
