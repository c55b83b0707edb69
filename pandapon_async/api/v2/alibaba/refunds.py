"""1688 after-sales, second generation."""

from __future__ import annotations

from pandapon_async.api.v1.alibaba import refunds as first
from pandapon_async.arguments import VoucherImage
from pandapon_async.endpoint import Call, Group, Safety, call, twin
from pandapon_async.models.alibaba.refunds import Voucher

__all__ = ["Refunds"]


class Refunds(Group):
    """Upload proof images and open refund forms."""

    @call(
        "POST",
        "/v2/alibaba/refund/voucher/upload",
        safety=Safety.REPEATABLE,
        confirmed_by="imageRelativeUrl",
        page="https://doc-env2.pandapon.com/api-289121046",
    )
    def upload_voucher(self, *, image: VoucherImage) -> Call[Voucher]:
        """Upload one proof image; the result's `.url` goes into `vouchers` of the other calls.

        `image` is bytes, a path or a binary file of at most 1 MiB (jpeg, png, gif or bmp by its first
        bytes; the limit is the upstream's). It is encoded when its turn comes. A repeat leaves an orphan
        image and does no harm, so a lost answer is retried.
        """
        ...

    create = twin(
        first.Refunds.create,
        "/v2/alibaba/refund/detail/create",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121047",
    )
