"""1688 after-sales, second generation."""

from __future__ import annotations

from typing import Final

from pandapon_async.api.v1.alibaba import refunds as first
from pandapon_async.declare.endpoint import Evidence, Resource, twin

__all__ = ["Refunds"]


class Refunds(Resource):
    """Ask for reasons, upload proof images, open refund forms, follow them, send goods back."""

    get: Final = twin(
        first.Refunds.get,
        "/v2/alibaba/refund/info",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121044",
        evidence=Evidence.INFERRED,
    )
    reasons: Final = twin(
        first.Refunds.reasons,
        "/v2/alibaba/refund/reason/list",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121045",
        evidence=Evidence.INFERRED,
    )
    upload_voucher: Final = twin(
        first.Refunds.upload_voucher,
        "/v2/alibaba/refund/voucher/upload",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121046",
    )
    create: Final = twin(
        first.Refunds.create,
        "/v2/alibaba/refund/detail/create",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121047",
    )
    return_goods: Final = twin(
        first.Refunds.return_goods,
        "/v2/alibaba/refund/goods/return",
        room=__name__,
        page="https://doc-env2.pandapon.com/api-289121048",
        evidence=Evidence.INFERRED,
    )
