"""Warehouse logistics: from the warehouse in China to the customer abroad.

The pages of these calls list `timestamp` and `sign` in the query where all others have headers; how
that sign is made is not known. They show no answers either: the data is handed through as JSON.
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
    """Estimate and book the way abroad, and say which parcels come to the warehouse."""

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
        """What sending one product abroad would cost.

        `price` is the product's, in `currency`; the page does not say in what unit. It marks both
        required but leaves both out of its example.
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
        """What sending these products abroad together would cost; books nothing.

        Expect the answer to name the render id that `create_international_order` takes.
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
        """Say which products of an order come to the warehouse under which waybills.

        The page marks nothing required; name the order by either id.
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
        """Book the way abroad. Never sent twice by this client: look the order up before a repeat.

        `render_id` is a preview's, such as FF2024080200007. The page marks nothing required.
        """
        ...
