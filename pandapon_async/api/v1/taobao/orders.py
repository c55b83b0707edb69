"""Taobao orders, first generation."""

from __future__ import annotations

from typing import Annotated

from pandapon_async.arguments import OrderIdText, Picture, Wire
from pandapon_async.endpoint import Call, Group, Safety, Stage, call
from pandapon_async.images import ImageSource

__all__ = ["Orders"]


class Orders(Group):
    """Payment proofs."""

    @call(
        "POST",
        "/open/order/upload/payCertificate",
        safety=Safety.CHECKED,
        stage=Stage.DEPRECATED,
        confirmed_by="data",
        page="https://doc-en.pandapon.com/api-263477613",
    )
    def upload_pay_certificate(
        self, *, image: Annotated[ImageSource, Picture(), Wire("base64")], order_id: OrderIdText
    ) -> Call[bool]:
        """Upload the payment voucher of an order; True once it is accepted.

        The vendor marks this call to be deprecated, so using it gives a DeprecationWarning. `image` is
        bytes, a path or a binary file of at most 1 MiB (a bound of this client, the page names none).
        """
        ...
