"""1688 orders, first generation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pandapon_async.core.model import Unread
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Call, Evidence, Resource, call, paged
from pandapon_async.declare.fields import (
    IntegerField,
    ListField,
    NonEmpty,
    ObjectField,
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
    Order,
    OrderPage,
    OrderPreview,
    PaymentLink,
    ShippingAddress,
)

__all__ = ["Orders"]

Address = Annotated[ShippingAddress, ObjectField(ShippingAddress)]
Cargos = Annotated[Iterable[Cargo], ListField(ObjectField(Cargo))]
BatchCargos = Annotated[Iterable[BatchCargo], ListField(ObjectField(BatchCargo))]


class Orders(Resource):
    """Preview, create, follow, cancel and pay orders, and confirm their receipt."""

    @call(
        "POST",
        "/alibaba/order/create/preview",
        safety=Safety.READ,
        confirmed_by="success",
        page="https://doc.pandapon.com/api-250313112",
    )
    def preview(self, *, address_param: Address, cargo_param_list: Cargos) -> Call[OrderPreview]:
        """What ordering these products of one shop would give: amounts in fen, freight, flow. Orders nothing.

        A refusal (no stock, below the smallest quantity) is raised as `RejectedError`.
        """
        ...

    @call(
        "POST",
        "/alibaba/order/create/previewbatch",
        safety=Safety.READ,
        page="https://doc-en.pandapon.com/api-263477644",
    )
    def preview_batch(self, *, address_param: Address, cargo_param_list: BatchCargos) -> Call[Unread]:
        """What ordering these products of several shops would give; orders nothing.

        The answer is not shown on the page and handed through as JSON.
        """
        ...

    @call(
        "POST",
        "/alibaba/order/create",
        safety=Safety.ONCE,
        page="https://doc-vnm.pandapon.com/api-250496568",
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
        """Order products of one shop. Never sent twice by this client: look the order up before a repeat.

        `flow` and `trade_type` are what the preview names (`flow_flag`, `trade_model_list`), `message` is
        the remark to the seller. The answer is not shown on the page and handed through as JSON.
        """
        ...

    @call(
        "POST",
        "/alibaba/order/batch/create",
        safety=Safety.ONCE,
        page="https://doc-en.pandapon.com/api-263477645",
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
        """Order products of several shops: one order per shop comes back. Never sent twice by this client.

        The answer was read on the second generation's page only. Some of the orders may exist although
        the call failed: look them up before a repeat.
        """
        ...

    @call(
        "POST",
        "/alibaba/order/page",
        safety=Safety.READ,
        evidence=Evidence.INFERRED,
        page="https://doc-en.pandapon.com/api-263477647",
    )
    def page(
        self, *, page_no: PageNo = 1, page_size: Annotated[int, IntegerField(1)] = 20
    ) -> Call[OrderPage]:
        """One page of the account's orders; `pages` goes through all of them.

        Of this call only method and path are known, and those of the second generation: both arguments
        and the shape of the answer are inferred, filters are not known (`Client.request` can send any).
        """
        ...

    pages: Final = paged(page)

    @call(
        "POST",
        "/alibaba/order/detail",
        safety=Safety.READ,
        page="https://doc-vnm.pandapon.com/api-250496569",
    )
    def get(self, *, order_id: OrderIdText, web_site: NonEmpty = "1688") -> Call[Order]:
        """One order as its buyer sees it; amounts are yuan. The page shows the first field only."""
        ...

    @call(
        "POST",
        "/alibaba/order/cancel",
        safety=Safety.CHECKED,
        confirmed_by="data",
        key=("orderId",),
        page="https://doc-en.pandapon.com/api-263477650",
    )
    def cancel(
        self,
        *,
        order_id: OrderIdInteger,
        cancel_reason: NonEmpty,
        remark: NonEmpty | None = None,
        web_site: NonEmpty = "1688",
    ) -> Call[bool]:
        """Cancel an order that is not paid yet; True once it is accepted. `cancel_reason` is free text.

        After a lost answer read the order: cancelled is done.
        """
        ...

    @call(
        "GET",
        "/alibaba/order/pay/url",
        safety=Safety.NEVER_AUTOMATIC,
        page="https://doc-en.pandapon.com/api-263477651",
    )
    def payment_link(self, *, order_id: OrderIdText) -> Call[PaymentLink]:
        """The link where an order is paid. It may PAY by itself: never repeated, in bulk only if allowed.

        The page is titled "order payment" and its answer has `protocol_pay_success`: where the account
        has a standing payment agreement, expect the money to be taken at once.
        """
        ...

    @call(
        "POST",
        "/alibaba/order/batch/submit/to/pay",
        safety=Safety.NEVER_AUTOMATIC,
        page="https://doc-en.pandapon.com/api-263477643",
    )
    def submit_to_pay(
        self,
        *,
        order_ids: Annotated[
            Iterable[int | str], ListField(TextIdField(r"[0-9]{1,20}", "2542285634920880794"))
        ],
    ) -> Call[Unread]:
        """Submit orders for payment. Money leaves: never repeated, in bulk only if allowed.

        After a lost answer read the orders' status. The page names no largest number of orders, and its
        answer could not be read: it is handed through as JSON.
        """
        ...

    @call(
        "POST",
        "/alibaba/order/receivegoods",
        safety=Safety.NEVER_AUTOMATIC,
        confirmed_by="success",
        page="https://doc-en.pandapon.com/api-263477652",
    )
    def confirm_receipt(
        self, *, order_id: OrderIdInteger, order_entry_ids: OrderEntryIds
    ) -> Call[ConfirmedReceipt]:
        """Confirm that the goods arrived, which releases the money to the seller, for good.

        `order_entry_ids` are the lines that arrived. The page leaves open whether they are required;
        they are here, so that no whole order is confirmed by omission.
        """
        ...
