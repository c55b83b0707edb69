"""1688 orders. The second generation identifies cargo by opaque ids and requires no field of an address."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pandapon_async.core.model import Unread
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.arguments import ObjectField
from pandapon_async.declare.call import At, ByGeneration, Call, Resource, call, paged
from pandapon_async.declare.endpoint import Evidence, Scope
from pandapon_async.declare.fields import (
    IntegerField,
    ListField,
    NonEmpty,
    OrderEntryIds,
    OrderIdInteger,
    OrderIdText,
    PageNo,
    TextIdField,
)
from pandapon_async.models.alibaba.orders import (
    BatchCargo,
    Cargo,
    ConfirmedReceipt,
    FastAddress,
    FastCargo,
    Order,
    OrderPage,
    PaymentLink,
    ShippingAddress,
)
from pandapon_async.models.alibaba.previews import OrderPreview

__all__ = ["Orders", "OrdersV1", "OrdersV2"]

Address = Annotated[ShippingAddress, ObjectField(ShippingAddress)]
Cargos = Annotated[Iterable[Cargo], ListField(ObjectField(Cargo))]
BatchCargos = Annotated[Iterable[BatchCargo], ListField(ObjectField(BatchCargo))]
OpaqueAddress = Annotated[FastAddress, ObjectField(FastAddress)]
OpaqueCargos = Annotated[Iterable[FastCargo], ListField(ObjectField(FastCargo))]


class _Orders(Resource):
    @call(
        "POST",
        v1=At("/alibaba/order/page", "https://doc-en.pandapon.com/api-263477647", evidence=Evidence.INFERRED),
        v2=At("/v2/alibaba/order/page", "https://doc-th.pandapon.com/api-289190488"),
        safety=Safety.READ,
    )
    def page(
        self, *, page_no: PageNo = 1, page_size: Annotated[int, IntegerField(1)] = 20
    ) -> Call[OrderPage]:
        """Read one page of the account's orders; `pages` iterates over all of them.

        Only method and path of this call are known, and only for the second generation. Both arguments and
        the form of the answer are inferred. Filters are not known; `Client.request` can send any.
        """
        ...

    pages: Final = paged(page)

    @call(
        "POST",
        v1=At("/alibaba/order/cancel", "https://doc-en.pandapon.com/api-263477650"),
        v2=At("/v2/alibaba/order/cancel", "https://doc-cnv2.pandapon.com/api-288855711"),
        safety=Safety.CHECKED,
        confirmed_by="data",
        key=("orderId",),
        scope=Scope.PLATFORM,
    )
    def cancel(
        self,
        *,
        order_id: OrderIdInteger,
        cancel_reason: NonEmpty,
        remark: NonEmpty | None = None,
        web_site: NonEmpty = "1688",
    ) -> Call[bool]:
        """Cancel an unpaid order; returns True if accepted. `cancel_reason` is free text.

        After a lost answer read the order to see whether it is cancelled.
        """
        ...

    @call(
        "GET",
        v1=At("/alibaba/order/pay/url", "https://doc-en.pandapon.com/api-263477651"),
        v2=At("/v2/alibaba/order/pay/url", "https://doc-env2.pandapon.com/api-289121041"),
        safety=Safety.NEVER_AUTOMATIC,
        key=("orderId",),
        scope=Scope.PLATFORM,
        subjects=("orderId",),
    )
    def payment_link(self, *, order_id: OrderIdText) -> Call[PaymentLink]:
        """Get the link for paying an order. It may PAY by itself: never repeated, in bulk only if allowed.

        The page is titled "order payment" and its answer has `protocol_pay_success`: if the account has a
        standing payment agreement, the money may be taken at once.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/order/batch/submit/to/pay", "https://doc-en.pandapon.com/api-263477643"),
        v2=At(
            "/v2/alibaba/order/batch/submit/to/pay",
            "https://doc-env2.pandapon.com/api-289121033",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.NEVER_AUTOMATIC,
        key=("orderIds",),
        scope=Scope.PLATFORM,
        subjects=("orderIds",),
    )
    def submit_to_pay(
        self,
        *,
        order_ids: Annotated[
            Iterable[int | str], ListField(TextIdField(r"[0-9]{1,20}", "2542285634920880794"))
        ],
    ) -> Call[Unread]:
        """Submit orders for payment. Money leaves: never repeated, in bulk only if allowed.

        After a lost answer read the status of the orders. The page names no maximum number of orders, and its
        answer could not be read, so it is returned as plain JSON.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/order/receivegoods", "https://doc-en.pandapon.com/api-263477652"),
        v2=At(
            "/v2/alibaba/order/receivegoods",
            "https://doc-env2.pandapon.com/api-289121042",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.NEVER_AUTOMATIC,
        confirmed_by="success",
        key=("orderId", "orderEntryIds"),
        scope=Scope.PLATFORM,
        subjects=("orderId", "orderEntryIds"),
    )
    def confirm_receipt(
        self, *, order_id: OrderIdInteger, order_entry_ids: OrderEntryIds
    ) -> Call[ConfirmedReceipt]:
        """Confirm that the goods arrived, which permanently releases the money to the seller.

        `order_entry_ids` are the lines that arrived. The page does not say whether they are required. This
        client requires them, so that nobody confirms a whole order by omission.
        """
        ...


class _OrdersWithGet(_Orders):
    @call(
        "POST",
        v1=At("/alibaba/order/detail", "https://doc-vnm.pandapon.com/api-250496569"),
        safety=Safety.READ,
    )
    def get(self, *, order_id: OrderIdText, web_site: NonEmpty = "1688") -> Call[Order]:
        """Read one order as its buyer sees it; amounts are yuan. The page shows the first field only."""
        ...


class OrdersV1(_OrdersWithGet):
    """Preview, create, follow, cancel and pay orders, and confirm their receipt (first generation)."""

    @call(
        "POST",
        v1=At("/alibaba/order/create/preview", "https://doc.pandapon.com/api-250313112"),
        safety=Safety.READ,
        confirmed_by="success",
    )
    def preview(self, *, address_param: Address, cargo_param_list: Cargos) -> Call[OrderPreview]:
        """Preview an order of one shop's products: amounts in fen, freight, flow. Orders nothing.

        A refusal (no stock, below the minimum quantity) raises `RejectedError`.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/order/create/previewbatch", "https://doc-en.pandapon.com/api-263477644"),
        safety=Safety.READ,
    )
    def preview_batch(self, *, address_param: Address, cargo_param_list: BatchCargos) -> Call[Unread]:
        """Preview an order of several shops' products; orders nothing.

        The page does not show the answer, so it is returned as plain JSON.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/order/create", "https://doc-vnm.pandapon.com/api-250496568"),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
    )
    def create(
        self,
        *,
        flow: NonEmpty,
        address_param: Address,
        cargo_param_list: Cargos,
        message: NonEmpty | None = None,
        shop_promotion_id: NonEmpty | None = None,
        trade_type: NonEmpty | None = None,
    ) -> Call[Unread]:
        """Order products of one shop. This client never sends it twice: look up the order before a repeat.

        `flow` and `trade_type` come from the preview (`flow_flag`, `trade_model_list`), `message` is the
        remark to the seller. The page does not show the answer, so it is returned as plain JSON.
        """
        ...

    @call(
        "POST",
        v1=At("/alibaba/order/batch/create", "https://doc-en.pandapon.com/api-263477645"),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
    )
    def create_batch(
        self,
        *,
        address_param: Address,
        cargo_param_list: BatchCargos,
        flow: NonEmpty | None = None,
        message: NonEmpty | None = None,
        shop_promotion_id: NonEmpty | None = None,
        trade_type: NonEmpty | None = None,
    ) -> Call[list[Order]]:
        """Order products of several shops, one order per shop. This client never sends it twice.

        Only the second generation's page shows the answer. Some of the orders may exist although the call
        failed: look them up before a repeat.
        """
        ...


class OrdersV2(_Orders):
    """Preview, create, follow, cancel and pay orders, and confirm their receipt (second generation)."""

    @call(
        "POST",
        v2=At("/v2/alibaba/order/create/preview", "https://doc-cnv2.pandapon.com/api-288855709"),
        safety=Safety.READ,
    )
    def preview(
        self,
        *,
        cargo_param_list: OpaqueCargos,
        address_param: OpaqueAddress | None = None,
    ) -> Call[OrderPreview]:
        """Preview an order of these products: amounts in fen, freight, flow. Orders nothing.

        Only the first generation's page shows the answer.
        """
        ...

    @call(
        "POST",
        v2=At(
            "/v2/alibaba/order/create/previewbatch",
            "https://doc-env2.pandapon.com/api-289121034",
            evidence=Evidence.INFERRED,
        ),
        safety=Safety.READ,
    )
    def preview_batch(self, *, address_param: OpaqueAddress, cargo_param_list: OpaqueCargos) -> Call[Unread]:
        """Preview an order of several shops' products; orders nothing.

        The page could not be read: the arguments are those of `create_batch`, and the answer is returned as
        plain JSON.
        """
        ...

    @call(
        "POST",
        v2=At("/v2/alibaba/order/create", "https://doc-th.pandapon.com/api-289190490"),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
    )
    def create(
        self,
        *,
        flow: NonEmpty,
        address_param: OpaqueAddress,
        cargo_param_list: OpaqueCargos,
        message: NonEmpty | None = None,
        shop_promotion_id: NonEmpty | None = None,
        trade_type: NonEmpty | None = None,
    ) -> Call[Unread]:
        """Order products of one shop. This client never sends it twice: look up the order before a repeat.

        Only method and path could be read. The arguments are those of the first generation with this
        generation's cargo and address; the answer is returned as plain JSON.
        """
        ...

    @call(
        "POST",
        v2=At("/v2/alibaba/order/batch/create", "https://doc-cnv2.pandapon.com/api-288855706"),
        safety=Safety.ONCE,
        scope=Scope.ACCOUNT,
    )
    def create_batch(
        self,
        *,
        flow: NonEmpty,
        address_param: OpaqueAddress,
        cargo_param_list: OpaqueCargos,
        message: NonEmpty | None = None,
        shop_promotion_id: NonEmpty | None = None,
        trade_type: NonEmpty | None = None,
        user_id: NonEmpty | None = None,
        staff_name: NonEmpty | None = None,
        platform_order: Annotated[int | None, IntegerField()] = None,
        transfer_account_imgs: NonEmpty | None = None,
        transfer_account_remark: NonEmpty | None = None,
    ) -> Call[list[Order]]:
        """Order products of several shops, one order per shop. This client never sends it twice.

        `flow` is for example "general", `platform_order` the number of the order channel, `staff_name` the
        employee who orders. The transfer fields are the proof and the remark of a bank transfer. Some of the
        orders may exist although the call failed: look them up before a repeat.
        """
        ...


class Orders(_OrdersWithGet):
    """Preview, create, follow, cancel and pay orders, and confirm their receipt."""

    preview: Final = ByGeneration(OrdersV1.preview, OrdersV2.preview)
    """Previews an order; accepts the arguments of `v1` or those of `v2`."""
    preview_batch: Final = ByGeneration(OrdersV1.preview_batch, OrdersV2.preview_batch)
    """Previews the orders of several shops; accepts the arguments of `v1` or those of `v2`."""
    create: Final = ByGeneration(OrdersV1.create, OrdersV2.create)
    """Creates an order; accepts the arguments of `v1` or those of `v2`."""
    create_batch: Final = ByGeneration(OrdersV1.create_batch, OrdersV2.create_batch)
    """Creates the orders of several shops; accepts the arguments of `v1` or those of `v2`."""
