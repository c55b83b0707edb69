"""Taobao orders."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pandapon_async.core.model import Unread, Wire
from pandapon_async.core.outcome import DATA_IF_ANY, Safety
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.call import At, Call, Resource, call
from pandapon_async.declare.endpoint import Evidence, Scope, Stage
from pandapon_async.declare.fields import (
    FenField,
    IdText,
    ImageField,
    JsonTextField,
    ListField,
    NonEmpty,
    OrderIdText,
)
from pandapon_async.images import ImageSource
from pandapon_async.models.taobao.orders import Logistics, OrderAddress, OrderLine
from pandapon_async.money import Fen

__all__ = ["Orders", "OrdersV2"]


class OrdersV2(Resource):
    """Create orders, follow their packages, and related calls (second generation)."""

    @call(
        "POST",
        v1=At("/open/order", "https://doc-en.pandapon.com/api-263477610"),
        v2=At("/v2/taobao/order", "https://doc-env2.pandapon.com/api-289120990", evidence=Evidence.INFERRED),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
    )
    def create(
        self,
        *,
        seller_order_number: NonEmpty,
        order_source: NonEmpty,
        purchase_amount: Annotated[Fen | int, FenField()],
        order_line_list: Annotated[Iterable[OrderLine], JsonTextField(ListField(ObjectField(OrderLine)))],
        receiver: Annotated[OrderAddress, JsonTextField(ObjectField(OrderAddress))],
    ) -> Call[Unread]:
        """Order products. This client never sends it twice: look up the order before a repeat.

        `seller_order_number` is the order's number on the buyer's own platform, `order_source` is that
        platform, such as "lazada". The vendor does not promise that a repeated number orders only once.
        `purchase_amount` is the budget in fen. Lines and receiver are JSON text on the wire; the client
        writes it.
        """
        ...

    @call(
        "GET",
        v1=At(
            "/open/order/logistics/detail/get",
            "https://doc-en.pandapon.com/api-263477618",
            evidence=Evidence.INFERRED,
        ),
        v2=At("/v2/taobao/order/logistics/detail/get", "https://doc-cnv2.pandapon.com/api-288535324"),
        safety=Safety.READ,
    )
    def logistics(self, *, sub_purchase_order_id: OrderIdText) -> Call[Logistics]:
        """Read the packages of a sub-order and the progress of each."""
        ...

    @call(
        "POST",
        v1=At("/open/order/updateWarehouse", "https://doc-en.pandapon.com/api-263477614"),
        v2=At(
            "/v2/taobao/order/updateWarehouse",
            "https://doc-env2.pandapon.com/api-289120993",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.CHECKED,
        key=("orderId",),
        scope=Scope.PLATFORM,
    )
    def update_warehouse(
        self, *, order_id: OrderIdText, warehouse_name: NonEmpty, warehouse_address: NonEmpty
    ) -> Call[Unread]:
        """Change the forwarding warehouse of an order; the page shows no answer."""
        ...

    @call(
        "POST",
        v1=At("/open/order/page/link/get", "https://doc-en.pandapon.com/api-263477616"),
        v2=At(
            "/v2/taobao/order/page/link/get",
            "https://doc-env2.pandapon.com/api-289120995",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.READ,
    )
    def im_link(
        self,
        *,
        biz_id: IdText,
        source_type: NonEmpty = "item",
        login_name: NonEmpty | None = None,
        password: NonEmpty | None = None,
        page_name: NonEmpty | None = None,
        page_param_map: NonEmpty | None = None,
    ) -> Call[str]:
        """Get a link to the chat with a seller. It contains a login token: treat it as a secret.

        The page contradicts itself: its example sends only `source_type` and `biz_id` (the item's id), its
        table has the other four and not these. Leave these two out unless the vendor says otherwise.
        """
        ...


class Orders(OrdersV2):
    """Create orders, follow their packages, and related calls."""

    @call(
        "POST",
        v1=At(
            "/open/order/upload/payCertificate",
            "https://doc-en.pandapon.com/api-263477612",
            stage=Stage.DEPRECATED,
        ),
        safety=Safety.CHECKED,
        key=("orderId",),
        confirmed_by=DATA_IF_ANY,
        scope=Scope.PLATFORM,
    )
    def upload_pay_certificate(
        self, *, image: Annotated[ImageSource, ImageField(), Wire("base64")], order_id: OrderIdText
    ) -> Call[bool | None]:
        """Upload the payment voucher of an order; returns True if accepted, None if the answer has no data.

        The vendor marks this call as to be deprecated, so it raises a DeprecationWarning. `image` is bytes, a
        path or a binary file of at most 1 MiB (this client's limit; the page names none).
        """
        ...
