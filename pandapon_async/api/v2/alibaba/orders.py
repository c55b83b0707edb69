"""1688 orders, second generation: cargo by opaque ids, addresses with nothing marked required."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Final

from pandapon_async.api.v1.alibaba import orders as first
from pandapon_async.core.model import Unread
from pandapon_async.core.outcome import Safety
from pandapon_async.declare.endpoint import Call, Evidence, Resource, call, paged, twin
from pandapon_async.declare.fields import IntegerField, ListField, NonEmpty, ObjectField
from pandapon_async.models.alibaba.orders import FastAddress, FastCargo, Order, OrderPreview

__all__ = ["Orders"]

Address = Annotated[FastAddress, ObjectField(FastAddress)]
Cargos = Annotated[Iterable[FastCargo], ListField(ObjectField(FastCargo))]


class Orders(Resource):
    """Preview, create, follow, cancel and pay orders, and confirm their receipt."""

    @call(
        "POST",
        "/v2/alibaba/order/create/preview",
        safety=Safety.READ,
        page="https://doc-cnv2.pandapon.com/api-288855709",
    )
    def preview(
        self,
        *,
        cargo_param_list: Cargos,
        address_param: Annotated[FastAddress | None, ObjectField(FastAddress)] = None,
    ) -> Call[OrderPreview]:
        """What ordering these products would give: amounts in fen, freight, flow. Orders nothing.

        The answer was read on the first generation's page only.
        """
        ...

    @call(
        "POST",
        "/v2/alibaba/order/create/previewbatch",
        safety=Safety.READ,
        evidence=Evidence.INFERRED,
        page="https://doc-env2.pandapon.com/api-289121034",
    )
    def preview_batch(self, *, address_param: Address, cargo_param_list: Cargos) -> Call[Unread]:
        """What ordering these products of several shops would give; orders nothing.

        The page could not be read: the arguments are those of `create_batch`, the answer is handed
        through as JSON.
        """
        ...

    @call(
        "POST",
        "/v2/alibaba/order/create",
        safety=Safety.ONCE,
        page="https://doc-th.pandapon.com/api-289190490",
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

        Only method and path could be read: the arguments are the first generation's, with this one's
        cargo and address; the answer is handed through as JSON.
        """
        ...

    @call(
        "POST",
        "/v2/alibaba/order/batch/create",
        safety=Safety.ONCE,
        page="https://doc-cnv2.pandapon.com/api-288855706",
    )
    def create_batch(
        self,
        *,
        flow: NonEmpty,
        address_param: Address,
        cargo_param_list: Cargos,
        message: NonEmpty | None = None,
        shop_promotion_id: NonEmpty | None = None,
        trade_type: NonEmpty | None = None,
        user_id: NonEmpty | None = None,
        staff_name: NonEmpty | None = None,
        platform_order: Annotated[int | None, IntegerField()] = None,
        transfer_account_imgs: NonEmpty | None = None,
        transfer_account_remark: NonEmpty | None = None,
    ) -> Call[list[Order]]:
        """Order products of several shops: one order per shop comes back. Never sent twice by this client.

        `flow` is such as "general", `platform_order` the number of the order channel, `staff_name` the
        employee who orders; the transfer fields are the proof and remark of a bank transfer. Some of the
        orders may exist although the call failed: look them up before a repeat.
        """
        ...

    page: Final = twin(
        first.Orders.page,
        "/v2/alibaba/order/page",
        room=__name__,
        page="https://doc-th.pandapon.com/api-289190488",
    )
    pages: Final = paged(page)
    cancel: Final = twin(
        first.Orders.cancel,
        "/v2/alibaba/order/cancel",
        room=__name__,
        page="https://doc-cnv2.pandapon.com/api-288855711",
    )
    payment_link: Final = twin(
        first.Orders.payment_link,
        "/v2/alibaba/order/pay/url",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121041",
    )
    submit_to_pay: Final = twin(
        first.Orders.submit_to_pay,
        "/v2/alibaba/order/batch/submit/to/pay",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121033",
        evidence=Evidence.INFERRED,
    )
    confirm_receipt: Final = twin(
        first.Orders.confirm_receipt,
        "/v2/alibaba/order/receivegoods",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121042",
        evidence=Evidence.INFERRED,
    )
